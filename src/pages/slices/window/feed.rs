//! The slices of a window, one after the other.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use super::super::engine::{Fed, Feed};
use super::grid::{Grid, middle};
use super::time::{TimeFormat, millis_of};
use crate::error::{Error, ErrorKind, Result};
use crate::request::slices::{Ahead, Piece, Progress, RangeAhead};
use crate::request::{Bindings, Kept, Position};

/// What a window counts.
#[derive(Debug, Clone)]
pub(super) enum Counts {
    Time { format: TimeFormat, unit: u64 },
    Ids,
    Keys(Arc<[String]>),
}

/// A window that makes sense.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) counts: Counts,
    pub(super) from: i64,
    /// `None` for now.
    pub(super) to: Option<i64>,
    pub(super) grid: Grid,
    pub(super) grain: u64,
    pub(super) inclusive_end: bool,
    pub(super) newest_first: bool,
    pub(super) continues: bool,
}

/// The slices of a window that have not begun.
pub(super) struct WindowFeed {
    layout: Layout,
    from: i64,
    to: i64,
    until: i64,
    first: Option<i64>,
    halves: Vec<(i64, i64)>,
}

impl WindowFeed {
    /// Begins at the start, or goes on with what had not begun. `now` is asked for once in a run.
    pub(super) fn new(layout: Layout, ahead: Option<&Ahead>, now: impl Fn() -> SystemTime) -> Result<Self> {
        let ahead = match ahead {
            None => {
                let first = layout.continues.then_some(layout.from);
                RangeAhead { from: layout.from, first, ..RangeAhead::default() }
            }
            Some(Ahead::Range(ahead)) => ahead.clone(),
            Some(Ahead::Parents(_)) => return Err(Error::config("the position is one of a fan-out")),
        };
        if layout.continues && ahead.first.is_some_and(|first| layout.from < first) {
            let what = "the window begins before what its first run has pulled, and it goes on where the last one ended";
            return Err(Error::config(what)
                .advice("pull what lies before by a source of another name, with a window of its own"));
        }
        let end = || match (layout.to, &layout.counts) {
            (Some(end), _) => end,
            (None, Counts::Time { unit, .. }) => {
                let unit = i64::try_from(*unit).unwrap_or(i64::MAX);
                millis_of(now()).unwrap_or(i64::MAX).div_euclid(unit) * unit
            }
            (None, _) => i64::MAX,
        };
        // The clock may have been set back.
        let to = ahead.to.unwrap_or_else(end).max(ahead.from);
        let until = ahead.until.unwrap_or(to);
        let RangeAhead { from, first, halves, .. } = ahead;
        Ok(Self { from, to, until, first, halves, layout })
    }

    fn next(&mut self) -> Option<(i64, i64)> {
        if let Some(half) = self.halves.pop() {
            return Some(half);
        }
        if self.from >= self.to {
            return None;
        }
        if self.layout.newest_first {
            let start = self.layout.grid.last(self.from, self.to);
            return Some((start, std::mem::replace(&mut self.to, start)));
        }
        let end = self.layout.grid.first(self.from, self.to);
        Some((std::mem::replace(&mut self.from, end), end))
    }
}

fn foreign() -> Error {
    Error::config("the position is one of a fan-out, and this is a window")
}

impl Feed for WindowFeed {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Fed>> {
        Poll::Ready(Ok(self.next().map_or(Fed::Done, |(from, to)| Fed::Slice(Piece::Range(from, to)))))
    }

    fn ahead(&self) -> Ahead {
        Ahead::Range(RangeAhead {
            from: self.from,
            to: Some(self.to),
            until: Some(self.until),
            first: self.first,
            halves: self.halves.clone(),
        })
    }

    fn is_done(&self) -> bool {
        self.halves.is_empty() && self.from >= self.to
    }

    fn bindings(&self, slice: &Piece) -> Result<Bindings> {
        let Piece::Range(from, to) = slice else { return Err(foreign()) };
        let last = |unit: u64| if self.layout.inclusive_end { to.saturating_sub_unsigned(unit) } else { *to };
        match &self.layout.counts {
            Counts::Time { format, unit } => {
                Ok(Bindings::new().with("start", format.show(*from)?).with("end", format.show(last(*unit))?))
            }
            Counts::Ids => Ok(Bindings::new().with("start", *from).with("end", last(1))),
            Counts::Keys(keys) => {
                let key = usize::try_from(*from).ok().and_then(|index| keys.get(index));
                let key = key.ok_or_else(|| Error::config("the position is of a longer list of keys"))?;
                Ok(Bindings::new().with("key", key.as_str()))
            }
        }
    }

    fn halve(&mut self, slice: &Piece) -> Result<()> {
        let Piece::Range(from, to) = slice else { return Err(foreign()) };
        let Some(half) = middle(*from, *to, self.layout.grain) else {
            return Err(Error::new(
                ErrorKind::Truncated,
                "the slice holds as many records as the source hands out, or more, and cannot be smaller",
            )
            .advice("narrow the request by another parameter, or allow smaller slices with `smallest(…)`"));
        };
        let (first, second) = ((*from, half), (half, *to));
        self.halves.extend(if self.layout.newest_first { [first, second] } else { [second, first] });
        Ok(())
    }

    fn lasting_key(&self, _: &Piece) -> Option<u64> {
        None
    }

    fn after(&self, _: &Kept) -> Option<Position> {
        let ahead = RangeAhead { from: self.until, first: self.first, ..RangeAhead::default() };
        self.layout.continues.then(|| {
            Position::Slices(Arc::new(Progress {
                ahead: Ahead::Range(ahead),
                open: Vec::new(),
                kept: Kept::default(),
            }))
        })
    }
}
