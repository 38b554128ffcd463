//! Many sources into one stream, page by page.
//!
//! Each source runs on a task of its own: it fetches and parses while the pipeline writes. A bounded
//! channel lets it be one page ahead, so that a slow sink holds the sources back, and a crash costs little. `select_all` merges whole
//! pages; flattening into records comes last, for merging record by record costs ten times as much.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::channel::mpsc;
use futures::stream::{BoxStream, SelectAll};
use futures::{Stream, StreamExt, future};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Started;
use crate::error::Result;
use crate::meter::Meter;
use crate::records::Batch;

/// How far a source may be ahead of the sink, in pages, the one that it is fetching included: what this channel has room
/// for besides the one that each sender may always send.
const ROOM: usize = 0;

/// After so many pages in a row the task gives way to others.
const IN_A_ROW: u32 = 64;

/// A page on its way to the sink. Boxed, for there may be thousands of sources.
type Sent = Box<Result<Batch>>;

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
    arrivals: SelectAll<Arrivals>,
    in_a_row: u32,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Merge {
    /// Starts the sources; the stop token lets each finish its page and then end.
    pub(crate) fn start(sources: Vec<(Arc<str>, Started)>, stop: &CancellationToken) -> Self {
        let mut merge =
            Self { arrivals: SelectAll::new(), in_a_row: 0, tasks: JoinSet::new(), stop: stop.clone() };
        for (name, started) in sources {
            merge.add(name, started);
        }
        merge
    }

    /// Starts another one.
    pub(crate) fn add(&mut self, name: Arc<str>, Started { batches, meter }: Started) {
        let (sender, receiver) = mpsc::channel(ROOM);
        self.tasks.spawn(pull(batches, meter, sender, self.stop.clone()));
        self.arrivals.push(Arrivals { name, pages: Some(receiver) });
    }
}

/// What comes from one source, its end included.
struct Arrivals {
    name: Arc<str>,
    pages: Option<mpsc::Receiver<Sent>>,
}

impl Stream for Arrivals {
    type Item = (Arc<str>, Arrival);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(pages) = &mut self.pages else { return Poll::Ready(None) };
        let arrival = match ready!(pages.poll_next_unpin(cx)) {
            Some(sent) => match *sent {
                Ok(batch) => Arrival::Batch(batch),
                Err(error) => Arrival::Failed(error),
            },
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
        if self.in_a_row == IN_A_ROW {
            self.in_a_row = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let arrival = self.arrivals.poll_next_unpin(cx);
        self.in_a_row = if arrival.is_ready() { self.in_a_row + 1 } else { 0 };
        arrival
    }
}

async fn pull(
    batches: BoxStream<'static, Result<Batch>>,
    meter: Meter,
    mut sender: mpsc::Sender<Sent>,
    stop: CancellationToken,
) {
    let mut batches = pin!(batches.fuse());
    loop {
        // A page is only begun when there is room for it: so no more than one that the pipeline has not taken is
        // lost in a crash.
        let room = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            room = future::poll_fn(|cx| sender.poll_ready(cx)) => room,
        };
        if room.is_err() {
            return;
        }
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            batch = batches.next() => match batch {
                None => return,
                some => some,
            },
        };
        let Some(batch) = batch else {
            // Nothing new is begun. A page that is on its way is still taken; a wait is not sat out.
            let last = tokio::select! {
                biased;
                batch = last_page(&mut batches, &meter) => batch,
                () = meter.idle() => None,
            };
            if let Some(batch) = last {
                // If nobody takes it any more, the run is over.
                let _ = sender.try_send(Box::new(batch));
            }
            return;
        };
        if sender.try_send(Box::new(batch)).is_err() {
            return;
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
