//! The query language: text in, what to look for out. Pure, and the definition that every engine is held to.
//!
//! ```text
//! query  = clause { blank clause }                 every clause must match
//! clause = item { "OR" item } | "-" item | filter  OR, in capitals, binds closer than the blank
//! item   = '"' text '"'                            phrase: these terms side by side, exactly
//!        | word                                    the terms of the word side by side (`foo-bar.txt`, `mp3`)
//!        | "*" word | word "*" | "*" word "*"      a word's end, beginning or middle
//! filter = [ "-" ] "type:" kind                    audio, video, image, document, archive, program, data
//!        | "size:" ( ">" | ">=" | "<" | "<=" ) size
//!        | "size:" [ size ] ".." [ size ]          from and to, both included; one of them may be missing
//!        | "size:" size                            what rounds to it
//!        | [ "-" ] "peer:" ( name | '"' text '"' ) what a live peer of this name or id has; without
//!        |                                           regard to case and accents, where none is spelt so
//!        | "hash:" 64 hex digits                   this content
//! ```
//!
//! - The last word, where only filters and punctuation follow and it is neither left out nor begins with a star, also
//!   matches as a prefix. So does the last term of a phrase whose closing quote is missing: someone is still typing, so that
//!   is no error.
//! - A quote opens a phrase only at the beginning of an item; within a word it is a border as any punctuation.
//! - `-` leaves out only directly before a word; `-` alone and `--help` are no negations. A name that begins with one
//!   dash, or has a word `OR`, is looked for in quotes: [`quoted`] does that.
//! - A star at a border (`*.mp3`) asks for nothing; touching letters it needs three of them, except at the end. Within a
//!   word it is a border.
//! - Words without terms (`&`) are passed over; where no word has any, the query is one term as a whole.
//! - Every word must match the *same* name (share path) of a content, and a name that a left-out word matches is no
//!   match; another name of the same content still can be.
//!
//! Filters:
//!
//! - They stand anywhere between the clauses, not in an `OR`. Several of one name are alternatives (`type:audio
//!   type:video`: either), but sizes narrow each other; filters of different names must all be met.
//! - A type is asked of each *name*, as a word is; size, peer and hash are asked of the content.
//! - Sizes are written as everywhere ([`peerage_wire::parse_bytes`]; with a blank in it, in quotes). `size:700M` is what
//!   a list shows as that: whatever rounds to it in the digits given, so 699.5M and more, less than 700.5M; without a
//!   unit it is exactly so many bytes.
//! - `-type:video` leaves out names of that type, `-peer:NAME` contents that such a peer has.
//! - A query may be of filters alone (`peer:nas`, `type:audio size:>1G`) where one asks for something: every name of
//!   what they let through then matches in its own name.
//! - The four names, in any case, are the only ones: any other word with a colon (`http://x`) is a word. Filters without
//!   a value or with one that can't be read are refused, with what to write instead.

mod filter;
mod highlight;
mod plain;

use peerage_wire::api::Matched;
use peerage_wire::limits;

use crate::pattern::PART_LETTERS_MIN;
pub use crate::pattern::{Pattern, Place, Run};
use crate::terms::{self, NameTerms};
use crate::{Error, Result};
use filter::Filter;
pub use filter::Filters;
pub(crate) use highlight::Highlighter;
pub(crate) use plain::{Folded, Plain};

