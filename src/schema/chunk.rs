//! Rows that are ready for a table, with what has to be known of them.

use std::borrow::Cow;
use std::ops::Range;

use super::cell::Cell;
use super::{Column, Schema};
use crate::records::Batch;

/// Some rows of a page, all of the same width.
///
/// A sink first adds the columns that are [new](Self::added), then the [rows](Self::rows), and gives what was
/// [rejected](Self::rejected) to the dead letters.
#[derive(Debug)]
pub struct Chunk<'a> {
    pub(super) batch: &'a Batch,
    pub(super) records: Range<usize>,
    pub(super) schema: &'a Schema,
    pub(super) added: Range<usize>,
    pub(super) cells: Vec<Cell<'a>>,
    pub(super) rejected: Vec<Rejected<'a>>,
}

impl<'a> Chunk<'a> {
    /// The batch that the rows are of, for its page and position.
    pub fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// Which records of the batch are in it, as rows or rejected.
    pub fn records(&self) -> Range<usize> {
        self.records.clone()
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// Which columns no chunk before had; of a table that is new, all of them. They stand at the end.
    pub fn added(&self) -> Range<usize> {
        self.added.clone()
    }

    /// The columns that no chunk before had.
    pub fn added_columns(&self) -> &'a [Column] {
        self.schema.columns.get(self.added.clone()).unwrap_or_default()
    }

    /// The rows: a cell for each column, in their order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[Cell<'a>]> {
        // There is no schema without a column.
        self.cells.chunks_exact(self.schema.len().max(1))
    }

    /// The place of each row's record among those of the batch, from 0.
    pub fn places(&self) -> impl Iterator<Item = usize> {
        let mut rejected = self.rejected.iter().map(|rejected| rejected.index).peekable();
        self.records().filter(move |place| rejected.next_if_eq(place).is_none())
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.cells.len() / self.schema.len().max(1)
    }

    /// Whether there are none. Something may have been rejected all the same.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The records that did not fit, in their order.
    pub fn rejected(&self) -> &[Rejected<'a>] {
        &self.rejected
    }
}

/// A record that did not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected<'a> {
    /// The record as it came.
    pub record: &'a [u8],
    /// Why it did not fit. No value of the record is quoted.
    pub reason: Cow<'static, str>,
    /// The field, or the column, that it is about.
    pub column: Option<String>,
    /// The place of the record among those of its page, from 0.
    pub index: usize,
}
