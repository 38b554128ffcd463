//! Pages into records.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use super::{Batch, Batches, Record};
use crate::error::Result;
use crate::page::{Page, Select};

/// The stream of [`RecordsExt::records`](super::RecordsExt::records).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Records<S> {
    #[pin]
    batches: Batches<S>,
    current: Option<(Batch, usize)>,
}

impl<S: Stream<Item = Result<Page>>> Records<S> {
    /// Flattens any stream of pages, one with foreign adapters in it too: each page is then walked once
    /// more to find the records. A path that cannot be read comes out as the first item.
    ///
    /// So a source that is no paginated API, a folder of saved answers say, is a few lines:
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use headwater::{Page, Position, records::Records};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> headwater::Result<()> {
    /// let saved = [r#"{"data":[{"id":1},{"id":2}]}"#, r#"{"data":[{"id":3}]}"#];
    /// let pages = async_stream::try_stream! {
    ///     for (index, body) in saved.into_iter().enumerate() {
    ///         let number = index as u64 + 1;
    ///         let next = (index + 1 < saved.len()).then_some(Position::Page(number + 1));
    ///         yield Page::new(body, number, Position::Page(number), next)?;
    ///     }
    /// };
    /// let records: Vec<_> = Records::new(pages, "data").try_collect().await?;
    /// assert_eq!(records.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(pages: S, records: impl Into<Select>) -> Self {
        Self::over(Batches::new(pages, &records.into()))
    }

    pub(super) fn over(batches: Batches<S>) -> Self {
        Self { batches, current: None }
    }
}

impl<S: Stream<Item = Result<Page>>> Stream for Records<S> {
    type Item = Result<Record>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            if let Some((batch, index)) = this.current {
                if let Some(record) = batch.record(*index) {
                    *index += 1;
                    return Poll::Ready(Some(Ok(record)));
                }
                *this.current = None;
            }
            match ready!(this.batches.as_mut().poll_next(cx)) {
                Some(Ok(batch)) => *this.current = Some((batch, 0)),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.current.as_ref().map_or(0, |(batch, index)| batch.len() - index);
        (here, self.batches.is_terminated().then_some(here))
    }
}

impl<S: Stream<Item = Result<Page>>> FusedStream for Records<S> {
    fn is_terminated(&self) -> bool {
        self.current.is_none() && self.batches.is_terminated()
    }
}
