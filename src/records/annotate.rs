//! `__source` and `__ingested_at`, spliced into a record without parsing it; one record, one line.
//!
//! The rules:
//!
//! | record | line |
//! |---|---|
//! | `{"id":1}` | `{"id":1,"__source":"s","__ingested_at":"2026-05-17T10:00:00Z"}` |
//! | `{}` | `{"__source":"s","__ingested_at":"…"}` |
//! | not an object: `7`, `"x"`, `[1]`, `null` | `{"value":7,"__source":"s","__ingested_at":"…"}` |
//! | pretty-printed | the line breaks, and the blanks that indent the next line, are dropped |
//! | has a field `__source` (or `__ingested_at`) of its own | that field is renamed `__source_original`, its value stays |
//!
//! Everything else stays byte for byte: digits of numbers, order of keys, escapes, duplicate keys.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use futures::Stream;
use futures::stream::FusedStream;
use memchr::memchr2;
use memchr::memmem::Finder;
use pin_project::pin_project;

use super::{Batch, Record};
use crate::error::Result;
use crate::page::splice::{inside, rename};

const FIELDS: [&str; 2] = ["__source", "__ingested_at"];
// Made once: on a small page, making them would cost more than the search.
static UNDERSCORES: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"__"));
static ESCAPE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\\u00"));

/// Turns records into annotated lines.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use headwater::{Annotator, Record};
///
/// let record = Record::new(r#"{"id": 1}"#, UNIX_EPOCH + Duration::from_secs(1_779_012_000))?;
/// let mut line = Vec::new();
/// Annotator::new("github_issues").append(&record, &mut line);
/// assert_eq!(
///     String::from_utf8(line).unwrap(),
///     "{\"id\": 1,\"__source\":\"github_issues\",\"__ingested_at\":\"2026-05-17T10:00:00Z\"}\n"
/// );
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Annotator {
    source: Arc<str>,
    /// `,"__source":"…","__ingested_at":"…"}` and a line break, for this second.
    suffix: Vec<u8>,
    second: Option<i64>,
}

/// What is known of a page, so that its records need not be looked at.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    breaks: bool,
    own_fields: bool,
}

impl Look {
    fn is_plain(self) -> bool {
        !self.breaks && !self.own_fields
    }

    fn at(text: &[u8]) -> Self {
        Self { breaks: memchr2(b'\n', b'\r', text).is_some(), own_fields: may_have_own_fields(text) }
    }
}

impl Annotator {
    /// Takes the name of the source.
    pub fn new(source: impl Into<Arc<str>>) -> Self {
        Self { source: source.into(), suffix: Vec::new(), second: None }
    }

    /// Appends one record as one line.
    pub fn append(&mut self, record: &Record, out: &mut Vec<u8>) {
        self.render(record.fetched_at());
        self.line(record.as_bytes(), Look::at(record.as_bytes()), out);
    }

    /// Appends all records of a page as lines. The page is looked at as a whole, so that an ordinary record
    /// costs one copy.
    pub fn append_batch(&mut self, batch: &Batch, out: &mut Vec<u8>) {
        self.render(batch.fetched_at());
        let look = if batch.is_plain() { Look::default() } else { Look::at(batch.text()) };
        out.reserve(batch.text().len() + batch.len() * self.suffix.len());
        for record in batch.slices() {
            self.push(record, look, out);
        }
    }

    /// Appends some of the records of a page.
    pub(crate) fn append_some(&mut self, batch: &Batch, records: Range<usize>, out: &mut Vec<u8>) {
        if records.len() == batch.len() {
            return self.append_batch(batch, out);
        }
        self.render(batch.fetched_at());
        for record in batch.slices().skip(records.start).take(records.len()) {
            let look = if batch.is_plain() { Look::default() } else { Look::at(record) };
            self.push(record, look, out);
        }
    }

