//! What was written, and what came back.

use std::fmt;
use std::time::SystemTime;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::pages::Listing;
use super::{Fidelity, Held, Place, Wrong, ensure, wrong};
use crate::records::{Annotator, Record};

/// Reads a source back, and looks whether each record is there once, and in order. `rejected` says how many the sink
/// has counted as such; ordinary records must not be among them.
pub(super) async fn is_there(place: &dyn Place, listing: &Listing, rejected: u64) -> Held {
    let source = &listing.name;
    let read = place.committed(source).await.map_err(|error| Wrong::from(error).at("reading it back"))?;
    same(place, source, &listing.records(), &read, rejected).map_err(|wrong| wrong.at(source))
}

/// Compares what was read with what was written.
pub(super) fn same(
    place: &dyn Place,
    source: &str,
    written: &[&str],
    read: &[String],
    rejected: u64,
) -> Held {
    let mut wanted: Vec<Wanted> =
        written.iter().map(|record| Wanted::new(record, source)).collect::<Result<_, _>>()?;
    let mut read: Vec<(Vec<Field>, &str)> = read
        .iter()
        .map(|line| fields(line).map(|fields| (fields, line.as_str())))
        .collect::<Result<_, _>>()?;
    if place.fidelity() == Fidelity::Columns {
        wanted.retain(|wanted| wanted.id.is_some());
        read.retain(|(fields, _)| id_of(fields).is_some_and(|id| id != "null"));
    }
    let mut missing: Vec<&Wanted> = Vec::new();
    let mut next = 0;
    if !place.keeps_order() || place.key().is_some() {
        // In any order: each takes the first that is the same.
        for wanted in &wanted {
            match read.iter().position(|(fields, line)| wanted.is(place, fields, line)) {
                Some(index) => drop(read.remove(index)),
                None => missing.push(wanted),
            }
        }
    } else {
        for wanted in &wanted {
            match read.get(next) {
                Some((fields, line)) if wanted.is(place, fields, line) => next += 1,
                _ => missing.push(wanted),
            }
        }
    }
    if let Some((_, line)) = read.get(next) {
        let (line, of) = (shown(line), read.len());
        let lost =
            missing.first().map_or(String::new(), |wanted| format!("; instead of {}", shown(wanted.record)));
        return Err(wrong(format!("the record {} of {of} that came back is wrong: {line}{lost}", next + 1)));
    }
    let ordinary = missing.iter().find(|wanted| wanted.is_ordinary);
    ensure(ordinary.is_none(), || {
        let shown = ordinary.map_or("", |wanted| wanted.record);
        format!("{} of {} records are missing, such as {}", missing.len(), wanted.len(), self::shown(shown))
    })?;
    ensure(missing.len() as u64 <= rejected || place.fidelity() == Fidelity::Columns && rejected > 0, || {
        let first = missing.first().map_or("", |wanted| wanted.record);
        let (missing, first) = (missing.len(), self::shown(first));
        format!("{missing} records are missing, and {rejected} were rejected, such as {first}")
    })
}

/// A field, and its value as text without blanks.
type Field = (String, String);

/// A record as it may come back: with the rules of [`Annotator`], or as it was.
struct Wanted<'a> {
    record: &'a str,
    annotated: Vec<Field>,
    plain: Vec<Field>,
    id: Option<String>,
    is_ordinary: bool,
}

impl<'a> Wanted<'a> {
    fn new(record: &'a str, source: &str) -> Result<Self, Wrong> {
        let mut line = Vec::new();
        Annotator::new(source).append(&Record::new(record.to_owned(), SystemTime::UNIX_EPOCH)?, &mut line);
        let annotated = fields(&String::from_utf8_lossy(&line))?;
        let plain = fields(record)?;
        let id = id_of(&plain);
        let is_ordinary = id.is_some() && !record.contains("/odd/");
        Ok(Self { record, annotated: without_ours(annotated), plain, id, is_ordinary })
    }

    fn is(&self, place: &dyn Place, fields: &[Field], line: &str) -> bool {
        match place.fidelity() {
            Fidelity::Text => self.annotated == without_ours(fields.to_vec()) || self.plain == fields,
            Fidelity::Columns => self.id == id_of(fields),
            Fidelity::Values => {
                let values = |fields: &[Field]| -> serde_json::Map<String, serde_json::Value> {
                    let value = |text: &str| serde_json::from_str::<f64>(text).ok();
                    let read = |text: &str| match value(text) {
                        // However it is written.
                        Some(number) => format!("number {number:e}").into(),
                        None => serde_json::from_str(text).unwrap_or_default(),
                    };
                    fields.iter().map(|(name, text)| (name.clone(), read(text))).collect()
                };
                let came = values(&without_ours(fields.to_vec()));
                came == values(&self.annotated)
                    || values(fields) == values(&self.plain)
                    || line == self.record
            }
        }
    }
}

fn id_of(fields: &[Field]) -> Option<String> {
    fields.iter().find(|(name, _)| name == "id").map(|(_, value)| value.trim_matches('"').to_owned())
}

/// Without the fields that a sink adds at the end.
fn without_ours(mut fields: Vec<Field>) -> Vec<Field> {
    for ours in ["__ingested_at", "__source"] {
        if let Some(last) = fields.iter().rposition(|(name, _)| name == ours) {
            fields.remove(last);
        }
    }
    fields
}

/// The fields of a record in their order; those of what is no object are one, `value`.
fn fields(line: &str) -> Result<Vec<Field>, Wrong> {
    let unreadable = |error| wrong(format!("{} is no JSON: {error}", shown(line)));
    if !line.trim_start().starts_with('{') {
        let value: &RawValue = serde_json::from_str(line).map_err(unreadable)?;
        return Ok(vec![("value".into(), compact(value.get()))]);
    }
    let mut json = serde_json::Deserializer::from_str(line);
    let fields = json.deserialize_map(Fields).map_err(unreadable)?;
    json.end().map_err(unreadable)?;
    Ok(fields)
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            fields.push((name, compact(value.get())));
        }
        Ok(fields)
    }
}

/// JSON text without the blanks between its tokens.
fn compact(text: &str) -> String {
    let (mut in_string, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        let kept = in_string || !c.is_ascii_whitespace();
        match c {
            '"' if !is_escaped => in_string = !in_string,
            _ => {}
        }
        is_escaped = in_string && *c == '\\' && !is_escaped;
        kept
    };
    text.chars().filter(is_kept).collect()
}

fn shown(line: &str) -> String {
    let mut shown: String = line.chars().take(160).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}
