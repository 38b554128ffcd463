//! `?page=3&per_page=100`: pages counted.

use super::counted::{check, no_rows, place};
use super::end::End;
use super::ends::{Done, Ends, More};
use super::{Answer, Consistency, Foreseen, Paginate, foreign};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::request::{Position, Request, Target};

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
    number_into: Target,
    start: u64,
    size: Option<(Target, u64)>,
    most: Option<u64>,
    ends: Ends,
}

impl Default for PageNumber {
    fn default() -> Self {
        Self::new()
    }
}

impl PageNumber {
    /// Counts pages from 1, as `?page=…`.
    pub fn new() -> Self {
        Self { number_into: Target::query("page"), start: 1, size: None, most: None, ends: Ends::default() }
    }

    /// Names the parameter. The default is `page`.
    pub fn param(self, name: impl Into<String>) -> Self {
        self.number_into(Target::query(name))
    }

    /// Says where the number goes, if not into the query.
    pub fn number_into(mut self, target: Target) -> Self {
        self.number_into = target;
        self
    }

    /// Sets the number of the first page. The default is 1.
    pub fn start(mut self, number: u64) -> Self {
        self.start = number;
        self
    }

    /// Sends the size of a page: `size("per_page", 100)`.
    pub fn size(self, param: impl Into<String>, rows: u64) -> Self {
        self.size_into(Target::query(param), rows)
    }

    /// Sends the size of a page somewhere else than in the query.
    pub fn size_into(mut self, target: Target, rows: u64) -> Self {
        self.size = Some((target, rows));
        self
    }

    /// Says how many pages the API hands out at most (TMDB: 500). If there are more, or may be more, the stream ends
    /// behind the last of them with a `Truncated` error: slice the source.
    pub fn most_pages(mut self, pages: u64) -> Self {
        self.most = Some(pages);
        self
    }

    /// Ends for this reason, too.
    pub fn until(mut self, end: End) -> Self {
        self.ends.push(end);
        self
    }

    /// Ends when as many pages have come as the number at this path says. A page without rows before that
    /// is an error.
    pub fn until_page_count(self, path: impl Into<String>) -> Self {
        self.until(End::page_count(path))
    }

    /// Ends when the flag at this path is false (`has_more`).
    pub fn until_false(self, path: &str) -> Self {
        self.until(End::when_false(path))
    }

    /// Ends when the flag at this path is true (`is_last`).
    pub fn until_true(self, path: &str) -> Self {
        self.until(End::when_true(path))
    }
}

impl PageNumber {
    /// The number of this page and of the next one, and whether there is one.
    fn judge(&self, answer: &Answer<'_>) -> Result<((u64, u64), More)> {
        let number = match answer.position() {
            Position::Page(number) => *number,
            _ => self.start,
        };
        let next = number.saturating_add(1);
        let mut done = Done { pages: next.saturating_sub(self.start), ..Done::counted(answer) };
        if done.least.pages > 0 {
            done.least.pages = done.pages;
        }
        Ok(((number, next), self.ends.judge(answer, done)?))
    }

    fn targets(&self) -> impl Iterator<Item = &Target> + Clone {
        std::iter::once(&self.number_into).chain(self.size.iter().map(|(target, _)| target))
    }
}

impl Paginate for PageNumber {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        self.number_into.check()?;
        self.size.as_ref().map_or(Ok(()), |(target, _)| target.check())?;
        if self.size.as_ref().is_some_and(|(_, rows)| *rows == 0) {
            return Err(no_rows());
        }
        if self.most == Some(0) {
            return Err(Error::config("the API hands out 0 pages at most: there is nothing to ask for"));
        }
        self.ends.reads()
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
        if let Some(most) = self.most.filter(|most| number.saturating_sub(self.start) >= *most) {
            let what = format!("the API hands out {most} pages at most, and there may be more");
            return Err(Error::new(ErrorKind::Truncated, what).advice(
                "slice the source, so that each slice has fewer; or name the path of the page count",
            ));
        }
        let request = self.number_into.put(template.clone(), &number.into())?;
        match &self.size {
            Some((target, rows)) => target.put(request, &(*rows).into()),
            None => Ok(request),
        }
    }

    fn says_more(&self, answer: &Answer<'_>) -> bool {
        self.judge(answer).is_ok_and(|(_, more)| more.is_claimed())
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let ((number, next), more) = self.judge(answer)?;
        if more == More::No {
            return Ok(None);
        }
        if answer.record_count()? == 0 {
            return self.ends.without_rows(more).map(|()| None);
        }
        if next == number {
            return Err(Error::new(ErrorKind::Cursor, format!("no number comes behind page {number}")));
        }
        Ok(Some(Position::Page(next)))
    }

    fn check(&self, template: &Request) -> Result<()> {
        check(template, &self.number_into, self.start, self.targets())
    }

    fn binds(&self, name: &str) -> bool {
        self.targets().any(|target| target.fills(name))
    }

    fn foresees(&self) -> bool {
        true
    }

    fn foresee(&self, answer: &Answer<'_>, next: &Position, most: usize) -> Vec<Foreseen> {
        let (Position::Page(next), Ok(rows)) = (next, answer.record_count()) else { return Vec::new() };
        let left = self.judge(answer).map_or(0, |(_, more)| more.steps_left(rows));
        let left = left
            .min(self.most.map_or(u64::MAX, |most| self.start.saturating_add(most).saturating_sub(*next)));
        let counts_rows = self.ends.counts_rows();
        let ahead = (1..=most as u64).take_while(|count| *count < left);
        let ahead = ahead.map_while(|count| Some((next.checked_add(count)?, rows.checked_mul(count)?)));
        let foreseen = ahead.map(|(number, rows)| match Foreseen::at(Position::Page(number)) {
            foreseen if counts_rows => foreseen.rows_before(Done::counted(answer).rows.saturating_add(rows)),
            foreseen => foreseen,
        });
        foreseen.collect()
    }

    fn consistency(&self) -> Consistency {
        Consistency::Shifting
    }

    fn definition(&self) -> String {
        let size = self.size.as_ref().map(|(target, rows)| (place(target), *rows));
        let most = self.most.map_or_else(String::new, |most| format!(", {most} pages at most"));
        let ends = self.ends.definition(size.as_ref().map(|(_, rows)| *rows));
        format!("page number {} from {}, size {size:?}{ends}{most}", place(&self.number_into), self.start)
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

    #[test]
    fn more_pages_than_the_api_hands_out_are_an_error() {
        let tmdb = PageNumber::new().most_pages(2).until_page_count("pages");
        let at = |number| page(Position::Page(number), r#"{"data":[1],"pages":2}"#).to(&tmdb).unwrap();
        assert_eq!(at(2), None, "the last one that there is");
        let next = page(Position::Page(2), r#"{"data":[1],"pages":3}"#).to(&tmdb).unwrap().unwrap();
        let error = tmdb.request(&Request::get("https://h.example").unwrap(), &next).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }

    #[test]
    fn old_definitions_stay_as_they_were() {
        assert_eq!(PageNumber::new().definition(), "page number page from 1, size None");
        let full = PageNumber::new()
            .param("p")
            .start(0)
            .size("per_page", 2)
            .until_true("last")
            .until_page_count("n");
        let text = r#"page number p from 0, size Some(("per_page", 2)) until n pages until last=true"#;
        assert_eq!(full.definition(), text);
    }
}
