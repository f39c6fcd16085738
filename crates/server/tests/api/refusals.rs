//! Whatever can't be understood is refused in one shape: status, code, message, hint.

use http::Method;

use crate::fixture::{Ask, Door, Peer};

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let door = Door::open().await;
    let nowhere = "0".repeat(64);
    for path in ["/nothing", "/api/v1", "/api/v1/peers/", "/%ff/..%2f..", "//", "/api/v1/session/x"] {
        door.get(path).await.refused(404, "not_found");
    }
    door.get(&format!("/api/v1/contents/{nowhere}")).await.refused(404, "not_found");
    door.get(&format!("/api/v1/peers/{nowhere}")).await.refused(404, "not_found");
    door.get(&format!("/api/v1/peers/{nowhere}/files")).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_wrong_method_is_said_in_json() {
    let door = Door::open().await;
    for (method, path) in [
        (Method::POST, "/api/v1/search"),
        (Method::GET, "/api/v1/session"),
        (Method::DELETE, "/"),
        (Method::OPTIONS, "/api/v1/stats"),
        (Method::PUT, "/api/openapi.json"),
    ] {
        let answer = door.send(Ask::new(method.clone(), path)).await;
        answer.refused(405, "bad_request");
        assert!(!answer.header("allow").is_empty(), "{method} {path}");
    }
}

#[tokio::test]
async fn what_can_not_be_read_is_said_in_json() {
    let door = Door::open().await;
    for path in [
        "/api/v1/search",
        "/api/v1/search?q=a&type=spaceship",
        "/api/v1/search?q=a&min_size=-1",
        "/api/v1/search?q=a&limit=many",
        "/api/v1/search?q=a&limit=0",
        "/api/v1/files?limit=1001",
        "/api/v1/peers?limit=18446744073709551615",
        "/api/v1/search?q=a&cursor=%00garbage",
        "/api/v1/search?q=a&sort=random",
        "/api/v1/search?q=a&min-size=7",
        "/api/v1/files?cursor=zzz",
        "/api/v1/files?under=../x",
        "/api/v1/files?under=/",
        "/api/v1/contents/short",
        "/api/v1/contents/%ff",
        "/api/v1/peers/%1b[31m",
    ] {
        door.get(path).await.refused(400, "bad_request");
    }
    let long = format!("/api/v1/search?q={}", "a".repeat(1_000));
    door.get(&long).await.refused(400, "bad_request");
}

#[tokio::test]
async fn a_body_that_is_not_its_json_is_refused() {
    let door = Door::open().await;
    let session = || Ask::new(Method::POST, "/api/v1/session");
    let as_json = |body: &str| session().header("content-type", "application/json").body(body.to_owned());
    for body in ["", "{", "[]", "{}", "{\"peer\":1}", "{\"peer\":\"xyz\"}", &"[".repeat(9_000)] {
        door.send(as_json(body)).await.refused(400, "bad_request");
    }
    door.send(as_json(&" ".repeat(16 * 1024 + 1))).await.refused(413, "limit");
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        door.send(session().header("content-type", kind).body("{}")).await.refused(415, "bad_request");
    }
}

#[tokio::test]
async fn an_announcement_must_be_one() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let digest = "0".repeat(64);
    for (name, port) in [("", "1"), ("a/b", "1"), ("\\u001b[2J", "1"), ("a", "0"), ("a", "65536")] {
        let body =
            format!(r#"{{"name":"{name}","doors":{{"native":{port}}},"epoch":2,"digest":"{digest}"}}"#);
        let ask = peer.ask(Method::PUT, "").header("content-type", "application/json").body(body);
        door.send(ask).await.refused(400, "bad_request");
    }
}

#[tokio::test]
async fn a_strangers_text_comes_back_harmless() {
    let door = Door::open().await;
    let answer = door.get("/nothing%1b[2J%e2%80%ae").await;
    answer.refused(404, "not_found");
    let answer = door.get("/api/v1/search?q=a&sort=%1b[2J%e2%80%ae").await;
    answer.refused(400, "bad_request");
    assert!(!answer.text().contains(['\u{1b}', '\u{202e}']), "{}", answer.text());
    assert!(!answer.text().contains("\\u001b"), "{}", answer.text());
}
