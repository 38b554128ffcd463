//! Selections by chance, against a plain reader of values.

use fastrand::Rng;
use headwater::page::{Format, Select};
use serde_json::{Map, Value, json};

use crate::chance::rounds;
use crate::records;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn some_value(rng: &mut Rng, depth: usize) -> Value {
    match rng.u8(..if depth == 0 { 4 } else { 10 }) {
        0 => Value::Null,
        1 => json!(rng.u8(..)),
        2 => json!("x"),
        3 => json!(true),
        4..7 => (0..rng.usize(..4)).map(|_| some_value(rng, depth - 1)).collect(),
        _ => {
            let names = NAMES.iter().filter(|_| rng.u8(..4) > 0).collect::<Vec<_>>();
            names
                .into_iter()
                .map(|name| ((*name).to_owned(), some_value(rng, depth - 1)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    List,
    Map,
    Object,
}

#[derive(Debug)]
struct Choice {
    path: Vec<&'static str>,
    kind: Kind,
    skip_null: bool,
    optional: bool,
}

impl Choice {
    fn some(rng: &mut Rng) -> Self {
        let path =
            (0..rng.usize(1..4)).map(|_| *rng.choice(&["a", "b", "*", "0"][..]).expect("one")).collect();
        let kind = *rng.choice(&[Kind::List, Kind::List, Kind::Map, Kind::Object][..]).expect("one");
        Self { path, kind, skip_null: rng.bool(), optional: rng.bool() }
    }

    fn select(&self) -> Select {
        let path = self.path.join(".");
        let mut select = match self.kind {
            Kind::List => Select::path(path),
            Kind::Map => Select::map(path),
            Kind::Object => Select::object(path),
        };
        if self.skip_null {
            select = select.skip_null();
        }
        if self.optional {
            select = select.optional();
        }
        select
    }

    /// The records; `None` if it is an error.
    fn of(&self, document: &Value) -> Option<Vec<Value>> {
        let mut ends = Vec::new();
        let arrived = self.lead(document, &self.path, &mut ends)?;
        if !arrived && !self.optional {
            return None;
        }
        let in_each = self.kind == Kind::Map || self.path.contains(&"*");
        let kinds: Vec<u8> = ends.iter().filter(|end| !end.is_null()).map(|end| kind(end)).collect();
        if in_each && self.kind != Kind::Object && kinds.windows(2).any(|pair| pair[0] != pair[1]) {
            return None;
        }
        let mut records = Vec::new();
        for end in ends {
            match (self.kind, end) {
                (Kind::Object, Value::Object(_)) => records.push(end.clone()),
                (Kind::Object, Value::Null) if self.skip_null => {}
                (Kind::Object, _) => return None,
                (_, Value::Array(items)) => records.extend(items.iter().cloned()),
                (_, Value::Null) => {}
                _ if in_each => records.push(end.clone()),
                _ => return None,
            }
        }
        records.retain(|record| !(self.skip_null && record.is_null()));
        Some(records)
    }

    /// Whether the path leads anywhere; `None` if it leads to what has no items.
    fn lead<'a>(&self, value: &'a Value, path: &[&str], ends: &mut Vec<&'a Value>) -> Option<bool> {
        let Some((first, rest)) = path.split_first() else {
            if self.kind != Kind::Map {
                ends.push(value);
                return Some(true);
            }
            return match value {
                Value::Object(values) => {
                    ends.extend(values.values());
                    Some(true)
                }
                Value::Null => Some(true),
                _ => None,
            };
        };
        let items: Vec<&Value> = match (*first, value) {
            ("*", Value::Array(items)) => items.iter().collect(),
            ("*", Value::Object(values)) => values.values().collect(),
            ("*", Value::Null) => return Some(true),
            ("*", _) => return None,
            (name, Value::Object(values)) => {
                return values.get(name).map_or(Some(false), |value| self.lead(value, rest, ends));
            }
            (index, Value::Array(items)) => {
                let item = index.parse().ok().and_then(|index: usize| items.get(index));
                return item.map_or(Some(false), |value| self.lead(value, rest, ends));
            }
            _ => return Some(false),
        };
        for item in items {
            // What leads nowhere in an item is lost, whatever the others hold.
            if !self.lead(item, rest, ends)? && !self.optional {
                return None;
            }
        }
        Some(true)
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Array(_) => 0,
        Value::Object(_) => 1,
        _ => 2,
    }
}

#[test]
fn a_selection_finds_what_a_plain_reader_finds() {
    rounds(|rng| {
        let document = some_value(rng, 4);
        let (first, second) = (Choice::some(rng), Choice::some(rng));
        let body = document.to_string();
        let read = |select: Select| -> Option<Vec<Value>> {
            let found = records(Format::Json, &body, select).ok()?;
            Some(found.iter().map(|record| serde_json::from_str(record).expect("JSON")).collect())
        };
        assert_eq!(read(first.select()), first.of(&document), "{first:?} in {body}");
        if first.path != second.path || (first.kind == Kind::Map) != (second.kind == Kind::Map) {
            let both =
                first.of(&document).zip(second.of(&document)).map(|(one, other)| [one, other].concat());
            assert_eq!(read(first.select().and(second.select())), both, "{first:?} and {second:?} in {body}");
        }
    });
}
