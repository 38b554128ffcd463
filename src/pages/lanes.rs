//! Several pages at once, of a list whose positions are known ahead: offsets and page numbers.
//!
//! Which page comes next is still only known from the page before it. What stands behind that one is *foreseen*
//! ([`Paginate::foresee`](crate::paginate::Paginate::foresee)) and asked for, each page by a stream of its own with a limiter and
//! retries of its own. A page that was asked for too early is given out only if the one before it leads there; otherwise
//! it is dropped, and asked for again from where the list really goes on. So a server that clamps the size, or a short page
//! in the middle, costs requests, and never a record.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::FusedStream;
use futures::{Stream, StreamExt};
use tokio::task::JoinSet;

use super::Paged;
use crate::error::{Error, ErrorKind, Result};
use crate::mark::{Mark, Trail};
use crate::meter::Meter;
use crate::page::selection::Selected;
use crate::page::{Page, Select};
use crate::paginate::guard::Guard;
use crate::request::Foreseen;

/// The pages of one list, up to so many of them asked for at once, in their order.
///
/// The first page is asked for alone: it says how many rows the server gives, and perhaps how many there are. So is the
/// page behind one that was shorter than those before. For the rest, up to `lanes` pages are on their way or waiting to be
/// given out, each on a task of its own. Behind the end at most `lanes - 1` requests are sent, and none if the total is
/// known (`until_total`, `until_page_count`). Memory: `lanes` pages.
///
/// The mark behind a page is what it would be without lanes, so a run may go on with another number of them. It ends with
/// the first error: the limiter and the retries belong to each lane. Dropping it ends its tasks.
///
/// ```no_run
/// use futures::StreamExt;
/// use headwater::pages::Lanes;
/// use headwater::{Http, Limiter, Mark, Pages, PagesExt, Request, RetryPolicy, paginate::Offset};
///
/// # async fn run() -> headwater::Result<()> {
/// let (http, request) = (Http::new()?, Request::get("https://api.example.com/items")?);
/// let (limiter, policy) = (Limiter::per_second(10.0), RetryPolicy::exponential());
/// let mut pages = Lanes::new(8, Mark::start(), move |mark| {
///     Pages::new(http.clone(), request.clone(), Offset::new(100).until_total("total"))
///         .resume(mark)
///         .rate_limit(limiter.clone())
///         .retry(policy.clone())
/// });
/// while let Some(page) = pages.next().await {
///     println!("{}", page?.number);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// The first poll must happen within a tokio runtime.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Lanes<F> {
    make: F,
    most: usize,
    records: Option<Select>,
    meter: Meter,
    /// Behind the last page that was given out.
    mark: Mark,
    /// That of the first stream that was made; it watches over the pages in their order.
    guard: Option<Guard>,
    has_begun: bool,
    /// What is on its way or waits, in the order of the list. The first is the page at the mark.
    lanes: VecDeque<Lane>,
}

struct Lane {
    at: Foreseen,
    /// Whether the page before it was not there yet when it was asked for.
    is_guess: bool,
    /// Ends the task when it is dropped.
    page: JoinSet<Option<Result<Page>>>,
}

