//! One value of a position: where it comes from, and where it goes.

use serde_json::Value;

use super::super::{Answer, RawJson, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::page::walk::{Shape, find};
use crate::request::{Request, Target};

/// A token, and what is done with it.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) from: From,
    pub(super) or: Vec<String>,
    pub(super) into: Target,
    pub(super) first: Option<Value>,
    pub(super) plus: Option<i64>,
    pub(super) json_encoded: bool,
    pub(super) missing_ends: bool,
    pub(super) zero_ends: bool,
}

// A part of the fingerprint: the names must stay.
#[derive(Debug, Clone)]
pub(super) enum From {
    Body(String),
    Header(String),
    LastRecord(String),
    FirstRecord(String),
}

/// What stands in the place of the token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    Missing,
    /// What the API says instead of a token when there is none.
    Nothing,
    NoRecord,
    Value(Value),
}

impl Token {
    pub(super) fn new(from: From) -> Self {
        Self {
            from,
            or: Vec::new(),
            into: Target::query("cursor"),
            first: None,
            plus: None,
            json_encoded: false,
            missing_ends: false,
            zero_ends: false,
        }
    }

    /// The paths in the body that it is looked for at.
    pub(super) fn reads(&self) -> Result<Vec<JsonPath>> {
        self.into.check()?;
        let from = match &self.from {
            From::Body(path) => vec![JsonPath::parse(path)?],
            From::LastRecord(path) | From::FirstRecord(path) => {
                JsonPath::parse(path)?;
                Vec::new()
            }
            From::Header(_) => Vec::new(),
        };
        let or: Vec<JsonPath> = self.or.iter().map(|path| JsonPath::parse(path)).collect::<Result<_>>()?;
        Ok(from.into_iter().chain(or).collect())
    }

    pub(super) fn captures(&self) -> usize {
        usize::from(matches!(self.from, From::Body(_))) + self.or.len()
    }

    pub(super) fn needs_records(&self) -> bool {
        matches!(self.from, From::LastRecord(_) | From::FirstRecord(_))
    }

    /// The name of what it is looked for at, for an error.
    pub(super) fn place(&self) -> &str {
        match &self.from {
            From::Body(name) | From::Header(name) | From::LastRecord(name) | From::FirstRecord(name) => name,
        }
    }

    /// Looks for it in an answer, where its paths are captured from this index on.
    pub(super) fn find(&self, answer: &Answer<'_>, index: usize) -> Result<Found> {
        let values = || (index..index + self.captures()).filter_map(|index| answer.value(index));
        // One that says that there is nothing is no token; another path may have it.
        let captured = values().find(|value| !self.is_nothing(*value)).or(values().next());
        match &self.from {
            From::Header(name) if captured.is_none() => self.in_header(answer, name),
            From::LastRecord(path) if captured.is_none() => self.in_record(answer, 1, path, "last"),
            From::FirstRecord(path) if captured.is_none() => self.in_record(answer, 0, path, "first"),
            _ => match captured {
                None => Ok(Found::Missing),
                Some(value) if self.is_nothing(value) => Ok(Found::Nothing),
                Some(value) => self.read(answer, value),
            },
        }
    }

    fn is_nothing(&self, value: RawJson<'_>) -> bool {
        let text = value.text();
        value.is_null()
            || text == "\"\""
            || text == "false"
            || (self.zero_ends && text.trim_matches('"') == "0")
    }

    fn in_header(&self, answer: &Answer<'_>, name: &str) -> Result<Found> {
        let Some(value) = answer.headers().get(name) else { return Ok(Found::Missing) };
        let unreadable =
            || Error::new(ErrorKind::Cursor, format!("the cursor in the header {name} is not a text"));
        let text = value.to_str().map_err(|_| unreadable())?.trim();
        if text.is_empty() || (self.zero_ends && text == "0") {
            return Ok(Found::Nothing);
        }
        self.changed(Value::from(text)).map(Found::Value)
    }

    fn in_record(&self, answer: &Answer<'_>, edge: usize, path: &str, which: &str) -> Result<Found> {
        let Some(record) = answer.edge_rows()?[edge] else {
            if answer.record_count()? == 0 {
                return Ok(Found::NoRecord);
            }
            let what =
                format!("no row of the page has a field \"{path}\" to go on from: they are all `null`");
            return Err(Error::new(ErrorKind::Cursor, what));
        };
        let field = JsonPath::parse(path)?;
        let value = find(&field, record.0).map_err(|error| {
            Error::new(ErrorKind::Cursor, format!("the {which} record cannot be read")).because(error)
        })?;
        let value = value.map(RawJson).ok_or_else(|| {
            let what = format!("the {which} record has no field \"{path}\" to go on from");
            Error::new(ErrorKind::Cursor, what)
        })?;
        if value.text() == "\"\"" {
            // Sent back, it would ask for the first page again.
            let why = format!("the field \"{path}\" of the {which} record is empty: nothing to go on from");
            return Err(Error::new(ErrorKind::Cursor, why));
        }
        self.read(answer, value)
    }

