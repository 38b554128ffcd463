//! Sources that hand out so many records and no more, however many there are.
//!
//! | API | ceiling | what happens there |
//! |---|---|---|
//! | GitHub search | 1,000 | 422 |
//! | Elasticsearch, HubSpot search, Zendesk search | 10,000 | 400 |
//! | openFDA | 25,000 | 400 |

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use crate::error::{Error, ErrorKind, Result};
use crate::meter::Meter;
use crate::page::selection::Selected;
use crate::page::walk::find;
use crate::page::{JsonPath, Page, Select, not_json};
use crate::pages::Paged;
use crate::paginate::RawJson;

/// So many records, and where a page says how many there are.
#[derive(Debug, Clone)]
pub(crate) struct Limit {
    pub(crate) rows: u64,
    pub(crate) total: Option<JsonPath>,
}

impl Limit {
    /// How many records there are, by what the page says.
    fn total(&self, page: &Page) -> Result<Option<u64>> {
        let Some(path) = &self.total else { return Ok(None) };
        let total = find(path, page.text()).map_err(|error| not_json(page.body(), error))?.map(RawJson);
        // What a rule takes for "no records" (openFDA's 404) says no total either.
        let is_nothing =
            page.next().is_none() && page.selected.as_ref().is_some_and(|found| found.rows() == 0);
        match total.and_then(RawJson::as_u64) {
            Some(total) => Ok(Some(total)),
            None if is_nothing => Ok(None),
            None => Err(Error::new(ErrorKind::Cursor, format!("the total \"{path}\" is not in the answer"))),
        }
    }

    /// Why a slice that none of whose records has left must be made smaller, if so.
    pub(super) fn is_reached_by(&self, page: &Page, is_first: bool) -> Result<Option<String>> {
        let rows = counted(page)?;
        if is_first && let Some(total) = self.total(page)?.filter(|total| *total >= self.rows) {
            return Ok(Some(format!("the source says that there are {total}")));
        }
        Ok((rows >= self.rows).then(|| format!("{rows} records have come")))
    }

    /// Whether an error is that of a page which would lie beyond the ceiling, or says itself that the slice is too large.
    pub(super) fn is_crossed_by(&self, held: &[Page], error: &Error) -> bool {
        error.context().is_too_many || self.is_near(held) && is_refused(error)
    }

    /// Whether a slice may end with a page because the next one would lie beyond the ceiling. The page is empty: a server
    /// may answer so, and a rule may take a refusal for the end. Or it is as full as any, and no total says that there is
    /// no more: a server may stop before a page that it could only give in part.
    pub(super) fn may_have_cut(&self, held: &[Page], page: &Page) -> bool {
        let rows = |page: &Page| page.selected.as_ref().map_or(0, Selected::rows);
        if rows(page) == 0 {
            return self.is_near(held);
        }
        // Of one page alone it is not known how many it could hold.
        let Some(largest) = held.iter().map(rows).max() else { return false };
        self.total.is_none() && rows(page) >= largest && page.mark.rows + largest > self.rows
    }

    /// Whether one more page, as large as the largest, would lie beyond the ceiling.
    fn is_near(&self, held: &[Page]) -> bool {
        let largest = held.iter().filter_map(|page| page.selected.as_ref()).map(Selected::rows);
        let rows = held.last().map_or(0, |page| page.mark.rows);
        rows > 0 && rows + largest.max().unwrap_or(0) > self.rows
    }

    /// Accepts a page of a slice that was whole, some of which has left already.
    pub(super) fn has_grown(&self, page: &Page) -> Result<()> {
        if counted(page)? < self.rows {
            return Ok(());
        }
        let what = format!("the slice has grown to {} records or more while it was read", self.rows);
        Err(Error::new(ErrorKind::Truncated, what).advice("start this source afresh, with smaller slices"))
    }
}

