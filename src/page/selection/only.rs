//! What a record has to have, so as not to be left out.

use serde_json::Value;

use crate::error::Result;
use crate::page::JsonPath;
use crate::page::walk::Plan;
use crate::request::is_same;

/// A value at a path of a record.
#[derive(Debug)]
pub(super) struct Only {
    plan: Plan,
    value: Value,
}

impl Only {
    /// Reads the path.
    pub(super) fn new((path, value): &(String, Value)) -> Result<Self> {
        Ok(Self { plan: Plan::new(&[JsonPath::parse(path)?]), value: value.clone() })
    }

    /// Whether a record has it.
    pub(super) fn fits(&self, record: &str) -> bool {
        let found =
            self.plan.walk(record).ok().and_then(|outline| outline.captures.into_iter().next().flatten());
        let found = found.and_then(|span| serde_json::from_str::<Value>(span.of(record)).ok());
        found.is_some_and(|found| is_same(&found, &self.value))
    }
}
