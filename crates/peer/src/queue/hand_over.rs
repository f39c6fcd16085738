//! The other end of the control door: hands wants to the process that holds the home, and passes its news on.
//!
//! Invariant: what is left is always known, so that whoever holds the home next can be given it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::ask::{Message, Request, VERSION, Wanted};
use super::news::News;
use super::socket::{self, Lines};
use super::trouble::Trouble;

/// Bytes of a line of news: the longest tells of several files by their paths.
const NEWS_BYTES_MAX: usize = 4 << 20;
/// News come several times a second; a process that is silent for so long has been stopped.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How a hand-over ended.
pub(super) enum Ended {
    Whole,
    /// The other process went away.
    HostWent,
}

/// What of a request is not over yet.
pub(super) struct Left {
    resume: bool,
    wants: BTreeMap<usize, Wanted>,
}

impl Left {
    pub(super) fn of(request: Request) -> Self {
        let wants = request.wants.into_iter().map(|wanted| (wanted.want, wanted)).collect();
        Self { resume: request.resume, wants }
    }

    pub(super) fn request(&self) -> Request {
        Request { version: VERSION, wants: self.wants.values().cloned().collect(), resume: self.resume }
    }

    pub(super) fn note(&mut self, news: &News) {
        match news {
            News::Queued { want, ask } => {
                let wanted = || Wanted { want: *want, ask: ask.clone(), again: true };
                self.wants.entry(*want).or_insert_with(wanted);
            }
            News::Resolved { want, .. } => {
                if let Some(wanted) = self.wants.get_mut(want) {
                    wanted.again = true; // what it meant it means to the end
                }
            }
            News::Over { want, .. } => {
                self.wants.remove(want);
            }
            News::Looks { .. } => self.resume = false, // all that waited is named by now
            _ => {}
        }
    }
}

/// Hands over what is left and passes the news on.
///
/// # Errors
/// [`Trouble`] when the other process refuses.
pub(super) async fn hand_over(
    stream: UnixStream,
    left: &mut Left,
    news: &mpsc::Sender<News>,
) -> Result<Ended, Trouble> {
    let (read, mut write) = stream.into_split();
    if socket::write_line(&mut write, &Message::Fetch(left.request())).await.is_err() {
        return Ok(Ended::HostWent);
    }
    let mut lines = Lines::new(read, NEWS_BYTES_MAX);
    let mut is_silent = false;
    loop {
        let line = match tokio::time::timeout(SILENCE_MAX, lines.next()).await {
            Ok(Ok(Some(line))) => line,
            Ok(Ok(None)) => return Ok(Ended::HostWent),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => return Err(nonsense(&error)),
            Ok(Err(_)) => return Ok(Ended::HostWent),
            Err(_) => {
                if !std::mem::replace(&mut is_silent, true) {
                    let text = "the peer of this home, which fetches this, does not answer".to_owned();
                    tell(news, News::Note { text }).await;
                }
                continue;
            }
        };
        is_silent = false;
        let one: News = socket::parse(&line).map_err(|error| nonsense(&error))?;
        left.note(&one);
        match one {
            News::Refused { trouble } => return Err(trouble),
            News::End => {
                tell(news, News::End).await;
                return Ok(Ended::Whole);
            }
            one => tell(news, one).await,
        }
    }
}

/// Asks whoever holds the home to give it up for a peer; whether it does.
pub(super) async fn ask_to_yield(mut stream: UnixStream) -> bool {
    if socket::write_line(&mut stream, &Message::Yield { version: VERSION }).await.is_err() {
        return true; // it is ending by itself
    }
    let mut lines = Lines::new(stream, NEWS_BYTES_MAX);
    match tokio::time::timeout(SILENCE_MAX, lines.next()).await {
        Ok(Ok(Some(line))) => matches!(socket::parse(&line), Ok(News::End)),
        Ok(_) => true,
        Err(_) => false,
    }
}

/// Where nobody listens any more there is nobody to tell.
pub(super) async fn tell(news: &mpsc::Sender<News>, one: News) {
    let _ = news.send(one).await;
}

fn nonsense(error: &io::Error) -> Trouble {
    Trouble::failed(format!("can't understand the peer that runs in this home: {error}"))
        .hint("restart it, so that both are the same program")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Ask;

    fn ask(what: &str) -> Ask {
        let (output, index) = ("/out".into(), String::new());
        Ask { what: what.to_owned(), output, overwrite: false, index }
    }

    #[test]
    fn what_is_left_is_what_was_named_or_waited_and_is_not_over() {
        let wants = (0..2).zip(["a", "b"]).map(|(want, what)| Wanted { want, ask: ask(what), again: false });
        let mut left = Left::of(Request { version: VERSION, wants: wants.collect(), resume: true });
        for (want, what) in (0..3).zip(["a", "b", "from before"]) {
            left.note(&News::Queued { want, ask: ask(what) });
        }
        assert!(left.request().resume, "more may be named yet");
        left.note(&News::Looks { files: Vec::new() });
        left.note(&News::Resolved { want: 1, folder: None, files: 1, bytes: 1 });
        left.note(&News::Over { want: 0, trouble: None });
        let wanted = |want, what| Wanted { want, ask: ask(what), again: true };
        let wants = vec![wanted(1, "b"), wanted(2, "from before")];
        assert_eq!(left.request(), Request { version: VERSION, wants, resume: false });
    }
}