/// How many records have come, this page's included.
fn counted(page: &Page) -> Result<u64> {
    if page.selected.is_none() {
        return Err(Error::config("a ceiling counts records, and no record path was given")
            .advice("call `.records(path)` on the page stream itself"));
    }
    Ok(page.mark.rows)
}

/// Whether the server will not answer this request, whenever it is asked, or answers with nothing where it says that there
/// is more.
fn is_refused(error: &Error) -> bool {
    error.kind() == ErrorKind::Truncated
        || !error.is_transient()
            && matches!(error.context().status.map(|status| status.as_u16()), Some(400 | 404..=428))
}

/// The stream of [`PagesExt::ceiling`](crate::PagesExt::ceiling).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Ceiling<S> {
    #[pin]
    pages: S,
    limit: Result<Limit>,
    rows: u64,
    is_first: bool,
    ended: bool,
    meter: Meter,
}

impl<S: Paged> Ceiling<S> {
    pub(in crate::pages) fn new(pages: S, rows: u64) -> Self {
        Self::with(pages, Limit { rows, total: None }, 0)
    }

    /// `rows` have come before.
    pub(crate) fn with(pages: S, limit: Limit, rows: u64) -> Self {
        let meter = pages.meter();
        Self { pages, limit: Ok(limit), rows, is_first: true, ended: false, meter }
    }

    /// Says where a page says how many records there are: more than the ceiling is an error at once.
    ///
    /// A path that cannot be read comes out as the stream's first item, a `Config` error.
    pub fn total_at(mut self, path: &str) -> Self {
        self.limit = self.limit.and_then(|limit| Ok(Limit { total: Some(JsonPath::parse(path)?), ..limit }));
        self
    }
}

fn truncated(rows: u64, what: String) -> Error {
    Error::new(ErrorKind::Truncated, what)
        .advice(format!("pull it in slices that hold less than {rows} each: a `Window` of time, ids or keys"))
}

impl<S: Paged> Stream for Ceiling<S> {
    type Item = Result<Page>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let limit = match this.limit {
            Ok(limit) => limit,
            Err(_) => {
                *this.ended = true;
                let none = Limit { rows: 0, total: None };
                return Poll::Ready(std::mem::replace(this.limit, Ok(none)).err().map(Err));
            }
        };
        let item = match ready!(this.pages.poll_next(cx)) {
            Some(Ok(page)) => {
                let checked = counted(&page).and_then(|rows| {
                    *this.rows = rows;
                    let total = if *this.is_first { limit.total(&page)? } else { None };
                    match total.filter(|total| *total > limit.rows) {
                        Some(total) => {
                            let what = format!(
                                "there are {total} records, of which the source hands out {}",
                                limit.rows
                            );
                            Err(truncated(limit.rows, what))
                        }
                        None => Ok(()),
                    }
                });
                *this.is_first = false;
                if page.next().is_none() && *this.rows >= limit.rows {
                    this.meter.warn(format!(
                        "{} records came, and the source hands out no more than {}: there may be more",
                        this.rows, limit.rows
                    ));
                }
                Some(checked.map(|()| page))
            }
            Some(Err(error)) if *this.rows >= limit.rows && is_refused(&error) => {
                let what =
                    format!("there are more than {} records, and the source hands out no more", limit.rows);
                let context = error.context().clone();
                Some(Err(truncated(limit.rows, what)
                    .because(error.message().to_owned())
                    .at(|at| *at = context)))
            }
            other => other,
        };
        *this.ended = !matches!(&item, Some(Ok(page)) if page.next().is_some());
        Poll::Ready(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended { (0, Some(0)) } else { self.pages.size_hint() }
    }
}

impl<S: Paged> FusedStream for Ceiling<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S: Paged> Paged for Ceiling<S> {
    fn select(&mut self, records: &Select) {
        self.pages.select(records);
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn count_into(&mut self, meter: &Meter) {
        self.pages.count_into(meter);
        self.meter = meter.clone();
    }
}
