//! Only what is new: records above the highest value that an earlier run has seen.

mod adapter;
mod level;
mod tide;

use std::fmt;
use std::time::Duration;

use serde_json::Value;

pub use adapter::NewRecords;

use crate::error::{Error, Result};
use crate::page::JsonPath;
use crate::request::{Bindings, HighWater, Level, Mark, Timestamp};

/// How a list is pulled that grows: by a field of its records that only rises.
///
/// The highest value of a finished run, the *mark*, is where the next one begins. `{since}` in the request stands for
/// it, in the path, the query, a header or the body; on a first run without [`since`](Self::since) a parameter that
/// consists of it is left out. The mark moves only with commits, and only becomes the next run's beginning when the run
/// is finished: a run that was broken off goes on from its position, with the same `{since}`.
///
/// Most APIs mean "from … on", inclusive, so the records at the boundary come again: those are known by their
/// [`key`](Self::key) and their value, and left out. [`lookback`](Self::lookback) asks for a while before the mark as
/// well, for records that arrive late; of those, too, only what is new is taken.
///
/// The mark is the highest value that was *seen*; of times, it is no later than the moment at which the run asked for its
/// first page, by the server's `Date` (by our clock, where there is none, or where the two are more than a day apart). For
/// in a list that is not in the order of the field a record may change after its page was read, and a later one may lie
/// above it; and one record with a wrong clock, far in the future, would hide all that comes after it. So the next run asks
/// for all that has changed since this one began, and leaves out what is known of it: nothing is lost, and nothing comes
/// twice. The mark never goes back. Of a field whose times lie in the future by right, up to a million records above that
/// moment are remembered. Numbers and strings have no such moment: there only a [`lookback_by`](Self::lookback_by), or the
/// order of the field, finds what has changed behind the page that is read.
///
/// ```
/// use std::time::Duration;
/// use headwater::{Source, incremental::Incremental, paginate::LinkHeader};
/// let issues = Source::get("issues", "https://api.github.com/repos/tokio-rs/tokio/issues?state=all&since={since}")
///     .records("")
///     .paginate(LinkHeader::new())
///     .incremental(Incremental::by("updated_at").key("id").lookback(Duration::from_secs(300)))
///     .build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Incremental {
    pub(super) by: String,
    pub(super) kind: Kind,
    pub(super) key: Option<String>,
    pub(super) since: Option<Value>,
    pub(super) until: Option<Value>,
    pub(super) lookback: i64,
    pub(super) exclusive: bool,
    pub(super) descending: bool,
    pub(super) missing: Missing,
    /// Whether the mark of an earlier run counts.
    backfill: bool,
}

/// What the values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Timestamp,
    Integer,
    Text,
}

/// What happens to a record that lacks the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Fails,
    Passes,
}

impl Incremental {
    /// Goes by a field of the records: a path, holding a time. Read are RFC 3339, ISO 8601 with any offset or none
    /// (UTC), dates, HTTP-dates, and numbers since the epoch in seconds, milliseconds or microseconds.
    pub fn by(field: impl Into<String>) -> Self {
        Self {
            by: field.into(),
            kind: Kind::Timestamp,
            key: None,
            since: None,
            until: None,
            lookback: 0,
            exclusive: false,
            descending: false,
            missing: Missing::Fails,
            backfill: false,
        }
    }

    /// Says that the field is a time. This is the default.
    pub fn timestamp(mut self) -> Self {
        self.kind = Kind::Timestamp;
        self
    }

    /// Says that the field is a whole number, or a string of one: a sequence number, an id that only rises.
    pub fn integer(mut self) -> Self {
        self.kind = Kind::Integer;
        self
    }

    /// Says that the field is a string that rises byte by byte.
    pub fn string(mut self) -> Self {
        self.kind = Kind::Text;
        self
    }

    /// Names the field that tells records apart, to leave out those at the boundary that are known. The default is the
    /// whole text of the record.
    ///
    /// With a key, a record that this run has taken is left out as well when it comes again at the highest value so far:
    /// pages that begin with the moment at which the one before ended overlap there (Zendesk's exports by time).
    pub fn key(mut self, field: impl Into<String>) -> Self {
        self.key = Some(field.into());
        self
    }

    /// Sets where the first run begins. The default is at the beginning of the list. What lies before is left out.
    pub fn since(mut self, value: impl Into<Value>) -> Self {
        self.since = Some(value.into());
        self
    }

    /// Sets where every run ends: `{until}` in the request; records at or above it are left out.
    pub fn until(mut self, value: impl Into<Value>) -> Self {
        self.until = Some(value.into());
        self
    }

