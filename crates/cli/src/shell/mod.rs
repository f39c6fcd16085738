//! The shell: the report's five words (register, search, list, download, quit) and peers, help.
//!
//! Invariants: a line is one command and its rest; what fails is told and the shell goes on; a shell that registered
//! a folder is a peer until it is left. Where stdin is no terminal the lines are simply read, for scripts.

mod complete;
mod line;

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use reedline::{
    ColumnarMenu, Emacs, FileBackedHistory, KeyCode, KeyModifiers, MenuBuilder, Reedline, ReedlineEvent,
    ReedlineMenu, Signal, default_emacs_keybindings,
};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use peerage_peer::home::Home;
use peerage_peer::index_client::IndexClient;
use peerage_peer::share::ShareOptions;
use peerage_wire::api::{Hit, ListParams, Matched, SearchParams};
use peerage_wire::{Link, limits};

use crate::args::{Arguments, Command, PeerArgs, ShellArgs};
use crate::commands::{self, Fetch, LiveShare, OtherDoors, Place};
use crate::config;
use crate::failure::{Exit, Failure, Outcome};
use crate::print::{put, say};

use complete::Completions;
use line::Line;

/// Lines that are remembered between shells.
const HISTORY_LINES: usize = 1_000;

const HELP: &str = "\
register DIR      share a folder, here or at `ftp://HOST/DIR`, while this shell is open
search WORDS      find files; \"a phrase\", -not, a OR b, *part*, type:audio, size:>10M, peer:NAME
list [PEER]       the first page of what is registered, by everybody or one peer
download 3        fetch the 3rd result of the last search (also: 1 4 7, a hash, PEER/share/path, a name)
peers             who is here
help              this page
quit              leave; what this shell registered leaves every answer";

/// The shell's arguments when `peerage` is called alone: from the settings and the environment as ever.
pub(crate) fn default_arguments() -> Outcome<ShellArgs> {
    match config::parse_words(&[std::env::args_os().next().unwrap_or_default(), "shell".into()])? {
        Arguments { command: Some(Command::Shell(args)), .. } => Ok(args),
        _ => Err(Failure::usage("can't read the shell's settings")),
    }
}

