//! Sizes as people write and read them: `10M` in, `9.5 MiB` out. Letters are powers of 1,024.

/// Why a text is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a size such as `500`, `10M` or `1.5G`")]
pub struct SizeError;

/// Reads `500`, `10k`, `1.5G`, `10MB`, `10 MiB` as bytes.
///
/// # Errors
/// [`SizeError`] when it is no such size or above 2^63.
pub fn parse_bytes(text: &str) -> Result<u64, SizeError> {
    let text = text.trim();
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(SizeError),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or(SizeError);
    }
    let number: f64 = number.parse().map_err(|_| SizeError)?;
    let bytes = number * f64::from(1_u32 << (shift / 2)) * f64::from(1_u32 << (shift - shift / 2));
    // 2^53: up to here a float counts bytes exactly.
    if bytes.is_finite() && (0.0..9_007_199_254_740_992.0).contains(&bytes) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked just above")]
        Ok(bytes as u64)
    } else {
        Err(SizeError)
    }
}

/// Writes bytes for people: three digits or so and a unit.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 9.95 { format!("{value:.1} {}", UNITS[unit]) } else { format!("{value:.0} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("0", 0),
            ("500", 500),
            ("10k", 10 << 10),
            ("10 MiB", 10 << 20),
            ("1.5G", 3 << 29),
            ("2TB", 2 << 40),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "ten", "-1", "1e9", "10X", "1.2.3", "9999999999999T", "NaN"] {
            assert_eq!(parse_bytes(text), Err(SizeError), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_short() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (10 << 20, "10 MiB"),
            ((1 << 30) - 1, "1.0 GiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(format_bytes(bytes), text);
        }
        assert_eq!(format_bytes(u64::MAX), "16 EiB");
    }
}
