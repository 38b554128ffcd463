//! `?offset=200&limit=100`: rows to skip.

use super::counted::{check, no_rows, place};
use super::end::End;
use super::ends::{Done, Ends, More};
use super::{Answer, Consistency, Foreseen, Paginate, foreign, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::request::{Position, Request, Target};

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
    offset_into: Target,
    limit_into: Option<Target>,
    start: u64,
    step: Step,
    ends: Ends,
}

/// What the offset grows by.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Rows,
    Limit,
    At(String),
}

impl Offset {
    /// Asks for `limit` rows a page, as `?offset=…&limit=…`.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            offset_into: Target::query("offset"),
            limit_into: Some(Target::query("limit")),
            start: 0,
            step: Step::Rows,
            ends: Ends::default(),
        }
    }

    /// Names the parameter of the offset. The default is `offset`.
    pub fn offset_param(self, name: impl Into<String>) -> Self {
        self.offset_into(Target::query(name))
    }

    /// Says where the offset goes, if not into the query.
    pub fn offset_into(mut self, target: Target) -> Self {
        self.offset_into = target;
        self
    }

    /// Names the parameter of the size. The default is `limit`.
    pub fn limit_param(self, name: impl Into<String>) -> Self {
        self.limit_into(Target::query(name))
    }

    /// Says where the size goes, if not into the query.
    pub fn limit_into(mut self, target: Target) -> Self {
        self.limit_into = Some(target);
        self
    }

    /// Sends no size: the server has one of its own.
    pub fn without_limit_param(mut self) -> Self {
        self.limit_into = None;
        self
    }

    /// Sets the offset of the first row. The default is 0; some APIs count from 1.
    pub fn start(mut self, offset: u64) -> Self {
        self.start = offset;
        self
    }

    /// Moves on by the limit, whatever came: where rows that one may not see keep their places, so that a page may be
    /// short, or have no rows at all, and is not the last (ServiceNow). Declare what ends it: a total, or a flag. Only
    /// for servers that never clamp the size.
    pub fn step_by_limit(mut self) -> Self {
        self.step = Step::Limit;
        self
    }

    /// The same by the limit that the answer says it has, at this path (Box: `limit`, which may be less than was asked
    /// for).
    pub fn step_at(mut self, path: impl Into<String>) -> Self {
        self.step = Step::At(path.into());
        self
    }

    /// Ends for this reason, too.
    pub fn until(mut self, end: End) -> Self {
        self.ends.push(end);
        self
    }

    /// Ends when as many rows have come as the number at this path says. A page without rows before that
    /// is an error.
    pub fn until_total(self, path: impl Into<String>) -> Self {
        self.until(End::total(path))
    }

    /// Ends when the flag at this path is false (`has_more`).
    pub fn until_false(self, path: &str) -> Self {
        self.until(End::when_false(path))
    }

    /// Ends when the flag at this path is true (`is_last`).
    pub fn until_true(self, path: &str) -> Self {
        self.until(End::when_true(path))
    }

    /// Ends at a page with fewer rows than were asked for. Only for servers that never clamp the size.
    pub fn until_short_page(self) -> Self {
        let limit = self.limit;
        self.until(End::short_page(limit))
    }
}

impl Paginate for Offset {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        self.offset_into.check()?;
        self.limit_into.as_ref().map_or(Ok(()), Target::check)?;
        if self.limit == 0 && (self.limit_into.is_some() || self.step == Step::Limit) {
            return Err(no_rows());
        }
        let mut paths = self.ends.reads()?;
        if let Step::At(path) = &self.step {
            paths.push(JsonPath::parse(path)?);
        }
        Ok(paths)
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
        let request = self.offset_into.put(template.clone(), &offset.into())?;
        match &self.limit_into {
            Some(target) => target.put(request, &self.limit.into()),
            None => Ok(request),
        }
    }

    fn says_more(&self, answer: &Answer<'_>) -> bool {
        self.judge(answer).is_ok_and(|(_, more)| more.is_claimed())
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let rows = answer.record_count()?;
        let ((offset, next), more) = self.judge(answer)?;
        if more == More::No {
            return Ok(None);
        }
        // A page of hidden rows is no end as long as something else says that there is more.
        if rows == 0 && (self.step == Step::Rows || more == More::Unknown) {
            return self.ends.without_rows(more).map(|()| None);
        }
        if next == offset {
            return Err(Error::new(
                ErrorKind::Cursor,
                format!("the offset {offset} cannot grow any further"),
            ));
        }
        Ok(Some(Position::Offset(next)))
    }

    fn check(&self, template: &Request) -> Result<()> {
        check(template, &self.offset_into, self.start, self.targets())
    }

    fn binds(&self, name: &str) -> bool {
        self.targets().any(|target| target.fills(name))
    }

    fn foresees(&self) -> bool {
        true
    }

    fn foresee(&self, answer: &Answer<'_>, next: &Position, most: usize) -> Vec<Foreseen> {
        let (Position::Offset(next), Ok(((here, _), more))) = (next, self.judge(answer)) else {
            return Vec::new();
        };
        let step = next.saturating_sub(here);
        let left = more.steps_left(step);
        let ahead = (1..=most as u64).take_while(|count| *count < left && step > 0);
        ahead
            .map_while(|count| Some(Position::Offset(next.checked_add(step.checked_mul(count)?)?)))
            .map(Foreseen::at)
            .collect()
    }

    fn consistency(&self) -> Consistency {
        Consistency::Shifting
    }

    fn definition(&self) -> String {
        format!(
            "offset {} from {}, size {} as {}{}",
            place(&self.offset_into),
            self.start,
            self.limit,
            self.limit_into.as_ref().map_or_else(
                || "None".to_owned(),
                |target| match target.query_name() {
                    Some(name) => format!("Some({name:?})"),
                    None => format!("{target:?}"),
                }
            ),
            self.ends.definition(Some(self.limit)),
        ) + &match &self.step {
            Step::Rows => String::new(),
            Step::Limit => " stepping by limit".to_owned(),
            Step::At(path) => format!(" stepping by {path}"),
        }
    }
}

