//! The steps, around a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use super::{Scratch, Transform};
use crate::error::Result;
use crate::records::{Batch, Record};

/// The stream of [`RecordsExt::transform`](crate::RecordsExt::transform).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Transformed<S> {
    #[pin]
    records: S,
    transform: Transform,
}

impl<S> Transformed<S> {
    pub(in crate::records) fn new(records: S, transform: Transform) -> Self {
        Self { records, transform }
    }
}

impl<S: Stream<Item = Result<Record>>> Stream for Transformed<S> {
    type Item = Result<Record>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            let record = match ready!(this.records.as_mut().poll_next(cx)) {
                Some(Ok(record)) => record,
                other => return Poll::Ready(other),
            };
            if let Some(item) = this.transform.apply(record).transpose() {
                return Poll::Ready(Some(item));
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.records.size_hint().1)
    }
}

impl<S: FusedStream<Item = Result<Record>>> FusedStream for Transformed<S> {
    fn is_terminated(&self) -> bool {
        self.records.is_terminated()
    }
}

/// The stream of [`RecordsExt::transform_batches`](crate::RecordsExt::transform_batches).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct TransformedBatches<S> {
    #[pin]
    batches: S,
    transform: Transform,
    scratch: Scratch,
    ended: bool,
}

impl<S> TransformedBatches<S> {
    pub(in crate::records) fn new(batches: S, transform: Transform) -> Self {
        Self { batches, transform, scratch: Scratch::default(), ended: false }
    }
}

impl<S: Stream<Item = Result<Batch>>> Stream for TransformedBatches<S> {
    type Item = Result<Batch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let batch = ready!(this.batches.poll_next(cx)).map(|batch| {
            this.transform.check()?;
            this.transform.batch(batch?, this.scratch)
        });
        *this.ended = !matches!(batch, Some(Ok(_)));
        Poll::Ready(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended { (0, Some(0)) } else { self.batches.size_hint() }
    }
}

impl<S: Stream<Item = Result<Batch>>> FusedStream for TransformedBatches<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}
