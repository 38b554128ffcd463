//! The state of a stream of slices: which are open, and what each poll does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::run::{Event, run};
use super::{Given, Limit, Make, Opening, Setup, Slice, describe};
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;
use crate::page::Page;
use crate::page::selection::Selected;
use crate::paginate::foreign;
use crate::request::slices::{Ahead, Open, Piece, Progress};
use crate::request::{Bindings, Keeper, Kept, Position};

/// What gives the slices that have not begun.
pub(super) trait Feed: Send {
    /// The next thing; pending only while there is room for it and it is on its way.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fed>>;

    /// What has not begun.
    fn ahead(&self) -> Ahead;

    /// Whether nothing is left to begin.
    fn is_done(&self) -> bool;

    /// The values for the placeholders of a slice.
    ///
    /// # Errors
    /// `Config` if the slice is of another kind of source.
    fn bindings(&self, slice: &Piece) -> Result<Bindings>;

    /// Takes a slice back in two halves.
    ///
    /// # Errors
    /// `Truncated` if it cannot be smaller.
    fn halve(&mut self, slice: &Piece) -> Result<()>;

    /// The name of a slice that the next run has as well.
    fn lasting_key(&self, slice: &Piece) -> Option<u64>;

    /// Whether a slice begins anew if the token that it has kept has expired.
    fn restarts_on_expiry(&self) -> bool {
        false
    }

    /// Where the next run begins, if not at the start.
    fn after(&self, kept: &Kept) -> Option<Position>;
}

/// What a feed gives.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Fed {
    Slice(Piece),
    /// A page that slices come from; its own records are not given out.
    Page(Page),
    Done,
}

pub(super) struct Engine {
    feed: Box<dyn Feed>,
    /// Ends the stream when those that are open are finished.
    failed: Option<Error>,
    make: Arc<Make>,
    given: Given,
    around: Arc<Bindings>,
    concurrency: usize,
    limit: Option<Limit>,
    slots: Vec<Slot>,
    /// Open by the checkpoint, when there were more at once than there may be now.
    parked: VecDeque<Arc<Open>>,
    /// Whose turn it is to give a page.
    turn: usize,
    mark: Mark,
    kept: Keeper,
}

/// A slice that is being pulled.
struct Slot {
    open: Arc<Open>,
    bindings: Arc<Bindings>,
    events: mpsc::Receiver<Event>,
    /// Ends the task when it is dropped.
    _task: JoinSet<()>,
}

impl Engine {
    pub(super) fn new(setup: Setup) -> Result<Self> {
        let Setup { make, concurrency, mark, around, given, feed } = setup;
        let progress = match &mark.next {
            Some(Position::Start) | None => None,
            Some(Position::Slices(progress)) => Some(progress.clone()),
            Some(other) => return Err(foreign(other, "sliced")),
        };
        let opening = Opening { ahead: progress.as_ref().map(|progress| &progress.ahead), given: &given };
        let (feed, limit) = feed(&opening)?;
        let kept = progress.as_ref().map(|progress| progress.kept.clone()).unwrap_or_default();
        let kept = Keeper::new(kept);
        let parked = progress.map(|progress| progress.open.iter().cloned().collect()).unwrap_or_default();
        let (slots, turn, failed) = (Vec::new(), 0, None);
        Ok(Self { feed, failed, make, given, around, concurrency, limit, slots, parked, turn, mark, kept })
    }

    pub(super) fn open(&self) -> usize {
        self.slots.len() + self.parked.len()
    }

