//! The adapter: of each page, what is new.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use futures::Stream;
use futures::stream::FusedStream;
use http::header::DATE;
use pin_project::pin_project;
use serde_json::Value;
use tokio::time::Instant;

use super::tide::Tide;
use super::{Incremental, Missing};
use crate::error::{Error, ErrorKind, Result};
use crate::meter::Meter;
use crate::page::walk::Plan;
use crate::page::{JsonPath, Page, Select};
use crate::pages::Paged;
use crate::request::{Mark, Timestamp};

/// The stream of [`PagesExt::incremental`](crate::PagesExt::incremental).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct NewRecords<S> {
    #[pin]
    pages: S,
    rules: Incremental,
    /// Waits for the first poll, as does what cannot be read.
    reads: Result<Reads>,
    tide: Tide,
    /// When the first page was asked for.
    asked: Option<Instant>,
    ended: bool,
}

#[derive(Debug)]
struct Reads {
    plan: Plan,
    has_key: bool,
}

impl Reads {
    fn new(rules: &Incremental) -> Result<Self> {
        rules.check()?;
        let key = rules.key.as_ref().map(|key| JsonPath::parse(key)).transpose()?;
        let has_key = key.is_some();
        let paths: Vec<JsonPath> = [JsonPath::parse(&rules.by)?].into_iter().chain(key).collect();
        Ok(Self { plan: Plan::new(&paths), has_key })
    }

    /// The value of a record and what tells it from others.
    fn of<'a>(&self, record: &'a str) -> Result<(Option<Value>, &'a str)> {
        let broken = |error: serde_json::Error| {
            Error::new(ErrorKind::Record, "a record in which the field of the mark cannot be found")
                .because(error)
        };
        let outline = self.plan.walk(record).map_err(broken)?;
        let found = |index: usize| outline.captures.get(index).copied().flatten().map(|span| span.of(record));
        let value = found(0).map(serde_json::from_str).transpose().map_err(broken)?;
        let key = if self.has_key { found(1) } else { Some(record) };
        let key = key.ok_or_else(|| Error::new(ErrorKind::Record, "a record without its key"))?;
        Ok((value.filter(|value: &Value| !value.is_null()), key))
    }
}

impl<S: Paged> NewRecords<S> {
    pub(in crate::pages) fn new(pages: S, rules: Incremental, mark: &Mark) -> Self {
        let tide = Tide::new(rules.clone(), rules.begin(mark));
        Self { pages, reads: Reads::new(&rules), rules, tide, asked: None, ended: false }
    }
}

/// When a page was asked for, by the server's clock: its `Date` (RFC 9110 §6.6.1), unless that is far from ours.
fn asked_at(page: &Page, took: Duration) -> Timestamp {
    const DAY: Duration = Duration::from_secs(86_400);
    let date = page.headers.get(DATE).and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
    let near = |date: &SystemTime| {
        let apart = date.duration_since(page.fetched_at).unwrap_or_else(|before| before.duration());
        apart < DAY
    };
    let came = date.filter(near).unwrap_or(page.fetched_at);
    let asked: DateTime<Utc> = came.checked_sub(took).unwrap_or(came).into();
    Timestamp(asked.timestamp_micros())
}

/// Leaves the new records in a page, and says whether what follows is old.
fn sift(page: &mut Page, rules: &Incremental, reads: &Reads, tide: &mut Tide) -> Result<bool> {
    let Some(mut selected) = page.selected.take() else {
        return Err(Error::config("new records need a record path")
            .advice("call `Pages::select(path)`, or give the path to the source"));
    };
    let text = selected.text.clone().unwrap_or_else(|| page.body.clone());
    let mut before: Option<Value> = None;
    let mut kept = Vec::with_capacity(selected.spans.len());
    for span in &selected.spans {
        // The page is text, and its records are cut out between characters.
        let record = std::str::from_utf8(&text[span.start as usize..span.end as usize]).unwrap_or_default();
        let (value, identity) = reads.of(record)?;
        let Some(value) = value else {
            if rules.missing == Missing::Passes {
                kept.push(*span);
                continue;
            }
            let what = format!("a record has nothing at \"{}\", the field of the mark", rules.by);
            return Err(Error::new(ErrorKind::Record, what)
                .advice("say `pass_missing()` if such records are to be taken each time"));
        };
        if rules.order(&value).is_none() {
            let shown = shown(&value);
            let what = format!("{shown} at \"{}\", the field of the mark, is not {}", rules.by, rules.kind);
            return Err(Error::new(ErrorKind::Record, what));
        }
        if rules.descending && before.as_ref().is_some_and(|before| rules.compare(&value, before).is_gt()) {
            let what = format!("the list is not in descending order of \"{}\"", rules.by);
            return Err(Error::new(ErrorKind::Truncated, what).advice(
                "ask the API for that order, or leave `descending()` out: then the list is read to its end",
            ));
        }
        if tide.take(&value, identity)? {
            kept.push(*span);
        }
        before = Some(value);
    }
    selected.spans = kept;
    page.selected = Some(selected);
    Ok(rules.descending && before.is_some_and(|last| tide.is_below(&last)))
}

/// A value that is no mark: as it is if it looks like a time or a number, which no credential does.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 40;
    let is_of_time = |c: char| c.is_ascii_digit() || " TZ:+-./,".contains(c);
    match value {
        Value::String(text) if text.len() > LONGEST || !text.chars().all(is_of_time) => {
            format!("a text of {} characters", text.chars().count())
        }
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

impl<S: Paged> Stream for NewRecords<S> {
    type Item = Result<Page>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let reads = match this.reads {
            Ok(reads) => &*reads,
            Err(_) => {
                *this.ended = true;
                let lost = Err(Error::config("it was given out before"));
                return Poll::Ready(std::mem::replace(this.reads, lost).err().map(Err));
            }
        };
        let asked = *this.asked.get_or_insert_with(Instant::now);
        let mut page = match ready!(this.pages.poll_next(cx)) {
            Some(Ok(page)) => page,
            other => {
                *this.ended = other.is_none();
                return Poll::Ready(other);
            }
        };
        this.tide.begins(asked_at(&page, asked.elapsed()));
        let (number, position) = (page.number, page.position.to_string());
        match sift(&mut page, this.rules, reads, this.tide) {
            Ok(is_old) => {
                if is_old {
                    page.mark.next = None;
                    *this.ended = true;
                }
                page.mark.high = Some(this.tide.water());
                Poll::Ready(Some(Ok(page)))
            }
            Err(error) => {
                *this.ended = true;
                Poll::Ready(Some(Err(error.at(|context| {
                    (context.page, context.position) = (Some(number), Some(position));
                }))))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended { (0, Some(0)) } else { self.pages.size_hint() }
    }
}

impl<S: Paged> FusedStream for NewRecords<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<S: Paged> Paged for NewRecords<S> {
    fn select(&mut self, records: &Select) {
        self.pages.select(records);
    }

    fn meter(&self) -> Meter {
        self.pages.meter()
    }

    fn count_into(&mut self, meter: &Meter) {
        self.pages.count_into(meter);
    }
}
