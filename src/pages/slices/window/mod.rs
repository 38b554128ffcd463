//! A range of time, ids or keys, in slices.

mod feed;
mod grid;
mod time;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

pub use grid::Step;
pub use time::{Moment, TimeFormat};

use super::ceiling::Limit;
use super::{Slice, Slices, made_by};
use crate::error::{Error, Result};
use crate::page::JsonPath;
use crate::pages::Paged;
use feed::{Counts, Layout, WindowFeed};
use grid::{Cells, Grid, Stride, cells};

/// A range of time, ids or keys that is pulled in slices, each with a request, and pages, of its own.
///
/// Each slice is `{start}` to `{end}`, the end not included, or one `{key}`: placeholders in the template of the
/// request. The slices tile the range exactly: each record that stands still is in one of them. Up to
/// [`concurrency`](Self::concurrency) slices are pulled at once; a checkpoint knows how far each has come.
///
/// ```no_run
/// use headwater::pages::{Step, Window};
/// use headwater::{Source, paginate::PageNumber};
/// let issues = Source::get("issues", "https://api.github.com/search/issues")
///     .query("q", "repo:rust-lang/rust created:{start}..{end}")
///     .records("items")
///     .paginate(PageNumber::new().size("per_page", 100))
///     .window(
///         Window::time("2024-01-01", "now")
///             .every(Step::months(1))
///             .inclusive_end()
///             .ceiling(1000)
///             .total_at("total_count"),
///     )
///     .build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
///
/// By hand, with any page stream:
///
/// ```
/// use futures::StreamExt;
/// use headwater::pages::Window;
/// use headwater::testing::{Reply, Scripted};
/// use headwater::{Limiter, Pages, PagesExt, Request, RetryPolicy, paginate::Single};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> headwater::Result<()> {
/// let api = Scripted::from_fn(|_, _| Reply::json("[1,2]"));
/// let template = Request::get("https://api.example.com/items?from={start}&below={end}")?;
/// let (http, limiter, policy) = (api.clone(), Limiter::unlimited(), RetryPolicy::exponential());
/// let pages: Vec<_> = Window::ids(0..25)
///     .every(10)
///     .pages(move |slice| {
///         Pages::new(http.clone(), template.clone(), Single)
///             .within(slice)
///             .rate_limit(limiter.clone())
///             .retry(policy.clone())
///     })
///     .collect()
///     .await;
/// assert_eq!(pages.len(), 3);
/// assert_eq!(api.urls()[2], "https://api.example.com/items?from=20&below=25");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a window does nothing until it is given to a source"]
pub struct Window {
    range: Span,
    step: Step,
    format: Option<TimeFormat>,
    as_of: Option<SystemTime>,
    inclusive_end: bool,
    newest_first: bool,
    continues: bool,
    concurrency: usize,
    ceiling: Option<u64>,
    total: Option<String>,
    smallest: Option<Step>,
}

#[derive(Debug, Clone)]
enum Span {
    Time(Moment, Moment),
    Ids(Range<i64>),
    Keys(Arc<[String]>),
}

impl Window {
    /// From one moment to another: `"2024-01-01"` (midnight, UTC), `"2024-01-01T10:00:00Z"`, `SystemTime`; the end may
    /// be `"now"`, which is when the run begins, and stays so until it is finished.
    pub fn time(start: impl Into<Moment>, end: impl Into<Moment>) -> Self {
        Self::over(Span::Time(start.into(), end.into()))
    }

    /// From one id to another, which is not in it.
    pub fn ids(ids: Range<i64>) -> Self {
        Self::over(Span::Ids(ids))
    }

