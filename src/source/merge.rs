//! Many sources into one stream, page by page.
//!
//! Each of several sources runs on a task of its own: it fetches and parses while the pipeline writes. A bounded
//! channel lets it be one page ahead, so that a slow sink holds the sources back, and a crash costs little. `select_all` merges whole
//! pages; flattening into records comes last, for merging record by record costs ten times as much.
//!
//! A source that is alone stays on the pipeline's task, which goes on with it while it waits for the sink: what parsing
//! and writing at the same time would gain is less than what it costs to move each page from one processor to another.
//! It is polled as it is, for `select_all` wakes its own task once more whenever all that it holds is pending, which
//! for a stream of one is at each wait.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::stream::{self, BoxStream, Fuse, Map, SelectAll};
use futures::{Stream, StreamExt, future};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::Started;
use crate::error::Result;
use crate::meter::Meter;
use crate::records::Batch;

/// How far a source may be ahead of the sink, in pages, the one that it is fetching included.
const AHEAD: usize = 1;

/// After so many pages in a row the task gives way to others.
const IN_A_ROW: u32 = 64;

/// A page on its way to the sink. Boxed, for a channel has room for 32 of what goes through it, and there may be thousands
/// of sources.
type Sent = Box<Result<Batch>>;

type Received = Map<ReceiverStream<Sent>, fn(Sent) -> Result<Batch>>;

/// What comes from a source.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are batches")]
pub(crate) enum Arrival {
    Batch(Batch),
    /// The source gave up.
    Failed(crate::error::Error),
    /// Nothing more comes from it, for whatever reason.
    Ended,
}

/// The merged stream: which source, and what came. Dropping it ends the tasks.
pub(crate) struct Merge {
    streams: Streams,
    in_a_row: u32,
    stop: CancellationToken,
}

enum Streams {
    /// Several sources, each on a task.
    Several { arrivals: SelectAll<Arrivals<Received>>, tasks: JoinSet<()> },
    /// One source, which has no task.
    Alone {
        /// Its stream, and behind it those with which it begins anew.
        streams: VecDeque<Arrivals<BoxStream<'static, Result<Batch>>>>,
        /// What has come of it beside something else.
        ahead: Option<(Arc<str>, Arrival)>,
    },
}

impl Merge {
    /// Starts the sources; the stop token lets each finish its page and then end.
    pub(crate) fn start(sources: Vec<(Arc<str>, Started)>, stop: &CancellationToken) -> Self {
        let streams = if sources.len() == 1 {
            Streams::Alone { streams: VecDeque::new(), ahead: None }
        } else {
            Streams::Several { arrivals: SelectAll::new(), tasks: JoinSet::new() }
        };
        let mut merge = Self { streams, in_a_row: 0, stop: stop.clone() };
        for (name, started) in sources {
            merge.add(name, started);
        }
        merge
    }

    /// Starts another one, or one that has ended anew.
    pub(crate) fn add(&mut self, name: Arc<str>, started: Started) {
        let pull = Pull::new(started, self.stop.clone());
        match &mut self.streams {
            Streams::Alone { streams, .. } => streams.push_back(Arrivals { name, pages: Some(pull.pages()) }),
            Streams::Several { arrivals, tasks } => {
                let (sender, receiver) = mpsc::channel(AHEAD);
                tasks.spawn(pull.send_all(sender));
                let pages: Received = ReceiverStream::new(receiver).map(|sent| *sent);
                arrivals.push(Arrivals { name, pages: Some(pages) });
            }
        }
    }

    /// Does something else, and goes on fetching meanwhile, up to the next page.
    pub(crate) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        future::poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            if let Streams::Alone { streams, ahead: ahead @ None } = &mut self.streams
                && let Poll::Ready(arrival) = next_of(streams, cx)
            {
                *ahead = arrival;
            }
            Poll::Pending
        })
        .await
    }
}

/// What comes next of streams that follow one another.
fn next_of<S: Stream + Unpin>(streams: &mut VecDeque<S>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
    while let Some(stream) = streams.front_mut() {
        if let Some(item) = ready!(stream.poll_next_unpin(cx)) {
            return Poll::Ready(Some(item));
        }
        streams.pop_front();
    }
    Poll::Ready(None)
}

/// What comes from one source, its end included.
struct Arrivals<P> {
    name: Arc<str>,
    pages: Option<P>,
}

impl<P: Stream<Item = Result<Batch>> + Unpin> Stream for Arrivals<P> {
    type Item = (Arc<str>, Arrival);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(pages) = &mut self.pages else { return Poll::Ready(None) };
        let arrival = match ready!(pages.poll_next_unpin(cx)) {
            Some(Ok(batch)) => Arrival::Batch(batch),
            Some(Err(error)) => Arrival::Failed(error),
            None => {
                self.pages = None;
                Arrival::Ended
            }
        };
        Poll::Ready(Some((self.name.clone(), arrival)))
    }
}

impl Stream for Merge {
    type Item = (Arc<str>, Arrival);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Streams::Alone { ahead, .. } = &mut self.streams
            && let Some(arrival) = ahead.take()
        {
            return Poll::Ready(Some(arrival));
        }
        if self.in_a_row == IN_A_ROW {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let arrival = match &mut self.streams {
            Streams::Several { arrivals, .. } => arrivals.poll_next_unpin(cx),
            Streams::Alone { streams, .. } => next_of(streams, cx),
        };
        self.in_a_row = if arrival.is_ready() { self.in_a_row + 1 } else { 0 };
        arrival
    }
}

/// A source at work.
struct Pull {
    batches: Fuse<BoxStream<'static, Result<Batch>>>,
    meter: Meter,
    stop: CancellationToken,
    stopped: bool,
}

impl Pull {
    fn new(Started { batches, meter }: Started, stop: CancellationToken) -> Self {
        Self { batches: batches.fuse(), meter, stop, stopped: false }
    }

    /// The next page. When it is to stop nothing new is begun; a page that is on its way is still taken, and a wait is
    /// not sat out.
    async fn next(&mut self) -> Option<Result<Batch>> {
        if self.stopped {
            return None;
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => {}
            batch = self.batches.next() => return batch,
        }
        self.stopped = true;
        tokio::select! {
            biased;
            batch = last_page(&mut self.batches, &self.meter) => batch,
            () = self.meter.idle() => None,
        }
    }

    /// The pages, where they are asked for. A panic ends them, as it ends a task.
    fn pages(self) -> BoxStream<'static, Result<Batch>> {
        let pages = stream::unfold(self, async |mut pull| Some((pull.next().await?, pull)));
        AssertUnwindSafe(pages).catch_unwind().scan((), |(), batch| future::ready(batch.ok())).boxed()
    }

    /// The pages, on a task of its own.
    async fn send_all(mut self, sender: mpsc::Sender<Sent>) {
        loop {
            // A page is only begun when there is room for it: so no more than one that the pipeline has not taken is
            // lost in a crash.
            let room = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                room = sender.reserve() => room,
            };
            let Ok(room) = room else { return };
            let Some(batch) = self.next().await else { return };
            room.send(Box::new(batch));
        }
    }
}

/// The page that is being fetched; never begins one.
async fn last_page<S: Stream + Unpin>(batches: &mut S, meter: &Meter) -> Option<S::Item> {
    if meter.is_idle() {
        return None;
    }
    batches.next().await
}
