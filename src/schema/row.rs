//! One record, one row.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cell::{Cell, as_text, cell};
use super::chunk::Rejected;
use super::column::Content;
use super::conform::FIELD_BYTES;
use super::fields::{Fields, unescaped};
use super::infer::Sample;
use super::layout::Layout;
use super::rules::{Contract, Limits, Rules};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;

/// So many cells a chunk has at most, unless one row has more: about 2 MiB.
const CELLS: usize = 65_536;

/// Columns that records asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    fields: Sample,
    misfits: BTreeSet<usize>,
}

impl Wanted {
    fn len(&self) -> usize {
        self.fields.len() + self.misfits.len()
    }

    pub(super) fn add_to(self, layout: &mut Layout, limits: &Limits) {
        for of in self.misfits {
            layout.add_misfits(of, limits);
        }
        for (field, column_type) in self.fields.types() {
            if let Some(column_type) = column_type {
                layout.add_field(field, column_type, limits);
            }
        }
    }
}

/// What does not fit: about which field or column, and why.
struct Misfit {
    about: Option<String>,
    reason: Cow<'static, str>,
}

impl Misfit {
    fn new(about: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        // A name may be of any length.
        let about: String = about.chars().take(FIELD_BYTES).collect();
        Self { about: Some(about), reason: reason.into() }
    }
}

/// Rows of a batch.
pub(super) struct Rows<'a> {
    source: &'a Arc<str>,
    rules: &'a Rules,
    limits: &'a Limits,
    batch: &'a Batch,
    /// When the page was complete, in whole seconds, as in the files.
    ingested_at: i64,
    pub(super) cells: Vec<Cell<'a>>,
    pub(super) rejected: Vec<Rejected<'a>>,
    pub(super) nulled: u64,
    /// Behind the last record that was looked at.
    pub(super) end: usize,
    /// The values of the record at hand, by column.
    values: Vec<Option<&'a str>>,
    wanted: Wanted,
}

impl<'a> Rows<'a> {
    pub(super) fn new(source: &'a Arc<str>, rules: &'a Rules, limits: &'a Limits, batch: &'a Batch) -> Self {
        Self {
            source,
            rules,
            limits,
            batch,
            ingested_at: seconds(batch.fetched_at()).saturating_mul(1_000_000),
            cells: Vec::new(),
            rejected: Vec::new(),
            nulled: 0,
            end: 0,
            values: Vec::new(),
            wanted: Wanted::default(),
        }
    }

    /// Makes the rows of these records, as many as are made at once, or tells the columns that must be there first.
    pub(super) fn conform(&mut self, layout: &Layout, records: Range<usize>) -> Result<Option<Wanted>> {
        let width = layout.len();
        self.cells.clear();
        self.rejected.clear();
        self.nulled = 0;
        self.end = records.end.min(records.start.saturating_add((CELLS / width.max(1)).max(1)));
        self.cells.reserve((self.end - records.start) * width);
        for index in records.start..self.end {
            let record = self.batch.slice(index).unwrap_or_default();
            let (start, nulled) = (self.cells.len(), self.nulled);
            let Err(misfit) = self.row(layout, record) else { continue };
            self.cells.truncate(start);
            self.nulled = nulled;
            if self.rules.contract == Contract::Freeze {
                return Err(self.frozen(&misfit));
            }
            let Misfit { about: column, reason } = misfit;
            self.rejected.push(Rejected { record, reason, column, index });
        }
        Ok((self.wanted.len() > 0).then(|| std::mem::take(&mut self.wanted)))
    }

