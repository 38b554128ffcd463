//! One answer of a source: complete, valid, and with its records already found.

mod format;
mod select;
pub(crate) mod selection;
pub(crate) mod splice;
pub(crate) mod walk;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use serde_json::Value;

pub use crate::request::JsonPath;
#[cfg(feature = "csv")]
#[cfg_attr(docsrs, doc(cfg(feature = "csv")))]
pub use format::Csv;
pub use format::Format;
pub use select::Select;

use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::mark::Mark;
use crate::request::{Bindings, Foreseen, Position};
use selection::{Selected, Selection};
use splice::{Fields, Spliced};
use walk::{Plan, Shape};

/// How large a page may be, unless its transport says otherwise.
pub(crate) const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// One page of a source.
///
/// Its body is complete and valid JSON in UTF-8: a page that is not never leaves the stream that fetched
/// it. Cloning is cheap in the body (it is shared), and copies the index of records. `Debug` shows neither the body
/// nor the values of the headers: a server may repeat a credential there.
#[derive(Clone)]
#[non_exhaustive]
pub struct Page {
    // Not public: the records have been found in it.
    pub(crate) body: Bytes,
    /// The status of the answer.
    pub status: StatusCode,
    /// The headers of the answer.
    pub headers: HeaderMap,
    /// The number of the page within the run, from 1.
    pub number: u64,
    /// Where this page stands.
    pub position: Position,
    /// What the answer said about waiting and about the budget that is left.
    pub hints: Hints,
    /// When the answer was complete (wall clock).
    pub fetched_at: SystemTime,
    pub(crate) host: String,
    pub(crate) mark: Mark,
    pub(crate) selected: Option<Selected>,
    /// How many bytes its records may come to, whatever is added to them.
    pub(crate) cap: usize,
    pub(crate) shape: Shape,
    /// What was bound in its request, if it is a part of a slice.
    pub(crate) slice: Option<Arc<Bindings>>,
    /// What stands behind the next page, as far as that can be known.
    pub(crate) foreseen: Vec<Foreseen>,
}

impl Page {
    /// Makes a page by hand, for a page stream of one's own or for a test: a body, where it stands, and
    /// where the next one stands. A byte-order mark is dropped.
    ///
    /// # Errors
    /// `Encoding` or `NotJson` if the body is not JSON in UTF-8, `TooLarge` from 4 GiB on.
    pub fn new(
        body: impl Into<Bytes>,
        number: u64,
        position: Position,
        next: Option<Position>,
    ) -> Result<Self> {
        let body = without_bom(body.into());
        if u32::try_from(body.len()).is_err() {
            return Err(Error::new(ErrorKind::TooLarge, "a page must be smaller than 4 GiB"));
        }
        let cap = MAX_PAGE_BYTES.max(body.len());
        let page = Self {
            body,
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            number,
            position,
            hints: Hints::default(),
            fetched_at: SystemTime::now(),
            host: String::new(),
            mark: Mark { next, pages: number, ..Mark::start() },
            selected: None,
            cap,
            shape: Shape::Json,
            slice: None,
            foreseen: Vec::new(),
        };
        Plan::default().walk(utf8(&page.body)?).map_err(|error| not_json(&page.body, error))?;
        Ok(page)
    }