    #[inline]
    fn push(&self, record: &[u8], look: Look, out: &mut Vec<u8>) {
        match record {
            // Nearly all.
            [b'{', .., last, b'}'] if look.is_plain() && *last > b' ' => {
                out.extend_from_slice(&record[..record.len() - 1]);
                out.extend_from_slice(&self.suffix);
            }
            _ => self.line(record, look, out),
        }
    }

    /// Renders the suffix, unless the second is still the same.
    fn render(&mut self, at: SystemTime) {
        let at: DateTime<Utc> = at.into();
        if self.second == Some(at.timestamp()) {
            return;
        }
        self.second = Some(at.timestamp());
        // A string always has a JSON form.
        let source = serde_json::to_string(&*self.source).unwrap_or_default();
        let at = at.format("%Y-%m-%dT%H:%M:%SZ");
        self.suffix = format!(",\"{}\":{source},\"{}\":\"{at}\"}}\n", FIELDS[0], FIELDS[1]).into_bytes();
    }

    fn line(&self, record: &[u8], look: Look, out: &mut Vec<u8>) {
        let Some(object) = inside(record) else {
            out.extend_from_slice(b"{\"value\":");
            one_line(record, look.breaks, out);
            out.extend_from_slice(&self.suffix);
            return;
        };
        // What one record of a page has, the others need not have.
        let own_fields = look.own_fields && may_have_own_fields(record);
        let renamed = if own_fields { rename(record, |name| FIELDS.contains(&name)) } else { None };
        let object = renamed.as_deref().unwrap_or(object).trim_ascii_end();
        out.push(b'{');
        one_line(object, look.breaks, out);
        let comma = usize::from(object.is_empty());
        out.extend_from_slice(&self.suffix[comma..]);
    }
}

/// Copies JSON text without its line breaks. Inside a string they are always escaped, so each one that is
/// seen stands between two tokens, and so do the blanks behind it.
fn one_line(text: &[u8], breaks: bool, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = breaks.then(|| memchr2(b'\n', b'\r', rest)).flatten() {
        out.extend_from_slice(&rest[..at]);
        rest = rest[at..].trim_ascii_start();
    }
    out.extend_from_slice(rest);
}

/// Whether a field of our names may be in the text: in plain, or with an escape in the key (`\u005f` is an
/// underscore). All characters of the names lie between `\u005f` and `\u0075`.
fn may_have_own_fields(text: &[u8]) -> bool {
    let quoted = |at: usize| FIELDS.iter().any(|name| text[at + 1..].starts_with(name.as_bytes()));
    UNDERSCORES.find_iter(text).any(quoted)
        || ESCAPE.find_iter(text).any(|at| matches!(text.get(at + 4), Some(b'5' | b'6' | b'7')))
}

/// The stream of [`RecordsExt::annotate`](super::RecordsExt::annotate).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Annotate<S> {
    #[pin]
    records: S,
    annotator: Annotator,
}

impl<S> Annotate<S> {
    pub(super) fn new(records: S, source: &str) -> Self {
        Self { records, annotator: Annotator::new(source) }
    }
}

