//! Values that go over the wire as a text: read and written without another copy of it.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::de::{Deserializer, Error, Visitor};

/// Reads what is parsed from a text.
pub(crate) fn read<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_str(Text(PhantomData))
}

struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// 32 bytes as 64 lower-case hex digits.
pub(crate) struct Hex([u8; 64]);

impl Hex {
    pub(crate) fn of(bytes: &[u8; 32]) -> Self {
        let mut digits = [0; 64];
        HEXLOWER.encode_mut(bytes, &mut digits);
        Self(digits)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The 32 bytes that 64 hex digits in either case stand for.
pub(crate) fn bytes(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentHash, PeerName, SharePath};

    #[test]
    fn hex_comes_back_and_nothing_else_is_read() {
        let all: [u8; 32] = *ContentHash::of(b"x").as_bytes();
        let text = Hex::of(&all);
        assert_eq!((text.as_str().len(), bytes(text.as_str())), (64, Some(all)));
        assert_eq!(bytes(&text.as_str().to_uppercase()), Some(all));
        for other in ["", "é", &"0".repeat(62), &"0".repeat(66), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(bytes(other), None, "{other}");
        }
    }

    #[test]
    fn an_escaped_string_is_read_as_well() {
        let path: SharePath = serde_json::from_str(r#""s\u002fe\u0301""#).unwrap();
        assert_eq!(path.as_str(), "s/é");
        let name: PeerName = serde_json::from_reader(&br#""anna""#[..]).unwrap();
        assert_eq!(name.as_str(), "anna");
        assert!(serde_json::from_str::<PeerName>("7").is_err());
    }
}
