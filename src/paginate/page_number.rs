//! `?page=3&per_page=100`: pages counted.

use super::stop::{Counted, Flag};
use super::{Answer, Consistency, Paginate, foreign};
use crate::error::Result;
use crate::page::JsonPath;
use crate::request::{Position, Request};

/// Paging by the number of the page.
///
/// A page without rows is the end, unless the source says that there is more; a short page is not.
///
/// ```
/// use headwater::paginate::PageNumber;
/// // ?page=1, ?page=2 …
/// let plain = PageNumber::new();
/// // ?p=0&size=50, until the page before "page.totalPages"
/// let spring = PageNumber::new().param("p").start(0).size("size", 50).until_page_count("page.totalPages");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PageNumber {
    param: String,
    start: u64,
    size: Option<(String, u64)>,
    stop: Counted,
}

impl Default for PageNumber {
    fn default() -> Self {
        Self::new()
    }
}

impl PageNumber {
    /// Counts pages from 1, as `?page=…`.
    pub fn new() -> Self {
        Self { param: "page".into(), start: 1, size: None, stop: Counted::new("pages") }
    }

    /// Names the parameter. The default is `page`.
    pub fn param(mut self, name: impl Into<String>) -> Self {
        self.param = name.into();
        self
    }

    /// Sets the number of the first page. The default is 1.
    pub fn start(mut self, number: u64) -> Self {
        self.start = number;
        self
    }

    /// Sends the size of a page: `size("per_page", 100)`.
    pub fn size(mut self, param: impl Into<String>, rows: u64) -> Self {
        self.size = Some((param.into(), rows));
        self
    }

    /// Ends when as many pages have come as the number at this path says. A page without rows before that
    /// is an error.
    pub fn until_page_count(mut self, path: impl Into<String>) -> Self {
        self.stop.count = Some(path.into());
        self
    }

    /// Ends when the flag at this path is false (`has_more`).
    pub fn until_false(mut self, path: &str) -> Self {
        self.stop.flag = Flag::ends_when(path, false);
        self
    }

    /// Ends when the flag at this path is true (`is_last`).
    pub fn until_true(mut self, path: &str) -> Self {
        self.stop.flag = Flag::ends_when(path, true);
        self
    }
}

impl Paginate for PageNumber {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        self.stop.reads()
    }

    fn needs_records(&self) -> bool {
        true
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        let number = match position {
            Position::Start => self.start,
            Position::Page(number) => *number,
            other => return Err(foreign(other, "page-number")),
        };
        let request = template.clone().with_query(&self.param, number.to_string());
        Ok(match &self.size {
            Some((name, rows)) => request.with_query(name, rows.to_string()),
            None => request,
        })
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let number = match answer.position() {
            Position::Page(number) => *number,
            _ => self.start,
        };
        let next = number.saturating_add(1);
        let ended = self.stop.ended(answer, next.saturating_sub(self.start))?;
        Ok((!ended).then_some(Position::Page(next)))
    }

    fn consistency(&self) -> Consistency {
        Consistency::Shifting
    }

    fn definition(&self) -> String {
        let Self { param, start, size, stop } = self;
        format!("page number {param} from {start}, size {size:?}{}", stop.definition())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::paginate::testing::{page, query_of};

    #[test]
    fn pages_are_counted_until_one_is_empty() {
        let pages = PageNumber::new().size("per_page", 2);
        assert_eq!(query_of(&pages, &Position::Start), "q=x&page=1&per_page=2");
        assert_eq!(page(Position::Start, r#"{"data":[1]}"#).to(&pages).unwrap(), Some(Position::Page(2)));
        assert_eq!(page(Position::Page(2), r#"{"data":[]}"#).to(&pages).unwrap(), None);
    }

    #[test]
    fn the_page_count_ends_the_stream_and_must_be_reached() {
        let pages = PageNumber::new().start(0).until_page_count("pages");
        assert_eq!(
            page(Position::Start, r#"{"data":[1],"pages":2}"#).to(&pages).unwrap(),
            Some(Position::Page(1))
        );
        assert_eq!(page(Position::Page(1), r#"{"data":[1],"pages":2}"#).to(&pages).unwrap(), None);
        assert_eq!(page(Position::Start, r#"{"data":[],"pages":0}"#).to(&pages).unwrap(), None);
        let error = page(Position::Start, r#"{"data":[],"pages":2}"#).to(&pages).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }
}
