//! Downloads that are sources to each other, through real doors.

use std::sync::Mutex;

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;
use crate::catalogue::Catalogue;
use crate::serve::{self, Door};
use crate::uploads::Uploads;

/// A peer that shares nothing and downloads.
struct Getter {
    source: Source,
    catalogue: Arc<Catalogue>,
    door: AbortHandle,
    fixture: Fixture,
}

impl Getter {
    async fn start() -> Self {
        let identity = Arc::new(Identity::generate().unwrap());
        let catalogue = Arc::new(Catalogue::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let whole = source(&identity, listener.local_addr().unwrap());
        let door = Arc::new(Door::new(Arc::clone(&catalogue), Arc::clone(&identity), Uploads::default()));
        let door = tokio::spawn(serve::run(listener, door, std::future::pending())).abort_handle();
        let pool = Arc::new(Pool::new(identity));
        let fixture = Fixture { pool, ..fixture() };
        Self { source: Source { partial: true, ..whole }, catalogue, door, fixture }
    }

    async fn get(&self, content: &[u8], board: &Board) -> Result<Done, DownloadError> {
        let Fixture { pool, folder, progress, .. } = &self.fixture;
        let partials = Some(self.catalogue.partials());
        download(&want(content, "got/file.bin"), board, pool, folder, progress, partials).await
    }
}

impl Drop for Getter {
    fn drop(&mut self) {
        self.door.abort();
    }
}

/// Names whole sources, and those who download as long as they offer it: what an index does.
#[derive(Default)]
struct Board {
    sources: Vec<Source>,
    getters: Mutex<Vec<(Source, Arc<Catalogue>)>>,
}

impl Board {
    fn of(sources: &[Source]) -> Self {
        Self { sources: sources.to_vec(), ..Self::default() }
    }

    fn join(&self, getter: &Getter) {
        let who = (getter.source.clone(), Arc::clone(&getter.catalogue));
        self.getters.lock().unwrap().push(who);
    }
}

impl Sources for Board {
    fn find<'a>(&'a self, hash: &'a ContentHash) -> BoxFuture<'a, Result<Vec<Source>, FindError>> {
        let getters = self.getters.lock().unwrap();
        let partial = getters.iter().filter(|(_, catalogue)| catalogue.partials().offered().contains(hash));
        let all = self.sources.iter().cloned().chain(partial.map(|(source, _)| source.clone())).collect();
        Box::pin(std::future::ready(Ok(all)))
    }
}

#[tokio::test]
async fn two_downloads_complete_each_other_where_the_seed_gives_each_piece_once() {
    let content = content(12 * MIB + 5);
    let seed = Trickster::start(&content, Trick::Once).await;
    let (one, two) = (Getter::start().await, Getter::start().await);
    let board = Board::of(std::slice::from_ref(&seed.source));
    board.join(&one);
    board.join(&two);
    let (first, second) = tokio::join!(one.get(&content, &board), two.get(&content, &board));
    for done in [first.unwrap(), second.unwrap()] {
        assert!(read(&done.path) == content);
    }
    assert!(seed.sent_bytes() <= content.len() as u64, "every other byte went from one to the other");
    assert_eq!(one.catalogue.partials().offered(), [hash(&content)], "it stays for who is not done yet");
}

#[tokio::test]
async fn a_download_that_is_dropped_is_offered_no_more_and_one_that_is_resumed_at_once() {
    let content = content(3 * MIB);
    let stalled = Trickster::start(&content, Trick::StallAfter(MIB / 2)).await;
    let getter = Getter::start().await;
    std::fs::create_dir(getter.fixture.temporary.path().join("got")).unwrap();
    let mut left = vec![0; content.len()];
    left[MIB..2 * MIB].copy_from_slice(piece_of(&content, 1));
    std::fs::write(getter.fixture.part(&content), left).unwrap();
    let board = Board::of(std::slice::from_ref(&stalled.source));
    let partials = getter.catalogue.partials();
    let offered = async {
        let mut changed = partials.changed();
        while partials.offered().is_empty() {
            changed.changed().await.unwrap();
        }
    };
    tokio::select! {
        done = getter.get(&content, &board) => panic!("its source stalls: {done:?}"),
        () = offered => {}
    }
    assert!(partials.offered().is_empty());
}

#[tokio::test]
async fn a_lying_partial_source_is_dropped_and_one_that_garbles_is_not_needed() {
    let content = content(6 * MIB);
    let honest = Honest::start(&[("f", &content)]).await;
    for trick in [Trick::WrongByte(3 * MIB + 7), Trick::ShortHave, Trick::Empty, Trick::Silent] {
        let broken = Trickster::start(&content, trick).await;
        let partial = Source { partial: true, ..broken.source.clone() };
        let fixture = fixture();
        let done = fixture.get(&content, vec![partial, honest.source.clone()]).await;
        let done = done.unwrap_or_else(|error| panic!("{trick:?}: {error}"));
        assert!(read(&done.path) == content, "{trick:?}");
    }
    let liar = Trickster::start(&content, Trick::WrongByte(0)).await;
    let partial = Source { partial: true, ..liar.source.clone() };
    let error = fixture().get(&content, vec![partial]).await.unwrap_err();
    assert!(matches!(error, DownloadError::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_partial_source_that_says_it_has_all_is_enough() {
    let content = content(6 * MIB);
    let other = Trickster::start(&content, Trick::Honest).await;
    let partial = Source { partial: true, ..other.source.clone() };
    let fixture = fixture();
    let done = fixture.get(&content, vec![partial]).await.unwrap();
    assert!(read(&done.path) == content);
    assert_eq!(other.sent_bytes(), content.len() as u64);
}

#[tokio::test]
async fn a_downloader_does_not_ask_itself() {
    let content = content(3 * MIB);
    let own = Trickster::start(&content, Trick::Honest).await;
    let honest = Honest::start(&[("f", &content)]).await;
    let getter = Getter::start().await;
    let ourselves = Source { address: own.source.address, ..getter.source.clone() };
    let board = Board::of(&[ourselves, honest.source.clone()]);
    let done = getter.get(&content, &board).await.unwrap();
    assert!(read(&done.path) == content);
    assert_eq!(own.requests(), 0);
}
