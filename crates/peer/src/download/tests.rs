//! Downloads over real sockets: what comes, where it goes, and what a second attempt finds.
//! What sources may do to them is in `broken`, and how they are sources to each other in `swarm`.

use super::*;
use crate::identity::Identity;
use crate::rate::RateLimit;
use crate::testing::{Honest, MIB, Trick, Trickster, content, hash, list_of, piece_of, source};
use crate::uploads::Uploads;
use std::path::Path;

mod broken;
mod bundle;
mod swarm;

struct Fixture {
    temporary: tempfile::TempDir,
    folder: OutFolder,
    pool: Arc<Pool>,
    progress: Progress,
}

fn fixture() -> Fixture {
    let temporary = tempfile::tempdir().unwrap();
    let folder = OutFolder::open(temporary.path()).unwrap();
    let identity = Arc::new(Identity::generate().unwrap());
    Fixture { temporary, folder, pool: Arc::new(Pool::new(identity)), progress: Progress::default() }
}

fn want(content: &[u8], path: &str) -> Want {
    let path = SharePath::parse(path).unwrap();
    Want { hash: hash(content), size: content.len() as u64, path, overwrite: false }
}

impl Fixture {
    async fn get(&self, content: &[u8], sources: Vec<Source>) -> Result<Done, DownloadError> {
        self.get_as(&want(content, "got/file.bin"), sources).await
    }

    async fn get_as(&self, want: &Want, sources: Vec<Source>) -> Result<Done, DownloadError> {
        download(want, &sources, &self.pool, &self.folder, &self.progress, None).await
    }

    fn names(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.temporary.path().join("got")) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn part(&self, content: &[u8]) -> PathBuf {
        self.temporary.path().join(format!("got/file.bin.{}.part", hash(content).short()))
    }
}

#[tokio::test]
async fn a_limit_is_kept_on_either_side() {
    let content = content(2 * MIB);
    let limit = || Some(RateLimit::new(4 * MIB as u64).unwrap());
    let free = Honest::start(&[("f", &content)]).await;
    let slow = Honest::start_with(&[("f", &content)], Uploads::new(limit())).await;
    let (mut braked, unbraked) = (fixture(), fixture());
    braked.pool = Arc::new(Pool::new(Arc::new(Identity::generate().unwrap())).with_limit(limit()));
    for (fixture, source) in [(&braked, &free), (&unbraked, &slow)] {
        let done = fixture.get(&content, vec![source.source.clone()]).await.unwrap();
        assert!(read(&done.path) == content);
        // Half a second, less what a burst and the sockets' own buffers may take at once.
        assert!(done.elapsed >= Duration::from_millis(300), "it took {:?}", done.elapsed);
    }
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

#[tokio::test]
async fn contents_of_every_size_come_as_they_are() {
    let contents: Vec<Vec<u8>> =
        [0, 1, 10_000, 300_000, MIB - 1, MIB, MIB + 1, 5 * MIB + 77, 40 * MIB].map(content).into();
    let names: Vec<String> = contents.iter().map(|content| content.len().to_string()).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&contents).map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let honest = Honest::start(&files).await;
    let fixture = fixture();
    for content in &contents {
        let path = format!("a/{}", content.len());
        let done = fixture.get_as(&want(content, &path), vec![honest.source.clone()]).await.unwrap();
        assert_eq!(done.path, fixture.temporary.path().join(path));
        assert!(read(&done.path) == *content, "{} bytes", content.len());
        assert_eq!((done.sources_used, done.already_there, done.resumed_bytes), (1, false, 0));
    }
    let snapshot = fixture.progress.snapshot();
    assert_eq!((snapshot.total_bytes, snapshot.stage), (40 * MIB as u64, Stage::Done));
}

#[tokio::test]
async fn several_sources_share_a_download_and_connections_are_kept() {
    let content = content(30 * MIB);
    let honest = [Honest::start(&[("a", &content)]).await, Honest::start(&[("b", &content)]).await];
    let sources: Vec<Source> = honest.iter().map(|honest| honest.source.clone()).collect();
    let fixture = fixture();
    let done = fixture.get(&content, sources.clone()).await.unwrap();
    assert!(read(&done.path) == content);
    assert_eq!(done.sources_used, 2);
    assert!(fixture.pool.idle_connections() > 0);
}

#[tokio::test]
async fn many_small_files_use_few_connections() {
    let contents: Vec<Vec<u8>> = (1..40).map(content).collect();
    let names: Vec<String> = (1..40).map(|name| name.to_string()).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&contents).map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let honest = Honest::start(&files).await;
    let fixture = fixture();
    let gets =
        contents.iter().map(|content| {
            let (want, sources) =
                (want(content, &format!("s/{}", content.len())), vec![honest.source.clone()]);
            let fixture = &fixture;
            async move {
                download(&want, &sources, &fixture.pool, &fixture.folder, &Progress::default(), None).await
            }
        });
    for done in futures_util::future::join_all(gets).await {
        assert_eq!(done.unwrap().sources_used, 1);
    }
    assert!((1..=4).contains(&fixture.pool.idle_connections()), "{}", fixture.pool.idle_connections());
}

