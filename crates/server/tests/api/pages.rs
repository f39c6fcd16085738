//! What people see in a browser, and what a balancer asks.

use http::StatusCode;
use peerage_wire::api::Change;

use crate::fixture::{Door, Peer, add, file};

#[tokio::test]
async fn the_front_page_counts_and_searches() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let nasty = "s/<img src=x onerror=alert(1)> \"train\" \u{202e}fdp.exe".to_owned();
    let Change::Add(mut odd) = add("s/plain train.txt") else { unreachable!() };
    odd.path = nasty.parse().unwrap();
    odd.hash = file("s/other").hash;
    door.send(peer.batch(0, &[add("s/plain train.txt"), Change::Add(odd)])).await;

    let front = door.get("/").await;
    assert!(front.header("content-type").starts_with("text/html"));
    assert!(front.text().contains("1 peers share 2 files"), "{}", front.text());
    assert!(!front.text().contains("<script"));

    let found = door.get("/?q=train").await.text();
    assert!(found.contains("Found 2."), "{found}");
    assert!(found.contains("s/plain <mark>train</mark>.txt") && found.contains("127.0.0.1:18965"), "{found}");
    assert!(found.contains("&lt;img src=x") && found.contains("&quot;<mark>train</mark>&quot;"), "{found}");
    assert!(!found.contains("<img") && !found.contains('\u{202e}'), "{found}");

    let nothing = door.get("/?q=zeppelin%22%3E%3Cscript%3E").await;
    assert_eq!(nothing.status, StatusCode::OK);
    assert!(nothing.text().contains("File not found"), "{}", nothing.text());
    assert!(!nothing.text().contains("<script>"), "{}", nothing.text());

    let typo = door.get("/?q=trian").await.text();
    assert!(typo.contains("Found 2. Nothing matches as written: these are one typo away."), "{typo}");
    let asked = door.get("/?q=-a").await.text();
    assert!(asked.contains("only leaves out") && asked.contains("a query is words"), "{asked}");
    let joined = door.get("/?q=a%E2%80%8Db").await.text();
    assert!(joined.contains("value=\"a\u{200d}b\""), "it comes back as it was: {joined}");

    let bad = door.get("/?q=a&cursor=garbage").await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(bad.header("content-type").starts_with("text/html"), "a person asked");
}

#[tokio::test]
async fn more_results_are_a_button_away() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let batch: Vec<_> = (0..60).map(|number| add(&format!("s/train {number}"))).collect();
    door.send(peer.batch(0, &batch)).await;
    let first = door.get("/?q=train").await.text();
    let (_, rest) = first.split_once("name=\"cursor\" value=\"").expect("a next page");
    let (cursor, _) = rest.split_once('"').unwrap();
    let second = door.get(&format!("/?q=train&cursor={cursor}")).await.text();
    assert_eq!(first.matches("<tr><td>").count() + second.matches("<tr><td>").count(), 60);
    assert!(!second.contains("name=\"cursor\""));
}

#[tokio::test]
async fn health_is_told_in_plain_words() {
    let door = Door::open().await;
    let [alive, ready] = [door.get("/healthz").await, door.get("/readyz").await];
    assert_eq!((alive.status, alive.text().as_str()), (StatusCode::OK, "ok\n"));
    assert_eq!((ready.status, ready.text().as_str()), (StatusCode::OK, "ready\n"));
}
