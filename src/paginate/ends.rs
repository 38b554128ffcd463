//! All the ends of a paginator, put to one page.

use serde_json::Value;

use super::end::{At, End, Reason, rank};
use super::{Answer, RawJson, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::page::selection::Selected;
use crate::request::{Position, is_same};

const ROWS: &str = "rows";
const PAGES: &str = "pages";

/// The ends that were declared.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Vec<End>);

/// What the ends say about a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    No,
    /// Nothing speaks about it.
    Unknown,
    /// A flag says so.
    Yes,
    /// So many more there are by a count, and of what.
    Left(u64, &'static str),
}

/// How much of the source there was with this page: rows, and pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) rows: u64,
    pub(super) pages: u64,
    /// So many there are at least, by what stands in this answer.
    pub(super) least: Least,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Least {
    pub(super) rows: u64,
    pub(super) pages: u64,
}

impl Done {
    /// By what the stream has counted.
    pub(super) fn counted(answer: &Answer<'_>) -> Self {
        let here = answer.records.map_or(0, Selected::rows);
        Self {
            rows: answer.rows_before.saturating_add(here),
            pages: answer.pages_before.saturating_add(1),
            least: Least { rows: here, pages: here.min(1) },
        }
    }
}

impl Ends {
    pub(super) fn push(&mut self, end: End) {
        // There is one, mostly, and there may be thousands of sources.
        self.0.reserve_exact(1);
        self.0.push(end);
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The paths that they look at, in the order in which their values are captured.
    pub(super) fn reads(&self) -> Result<Vec<JsonPath>> {
        if self.0.iter().any(|end| end.reason == Reason::ShortPage(0)) {
            return Err(Error::config("no page has fewer than 0 rows: give the size that is asked for"));
        }
        self.0.iter().filter_map(End::path).map(JsonPath::parse).collect()
    }

    /// How many paths those are.
    pub(super) fn captures(&self) -> usize {
        self.0.iter().filter_map(End::path).count()
    }

    pub(super) fn needs_records(&self) -> bool {
        self.0.iter().any(End::needs_records)
    }

    /// Whether any of them goes by how many records have come.
    pub(super) fn counts_rows(&self) -> bool {
        self.0.iter().any(|end| matches!(end.reason, Reason::Total(_)))
    }

    /// Says what all of them together say. Their values are captured from index 0 on.
    pub(super) fn judge(&self, answer: &Answer<'_>, done: Done) -> Result<More> {
        let rows = match self.needs_records() {
            true => answer.record_count()?,
            false => 0,
        };
        let (mut has_ended, mut more) = (false, More::Unknown);
        let mut index = 0;
        for end in &self.0 {
            let value = end.path().and_then(|_| {
                index += 1;
                answer.value(index - 1)
            });
            let said = match &end.reason {
                Reason::Flag(path, value_at_end) => self.flag(end, path, value, *value_at_end)?,
                Reason::Total(at) => self.left(end, at, value, answer, (done.rows, done.least.rows, ROWS))?,
                Reason::PageCount(at) => {
                    self.left(end, at, value, answer, (done.pages, done.least.pages, PAGES))?
                }
                Reason::Missing(_) if value.is_none() => More::No,
                Reason::EmptyPage if rows == 0 => More::No,
                // One without any rows is no end if others say that there is more.
                Reason::ShortPage(size) if rows > 0 && rows < *size => More::No,
                Reason::Equals(path, wanted) => match value {
                    Some(value) if is(value, wanted) => More::No,
                    Some(_) => More::Unknown,
                    None => self.gone(end, "the value", path)?,
                },
                _ => More::Unknown,
            };
            match said {
                More::No => has_ended = true,
                More::Yes => more = More::Yes,
                More::Left(..) if more != More::Yes => more = said,
                More::Left(..) | More::Unknown => {}
            }
        }
        if has_ended {
            return Ok(More::No);
        }
        if rows == 0 && self.0.iter().any(|end| matches!(end.reason, Reason::ShortPage(_))) {
            return self.without_rows(more).map(|()| More::No);
        }
        Ok(more)
    }

    /// Accepts a page without rows as the end, unless there is more. A server that has failed to look may find them the next
    /// time.
    pub(super) fn without_rows(&self, more: More) -> Result<()> {
        more.deny("a page without rows").map_err(Error::once)
    }

    /// Whether the next position is this one again, and that is the end.
    pub(super) fn is_repeated(&self, answer: &Answer<'_>, next: &Position) -> bool {
        self.ends_repeated() && next == answer.position()
    }

    pub(super) fn ends_repeated(&self) -> bool {
        self.0.iter().any(|end| end.reason == Reason::Repeated)
    }

    fn flag(&self, end: &End, path: &str, value: Option<RawJson<'_>>, at_end: bool) -> Result<More> {
        let Some(value) = value else { return self.gone(end, "the flag", path) };
        match value.as_bool() {
            Some(flag) if flag == at_end => Ok(More::No),
            Some(_) => Ok(More::Yes),
            None => Err(Error::new(
                ErrorKind::Cursor,
                format!("the flag \"{path}\" is {}, neither true nor false", value.kind()),
            )),
        }
    }

    fn left(
        &self,
        end: &End,
        at: &At,
        value: Option<RawJson<'_>>,
        answer: &Answer<'_>,
        (done, least, unit): (u64, u64, &'static str),
    ) -> Result<More> {
        let no_number = |path: &str, kind: &str| {
            Error::new(ErrorKind::Cursor, format!("the count \"{path}\" is {kind}, not a whole number"))
        };
        let count = match at {
            At::Body(path) => match value {
                None => return self.gone(end, "the count", path),
                Some(value) => value.as_u64().ok_or_else(|| no_number(path, value.kind()))?,
            },
            At::Header(name) => match At::header(name, answer) {
                None => return self.gone(end, "the count", name),
                Some(text) => text.trim().parse().map_err(|_| no_number(name, "a text"))?,
            },
        };
        // Counts go down when rows are deleted; but one that the answer itself goes beyond counts something else, or
        // nothing: some APIs say 0 where they have not counted.
        if count < least {
            let what = format!("by the count there are {count} {unit}, and by the answer at least {least}");
            return Err(Error::new(ErrorKind::Truncated, what).advice(
                "the count is of something else, or was not made: end the source by something else",
            ));
        }
        if count == 0 && answer.rows_before > 0 {
            let what = format!("by the count there are no {unit}, and {} rows have come", answer.rows_before);
            return Err(Error::new(ErrorKind::Truncated, what).once().advice(
                "the server has not looked, or the list was emptied while it was read: run it again",
            ));
        }
        // A page that completes the count and has nothing: the first one was left out.
        if unit == PAGES && count == done && done > 1 && answer.records.is_some_and(|found| found.rows() == 0)
        {
            let what = format!("the last of {count} pages by the count has no rows");
            return Err(Error::new(ErrorKind::Truncated, what)
                .once()
                .advice("are the pages counted from another number? say it with `start(0)` or `start(1)`"));
        }
        Ok(match count.saturating_sub(done) {
            0 => More::No,
            left => More::Left(left, unit),
        })
    }

    /// What is looked at is not there.
    fn gone(&self, end: &End, what: &str, path: &str) -> Result<More> {
        let is_end = |other: &End| matches!(&other.reason, Reason::Missing(gone) if gone == path);
        match (self.0.iter().any(is_end), end.optional) {
            (true, _) => Ok(More::No),
            (false, true) => Ok(More::Unknown),
            (false, false) => Err(missing(what, path).advice(
                "if the API may leave it out, say so: with `optional()`, or with `End::missing` if that is the end",
            )),
        }
    }

    pub(super) fn definition(&self, size: Option<u64>) -> String {
        let mut ends: Vec<&End> = self.0.iter().collect();
        ends.sort_by_key(|end| rank(end));
        ends.into_iter().map(|end| end.definition(size)).collect()
    }
}

impl More {
    /// Whether something says that there is more.
    pub(super) fn is_claimed(self) -> bool {
        matches!(self, Self::Yes | Self::Left(..))
    }

    /// How many pages of so many rows are left, if that is known.
    pub(super) fn steps_left(self, rows: u64) -> u64 {
        match self {
            Self::No => 0,
            Self::Left(left, ROWS) => left.div_ceil(rows.max(1)),
            Self::Left(left, _) => left,
            Self::Unknown | Self::Yes => u64::MAX,
        }
    }

    /// Accepts that something says that there is no more, unless another says that there is.
    pub(super) fn deny(self, what: &str) -> Result<()> {
        match self {
            Self::Yes => Err(contradiction(format!("{what}, though the source says that there is more"))),
            Self::Left(left, unit) => {
                Err(contradiction(format!("{what}, though by the count there are {left} {unit} more")))
            }
            Self::No | Self::Unknown => Ok(()),
        }
    }
}

fn is(value: RawJson<'_>, wanted: &Value) -> bool {
    serde_json::from_str::<Value>(value.text()).is_ok_and(|value| is_same(&value, wanted))
}

/// The source says that there is more and does not say where.
fn contradiction(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Truncated, what.into())
        .advice("nothing was skipped, but the source has more than it hands out; the checkpoint stays here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paginate::Cursor;
    use crate::paginate::testing::page;

    /// Whether a list with a token that never ends is at its end.
    fn ends(end: impl IntoIterator<Item = End>, rest: &str) -> Result<bool> {
        let list = end.into_iter().fold(Cursor::body("next"), Cursor::until);
        let body = format!(r#"{{"next":"t",{rest}}}"#);
        page(Position::Start, body).to(&list).map(|next| next.is_none())
    }

    fn one(end: End, rest: &str) -> Result<bool> {
        ends([end], rest)
    }

    #[test]
    fn each_reason_ends_the_source_and_only_when_it_holds() {
        for (end, yes, no) in [
            (End::when_false("f"), r#""f":false"#, r#""f":true"#),
            (End::when_false("f"), r#""f":"false""#, r#""f":"true""#),
            (End::when_true("f"), r#""f":"True""#, r#""f":"False""#),
            (End::total("n"), r#""n":2,"data":[1,2]"#, r#""n":"3","data":[1,2]"#),
            (End::page_count("n"), r#""n":1"#, r#""n":2"#),
            (End::short_page(2), r#""data":[1]"#, r#""data":[1,2]"#),
            (End::short_page(2), r#""data":[]"#, r#""data":[1,2]"#),
            (End::empty_page(), r#""data":[]"#, r#""data":[1]"#),
            (End::missing("f"), r#""x":0"#, r#""f":null"#),
            (End::equals("f", "done"), r#""f":"done""#, r#""f":"open""#),
            (End::equals("f", 0), r#""f":"0""#, r#""f":1"#),
            (End::when_false("f").optional(), r#""f":false"#, r#""x":0"#),
        ] {
            assert!(one(end.clone(), yes).unwrap(), "{end:?} {yes}");
            assert!(!one(end.clone(), no).unwrap(), "{end:?} {no}");
        }
    }

    #[test]
    fn what_is_promised_and_missing_is_an_error_unless_declared() {
        for end in
            [End::when_false("f"), End::total("f"), End::page_count_header("x-pages"), End::equals("f", 1)]
        {
            assert_eq!(one(end.clone(), r#""x":0"#).unwrap_err().kind(), ErrorKind::Cursor, "{end:?}");
            assert!(!one(end.clone().optional(), r#""x":0"#).unwrap(), "{end:?}");
        }
        assert!(ends([End::when_true("f"), End::missing("f")], r#""x":0"#).unwrap());
        assert!(!ends([End::when_true("f"), End::missing("f")], r#""f":false"#).unwrap());
        assert!(one(End::total("n"), r#""n":null"#).is_err());
    }

    #[test]
    fn a_count_below_what_stands_beside_it_is_no_count() {
        for (end, rest) in [
            (End::total("n"), r#""n":0,"data":[1,2]"#),
            (End::total("n"), r#""n":1,"data":[1,2]"#),
            (End::page_count("n"), r#""n":0,"data":[1,2]"#),
        ] {
            assert_eq!(one(end, rest).unwrap_err().kind(), ErrorKind::Truncated, "{rest}");
        }
        for end in [End::total("n"), End::page_count("n")] {
            assert!(one(end, r#""n":0,"data":[]"#).unwrap(), "an empty list");
        }
    }

    #[test]
    fn any_of_several_ends() {
        let both = || [End::when_false("f"), End::total("n")];
        assert!(ends(both(), r#""f":true,"n":1,"data":[1]"#).unwrap());
        assert!(ends(both(), r#""f":false,"n":9,"data":[1]"#).unwrap());
        assert!(!ends(both(), r#""f":true,"n":9,"data":[1]"#).unwrap());
    }

    #[test]
    fn a_page_without_rows_is_not_short_while_there_is_more() {
        let error = ends([End::short_page(2), End::when_false("f")], r#""f":true,"data":[]"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
        let error = ends([End::short_page(2), End::total("n")], r#""n":5,"data":[]"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated);
    }

    #[test]
    fn a_count_may_stand_in_a_header() {
        let list = Cursor::body("next").until(End::total_header("x-total"));
        let shown =
            |total: &str| page(Position::Start, r#"{"next":"t","data":[1,2]}"#).header("x-total", total);
        assert_eq!(shown("2").to(&list).unwrap(), None);
        assert!(shown("3").to(&list).unwrap().is_some());
        assert!(shown("many").to(&list).is_err());
    }
}
