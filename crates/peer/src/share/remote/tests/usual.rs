//! What is shared of a server that means well, and what becomes of it.

use std::sync::Arc;

use peerage_wire::ContentHash;

use super::fake::{Fake, Manners, wait};
use crate::share::{FtpLogin, FtpLogins};

const OLD: &str = "20200102030405";

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn manners() -> [Manners; 2] {
    [Manners::default(), Manners { has_no_mlsd: true, ..Manners::default() }]
}

#[test]
fn everything_is_found_hashed_and_read_from_anywhere() {
    for manners in manners() {
        let fake = Fake::start(manners);
        let bytes = noise(3_000_000);
        let large = fake.put("/a/b/large.bin", bytes.clone(), OLD);
        fake.put("/a/été [x] -l.txt", "small", OLD);
        let empty = fake.put("/empty", "", OLD);
        fake.put("/.hidden/x", "no", OLD);
        fake.put("/half.part", "no", OLD);
        let shares = fake.share(None);
        shares.wait_names(&["a/b/large.bin", "a/été [x] -l.txt", "empty"]);
        assert_eq!(shares.catalogue.pieces(&large).unwrap().count(), 3);
        for (from, len) in [(0, 3_000_000), (2_999_999, 1), (1 << 20, 1 << 20), (77, 0)] {
            assert!(shares.read(&large, from, len).unwrap() == bytes[from..from + len], "{from} {len}");
        }
        assert!(shares.read(&empty, 0, 0).unwrap().is_empty());
        assert!(shares.read(&large, 2_999_999, 2).is_err(), "what there is not is not made up");
        let opened = shares.catalogue.open(&large).unwrap();
        let (before, mut room) = (fake.asked("RETR"), vec![0; 200_000]);
        for from in (0..3_000_000).step_by(200_000) {
            opened.content.read_exact_at(&mut room, from as u64).unwrap();
            assert!(room == bytes[from..from + 200_000]);
        }
        assert_eq!(fake.asked("RETR") - before, 1, "reading on is one transfer");
    }
}

#[test]
fn a_server_that_goes_takes_its_files_along_and_brings_them_back_unread() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("hashes.redb");
    let mut fake = Fake::start(Manners::default());
    let large = fake.put("/large", noise(2_000_000), OLD);
    fake.put("/small", "small", OLD);
    let mut shares = fake.share(Some(&cache));
    shares.wait_names(&["large", "small"]);
    wait("what was hashed is kept", || {
        shares.sharing.progress().idle.load(std::sync::atomic::Ordering::Relaxed)
    });
    fake.close();
    shares.wait_names(&[]);
    shares.wait_note("can't be reached: its files are withdrawn until it is back");
    assert!(shares.catalogue.open(&large).is_err());
    fake.open();
    shares.wait_names(&["large", "small"]);
    shares.wait_note("is back");
    assert_eq!((fake.asked("RETR"), shares.hashed()), (0, 2));
    assert!(shares.read(&large, 1_000_000, 7).unwrap() == noise(2_000_000)[1_000_000..1_000_007]);
}

#[test]
fn one_that_lets_nobody_in_is_waited_for() {
    let fake = Fake::start(Manners { refuses_login: true, ..Manners::default() });
    fake.put("/a", "a", OLD);
    let mut shares = fake.share(None);
    shares.wait_note(
        "does not let us in: its files are not shared until it does (the login is refused: 530 not you)",
    );
    fake.behave(|manners| manners.refuses_login = false);
    shares.wait_names(&["a"]);
}

#[test]
fn a_user_is_let_in_by_the_password_of_the_settings() {
    let fake = Fake::start(Manners::default());
    fake.put("/a", "a", OLD);
    let url = fake.url().to_string().replacen("ftp://", "ftp://bob@", 1).parse().unwrap();
    let login = FtpLogin { user: None, password: Some("secret".to_owned().into()) };
    let logins = FtpLogins::new([("127.0.0.1".to_owned(), login)].into(), None);
    let mut shares = fake.share_as(url, logins, None);
    shares.wait_names(&["a"]);
    assert!(fake.asked("USER bob") > 0 && fake.asked("PASS secret") == fake.asked("PASS"));
    shares.wait_note("goes over the network unencrypted");
}