    /// Asks for this time before the mark as well, for records that arrive late. Up to a million records of that time
    /// are remembered, as a hash each, so that none of them is taken twice. One that is made larger reaches its depth when
    /// the mark has moved on by as much, for what lay deeper is not remembered.
    pub fn lookback(mut self, time: Duration) -> Self {
        self.lookback = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self
    }

    /// The same for a field that is a whole number: so many below the mark.
    pub fn lookback_by(mut self, count: u32) -> Self {
        self.lookback = i64::from(count);
        self
    }

    /// Says that the API means "after": records at the mark do not come again, and of those none has to be known.
    pub fn exclusive(mut self) -> Self {
        self.exclusive = true;
        self
    }

    /// Says that the list comes newest first: the run ends at the page whose last record is older than the mark. A
    /// page that is out of order is an error then, for what lies behind it would be lost.
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// Lets records pass that lack the field, or have `null` there. The default is an error.
    pub fn pass_missing(mut self) -> Self {
        self.missing = Missing::Passes;
        self
    }

    /// A range of its own, which no mark of an earlier run moves.
    pub(crate) fn range(mut self, from: Value, to: Value) -> Self {
        (self.since, self.until, self.backfill) = (Some(from), Some(to), true);
        self
    }

    /// What `{since}` and `{until}` stand for in a run that begins at a mark.
    pub(crate) fn bindings(&self, mark: &Mark) -> Bindings {
        let bindings = Bindings::new().declare("since").declare("until");
        let since = self.begin(mark).since.map(|level| self.first(&level));
        let bindings = match since {
            Some(value) => bindings.with("since", value),
            None => bindings,
        };
        match &self.until {
            Some(value) => bindings.with("until", value.clone()),
            None => bindings,
        }
    }

    /// What a run asks for first.
    fn first(&self, level: &Level) -> Value {
        let value = &level.value;
        match (self.kind, self.start(level)) {
            (Kind::Timestamp, Some(start)) if self.lookback > 0 => Timestamp(start).like(value),
            (Kind::Integer, Some(start)) if self.lookback > 0 && value.is_string() => {
                Value::String(start.to_string())
            }
            (Kind::Integer, Some(start)) if self.lookback > 0 => start.into(),
            _ => value.clone(),
        }
    }

    /// What a run begins with, from the mark that it begins at.
    pub(super) fn begin(&self, mark: &Mark) -> HighWater {
        let known = mark.high.clone().unwrap_or_default();
        // What lies before the first beginning is not looked back to.
        let reach = |value: &Value| self.order(value).filter(|_| self.kind != Kind::Text);
        let first = || {
            self.since.clone().map(|value| Level { reach: reach(&value), value, seen: Default::default() })
        };
        match known.since {
            Some(_) if !self.backfill => known,
            _ => HighWater { since: first(), ..known },
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// `Config`.
    pub(crate) fn check(&self) -> Result<()> {
        JsonPath::parse(&self.by)?;
        self.key.as_ref().map(|key| JsonPath::parse(key)).transpose()?;
        if self.kind == Kind::Text && self.lookback > 0 {
            return Err(Error::config("a lookback needs a field that is a time or a whole number"));
        }
        for value in self.since.iter().chain(&self.until) {
            if self.kind != Kind::Text && self.order(value).is_none()
                || self.kind == Kind::Text && !value.is_string()
            {
                return Err(Error::config(format!("{value} is not {}", self.kind)));
            }
        }
        Ok(())
    }

    /// The definition as a text. The beginning is not in it: where a run begins is the mark's business.
    pub(crate) fn definition(&self) -> String {
        let Self { by, kind, key, until, lookback, exclusive, descending, missing, .. } = self;
        let until = until.as_ref().map(ToString::to_string);
        format!(
            "{by} {kind} key {key:?} until {until:?} lookback {lookback} {exclusive} {descending} {missing:?}"
        )
    }

    /// What a mark is of: with other words for it, an old one says nothing. How far it is looked back is no part of it, for a
    /// mark knows how far that leads.
    pub(crate) fn mark_definition(&self) -> String {
        let Self { by, kind, key, exclusive, .. } = self;
        format!("{by} {kind} key {key:?} exclusive {exclusive}")
    }

    /// Where a backfill begins, which no mark says.
    pub(crate) fn range_definition(&self) -> Option<String> {
        self.since.as_ref().filter(|_| self.backfill).map(|from| format!("from {from}"))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timestamp => "a time",
            Self::Integer => "a whole number",
            Self::Text => "a string",
        })
    }
}
