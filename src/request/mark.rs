//! The mark behind a page: where to go on.

use http::header::{ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

use super::{HighWater, Position, Request};

/// Where a source goes on: what stands behind the records of a page.
///
/// A mark reaches a sink only after all the records before it. Stored in a checkpoint and given to
/// [`Pages::resume`](crate::Pages::resume), it goes on with the page after it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mark {
    /// The position of the next page; `None` after the last.
    pub next: Option<Position>,
    /// How many pages lie before it.
    pub pages: u64,
    /// How many records lie before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u64,
    /// Where the run began, if not at the start: with what the last run has kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Position>,
    /// Where the next run begins, if not at the start: a token that a finished run has kept for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Position>,
    /// What the first page may be asked by, whether it has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) validators: Option<Validators>,
    /// How far a source that grows has been pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<HighWater>,
    /// Whether the page before the next one has said that there is more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) more: bool,
    #[serde(default)]
    pub(crate) trail: Trail,
}

/// The short memory of the guard against circles, so that a rerun does not walk into one again: hashes of
/// the last page and of the last positions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Trail {
    pub(crate) page: Option<(usize, u64)>,
    pub(crate) positions: Vec<u64>,
    /// The position that closed a circle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trap: Option<u64>,
}

/// The validators of an answer (RFC 9110 §8.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Validators {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    modified: Option<String>,
}

impl Validators {
    /// Those of an answer, if it has any that can be sent back as they are.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        const LONGEST: usize = 1024;
        let text = |name| {
            let value = headers.get(name)?.to_str().ok()?;
            (value.len() <= LONGEST && !value.is_empty()).then(|| value.to_owned())
        };
        let found = Self { etag: text(ETAG), modified: text(LAST_MODIFIED) };
        (found.etag.is_some() || found.modified.is_some()).then_some(found)
    }

    /// A request that asks whether they still hold (RFC 9110 §13.1.2, §13.1.3).
    pub(crate) fn sent_with(&self, mut request: Request) -> Request {
        for (name, value) in [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.modified)] {
            if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }
}

impl Mark {
    /// Before the first page.
    pub fn start() -> Self {
        Self::at(Position::Start)
    }

    /// At a position of one's own choice.
    pub fn at(position: Position) -> Self {
        Self {
            next: Some(position),
            pages: 0,
            rows: 0,
            began: None,
            after: None,
            validators: None,
            high: None,
            more: false,
            trail: Trail::default(),
        }
    }

    /// Where the run after this one, which is finished, begins: with what was kept for it, or at the start.
    pub fn next_run(&self) -> Self {
        let begin = Self::at(self.after.clone().unwrap_or_default());
        let high = self.high.as_ref().map(HighWater::next_run).filter(|high| high.since.is_some());
        Self { began: self.after.clone(), validators: self.validators.clone(), high, ..begin }
    }

    /// Where the run began, before its first page.
    pub(crate) fn anew(&self) -> Self {
        Self { began: self.began.clone(), high: self.high_at_first(), ..Self::at(self.first()) }
    }

    /// How far earlier runs have come.
    pub(super) fn high_at_first(&self) -> Option<HighWater> {
        let since = self.high.as_ref()?.since.clone()?;
        Some(HighWater { since: Some(since), ..HighWater::default() })
    }

    /// Where the run began.
    pub(crate) fn first(&self) -> Position {
        self.began.clone().unwrap_or_default()
    }

    /// Whether there is no page after it.
    pub fn is_end(&self) -> bool {
        self.next.is_none()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
