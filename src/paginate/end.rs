//! What says that there is nothing more, besides the next position itself.

use serde_json::Value;

use super::Answer;

/// One reason to stop. Every paginator takes any number of them with `until`; any of them ends the source.
///
/// What a reason looks at must be there: a flag or a count that is missing is an error, unless it is
/// [`optional`](End::optional), or [`End::missing`] says of the same path that this is the end. Where a flag or a count
/// says that there is more, and the position says that there is not, the source contradicts itself: an error.
///
/// ```
/// use headwater::paginate::{Cursor, End, LinkHeader, NextUrl};
/// // Discord: a page with fewer than were asked for is the last
/// let messages = Cursor::last_record("id").into_query("before").until(End::short_page(100));
/// // Mailgun: there is always a next page; the first without items is the end
/// let events = NextUrl::body("paging.next").until(End::empty_page());
/// // CloudWatch: the last token comes again
/// let logs = Cursor::body("nextForwardToken").into_body("nextToken").until(End::repeated());
/// // protobuf leaves out what is false
/// let list = Cursor::body("cursor").until(End::when_false("more")).until(End::missing("more"));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct End {
    pub(super) reason: Reason,
    pub(super) optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reason {
    Flag(String, bool),
    Total(At),
    PageCount(At),
    ShortPage(u64),
    EmptyPage,
    Repeated,
    Missing(String),
    Equals(String, Value),
}

/// Where a count stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    Body(String),
    Header(String),
}

impl End {
    /// When the flag at this path is false, also as a string (`has_more`).
    pub fn when_false(path: impl Into<String>) -> Self {
        Self::new(Reason::Flag(path.into(), false))
    }

    /// When the flag at this path is true, also as a string (`done`, `isLast`).
    pub fn when_true(path: impl Into<String>) -> Self {
        Self::new(Reason::Flag(path.into(), true))
    }

    /// When as many rows have come as the number at this path says. (For [`Offset`](super::Offset), when the offset has
    /// reached it.) A number that the answer itself goes beyond, 0 with rows beside it, is an error: some APIs say so where
    /// they have not counted.
    pub fn total(path: impl Into<String>) -> Self {
        Self::new(Reason::Total(At::Body(path.into())))
    }

    /// The same, of a number in a header (`X-Total-Count`).
    pub fn total_header(name: impl Into<String>) -> Self {
        Self::new(Reason::Total(At::Header(name.into())))
    }

    /// When as many pages have come as the number at this path says.
    pub fn page_count(path: impl Into<String>) -> Self {
        Self::new(Reason::PageCount(At::Body(path.into())))
    }

    /// The same, of a number in a header (`X-WP-TotalPages`).
    pub fn page_count_header(name: impl Into<String>) -> Self {
        Self::new(Reason::PageCount(At::Header(name.into())))
    }

    /// At a page with fewer rows than this. Only for servers that never clamp the size, and filter nothing out of a
    /// page.
    pub fn short_page(size: u64) -> Self {
        Self::new(Reason::ShortPage(size))
    }

    /// At a page without rows. Many APIs have such pages in the middle.
    pub fn empty_page() -> Self {
        Self::new(Reason::EmptyPage)
    }

    /// When the next position is the one of this page: an API that repeats its last token on purpose.
    pub fn repeated() -> Self {
        Self::new(Reason::Repeated)
    }

    /// When there is nothing at this path.
    pub fn missing(path: impl Into<String>) -> Self {
        Self::new(Reason::Missing(path.into()))
    }

    /// When this value stands at this path. A number or a boolean is the same as its text.
    pub fn equals(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(Reason::Equals(path.into(), value.into()))
    }

    fn new(reason: Reason) -> Self {
        Self { reason, optional: false }
    }

    /// Declares that the flag, the count or the value may be left out; then it says nothing. (GitLab leaves its total
    /// out above 10,000 rows.)
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The path in the body that it looks at.
    pub(super) fn path(&self) -> Option<&str> {
        match &self.reason {
            Reason::Total(At::Body(path)) | Reason::PageCount(At::Body(path)) => Some(path),
            Reason::Flag(path, _) | Reason::Missing(path) | Reason::Equals(path, _) => Some(path),
            _ => None,
        }
    }

    /// Whether it counts the rows of the page.
    pub(super) fn needs_records(&self) -> bool {
        matches!(self.reason, Reason::Total(_) | Reason::ShortPage(_) | Reason::EmptyPage)
    }

    /// Its part of the fingerprint: it must stay as it is. `size` is the size of a page where that is known.
    pub(super) fn definition(&self, size: Option<u64>) -> String {
        let at = |at: &At| match at {
            At::Body(path) => path.clone(),
            At::Header(name) => format!("header {name}"),
        };
        let text = match &self.reason {
            Reason::ShortPage(rows) if Some(*rows) == size => " until short page".to_owned(),
            Reason::ShortPage(rows) => format!(" until short page of {rows}"),
            Reason::Total(count) => format!(" until {} rows", at(count)),
            Reason::PageCount(count) => format!(" until {} pages", at(count)),
            Reason::Flag(path, end) => format!(" until {path}={end}"),
            Reason::EmptyPage => " until empty page".to_owned(),
            Reason::Repeated => " until repeated".to_owned(),
            Reason::Missing(path) => format!(" until {path} is missing"),
            Reason::Equals(path, value) => format!(" until {path} is {value}"),
        };
        format!("{text}{}", if self.optional { " if there" } else { "" })
    }
}

/// The number of an end's kind, in the order in which a definition names them.
pub(super) fn rank(end: &End) -> usize {
    match end.reason {
        Reason::ShortPage(_) => 0,
        Reason::Total(_) | Reason::PageCount(_) => 1,
        Reason::Flag(..) => 2,
        Reason::EmptyPage => 3,
        Reason::Repeated => 4,
        Reason::Missing(_) => 5,
        Reason::Equals(..) => 6,
    }
}

impl At {
    pub(super) fn header<'a>(name: &str, answer: &Answer<'a>) -> Option<&'a str> {
        answer.headers().get(name)?.to_str().ok()
    }
}