impl<S, F> Lanes<F>
where
    S: Paged + Send + 'static,
    F: Fn(Mark) -> S,
{
    /// Asks for up to `lanes` pages at once, 0 counts as 1. `make` makes the stream that asks for the page at a mark.
    pub fn new(lanes: usize, mark: Mark, make: F) -> Self {
        Self {
            make,
            most: lanes.max(1),
            records: None,
            meter: Meter::new(),
            mark,
            guard: None,
            has_begun: false,
            lanes: VecDeque::new(),
        }
    }

    /// Begins to ask for the page at a place.
    fn begin(&mut self, at: Foreseen, is_guess: bool) {
        let pages = self.mark.pages + self.lanes.len() as u64;
        let rows = at.rows_before.unwrap_or(self.mark.rows);
        let mark = Mark {
            next: Some(at.position.clone()),
            pages,
            rows,
            trail: Trail::default(),
            ..self.mark.clone()
        };
        let mut stream = (self.make)(mark);
        if let Some(records) = &self.records {
            stream.select(records);
        }
        stream.count_into(&self.meter);
        let guard = stream.in_lane(self.most);
        if !self.has_begun {
            self.has_begun = true;
            self.guard = guard;
            if let Some(guard) = &mut self.guard {
                guard.resume(&self.mark.trail, &at.position);
            }
        }
        let mut page = JoinSet::new();
        page.spawn(async move { Box::pin(stream).next().await });
        self.lanes.push_back(Lane { at, is_guess, page });
    }

    /// Takes the page at the mark, and asks for those that stand behind it.
    fn take(&mut self, mut page: Page) -> Result<Page> {
        page.mark.rows = self.mark.rows + page.selected.as_ref().map_or(0, Selected::rows);
        if let Some(guard) = &mut self.guard {
            let records =
                page.selected.as_ref().map_or(Cow::Borrowed(&[][..]), |found| found.all(&page.body));
            guard.follow(&records, page.selected.as_ref().map(Selected::rows), page.mark.next.as_ref())?;
        }
        page.mark.trail = self.guard.as_ref().map_or_else(|| self.mark.trail.clone(), Guard::trail);
        self.mark = page.mark.clone();
        let foreseen = std::mem::take(&mut page.foreseen);
        let Some(next) = page.mark.next.clone() else {
            self.lanes.clear();
            return Ok(page);
        };
        let next = Foreseen { position: next, rows_before: Some(self.mark.rows) };
        // A page that was shorter than foreseen is often the last: nothing is guessed behind it.
        let is_short = self.lanes.front().is_some_and(|lane| lane.at.position != next.position);
        let most = if is_short { 1 } else { self.most };
        let behind: Vec<Foreseen> = std::iter::once(next).chain(foreseen).take(most).collect();
        let kept = self.lanes.iter().zip(&behind).take_while(|(lane, wanted)| lane.at.is(wanted)).count();
        self.lanes.truncate(kept);
        for (index, at) in behind.into_iter().enumerate().skip(kept) {
            self.begin(at, index > 0);
        }
        Ok(page)
    }

    /// Whether a page was the end when it was asked for, and the page before it, which came later, says that there is
    /// more: the list has grown in between.
    fn is_outdated(&self, page: &Page) -> bool {
        let rows = page.selected.as_ref().map_or(0, Selected::rows);
        self.mark.more && rows == 0 && page.mark.next.is_none()
    }

    fn end(&mut self) {
        self.mark.next = None;
        self.lanes.clear();
    }
}

impl<S, F> Stream for Lanes<F>
where
    S: Paged + Send + 'static,
    F: Fn(Mark) -> S + Unpin,
{
    type Item = Result<Page>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let come = loop {
            let Some(next) = &this.mark.next else { return Poll::Ready(None) };
            if this.lanes.is_empty() {
                let at = Foreseen { position: next.clone(), rows_before: Some(this.mark.rows) };
                this.begin(at, false);
            }
            let Some(first) = this.lanes.front_mut() else { return Poll::Ready(None) };
            let come = ready!(first.page.poll_join_next(cx));
            let is_guess = first.is_guess;
            this.lanes.pop_front();
            match &come {
                Some(Ok(Some(Ok(page)))) if is_guess && this.is_outdated(page) => this.lanes.clear(),
                _ => break come,
            }
        };
        let item = match come {
            Some(Ok(Some(page))) => page.and_then(|page| this.take(page)),
            Some(Ok(None)) => {
                Err(Error::new(ErrorKind::Stopped, "the stream of a lane ended before its page"))
            }
            Some(Err(_)) | None => {
                let what =
                    "the task of a lane ended before its page came (it panicked, or its runtime stopped)";
                Err(Error::new(ErrorKind::Stopped, what))
            }
        };
        if item.is_err() {
            this.end();
        }
        Poll::Ready(Some(item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.mark.is_end().then_some(0))
    }
}

impl<S, F> FusedStream for Lanes<F>
where
    S: Paged + Send + 'static,
    F: Fn(Mark) -> S + Unpin,
{
    fn is_terminated(&self) -> bool {
        self.mark.is_end()
    }
}

impl<S, F> Paged for Lanes<F>
where
    S: Paged + Send + 'static,
    F: Fn(Mark) -> S + Unpin,
{
    fn select(&mut self, records: &Select) {
        self.records = Some(records.clone());
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn count_into(&mut self, meter: &Meter) {
        self.meter = meter.clone();
    }
}

impl<F> fmt::Debug for Lanes<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("most", &self.most)
            .field("open", &self.lanes.len())
            .field("counts", &self.meter.counts())
            .finish_non_exhaustive()
    }
}
