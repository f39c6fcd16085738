//! The one way a stranger's text reaches a terminal, a log or a page's source: without control characters
//! and without marks that reorder or hide what stands around them.
//!
//! Source of the list: Unicode TR36, "Bidirectional Text Spoofing", and the CVE-2021-42574 report.

use std::fmt;

/// Wraps a stranger's text for showing. Width and alignment of a format string apply.
pub const fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

/// A stranger's text: each control, line-separating, bidirectional or invisible character shows as `\u{fffd}`.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(is_unsafe) { f.pad(&self.0.replace(is_unsafe, "\u{fffd}")) } else { f.pad(self.0) }
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{ad}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_move_the_cursor_or_the_eye_is_replaced() {
        let nasty = "a\x1b[2J\rb\u{202e}gpj.exe\u{9b}31m\u{200b}\n";
        let text = shown(nasty).to_string();
        assert_eq!(text, "a\u{fffd}[2J\u{fffd}b\u{fffd}gpj.exe\u{fffd}31m\u{fffd}\u{fffd}");
        assert_eq!(format!("{:>6}", shown("été")), "   été");
    }
}
