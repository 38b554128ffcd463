//! Asking again for a page that failed.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep};

use super::{PageStream, Paged};
use crate::error::Result;
use crate::meter::Meter;
use crate::page::{Page, Select};
use crate::paginate::guard::Guard;
use crate::retry::{Decision, RetryPolicy, Tries};

/// The stream of [`PagesExt::retry`](super::PagesExt::retry).
#[pin_project]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Retry<S> {
    #[pin]
    inner: S,
    policy: RetryPolicy,
    random: fastrand::Rng,
    tries: Tries,
    stage: Stage,
    meter: Meter,
}

enum Stage {
    Asking,
    // Boxed, for most pages never wait.
    Waiting(Pin<Box<Sleep>>, Instant),
    Ended,
}

impl<S: Paged> Retry<S> {
    pub(super) fn new(inner: S, policy: RetryPolicy) -> Self {
        let meter = inner.meter();
        let random = policy.random();
        Self { inner, policy, random, tries: Tries::default(), stage: Stage::Asking, meter }
    }
}

impl<S: PageStream> Stream for Retry<S> {
    type Item = Result<Page>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        loop {
            match this.stage {
                Stage::Ended => return Poll::Ready(None),
                Stage::Waiting(sleep, since) => {
                    ready!(sleep.as_mut().poll(cx));
                    this.meter.waited(since.elapsed());
                    this.meter.retry();
                    *this.stage = Stage::Asking;
                }
                Stage::Asking => {
                    let error = match ready!(this.inner.as_mut().poll_next(cx)) {
                        Some(Ok(page)) => {
                            *this.tries = Tries::default();
                            this.policy.answered(&page.host);
                            return Poll::Ready(Some(Ok(page)));
                        }
                        Some(Err(error)) => error,
                        None => {
                            *this.stage = Stage::Ended;
                            return Poll::Ready(None);
                        }
                    };
                    match this.policy.decide(this.tries, &error, this.random.f64()) {
                        Decision::Retry(delay) => {
                            tracing::debug!(?delay, %error, "a page failed and is asked for again");
                            this.meter.wait_until(Instant::now() + delay);
                            *this.stage = Stage::Waiting(Box::pin(sleep(delay)), Instant::now());
                        }
                        Decision::GiveUp(why) => {
                            *this.stage = Stage::Ended;
                            let error = this.policy.explain(why, *this.tries, error, SystemTime::now());
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self.stage {
            Stage::Ended => (0, Some(0)),
            _ => self.inner.size_hint(),
        }
    }
}

impl<S: PageStream> FusedStream for Retry<S> {
    fn is_terminated(&self) -> bool {
        match self.stage {
            Stage::Ended => true,
            Stage::Asking => self.inner.is_terminated(),
            Stage::Waiting(..) => false,
        }
    }
}

// Not a `PageStream`: after its error it does not ask again.
impl<S: PageStream> Paged for Retry<S> {
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

impl<S: fmt::Debug> fmt::Debug for Retry<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}
