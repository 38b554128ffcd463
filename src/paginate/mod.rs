//! Pagination dialects: how the request for a page is made, and where the next page stands.
//!
//! A [`Paginate`] is pure: no I/O, no clock, no state. All that changes from page to page is the
//! [`Position`], which can be seen, stored and resumed from. One file per dialect:
//!
//! | the API pages by | paginator |
//! |---|---|
//! | `?offset=200&limit=100` | [`Offset`] |
//! | `?page=3&per_page=100` | [`PageNumber`] |
//! | a token in the body or in a header, sent back: a text, a number, an object | [`Cursor::body`], [`Cursor::header`] |
//! | the last (or first) record's key, sent back | [`Cursor::last_record`], [`Cursor::first_record`] |
//! | several tokens at once | [`Cursor::and`], [`Target::merged`](crate::request::Target::merged) |
//! | a first request, and others behind it (`/list`, `/list/continue`) | [`Cursor::follow`] with a [`FollowUp`] |
//! | `Link: <…>; rel="next"` (RFC 8288) | [`LinkHeader`] |
//! | the next page's URL in the body, or in a header of its own | [`NextUrl::body`], [`NextUrl::header`] |
//! | a list of links: `[{"rel": "next", "href": "…"}]` | [`NextUrl::links`] |
//! | the next request as a whole (STAC) | [`NextUrl::request`], [`NextUrl::as_request`] |
//! | any of them, with a token at the end for the next run | [`Delta`] |
//! | nothing: one answer has it all | [`Single`] |
//! | anything else | [`from_fn`], or your own `impl Paginate` |
//!
//! Where the position goes, if not into the query, is a [`Target`](crate::request::Target). What ends a source besides
//! the position itself is any number of [`End`]s.
//!
//! A paginator never takes a missing value for the end: where the dialect says that a cursor or a flag is
//! there, its absence is an error. An API that leaves the cursor out on its last page is declared so
//! (`missing_ends()`).

mod counted;
mod cursor;
mod delta;
mod end;
mod ends;
mod follow_up;
mod from_fn;
pub(crate) mod guard;
mod link;
mod link_header;
mod next_url;
mod offset;
mod page_number;
mod raw_json;
mod single;

use std::fmt;

use http::{HeaderMap, HeaderName, StatusCode};
use serde::Serialize;
use url::Url;

pub use cursor::Cursor;
pub use delta::Delta;
pub use end::End;
pub use follow_up::FollowUp;
pub use from_fn::{FromFn, from_fn};
pub use link_header::LinkHeader;
pub use next_url::NextUrl;
pub use offset::Offset;
pub use page_number::PageNumber;
pub use raw_json::RawJson;
pub use single::Single;

use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::page::selection::Selected;
use crate::page::walk::{Shape, Span};
pub use crate::request::Foreseen;
use crate::request::{Position, Request};

