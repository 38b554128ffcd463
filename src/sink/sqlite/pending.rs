//! What waits for a commit.

use super::rows::Rows;
use super::table::Table;
use super::typed::Pages;
use crate::checkpoint::sqlite::Opened;
use crate::error::Result;
use crate::records::Batch;
use crate::sink::sql::Key;

/// Rows of a source: as they are written, or the pages of which they are made.
#[derive(Debug)]
pub(super) enum Pending {
    Records(Rows),
    Typed(Box<Pages>),
}

impl Pending {
    pub(super) fn new(pages: Option<Pages>) -> Self {
        pages.map_or_else(|| Self::Records(Rows::default()), |pages| Self::Typed(Box::new(pages)))
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Records(rows) => rows.bytes(),
            Self::Typed(pages) => pages.bytes(),
        }
    }

    pub(super) fn push(&mut self, batch: &Batch, key: Option<&Key>) -> Result<()> {
        match self {
            Self::Records(rows) => rows.push(batch, key),
            Self::Typed(pages) => {
                pages.push(batch);
                Ok(())
            }
        }
    }

    /// Puts it into the transaction that is open.
    pub(super) fn insert(&mut self, opened: &Opened<'_>, table: &mut Table, key: Option<&Key>) -> Result<()> {
        match self {
            Self::Records(rows) => table.insert(opened, &std::mem::take(rows)),
            Self::Typed(pages) => table.insert_pages(opened, pages, key),
        }
    }
}