#[test]
fn what_changes_is_hashed_again_and_never_served_as_what_it_was() {
    for manners in manners() {
        let fake = Fake::start(manners);
        let before = fake.put("/a", "before", OLD);
        fake.put("/b", "stays", OLD);
        let shares = fake.share(None);
        shares.wait_hash("a", before);
        let after = fake.put("/a", "behind", "20200102030406");
        assert!(shares.read(&before, 0, 6).is_err(), "its time is another");
        shares.wait_hash("a", after);
        assert_eq!(shares.read(&after, 0, 6).unwrap(), b"behind");
        fake.remove("/b");
        shares.wait_names(&["a"]);
    }
}

#[test]
fn an_open_file_that_changes_is_not_read_on_elsewhere() {
    let fake = Fake::start(Manners::default());
    let bytes = noise(3_500_000);
    let hash = fake.put("/a", bytes.clone(), OLD);
    let shares = fake.share(None);
    shares.wait_hash("a", hash);
    let opened = shares.catalogue.open(&hash).unwrap();
    let mut room = vec![0; 1_000];
    opened.content.read_exact_at(&mut room, 0).unwrap();
    assert!(room == bytes[..1_000]);
    fake.put("/a", vec![0; 3_500_000], "20200102030406");
    assert!(opened.content.read_exact_at(&mut room, 2_200_000).is_err());
}

#[test]
fn a_transfer_that_breaks_is_taken_up_where_it_was() {
    let fake = Fake::start(Manners::default());
    let bytes = noise(2_500_000);
    let hash = fake.put("/a", bytes.clone(), OLD);
    let shares = fake.share(None);
    shares.wait_hash("a", hash);
    fake.behave(|manners| manners.breaks_after = Some(1_300_000));
    let opened = shares.catalogue.open(&hash).unwrap();
    let mut read = vec![0; 900_000];
    opened.content.read_exact_at(&mut read, 0).unwrap();
    let mut rest = vec![0; 1_600_000];
    assert!(
        opened.content.read_exact_at(&mut rest, 900_000).is_err(),
        "it breaks at the same place each time"
    );
    fake.behave(|manners| manners.breaks_after = None);
    opened.content.read_exact_at(&mut rest, 900_000).unwrap();
    assert!([read, rest].concat() == bytes);
}

#[test]
fn other_bytes_than_were_hashed_are_never_handed_on() {
    let fake = Fake::start(Manners { forgets_offsets: true, ..Manners::default() });
    let bytes = noise(2_500_000);
    let hash = fake.put("/a", bytes.clone(), OLD);
    let shares = fake.share(None);
    shares.wait_hash("a", hash);
    assert!(shares.read(&hash, 0, 2_500_000).unwrap() == bytes, "from the beginning on it is right");
    let error = shares.read(&hash, 1_500_000, 100).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    fake.behave(|manners| manners.forgets_offsets = false);
    wait("it is looked at again", || {
        shares.read(&hash, 1_500_000, 100).is_ok_and(|read| read == bytes[1_500_000..1_500_100])
    });
}

#[test]
fn a_file_that_is_cut_while_it_is_hashed_is_not_registered() {
    let fake = Fake::start(Manners { breaks_after: Some(10), ..Manners::default() });
    fake.put("/cut", noise(50), OLD);
    let whole = fake.put("/whole", noise(9), OLD);
    let shares = fake.share(None);
    shares.wait_hash("whole", whole);
    wait("it was tried", || fake.asked("RETR /cut") >= 3);
    assert_eq!(shares.names(), ["whole"]);
    fake.behave(|manners| manners.breaks_after = None);
    shares.wait_hash("cut", ContentHash::of(&noise(50)));
}

#[test]
fn a_server_may_speak_tls_and_must_stay_the_same() {
    let fake = Fake::start_tls(certificate());
    let bytes = noise(1_500_000);
    let hash = fake.put("/dir/a", bytes.clone(), OLD);
    let mut shares = fake.share(None);
    shares.wait_names(&["dir/a"]);
    shares.wait_note("nobody vouches for the certificate");
    assert!(shares.read(&hash, 400_000, 1_000_000).unwrap() == bytes[400_000..1_400_000]);
    let address = fake.url();
    drop(fake);
    let impostor = Fake::start_tls_at(certificate(), &address);
    impostor.put("/dir/a", bytes, OLD);
    shares.wait_names(&[]);
    shares.wait_note("its files are withdrawn until it is back");
    assert_eq!(impostor.asked("PASS"), 0, "no password for a stranger");
}

fn certificate() -> Arc<rustls::ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["nas.local".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into());
    Arc::new(config.unwrap())
}
