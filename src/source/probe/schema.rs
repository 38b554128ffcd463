//! What the records look like: fields, types, a key, and what they could be pulled by.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use serde_json::Value;

use crate::request::Timestamp;

const DEEPEST: usize = 3;
const MOST_FIELDS: usize = 500;

/// A field of the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Field {
    /// Its path in the record.
    pub path: String,
    /// The types that were seen, in alphabetical order.
    pub types: Vec<&'static str>,
    /// How many of the records have it.
    pub present: usize,
}

/// The fields of the records of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Schema {
    /// How many records were looked at.
    pub records: usize,
    /// The fields, by their paths.
    pub fields: Vec<Field>,
    /// A field that every record has, with a value of its own.
    pub key: Option<String>,
    /// A field that every record has and that says when it was changed: for an incremental pull.
    pub changed: Option<String>,
}

impl Schema {
    pub(super) fn of(records: &[&Value]) -> Self {
        let mut seen: BTreeMap<String, (BTreeSet<&'static str>, usize)> = BTreeMap::new();
        for record in records {
            gather(record, "", 0, &mut seen);
        }
        let everywhere = |path: &str| seen.get(path).is_some_and(|(_, present)| *present == records.len());
        let value = |record: &'_ Value, path: &str| -> Option<Value> {
            path.split('.').try_fold(record, |value, key| value.get(key)).cloned()
        };
        let is_key = |path: &&String| {
            let mut values = HashSet::new();
            everywhere(path)
                && records.iter().all(|record| {
                    let value = value(record, path);
                    let plain = value.filter(|value| value.is_string() || value.is_number());
                    plain.is_some_and(|value| values.insert(value.to_string()))
                })
        };
        let is_key_name = |path: &&String| {
            let name = path.to_ascii_lowercase();
            name == "id"
                || name.ends_with("_id")
                || name == "uuid"
                || name == "key"
                || name == "guid"
                || name == "number"
        };
        let is_time = |path: &&String| {
            everywhere(path)
                && records
                    .iter()
                    .all(|record| value(record, path).is_some_and(|value| Timestamp::read(&value).is_some()))
        };
        let is_change = |path: &&String| {
            let name = path.to_ascii_lowercase();
            ["updated", "modified", "changed", "lastedited"].iter().any(|part| name.contains(part))
        };
        let is_first = |path: &&String| {
            let name = path.to_ascii_lowercase();
            ["created", "timestamp", "inserted", "occurred"].iter().any(|part| name.contains(part))
        };
        let mut keys: Vec<&String> = seen.keys().filter(is_key_name).filter(is_key).collect();
        keys.sort_by_key(|path| (!path.eq_ignore_ascii_case("id"), path.len()));
        let key = keys.first().map(|path| (*path).clone());
        let changed = seen
            .keys()
            .filter(is_change)
            .find(is_time)
            .or_else(|| seen.keys().filter(is_first).find(is_time));
        let (key, changed) = if records.is_empty() { (None, None) } else { (key, changed.cloned()) };
        let fields = seen.iter().map(|(path, (types, present))| Field {
            path: path.clone(),
            types: types.iter().copied().collect(),
            present: *present,
        });
        Self { records: records.len(), fields: fields.collect(), key, changed }
    }
}

fn gather(
    value: &Value,
    path: &str,
    depth: usize,
    seen: &mut BTreeMap<String, (BTreeSet<&'static str>, usize)>,
) {
    if !path.is_empty() {
        if !seen.contains_key(path) && seen.len() >= MOST_FIELDS {
            return;
        }
        let field = seen.entry(path.to_owned()).or_default();
        field.0.insert(kind(value));
        field.1 += 1;
    }
    if let (Value::Object(fields), true) = (value, depth < DEEPEST) {
        for (name, value) in fields {
            let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            gather(value, &below, depth + 1, seen);
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) if Timestamp::read(value).is_some() && !value.as_str().is_some_and(plain_number) => {
            "time"
        }
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn plain_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
}
