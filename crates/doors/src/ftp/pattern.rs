//! Patterns of names, as `mget *.txt` asks for them: `*` is any characters, `?` is one.
//!
//! Pure. Invariant: a name is compared in time proportional to its length times the pattern's, whatever the pattern is.

/// Characters of a pattern: as many as a name may have.
const CHARS_MAX: usize = 255;

/// A pattern.
#[derive(Debug)]
pub(super) struct Pattern(Vec<char>);

impl Pattern {
    /// Reads one; `None` where the text has nothing of a pattern, or is longer than any name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_one = text.contains(['*', '?']) && text.len() <= 4 * CHARS_MAX;
        let mut chars: Vec<char> = text.chars().collect();
        chars.dedup_by(|next, before| (*next, *before) == ('*', '*'));
        (is_one && chars.len() <= CHARS_MAX).then_some(Self(chars))
    }

    /// Whether a name fits. Only the last `*` is ever tried again: what fits behind an earlier one fits behind it, too.
    pub(super) fn fits(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut in_name, mut star) = (0, 0, None);
        while in_name < name.len() {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at + 1, in_name));
                    at += 1;
                }
                Some(char) if *char == '?' || *char == name[in_name] => {
                    at += 1;
                    in_name += 1;
                }
                _ => {
                    let Some((behind, from)) = star else { return false };
                    star = Some((behind, from + 1));
                    (at, in_name) = (behind, from + 1);
                }
            }
        }
        self.0[at..].iter().all(|char| *char == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_fit_as_a_shell_would_say() {
        for (pattern, name, fits) in [
            ("*.txt", "a.txt", true),
            ("*.txt", ".txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "ba", false),
            ("?", "é", true),
            ("[x]*", "[x]y", true),
            ("***", "", true),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().fits(name), fits, "{pattern} {name}");
        }
        assert!(Pattern::parse("plain").is_none() && Pattern::parse(&"?".repeat(256)).is_none());
        assert!(Pattern::parse(&"*".repeat(1_000)).is_some());
    }

    #[test]
    fn a_pattern_made_to_be_slow_is_not() {
        let pattern = Pattern::parse(&format!("{}b", "*a".repeat(120))).unwrap();
        let name = "a".repeat(255);
        for _ in 0..1_000 {
            assert!(!pattern.fits(&name));
        }
    }

    proptest! {
        #[test]
        fn it_is_what_trying_everything_says(pattern in "[ab*?]{0,6}[*?]", name in "[ab]{0,6}") {
            fn tried(pattern: &[u8], name: &[u8]) -> bool {
                match (pattern.split_first(), name.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) if tried(rest, name) => true,
                    (Some((b'*', _)), Some((_, later))) => tried(pattern, later),
                    (Some((b'?', rest)), Some((_, later))) => tried(rest, later),
                    (Some((char, rest)), Some((first, later))) => char == first && tried(rest, later),
                    _ => false,
                }
            }
            let expected = tried(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern::parse(&pattern).unwrap().fits(&name), expected);
        }
    }
}
