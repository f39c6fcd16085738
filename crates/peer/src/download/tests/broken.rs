//! Downloads from sources that lie, break off, stall, vanish, or are somebody else.

use super::*;

#[tokio::test]
async fn a_wrong_byte_is_never_accepted_and_another_source_mends_it() {
    let content = content(6 * MIB + 9);
    for at in [0, 3 * MIB + 5, content.len() - 1] {
        let (liar, honest) =
            (Trickster::start(&content, Trick::WrongByte(at)).await, Honest::start(&[("f", &content)]).await);
        let both = fixture();
        let done = both.get(&content, vec![liar.source.clone(), honest.source.clone()]).await.unwrap();
        assert!(read(&done.path) == content);

        let alone = fixture();
        let error = alone.get(&content, vec![liar.source.clone()]).await.unwrap_err();
        let DownloadError::Corrupt { faults, .. } = &error else { panic!("{error}") };
        assert_eq!(faults[0].address, liar.source.address);
        // What is left, if anything, is a part, and none of it is wrong.
        assert!(alone.names().iter().all(|name| name.ends_with(".part")), "{:?}", alone.names());
        let done = alone.get(&content, vec![honest.source.clone()]).await.unwrap();
        assert!(read(&done.path) == content);
    }
}

#[tokio::test]
async fn a_lying_small_file_or_list_leaves_nothing_behind() {
    let small = content(1_000);
    let liar = Trickster::start(&small, Trick::WrongByte(500)).await;
    let fixture = fixture();
    let error = fixture.get(&small, vec![liar.source.clone()]).await.unwrap_err();
    assert!(matches!(error, DownloadError::Corrupt { .. }), "{error}");
    assert!(fixture.names().is_empty());

    let large = content(3 * MIB);
    let liar = Trickster::start(&large, Trick::WrongList).await;
    let error = fixture.get(&large, vec![liar.source.clone()]).await.unwrap_err();
    assert!(matches!(error, DownloadError::Corrupt { .. }), "{error}");
    assert!(fixture.names().is_empty());
    let honest = Honest::start(&[("f", &large)]).await;
    let done = fixture.get(&large, vec![liar.source.clone(), honest.source.clone()]).await.unwrap();
    assert!(read(&done.path) == large);
}

#[tokio::test]
async fn broken_sources_do_not_keep_a_good_one_from_finishing() {
    let content = content(9 * MIB);
    let tricks = [
        Trick::CutAfter(0),
        Trick::CutAfter(MIB / 2),
        Trick::Short,
        Trick::Long,
        Trick::StallAfter(0),
        Trick::StallAfter(MIB + MIB / 2),
        Trick::Dribble,
        Trick::Silent,
        Trick::VanishAfter(2 * MIB),
        Trick::Empty,
        Trick::Garbage,
    ];
    let honest = Honest::start(&[("f", &content)]).await;
    let gets = tricks.map(|trick| {
        let (content, honest) = (&content, honest.source.clone());
        async move {
            let (fixture, broken) = (fixture(), Trickster::start(content, trick).await);
            let done = fixture.get(content, vec![broken.source.clone(), honest]).await;
            let done = done.unwrap_or_else(|error| panic!("{trick:?}: {error}"));
            assert!(read(&done.path) == *content, "{trick:?}");
        }
    });
    futures_util::future::join_all(gets).await;
}

#[tokio::test]
async fn a_lone_broken_source_gives_an_error_and_no_file() {
    let content = content(2 * MIB);
    let tricks = [Trick::CutAfter(0), Trick::Short, Trick::Long, Trick::Empty, Trick::Garbage];
    let gets = tricks.map(|trick| {
        let content = &content;
        async move {
            let (fixture, broken) = (fixture(), Trickster::start(content, trick).await);
            let error = fixture.get(content, vec![broken.source.clone()]).await.unwrap_err();
            let DownloadError::Unreachable { faults, .. } = &error else { panic!("{trick:?}: {error}") };
            assert_eq!(faults.len(), 1, "{trick:?}");
            assert!(fixture.names().is_empty(), "{trick:?}: {:?}", fixture.names());
        }
    });
    futures_util::future::join_all(gets).await;
}

#[tokio::test]
async fn a_connection_cut_after_every_piece_still_brings_the_file() {
    let content = content(6 * MIB);
    let broken = Trickster::start(&content, Trick::CutAfter(MIB + 1)).await;
    let fixture = fixture();
    let done = fixture.get(&content, vec![broken.source.clone()]).await.unwrap();
    assert!(read(&done.path) == content);
}

#[tokio::test]
async fn a_busy_source_is_asked_again_when_it_says() {
    let content = content(1_000);
    let busy = Trickster::start(&content, Trick::BusyFor(2)).await;
    let fixture = fixture();
    let started = Instant::now();
    let done = fixture.get(&content, vec![busy.source.clone()]).await.unwrap();
    assert!(read(&done.path) == content);
    assert!(started.elapsed() >= Duration::from_secs(2), "twice it said: in a second");
    assert_eq!(busy.requests(), 3);
}

#[tokio::test]
async fn another_key_at_the_address_is_refused_before_anything_is_asked() {
    let content = content(1_000);
    let other = Trickster::start(&content, Trick::Honest).await;
    let expected = source(&Identity::generate().unwrap(), other.source.address);
    let fixture = fixture();
    let error = fixture.get(&content, vec![expected]).await.unwrap_err();
    let DownloadError::Unreachable { faults, .. } = &error else { panic!("{error}") };
    assert!(faults[0].fault.contains("another peer"), "{error}");
    assert_eq!(other.requests(), 0);
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_or_nothing_at_all_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let garbage = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 garbage \xff\xfe\r\n").await;
        }
    });
    let fixture = fixture();
    let content = content(10);
    let at = |address| vec![source(&Identity::generate().unwrap(), address)];
    let error = fixture.get(&content, at(address)).await.unwrap_err();
    assert!(matches!(error, DownloadError::Unreachable { .. }), "{error}");
    garbage.abort();
    let _ = garbage.await;
    let error = fixture.get(&content, at(address)).await.unwrap_err();
    assert!(matches!(error, DownloadError::Unreachable { .. }), "{error}");
    let error = fixture.get(&content, Vec::new()).await.unwrap_err();
    assert!(matches!(error, DownloadError::NoSource { .. }), "{error}");
    assert!(fixture.names().is_empty());
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_served_is_never_padded() {
    let content = content(32 * MIB);
    let honest = Honest::start(&[("f", &content)]).await;
    let fixture = fixture();
    let getting = fixture.get(&content, vec![honest.source.clone()]);
    let shrinking = async {
        while fixture.progress.snapshot().done_bytes == 0 {
            tokio::task::yield_now().await;
        }
        let file = std::fs::OpenOptions::new().write(true).open(honest.path("f")).unwrap();
        file.set_len(MIB as u64).unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        // Fast enough, it may have had everything by then.
        done = getting => match done {
            Ok(done) => assert!(read(&done.path) == content),
            Err(error) => {
                assert!(matches!(error, DownloadError::Unreachable { .. }), "{error}");
                let proven = list_of(&content);
                let part = read(&fixture.part(&content));
                let is_kept = |index| list_of_piece(&part, &proven, index);
                assert!((0..proven.count()).any(is_kept), "what came before is kept");
            }
        },
        () = shrinking => {}
    }
}

fn list_of_piece(part: &[u8], list: &PieceList, index: u64) -> bool {
    let mut hasher = peerage_wire::PieceHasher::new(list.size(), index);
    hasher.update(piece_of(part, index));
    list.is_proven(index, &hasher.finish())
}