/// A pagination dialect.
pub trait Paginate: fmt::Debug + Send + Sync + 'static {
    /// The paths whose values [`Paginate::next`] wants to see. They are found in the same walk that finds
    /// the records, and are handed over in this order.
    ///
    /// # Errors
    /// `Config` if a path cannot be read.
    fn reads(&self) -> Result<Vec<JsonPath>> {
        Ok(Vec::new())
    }

    /// Whether [`Paginate::next`] needs the records of the page. If so, the stream must know the record
    /// path.
    fn needs_records(&self) -> bool {
        false
    }

    /// Makes the request for the page at a position from the template.
    ///
    /// # Errors
    /// `Config` if the position is not one of this dialect's: it came from another definition.
    fn request(&self, template: &Request, position: &Position) -> Result<Request>;

    /// Says where the next page stands, or `None` after the last.
    ///
    /// # Errors
    /// `Cursor` if what the dialect promises is not there, `Truncated` if the source contradicts itself
    /// about the end.
    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>>;

    /// Whether the page says, by a flag or a count, that there is more behind it. An answer without a page is then no end.
    /// The default is no.
    fn says_more(&self, answer: &Answer<'_>) -> bool {
        let _ = answer;
        false
    }

    /// Says where the next run begins, when [`next`](Paginate::next) has said that this page is the last: a token that
    /// is kept for it. The default is `None`: it begins at the start.
    ///
    /// # Errors
    /// `Cursor` if the dialect promises a token and it is not there.
    fn finish(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let _ = answer;
        Ok(None)
    }

    /// Passes each URL in a position of this dialect through `change`: it is asked only where that is allowed, and stored
    /// without credentials. The default is that of [`Position::Url`].
    ///
    /// # Errors
    /// What `change` says.
    fn with_links(&self, position: Position, change: &mut ChangeLink<'_>) -> Result<Position> {
        match position {
            Position::Url(url) => change(url).map(Position::Url),
            other => Ok(other),
        }
    }

    /// Says what is wrong with it for the requests of this template, before anything is sent: where what it sends has no
    /// place. [`build`](crate::SourceBuilder::build) asks. The default finds nothing.
    ///
    /// # Errors
    /// `Config`.
    fn check(&self, template: &Request) -> Result<()> {
        let _ = template;
        Ok(())
    }

    /// Whether it gives `{name}` in the template a value. The default says so of every name: it cannot know.
    fn binds(&self, name: &str) -> bool {
        let _ = name;
        true
    }

    /// Whether it can [`foresee`](Paginate::foresee) anything.
    fn foresees(&self) -> bool {
        false
    }

    /// Says what will probably stand behind `next`, in order, at most so many: for [`Lanes`](crate::pages::Lanes), which
    /// ask for several pages at once. It need not be right, for each page still says itself what comes next; but what is
    /// known to lie behind the end should not be named. The default is nothing. [`Foreseen`] has an example.
    fn foresee(&self, answer: &Answer<'_>, next: &Position, most: usize) -> Vec<Foreseen> {
        let (_, _, _) = (answer, next, most);
        Vec::new()
    }

    /// Whether a source that changes while it is read can be read exactly.
    fn consistency(&self) -> Consistency;

    /// The definition as a text that only changes when the meaning does. It becomes a part of the source's
    /// fingerprint; it must hold no secret.
    fn definition(&self) -> String;
}

/// What makes another URL of one; see [`Paginate::with_links`].
pub type ChangeLink<'a> = dyn FnMut(String) -> Result<String> + 'a;

/// What a dialect promises about a source that changes while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Consistency {
    /// Positions are bound to records: each record that stands still is seen exactly once.
    Stable,
    /// Positions are counted: rows that are inserted or removed before the position shift the others, and a
    /// shifted row is seen twice or never. No client can mend that.
    Shifting,
}

impl Consistency {
    /// What two parts of one source promise together.
    pub(crate) fn weaker(self, other: Self) -> Self {
        if self == Self::Shifting { self } else { other }
    }
}

/// What a paginator sees of a page.
pub struct Answer<'a> {
    pub(crate) url: &'a Url,
    pub(crate) position: &'a Position,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a str,
    pub(crate) captures: &'a [Option<Span>],
    pub(crate) records: Option<&'a Selected>,
    pub(crate) rows_before: u64,
    pub(crate) pages_before: u64,
    pub(crate) shape: Shape,
}

impl<'a> Answer<'a> {
    /// The URL that gave this page, after redirects, without credentials.
    pub fn url(&self) -> &'a Url {
        self.url
    }

    /// Where this page stands.
    pub fn position(&self) -> &'a Position {
        self.position
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The whole body.
    pub fn body(&self) -> &'a str {
        self.body
    }

    /// The value at the path of this index in [`Paginate::reads`]; `None` if the path leads nowhere.
    pub fn value(&self, index: usize) -> Option<RawJson<'a>> {
        self.captures.get(index).copied().flatten().map(|span| RawJson(span.of(self.body)))
    }

    /// How many records the page holds, those that were skipped for being `null` included: it is what the server
    /// counts.
    ///
    /// # Errors
    /// `Config` if no record path was given to the stream.
    pub fn record_count(&self) -> Result<u64> {
        self.selected().map(Selected::rows)
    }

    /// The last record of the page; `None` if it holds none.
    ///
    /// # Errors
    /// `Config` if no record path was given to the stream.
    pub fn last_record(&self) -> Result<Option<RawJson<'a>>> {
        Ok(self.selected()?.spans.last().map(|span| self.record(*span)))
    }

    /// The first record of the page; `None` if it holds none.
    ///
    /// # Errors
    /// `Config` if no record path was given to the stream.
    pub fn first_record(&self) -> Result<Option<RawJson<'a>>> {
        Ok(self.selected()?.spans.first().map(|span| self.record(*span)))
    }

    /// The first row of the page and the last, as they were sent: one that was left out for what it is
    /// ([`Select::only`](crate::page::Select::only)) has its place in the list all the same. `null` has none.
    pub(crate) fn edge_rows(&self) -> Result<[Option<RawJson<'a>>; 2]> {
        let left_out = self.selected()?.left_out.map(|span| span.map(|span| RawJson(span.of(self.body))));
        Ok([left_out[0].or(self.first_record()?), left_out[1].or(self.last_record()?)])
    }

    /// How many records of the run lie before this page.
    pub fn rows_before(&self) -> u64 {
        self.rows_before
    }

    /// How many pages of the run lie before this one.
    pub fn pages_before(&self) -> u64 {
        self.pages_before
    }

    fn record(&self, span: Span) -> RawJson<'a> {
        let text = self.records.and_then(|selected| selected.text.as_deref());
        // Fields are added to text, and what comes of it is text.
        RawJson(span.of(text.map_or(self.body, |text| std::str::from_utf8(text).unwrap_or_default())))
    }

    fn selected(&self) -> Result<&'a Selected> {
        self.records.ok_or_else(|| {
            Error::config("this paginator needs the records of the page, and no record path was given")
                .advice("call `.records(path)` on the page stream itself, or `Pages::select(path)` before other adapters")
        })
    }
}

