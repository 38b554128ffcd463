//! Typed rows: made of pages in the transaction of their commit, for only there new columns can be added.

use rusqlite::{OptionalExtension, Statement, params};

use super::columns::grow;
use super::state::TypedState;
use super::table::{Table, Text, quoted};
use crate::checkpoint::sqlite::Opened;
use crate::error::{ErrorKind, Result};
use crate::records::Batch;
use crate::schema::{Cell, Chunk, Chunks, Conformer, Limits, Schema, Schemas};
use crate::sink::Opening;
use crate::sink::sql::Key;
use crate::sink::sql::typed::{Counts, kept};

/// SQLITE_MAX_COLUMN, and two of them are ours (<https://www.sqlite.org/limits.html>).
const MOST_COLUMNS: usize = 2_000 - 2;
/// Columns that the sink has itself, or that those of PostgreSQL have: the same fields have the same names in both.
const OWN: [&str; 4] = ["__run", "__row", "__commit", "__key"];

const SCHEMAS: &str = "CREATE TABLE IF NOT EXISTS headwater_schemas (source TEXT NOT NULL, \"table\" TEXT NOT NULL, \
    columns TEXT NOT NULL, PRIMARY KEY (source, \"table\"))";
const REJECTED: &str = "CREATE TABLE IF NOT EXISTS headwater_rejected (\
    __row INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL, reason TEXT NOT NULL, \"column\" TEXT, \
    position TEXT NOT NULL, page INTEGER NOT NULL, \"table\" TEXT NOT NULL, __source TEXT NOT NULL, \
    __ingested_at TEXT NOT NULL, __run INTEGER NOT NULL)";

/// Pages that wait for a commit.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) conformer: Conformer,
    batches: Vec<Batch>,
    bytes: usize,
}

impl Pages {
    pub(super) fn new(schemas: &Schemas, opening: &Opening<'_>) -> Result<Self> {
        let limits = Limits::default().columns(MOST_COLUMNS).reserved(&OWN);
        let conformer = Conformer::new(schemas, opening.source, opening.label, limits)?;
        Ok(Self { conformer, batches: Vec::new(), bytes: 0 })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, batch: &Batch) {
        if !batch.is_empty() {
            self.bytes = self.bytes.saturating_add(batch.page().text().len() + size_of::<Batch>());
            self.batches.push(batch.clone());
        }
    }
}

/// Makes what typed rows need beside their tables.
pub(super) fn make(opened: &Opened<'_>) -> Result<()> {
    let made = opened.connection.execute_batch(&format!("{SCHEMAS}; {REJECTED}"));
    made.map_err(|error| opened.failed(ErrorKind::Sink, "takes no table for the columns", error))
}

/// The columns that a source's rows in a table have, as text.
pub(super) fn kept_columns(opened: &Opened<'_>, source: &str, table: &str) -> Result<Option<String>> {
    let sql = "SELECT columns FROM headwater_schemas WHERE source = ?1 AND \"table\" = ?2";
    let columns = opened.connection.query_row(sql, [source, table], |row| row.get(0)).optional();
    columns.map_err(|error| opened.failed(ErrorKind::Sink, "cannot be read", error))
}

/// Forgets the columns of a table that is gone.
pub(super) fn forget(opened: &Opened<'_>, source: &str, table: &str) -> Result<()> {
    let sql = "DELETE FROM headwater_schemas WHERE source = ?1 AND \"table\" = ?2";
    let forgotten = opened.connection.execute(sql, [source, table]);
    forgotten.map(drop).map_err(|error| opened.failed(ErrorKind::Sink, "did not forget the columns", error))
}

/// Sees to it that the table has the columns, and keeps them.
pub(super) fn add_columns(
    opened: &Opened<'_>,
    source: &str,
    table: &str,
    has_key: bool,
    schema: &Schema,
) -> Result<()> {
    grow(opened, table, has_key, schema.columns())?;
    let sql = "INSERT INTO headwater_schemas (source, \"table\", columns) VALUES (?1, ?2, ?3) \
        ON CONFLICT (source, \"table\") DO UPDATE SET columns = excluded.columns";
    let kept = opened.connection.execute(sql, params![source, table, kept(schema)?]);
    kept.map(drop).map_err(|error| opened.failed(ErrorKind::Sink, "did not take the columns", error))
}

/// Deletes what the run has rejected behind the committed row.
pub(super) fn go_back(opened: &Opened<'_>, run: i64, state: &TypedState) -> Result<()> {
    let sql = "DELETE FROM headwater_rejected WHERE __row > ?1 AND __run = ?2";
    let deleted = opened.connection.execute(sql, [state.letter, run]);
    deleted
        .map(drop)
        .map_err(|error| opened.failed(ErrorKind::Sink, "did not delete what is not committed", error))
}

