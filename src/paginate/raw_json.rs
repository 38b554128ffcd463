//! A value of a page, as its text.

/// A JSON value as it stands in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawJson<'a>(pub(crate) &'a str);

impl<'a> RawJson<'a> {
    /// The text of the value, quotes and all.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// `true` or `false`, also as a string, in any case.
    pub fn as_bool(self) -> Option<bool> {
        match self.0.trim_matches('"') {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// A whole number, also as a string.
    pub fn as_u64(self) -> Option<u64> {
        self.0.trim_matches('"').parse().ok()
    }

    /// A string without its quotes, or the text of a number, digit by digit.
    pub fn as_token(self) -> Option<String> {
        match self.0.as_bytes().first()? {
            b'"' => serde_json::from_str(self.0).ok(),
            b'-' | b'0'..=b'9' => Some(self.0.to_owned()),
            _ => None,
        }
    }

    /// What kind of value it is, for an error message.
    pub fn kind(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'"') => "a string",
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// Whether each whole number in it has a type here: what has none would lose its last digits.
    pub(crate) fn keeps_digits(self) -> bool {
        let text = self.0;
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'"' => {
                    at += 1;
                    while at < bytes.len() && bytes[at] != b'"' {
                        at += if bytes[at] == b'\\' { 2 } else { 1 };
                    }
                    at += 1;
                }
                b'-' | b'0'..=b'9' => {
                    let is_part = |byte: &&u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                    let length = bytes[at..].iter().take_while(is_part).count();
                    let number = &text[at..at + length];
                    let is_whole = !number.contains(['.', 'e', 'E']);
                    if is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                        return false;
                    }
                    at += length;
                }
                _ => at += 1,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_type_is_seen() {
        for text in
            ["[1,-2,18446744073709551615]", "{\"a\":1.5e300}", "\"99999999999999999999\"", "[\"\\\"\",9]"]
        {
            assert!(RawJson(text).keeps_digits(), "{text}");
        }
        for text in
            ["[99999999999999999999]", "{\"a\":-99999999999999999999}", "[\"\\\\\",99999999999999999999]"]
        {
            assert!(!RawJson(text).keeps_digits(), "{text}");
        }
    }
}