/// Reads and runs commands until `quit` or the end of the input.
pub(crate) fn run(runtime: &Runtime, home: &Path, args: ShellArgs) -> Outcome {
    let mut shell = Shell {
        client: commands::client_of(&args.index)?,
        index: args.index.url,
        peer: args.peer,
        output: args.output,
        home: home.to_owned(),
        share: None,
        results: Arc::default(),
    };
    let outcome = if std::io::stdin().is_terminal() {
        shell.converse(runtime)
    } else {
        shell.follow(runtime, std::io::stdin().lock())
    };
    runtime.block_on(shell.leave());
    outcome
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Next {
    Prompt,
    Quit,
}

struct Shell {
    client: IndexClient,
    index: String,
    peer: PeerArgs,
    output: PathBuf,
    home: PathBuf,
    share: Option<LiveShare>,
    results: Arc<Mutex<Vec<Hit>>>,
}

impl Shell {
    fn converse(&mut self, runtime: &Runtime) -> Outcome {
        say(format_args!("peerage {} with the index at {}", env!("CARGO_PKG_VERSION"), self.client.url()));
        say("type help for the commands, quit to leave");
        let mut editor = self.editor()?;
        let prompt = line::Prompt;
        loop {
            match editor.read_line(&prompt) {
                Ok(Signal::Success(text)) => match self.obey(runtime, &text) {
                    Ok(Next::Quit) => return Ok(()),
                    Ok(Next::Prompt) => {}
                    Err(failure) => say(failure),
                },
                Ok(Signal::CtrlD) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(Failure::failed(format!("can't read from the terminal: {error}"))),
            }
        }
    }

    /// A script's commands, one a line; the last failure is the shell's own.
    fn follow(&mut self, runtime: &Runtime, script: impl BufRead) -> Outcome {
        let mut last = Ok(());
        for text in script.lines() {
            let text = text.map_err(|error| Failure::failed(format!("can't read the commands: {error}")))?;
            match self.obey(runtime, &text) {
                Ok(Next::Quit) => break,
                Ok(Next::Prompt) => {}
                Err(failure) => {
                    say(&failure);
                    last = Err(Failure::new(failure.exit, "a command of the script failed"));
                }
            }
        }
        last
    }

    fn editor(&self) -> Outcome<Reedline> {
        let history = Home::open(&self.home).map_err(Failure::failed)?.state_file("history");
        let mut keys = default_emacs_keybindings();
        let next = ReedlineEvent::Menu("words".into());
        let complete = ReedlineEvent::UntilFound(vec![next, ReedlineEvent::MenuNext]);
        keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, complete);
        let menu = ReedlineMenu::EngineCompleter(Box::new(ColumnarMenu::default().with_name("words")));
        let editor = Reedline::create()
            .with_completer(Box::new(Completions { results: Arc::clone(&self.results) }))
            .with_menu(menu)
            .with_quick_completions(true)
            .with_partial_completions(true)
            .with_ansi_colors(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
            .with_edit_mode(Box::new(Emacs::new(keys)));
        Ok(match FileBackedHistory::with_file(HISTORY_LINES, history) {
            Ok(history) => editor.with_history(Box::new(history)),
            Err(error) => {
                say(format_args!("note: this shell's lines are not remembered: {error}"));
                editor
            }
        })
    }

    /// Runs one line; Ctrl-C ends what it does, not the shell.
    fn obey(&mut self, runtime: &Runtime, text: &str) -> Outcome<Next> {
        let line = Line::parse(text)?;
        if line == Line::Quit {
            return Ok(Next::Quit);
        }
        runtime.block_on(async {
            tokio::select! {
                outcome = self.run_line(line) => outcome,
                () = commands::interrupted() => Err(Failure::failed("interrupted")
                    .hint("what was fetched is kept: say it again to go on")),
            }
        })?;
        Ok(Next::Prompt)
    }

    async fn run_line(&mut self, line: Line) -> Outcome {
        match line {
            Line::Register(dir) => self.register(dir).await,
            Line::Search(words) => self.search(words).await,
            Line::List(peer) => self.list(peer).await,
            Line::Download(what) => self.download(what).await,
            Line::Peers => self.peers().await,
            Line::Help => put(HELP),
            Line::Empty | Line::Quit => Ok(()),
        }
    }

    /// The first folder makes this shell a peer; more join it.
    async fn register(&mut self, dir: String) -> Outcome {
        match &mut self.share {
            Some(share) => share.add(&dir)?,
            None => {
                let specs = commands::specs_of(&[dir])?;
                let logins = config::ftp_logins(&self.home)?;
                let options = ShareOptions { logins, ..ShareOptions::default() };
                self.share = Some(
                    LiveShare::start(
                        &self.home,
                        &self.index,
                        &self.peer,
                        specs,
                        options,
                        OtherDoors::default(),
                    )
                    .await?,
                );
            }
        }
        match &mut self.share {
            Some(share) => share.until_registered().await,
            None => Ok(()),
        }
    }

    async fn search(&mut self, words: String) -> Outcome {
        let page = self.client.search(&SearchParams { q: words, ..SearchParams::default() }).await?;
        let hits = page.hits;
        if hits.is_empty() {
            put("file not found")?;
        } else {
            let how = if page.matched == Some(Matched::Exact) {
                ""
            } else {
                " (not as written: the nearest there is)"
            };
            let bound = if page.total.exact { "" } else { "at least " };
            let results = if page.total.value == 1 { "result" } else { "results" };
            put(format_args!("file found: {bound}{} {results}{how}", page.total.value))?;
            commands::results(&hits).put()?;
        }
        *lock(&self.results) = hits;
        Ok(())
    }

    async fn list(&mut self, peer: Option<String>) -> Outcome {
        if let Some(peer) = &peer {
            commands::check_known(&self.client, peer).await?;
        }
        let params = ListParams { peer, limit: Some(limits::PAGE_ROWS_DEFAULT), ..ListParams::default() };
        let page = self.client.files(&params).await?;
        if page.hits.is_empty() {
            return put("nothing is registered yet");
        }
        commands::file_table(&page.hits).put()?;
        if page.cursor.is_some() {
            let (rows, all) = (page.hits.len(), page.total.value);
            say(format_args!("the first {rows} of {all}; `peerage list` prints them all"));
        }
        Ok(())
    }

    async fn download(&mut self, what: Vec<String>) -> Outcome {
        let place = match &self.share {
            Some(share) => Place::Peer(share.queue().clone()),
            None => Place::Home(Home::open(&self.home).map_err(Failure::failed)?),
        };
        let (index, output) = (self.index.clone(), self.output.clone());
        let here = mpsc::channel(1).0;
        let (limits, name) = (self.peer.limits.clone().into(), self.peer.name.clone());
        let fetch = Fetch { place, index, output, overwrite: false, json: false, limits, name, here };
        let wanted: Outcome<Vec<String>> = what.into_iter().map(|word| self.chosen(word)).collect();
        fetch.run(&wanted?, false).await.map(drop)
    }

    /// A small number means a row of the last search.
    fn chosen(&self, word: String) -> Outcome<String> {
        let Ok(number) = word.parse::<usize>() else { return Ok(word) };
        let results = lock(&self.results);
        match number.checked_sub(1).and_then(|position| results.get(position)) {
            Some(hit) => Ok(link_to(hit)),
            None => Err(Failure::new(Exit::NotFound, format!("the last search has no result {number}"))
                .hint("search first, then `download` with a number from the first column")),
        }
    }

    async fn peers(&mut self) -> Outcome {
        let page = self.client.peers(&ListParams::default()).await?;
        if page.hits.is_empty() {
            return put("nobody is here yet");
        }
        commands::peer_table(&page.hits).put()
    }

    async fn leave(&mut self) {
        if let Some(share) = self.share.take() {
            say("leaving: what this shell registered is no longer shared");
            share.stop().await;
        }
    }
}

/// The content, under the name that was shown.
fn link_to(hit: &Hit) -> String {
    let name = hit.names.first().map(|name| name.file_name().to_owned());
    Link { hash: hit.hash, name, size: Some(hit.size) }.to_string()
}

/// A shell's results stay usable even if a completion panicked while it held them.
fn lock(results: &Mutex<Vec<Hit>>) -> std::sync::MutexGuard<'_, Vec<Hit>> {
    results.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
