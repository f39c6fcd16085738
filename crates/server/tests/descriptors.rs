//! A process out of descriptors: alone in its own binary, since the limit holds for every thread of a process.

use std::fs::File;
use std::future::pending;
use std::time::Duration;

use peerage_index::Index;
use peerage_server::{Config, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

#[tokio::test]
async fn a_lack_of_descriptors_is_waited_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = tokio::spawn(run(listener, Index::embedded(), Config::default(), pending()));
    assert!(ask(address).await.starts_with("HTTP/1.1 200"), "the door has set its own limit by now");

    let limit = Rlimit { current: Some(200), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    held.pop(); // for the client's own socket
    let mut waiting = tokio::spawn(ask(address));
    let early = timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "there was no descriptor for it: {early:?}");
    drop(held);
    let answer = timeout(Duration::from_secs(30), waiting).await.expect("an answer").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!door.is_finished());
}

async fn ask(address: std::net::SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the system takes the connection");
    let ask = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(ask).await.expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}
