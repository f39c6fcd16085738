//! A hit's name in pieces, those that a search matched apart from the others, as a page or a terminal shows them.
//!
//! Invariant: the pieces are the whole name, whatever an index says.

use super::Hit;

impl Hit {
    /// The pieces of one of its names in their order, each with whether the query's words matched it.
    #[must_use]
    pub fn pieces(&self, name: usize) -> Vec<(&str, bool)> {
        let text = self.names.get(name).map_or("", |name| name.as_str());
        pieces(text, self.highlights.get(name).map_or(&[], Vec::as_slice))
    }
}

fn pieces<'a>(text: &'a str, parts: &[[u32; 2]]) -> Vec<(&'a str, bool)> {
    let (mut pieces, mut rest, mut done_chars) = (Vec::new(), text, 0);
    for (until, is_matched) in parts.iter().flat_map(|[start, end]| [(*start, false), (*end, true)]) {
        let piece_chars = until.saturating_sub(done_chars);
        let bytes = rest.char_indices().nth(piece_chars as usize).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(bytes);
        pieces.push((piece, is_matched));
        (rest, done_chars) = (after, done_chars.max(until));
    }
    pieces.push((rest, false));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_comes_in_pieces() {
        let name = "été 東京.txt";
        assert_eq!(
            pieces(name, &[[0, 3], [5, 6]]),
            [("été", true), (" 東", false), ("京", true), (".txt", false)]
        );
        assert_eq!(pieces(name, &[]), [(name, false)]);
        assert_eq!(pieces("", &[[0, 1]]), []);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_panics(text in "\\PC{0,12}", parts in prop::collection::vec(any::<[u8; 2]>(), 0..4)) {
            let parts: Vec<[u32; 2]> = parts.into_iter().map(|part| part.map(|at| u32::from(at % 16))).collect();
            let whole: String = pieces(&text, &parts).into_iter().map(|(piece, _)| piece).collect();
            prop_assert_eq!(whole, text);
        }
    }
}
