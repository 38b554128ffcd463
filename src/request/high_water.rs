//! How far a source that grows has been pulled: the value of its records that only rises.

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
    /// The value that came last, and whether one came below it: then the list is in no order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Value>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unordered: bool,
}

/// A value, and the records at it that have been pulled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Level {
    /// As the record has it.
    pub(crate) value: Value,
    /// The records from this value (less the lookback) up: their place in the order, and a hash of their key.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) seen: Arc<Vec<(i64, u64)>>,
}

impl HighWater {
    /// What the run after this one, which is finished, begins with.
    pub(crate) fn next_run(&self) -> Self {
        let mut since = self.top.clone().or_else(|| self.since.clone());
        // Of a list in no order, a record may have changed behind the page that was read, and another, read later, may lie
        // above it. What has changed since the run began is asked for again; what is known of it is left out.
        if let (true, Some(began), Some(level)) = (self.unordered, self.began, &mut since)
            && Timestamp::read(&level.value).is_some_and(|top| top.0 > began)
        {
            level.value = Timestamp(began).like(&level.value);
        }
        Self { since, ..Self::default() }
    }
}

#[allow(clippy::ptr_arg, reason = "serde gives a reference to the field")]
fn is_empty(seen: &Arc<Vec<(i64, u64)>>) -> bool {
    seen.is_empty()
}