/// A query as it was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    clauses: Vec<Vec<Run>>,
    without: Vec<Run>,
    filters: Filters,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Error::BadQuery`] with what is wrong in it.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > limits::QUERY_BYTES_MAX {
            return refuse(format!("it is longer than {} bytes", limits::QUERY_BYTES_MAX));
        }
        let Items { items, words } = read_items(text)?;
        if items.iter().filter(|item| **item != Item::Or).count() > limits::QUERY_WORDS_MAX {
            let most = limits::QUERY_WORDS_MAX;
            return refuse(format!(
                "it has more than {most} words and filters; a longer name goes in quotes"
            ));
        }
        let asks = items.iter().any(|item| matches!(item, Item::Filter(filter) if !filter.leaves_out()));
        let leaves_out = items.iter().any(Item::leaves_out);
        let mut query = combine(items)?;
        if query.clauses.is_empty() && query.without.is_empty() {
            query.clauses.extend(Run::whole(&words).map(|run| vec![run]));
        }
        match query.clauses.is_empty() && !asks {
            false => Ok(query),
            true if leaves_out => refuse("it only leaves out; a name that begins with `-` goes in quotes"),
            true => refuse("it has no words"),
        }
    }

    /// What must match: of each clause at least one run.
    #[must_use]
    pub fn clauses(&self) -> &[Vec<Run>] {
        &self.clauses
    }

    /// What must not match.
    #[must_use]
    pub fn without(&self) -> &[Run] {
        &self.without
    }

    /// What is asked beside the words. [`Query::find`] looks at none of it.
    #[must_use]
    pub const fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Where a name matches, if it does; in the file's own name where no words are asked for. Asks for no memory.
    #[must_use]
    pub fn find(&self, name: &NameTerms) -> Option<Place> {
        if self.without.iter().any(|run| run.find(name).is_some()) {
            return None;
        }
        let best_of = |clause: &Vec<Run>| clause.iter().filter_map(|run| run.find(name)).min();
        self.clauses.iter().try_fold(Place::File, |worst, clause| Some(worst.max(best_of(clause)?)))
    }

    /// Whether terms side by side are asked for.
    pub(crate) fn asks_for_neighbours(&self) -> bool {
        self.clauses.iter().flatten().any(|run| run.patterns().len() > 1)
    }

    /// The same words read in another way, or `None` where that makes no difference to them.
    #[must_use]
    pub fn read_as(&self, how: Matched) -> Option<Self> {
        let reread = |run: &Run| match how {
            Matched::Exact => run.clone(),
            Matched::Substring => run.as_part(),
            Matched::Typo => run.with_typo(),
        };
        let clauses: Vec<Vec<Run>> =
            self.clauses.iter().map(|clause| clause.iter().map(reread).collect()).collect();
        let differs = how == Matched::Exact || clauses != self.clauses;
        differs.then(|| Self { clauses, ..self.clone() })
    }
}

/// A query that finds this very text, whatever is in it. The closing quote is left out where it would make a name of
/// the longest kind too long to ask for.
#[must_use]
pub fn quoted(text: &str) -> String {
    let inner = text.replace(terms::is_quote, " ");
    if inner.len() + 2 > limits::QUERY_BYTES_MAX { format!("\"{inner}") } else { format!("\"{inner}\"") }
}

#[derive(Debug, PartialEq, Eq)]
enum Item {
    Or,
    Find(Run),
    LeaveOut(Run),
    Filter(Filter),
}

impl Item {
    const fn leaves_out(&self) -> bool {
        match self {
            Self::Or | Self::Find(_) => false,
            Self::LeaveOut(_) => true,
            Self::Filter(filter) => filter.leaves_out(),
        }
    }
}

/// What a text is made of, and as what it would be one term: all of it but the filters.
struct Items {
    items: Vec<Item>,
    words: String,
}

fn read_items(text: &str) -> Result<Items> {
    let (mut items, mut words) = (Vec::new(), String::new());
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (is_left_out, body) = without_dash(rest);
        let after = if let Some((name, value, after)) = filter::split(body) {
            items.push(Item::Filter(filter::read(name, value, is_left_out)?));
            after
        } else {
            let (item, after) = read_item(is_left_out, body)?;
            items.extend(item);
            words.push_str(&rest[..rest.len() - after.len()]);
            after
        };
        rest = after.trim_start();
    }
    Ok(Items { items, words })
}

fn read_item(is_left_out: bool, body: &str) -> Result<(Option<Item>, &str)> {
    let (run, after) = if body.starts_with(terms::is_quote) {
        read_phrase(body)
    } else {
        let (word, after) = body.split_at(body.find(char::is_whitespace).unwrap_or(body.len()));
        if word == "OR" && !is_left_out {
            return Ok((Some(Item::Or), after));
        }
        (read_word(word, !is_left_out && is_all_filters(after))?, after)
    };
    Ok((run.map(|run| if is_left_out { Item::LeaveOut(run) } else { Item::Find(run) }), after))
}

/// Whether no word comes any more: only filters, and what someone is about to type.
fn is_all_filters(mut text: &str) -> bool {
    loop {
        text = text.trim_start();
        match filter::split(without_dash(text).1) {
            Some((_, _, after)) => text = after,
            None if text.is_empty() => return true,
            None => {
                let (word, after) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
                if word.contains(is_in_a_word) {
                    return false;
                }
                text = after;
            }
        }
    }
}

/// Tells a negation from a dash: it stands directly before a word, and only one of it.
fn without_dash(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(body) if body.starts_with(|c: char| c != '-' && !c.is_whitespace()) => (true, body),
        _ => (false, text),
    }
}

/// Reads a phrase from its opening quote on.
fn read_phrase(body: &str) -> (Option<Run>, &str) {
    let inner = body.trim_start_matches(terms::is_quote);
    match inner.split_once(terms::is_quote) {
        Some((phrase, after)) => (Run::phrase(phrase), after),
        None => {
            let mut run = Run::phrase(inner);
            if let Some(run) = &mut run {
                run.open_end();
            }
            (run, "")
        }
    }
}

fn read_word(word: &str, is_last: bool) -> Result<Option<Run>> {
    let bare = word.trim_matches('*');
    // Who writes a star in front says where the word ends as well.
    let (has_front, has_back) = (word.starts_with('*'), word.ends_with('*'));
    let Some(mut run) = Run::word(bare) else { return Ok(None) };
    if has_front && bare.starts_with(is_in_a_word) {
        run.open_start();
        if run.letters() < PART_LETTERS_MIN && run.patterns().iter().any(|pattern| pattern.open_start) {
            return refuse(format!("a part such as `*ster*` needs at least {PART_LETTERS_MIN} letters"));
        }
    }
    if (is_last && !has_front) || (has_back && bare.ends_with(is_in_a_word)) {
        run.open_end();
    }
    Ok(Some(run))
}

fn is_in_a_word(c: char) -> bool {
    !terms::split(c.encode_utf8(&mut [0; 4])).is_empty()
}

fn combine(items: Vec<Item>) -> Result<Query> {
    let mut query = Query { clauses: Vec::new(), without: Vec::new(), filters: Filters::default() };
    let mut filters = Vec::new();
    let mut may_join = false; // whether the last item can be the left side of an OR
    let mut is_joining = false;
    for item in items {
        match item {
            Item::Or if may_join && !is_joining => is_joining = true,
            Item::Or => return refuse_or(),
            Item::LeaveOut(_) | Item::Filter(_) if is_joining => return refuse_or(),
            Item::Filter(filter) => {
                filters.push(filter);
                may_join = false;
            }
            Item::LeaveOut(run) => {
                query.without.push(run);
                may_join = false;
            }
            Item::Find(run) => {
                match query.clauses.last_mut() {
                    Some(clause) if is_joining => clause.push(run),
                    _ => query.clauses.push(vec![run]),
                }
                (may_join, is_joining) = (true, false);
            }
        }
    }
    if is_joining {
        return refuse_or();
    }
    query.filters = Filters::of(filters)?;
    Ok(query)
}

fn refuse_or<T>() -> Result<T> {
    refuse(
        "`OR` needs a word to look for on both sides (filters of one name are alternatives without it); the word itself \
         goes in quotes",
    )
}

fn refuse<T>(why: impl Into<String>) -> Result<T> {
    Err(Error::BadQuery(why.into()))
}

#[cfg(test)]
mod tests;
