//! Percent-encoding (RFC 3986, section 2.1): a share path as a part of a URL, and back.

/// Encodes everything but RFC 3986's unreserved characters.
#[must_use]
pub fn encode(text: &str) -> String {
    encode_but(text, |_| false)
}

/// Encodes a path: as [`encode`], but leaves the slashes that part its components.
#[must_use]
pub fn encode_path(path: &str) -> String {
    encode_but(path, |byte| byte == b'/')
}

fn encode_but(text: &str, is_kept: impl Fn(u8) -> bool) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if is_kept(byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// Decodes; `None` where a `%` has no two digits behind it, or what comes out is not UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_encoding_is_refused() {
        for text in ["%", "%4", "%+4", "%zz", "%ff", "%é0"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(encode_path("a b/50%#?\"é"), "a%20b/50%25%23%3F%22%C3%A9");
        assert_eq!(encode("a/b"), "a%2Fb");
    }

    proptest! {
        #[test]
        fn it_comes_back_as_it_was(text in ".{0,40}") {
            prop_assert_eq!(decode(&encode(&text)), Some(text.clone()));
            prop_assert_eq!(decode(&encode_path(&text)), Some(text));
        }
    }
}
