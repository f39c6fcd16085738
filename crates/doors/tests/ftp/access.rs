//! Who sees what: everybody, who is given a share, and who guesses passwords.

use std::collections::BTreeSet;

use crate::fixture::{Fixture, Setting};
use peerage_peer::share::Audience;

async fn members() -> Fixture {
    let setting = Setting { audience: Audience::Members, ..Setting::default() };
    let fixture = Fixture::start_with(&[("file", b"text")], setting).await;
    let given = |share: &str| Some(BTreeSet::from([share.to_owned()]));
    fixture.users.add("anna", "correct horse", given("s")).unwrap();
    fixture.users.add("bert", "battery staple", given("other")).unwrap();
    fixture.users.add("carl", "everything here", None).unwrap();
    fixture
}

#[tokio::test]
async fn what_is_not_public_is_seen_by_who_is_given_it() {
    let fixture = members().await;
    for (name, password, sees) in [
        ("anonymous", "x", false),
        ("anna", "correct horse", true),
        ("bert", "battery staple", false),
        ("carl", "everything here", true),
    ] {
        let mut client = fixture.connect().await;
        assert!(client.log_in(name, password).await.starts_with("230 "), "{name}");
        assert_eq!(client.lines("NLST").await.len(), usize::from(sees), "{name}");
        let (bytes, end) = client.fetch("RETR s/file").await;
        assert_eq!(bytes, if sees { &b"text"[..] } else { b"" }, "{name}: {end}");
        // What one may not see is as absent as what is not there.
        let absent = client.ask("SIZE nothing/file").await;
        assert_eq!(client.ask("SIZE s/file").await == absent, !sees, "{name}");
        assert_eq!(client.ask("CWD s").await == client.ask("CWD nothing").await, !sees, "{name}");
    }
}

#[tokio::test]
async fn who_guesses_has_to_wait_and_others_do_not() {
    let fixture = members().await;
    let mut client = fixture.connect().await;
    for _ in 0..2 {
        assert!(client.log_in("anna", "wrong horse").await.starts_with("530 "));
        assert!(client.ask("LIST").await.starts_with("530 "));
    }
    assert!(client.log_in("nobody", "wrong horse").await.starts_with("421 "));
    assert_eq!(client.reply().await, "", "and the session is over");
    let mut again = fixture.connect().await;
    assert!(again.log_in("anna", "correct horse").await.starts_with("421 "), "even the right one waits");
    let mut everybody = fixture.connect().await;
    assert!(everybody.log_in("anonymous", "x").await.starts_with("230 "));
}

#[tokio::test]
async fn a_second_user_forgets_the_first() {
    let fixture = members().await;
    let mut client = fixture.connect().await;
    client.log_in("anna", "correct horse").await;
    client.ask("CWD s").await;
    assert!(client.ask("USER bert").await.starts_with("331 "));
    assert!(client.ask("PWD").await.starts_with("530 "));
    assert!(client.ask("PASS battery staple").await.starts_with("230 "));
    assert_eq!(client.ask("PWD").await, "257 \"/\"\r\n");
}

#[tokio::test]
async fn many_right_logins_at_once_are_all_let_in() {
    let fixture = members().await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = fixture.connect().await;
        client.ask("USER anna").await;
        client.send("PASS correct horse").await;
        clients.push(client);
    }
    for client in &mut clients {
        assert!(client.reply().await.starts_with("230 "));
    }
}
