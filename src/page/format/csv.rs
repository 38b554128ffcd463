//! CSV (RFC 4180): one record for each row.

use std::collections::HashSet;
use std::io::Read;

use serde_json::json;
use serde_json::value::RawValue;

use super::text::JsonText;
use super::{Format, not_in_format, refuse_html};
use crate::error::{Error, Result};

/// A last row of our own: one field that no row of a table has. If a quoted field swallows it, that was never closed.
const LAST: &[u8] = b"\n\x1F\x1F";

/// Comma-separated values.
///
/// Each row is a record: an object of strings, by the names of the first row; numbers keep their text. All rows must be
/// as long as the first, and its names must be there, each once. Empty lines do not count. A body of nothing is an
/// error, unless the names are [given](Self::names).
///
/// ```
/// use headwater::page::{Csv, Format};
/// let semicolons: Csv = Format::csv().delimiter(b';');
/// let bare: Csv = Format::csv().names(["id", "name"]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Csv {
    delimiter: u8,
    /// The names, where the table has none.
    names: Option<Vec<String>>,
    required: Vec<String>,
}

impl From<Csv> for Format {
    fn from(csv: Csv) -> Self {
        Self::Csv(csv)
    }
}

impl Csv {
    pub(super) fn new() -> Self {
        Self { delimiter: b',', names: None, required: Vec::new() }
    }

    /// Sets what stands between two fields: one ASCII character. The default is a comma.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Gives the names of a table that has none: its first row is a record.
    pub fn names<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Names columns that must be there. A text that is no table, an error message say, looks like a table of one column
    /// without rows; this tells them apart. Without it, a header alone is an error if it is one column, or if no line break
    /// ends it.
    pub fn require<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.required.extend(names.into_iter().map(Into::into));
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if !self.delimiter.is_ascii() || matches!(self.delimiter, b'"' | b'\r' | b'\n' | 0x1F) {
            return Err(Error::config(
                "the delimiter of CSV must be one ASCII character, and no quote or line break",
            ));
        }
        match &self.names {
            Some(names) if self.required.iter().any(|required| !names.contains(required)) => {
                Err(Error::config("a column of CSV is required that is not among the names"))
            }
            Some(names) => {
                check_names(names).map_err(|what| Error::config(format!("the names of CSV: {what}")))
            }
            None => Ok(()),
        }
    }

    pub(super) fn is_named(&self) -> bool {
        self.names.is_some()
    }

    pub(super) fn definition(&self) -> String {
        format!("csv {}", json!([self.delimiter, self.names]))
    }

    /// Turns a table into the array of its rows.
    pub(super) fn read(&self, text: &str, json: &mut JsonText) -> Result<()> {
        refuse_html(text, "CSV")?;
        if text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(text).is_ok() {
            // With an error object for a header it would be a table without rows.
            return Err(not_in_format("the answer is JSON where CSV was expected"));
        }
        let mut rows = ::csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes().chain(LAST));
        let mut row = ::csv::ByteRecord::new();
        let mut names: Option<Vec<Vec<u8>>> = None;
        if let Some(given) = &self.names {
            names = Some(keys(given, json.cap())?);
        }
        let mut any = false;
        let end = (text.len() + LAST.len()) as u64;
        json.raw(b"[")?;
        loop {
            let line = rows.position().line();
            let more = rows.read_byte_record(&mut row).map_err(|error| {
                not_in_format(format!("the row at line {line} cannot be read")).because(error)
            })?;
            if !more {
                return Err(not_in_format("a quoted field is not closed: the table ends too early"));
            }
            if rows.position().byte() == end && row.len() == 1 && row.get(0) == Some(&LAST[1..]) {
                break;
            }
            let Some(names) = &names else {
                names = Some(keys(&self.header(&row)?, json.cap())?);
                continue;
            };
            if row.len() != names.len() {
                if row.iter().next_back().is_some_and(|field| field.ends_with(LAST)) {
                    continue;
                }
                let (line, fields, expected) = (line_of(&row, text), row.len(), names.len());
                let what = format!("the row at line {line} has {fields} fields, and not {expected}");
                return Err(not_in_format(what));
            }
            for (index, (name, field)) in names.iter().zip(&row).enumerate() {
                json.raw(if index > 0 {
                    b","
                } else if any {
                    b",{"
                } else {
                    b"{"
                })?;
                json.raw(name)?;
                // The table is UTF-8, and is cut only at ASCII characters.
                json.string(std::str::from_utf8(field).unwrap_or_default())?;
            }
            json.raw(b"}")?;
            any = true;
        }
        let Some(names) = names else { return Err(not_in_format("the table has no header")) };
        if !any && self.names.is_none() && self.required.is_empty() {
            let is_whole = text.ends_with(['\n', '\r']);
            if names.len() == 1 || !is_whole {
                let what = "a header alone: it may be a message, or a table that was cut";
                return Err(not_in_format(what).advice(
                    "if tables without rows look like this, name a column that they have: `require([…])`",
                ));
            }
        }
        json.raw(b"]")
    }

    fn header(&self, row: &::csv::ByteRecord) -> Result<Vec<String>> {
        let names: Vec<String> = row.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        check_names(&names).map_err(|what| {
            not_in_format(format!("the header: {what}"))
                .advice("if the table has no header, give the names with `names([…])`")
        })?;
        for required in &self.required {
            if !names.contains(required) {
                return Err(not_in_format(format!("the table has no column {required:?}")));
            }
        }
        Ok(names)
    }
}

/// The line on which a row begins. Where the reader says that it does, empty lines come first.
fn line_of(row: &::csv::ByteRecord, text: &str) -> u64 {
    let Some(position) = row.position() else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|at| text.as_bytes().get(at..)).unwrap_or(&[]);
    let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + empty.filter(|byte| **byte == b'\n').count() as u64
}

fn check_names(names: &[String]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(format!("column {} has no name", index + 1));
        }
        if !seen.insert(name) {
            return Err(format!("the name {name:.100?} is there twice"));
        }
    }
    if names.is_empty() { Err("there are no names".to_owned()) } else { Ok(()) }
}

/// The names as JSON, each with its colon.
fn keys(names: &[String], cap: usize) -> Result<Vec<Vec<u8>>> {
    names
        .iter()
        .map(|name| {
            let mut key = JsonText::new(cap);
            key.string(name)?;
            key.raw(b":")?;
            Ok(key.done().to_vec())
        })
        .collect()
}