    fn row(&mut self, layout: &Layout, record: &'a [u8]) -> Result<(), Misfit> {
        let record = std::str::from_utf8(record)
            .map_err(|_| Misfit { about: None, reason: "the record is no UTF-8".into() })?;
        let columns = &layout.schema.columns;
        self.values.clear();
        self.values.resize(columns.len(), None);
        match Fields::of(record) {
            None => self.field(layout, "value", record, 0).map(drop)?,
            Some(fields) => {
                let mut expected = 0;
                for (key, raw) in fields {
                    expected = match key.contains('\\') {
                        false => self.field(layout, key, raw, expected)?,
                        true => self.field(layout, &unescaped(key), raw, expected)?,
                    };
                }
            }
        }
        let start = self.cells.len();
        self.cells.resize(start + columns.len(), Cell::Null);
        for (index, column) in columns.iter().enumerate() {
            if column.content == Content::IngestedAt {
                self.cells[start + index] = Cell::Timestamp(self.ingested_at);
            }
            if column.field().is_none() {
                continue;
            }
            if let Some(raw) = self.values[index] {
                match cell(column.column_type, raw, self.limits) {
                    Ok(cell) => self.cells[start + index] = cell,
                    Err(reason) => {
                        if let Some((place, text)) = self.misfit(layout, index, raw, reason)? {
                            self.cells[start + place] = text;
                        }
                        if !column.required {
                            continue;
                        }
                        return Err(Misfit::new(&column.name, reason));
                    }
                }
            }
            if column.required && self.cells[start + index].is_null() {
                return Err(Misfit::new(&column.name, "it is required, and the record has nothing for it"));
            }
        }
        if let Some(reason) = self.limits.row.and_then(|limit| limit(&self.cells[start..])) {
            return Err(Misfit { about: None, reason: reason.into() });
        }
        Ok(())
    }

    /// Puts a field's value to its column, and gives the column that the next one most likely has.
    fn field(
        &mut self,
        layout: &Layout,
        field: &str,
        raw: &'a str,
        expected: usize,
    ) -> Result<usize, Misfit> {
        if let Some(column) = layout.column_of(field, expected) {
            self.values[column] = Some(raw);
            return Ok(column + 1);
        }
        if raw == "null" {
            return Ok(expected);
        }
        match self.rules.contract {
            Contract::Null => self.nulled += 1,
            Contract::Freeze | Contract::Reject => {
                return Err(Misfit::new(field, "the schema has no column for this field"));
            }
            Contract::Evolve if field.len() > FIELD_BYTES => {
                return Err(Misfit::new(
                    field,
                    format!("the name of the field has more than {FIELD_BYTES} bytes"),
                ));
            }
            Contract::Evolve => {
                if !self.wanted.fields.knows(field) {
                    self.has_room(layout, field)?;
                }
                self.wanted.fields.see(field, raw, self.rules.times);
            }
        }
        Ok(expected)
    }

    /// What becomes of a value that does not fit its column: nothing, or a text for another column.
    fn misfit(
        &mut self,
        layout: &Layout,
        column: usize,
        raw: &'a str,
        reason: &'static str,
    ) -> Result<Option<(usize, Cell<'a>)>, Misfit> {
        let is = &layout.schema.columns[column];
        match self.rules.contract {
            Contract::Freeze | Contract::Reject => Err(Misfit::new(&is.name, reason)),
            Contract::Null => {
                self.nulled += 1;
                Ok(None)
            }
            Contract::Evolve if is.required => Ok(None),
            Contract::Evolve => {
                if let Some(place) = layout.misfits_of(column) {
                    return Ok(Some((place, as_text(raw, self.limits.nul))));
                }
                if !self.wanted.misfits.contains(&column) {
                    self.has_room(layout, &is.name)?;
                    self.wanted.misfits.insert(column);
                }
                Ok(None)
            }
        }
    }

    fn has_room(&self, layout: &Layout, about: &str) -> Result<(), Misfit> {
        let most = self.rules.most_columns;
        if layout.len() + self.wanted.len() < most {
            return Ok(());
        }
        Err(Misfit::new(about, format!("it needs a column, and the table has all {most} that it may have")))
    }

    fn frozen(&self, misfit: &Misfit) -> Error {
        let about = misfit.about.as_deref().unwrap_or_default();
        let what = format!("the schema is frozen, and a record does not fit: {about:?}: {}", misfit.reason);
        let page = self.batch.page();
        Error::new(ErrorKind::Record, what)
            .advice("change the declared schema, or the contract of this source; nothing of this page was committed")
            .at(|context| {
                context.source = Some(self.source.clone());
                context.page = Some(page.number);
                context.position = Some(page.position.to_string());
            })
    }
}

fn seconds(at: SystemTime) -> i64 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        // Before the epoch, downwards.
        Err(before) => {
            let before = before.duration();
            let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            -whole - i64::from(before.subsec_nanos() > 0)
        }
    }
}