impl Offset {
    fn targets(&self) -> impl Iterator<Item = &Target> + Clone {
        std::iter::once(&self.offset_into).chain(&self.limit_into)
    }

    /// Where this page stands and the next one would, and whether there is one.
    fn judge(&self, answer: &Answer<'_>) -> Result<((u64, u64), More)> {
        let rows = answer.record_count()?;
        let offset = match answer.position() {
            Position::Offset(offset) => *offset,
            _ => self.start,
        };
        let step = match &self.step {
            Step::Rows => rows,
            Step::Limit => self.limit,
            Step::At(path) => self.told_step(answer, path)?,
        };
        let next = offset.saturating_add(step);
        let mut done = Done { rows: next.saturating_sub(self.start), ..Done::counted(answer) };
        if rows > 0 {
            // Who hands out rows behind the offset has the rows before it.
            done.least.rows = offset.saturating_sub(self.start).saturating_add(rows);
        }
        Ok(((offset, next), self.ends.judge(answer, done)?))
    }

    /// The step that the answer names.
    fn told_step(&self, answer: &Answer<'_>, path: &str) -> Result<u64> {
        let value = answer.value(self.ends.captures()).ok_or_else(|| missing("the step", path))?;
        value.as_u64().filter(|step| *step > 0).ok_or_else(|| {
            let what = format!("the step \"{path}\" is {}, not a whole number above 0", value.kind());
            Error::new(ErrorKind::Cursor, what)
        })
    }
}

/// A page of no rows, which would be taken for the end.
#[cfg(test)]
mod tests {
    use super::*;
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
    fn hidden_rows_keep_their_places_where_declared() {
        let offset = Offset::new(2).step_by_limit().until_total("total");
        let shown = |at: u64, rest: &str| page(Position::Offset(at), format!(r#"{{"total":5,{rest}}}"#));
        assert_eq!(shown(0, r#""data":[1]"#).to(&offset).unwrap(), Some(Position::Offset(2)));
        assert_eq!(shown(2, r#""data":[]"#).to(&offset).unwrap(), Some(Position::Offset(4)));
        assert_eq!(shown(4, r#""data":[]"#).to(&offset).unwrap(), None);
        let told = Offset::new(9).step_at("limit").until_total("total");
        assert_eq!(shown(0, r#""data":[1],"limit":3"#).to(&told).unwrap(), Some(Position::Offset(3)));
        assert_eq!(shown(0, r#""data":[1]"#).to(&told).unwrap_err().kind(), ErrorKind::Cursor);
        assert_eq!(shown(0, r#""data":[1],"limit":0"#).to(&told).unwrap_err().kind(), ErrorKind::Cursor);
        let endless = Offset::new(2).step_by_limit();
        assert_eq!(
            shown(2, r#""data":[]"#).to(&endless).unwrap(),
            None,
            "nothing else says that there is more"
        );
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

    #[test]
    fn offset_and_size_go_where_they_belong() {
        let search =
            Offset::new(100).offset_into(Target::body("from").as_string()).limit_into(Target::body("size"));
        let template = Request::post("https://h.example/_search").unwrap();
        let request = search.request(&template, &Position::Offset(200)).unwrap();
        assert_eq!(request.body(), Some(&serde_json::json!({"from": "200", "size": 100})));
        let sql = Offset::new(50)
            .start(1)
            .offset_into(Target::placeholder("offset"))
            .limit_into(Target::placeholder("limit"));
        let template = Request::get("https://h.example/").unwrap();
        let template =
            template.query("query", "select * from Bill startposition {offset} maxresults {limit}");
        let request = sql.request(&template, &Position::Start).unwrap();
        let value = request.url().query_pairs().next().unwrap().1.into_owned();
        assert_eq!(value, "select * from Bill startposition 1 maxresults 50");
    }

    #[test]
    fn old_definitions_stay_as_they_were() {
        assert_eq!(Offset::new(100).definition(), r#"offset offset from 0, size 100 as Some("limit")"#);
        let full =
            Offset::new(5).offset_param("skip").until_false("more").until_total("n").until_short_page();
        assert_eq!(
            full.without_limit_param().definition(),
            "offset skip from 0, size 5 as None until short page until n rows until more=false"
        );
    }
}