impl<S: Stream<Item = Result<Record>>> Stream for Annotate<S> {
    type Item = Result<Record>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        let annotator = this.annotator;
        this.records.poll_next(cx).map_ok(|record| {
            let mut line = Vec::with_capacity(record.as_bytes().len() + 96);
            annotator.append(&record, &mut line);
            // Without the line break.
            line.pop();
            Record::slice(line.into(), record.fetched_at())
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl<S: FusedStream<Item = Result<Record>>> FusedStream for Annotate<S> {
    fn is_terminated(&self) -> bool {
        self.records.is_terminated()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use fastrand::Rng;

    use super::*;
    use crate::page::Page;
    use crate::request::Position;

    fn line(record: &str) -> String {
        let record = Record::new(record.to_owned(), UNIX_EPOCH + Duration::from_secs(1_779_012_000)).unwrap();
        let mut out = Vec::new();
        Annotator::new("a\"b").append(&record, &mut out);
        let text = String::from_utf8(out).unwrap();
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.contains(['\n', '\r']), "{line}");
        serde_json::from_str::<&serde_json::value::RawValue>(line).unwrap();
        line.replace(r#""__source":"a\"b","__ingested_at":"2026-05-17T10:00:00Z"}"#, "…")
    }

    #[test]
    fn every_kind_of_record_comes_out_as_one_valid_line() {
        for (record, expected) in [
            (
                r#"{"n":1.10,"big":123456789012345678901234567890}"#,
                r#"{"n":1.10,"big":123456789012345678901234567890,…"#,
            ),
            ("{}", "{…"),
            ("{ \n }", "{…"),
            ("7", r#"{"value":7,…"#),
            ("null", r#"{"value":null,…"#),
            (r#""x""#, r#"{"value":"x",…"#),
            ("[1,\r\n  {}]", r#"{"value":[1,{}],…"#),
            ("{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": \"x\\ny\"\n}", r#"{"a": [1,2],"b": "x\ny",…"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2,…"#),
        ] {
            assert_eq!(line(record), expected);
        }
    }

    #[test]
    fn a_field_of_ours_is_renamed_and_kept() {
        assert_eq!(line(r#"{"__source":"web","n":1}"#), r#"{"__source_original":"web","n":1,…"#);
        assert_eq!(line(r#"{"\u005f_source":{"x":1}}"#), r#"{"__source_original":{"x":1},…"#);
        assert_eq!(
            line(r#"{"__ingested_at":1,"__ingested_at_original":2}"#),
            r#"{"__ingested_at_original_original":1,"__ingested_at_original":2,…"#
        );
        // All else stays byte for byte: escapes, blanks, a key that is no Unicode.
        let odd = r#"{ "caf\u00e9" : "a\/b" ,"\ud800":1, "__source" : {"__source":[1 ]} }"#;
        let kept = r#"{ "caf\u00e9" : "a\/b" ,"\ud800":1, "__source_original" : {"__source":[1 ]},…"#;
        assert_eq!(line(odd), kept);
        assert_eq!(line(r#"{"a":{"__source":1},"b":"__source"}"#), r#"{"a":{"__source":1},"b":"__source",…"#);
    }

    #[test]
    fn a_page_gives_the_lines_that_its_records_give() {
        let seed =
            std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        for round in 0..2_000 {
            let mut random = Rng::with_seed(seed.wrapping_add(round));
            // Most are alike, and the odd one may come late.
            let record = |random: &mut Rng| match random.u32(..60) {
                0 => r#"{"__source":"web","id":1}"#.to_owned(),
                1 => r#"{"id":1,"\u005f_ingested_at":2}"#.to_owned(),
                2 => "{\"id\":1,\r\n  \"b\":[]\n}".to_owned(),
                3 => "[\"__source\"]".to_owned(),
                4 => "{ }".to_owned(),
                5 => r#"{"id":1,"a":{"__source":3} }"#.to_owned(),
                id => format!(r#"{{"id":{},"b":"__source {id}"}}"#, id + 90),
            };
            let records: Vec<String> = (0..random.usize(1..40)).map(|_| record(&mut random)).collect();
            let comma = [",", ",\n"][random.usize(..2)];
            let page = Page::new(format!("[{}]", records.join(comma)), 1, Position::Start, None).unwrap();
            let batch = Batch::new(page, "").unwrap();
            let (mut lines, mut expected) = (Vec::new(), Vec::new());
            Annotator::new("s").append_batch(&batch, &mut lines);
            batch.records().for_each(|record| Annotator::new("s").append(&record, &mut expected));
            let [lines, expected] = [lines, expected].map(|lines| String::from_utf8(lines).unwrap());
            assert_eq!(lines, expected, "seed {seed}, round {round}");
        }
    }

    #[test]
    fn the_suffix_follows_the_clock() {
        let mut annotator = Annotator::new("s");
        let mut out = Vec::new();
        for second in [0, 1] {
            annotator.append(&Record::new("{}", UNIX_EPOCH + Duration::from_secs(second)).unwrap(), &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("00:00:00Z") && text.contains("00:00:01Z"), "{text}");
    }
}
