//! How far a source that grows has been pulled: the value of its records that only rises.

use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Timestamp;

/// Where an incremental run began, and how far it has come. The highest value only becomes the beginning of the next
/// run when this one is finished.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct HighWater {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Level>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) top: Option<Level>,
    /// When the run began, by the server's clock, if the value is a time: in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) began: Option<i64>,
}

/// A value, and the records at it that have been pulled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Level {
    /// As the record has it.
    pub(crate) value: Value,
    /// The records from this value (less the lookback) up: their place in the order, and a hash of their key.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) seen: Arc<Vec<(i64, u64)>>,
    /// Down to which place in the order they are all there; a larger lookback of later days reaches no deeper at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reach: Option<i64>,
}

impl HighWater {
    /// What the run after this one, which is finished, begins with.
    pub(crate) fn next_run(&self) -> Self {
        let mut since = self.top.clone().or_else(|| self.since.clone());
        if let Some(level) = &mut since {
            let first = self.since.as_ref().map(|level| &level.value);
            if let Some(earlier) = capped(&level.value, self.began, first) {
                level.value = earlier;
            }
        }
        Self { since, ..Self::default() }
    }

    /// The lower of two beginnings, with what both have seen: from there on, both are complete.
    pub(super) fn lower(one: &Self, other: &Self) -> Option<Self> {
        let (one, other) = (one.since.as_ref()?, other.since.as_ref()?);
        let (low, high) = if order(&one.value, &other.value).is_gt() { (other, one) } else { (one, other) };
        // Below what the higher one remembers it asks for nothing again.
        let is_remembered = |entry: &(i64, u64)| high.seen.first().is_some_and(|first| entry.0 >= first.0);
        let is_of_both =
            |entry: &&(i64, u64)| !is_remembered(entry) || high.seen.binary_search(entry).is_ok();
        let seen = low.seen.iter().filter(is_of_both).copied().collect();
        let level = Level { value: low.value.clone(), seen: Arc::new(seen), reach: low.reach };
        Some(Self { since: Some(level), ..Self::default() })
    }
}

/// Which of two marks of one list is lower.
fn order(one: &Value, other: &Value) -> Ordering {
    let number = |value: &Value| match value {
        Value::Number(number) => number.as_i64(),
        value => value.as_str()?.trim().parse::<i64>().ok(),
    };
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => match (Timestamp::read(one), Timestamp::read(other)) {
            (Some(one), Some(other)) => one.cmp(&other),
            _ => one.as_str().cmp(&other.as_str()),
        },
    }
}

/// Where the next run begins, if that is before the highest value: a time is no mark that lies behind the moment at
/// which the run began, by the server's clock.
///
/// A record may have changed behind the page that was read, and one that was read later lie above it. And one record with
/// a wrong time, far in the future, would hide all that comes after it. What has changed since the run began is asked for
/// again; what is known of it is left out. The moment is rounded down to whole seconds, and to what the form of the values
/// can say; but the mark never goes back.
pub(crate) fn capped(top: &Value, began: Option<i64>, since: Option<&Value>) -> Option<Value> {
    const SECOND: i64 = 1_000_000;
    // No form is coarser than a day.
    const COARSE: i64 = 2 * 86_400 * SECOND;
    let (began, high) = (began?, Timestamp::read(top)?.0);
    if high < began.saturating_sub(COARSE) {
        return None;
    }
    let cap = Timestamp(began.div_euclid(SECOND).saturating_mul(SECOND)).like(top);
    let at = Timestamp::read(&cap)?.0;
    if let Some(since) = since.filter(|since| Timestamp::read(since).is_some_and(|since| since.0 > at)) {
        return Some(since.clone());
    }
    (at < high).then_some(cap)
}

#[allow(clippy::ptr_arg, reason = "serde gives a reference to the field")]
fn is_empty(seen: &Arc<Vec<(i64, u64)>>) -> bool {
    seen.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_before_is_read() {
        let old = r#"{"since":{"value":"2026-05-01"},"top":{"value":"2026-05-17T12:00:00Z","seen":[[7,1]]},
            "began":1779012000000000,"last":"2026-05-16","unordered":true}"#;
        let next = serde_json::from_str::<HighWater>(old).unwrap().next_run();
        assert_eq!(
            serde_json::to_string(&next).unwrap(),
            r#"{"since":{"value":"2026-05-17T10:00:00Z","seen":[[7,1]]}}"#
        );
    }
}
