//! An index that is still read: the door is open, says how far it is, and lets nobody near.

use std::sync::mpsc;

use http::Method;
use peerage_index::{Error, Index, Phase};
use peerage_server::{Config, Opening, RunError, Standing};
use peerage_wire::api::Stats;

use crate::fixture::{Ask, Door, Peer};

/// What the opening does next.
enum Step {
    Tell(Phase),
    End(Result<Index, Error>),
}

/// A door whose index is opened as the test says.
async fn scripted() -> (Door, mpsc::Sender<Step>, tokio::sync::watch::Receiver<Standing>) {
    let (script, steps) = mpsc::channel();
    let opening = Opening::new(move |tell| {
        loop {
            match steps.recv() {
                Ok(Step::Tell(phase)) => tell(phase),
                Ok(Step::End(outcome)) => return outcome,
                Err(_) => return Ok(Index::embedded()), // the test has ended
            }
        }
    });
    let standing = opening.standing();
    (Door::over(opening, Config::default()).await, script, standing)
}

#[tokio::test]
async fn an_index_that_is_being_read_says_how_far_it_is() {
    let (door, script, mut standing) = scripted().await;
    assert_eq!(door.get("/healthz").await.status, 200);
    let answer = door.get("/readyz").await;
    answer.refused(503, "starting");
    assert!(answer.text().contains("opening the store"), "{}", answer.text());

    for (phase, words) in [
        (Phase::Reading { done_bytes: 43, total_bytes: 100 }, "reading the snapshot, 43 %"),
        (Phase::Replaying { done_bytes: 12, total_bytes: 100 }, "replaying the log, 12 %"),
    ] {
        script.send(Step::Tell(phase)).unwrap();
        standing.wait_for(|standing| *standing == Standing::Reading(phase)).await.unwrap();
        let answer = door.get("/readyz").await;
        answer.refused(503, "starting");
        assert!(answer.text().contains(words), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), "2");
    }
    script.send(Step::End(Ok(Index::embedded()))).unwrap();
    standing.wait_for(|standing| *standing == Standing::Ready).await.unwrap();
    assert_eq!(door.get("/readyz").await.text(), "ready\n");
    let _: Stats = door.read("/api/v1/stats").await;
    Peer::announced(&door, 1).await;
}

#[tokio::test]
async fn nothing_is_asked_of_an_index_before_it_is_whole() {
    let (door, _script, _standing) = scripted().await;
    let id = Peer::new(1).id;
    let one = format!("/api/v1/peers/{id}");
    let paths = [
        (Method::GET, "/api/v1/search?q=x".to_owned()),
        (Method::GET, "/api/v1/files".to_owned()),
        (Method::GET, "/api/v1/stats".to_owned()),
        (Method::GET, "/api/v1/peers".to_owned()),
        (Method::GET, format!("/api/v1/contents/{id}")),
        (Method::GET, format!("{one}/files")),
        (Method::POST, "/api/v1/session".to_owned()),
        (Method::PUT, one.clone()),
        (Method::DELETE, one.clone()),
        (Method::POST, format!("{one}/heartbeat")),
        (Method::POST, format!("{one}/files?epoch=1&seq=0")),
        (Method::PUT, format!("{one}/partials")),
    ];
    for (method, path) in paths {
        let answer = door.send(Ask::new(method, &path).body("x")).await;
        answer.refused(503, "starting");
        assert_eq!(answer.header("retry-after"), "2", "{path}");
    }
    let page = door.get("/").await;
    assert_eq!((page.status.as_u16(), page.header("retry-after")), (503, "2"));
    assert!(page.header("content-type").starts_with("text/html") && page.text().contains("is starting"));
    for path in ["/api", "/api/openapi.json", "/style.css", "/metrics"] {
        assert_eq!(door.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_index_that_can_not_be_opened_ends_the_door_with_the_cause() {
    let (mut door, script, _standing) = scripted().await;
    let error = Error::Store {
        message: "`snapshot-7` is damaged".into(),
        hint: "restore it".into(),
        is_damaged: true,
    };
    script.send(Step::End(Err(error))).unwrap();
    let Err(RunError::Store { message, hint, is_damaged: true }) = door.ended().await else {
        panic!("it went on")
    };
    assert_eq!((message.as_str(), hint.as_str()), ("`snapshot-7` is damaged", "restore it"));
}

#[tokio::test]
async fn a_door_may_be_closed_before_the_index_is_open() {
    let (mut door, _script, _standing) = scripted().await;
    door.stop();
    door.stopped().await;
}
