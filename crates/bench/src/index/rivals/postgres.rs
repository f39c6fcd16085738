//! PostgreSQL, where it is installed: a cluster of its own in a temporary folder, reached by a socket there, driven by `psql`, which times
//! each statement itself.
//!
//! Invariant: the server is never root's; where the bench is, it runs as the user `postgres`.

use std::fs;
use std::io::{BufWriter, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use peerage_wire::limits;

use super::compare::{Documents, Rival};
use crate::daemon::{Daemon, READY_WAIT};
use crate::index::classes::{Class, Query};
use crate::latency::Latencies;
use crate::place::Place;
use crate::tools::Tool;

/// Statements that one `psql` is given.
const CHUNK: usize = 20;
/// How the server is set up: memory as is usual for this size, no waiting for disks.
const SETTINGS: [&str; 8] = [
    "shared_buffers=2GB",
    "work_mem=64MB",
    "maintenance_work_mem=1GB",
    "fsync=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "listen_addresses=",
];

const TABLE: &str = "create extension pg_trgm; create extension fuzzystrmatch;
create unlogged table content (id bigint, live int, kind text, size bigint, body text);";
const INDEXES: &str =
    "alter table content add words tsvector generated always as (to_tsvector('simple', body)) stored;
create index on content using gin (words) with (fastupdate = off);
create index on content using gin (body gin_trgm_ops) with (fastupdate = off);
create index on content (live desc);
create unlogged table vocabulary as select word from ts_stat('select words from content');
create index on vocabulary using gin (word gin_trgm_ops);
vacuum analyze content; vacuum analyze vocabulary;";

struct Postgres {
    dir: PathBuf,
    _server: Daemon,
}

/// The program, for the report.
pub(super) fn tool() -> Tool {
    Tool::new("psql", "--version")
}

/// Starts a cluster and fills it.
pub(super) fn build(documents: &Documents<'_>, place: &Place) -> Result<Box<dyn Rival>> {
    for program in ["initdb", "postgres", "psql"] {
        if Tool::new(program, "--version").find().is_none() {
            bail!("not installed ({program})");
        }
    }
    let dir = place.folder("pg")?;
    let user = user()?;
    if let Some((uid, gid)) = user {
        std::os::unix::fs::chown(&dir, Some(uid), Some(gid))?;
    }
    let as_user = |program: &str| {
        let mut command = crate::tools::command(program);
        command.current_dir(&dir);
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        command
    };
    let data = dir.join("data");
    let made = as_user("initdb")
        .args(["-U", "bench", "-A", "trust", "-N", "-E", "UTF8", "--locale", "C.UTF-8", "-D"])
        .arg(&data)
        .output()?;
    ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr).trim());
    let mut server = as_user("postgres");
    server.arg("-D").arg(&data).arg("-k").arg(&dir);
    SETTINGS.iter().for_each(|setting| _ = server.args(["-c", setting]));
    let mut server = Daemon::start(&mut server, &place.path().join("pg.log"))?;
    server.line("ready to accept connections", READY_WAIT)?;
    let postgres = Postgres { dir, _server: server };
    postgres.run(TABLE)?;
    postgres.copy(documents)?;
    postgres.run(INDEXES)?;
    Ok(Box::new(postgres))
}

impl Postgres {
    fn psql(&self) -> Command {
        let mut psql = crate::tools::command("psql");
        psql.args(["-U", "bench", "-d", "postgres", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h"])
            .arg(&self.dir);
        psql
    }

    /// Each statement by itself, as `vacuum` wants it.
    fn run(&self, statements: &str) -> Result<String> {
        let mut command = self.psql();
        statements
            .split(';')
            .filter(|one| !one.trim().is_empty())
            .for_each(|one| _ = command.args(["-c", one.trim()]));
        said(&mut command)
    }

    fn copy(&self, documents: &Documents<'_>) -> Result<()> {
        let mut command = self.psql();
        command.args(["-c", "copy content (id, live, kind, size, body) from stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut rows = BufWriter::with_capacity(1 << 20, child.stdin.take().context("no input")?);
        let written = documents.each(|document| {
            // Words are letters, digits and symbols; only a backslash would mean something, and no term has one.
            let (kind, words) = (document.kind.as_str(), document.words);
            Ok(writeln!(rows, "{}\t{}\t{kind}\t{}\t{words}", document.id, document.live, document.size)?)
        });
        let flushed = rows.flush();
        drop(rows);
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
        written?;
        Ok(flushed?)
    }
}

impl Rival for Postgres {
    fn search(&mut self, _: Class, queries: &[&Query], limit: Duration) -> Result<Option<Latencies>> {
        let (mut times, started) = (Latencies::default(), Instant::now());
        for chunk in queries.chunks(CHUNK) {
            let mut script = String::from("\\timing on\n\\o /dev/null\n");
            chunk.iter().for_each(|query| script.push_str(&statement(query)));
            let file = self.dir.join("queries.sql");
            fs::write(&file, script)?;
            let text = said(self.psql().arg("-f").arg(&file))?;
            let own = text
                .lines()
                .filter_map(|line| line.strip_prefix("Time: ")?.split(' ').next()?.parse::<f64>().ok());
            own.for_each(|millis| times.add(Duration::from_secs_f64(millis / 1e3)));
            if started.elapsed() > limit {
                break;
            }
        }
        Ok(Some(times))
    }

    fn bytes(&self) -> Result<u64> {
        let text = said(self.psql().args(["-A", "-t", "-c", "select pg_database_size('postgres')"]))?;
        Ok(text.lines().find_map(|line| line.trim().parse().ok()).unwrap_or(0))
    }
}

/// A query in SQL; words are letters alone.
fn statement(query: &Query) -> String {
    let first = query.words.first().map_or("", String::as_str);
    let tsquery = |operator: &str, end: &str| {
        let words: Vec<String> = query.words.iter().map(|word| format!("''{word}''{end}")).collect();
        format!("words @@ '{}'::tsquery", words.join(operator))
    };
    let condition = match query.class {
        Class::Prefix => tsquery(" & ", ":*"),
        Class::Substring => format!("body like '%{first}%'"),
        Class::Phrase => tsquery(" <-> ", ""),
        Class::Typo => format!(
            "words @@ (select coalesce(string_agg(quote_literal(word), ' | '), '''-''')::tsquery from vocabulary \
             where word % '{first}' and levenshtein_less_equal(word, '{first}', 1) <= 1)"
        ),
        _ => tsquery(" & ", ""),
    };
    let filters = match (query.kind, query.min_size()) {
        (Some(kind), Some(least)) => format!(" and kind = '{kind}' and size >= {least}"),
        _ => String::new(),
    };
    format!(
        "select id, live from content where {condition}{filters} order by live desc limit {};\n",
        limits::HITS_DEFAULT
    )
}

/// Whose the server is, where this is root.
fn user() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string(Path::new("/etc/passwd"))?;
    let line =
        users.lines().find(|line| line.starts_with("postgres:")).context("there is no user `postgres`")?;
    let mut fields = line.split(':').skip(2);
    let mut number = || fields.next()?.parse().ok();
    Ok(Some((number().context("no uid")?, number().context("no gid")?)))
}

fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
