//! Which JSON text the types `json` and `jsonb` of PostgreSQL take.
//!
//! `json` keeps the text, and reads it by a function that calls itself, on a stack that is bounded. `jsonb` keeps the values: text is
//! its `text`, which has neither U+0000 nor half a surrogate pair, and numbers are its `numeric`
//! (<https://www.postgresql.org/docs/current/datatype-json.html>, <https://www.postgresql.org/docs/current/datatype-numeric.html>).

use memchr::memchr2;

/// What holds for nested values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nesting {
    pub(super) depth: usize,
    pub(super) is_jsonb: bool,
    /// Whether it is kept as it is.
    pub(super) is_text: bool,
}

impl Default for Nesting {
    fn default() -> Self {
        Self { depth: usize::MAX, is_jsonb: false, is_text: false }
    }
}

/// The bytes of a string in `jsonb`.
const LONGEST: usize = 0x0FFF_FFFF;
/// The digits of a `numeric` before the point and behind it.
const WHOLE: i64 = 131_072;
const FRACTION: i64 = 16_383;

/// Why a JSON text does not fit; `None` if it does.
pub(super) fn misfit(raw: &str, nesting: Nesting) -> Option<&'static str> {
    if nesting.depth == usize::MAX && !nesting.is_jsonb {
        return None;
    }
    if nesting.is_jsonb && raw.len() > LONGEST {
        return Some("it is longer than 256 MiB");
    }
    let bytes = raw.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let (end, text) = string(bytes, at + 1);
                match text {
                    Text::Nul if nesting.is_jsonb => return Some("it has a character U+0000"),
                    Text::Half if nesting.is_jsonb => {
                        return Some("it is no Unicode: a surrogate stands alone");
                    }
                    _ => at = end,
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > nesting.depth {
                    return Some("it has arrays or objects too many levels deep");
                }
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                if nesting.is_jsonb && !is_numeric(&raw[at..at + length]) {
                    return Some("a number in it has more digits than a `numeric`");
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

enum Text {
    Plain,
    Nul,
    Half,
}

/// Where a string that begins here ends, behind its quote, and what is in it.
fn string(bytes: &[u8], start: usize) -> (usize, Text) {
    let (mut at, mut text) = (start, Text::Plain);
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if bytes[at] == b'"' {
            return (at + 1, text);
        }
        at += match unit(bytes, at) {
            None => 2,
            Some(0xD800..=0xDBFF) if matches!(unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) => 12,
            Some(code) => {
                match code {
                    0 => text = Text::Nul,
                    0xD800..=0xDFFF => text = Text::Half,
                    _ => {}
                }
                6
            }
        };
    }
    (bytes.len(), text)
}

/// The UTF-16 unit of an escape `\uXXXX` that stands here.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether a `numeric` takes a number with these digits, zeros at its end included.
fn is_numeric(number: &str) -> bool {
    let number = number.strip_prefix('-').unwrap_or(number);
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // A number that has more digits than can be counted is beyond it in any case.
    let Ok(exponent) = exponent.parse::<i32>().map(i64::from) else { return false };
    let length = |digits: &str| i64::try_from(digits.len()).unwrap_or(i64::MAX / 2);
    let whole = if whole == "0" { 0 } else { length(whole) };
    whole + exponent <= WHOLE && length(fraction) - exponent <= FRACTION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_does_not_take_does_not_fit() {
        let jsonb = Nesting { depth: 3, is_jsonb: true, is_text: false };
        for (raw, fits) in [
            (r#"{"a": ["\ud83d\ude00", "\\u0000", "\\\\ud800", 1.5e3, -0, true, null]}"#, true),
            (r#"["\u0000"]"#, false),
            (r#"{"\u0000": 1}"#, false),
            (r#"["\\\u0000"]"#, false),
            (r#"["\ud800"]"#, false),
            (r#"["\udc00\ud800"]"#, false),
            (r#"["\ud800\ud83d\ude00"]"#, false),
            ("[[[1]]]", true),
            ("[[[[1]]]]", false),
            (r#"["[[[[", {"a": "[[[["}]"#, true),
            ("1e131071", true),
            ("1e131072", false),
            ("1e-16383", true),
            ("1e-16384", false),
            ("-0.5e-16382", true),
            ("-0.5e-16383", false),
            ("1e999999999999", false),
            ("0e-99999", false),
        ] {
            assert_eq!(misfit(raw, jsonb).is_none(), fits, "{raw}");
        }
        // `json` is text, but for its depth.
        let json = Nesting { depth: 3, is_jsonb: false, is_text: true };
        assert!(misfit(r#"["\u0000\ud800", 1e999999]"#, json).is_none());
        assert!(misfit("[[[[1]]]]", json).is_some());
        assert!(misfit("[[[[1]]]]", Nesting::default()).is_none());
    }
}
