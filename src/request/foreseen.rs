//! What stands behind a page, before the page in between has been seen.

use super::Position;

/// A position that will probably come, and how many records of the run then lie before it, if that decides anything.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Foreseen {
    /// Where the page will stand.
    pub position: Position,
    /// How many records will lie before it; `None` where that makes no difference.
    pub rows_before: Option<u64>,
}

impl Foreseen {
    /// A position, and nothing about the records before it.
    pub fn at(position: Position) -> Self {
        Self { position, rows_before: None }
    }

    /// Says how many records will lie before it.
    pub fn rows_before(mut self, rows: u64) -> Self {
        self.rows_before = Some(rows);
        self
    }

    /// Whether what was asked for there is what has to come now.
    pub(crate) fn is(&self, now: &Self) -> bool {
        let rows = self.rows_before.zip(now.rows_before);
        self.position == now.position && rows.is_none_or(|(foreseen, now)| foreseen == now)
    }
}
