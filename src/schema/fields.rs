//! The fields of a record, found without parsing their values.

use std::borrow::Cow;

use memchr::memchr2;

/// The keys and values of an object's own level, as they stand in its text. The record is valid JSON; of one that is
/// not, some fields are not found.
pub(super) struct Fields<'a> {
    text: &'a str,
    at: usize,
}

/// A key, without its quotes but with its escapes, and the text of its value.
pub(super) type Field<'a> = (&'a str, &'a str);

impl<'a> Fields<'a> {
    /// The fields of an object; `None` if the record is none.
    pub(super) fn of(record: &'a str) -> Option<Self> {
        record.starts_with('{').then_some(Self { text: record, at: 1 })
    }

    /// Steps over blanks, and gives the byte behind them.
    fn next_token(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r' | b',' | b':')) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Steps over a string that begins here.
    fn string(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            let rest = bytes.get(self.at..)?;
            let found = memchr2(b'"', b'\\', rest)?;
            self.at += found + 1;
            if rest.get(found) == Some(&b'"') {
                return Some(());
            }
            self.at += 1;
        }
    }

    /// Steps over a value that begins here.
    fn value(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        match bytes.get(self.at)? {
            b'"' => self.string(),
            b'{' | b'[' => {
                let mut depth = 0_usize;
                loop {
                    match bytes.get(self.at)? {
                        b'"' => {
                            self.string()?;
                            continue;
                        }
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    self.at += 1;
                    if depth == 0 {
                        return Some(());
                    }
                }
            }
            _ => {
                let rest = bytes.get(self.at..)?;
                let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
                self.at += rest.iter().position(is_end)?;
                Some(())
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.next_token()? != b'"' {
            return None;
        }
        let key = self.at + 1;
        self.string()?;
        let key = self.text.get(key..self.at - 1)?;
        self.next_token()?;
        let value = self.at;
        self.value()?;
        Some((key, self.text.get(value..self.at)?))
    }
}

/// A key as text. One that is no Unicode has U+FFFD in the place of what is none, and its digits, for another such key is
/// another field.
pub(super) fn unescaped(key: &str) -> Cow<'_, str> {
    if !key.contains('\\') {
        return Cow::Borrowed(key);
    }
    let quoted = format!("\"{key}\"");
    Cow::Owned(serde_json::from_str(&quoted).unwrap_or_else(|_| lossy(key)))
}

/// The text of a key with lone surrogates.
fn lossy(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    let mut rest = key;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        // The longest escape is a pair of surrogates.
        let lengths = if rest[at + 1..].starts_with('u') { &[12, 6][..] } else { &[2] };
        let escape = |length: &usize| {
            let escape = rest.get(at..at + length)?;
            let decoded = serde_json::from_str::<String>(&format!("\"{escape}\"")).ok()?;
            // Two escapes that are no pair are taken one by one.
            (*length < 12 || decoded.chars().count() == 1).then_some((decoded, *length))
        };
        let step = lengths.iter().find_map(escape).unwrap_or_else(|| {
            let length = lengths[lengths.len() - 1];
            let digits = rest.get(at + 2..at + length).unwrap_or_default();
            (format!("\u{fffd}{}", digits.to_ascii_lowercase()), length)
        });
        text.push_str(&step.0);
        rest = rest.get(at + step.1..).unwrap_or_default();
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_the_objects_own_level() {
        let record = "{ \"a\" : 1.50 ,\"b\\\"c\":[1,{\"x\":\"]}\\\"\"}],\"d\":\"\\\\\",\n\"\":{},\"e\":null}";
        let fields: Vec<_> = Fields::of(record).unwrap().collect();
        let expected = [
            ("a", "1.50"),
            ("b\\\"c", "[1,{\"x\":\"]}\\\"\"}]"),
            ("d", "\"\\\\\""),
            ("", "{}"),
            ("e", "null"),
        ];
        assert_eq!(fields, expected);
        assert_eq!(Fields::of("{ }").unwrap().count(), 0);
        assert!(Fields::of("[1]").is_none());
    }

    #[test]
    fn a_key_is_read_whatever_is_in_it() {
        assert_eq!(unescaped("plain"), "plain");
        assert_eq!(unescaped("caf\\u00e9\\n"), "café\n");
        assert_eq!(unescaped("\\ud83d\\ude00"), "😀");
        assert_eq!(unescaped("a\\ud800b\\n\\ud83d\\ude00"), "a\u{fffd}d800b\n😀");
        assert_eq!(unescaped("\\udc00\\ud800"), "\u{fffd}dc00\u{fffd}d800");
    }
}