    /// A page without records.
    pub(crate) fn empty(selection: Option<&Arc<Selection>>) -> Self {
        Self {
            body: Bytes::new(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            number: 0,
            position: Position::Start,
            hints: Hints::default(),
            fetched_at: SystemTime::now(),
            host: String::new(),
            mark: Mark::start(),
            selected: None,
            cap: MAX_PAGE_BYTES,
            shape: Shape::Json,
            slice: None,
            foreseen: Vec::new(),
        }
        .without_records(selection)
    }

    /// The page with nothing in it: what it held is not what the stream gives out.
    pub(crate) fn without_records(mut self, selection: Option<&Arc<Selection>>) -> Self {
        self.body = Bytes::from_static(b"[]");
        self.selected = selection.cloned().map(Selected::none);
        self
    }

    /// The body as it was received, decoded, without a byte-order mark; of another [`Format`], the JSON text it was
    /// turned into.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        // A page is made of valid UTF-8.
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// What stands behind this page.
    pub fn mark(&self) -> Mark {
        self.mark.clone()
    }

    /// Where the next page stands; `None` if this is the last one.
    pub fn next(&self) -> Option<&Position> {
        self.mark.next.as_ref()
    }

    /// Finds the records, unless that was already done when the page was fetched.
    pub(crate) fn select(&mut self, selection: &Arc<Selection>) -> Result<()> {
        if self.selected.as_ref().is_none_or(|selected| selected.selection.select != selection.select) {
            let text = utf8(&self.body)?;
            let plan = Plan::over(selection.routes(), &[], self.shape);
            let outline = plan.walk(text).map_err(|error| not_json(&self.body, error))?;
            self.selected = Some(selection.take(outline.routes, text, self.shape, self.cap)?);
        }
        Ok(())
    }

    /// Adds fields to the records that were found.
    pub(crate) fn add_fields(&mut self, fields: &[(String, Value)]) -> Result<()> {
        let Some(selected) = self.selected.as_mut().filter(|_| !fields.is_empty()) else { return Ok(()) };
        let fields = Fields::new(fields);
        let mut text = Spliced::new(self.cap);
        for record in selected.slices(&self.body) {
            text.push(&fields, record)?;
        }
        (selected.spans, selected.text) = text.done();
        selected.plain = false;
        Ok(())
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("number", &self.number)
            .field("status", &self.status)
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("position", &self.position)
            .field("next", &self.mark.next)
            .field("bytes", &self.body.len())
            .field("records", &self.selected.as_ref().map(|selected| selected.spans.len()))
            .field("hints", &self.hints)
            .field("fetched_at", &self.fetched_at)
            .finish_non_exhaustive()
    }
}

/// Drops one byte-order mark (RFC 8259 §8.1 lets a reader ignore it).
pub(crate) fn without_bom(body: Bytes) -> Bytes {
    if body.starts_with(b"\xEF\xBB\xBF") { body.slice(3..) } else { body }
}

pub(crate) fn utf8(body: &[u8]) -> Result<&str> {
    std::str::from_utf8(body).map_err(|error| {
        Error::new(ErrorKind::Encoding, format!("invalid UTF-8 at byte {}", error.valid_up_to()))
            .advice("pages are read in UTF-8 (RFC 8259 §8.1); ask the API for that charset")
    })
}

/// Says why a body is not a JSON document, and whether it is worth asking again.
pub(crate) fn not_json(body: &[u8], error: serde_json::Error) -> Error {
    let start = body.trim_ascii_start();
    if start.starts_with(b"<?xml") && memchr::memmem::find(body, b"<html").is_none() {
        return Error::new(ErrorKind::NotJson, "the answer is XML where JSON was expected")
            .once()
            .advice("if the pages are in XML, say `.format(Format::xml())` (feature `xml`)");
    }
    if start.first() == Some(&b'<') {
        // A login page, or the page of a proxy that is being restarted.
        return Error::new(ErrorKind::NotJson, "the answer is HTML or XML where JSON was expected")
            .transient()
            .advice("login pages and proxies answer like this: check the URL and the credentials");
    }
    if error.is_eof() {
        return Error::new(ErrorKind::NotJson, format!("the document ends too early ({} bytes)", body.len()))
            .because(error)
            .once();
    }
    Error::new(ErrorKind::NotJson, "the answer is not one valid JSON document").because(error).once()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_path_lists_the_arrays() {
        let body = r#"{"data":{"items":[1]},"errors":[]}"#;
        let mut page = Page::new(body, 1, Position::Start, None).unwrap();
        let error = page.select(&Arc::new(Selection::new(&Select::path("items")).unwrap())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RecordPath);
        assert_eq!(error.help(), Some("arrays are at: \"data.items\" (1 item), \"errors\" (0 items)"));
    }

    #[test]
    fn what_is_not_json_says_so() {
        let kind = |body: &'static [u8]| {
            let error = Page::new(body, 1, Position::Start, None).unwrap_err();
            (error.kind(), error.transience())
        };
        use crate::error::Transience::{Once, Permanent, Transient};
        assert_eq!(kind(b" <!doctype html>"), (ErrorKind::NotJson, Transient));
        assert_eq!(kind(br#"{"a":[1,"#), (ErrorKind::NotJson, Once));
        assert_eq!(kind(b"[1] trailing"), (ErrorKind::NotJson, Once));
        assert_eq!(kind(b"[\"\xFF\"]"), (ErrorKind::Encoding, Permanent));
    }
}
