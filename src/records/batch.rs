//! The records of one page, and the mark behind them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use super::Record;
use crate::error::Result;
use crate::mark::Mark;
use crate::page::{JsonPath, Page};

/// The records of one page with the mark behind them: what travels from a source to a sink.
///
/// That both come together is the contract: a sink that has taken a batch has all the records before its
/// mark. An empty page is a batch too.
#[derive(Debug, Clone)]
pub struct Batch {
    page: Page,
}

impl Batch {
    /// Finds the records of a page, unless that was done when it was fetched.
    ///
    /// # Errors
    /// `RecordPath` if the path is missing from the page or holds no array.
    pub fn new(mut page: Page, path: &JsonPath) -> Result<Self> {
        page.select(path)?;
        Ok(Self { page })
    }

    /// The page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.spans().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.spans().is_empty()
    }

    /// The records, one by one.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let (body, at) = (&self.page.body, self.page.fetched_at);
        self.spans()
            .iter()
            .map(move |span| Record::slice(body.slice(span.start as usize..span.end as usize), at))
    }

    /// The text of the records, one by one, borrowed.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.spans().iter().map(|span| &self.page.body[span.start as usize..span.end as usize])
    }

    /// The record of this index.
    pub(crate) fn record(&self, index: usize) -> Option<Record> {
        let span = self.spans().get(index)?;
        Some(Record::slice(
            self.page.body.slice(span.start as usize..span.end as usize),
            self.page.fetched_at,
        ))
    }

    /// What stands behind the records.
    pub fn mark(&self) -> Mark {
        self.page.mark()
    }

    /// When the page was complete (wall clock).
    pub fn fetched_at(&self) -> SystemTime {
        self.page.fetched_at
    }

    fn spans(&self) -> &[crate::page::walk::Span] {
        self.page.selected.as_ref().map_or(&[], |selected| &selected.spans)
    }
}

/// The stream of [`RecordsExt::batches`](super::RecordsExt::batches).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Batches<S> {
    #[pin]
    pages: S,
    /// The error of a path that cannot be read waits here for the first poll.
    path: Result<JsonPath>,
    ended: bool,
}

impl<S> Batches<S> {
    pub(super) fn new(pages: S, path: Result<JsonPath>) -> Self {
        Self { pages, path, ended: false }
    }
}

impl<S: Stream<Item = Result<Page>>> Stream for Batches<S> {
    type Item = Result<Batch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let path = match this.path {
            Ok(path) => &*path,
            Err(_) => {
                *this.ended = true;
                return Poll::Ready(std::mem::replace(this.path, Ok(JsonPath::default())).err().map(Err));
            }
        };
        let batch = match ready!(this.pages.poll_next(cx)) {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(page)) => {
                let (number, position) = (page.number, page.position.to_string());
                let place = |error: crate::error::Error| {
                    error.at(|context| {
                        context.page = Some(number);
                        context.position = Some(position);
                    })
                };
                Some(Batch::new(page, path).map_err(place))
            }
        };
        // An error that comes through here was not retried below: it is the end.
        *this.ended = !matches!(batch, Some(Ok(_)));
        Poll::Ready(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended { (0, Some(0)) } else { self.pages.size_hint() }
    }
}

impl<S: Stream<Item = Result<Page>>> FusedStream for Batches<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