    /// The next page, or what ends the stream.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page>> {
        loop {
            if let Some(page) = self.fill(cx)? {
                return Poll::Ready(Ok(page));
            }
            if self.slots.is_empty() {
                return match self.failed.take() {
                    Some(error) => Poll::Ready(Err(error)),
                    // Nothing was in it: a page without records says so, for a run ends with a mark.
                    None if self.feed.is_done() => Poll::Ready(Ok(self.nothing())),
                    None => Poll::Pending,
                };
            }
            let Some((at, event)) = self.poll_slots(cx) else { return Poll::Pending };
            match event {
                Some(Event::Page(page)) => return Poll::Ready(self.take(at, *page)),
                Some(Event::Full(why)) => self.halve(at, &why)?,
                Some(Event::Failed(error)) => match self.without_its_token(at, &error) {
                    Some(mark) => {
                        let slot = self.slots.remove(at);
                        tracing::warn!(slice = %describe(&slot.bindings), "what it has kept has expired: the slice begins anew");
                        self.begin(Arc::new(Open { slice: slot.open.slice.clone(), mark }))?;
                    }
                    None => return Poll::Ready(Err(self.place(at, error))),
                },
                Some(Event::Ended) => {
                    let what = "the stream of a slice ended before its last page";
                    let error = Error::new(ErrorKind::Truncated, what)
                        .advice("a page stream of your own must end with a page whose `next` is `None`");
                    return Poll::Ready(Err(self.place(at, error)));
                }
                None => {
                    let what = "the task of a slice ended before its stream did (it panicked, or its runtime stopped)";
                    return Poll::Ready(Err(self.place(at, Error::new(ErrorKind::Stopped, what))));
                }
            }
        }
    }

    /// Begins slices while there is room. Gives the page that new ones come from, if one has come.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<Option<Page>> {
        while self.slots.len() < self.concurrency {
            if let Some(open) = self.parked.pop_front() {
                self.begin(open)?;
                continue;
            }
            if self.failed.is_some() || self.feed.is_done() {
                break;
            }
            match self.feed.poll_next(cx) {
                Poll::Ready(Ok(Fed::Slice(slice))) => {
                    let mark = self.feed.lasting_key(&slice).and_then(|key| self.kept.kept().begin(key));
                    self.begin(Arc::new(Open { slice, mark: mark.unwrap_or_else(Mark::start) }))?;
                }
                Poll::Ready(Ok(Fed::Page(page))) => {
                    let page = page.without_records(self.given.selection.as_ref());
                    return Ok(Some(self.give(page)));
                }
                // Those that are open are finished first, so that a rerun does not find them as they are now.
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Ready(Ok(Fed::Done)) | Poll::Pending => break,
            }
        }
        Ok(None)
    }

    fn begin(&mut self, open: Arc<Open>) -> Result<()> {
        let mut bindings = (*self.around).clone();
        for (name, value) in self.feed.bindings(&open.slice)?.iter() {
            bindings.insert(name, value.clone());
        }
        let bindings = Arc::new(bindings);
        let slice = Slice { bindings: bindings.clone(), mark: open.mark.clone() };
        let pages = (self.make)(&slice, &self.given);
        let (sender, events) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(run(pages, sender, self.limit.clone(), open.mark.rows));
        self.slots.push(Slot { open, bindings, events, _task: task });
        Ok(())
    }

    /// What one of the open slices has: they take turns, so that none has to wait for another's end.
    fn poll_slots(&mut self, cx: &mut Context<'_>) -> Option<(usize, Option<Event>)> {
        let count = self.slots.len();
        (0..count).map(|step| (self.turn + step) % count).find_map(|at| {
            match self.slots[at].events.poll_recv(cx) {
                Poll::Ready(event) => Some((at, event)),
                Poll::Pending => None,
            }
        })
    }

    /// Where a slice begins without the token that it has kept, if that has expired. None of its pages has left.
    fn without_its_token(&self, at: usize, error: &Error) -> Option<Mark> {
        let mark = &self.slots[at].open.mark;
        let has_expired = error.kind() == ErrorKind::CursorExpired && mark.pages == 0;
        // Within parts of its own, it is another one's.
        let is_its_own = !matches!(mark.began, Some(Position::Slices(_)));
        (has_expired && is_its_own && self.feed.restarts_on_expiry()).then(|| mark.without_token())?
    }

    /// Takes a page of a slice, and moves the slice on.
    fn take(&mut self, at: usize, mut page: Page) -> Result<Page> {
        self.turn = at + 1;
        if let Piece::Parent(parent) = &self.slots[at].open.slice
            && !parent.copied.is_empty()
        {
            page.add_fields(&parent.copied).map_err(|error| self.place(at, error))?;
        }
        let slot = &mut self.slots[at];
        page.slice.get_or_insert_with(|| slot.bindings.clone());
        if page.mark.is_end() {
            if let Some(key) = self.feed.lasting_key(&slot.open.slice) {
                let kept = self.kept.keep(key, &page.mark);
                kept.map_err(|error| self.place(at, error))?;
            }
            self.slots.remove(at);
            self.turn = at;
        } else {
            slot.open = Arc::new(Open { slice: slot.open.slice.clone(), mark: page.mark.clone() });
        }
        Ok(self.give(page))
    }

    /// Puts the mark of the whole behind a page.
    fn give(&mut self, mut page: Page) -> Page {
        self.mark.pages += 1;
        self.mark.rows += page.selected.as_ref().map_or(0, Selected::rows);
        let open: Vec<Arc<Open>> =
            self.slots.iter().map(|slot| slot.open.clone()).chain(self.parked.iter().cloned()).collect();
        let is_end = open.is_empty() && self.feed.is_done() && self.failed.is_none();
        if is_end {
            (self.mark.next, self.mark.after) = (None, self.feed.after(self.kept.kept()));
        } else {
            let progress = Progress { ahead: self.feed.ahead(), open, kept: self.kept.kept().clone() };
            self.mark.next = Some(Position::Slices(Arc::new(progress)));
        }
        page.number = self.mark.pages;
        page.mark = self.mark.clone();
        page
    }

    fn nothing(&mut self) -> Page {
        let page = Page::empty(self.given.selection.as_ref());
        self.give(page)
    }

    fn halve(&mut self, at: usize, why: &str) -> Result<()> {
        let slot = self.slots.remove(at);
        self.turn = at;
        let halved = self.feed.halve(&slot.open.slice);
        halved.map_err(|error| {
            let error = error.because(why.to_owned());
            error.at(|context| context.slice = Some(describe(&slot.bindings).into()))
        })
    }

    /// Says in which slice an error happened.
    fn place(&self, at: usize, error: Error) -> Error {
        let slot = &self.slots[at];
        error.at(|context| {
            context.slice.get_or_insert_with(|| describe(&slot.bindings).into());
            if let Some(trap) = &mut context.trap {
                trap.within.insert(0, slot.open.slice.key());
            }
        })
    }
}
