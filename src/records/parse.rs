//! Records into values of one's own.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;
use serde::de::DeserializeOwned;

use super::Record;
use crate::error::Result;

/// The stream of [`RecordsExt::parse`](super::RecordsExt::parse).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Parse<S, T> {
    #[pin]
    records: S,
    target: PhantomData<fn() -> T>,
}

impl<S, T> Parse<S, T> {
    pub(super) fn new(records: S) -> Self {
        Self { records, target: PhantomData }
    }
}

impl<S: Stream<Item = Result<Record>>, T: DeserializeOwned> Stream for Parse<S, T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().records.poll_next(cx).map(|record| record.map(|record| record?.parse()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl<S: FusedStream<Item = Result<Record>>, T: DeserializeOwned> FusedStream for Parse<S, T> {
    fn is_terminated(&self) -> bool {
        self.records.is_terminated()
    }
}
