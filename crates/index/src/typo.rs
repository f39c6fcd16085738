//! One typo: whether two words differ by one letter added, left out, changed, or by two neighbours swapped.
//! Source: the restricted Damerau distance, here only asked whether it is at most one.

/// Whether at most one typo lies between the two.
pub(crate) fn is_within_one(left: &str, right: &str) -> bool {
    let prefix_bytes = shared_prefix_bytes(left, right);
    let (left, right) = (&left[prefix_bytes..], &right[prefix_bytes..]);
    let (left_rest, right_rest) = (without_first(left), without_first(right));
    left == right
        || left_rest == right
        || left == right_rest
        || left_rest == right_rest
        || is_swapped(left, right)
}

/// Bytes of the longest beginning that the two have in common, at a character's border.
fn shared_prefix_bytes(left: &str, right: &str) -> usize {
    left.chars().zip(right.chars()).take_while(|(l, r)| l == r).map(|(l, _)| l.len_utf8()).sum()
}

fn without_first(text: &str) -> &str {
    let mut chars = text.chars();
    chars.next();
    chars.as_str()
}

fn is_swapped(left: &str, right: &str) -> bool {
    let (mut l, mut r) = (left.chars(), right.chars());
    let (left_pair, right_pair) = ((l.next(), l.next()), (r.next(), r.next()));
    left_pair == (right_pair.1, right_pair.0) && l.as_str() == r.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_typo_is_forgiven_and_two_are_not() {
        for other in ["beatles", "beatle", "beatless", "beatlse", "beetles", "eatles", "ebatles", "xbeatles"]
        {
            assert!(is_within_one("beatles", other), "{other}");
        }
        for other in ["beat", "baetlse", "beatlesss", "", "betales1", "selteab"] {
            assert!(!is_within_one("beatles", other), "{other}");
        }
        assert!(is_within_one("été", "éte") && is_within_one("", "x") && !is_within_one("", "xy"));
    }

    proptest! {
        #[test]
        fn agrees_with_the_table_of_the_textbook(left in "[abé]{0,6}", right in "[abé]{0,6}") {
            prop_assert_eq!(is_within_one(&left, &right), distance(&left, &right) <= 1);
        }
    }

    fn distance(left: &str, right: &str) -> usize {
        let (l, r): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
        let mut table = vec![vec![0; r.len() + 1]; l.len() + 1];
        for i in 0..=l.len() {
            for j in 0..=r.len() {
                table[i][j] = match (i, j) {
                    (0, n) | (n, 0) => n,
                    _ => {
                        let changed = table[i - 1][j - 1] + usize::from(l[i - 1] != r[j - 1]);
                        let swapped = i > 1 && j > 1 && l[i - 1] == r[j - 2] && l[i - 2] == r[j - 1];
                        let best = changed.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                        if swapped { best.min(table[i - 2][j - 2] + 1) } else { best }
                    }
                };
            }
        }
        table[l.len()][r.len()]
    }
}