    /// Takes a value as a token.
    fn read(&self, answer: &Answer<'_>, raw: RawJson<'_>) -> Result<Found> {
        let wrong = |why: &str| {
            let what = format!("the cursor \"{}\" is {}, {why}", self.place(), raw.kind());
            Error::new(ErrorKind::Cursor, what)
        };
        let value = match raw.text().as_bytes().first() {
            Some(b'{' | b'[') => {
                let value: Value =
                    serde_json::from_str(raw.text()).map_err(|_| wrong("that cannot be read"))?;
                if !raw.keeps_digits() {
                    return Err(wrong("with a number in it that is too large to be sent back as it is"));
                }
                match value {
                    Value::Object(mut element)
                        if answer.shape == Shape::Elements && self.is_element(&element) =>
                    {
                        match element.remove("#text") {
                            Some(Value::String(text)) if !text.is_empty() => Value::String(text),
                            _ => return Ok(Found::Nothing),
                        }
                    }
                    value => value,
                }
            }
            // In a body a number stays a number, as far as it has a type; in a query all is text.
            Some(b'-' | b'0'..=b'9') => match serde_json::from_str::<Value>(raw.text()) {
                Ok(number) if self.keeps_numbers() && *number.to_string() == *raw.text() => number,
                _ => Value::from(raw.text()),
            },
            Some(b'"') => Value::String(raw.as_token().ok_or_else(|| wrong("that cannot be read"))?),
            _ => return Err(wrong("neither a string nor a number")),
        };
        let is_empty = match &value {
            Value::Object(fields) => fields.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => false,
        };
        if is_empty {
            return Err(wrong("and empty: nothing to go on from"));
        }
        if !self.json_encoded && !self.into.takes(&value) {
            return Err(wrong("neither a string nor a number").advice(
                "name the field in it that is the token, or send all of it: into the body, merged, or `json_encoded()`",
            ));
        }
        self.changed(value).map(Found::Value)
    }

    fn keeps_numbers(&self) -> bool {
        self.json_encoded || self.into.keeps_types()
    }

    /// Whether it is an element of XML with attributes, where a text is wanted.
    fn is_element(&self, fields: &serde_json::Map<String, Value>) -> bool {
        !fields.is_empty()
            && !self.into.keeps_types()
            && fields.keys().all(|key| key == "#text" || key.starts_with('@'))
    }

    fn changed(&self, value: Value) -> Result<Value> {
        let Some(plus) = self.plus else { return Ok(value) };
        let text = match &value {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => String::new(),
        };
        let sum = text.parse::<i64>().ok().and_then(|number| number.checked_add(plus)).ok_or_else(|| {
            Error::new(ErrorKind::Cursor, format!("the cursor \"{}\" is no number to add to", self.place()))
        })?;
        Ok(if value.is_number() { sum.into() } else { sum.to_string().into() })
    }

    /// Sends it.
    pub(super) fn put(&self, request: Request, value: &Value) -> Result<Request> {
        match self.json_encoded {
            true => self.into.put(request, &Value::String(value.to_string())),
            false => self.into.put(request, value),
        }
    }

    /// Makes the request for the first page, when there is no token yet.
    pub(super) fn begin(&self, request: Request) -> Result<Request> {
        match &self.first {
            Some(first) => self.into.put(request, first),
            None => self.into.leave(request),
        }
    }

    /// The value of a token that has to be there.
    pub(super) fn required(&self) -> Error {
        let what = match self.from {
            From::Header(_) => "the cursor in the header",
            _ => "the cursor",
        };
        missing(what, self.place())
    }

    /// A part of the fingerprint: what was there before must stay as it is.
    pub(super) fn options(&self) -> String {
        let missing = if self.missing_ends { " missing ends" } else { "" };
        let zero = if self.zero_ends { " zero ends" } else { "" };
        let json = if self.json_encoded { " json encoded" } else { "" };
        let plus = self.plus.map_or_else(String::new, |plus| format!(" plus {plus}"));
        let first = self.first.as_ref().map_or_else(String::new, |first| format!(" first {first}"));
        let or: String = self.or.iter().map(|path| format!(" or {path}")).collect();
        format!("{missing}{zero}{json}{plus}{first}{or}")
    }
}
