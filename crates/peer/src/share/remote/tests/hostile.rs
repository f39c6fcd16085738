//! What a server that means harm gets out of it: nothing.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::fake::{Fake, Manners, wait};

const OLD: &str = "20200102030405";

#[test]
fn names_lead_nowhere() {
    let lines: [&[u8]; 12] = [
        b"type=file;size=1;modify=20200102030405; ../outside",
        b"type=file;size=1;modify=20200102030405; ..",
        b"type=dir; ..",
        b"type=dir; .",
        b"type=dir; /etc",
        b"type=file;size=1;modify=20200102030405; a\x1b[2J",
        b"type=file;size=1;modify=20200102030405; a\\b",
        b"type=file;size=1;modify=20200102030405; caf\xe9",
        b"type=OS.unix=slink:/etc/passwd;size=1;modify=20200102030405; link",
        b"type=file;size=18446744073709551615;modify=20200102030405; huge",
        b"type=file; timeless",
        b"\xff\xfe\x00garbage",
    ];
    let fake = Fake::start(Manners { listed: lines.map(<[u8]>::to_vec).to_vec(), ..Manners::default() });
    fake.put("/good", "good", OLD);
    let mut shares = fake.share(None);
    shares.wait_names(&["good"]);
    shares.wait_note("skipped `a\u{fffd}[2J`");
    assert!(fake.asked("RETR") == 1 && fake.asked("MLSD /etc") == 0);
}

#[test]
fn a_listing_without_end_ends() {
    let fake = Fake::start(Manners { lists_for_ever: true, ..Manners::default() });
    let mut shares = fake.share(None);
    shares.wait_note("its folder's listing is too long, so only a part is shared");
    assert_eq!(shares.names(), Vec::<String>::new(), "nothing can be read of what it makes up");
}

#[test]
fn a_tree_without_bottom_has_one() {
    let fake = Fake::start(Manners { is_bottomless: true, ..Manners::default() });
    fake.put("/a", "a", OLD);
    let mut shares = fake.share(None);
    shares.wait_names(&["a"]);
    shares.wait_note("deeper than 64 components");
}

#[test]
fn a_data_connection_goes_to_the_server_whatever_it_says() {
    // Where it points to, somebody listens and must not be called.
    let bystander = TcpListener::bind("127.0.0.2:0").unwrap();
    bystander.set_nonblocking(true).unwrap();
    let fake = Fake::start(Manners { points_to: Some([127, 0, 0, 2]), ..Manners::default() });
    fake.put("/a", "a", OLD);
    let shares = fake.share(None);
    shares.wait_names(&["a"]);
    assert!(bystander.accept().is_err());
}

#[test]
fn one_that_says_nothing_does_not_hold_the_end() {
    for manners in
        [Manners { is_mute: true, ..Manners::default() }, Manners { holds_back: true, ..Manners::default() }]
    {
        let fake = Fake::start(manners.clone());
        fake.put("/a", "a", OLD);
        let mut shares = fake.share(None);
        wait("it keeps somebody waiting", || {
            manners.is_mute && fake.open_most() > 0 || fake.asked("RETR") > 0
        });
        let begun = Instant::now();
        shares.sharing.stop();
        // Far below the 30 s that a silent server is waited for.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}

#[test]
fn many_readers_share_a_few_connections_and_all_come_through() {
    let fake = Fake::start(Manners::default());
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let hash = fake.put("/a", bytes.clone(), OLD);
    let shares = fake.share(None);
    shares.wait_hash("a", hash);
    // Each takes its time in the middle, so that some must be broken off for others.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let opened = shares.catalogue.open(&hash).unwrap();
                let mut half = vec![0; 1_500_000];
                opened.content.read_exact_at(&mut half, 0).unwrap();
                assert!(half == bytes[..1_500_000]);
                wait("everybody is in the middle", || fake.asked("RETR") >= 7);
                opened.content.read_exact_at(&mut half, 1_500_000).unwrap();
                assert!(half == bytes[1_500_000..]);
            });
        }
    });
    assert!(fake.open_most() <= 4, "{}", fake.open_most());
}
