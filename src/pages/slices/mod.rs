//! Streams of many parts, as one: a window of time, ids or keys in slices, and a fan-out from each record of one
//! stream to requests of its own.
//!
//! Up to `concurrency` parts are open, each a page stream of its own on a task of its own, so that a request on its way
//! is driven while the sink is slow. What comes out is still **one linear sequence of pages**: behind each page stands
//! a mark whose position is the whole state ([`Progress`](crate::request::Progress)), of the slices that are open and
//! of what has not begun. A slice that is finished is in neither, whatever the order. So a checkpoint, a sink and a
//! pipeline need to know nothing of slices, and a rerun from any mark is exact: pages that were fetched and not given
//! out are fetched again.
//!
//! The state nests: a slice of a window may be a fan-out, whose parents may come from a window.

mod bind;
mod ceiling;
mod engine;
mod fanout;
mod run;
mod window;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::{BoxStream, FusedStream};

pub use ceiling::Ceiling;
pub(crate) use ceiling::Limit;
pub use fanout::Fanout;
pub(crate) use fanout::parent_of;
pub use window::{Moment, Step, TimeFormat, Window};

use super::Paged;
use crate::error::Result;
use crate::mark::Mark;
use crate::meter::Meter;
use crate::page::selection::Selection;
use crate::page::{Page, Select};
use crate::request::Bindings;
use engine::{Engine, Feed};

/// One slice of a window or a fan-out: what is bound in its requests, and where it goes on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Slice {
    bindings: Arc<Bindings>,
    mark: Mark,
}

impl Slice {
    /// The values for the placeholders of its requests, with those of the slices around it.
    pub fn bindings(&self) -> &Bindings {
        &self.bindings
    }

    /// Where it goes on.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }

    /// The whole source is one slice.
    pub(crate) fn whole(mark: Mark) -> Self {
        Self { bindings: Arc::default(), mark }
    }

    /// The same slice, going on from another mark.
    pub(crate) fn at(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }

    /// Its name for people: the values of telling names are not shown.
    pub(crate) fn describe(&self) -> String {
        describe(&self.bindings)
    }
}

const LONGEST_NAME: usize = 200;

fn describe(bindings: &Bindings) -> String {
    let shown: Vec<String> = bindings.shown().map(|(name, value)| format!("{name} = {value}")).collect();
    let mut text = shown.join(", ");
    if let Some((end, _)) = text.char_indices().nth(LONGEST_NAME) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Makes the page stream of a slice.
type Make = dyn Fn(&Slice, &Given) -> BoxStream<'static, Result<Page>> + Send + Sync;

/// What a stream hands down to those that it is made of.
#[derive(Debug, Clone, Default)]
struct Given {
    records: Option<Select>,
    /// The same, read; a selection that cannot be read is the first item of each part.
    selection: Option<Arc<Selection>>,
    meter: Meter,
}

fn made_by<S, F>(make: F) -> Arc<Make>
where
    S: Paged + Send + 'static,
    F: Fn(&Slice) -> S + Send + Sync + 'static,
{
    Arc::new(move |slice, given| {
        let mut pages = make(slice);
        if let Some(records) = &given.records {
            pages.select(records);
        }
        pages.count_into(&given.meter);
        Box::pin(pages)
    })
}

/// What a stream of slices is made of, once it is known where it goes on.
struct Setup {
    make: Arc<Make>,
    concurrency: usize,
    mark: Mark,
    around: Arc<Bindings>,
    given: Given,
    feed: Box<Feeder>,
}

/// Makes what gives the slices, and says how many records one may hold.
type Feeder = dyn FnOnce(&Opening<'_>) -> Result<(Box<dyn Feed>, Option<Limit>)> + Send;

/// Where a stream of slices goes on.
struct Opening<'a> {
    /// `None` at the start.
    ahead: Option<&'a crate::request::slices::Ahead>,
    given: &'a Given,
}

/// The pages of a [`Window`] or a [`Fanout`], as one stream.
///
/// It goes on from any mark that it gave ([`resume`](Self::resume)). Dropping it ends its tasks; the requests that are
/// on their way are given up, and their pages are asked for again next time. A part that gives up ends the stream with
/// its error, which names the slice. It is not a [`PageStream`](super::PageStream): the limiter and the retries belong
/// to each part.
///
/// # Panics
/// The first poll must happen within a tokio runtime.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Slices {
    stage: Stage,
    meter: Meter,
}

enum Stage {
    /// Not polled yet: still open to changes.
    Idle(Box<Setup>),
    Running(Box<Engine>),
    Ended,
}

impl Slices {
    fn new(
        make: Arc<Make>,
        concurrency: usize,
        feed: impl FnOnce(&Opening<'_>) -> Result<(Box<dyn Feed>, Option<Limit>)> + Send + 'static,
    ) -> Self {
        let given = Given::default();
        let meter = given.meter.clone();
        let (mark, around) = (Mark::start(), Arc::default());
        let (concurrency, feed) = (concurrency.max(1), Box::new(feed));
        let setup = Setup { make, concurrency, mark, around, given, feed };
        Self { stage: Stage::Idle(Box::new(setup)), meter }
    }

    fn change(mut self, change: impl FnOnce(&mut Setup)) -> Self {
        if let Stage::Idle(setup) = &mut self.stage {
            change(setup);
        }
        self
    }

    /// Goes on from a mark that this stream gave. A mark after the last page gives an empty stream.
    pub fn resume(self, mark: Mark) -> Self {
        self.change(|setup| setup.mark = mark)
    }

    /// Makes it a part of a slice: what is bound there is bound here too, and it goes on from the slice's mark.
    pub fn within(self, slice: &Slice) -> Self {
        self.change(|setup| (setup.around, setup.mark) = (slice.bindings.clone(), slice.mark.clone()))
    }

    /// The counters of this stream, all its parts included.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }
}

impl Stream for Slices {
    type Item = Result<Page>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match std::mem::replace(&mut this.stage, Stage::Ended) {
                Stage::Ended => return Poll::Ready(None),
                Stage::Idle(setup) => {
                    if setup.mark.is_end() {
                        continue;
                    }
                    match Engine::new(*setup) {
                        Ok(engine) => this.stage = Stage::Running(Box::new(engine)),
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    }
                }
                Stage::Running(mut engine) => {
                    let Poll::Ready(item) = engine.poll_next(cx) else {
                        this.stage = Stage::Running(engine);
                        return Poll::Pending;
                    };
                    if item.as_ref().is_ok_and(|page| page.next().is_some()) {
                        this.stage = Stage::Running(engine);
                    }
                    return Poll::Ready(Some(item));
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.stage {
            Stage::Ended => (0, Some(0)),
            _ => (0, None),
        }
    }
}

impl FusedStream for Slices {
    fn is_terminated(&self) -> bool {
        match &self.stage {
            Stage::Idle(setup) => setup.mark.is_end(),
            Stage::Running(_) => false,
            Stage::Ended => true,
        }
    }
}

impl Paged for Slices {
    fn select(&mut self, records: &Select) {
        if let Stage::Idle(setup) = &mut self.stage {
            setup.given.selection = Selection::new(records).ok().map(Arc::new);
            setup.given.records = Some(records.clone());
        }
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    fn count_into(&mut self, meter: &Meter) {
        if let Stage::Idle(setup) = &mut self.stage {
            setup.given.meter = meter.clone();
            self.meter = meter.clone();
        }
    }
}

impl fmt::Debug for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Slices");
        if let Stage::Running(engine) = &self.stage {
            shown.field("open", &engine.open());
        }
        shown.field("counts", &self.meter.counts()).finish_non_exhaustive()
    }
}
