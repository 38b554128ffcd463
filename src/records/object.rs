//! The fields of an object, and the items of an array, found in the text of a record.
//!
//! A record is valid JSON, so a quote, a bracket or a comma outside a string is what it seems to be. Of what is none, what
//! comes out is of no use, but nothing fails.

use std::borrow::Cow;

use memchr::memchr2;

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// The key, quotes and all.
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// From the key to the end of the value, as it stands.
    pub(crate) text: &'a [u8],
}

impl<'a> Field<'a> {
    /// The name; `None` if it is no Unicode.
    pub(crate) fn name(&self) -> Option<Cow<'a, str>> {
        text_of(self.key)
    }

    /// Whether it has this name.
    pub(crate) fn is(&self, name: &str) -> bool {
        let inside = self.key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")).unwrap_or_default();
        match memchr::memchr(b'\\', inside) {
            None => inside == name.as_bytes() && self.key.len() >= 2,
            Some(_) => self.name().is_some_and(|own| own == name),
        }
    }
}

/// What a string says; `None` if it is none, or no Unicode.
pub(crate) fn text_of(string: &[u8]) -> Option<Cow<'_, str>> {
    let inside = string.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inside).is_none() {
        return std::str::from_utf8(inside).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(string).ok().map(Cow::Owned)
}

/// The fields of an object, in their order; none of what is no object.
pub(crate) fn fields(text: &[u8]) -> Fields<'_> {
    let at = if text.first() == Some(&b'{') { 1 } else { text.len() };
    Fields(Parts { text, at })
}

/// The items of an array, in their order; none of what is no array.
pub(crate) fn items(text: &[u8]) -> Items<'_> {
    let at = if text.first() == Some(&b'[') { 1 } else { text.len() };
    Items(Parts { text, at })
}

#[derive(Debug)]
pub(crate) struct Fields<'a>(Parts<'a>);

#[derive(Debug)]
pub(crate) struct Items<'a>(Parts<'a>);

#[derive(Debug)]
struct Parts<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let parts = &mut self.0;
        let start = parts.start(b'}')?;
        let key = parts.value()?;
        parts.skip(b':');
        let value = parts.value()?;
        let text = &parts.text[start..parts.at];
        parts.skip(b',');
        Some(Field { key, value, text })
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.start(b']')?;
        let value = self.0.value()?;
        self.0.skip(b',');
        Some(value)
    }
}

impl<'a> Parts<'a> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    /// Where the next part begins, unless this is the end.
    fn start(&mut self, end: u8) -> Option<usize> {
        self.blanks();
        let byte = self.text.get(self.at)?;
        (*byte != end).then_some(self.at)
    }

    fn skip(&mut self, mark: u8) {
        self.blanks();
        if self.text.get(self.at) == Some(&mark) {
            self.at += 1;
        }
        self.blanks();
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        self.at = end_of(self.text, start);
        (self.at > start).then(|| &self.text[start..self.at])
    }
}

/// Where the value ends that begins here.
fn end_of(text: &[u8], start: usize) -> usize {
    let mut at = start;
    let mut depth = 0_usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = string_end(text, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b'}' | b']' | b',' | b':' if depth == 0 => break,
            byte if depth == 0 && byte.is_ascii_whitespace() => break,
            _ => {
                at += 1;
                if depth == 0 {
                    continue;
                }
            }
        }
        if depth == 0 && matches!(text[at - 1], b'"' | b'}' | b']') {
            break;
        }
    }
    at.min(text.len())
}

fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// The value at a path of keys, from the record down. Of a key that comes twice the last one counts, as nearly everywhere.
pub(crate) fn value_at<'a>(record: &'a [u8], path: &[String]) -> Option<&'a [u8]> {
    path.iter().try_fold(record, |value, name| {
        fields(value).filter(|field| field.is(name)).last().map(|field| field.value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<(String, String)> {
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields(text.as_bytes()).map(|field| (text_of(field.key), text_of(field.value))).collect()
    }

    #[test]
    fn fields_are_found_as_they_stand() {
        let text =
            "{ \"a\" :1.10,\"b\\\"\": \"x,}\\\\\" , \"c\":{\"a\":[1,{\"b\":\"]\"}]},\"d\":[],\"e\":null\n}";
        let expected = [
            ("\"a\"", "1.10"),
            ("\"b\\\"\"", "\"x,}\\\\\""),
            ("\"c\"", "{\"a\":[1,{\"b\":\"]\"}]}"),
            ("\"d\"", "[]"),
            ("\"e\"", "null"),
        ];
        assert_eq!(shown(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert!(
            shown("{}").is_empty()
                && shown("{ }").is_empty()
                && shown("[1]").is_empty()
                && shown("7").is_empty()
        );
        let listed: Vec<&[u8]> = items(b"[ 1,\"a,b\" ,[2],{} ]").collect();
        assert_eq!(listed, [&b"1"[..], b"\"a,b\"", b"[2]", b"{}"]);
        assert!(items(b"[]").next().is_none() && items(b"{}").next().is_none());
    }

    #[test]
    fn a_path_leads_to_its_value() {
        let at = |path: &[&str]| {
            let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
            value_at(br#"{"x":{"b":1},"a":8,"a":{"b":{"c":9,"\u0063":[7]}}}"#, &path)
        };
        assert_eq!(at(&["a", "b", "c"]), Some(&b"[7]"[..]));
        assert_eq!(at(&["a", "c"]), None);
        assert_eq!(at(&["x", "b", "c"]), None);
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        let text = br#"{"a":[1,{"b":"c\"\\d"}],"e":tr"f}"#;
        for from in 0..text.len() {
            for to in from..=text.len() {
                let some = &text[from..to];
                assert!(fields(some).count() <= some.len() && items(some).count() <= some.len());
            }
        }
    }
}
