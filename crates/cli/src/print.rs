//! What a person or a program reads: tables and JSON lines on stdout, everything else on stderr.
//!
//! Invariants: a stranger's text passes through `wire::shown` before it reaches a terminal; JSON escapes by itself.
//! A reader that closes the pipe early (`| head`) ends the command quietly.

use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;

use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::failure::{Failure, Outcome};

/// Blank columns between two columns of a table.
const GAP: usize = 2;
/// A name is never cut below this many columns, however narrow the terminal.
const FLEX_WIDTH_MIN: usize = 16;

/// ECMA-48, "Select graphic rendition".
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// A line on stderr, for the person.
#[expect(clippy::print_stderr, reason = "the one place that writes to stderr")]
pub(crate) fn say(line: impl Display) {
    eprintln!("{line}");
}

/// A line on stdout: data.
pub(crate) fn put(line: impl Display) -> Outcome {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::failed(format!("can't write to stdout: {error}"))),
    }
}

/// One JSON object on a line of stdout.
pub(crate) fn put_json(value: &impl Serialize) -> Outcome {
    let line = serde_json::to_string(value)
        .map_err(|error| Failure::failed(format!("can't write JSON: {error}")))?;
    put(line)
}

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    /// Text, from the left.
    Left,
    /// Numbers, to the right.
    Right,
    /// Text from the left that is left out where the terminal is too narrow for all columns.
    Spare,
    /// The one text that gives way, cut in its middle, where the terminal is too narrow.
    Flex,
}