impl Table {
    /// Makes rows of the pages, and puts them into the transaction that is open.
    pub(super) fn insert_pages(
        &mut self,
        opened: &Opened<'_>,
        pages: &mut Pages,
        key: Option<&Key>,
    ) -> Result<()> {
        self.check_opened(opened)?;
        pages.bytes = 0;
        for batch in std::mem::take(&mut pages.batches) {
            self.insert_chunks(opened, pages.conformer.write(&batch), key)?;
        }
        // What is committed must have been written.
        self.insert_chunks(opened, pages.conformer.settle(), key)?;
        self.typed_mut().counts = Counts::of(&pages.conformer)?;
        Ok(())
    }

    fn insert_chunks(
        &mut self,
        opened: &Opened<'_>,
        mut chunks: Chunks<'_>,
        key: Option<&Key>,
    ) -> Result<()> {
        while let Some(chunk) = chunks.next_chunk()? {
            if !chunk.added().is_empty() {
                add_columns(opened, self.source(), self.name(), key.is_some(), chunk.schema())?;
            }
            if !chunk.is_empty() {
                self.insert_rows(opened, &chunk, key)?;
            }
            if !chunk.rejected().is_empty() {
                self.reject(opened, &chunk)?;
            }
        }
        Ok(())
    }

    fn insert_rows(&mut self, opened: &Opened<'_>, chunk: &Chunk<'_>, key: Option<&Key>) -> Result<()> {
        let failed = |error| opened.failed(ErrorKind::Sink, "did not take a row", error);
        let sql = insertion(self.name(), chunk.schema(), key.is_some())?;
        let mut insert = opened.connection.prepare(&sql).map_err(failed)?;
        let (run, width) = (self.run(), chunk.schema().len());
        let (mut text, mut bytes) = (String::new(), Vec::new());
        for (row, place) in chunk.rows().zip(chunk.places()) {
            for (index, cell) in row.iter().enumerate() {
                bind(&mut insert, index + 1, cell, &mut text).map_err(failed)?;
            }
            insert.raw_bind_parameter(width + 1, run).map_err(failed)?;
            if let Some(key) = key {
                bytes.clear();
                key.append_of(chunk.batch(), chunk.batch().slice(place).unwrap_or_default(), &mut bytes)?;
                insert.raw_bind_parameter(width + 2, Text(&bytes)).map_err(failed)?;
            }
            insert.raw_execute().map_err(failed)?;
        }
        if key.is_none() {
            self.wrote_up_to(opened.connection.last_insert_rowid());
        }
        Ok(())
    }

    fn reject(&mut self, opened: &Opened<'_>, chunk: &Chunk<'_>) -> Result<()> {
        let failed = |error| opened.failed(ErrorKind::Sink, "did not take a rejected record", error);
        let sql = "INSERT INTO headwater_rejected \
            (record, reason, \"column\", position, page, \"table\", __source, __ingested_at, __run) \
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let mut insert = opened.connection.prepare(sql).map_err(failed)?;
        let page = chunk.batch().page();
        let number = i64::try_from(page.number).unwrap_or(i64::MAX);
        let (position, at) = (page.position.to_string(), super::rows::at(page.fetched_at));
        for rejected in chunk.rejected() {
            let (record, reason) = (Text(rejected.record), rejected.reason.as_ref());
            let (column, label, name) = (rejected.column.as_deref(), self.label(), self.name());
            insert
                .execute(params![record, reason, column, position, number, name, label, at, self.run()])
                .map_err(failed)?;
        }
        self.typed_mut().letter = opened.connection.last_insert_rowid();
        Ok(())
    }
}

/// The statement that inserts a row, or replaces the one with its key.
fn insertion(table: &str, schema: &Schema, has_key: bool) -> Result<String> {
    let names = schema.columns().iter().map(|column| quoted(column.name())).collect::<Result<Vec<_>>>()?;
    let own = if has_key { ", __run, __key" } else { ", __run" };
    let values = vec!["?"; names.len() + if has_key { 2 } else { 1 }].join(", ");
    let mut sql = format!("INSERT INTO {} ({}{own}) VALUES ({values})", quoted(table)?, names.join(", "));
    if has_key {
        sql += " ON CONFLICT (__source, __key) DO UPDATE SET __run = excluded.__run";
        for name in names.iter().filter(|name| *name != "\"__source\"") {
            sql += &format!(", {name} = excluded.{name}");
        }
    }
    Ok(sql)
}

/// Binds a value. Times are text, as SQLite's functions of dates take it.
fn bind(
    insert: &mut Statement<'_>,
    index: usize,
    cell: &Cell<'_>,
    text: &mut String,
) -> rusqlite::Result<()> {
    match cell {
        Cell::Null => insert.raw_bind_parameter(index, rusqlite::types::Null),
        Cell::Bool(value) => insert.raw_bind_parameter(index, value),
        Cell::Int(value) => insert.raw_bind_parameter(index, value),
        Cell::Float(value) => insert.raw_bind_parameter(index, value),
        Cell::Decimal(value) | Cell::Text(value) => insert.raw_bind_parameter(index, value.as_ref()),
        Cell::Json(value) => insert.raw_bind_parameter(index, *value),
        other => {
            use std::fmt::Write;
            text.clear();
            // Into a string nothing fails.
            let _ = write!(text, "{other}");
            insert.raw_bind_parameter(index, text.as_str())
        }
    }
}
