//! `?offset=200&limit=100`: rows to skip.

use super::stop::{Counted, Flag};
use super::{Answer, Consistency, Paginate, foreign};
use crate::error::Result;
use crate::page::JsonPath;
use crate::request::{Position, Request};

/// Paging by the number of rows to skip.
///
/// The offset grows by the rows **received**, not by the rows asked for: many servers quietly clamp the
/// size, and stepping by the size that was asked for would skip rows. A page without rows is the end,
/// unless the source says that there is more; a short page is not, unless declared.
///
/// ```
/// use headwater::paginate::Offset;
/// // ?offset=0&limit=100, then ?offset=100&limit=100 …
/// let plain = Offset::new(100);
/// // ?$skip=0&$top=50, until as many rows as "@count" says have come
/// let odata = Offset::new(50).offset_param("$skip").limit_param("$top").until_total("@count");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Offset {
    limit: u64,
    offset_param: String,
    limit_param: Option<String>,
    start: u64,
    short_page_ends: bool,
    stop: Counted,
}

impl Offset {
    /// Asks for `limit` rows a page, as `?offset=…&limit=…`.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            offset_param: "offset".into(),
            limit_param: Some("limit".into()),
            start: 0,
            short_page_ends: false,
            stop: Counted::new("rows"),
        }
    }

    /// Names the parameter of the offset. The default is `offset`.
    pub fn offset_param(mut self, name: impl Into<String>) -> Self {
        self.offset_param = name.into();
        self
    }

    /// Names the parameter of the size. The default is `limit`.
    pub fn limit_param(mut self, name: impl Into<String>) -> Self {
        self.limit_param = Some(name.into());
        self
    }

    /// Sends no size: the server has one of its own.
    pub fn without_limit_param(mut self) -> Self {
        self.limit_param = None;
        self
    }

    /// Sets the offset of the first row. The default is 0; some APIs count from 1.
    pub fn start(mut self, offset: u64) -> Self {
        self.start = offset;
        self
    }

    /// Ends when as many rows have come as the number at this path says. A page without rows before that
    /// is an error.
    pub fn until_total(mut self, path: impl Into<String>) -> Self {
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

    /// Ends at a page with fewer rows than were asked for. Only for servers that never clamp the size.
    pub fn until_short_page(mut self) -> Self {
        self.short_page_ends = true;
        self
    }
}

impl Paginate for Offset {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        self.stop.reads()
    }

    fn needs_records(&self) -> bool {
        true
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        let offset = match position {
            Position::Start => self.start,
            Position::Offset(offset) => *offset,
            other => return Err(foreign(other, "offset")),
        };
        let request = template.clone().with_query(&self.offset_param, offset.to_string());
        Ok(match &self.limit_param {
            Some(name) => request.with_query(name, self.limit.to_string()),
            None => request,
        })
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let rows = answer.record_count()?;
        let offset = match answer.position() {
            Position::Offset(offset) => *offset,
            _ => self.start,
        };
        let next = offset.saturating_add(rows);
        if self.stop.ended(answer, next.saturating_sub(self.start))? {
            return Ok(None);
        }
        if self.short_page_ends && rows < self.limit {
            return Ok(None);
        }
        Ok(Some(Position::Offset(next)))
    }

    fn consistency(&self) -> Consistency {
        Consistency::Shifting
    }

    fn definition(&self) -> String {
        format!(
            "offset {} from {}, size {} as {:?}{}{}",
            self.offset_param,
            self.start,
            self.limit,
            self.limit_param,
            if self.short_page_ends { " until short page" } else { "" },
            self.stop.definition(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::paginate::testing::{page, query_of};

    #[test]
    fn the_offset_grows_by_the_rows_received() {
        let offset = Offset::new(100);
        let next = page(Position::Start, r#"{"data":[1,2,3]}"#).to(&offset).unwrap();
        assert_eq!(next, Some(Position::Offset(3)), "the server clamped the size to 3");
        assert_eq!(query_of(&offset, &Position::Start), "q=x&offset=0&limit=100");
        assert_eq!(query_of(&offset, &Position::Offset(3)), "q=x&offset=3&limit=100");
        assert_eq!(page(Position::Offset(3), r#"{"data":[]}"#).to(&offset).unwrap(), None);
    }

    #[test]
    fn the_total_ends_the_stream_and_must_be_reached() {
        let offset = Offset::new(2).until_total("total");
        assert_eq!(page(Position::Offset(2), r#"{"data":[1],"total":3}"#).to(&offset).unwrap(), None);
        assert_eq!(
            page(Position::Start, r#"{"data":[1],"total":"3"}"#).to(&offset).unwrap(),
            Some(Position::Offset(1))
        );
        let error = page(Position::Offset(2), r#"{"data":[],"total":3}"#).to(&offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        let error = page(Position::Start, r#"{"data":[1]}"#).to(&offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cursor);
    }

    #[test]
    fn an_empty_page_that_is_not_the_end_is_an_error() {
        let offset = Offset::new(2).until_true("last");
        assert_eq!(page(Position::Start, r#"{"data":[],"last":true}"#).to(&offset).unwrap(), None);
        let error = page(Position::Start, r#"{"data":[],"last":false}"#).to(&offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }

    #[test]
    fn a_short_page_ends_only_where_declared() {
        let short = || page(Position::Start, r#"{"data":[1]}"#);
        assert_eq!(short().to(&Offset::new(2)).unwrap(), Some(Position::Offset(1)));
        assert_eq!(short().to(&Offset::new(2).until_short_page()).unwrap(), None);
    }
}