    /// One slice for each key.
    pub fn keys<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self::over(Span::Keys(keys.into_iter().map(Into::into).collect()))
    }

    fn over(range: Span) -> Self {
        Self {
            range,
            step: Step(Stride::Whole),
            format: None,
            as_of: None,
            inclusive_end: false,
            newest_first: false,
            continues: false,
            concurrency: 1,
            ceiling: None,
            total: None,
            smallest: None,
        }
    }

    /// Sets how wide a slice is: a `Duration`, a [`Step`] of the calendar, or a number of ids. Without it the whole
    /// range is one slice, which a [`ceiling`](Self::ceiling) may cut.
    pub fn every(mut self, step: impl Into<Step>) -> Self {
        self.step = step.into();
        self
    }

    /// Declares that the server takes `{end}` for a part of the range: it gets the end less one unit, which is one id,
    /// or the unit of the [`format`](Self::format).
    ///
    /// If the server keeps times finer than the format says them, records in the last unit would be missing: use a
    /// finer format.
    pub fn inclusive_end(mut self) -> Self {
        self.inclusive_end = true;
        self
    }

    /// Sets how times are written. The default is [`TimeFormat::Rfc3339`].
    pub fn format(mut self, format: TimeFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Sets how many slices are pulled at once. The default is 1; 0 counts as 1. The order of the records is then not
    /// that of the slices. A crash costs up to so many pages more.
    pub fn concurrency(mut self, slices: usize) -> Self {
        self.concurrency = slices;
        self
    }

    /// Begins with the last slice. Within a slice the order is the server's.
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// Lets the next run begin where this one ended, so that windows alone give an incremental pull of what was
    /// created. By default each run pulls the whole range. A start that is moved back is an error then.
    ///
    /// What the server has for a time must be there when that time is over: now is by the clock of this machine, and what
    /// is late does not come any more. Where clocks differ, or records are late, end earlier: `as_of(now - lag)`.
    pub fn continue_from_end(mut self) -> Self {
        self.continues = true;
        self
    }

    /// Declares how many records the source hands out for one request and its pages, however many there are (GitHub
    /// search 1,000, Elasticsearch 10,000). A slice that reaches it is halved before any of its records leaves, and
    /// without asking for a page beyond it; exactly so many count as more. Each open slice is held in memory until it
    /// is whole: at most so many records.
    pub fn ceiling(mut self, rows: u64) -> Self {
        self.ceiling = Some(rows);
        self
    }

    /// Says where a page says how many records its slice holds, so that one above the [`ceiling`](Self::ceiling) is
    /// halved after its first page.
    pub fn total_at(mut self, path: impl Into<String>) -> Self {
        self.total = Some(path.into());
        self
    }

    /// Sets how small a slice may become. The default is one id, or a second (a day, if the format has no time); one
    /// that still reaches the ceiling is an error of kind `Truncated` which names it.
    pub fn smallest(mut self, step: impl Into<Step>) -> Self {
        self.smallest = Some(step.into());
        self
    }

    /// Takes this time for now: for tests, and to pull a past state.
    pub fn as_of(mut self, now: SystemTime) -> Self {
        self.as_of = Some(now);
        self
    }

    /// The pages of all slices, as one stream; `make` makes those of one slice. A window that makes no sense comes out
    /// as the first item, a `Config` error.
    pub fn pages<S, F>(&self, make: F) -> Slices
    where
        S: Paged + Send + 'static,
        F: Fn(&Slice) -> S + Send + Sync + 'static,
    {
        let (window, as_of) = (self.clone(), self.as_of);
        Slices::new(made_by(make), self.concurrency, move |opening| {
            let now = || as_of.unwrap_or_else(SystemTime::now);
            let feed = WindowFeed::new(window.layout()?, opening.ahead, now)?;
            Ok((Box::new(feed), window.limit()?))
        })
    }

    fn limit(&self) -> Result<Option<Limit>> {
        let total = self.total.as_deref().map(JsonPath::parse).transpose()?;
        match (self.ceiling, total) {
            (Some(rows), total) => Ok(Some(Limit { rows, total })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::config("`total_at` says nothing without a `ceiling`")),
        }
    }

    /// The ceiling of its source, unless it has one itself.
    pub(crate) fn or_ceiling(mut self, limit: Option<Limit>) -> Self {
        if let (None, Some(limit)) = (self.ceiling, limit) {
            self.ceiling = Some(limit.rows);
            self.total = self.total.or(limit.total.map(|path| path.to_string()));
        }
        self
    }

    /// Whether the next run begins at the end of this one.
    pub(crate) fn continues(&self) -> bool {
        self.continues
    }

    /// What the placeholders are called.
    pub(crate) fn placeholders(&self) -> &'static [&'static str] {
        match self.range {
            Span::Keys(_) => &["key"],
            _ => &["start", "end"],
        }
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<()> {
        self.limit()?;
        if let Span::Keys(keys) = &self.range {
            let mut seen = HashSet::new();
            if let Some(twice) = keys.iter().find(|key| !seen.insert(*key)) {
                return Err(Error::config(format!(
                    "the key {twice:?} is there twice, and so would its records be"
                )));
            }
        }
        self.layout().map(|_| ())
    }

    /// What decides which records come. Not how they are cut: what is open, and what is left, stands in the position.
    pub(crate) fn definition(&self) -> String {
        let range = match &self.range {
            Span::Time(start, end) => {
                let format = self.format.clone().unwrap_or_default();
                format!("time {start}..{end} as {}", format.name())
            }
            Span::Ids(ids) => format!("ids {}..{}", ids.start, ids.end),
            Span::Keys(keys) => format!("keys {}", serde_json::json!(keys)),
        };
        if self.inclusive_end { format!("{range}, inclusive end") } else { range }
    }

    /// What its end is of, where the next run begins.
    pub(crate) fn mark_definition(&self) -> Option<&'static str> {
        self.continues.then_some(match self.range {
            Span::Time(..) => "time",
            Span::Ids(_) => "ids",
            Span::Keys(_) => "keys",
        })
    }

    fn layout(&self) -> Result<Layout> {
        let is_time = matches!(self.range, Span::Time(..));
        let format = match &self.format {
            Some(_) if !is_time => return Err(Error::config("only a window of time has a format of times")),
            format => format.clone().unwrap_or_default(),
        };
        let unit = if is_time { format.unit()? } else { 1 };
        let step = cells(self.step, is_time, unit)?;
        let (counts, from, to) = match &self.range {
            Span::Ids(ids) => (Counts::Ids, ids.start, Some(ids.end)),
            Span::Keys(_) if self.step.0 != Stride::Whole || self.inclusive_end => {
                return Err(Error::config("a window of keys has a slice for each: no step, and no end"));
            }
            Span::Keys(keys) => {
                (Counts::Keys(keys.clone()), 0, Some(i64::try_from(keys.len()).unwrap_or(i64::MAX)))
            }
            Span::Time(start, end) => {
                let (start, end) = (start.millis()?, end.millis()?);
                let start = start.ok_or_else(|| Error::config("a window cannot begin now"))?;
                let signed = i64::try_from(unit).unwrap_or(i64::MAX);
                if [Some(start), end].into_iter().flatten().any(|time| time.rem_euclid(signed) != 0) {
                    return Err(Error::config("the window's times are finer than their format can say")
                        .advice("use a finer format, such as `TimeFormat::Rfc3339Millis`"));
                }
                (Counts::Time { format, unit }, start, end)
            }
        };
        if to.is_some_and(|to| to < from) {
            return Err(Error::config("the window ends before it begins"));
        }
        let grain = match self.smallest.map(|smallest| cells(smallest, is_time, unit)).transpose()? {
            None if is_time => unit.max(1_000),
            None => 1,
            Some(Cells::Wide(grain)) => grain,
            Some(_) => return Err(Error::config("the smallest slice is a duration or a number of ids")),
        };
        let is_keys = matches!(counts, Counts::Keys(_));
        let grid = Grid { anchor: from, step: if is_keys { Cells::Wide(1) } else { step } };
        let Self { inclusive_end, newest_first, .. } = *self;
        let continues = self.continues && !is_keys;
        Ok(Layout { counts, from, to, grid, grain, inclusive_end, newest_first, continues })
    }
}
