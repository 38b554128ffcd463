//! Fields added to a record's text, without parsing it.
//!
//! | record | with `symbol` |
//! |---|---|
//! | `{"id":1}` | `{"id":1,"symbol":"AAPL"}` |
//! | `{}` | `{"symbol":"AAPL"}` |
//! | not an object: `7`, `"x"`, `[1]`, `null` | `{"value":7,"symbol":"AAPL"}` |
//! | has a field `symbol` of its own | that field is renamed `symbol_original` where it stands, its value stays |
//!
//! Everything else stays byte for byte.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use memchr::{memchr, memmem};
use serde_json::Value;

use super::walk::Span;
use crate::error::{Error, ErrorKind, Result};

/// Fields to add, rendered once for many records.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    names: Vec<String>,
    /// `"symbol":"AAPL"}`
    suffix: Vec<u8>,
}

impl Fields {
    /// Of a name that comes twice, the last value counts.
    pub(crate) fn new(fields: &[(String, Value)]) -> Self {
        let last: HashMap<&str, usize> =
            fields.iter().enumerate().map(|(index, (name, _))| (name.as_str(), index)).collect();
        let mut names = Vec::with_capacity(last.len());
        let mut parts = Vec::with_capacity(last.len());
        for (index, (name, value)) in fields.iter().enumerate() {
            if last.get(name.as_str()) == Some(&index) {
                names.push(name.clone());
                parts.push(format!("{}:{value}", quoted(name)));
            }
        }
        Self { names, suffix: format!("{}}}", parts.join(",")).into_bytes() }
    }

    /// One field, with its value as JSON text.
    pub(crate) fn one(name: &str, value: &str) -> Self {
        Self { names: vec![name.to_owned()], suffix: format!("{}:{value}}}", quoted(name)).into_bytes() }
    }

    /// Appends a record with the fields. Without any, it stays as it is.
    pub(crate) fn append(&self, record: &[u8], out: &mut Vec<u8>) {
        if self.names.is_empty() {
            return out.extend_from_slice(record);
        }
        let is_ours = |name: &str| self.names.iter().any(|ours| ours == name);
        out.push(b'{');
        let Some(object) = inside(record) else {
            out.extend_from_slice(quoted(&free("value", is_ours)).as_bytes());
            out.push(b':');
            out.extend_from_slice(record);
            out.push(b',');
            return out.extend_from_slice(&self.suffix);
        };
        let renamed = if self.may_be_in(record) { rename(record, is_ours) } else { None };
        let object = renamed.as_deref().unwrap_or(object).trim_ascii_end();
        out.extend_from_slice(object);
        if !object.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(&self.suffix);
    }

    /// Whether a record may have a field of such a name: in plain, or behind an escape.
    fn may_be_in(&self, record: &[u8]) -> bool {
        memchr(b'\\', record).is_some()
            || self.names.iter().any(|name| memmem::find(record, quoted(name).as_bytes()).is_some())
    }
}

/// Records with fields, one after the other in a text of their own, which is never larger than its cap.
#[derive(Debug)]
pub(crate) struct Spliced {
    text: Vec<u8>,
    spans: Vec<Span>,
    cap: usize,
}

impl Spliced {
    pub(crate) fn new(cap: usize) -> Self {
        Self { text: Vec::new(), spans: Vec::new(), cap: cap.min(u32::MAX as usize) }
    }

    pub(crate) fn push(&mut self, fields: &Fields, record: &[u8]) -> Result<()> {
        let start = self.text.len();
        // Known before anything is copied, but for the names that change.
        if start + record.len() + fields.suffix.len() <= self.cap {
            fields.append(record, &mut self.text);
        }
        if self.text.len() == start || self.text.len() > self.cap {
            let what =
                format!("with the fields that are added, the records come to more than {} bytes", self.cap);
            return Err(Error::new(ErrorKind::TooLarge, what)
                .advice("ask for smaller pages, or raise `max_page_bytes`"));
        }
        self.spans.push(Span { start: start as u32, end: self.text.len() as u32 });
        Ok(())
    }

    pub(crate) fn done(self) -> (Vec<Span>, Option<Bytes>) {
        (self.spans, Some(self.text.into()))
    }
}

/// What stands between the braces of an object; `None` if it is none.
pub(crate) fn inside(record: &[u8]) -> Option<&[u8]> {
    record.strip_prefix(b"{")?.strip_suffix(b"}")
}

