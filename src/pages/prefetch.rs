//! Fetching on while the last page is worked on.
//!
//! The bound is in pages and in bytes: a page is only begun when there is room for it in both. How large it will be
//! is not known before it is there, so the bytes may be exceeded by one page.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::stream::FusedStream;
use futures::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::Paged;
use crate::error::{Error, ErrorKind, Result};
use crate::meter::Meter;
use crate::page::{MAX_PAGE_BYTES, Page, Select};

/// The stream of [`PagesExt::prefetch`](super::PagesExt::prefetch).
#[must_use = "a stream does nothing unless it is polled"]
pub struct Prefetch<S> {
    stage: Stage<S>,
    meter: Meter,
}

enum Stage<S> {
    /// Not polled yet; boxed, so that the stream below need not be `Unpin`.
    Idle(Box<S>, Room),
    Running(Ahead),
    Ended,
}

/// Boxed, for a channel has room for 32 of what goes through it.
type Sent = Box<Option<Result<Page>>>;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
struct Room {
    pages: usize,
    bytes: usize,
}

struct Ahead {
    /// The bytes of the pages that wait.
    waiting: Arc<watch::Sender<usize>>,
    /// `None` is the proper end: a channel that closes without it lost its task.
    pages: mpsc::Receiver<Sent>,
    /// Ends the task when it is dropped.
    _task: JoinSet<()>,
}

impl<S: Paged> Prefetch<S> {
    pub(super) fn new(inner: S, pages: usize) -> Self {
        let meter = inner.meter();
        let room = Room { pages: pages.clamp(1, Semaphore::MAX_PERMITS), bytes: MAX_PAGE_BYTES };
        Self { stage: Stage::Idle(Box::new(inner), room), meter }
    }

    /// Sets how many bytes may wait, in the bodies of their pages: as long as it is so many or more, no page is begun.
    /// The default is 64 MiB; 0 counts as 1, which is one page.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        if let Stage::Idle(_, room) = &mut self.stage {
            room.bytes = bytes.max(1);
        }
        self
    }
}

fn start<S: Paged + Send + 'static>(inner: S, room: Room) -> Ahead {
    let (sender, receiver) = mpsc::channel(room.pages);
    let waiting = Arc::new(watch::Sender::new(0_usize));
    let filled = waiting.clone();
    let mut task = JoinSet::new();
    let most = room.bytes;
    task.spawn(async move {
        let mut inner = pin!(inner);
        let mut bytes = filled.subscribe();
        // A page is only begun when there is room for it. An error here: nobody listens any more, fine.
        while let Ok(room) = sender.reserve().await {
            if bytes.wait_for(|waiting| *waiting < most).await.is_err() {
                return;
            }
            let page = inner.next().await;
            let ended = page.is_none();
            filled.send_modify(|waiting| *waiting += size(&page));
            room.send(Box::new(page));
            if ended {
                return;
            }
        }
    });
    Ahead { waiting, pages: receiver, _task: task }
}

fn size(page: &Option<Result<Page>>) -> usize {
    page.iter().flatten().map(|page| page.body().len()).sum()
}

impl<S> Unpin for Prefetch<S> {}

impl<S: Paged + Send + 'static> Stream for Prefetch<S> {
    type Item = Result<Page>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Idle(inner, room) => Stage::Running(start(*inner, room)),
            other => other,
        };
        let Stage::Running(ahead) = &mut self.stage else { return Poll::Ready(None) };
        match ready!(ahead.pages.poll_recv(cx)).map(|sent| *sent) {
            Some(page @ Some(_)) => {
                ahead.waiting.send_modify(|waiting| *waiting -= size(&page));
                Poll::Ready(page)
            }
            Some(None) => {
                self.stage = Stage::Ended;
                Poll::Ready(None)
            }
            None => {
                self.stage = Stage::Ended;
                let what = "the task that fetched ahead ended before the stream did (it panicked, or its runtime stopped)";
                Poll::Ready(Some(Err(Error::new(ErrorKind::Stopped, what))))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.stage {
            Stage::Idle(inner, _) => inner.size_hint(),
            Stage::Running(ahead) => (ahead.pages.len().saturating_sub(1), None),
            Stage::Ended => (0, Some(0)),
        }
    }
}

impl<S: Paged + Send + 'static> FusedStream for Prefetch<S> {
    fn is_terminated(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }
}

impl<S: Paged + Send + 'static> Paged for Prefetch<S> {
    fn select(&mut self, records: &Select) {
        if let Stage::Idle(inner, _) = &mut self.stage {
            inner.select(records);
        }
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn count_into(&mut self, meter: &Meter) {
        if let Stage::Idle(inner, _) = &mut self.stage {
            inner.count_into(meter);
            self.meter = meter.clone();
        }
    }
}

impl<S> fmt::Debug for Prefetch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch").field("counts", &self.meter.counts()).finish_non_exhaustive()
    }
}
