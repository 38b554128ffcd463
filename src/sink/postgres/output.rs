//! What a source writes.

use std::sync::Arc;

use super::rows::{Constants, Rows};
use super::table::Opened;
use super::typed::{Place, Typed};
use crate::checkpoint::SinkState;
use crate::checkpoint::postgres::{Copied, Fence, Writes};
use crate::error::Result;
use crate::records::Batch;
use crate::sink::Opening;
use crate::sink::sql::Key;

/// The rows of a source, as whole records or typed.
#[derive(Debug)]
pub(super) struct Output {
    opened: Opened,
    label: String,
    key: Option<Arc<Key>>,
    /// The type of JSON.
    json: &'static str,
    typed: Option<Typed>,
    rows: Rows,
    pub(super) touched: bool,
}

impl Output {
    pub(super) fn new(
        opening: &Opening<'_>,
        opened: Opened,
        key: Option<Arc<Key>>,
        mut typed: Option<Typed>,
        json: &'static str,
    ) -> Result<Self> {
        if let Some(typed) = &mut typed {
            typed.go_on(opened.kept.as_deref(), opened.state.typed)?;
        }
        let (label, rows) = (opening.label.to_owned(), Rows::default());
        Ok(Self { opened, label, key, json, typed, rows, touched: false })
    }

    /// What the rows take that wait for a commit.
    pub(super) fn bytes(&self) -> usize {
        self.rows.bytes() + self.typed.as_ref().map_or(0, Typed::bytes)
    }

    pub(super) fn write(&mut self, source: &str, batch: &Batch) -> Result<()> {
        self.touched = true;
        if self.typed.is_some() {
            return self.push_typed(source, Some(batch));
        }
        let state = &self.opened.state;
        let is_binary = self.json == "jsonb";
        let constants =
            Constants { label: &self.label, run: state.run, commit: state.commits + 1, is_binary };
        self.rows.push(batch, self.key.as_deref(), constants)
    }

    /// Takes a page, or ends the sample.
    fn push_typed(&mut self, source: &str, batch: Option<&Batch>) -> Result<()> {
        let Some(typed) = &mut self.typed else { return Ok(()) };
        typed.push(batch, place(source, &self.opened, &self.label, self.json))
    }

    /// Hands out what is to be written, and gives the state behind it.
    pub(super) fn commit(&mut self, source: &str, writes: &mut Writes) -> Result<SinkState> {
        self.touched = false;
        // What is committed must have been written.
        self.push_typed(source, None)?;
        let state = &mut self.opened.state;
        state.commits += 1;
        writes.fences.push(Fence { run: state.run, opened: self.opened.opened, commit: state.commits });
        if let Some(typed) = &mut self.typed {
            state.typed = Some(typed.counts()?);
            typed.copied(place(source, &self.opened, &self.label, self.json), &mut writes.copies)?;
        } else if !self.rows.is_empty() {
            writes.copies.push(self.copied(source));
        }
        self.opened.state.written()
    }

    /// The statements that bring the rows into the table.
    fn copied(&mut self, source: &str) -> Copied {
        let (path, run, rows) = (&self.opened.path, self.opened.state.run, self.rows.take());
        let json = self.json;
        let source = source.to_owned();
        if self.key.is_none() {
            let copy = format!(
                "COPY {path} (record, __source, __ingested_at, __run, __commit) FROM STDIN (FORMAT binary)"
            );
            return Copied { source, first: None, before: Vec::new(), copy, rows, behind: Vec::new() };
        }
        let staging = format!("pg_temp.headwater_{json}");
        let label = self.label.replace('\'', "''");
        let before = vec![format!(
            "CREATE TEMPORARY TABLE IF NOT EXISTS headwater_{json} \
             (n bigint, key text COLLATE \"C\", record {json}, at timestamptz) ON COMMIT DELETE ROWS"
        )];
        let copy = format!("COPY {staging} (n, key, record, at) FROM STDIN (FORMAT binary)");
        let behind = vec![
            format!(
                "INSERT INTO {path} AS t (__key, record, __source, __ingested_at, __run) \
                 SELECT DISTINCT ON (key) key, record, '{label}', at, {run} FROM {staging} ORDER BY key, n DESC \
                 ON CONFLICT (__source, __key) DO UPDATE SET record = excluded.record, \
                 __ingested_at = excluded.__ingested_at, __run = excluded.__run"
            ),
            format!("TRUNCATE {staging}"),
        ];
        Copied { source, first: None, before, copy, rows, behind }
    }
}

/// What is the same in all typed rows of the next commit.
fn place<'a>(source: &'a str, opened: &'a Opened, label: &'a str, json: &'static str) -> Place<'a> {
    let (state, path, rejected) = (&opened.state, &opened.path, &opened.rejected);
    // Rows are written before their commit is counted.
    let commit = state.commits + 1;
    Place { source, label, table: &state.table, path, rejected, run: state.run, commit, json }
}
