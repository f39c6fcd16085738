//! Many small files in one answer: what comes that way, and what is left for a download of its own.

use futures_util::StreamExt;

use super::*;

impl Fixture {
    /// For each want where it went, in order; `None` where it was left.
    async fn bundles(&self, wants: &[Want], source: &Source) -> Vec<Option<PathBuf>> {
        let numbered = wants.iter().cloned().enumerate().collect();
        let pool = Arc::clone(&self.pool);
        let stream = download_bundles(numbered, source.clone(), pool, self.folder.clone());
        let mut told: Vec<(usize, Option<Done>)> = stream.concat().await;
        told.sort_by_key(|(number, _)| *number);
        let numbers: Vec<usize> = told.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (0..wants.len()).collect::<Vec<_>>(), "each is told once");
        told.into_iter().map(|(_, done)| done.map(|done| done.path)).collect()
    }

    fn root(&self, path: &str) -> PathBuf {
        self.temporary.path().join(path)
    }
}

#[tokio::test]
async fn a_folder_of_small_files_comes_in_a_few_answers() {
    let contents: Vec<Vec<u8>> = (0..700).map(|number| content(number * 7)).collect();
    let names: Vec<String> = (0..700).map(|number| format!("{}/{number}", number / 50)).collect();
    let files: Vec<(&str, &[u8])> =
        names.iter().zip(&contents).map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let honest = Honest::start(&files).await;
    let fixture = fixture();
    let wants: Vec<Want> = files.iter().map(|(name, content)| want(content, name)).collect();
    let came = fixture.bundles(&wants, &honest.source).await;
    for ((name, content), path) in files.iter().zip(&came) {
        assert_eq!(path.as_deref(), Some(fixture.root(name).as_path()), "{name}");
        assert!(read(&fixture.root(name)) == *content, "{name}");
    }
    assert!((1..=4).contains(&fixture.pool.idle_connections()), "lines are kept");
}

#[tokio::test]
async fn what_is_out_of_the_ordinary_is_left() {
    let (shared, taken, big) = (content(100), content(200), content(MIB));
    let honest = Honest::start(&[("shared", &shared), ("taken", &taken), ("big", &big)]).await;
    let fixture = fixture();
    std::fs::write(fixture.root("taken"), "mine").unwrap();
    std::fs::write(fixture.root("file"), "in the way").unwrap();
    let wants = [
        want(&shared, "shared"),
        want(&taken, "taken"),
        want(&content(300), "absent"),
        want(&shared, "file/below"),
        want(&shared, "no:good"),
        Want { size: 99, ..want(&shared, "wrong size") },
    ];
    let came = fixture.bundles(&wants[..5], &honest.source).await;
    assert_eq!(came, [Some(fixture.root("shared")), None, None, None, None]);
    assert_eq!(fixture.bundles(&wants[5..], &honest.source).await, [None], "another size than was asked for");
    assert_eq!(read(&fixture.root("taken")), b"mine");
    assert_eq!(fixture.bundles(&[want(&big, "big")], &honest.source).await, [Some(fixture.root("big"))]);
    honest.kill();
    assert_eq!(fixture.bundles(&[want(&shared, "gone")], &honest.source).await, [None]);
}

#[tokio::test]
async fn a_liar_is_not_believed_and_leaves_nothing() {
    let content = content(1_000);
    for trick in [Trick::WrongByte(500), Trick::CutAfter(0), Trick::Garbage, Trick::Empty] {
        let broken = Trickster::start(&content, trick).await;
        let fixture = fixture();
        let came = fixture.bundles(&[want(&content, "a"), want(&content, "b")], &broken.source).await;
        let expected = if trick == Trick::CutAfter(0) { 1 } else { 0 };
        assert_eq!(came.iter().flatten().count(), expected, "{trick:?}");
        assert_eq!(std::fs::read_dir(fixture.temporary.path()).unwrap().count(), expected, "{trick:?}");
        assert!(came.iter().flatten().all(|path| read(path) == content), "{trick:?}");
    }
}

#[tokio::test]
async fn a_busy_source_is_waited_for() {
    let content = content(1_000);
    let busy = Trickster::start(&content, Trick::BusyFor(1)).await;
    let fixture = fixture();
    assert_eq!(fixture.bundles(&[want(&content, "a")], &busy.source).await, [Some(fixture.root("a"))]);
    assert_eq!(busy.requests(), 2);
}