/// The inside of an object, with its fields of our names renamed where they stand; `None` if it has none.
pub(crate) fn rename(record: &[u8], is_ours: impl Fn(&str) -> bool) -> Option<Vec<u8>> {
    let keys = top_level_keys(record);
    let names: Vec<Option<String>> =
        keys.iter().map(|span| serde_json::from_slice(&record[span.clone()]).ok()).collect();
    let ours = |name: &Option<String>| name.as_deref().is_some_and(&is_ours);
    if !names.iter().any(ours) {
        return None;
    }
    let taken: HashSet<&str> = names.iter().flatten().map(String::as_str).collect();
    let mut out = Vec::with_capacity(record.len() + 32);
    let mut done = 1;
    for (span, name) in keys.iter().zip(&names).filter(|(_, name)| ours(name)) {
        let name = free(name.as_deref().unwrap_or_default(), |name| is_ours(name) || taken.contains(name));
        out.extend_from_slice(&record[done..span.start]);
        out.extend_from_slice(quoted(&name).as_bytes());
        done = span.end;
    }
    out.extend_from_slice(&record[done..record.len() - 1]);
    Some(out)
}

/// The first of `name`, `name_original`, `name_original_original` … that is not taken.
pub(crate) fn free(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let mut name = name.to_owned();
    while is_taken(&name) {
        name.push_str("_original");
    }
    name
}

pub(crate) fn quoted(name: &str) -> String {
    // A string always has a JSON form.
    serde_json::to_string(name).unwrap_or_default()
}

/// Where the keys of an object stand, quotes and all. The object is valid JSON, so a quote, a bracket or a
/// comma outside a string is what it seems to be.
fn top_level_keys(object: &[u8]) -> Vec<Range<usize>> {
    let mut keys = Vec::new();
    let (mut depth, mut expects_key, mut at) = (0_usize, false, 0);
    while at < object.len() {
        match object[at] {
            b'"' => {
                let start = at;
                at += 1;
                while at < object.len() && object[at] != b'"' {
                    at += if object[at] == b'\\' { 2 } else { 1 };
                }
                if depth == 1 && expects_key {
                    keys.push(start..at + 1);
                    expects_key = false;
                }
            }
            b'{' | b'[' => {
                depth += 1;
                expects_key = depth == 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' if depth == 1 => expects_key = true,
            _ => {}
        }
        at += 1;
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(fields: &[(&str, Value)], record: &str) -> String {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut out = Vec::new();
        Fields::new(&fields).append(record.as_bytes(), &mut out);
        serde_json::from_slice::<&serde_json::value::RawValue>(&out).expect("valid JSON");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_gets_the_fields_and_stays_what_it_is() {
        let symbol = [("symbol", json!("A\"B"))];
        for (record, expected) in [
            (r#"{"n":1.10}"#, r#"{"n":1.10,"symbol":"A\"B"}"#),
            ("{ }", r#"{"symbol":"A\"B"}"#),
            ("[1, 2]", r#"{"value":[1, 2],"symbol":"A\"B"}"#),
            ("null", r#"{"value":null,"symbol":"A\"B"}"#),
            (r#"{"symbol":"own", "a":1 }"#, r#"{"symbol_original":"own", "a":1,"symbol":"A\"B"}"#),
            (r#"{"s\u0079mbol":1}"#, r#"{"symbol_original":1,"symbol":"A\"B"}"#),
            (r#"{"a":{"symbol":1},"b":"symbol"}"#, r#"{"a":{"symbol":1},"b":"symbol","symbol":"A\"B"}"#),
        ] {
            assert_eq!(with(&symbol, record), expected);
        }
        assert_eq!(with(&[], "7"), "7");
    }

    #[test]
    fn no_name_is_there_twice() {
        let both = [("a", json!(1)), ("a_original", json!({"x": [2]}))];
        assert_eq!(
            with(&both, r#"{"a":0}"#),
            r#"{"a_original_original":0,"a":1,"a_original":{"x":[2]}}"#,
            "an own field does not get a name that is added"
        );
        assert_eq!(with(&[("value", json!(1))], "7"), r#"{"value_original":7,"value":1}"#);
        assert_eq!(with(&[("a", json!(1)), ("a", json!(2))], "{}"), r#"{"a":2}"#);
        assert_eq!(with(&[("q\"", json!(1))], r#"{"q\"":0}"#), r#"{"q\"_original":0,"q\"":1}"#);
    }
}
