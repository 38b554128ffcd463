//! Rows that wait for a commit.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

use crate::error::Result;
use crate::records::Batch;
use crate::sink::sql::Key;

/// The records of some pages, one behind the other in one piece of memory.
#[derive(Debug, Default)]
pub(super) struct Rows {
    text: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    keys: Vec<u8>,
    key_ends: Vec<usize>,
    /// Up to which row a page reaches, and when it came.
    pages: Vec<(usize, SystemTime)>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) record: &'a [u8],
    pub(super) key: Option<&'a [u8]>,
}

impl Rows {
    /// What they take.
    pub(super) fn bytes(&self) -> usize {
        let ends = (self.ends.len() + self.key_ends.len()) * size_of::<usize>();
        self.text.len() + self.keys.len() + ends + self.pages.len() * size_of::<(usize, SystemTime)>()
    }

    /// Takes the records of a page, with their keys if they have any.
    pub(super) fn push(&mut self, batch: &Batch, key: Option<&Key>) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        for record in batch.slices() {
            if let Some(key) = key {
                key.append_of(batch, record, &mut self.keys)?;
                self.key_ends.push(self.keys.len());
            }
            self.text.extend_from_slice(record);
            self.ends.push(self.text.len());
        }
        self.pages.push((self.ends.len(), batch.fetched_at()));
        Ok(())
    }

    /// The pages with their rows.
    pub(super) fn pages(&self) -> impl Iterator<Item = (String, impl Iterator<Item = Row<'_>>)> {
        let mut first = 0;
        self.pages.iter().map(move |(end, at)| {
            let rows = std::mem::replace(&mut first, *end)..*end;
            let row = |index| Row {
                record: part(&self.text, &self.ends, index).unwrap_or_default(),
                key: part(&self.keys, &self.key_ends, index),
            };
            (self::at(*at), rows.map(row))
        })
    }
}

/// A point in time as it stands in the rows.
pub(super) fn at(time: SystemTime) -> String {
    let time: DateTime<Utc> = time.into();
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The part of this index, of those that end where is told.
fn part<'a>(of: &'a [u8], ends: &[usize], index: usize) -> Option<&'a [u8]> {
    let start = index.checked_sub(1).map_or(Some(0), |before| ends.get(before).copied())?;
    of.get(start..*ends.get(index)?)
}