// Neither the body nor the values of the headers: a server may repeat a credential there.
impl fmt::Debug for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("position", &self.position)
            .field("status", &self.status)
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("bytes", &self.body.len())
            .field("records", &self.records.map(|selected| selected.spans.len()))
            .finish_non_exhaustive()
    }
}

/// A position that came from another dialect.
pub(crate) fn foreign(position: &Position, dialect: &str) -> Error {
    Error::config(format!("the position \"{position}\" is not one of {dialect} paging"))
}

/// A value that the dialect promises and the page does not have.
pub(crate) fn missing(what: &str, path: &str) -> Error {
    Error::new(ErrorKind::Cursor, format!("{what} \"{path}\" is not in the answer"))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::sync::Arc;

    use crate::page::Select;
    use crate::page::selection::Selection;
    use crate::page::walk::Plan;

    /// Shows a paginator one answer.
    pub(crate) struct Shown {
        pub(crate) position: Position,
        pub(crate) headers: HeaderMap,
        pub(crate) body: String,
        pub(crate) records: &'static str,
        pub(crate) shape: Shape,
    }

    pub(crate) fn page(position: Position, body: impl Into<String>) -> Shown {
        Shown { position, headers: HeaderMap::new(), body: body.into(), records: "data", shape: Shape::Json }
    }

    impl Shown {
        pub(crate) fn of_elements(mut self) -> Self {
            self.shape = Shape::Elements;
            self
        }

        pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
            self.headers.append(name, value.parse().unwrap());
            self
        }

        pub(crate) fn to(self, paginator: &impl Paginate) -> Result<Option<Position>> {
            self.shown(paginator, |answer| paginator.next(answer))
        }

        pub(crate) fn finish(self, paginator: &impl Paginate) -> Result<Option<Position>> {
            self.shown(paginator, |answer| paginator.finish(answer))
        }

        fn shown<T>(self, paginator: &impl Paginate, show: impl Fn(&Answer<'_>) -> Result<T>) -> Result<T> {
            let reads = paginator.reads()?;
            let selection = Arc::new(Selection::new(&Select::path(self.records).optional()).unwrap());
            let outline = Plan::over(selection.routes(), &reads, Shape::Json).walk(&self.body).unwrap();
            let selected = selection.take(outline.routes, &self.body, Shape::Json, usize::MAX).unwrap();
            show(&Answer {
                url: &Url::parse("https://api.example.com/v1/items?limit=2").unwrap(),
                position: &self.position,
                status: StatusCode::OK,
                headers: &self.headers,
                body: &self.body,
                captures: &outline.captures,
                records: Some(&selected),
                rows_before: 0,
                pages_before: 0,
                shape: self.shape,
            })
        }
    }

    pub(crate) fn query_of(paginator: &impl Paginate, position: &Position) -> String {
        let template = Request::get("https://api.example.com/v1/items?q=x").unwrap();
        paginator.request(&template, position).unwrap().url().query().unwrap_or_default().to_owned()
    }
}
