//! Where the values of the field stand, and where a run begins.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Incremental, Kind};
use crate::request::{Level, Timestamp};

impl Incremental {
    /// Where a value stands in the order; `None` if it is not of the kind. Strings stand by themselves.
    pub(super) fn order(&self, value: &Value) -> Option<i64> {
        match self.kind {
            Kind::Timestamp => Timestamp::read(value).map(|time| time.0),
            Kind::Integer => match value {
                Value::Number(number) => number.as_i64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            },
            Kind::Text => value.is_string().then_some(0),
        }
    }

    pub(super) fn compare(&self, one: &Value, other: &Value) -> Ordering {
        match self.kind {
            Kind::Text => one.as_str().cmp(&other.as_str()),
            _ => self.order(one).cmp(&self.order(other)),
        }
    }

    /// Where a run begins: at the mark, less the lookback, as far as it is known what earlier runs have taken there.
    pub(super) fn start(&self, level: &Level) -> Option<i64> {
        let order = self.order(&level.value).filter(|_| self.kind != Kind::Text)?;
        let reach = level.reach.unwrap_or(i64::MIN).min(order);
        Some(order.saturating_sub(self.lookback).max(reach))
    }

    /// Whether a value lies below where a run begins.
    pub(super) fn is_below(&self, value: &Value, since: &Level) -> bool {
        match (self.start(since), self.order(value)) {
            (Some(start), Some(order)) => order < start,
            _ => self.kind == Kind::Text && self.compare(value, &since.value) == Ordering::Less,
        }
    }
}
