//! Holding back the poll until there is a permit.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use super::{PageStream, Paged};
use crate::error::{ErrorKind, Result};
use crate::limit::{Acquire, Limiter, Permit};
use crate::meter::Meter;
use crate::page::{Page, Select};
use crate::paginate::guard::Guard;

/// The stream of [`PagesExt::rate_limit`](super::PagesExt::rate_limit).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct RateLimit<S> {
    #[pin]
    inner: S,
    limiter: Limiter,
    cost: u32,
    gate: Gate,
    meter: Meter,
}

/// The poll is gated, not the item: no request is sent without a permit.
#[derive(Debug)]
enum Gate {
    Closed,
    Waiting(Acquire),
    /// The permit is held until the inner stream answers.
    Open(Permit),
}

impl<S: Paged> RateLimit<S> {
    pub(super) fn new(inner: S, limiter: Limiter) -> Self {
        let meter = inner.meter();
        Self { inner, limiter, cost: 1, gate: Gate::Closed, meter }
    }

    /// Sets what one request costs, in the units of the limiter: see [`Limiter::acquire_cost`]. The default is 1.
    pub fn cost(mut self, cost: u32) -> Self {
        self.cost = cost;
        self
    }
}

impl<S: PageStream> Stream for RateLimit<S> {
    type Item = Result<Page>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            match this.gate {
                Gate::Closed if this.inner.is_terminated() => return Poll::Ready(None),
                Gate::Closed => *this.gate = Gate::Waiting(this.limiter.acquire_cost(*this.cost)),
                Gate::Waiting(wait) => {
                    let Poll::Ready(permit) = Pin::new(&mut *wait).poll(cx) else {
                        if let Some(until) = wait.until() {
                            this.meter.wait_until(until);
                        }
                        return Poll::Pending;
                    };
                    this.meter.waited(permit.waited());
                    *this.gate = Gate::Open(permit);
                }
                Gate::Open(permit) => {
                    let watched = permit.waker(cx.waker());
                    let mut context = Context::from_waker(watched.as_ref().unwrap_or(cx.waker()));
                    let item = ready!(this.inner.as_mut().poll_next(&mut context));
                    if let Gate::Open(permit) = std::mem::replace(this.gate, Gate::Closed) {
                        match &item {
                            Some(Ok(page)) => permit.answered(&page.hints),
                            Some(Err(error)) if error.kind() == ErrorKind::RateLimited => {
                                permit.refused(error.hints());
                            }
                            Some(Err(error)) => permit.failed(error.hints()),
                            None => drop(permit),
                        }
                    }
                    return Poll::Ready(item);
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

impl<S: PageStream> FusedStream for RateLimit<S> {
    fn is_terminated(&self) -> bool {
        self.inner.is_terminated()
    }
}

impl<S: PageStream> Paged for RateLimit<S> {
    fn select(&mut self, records: &Select) {
        self.inner.select(records);
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn count_into(&mut self, meter: &Meter) {
        self.inner.count_into(meter);
        self.meter = meter.clone();
    }

    fn in_lane(&mut self, lanes: usize) -> Option<Guard> {
        self.inner.in_lane(lanes)
    }
}

impl<S: PageStream> PageStream for RateLimit<S> {}