/// Rows under headings, each column as wide as its widest cell.
pub(crate) struct Table {
    columns: Vec<(Column, &'static str)>,
    rows: Vec<Vec<String>>,
    /// Of each row, which characters of its flexible cell are bold where there is colour; none beyond its length.
    bold: Vec<Vec<bool>>,
}

impl Table {
    pub(crate) fn new(columns: &[(Column, &'static str)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), bold: Vec::new() }
    }

    /// Adds a row; its cells must have been shown already.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
        self.bold.push(Vec::new());
    }

    /// Makes characters of the last row's flexible cell bold.
    pub(crate) fn embolden(&mut self, is_bold: Vec<bool>) {
        if let Some(last) = self.bold.last_mut() {
            *last = is_bold;
        }
    }

    /// Writes the table to stdout, within the terminal's width where stdout is one.
    pub(crate) fn put(&self) -> Outcome {
        for line in self.lines(terminal_width(), has_colour()) {
            put(line)?;
        }
        Ok(())
    }

    fn lines(&self, width_max: Option<usize>, has_colour: bool) -> Vec<String> {
        let mut widths = self.widths(width_max);
        if width_max.is_some_and(|width_max| total(&widths) > width_max) {
            let spare =
                self.columns.iter().zip(&mut widths).filter(|((column, _), _)| *column == Column::Spare);
            spare.for_each(|(_, width)| *width = 0);
        }
        let headings: Vec<String> = self.columns.iter().map(|(_, heading)| (*heading).to_owned()).collect();
        let bold = self.bold.iter().map(|bold| if has_colour { bold.as_slice() } else { &[] });
        let rows = self.rows.iter().zip(bold);
        let all = std::iter::once((&headings, &[][..])).chain(rows);
        all.map(|(cells, bold)| self.line(cells, bold, &widths)).collect()
    }

    fn widths(&self, width_max: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(_, heading)| heading.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let flex = self.columns.iter().position(|(column, _)| *column == Column::Flex);
        if let (Some(flex), Some(width_max)) = (flex, width_max) {
            let excess = total(&widths).saturating_sub(width_max);
            widths[flex] = widths[flex].saturating_sub(excess).max(FLEX_WIDTH_MIN.min(widths[flex]));
        }
        widths
    }

    fn line(&self, cells: &[String], bold: &[bool], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, (column, _)), width) in cells.iter().zip(&self.columns).zip(widths) {
            if *width == 0 {
                continue; // a spare column without room
            }
            let shown = cut(cell, *width);
            let fill = " ".repeat(width - shown.width());
            match column {
                Column::Right => line.extend([fill.as_str(), &shown]),
                Column::Left | Column::Spare => line.extend([shown.as_str(), &fill]),
                Column::Flex => line.extend([emboldened(cell, &shown, bold).as_str(), &fill]),
            }
            line.push_str(&" ".repeat(GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// A cell as [`cut`] left it, with those characters bold that were to be in the whole of it.
fn emboldened(cell: &str, shown: &str, bold: &[bool]) -> String {
    if !bold.contains(&true) {
        return shown.to_owned();
    }
    // Beginning and end stay, so a character of the end is found by counting from there.
    let lost = cell.chars().count() - shown.chars().count();
    let head = if lost == 0 {
        usize::MAX
    } else {
        cell.chars().zip(shown.chars()).take_while(|(c, s)| c == s).count()
    };
    let (mut text, mut was_bold) = (String::with_capacity(shown.len() + 16), false);
    for (at, c) in shown.chars().enumerate() {
        let origin = if at < head { at } else { at + lost };
        let is_bold = at != head && bold.get(origin).copied().unwrap_or_default();
        if is_bold != was_bold {
            text.push_str(if is_bold { BOLD } else { PLAIN });
        }
        text.push(c);
        was_bold = is_bold;
    }
    if was_bold {
        text.push_str(PLAIN);
    }
    text
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// Shortens to `width` columns, keeping the beginning and (what tells files apart) the end.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let tail_width = width.saturating_sub(1) * 2 / 3;
    let tail = take_width(text.chars().rev(), tail_width);
    let head = take_width(
        text.chars(),
        width.saturating_sub(1 + tail.iter().filter_map(|c| c.width()).sum::<usize>()),
    );
    head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
}

fn take_width(chars: impl Iterator<Item = char>, width_max: usize) -> Vec<char> {
    let mut width = 0;
    chars
        .take_while(|c| {
            width += c.width().unwrap_or(0);
            width <= width_max
        })
        .collect()
}

/// Whether stdout is a terminal whose person has nothing against colour (<https://no-color.org>).
fn has_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of stdout, where it is a terminal.
fn terminal_width() -> Option<usize> {
    width_of(&std::io::stdout())
}

/// Columns of a terminal.
pub(crate) fn width_of(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    rustix::termios::tcgetwinsize(stream)
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let mut table =
            Table::new(&[(Column::Flex, "NAME"), (Column::Right, "SIZE"), (Column::Left, "OWNER")]);
        table.row(["été.txt".into(), "1.0 KiB".into(), "a".into()]);
        table.row(["日本語.txt".into(), "12 B".into(), "bb".into()]);
        let expected = ["NAME           SIZE  OWNER", "été.txt     1.0 KiB  a", "日本語.txt     12 B  bb"];
        assert_eq!(table.lines(None, false), expected);
    }

    #[test]
    fn a_spare_column_goes_before_a_line_breaks() {
        let mut table =
            Table::new(&[(Column::Flex, "NAME"), (Column::Left, "ADDRESS"), (Column::Spare, "HASH")]);
        table.row(["a-name-that-is-long.txt".into(), "127.0.0.1:18965".into(), "d190597654".into()]);
        assert!(table.lines(Some(60), false)[1].ends_with("d190597654"));
        let narrow = table.lines(Some(40), false);
        assert!(narrow[1].ends_with("18965") && !narrow[0].contains("HASH"), "{narrow:?}");
        assert!(narrow.iter().all(|line| line.width() <= 40), "{narrow:?}");
    }

    #[test]
    fn a_narrow_terminal_cuts_the_middle_of_the_name() {
        let mut table = Table::new(&[(Column::Flex, "NAME"), (Column::Right, "SIZE")]);
        table.row(["a/very/long/path/to/the/file.txt".into(), "1 B".into()]);
        let lines = table.lines(Some(24), false);
        assert!(lines.iter().all(|line| line.width() <= 24), "{lines:?}");
        assert!(lines[1].starts_with("a/ver") && lines[1].contains("/file.txt"), "{lines:?}");
    }

    #[test]
    fn what_was_found_is_bold_where_there_is_colour() {
        let mut table = Table::new(&[(Column::Flex, "NAME"), (Column::Right, "SIZE")]);
        table.row(["music/été yellow.mp3".into(), "1 B".into()]);
        table.embolden("      xxx        xxx".chars().map(|c| c == 'x').collect());
        assert_eq!(table.lines(None, true)[1], "music/\x1b[1mété\x1b[0m yellow.\x1b[1mmp3\x1b[0m   1 B");
        assert_eq!(table.lines(None, false)[1], "music/été yellow.mp3   1 B");
        // A cut keeps what is left of it, and the columns as they are.
        let narrow = &table.lines(Some(22), true)[1];
        assert_eq!(narrow, "music…yellow.\x1b[1mmp3\x1b[0m   1 B");
        assert_eq!(table.lines(Some(22), false)[1], "music…yellow.mp3   1 B");
    }
}
