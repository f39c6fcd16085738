//! What the door says and sends of a content that is being downloaded.

use std::sync::Arc;

use peerage_wire::SharePath;

use super::*;
use crate::have::Have;
use crate::part::{Opened, OutFolder, Part};
use crate::partials::Published;
use crate::testing::piece_of;

/// A part in a folder of its own, published by a peer that shares something else.
struct Downloading {
    honest: Honest,
    part: Part,
    published: Published,
    content: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Downloading {
    /// Ten pieces and a bit, of which none is there.
    async fn start() -> Self {
        let honest = Honest::start(&[("other", b"other")]).await;
        let content = content(10 * MIB + 3);
        let folder = tempfile::tempdir().unwrap();
        let out = OutFolder::open(folder.path()).unwrap();
        let (path, size) = (SharePath::parse("s/file").unwrap(), content.len() as u64);
        let opened = Part::open(&out, &path, (hash(&content), size), false).unwrap();
        let Opened::Part(part) = opened else { panic!("it was there") };
        let list = Arc::new(list_of(&content));
        let published = honest.catalogue().partials().publish(&part, &list, Have::none(11)).unwrap();
        Self { honest, part, published, content, folder }
    }

    fn prove(&self, piece: u64) {
        self.part.write_piece(piece, piece_of(&self.content, piece)).unwrap();
        self.published.proven(piece);
    }

    async fn get(&self, below: &str, range: Option<&str>) -> Got {
        let path = format!("/v1/blobs/{}{below}", hash(&self.content));
        let range = range.map(|range| ("range", range));
        get(&self.honest.source, &path, range.as_slice()).await
    }
}

#[tokio::test]
async fn what_a_whole_content_has_is_all_of_it() {
    let long = content(9 * MIB);
    let honest = Honest::start(&[("long", &long), ("empty", b"")]).await;
    for (content, expected) in [(long.as_slice(), &[0xff, 0x80][..]), (b"", &[0x80])] {
        let have = get(&honest.source, &format!("/v1/blobs/{}/have", hash(content)), &[]).await;
        assert_eq!((have.status, &have.body[..]), (StatusCode::OK, expected));
    }
    let head = ask(&honest.source, Method::HEAD, &format!("/v1/blobs/{}/have", hash(&long)), &[]).await;
    assert_eq!((head.header(CONTENT_LENGTH), head.body.len()), ("2", 0));
    for path in [format!("/v1/blobs/{}/have", hash(b"absent")), "/v1/blobs/x/have".to_owned()] {
        assert_eq!(get(&honest.source, &path, &[]).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn only_proven_pieces_of_a_download_are_there() {
    let downloading = Downloading::start().await;
    let absent = get(&downloading.honest.source, &format!("/v1/blobs/{}", hash(b"absent")), &[]).await;
    for below in ["", "/have", "/pieces"] {
        let got = downloading.get(below, None).await;
        assert_eq!((got.status, got.body), (StatusCode::NOT_FOUND, absent.body.clone()), "{below}");
    }
    [2, 3, 10].into_iter().for_each(|piece| downloading.prove(piece));
    assert_eq!(downloading.get("/have", None).await.body[..], [0b0011_0000, 0b0010_0000]);
    assert_eq!(downloading.get("/pieces", None).await.body, list_of(&downloading.content).to_bytes());
    for (range, expected) in [
        ("bytes=2097152-4194303", Some(2 * MIB..4 * MIB)),
        ("bytes=3000000-3000009", Some(3_000_000..3_000_010)),
        ("bytes=-2", Some(10 * MIB + 1..10 * MIB + 3)),
        ("bytes=2097151-2097153", None),
        ("bytes=4194303-4194304", None),
        ("bytes=0-", None),
    ] {
        let got = downloading.get("", Some(range)).await;
        match expected {
            Some(bytes) => {
                assert_eq!(got.status, StatusCode::PARTIAL_CONTENT, "{range}");
                assert!(got.body == downloading.content[bytes], "{range}");
            }
            None => {
                assert_eq!((got.status, got.body), (StatusCode::NOT_FOUND, absent.body.clone()), "{range}");
            }
        }
    }
    assert_eq!(downloading.get("", None).await.status, StatusCode::NOT_FOUND, "the whole is not there");
}

#[tokio::test]
async fn a_download_is_read_through_its_own_handle_until_it_is_taken_back() {
    let downloading = Downloading::start().await;
    (0..11).for_each(|piece| downloading.prove(piece));
    let finished = downloading.part.finish(false).unwrap();
    assert!(finished.starts_with(downloading.folder.path()));
    std::fs::remove_file(finished).unwrap();
    let whole = downloading.get("", None).await;
    assert!(whole.status == StatusCode::OK && whole.body == downloading.content);

    let Downloading { honest, published, content, .. } = downloading;
    drop(published);
    let path = format!("/v1/blobs/{}", hash(&content));
    for below in ["", "/have", "/pieces"] {
        assert_eq!(get(&honest.source, &format!("{path}{below}"), &[]).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn of_two_downloads_of_one_content_the_first_is_given() {
    let downloading = Downloading::start().await;
    let list = Arc::new(list_of(&downloading.content));
    let partials = downloading.honest.catalogue().partials();
    assert!(partials.publish(&downloading.part, &list, Have::all(11)).is_none());
    assert!(partials.offered().is_empty(), "the first has none");
    downloading.prove(0);
    assert_eq!(partials.offered(), [hash(&downloading.content)]);
    let lock = std::fs::File::open(downloading.part.path()).unwrap();
    drop(downloading.part);
    assert!(lock.try_lock().is_ok(), "what is given to others keeps no lock");
}

#[tokio::test]
async fn a_finished_file_that_somebody_writes_to_is_not_given_any_more() {
    let downloading = Downloading::start().await;
    (0..11).for_each(|piece| downloading.prove(piece));
    let path = format!("/v1/blobs/{}", hash(&downloading.content));
    let Downloading { honest, part, published, folder: _folder, .. } = downloading;
    published.linger();
    let file = part.finish(false).unwrap();
    let first = [("range", "bytes=0-9")];
    assert_eq!(get(&honest.source, &path, &first).await.status, StatusCode::PARTIAL_CONTENT);
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(get(&honest.source, &path, &first).await.status, StatusCode::NOT_FOUND);
}
