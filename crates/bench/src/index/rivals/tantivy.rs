//! tantivy, in memory: an index of words, the best found by a fast field.

use std::time::Duration;

use anyhow::{Result, ensure};
use tantivy::collector::TopDocs;
use tantivy::query::Query as TantivyQuery;
use tantivy::query::{BooleanQuery, FuzzyTermQuery, PhraseQuery, RangeQuery, RegexQuery, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STRING, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{Index, IndexReader, IndexWriter, Order, ReloadPolicy, TantivyDocument, Term};

use super::compare::{Documents, Rival, one_by_one};
use super::documents::Document;
use super::writing::{Changed, Writer};
use crate::index::classes::{Class, Query};
use crate::latency::Latencies;
use crate::place::Place;
use peerage_wire::limits;

/// Bytes of documents that its writers gather before they write a segment.
const WRITING_BYTES: usize = 400 << 20;
/// Threads that write when it is built.
const WRITERS: usize = 2;

/// Of them, threads that write while others search.
const WRITERS_BESIDE: usize = 1;

struct Tantivy {
    index: Index,
    reader: IndexReader,
    fields: Fields,
}

/// Writes by giving documents up and taking them in again: a field can't be changed.
struct Writing {
    writer: IndexWriter,
    reader: IndexReader,
    fields: Fields,
}

#[derive(Clone, Copy)]
struct Fields {
    id: Field,
    words: Field,
    kind: Field,
    size: Field,
    live: Field,
}

/// Indexes everything.
pub(super) fn build(documents: &Documents<'_>, _: &Place) -> Result<Box<dyn Rival>> {
    let mut schema = Schema::builder();
    let words = TextFieldIndexing::default()
        .set_tokenizer("whitespace")
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let fields = Fields {
        id: schema.add_u64_field("id", INDEXED),
        words: schema.add_text_field("words", TextOptions::default().set_indexing_options(words)),
        kind: schema.add_text_field("kind", STRING),
        size: schema.add_u64_field("size", INDEXED | FAST),
        live: schema.add_u64_field("live", FAST),
    };
    let index = Index::create_in_ram(schema.build());
    let mut writer: IndexWriter = index.writer_with_num_threads(WRITERS, WRITING_BYTES)?;
    documents.each(|document| {
        writer.add_document(fields.row(document))?;
        Ok(())
    })?;
    writer.commit()?;
    writer.wait_merging_threads()?;
    let reader: IndexReader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
    let held = reader.searcher().num_docs();
    ensure!(held == documents.len(), "it holds {held} of {} contents", documents.len());
    Ok(Box::new(Tantivy { index, reader, fields }))
}

impl Rival for Tantivy {
    fn search(&mut self, _: Class, queries: &[&Query], limit: Duration) -> Result<Option<Latencies>> {
        one_by_one(queries, limit, |query| {
            let top = TopDocs::with_limit(limits::HITS_DEFAULT).order_by_u64_field("live", Order::Desc);
            Ok(self.reader.searcher().search(&*self.fields.query(query)?, &top)?.len())
        })
    }

    fn bytes(&self) -> Result<u64> {
        Ok(self.reader.searcher().space_usage()?.total().get_bytes())
    }

    fn writer(&mut self) -> Result<Option<Box<dyn Writer>>> {
        let writer = self.index.writer_with_num_threads(WRITERS_BESIDE, WRITING_BYTES)?;
        Ok(Some(Box::new(Writing { writer, reader: self.reader.clone(), fields: self.fields })))
    }
}

impl Writer for Writing {
    fn put(&mut self, mut content: Changed<'_>) -> Result<()> {
        self.forget(content.id)?;
        self.writer.add_document(self.fields.row(&content.document()))?;
        Ok(())
    }

    fn forget(&mut self, id: u64) -> Result<()> {
        self.writer.delete_term(Term::from_field_u64(self.fields.id, id));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        self.writer.commit()?;
        Ok(self.reader.reload()?)
    }
}

impl Fields {
    fn row(self, document: &Document<'_>) -> TantivyDocument {
        let mut row = TantivyDocument::default();
        row.add_u64(self.id, document.id);
        row.add_text(self.words, document.words);
        row.add_text(self.kind, document.kind.as_str());
        row.add_u64(self.size, document.size);
        row.add_u64(self.live, u64::from(document.live));
        row
    }

    fn query(self, query: &Query) -> Result<Box<dyn TantivyQuery>> {
        let first = query.words.first().map_or("", String::as_str);
        let terms = || query.words.iter().map(|word| Term::from_field_text(self.words, word));
        Ok(match query.class {
            // Words are letters alone, so nothing in them is a regular expression's.
            Class::Prefix => Box::new(RegexQuery::from_pattern(&format!("{first}.*"), self.words)?),
            Class::Substring => Box::new(RegexQuery::from_pattern(&format!(".*{first}.*"), self.words)?),
            Class::Typo => Box::new(FuzzyTermQuery::new(Term::from_field_text(self.words, first), 1, true)),
            Class::Phrase if query.words.len() > 1 => Box::new(PhraseQuery::new(terms().collect())),
            _ => {
                let one = |term| -> Box<dyn TantivyQuery> {
                    Box::new(TermQuery::new(term, IndexRecordOption::Basic))
                };
                let mut all: Vec<_> = terms().map(one).collect();
                if let Some(kind) = query.kind {
                    all.push(one(Term::from_field_text(self.kind, kind.as_str())));
                }
                if let Some(least) = query.min_size() {
                    let least = std::ops::Bound::Included(Term::from_field_u64(self.size, least));
                    all.push(Box::new(RangeQuery::new(least, std::ops::Bound::Unbounded)));
                }
                Box::new(BooleanQuery::intersection(all))
            }
        })
    }
}
