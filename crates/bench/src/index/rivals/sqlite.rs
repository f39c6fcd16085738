//! SQLite with FTS5: one table of words with prefixes, one of letter triples for substrings, joined with the contents.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use peerage_wire::limits;
use rusqlite::{Connection, params};

use super::compare::{Documents, Rival, one_by_one};
use super::writing::{Changed, Writer};
use crate::index::classes::{Class, Query};
use crate::latency::Latencies;
use crate::place::Place;

/// Readers go on while somebody writes.
const WRITTEN_TO: &str = "pragma journal_mode = wal; pragma synchronous = off; pragma cache_size = -1000000;";

const SCHEMA: &str = "
pragma journal_mode = off;
pragma synchronous = off;
pragma cache_size = -1000000;
pragma mmap_size = 8000000000;
create table content (id integer primary key, live integer, kind text, size integer);
create virtual table words using fts5 (body, content = '', contentless_delete = 1, prefix = '2 3 4 5');
create virtual table triples using fts5 (body, content = '', contentless_delete = 1, tokenize = 'trigram');
";

struct Sqlite {
    connection: Connection,
    file: PathBuf,
}

/// Writes by a connection of its own, in transactions of what comes between two commits.
struct Writing {
    connection: Connection,
}

/// Fills a database of its own.
pub(super) fn build(documents: &Documents<'_>, place: &Place) -> Result<Box<dyn Rival>> {
    let file = place.path().join("rival.sqlite");
    let connection = Connection::open(&file)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute_batch("begin")?;
    {
        let mut content = connection.prepare("insert into content values (?, ?, ?, ?)")?;
        let mut words = connection.prepare("insert into words (rowid, body) values (?, ?)")?;
        let mut triples = connection.prepare("insert into triples (rowid, body) values (?, ?)")?;
        documents.each(|document| {
            let id = i64::try_from(document.id)?;
            content.execute(params![
                id,
                document.live,
                document.kind.as_str(),
                i64::try_from(document.size)?
            ])?;
            words.execute(params![id, document.words])?;
            triples.execute(params![id, document.words])?;
            Ok(())
        })?;
    }
    connection.execute_batch(
        "commit; insert into words (words) values ('optimize'); insert into triples (triples) values ('optimize'); analyze;",
    )?;
    Ok(Box::new(Sqlite { connection, file }))
}

impl Rival for Sqlite {
    fn search(&mut self, class: Class, queries: &[&Query], limit: Duration) -> Result<Option<Latencies>> {
        if class == Class::Typo {
            return Ok(None); // FTS5 has nothing for it
        }
        let table = if class == Class::Substring { "triples" } else { "words" };
        let filters = if class == Class::Filters { "and kind = ?2 and size >= ?3" } else { "" };
        let mut statement = self.connection.prepare(&format!(
            "select id, live from {table} join content on content.id = {table}.rowid where {table} match ?1 {filters} \
             order by live desc limit {}",
            limits::HITS_DEFAULT
        ))?;
        one_by_one(queries, limit, |query| {
            let text = matching(query);
            let mut rows = match (query.kind, query.min_size()) {
                (Some(kind), Some(least)) => {
                    statement.query(params![text, kind.as_str(), i64::try_from(least)?])?
                }
                _ => statement.query(params![text])?,
            };
            let mut hits = 0;
            while let Some(row) = rows.next()? {
                std::hint::black_box(row.get::<_, i64>(0)?);
                hits += 1;
            }
            Ok(hits)
        })
    }

    fn bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.file)?.len())
    }

    fn writer(&mut self) -> Result<Option<Box<dyn Writer>>> {
        self.connection.execute_batch(WRITTEN_TO)?;
        let connection = Connection::open(&self.file)?;
        connection.execute_batch(WRITTEN_TO)?;
        connection.execute_batch("begin")?;
        Ok(Some(Box::new(Writing { connection })))
    }
}

impl Writer for Writing {
    /// The words of a content stay as they are.
    fn put(&mut self, mut content: Changed<'_>) -> Result<()> {
        let id = i64::try_from(content.id)?;
        let mut update = self.connection.prepare_cached("update content set live = ?2 where id = ?1")?;
        if update.execute(params![id, content.live])? > 0 {
            return Ok(());
        }
        let document = content.document();
        let size = i64::try_from(document.size)?;
        let mut insert = self.connection.prepare_cached("insert into content values (?, ?, ?, ?)")?;
        insert.execute(params![id, document.live, document.kind.as_str(), size])?;
        for insert in [
            "insert into words (rowid, body) values (?, ?)",
            "insert into triples (rowid, body) values (?, ?)",
        ] {
            self.connection.prepare_cached(insert)?.execute(params![id, document.words])?;
        }
        Ok(())
    }

    fn forget(&mut self, id: u64) -> Result<()> {
        for delete in [
            "delete from content where id = ?",
            "delete from words where rowid = ?",
            "delete from triples where rowid = ?",
        ] {
            self.connection.prepare_cached(delete)?.execute(params![i64::try_from(id)?])?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        Ok(self.connection.execute_batch("commit; begin")?)
    }
}

/// In FTS5's own language; words are letters alone.
fn matching(query: &Query) -> String {
    let quoted: Vec<String> = query.words.iter().map(|word| format!("\"{word}\"")).collect();
    match query.class {
        Class::Prefix => format!("{} *", quoted.join(" ")),
        Class::Phrase => format!("\"{}\"", query.words.join(" ")),
        _ => quoted.join(" "),
    }
}