#[tokio::test]
async fn a_dropped_download_is_resumed() {
    let content = content(64 * MIB);
    let first = Trickster::start(&content, Trick::Honest).await;
    let fixture = fixture();
    let half = content.len() as u64 / 2;
    {
        let wanted = want(&content, "got/file.bin");
        let sources = vec![first.source.clone()];
        let getting = download(&wanted, &sources, &fixture.pool, &fixture.folder, &fixture.progress, None);
        let watching = async {
            while first.sent_bytes() < half {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            done = getting => panic!("it was to be dropped half way: {done:?}"),
            () = watching => {}
        }
    }
    let fetched_before = first.sent_bytes();
    assert!(fixture.part(&content).exists());
    let second = Trickster::start(&content, Trick::Honest).await;
    let done = fixture.get(&content, vec![second.source.clone()]).await.unwrap();
    assert!(read(&done.path) == content);
    assert!(done.resumed_bytes > 0);
    assert_eq!(done.resumed_bytes + second.sent_bytes(), content.len() as u64, "nothing was fetched twice");
    // What was sent and not kept was in the pieces under way, or in the sockets' buffers of eight connections.
    assert!(done.resumed_bytes + 16 * MIB as u64 + 8 * 6 * MIB as u64 >= fetched_before);
}

#[tokio::test]
async fn a_source_that_is_killed_half_way_leaves_the_rest_to_another() {
    let content = content(64 * MIB);
    let (dying, other) = (Honest::start(&[("a", &content)]).await, Honest::start(&[("b", &content)]).await);
    let fixture = fixture();
    let getting = fixture.get(&content, vec![dying.source.clone(), other.source.clone()]);
    let killing = async {
        while fixture.progress.snapshot().done_bytes < content.len() as u64 / 3 {
            tokio::task::yield_now().await;
        }
        dying.kill();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = getting => assert!(read(&done.unwrap().path) == content),
        () = killing => {}
    }
}

#[tokio::test]
async fn a_part_full_of_wrong_bytes_is_no_help_and_no_harm() {
    let content = content(4 * MIB);
    let honest = Honest::start(&[("f", &content)]).await;
    let fixture = fixture();
    std::fs::create_dir(fixture.temporary.path().join("got")).unwrap();
    let mut left = vec![1; content.len() + 5];
    left[2 * MIB..3 * MIB].copy_from_slice(piece_of(&content, 2));
    std::fs::write(fixture.part(&content), left).unwrap();
    let done = fixture.get(&content, vec![honest.source.clone()]).await.unwrap();
    assert!(read(&done.path) == content);
    assert_eq!(done.resumed_bytes, MIB as u64);
}

#[tokio::test]
async fn what_is_there_already_is_not_fetched_and_what_differs_is_not_replaced() {
    let (old, new) = (content(100), content(2 * MIB));
    let honest = Trickster::start(&new, Trick::Honest).await;
    let fixture = fixture();
    let file = fixture.temporary.path().join("got/file.bin");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, &old).unwrap();

    let done = fixture.get(&new, vec![honest.source.clone()]).await.unwrap();
    assert_eq!(done.path, file.with_file_name("file (2).bin"));
    assert!(read(&file) == old && read(&done.path) == new);

    let requests = honest.requests();
    let again = fixture.get(&new, vec![honest.source.clone()]).await.unwrap();
    assert!(again.already_there && again.path == done.path);
    assert_eq!(honest.requests(), requests);

    let over = Want { overwrite: true, ..want(&new, "got/file.bin") };
    let done = fixture.get_as(&over, vec![honest.source.clone()]).await.unwrap();
    assert!(done.path == file && read(&file) == new);
    assert_eq!(fixture.names(), ["file (2).bin", "file.bin"]);
}

#[tokio::test]
async fn of_two_downloads_of_one_want_one_is_told_of_the_other() {
    let content = content(3 * MIB);
    let stalled = Trickster::start(&content, Trick::StallAfter(0)).await;
    let honest = Honest::start(&[("f", &content)]).await;
    let fixture = fixture();
    let first = fixture.get(&content, vec![stalled.source.clone()]);
    let second = async {
        while !fixture.part(&content).exists() {
            tokio::task::yield_now().await;
        }
        let wanted = want(&content, "got/file.bin");
        let sources = vec![honest.source.clone()];
        download(&wanted, &sources, &fixture.pool, &fixture.folder, &Progress::default(), None).await
    };
    let error = tokio::select! {
        done = first => panic!("its source stalls: {done:?}"),
        done = second => done.unwrap_err(),
    };
    let DownloadError::Disk(DiskError::Locked { path }) = &error else { panic!("{error}") };
    assert_eq!(*path, fixture.part(&content));
}

#[tokio::test]
async fn a_name_that_not_every_system_can_store_is_refused() {
    let fixture = fixture();
    for path in ["share/CON", "share/a:b", "share/dot."] {
        let error = fixture.get_as(&want(b"x", path), Vec::new()).await.unwrap_err();
        assert!(matches!(error, DownloadError::NotStorable(_)), "{error}");
    }
    assert_eq!(std::fs::read_dir(fixture.temporary.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn one_slot_is_enough_for_a_whole_download() {
    let content = content(10 * MIB);
    let honest = Honest::start_with(&[("f", &content)], Uploads::with_slots(1, 1, None)).await;
    let fixture = fixture();
    let done = fixture.get(&content, vec![honest.source.clone()]).await.unwrap();
    assert!(read(&done.path) == content);
}
