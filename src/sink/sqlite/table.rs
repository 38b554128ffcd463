//! One table: made, gone back to what was committed, and filled.

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};

use super::columns;
use super::rows::{Row, Rows};
use super::state::{State, TypedState};
use super::typed::{self, Pages};
use crate::checkpoint::SinkState;
use crate::checkpoint::sqlite::Opened;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::sql::typed::go_on;
use crate::sink::{Committed, Opening};

/// Says of each run when it began, where it writes, and how often it was opened.
const RUNS: &str = "CREATE TABLE IF NOT EXISTS headwater_runs (\
    run INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, \"table\" TEXT NOT NULL, \
    started_at TEXT NOT NULL, first INTEGER NOT NULL, opened INTEGER NOT NULL)";
const RUNS_BY_SOURCE: &str =
    "CREATE INDEX IF NOT EXISTS headwater_runs_by_source ON headwater_runs (source, run)";

/// A table that is to be opened.
#[derive(Debug)]
pub(super) struct Wanted {
    source: String,
    label: String,
    name: String,
    has_key: bool,
    /// Makes the rows, if they are typed.
    pages: Option<Pages>,
    started_at: String,
    before: Option<State>,
    is_new_run: bool,
}

impl Wanted {
    pub(super) fn new(
        opening: &Opening<'_>,
        name: String,
        has_key: bool,
        pages: Option<Pages>,
    ) -> Result<Self> {
        let own = name.to_ascii_lowercase();
        if own.starts_with("headwater_") || own.starts_with("sqlite_") {
            return Err(Error::config(format!("the table {name:?} would have a name that is taken"))
                .advice("give the sink another `table`"));
        }
        quoted(&name)?;
        let (before, is_new_run) = match opening.committed {
            Committed::Nothing => (None, true),
            Committed::Finished(state) => (Some(State::read(state)?), true),
            Committed::Unfinished(state) => (Some(State::read(state)?), false),
        };
        let at: DateTime<Utc> = opening.started_at.into();
        Ok(Self {
            source: opening.source.to_owned(),
            label: opening.label.to_owned(),
            name,
            has_key,
            pages,
            started_at: at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
            before,
            is_new_run,
        })
    }

    fn error(&self, what: String) -> Error {
        Error::new(ErrorKind::Checkpoint, what)
            .at(|context| context.source = Some(self.source.as_str().into()))
    }
}

/// A table that is open for a source.
#[derive(Debug, Clone)]
pub(super) struct Table {
    state: State,
    source: String,
    label: String,
    has_key: bool,
    /// How often the run was opened: only the last one may write.
    opened: i64,
}

/// Opens tables, in the transaction that is open.
pub(super) fn open_all(opened: &Opened<'_>, wanted: Vec<Wanted>) -> Result<Vec<(Table, Option<Pages>)>> {
    let made = opened.connection.execute_batch(&format!("{RUNS}; {RUNS_BY_SOURCE}"));
    made.map_err(|error| opened.failed(ErrorKind::Sink, "takes no table for the runs", error))?;
    if wanted.iter().any(|wanted| wanted.pages.is_some()) {
        typed::make(opened)?;
    }
    let mut tables = Vec::with_capacity(wanted.len());
    for mut wanted in wanted {
        let mut pages = wanted.pages.take();
        let table = open(opened, &wanted, pages.as_mut());
        let of = |error: Error| error.at(|context| context.source = Some(wanted.source.as_str().into()));
        tables.push((table.map_err(of)?, pages));
    }
    Ok(tables)
}

fn open(opened: &Opened<'_>, wanted: &Wanted, pages: Option<&mut Pages>) -> Result<Table> {
    let database = opened.connection;
    let failed = |what: &'static str| move |error| opened.failed(ErrorKind::Sink, what, error);
    let name = quoted(&wanted.name)?;
    let is_typed = pages.is_some();
    refuse_what_is_gone(opened, wanted)?;
    match pages {
        None => columns::make(opened, &wanted.name, wanted.has_key)?,
        Some(pages) => open_columns(opened, wanted, pages)?,
    }
    let is_there = columns::is_there(opened, &wanted.name)?;
    let last = || match wanted.has_key || !is_there {
        true => Ok(0),
        false => database
            .query_row(&format!("SELECT coalesce(max(__row), 0) FROM {name}"), [], |row| row.get(0))
            .map_err(failed("cannot be read")),
    };
    let state = match &wanted.before {
        Some(state) if !wanted.is_new_run => {
            if state.table != wanted.name {
                let what = format!("the run was begun in the table {:?}, not {:?}", state.table, wanted.name);
                return Err(wanted.error(what).advice("finish it with the old `table`"));
            }
            go_back(opened, wanted, state, is_there)?;
            State { emptied: false, ..state.clone() }
        }
        before => {
            if before.is_none() && !wanted.has_key && is_there {
                refuse_rows_of_nobody(opened, wanted)?;
            }
            let first: i64 = last()?;
            let sql = "INSERT INTO headwater_runs (source, \"table\", started_at, first, opened) \
                VALUES (?1, ?2, ?3, ?4, 0)";
            database
                .execute(sql, params![wanted.source, wanted.name, wanted.started_at, first])
                .map_err(failed("did not take the run"))?;
            State {
                table: wanted.name.clone(),
                run: database.last_insert_rowid(),
                first,
                last: first,
                emptied: false,
                typed: is_typed.then(TypedState::default),
            }
        }
    };
    let sql = "UPDATE headwater_runs SET opened = opened + 1 WHERE run = ?1 AND source = ?2 RETURNING opened";
    let number = database
        .query_row(sql, params![state.run, wanted.source], |row| row.get(0))
        .optional()
        .map_err(failed("did not take the run"))?;
    let Some(number) = number else {
        let what = format!("the run {} of the checkpoint is not in this database", state.run);
        return Err(wanted.error(what).advice("restore the database that belongs to the checkpoints"));
    };
    let (source, label) = (wanted.source.clone(), wanted.label.clone());
    Ok(Table { state, source, label, has_key: wanted.has_key, opened: number })
}

/// Deletes what the run wrote behind the committed row. Behind the checkpoints of this database there is nothing; another
/// store may lie behind, or the source begins anew.
fn go_back(opened: &Opened<'_>, wanted: &Wanted, state: &State, is_there: bool) -> Result<()> {
    let name = quoted(&wanted.name)?;
    let failed = |error| opened.failed(ErrorKind::Sink, "did not delete what is not committed", error);
    if let Some(typed) = &state.typed {
        typed::go_back(opened, state.run, typed)?;
    }
    if !is_there && state.last == state.first {
        return Ok(());
    }
    if wanted.has_key {
        // What is written again takes the place of what is there.
        if state.emptied {
            let sql = format!("DELETE FROM {name} WHERE __run = ?1");
            opened.connection.execute(&sql, [state.run]).map_err(failed)?;
        }
        return Ok(());
    }
    let gone = || {
        let what = format!("the last committed row, {}, is not in the table {:?}", state.last, wanted.name);
        wanted.error(what).advice("restore the database that belongs to the checkpoints")
    };
    if !is_there {
        return Err(gone());
    }
    let sql = format!("DELETE FROM {name} WHERE __row > ?1 AND __run = ?2");
    let deleted = opened.connection.execute(&sql, [state.last, state.run]).map_err(failed)?;
    if deleted > 0 {
        tracing::info!(source = %wanted.source, rows = deleted, "deleted rows that were not committed");
    }
    if state.last == state.first {
        return Ok(());
    }
    let sql = format!("SELECT EXISTS (SELECT 1 FROM {name} WHERE __row = ?1 AND __run = ?2)");
    let is_there: bool =
        opened.connection.query_row(&sql, [state.last, state.run], |row| row.get(0)).map_err(failed)?;
    if is_there { Ok(()) } else { Err(gone()) }
}

/// Goes on with the columns that the table has. One that is not there is made when its columns are known.
fn open_columns(opened: &Opened<'_>, wanted: &Wanted, pages: &mut Pages) -> Result<()> {
    let (source, name) = (&wanted.source, &wanted.name);
    let is_there = columns::is_there(opened, name)?;
    let mut kept = typed::kept_columns(opened, source, name)?;
    if kept.is_some() && !is_there {
        if wanted.before.as_ref().is_some_and(|state| !wanted.is_new_run && !state.emptied) {
            return Err(gone(wanted, name));
        }
        // Someone has deleted the table between two runs: the columns that it had do not count.
        typed::forget(opened, source, name)?;
        kept = None;
    }
    let state = wanted.before.as_ref().filter(|_| !wanted.is_new_run);
    let counts = state.and_then(|state| state.typed).map(|typed| typed.counts);
    go_on(&mut pages.conformer, kept.as_deref(), counts)?;
    match pages.conformer.schema() {
        Some(schema) => typed::add_columns(opened, source, name, wanted.has_key, schema),
        // Whatever columns it has: it must be one of ours.
        None if is_there => columns::grow(opened, name, wanted.has_key, &[]),
        None => Ok(()),
    }
}

/// Refuses to go on without the table that the run has written to: someone has deleted it. One for typed rows is made with
/// the first of them, and missed by its columns.
fn refuse_what_is_gone(opened: &Opened<'_>, wanted: &Wanted) -> Result<()> {
    let goes_on = |state: &&State| !wanted.is_new_run && !state.emptied && state.typed.is_none();
    let Some(state) = wanted.before.as_ref().filter(goes_on) else { return Ok(()) };
    if columns::is_there(opened, &state.table)? {
        return Ok(());
    }
    Err(gone(wanted, &state.table))
}

fn gone(wanted: &Wanted, table: &str) -> Error {
    wanted.error(format!("the table {table:?} is gone, and with it what this run has committed")).advice(
        "restore it, or delete the row of the source in headwater_checkpoints, and all of the source is pulled afresh",
    )
}

/// Refuses to begin from zero where rows of the source are there and no checkpoint knows them.
fn refuse_rows_of_nobody(opened: &Opened<'_>, wanted: &Wanted) -> Result<()> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {} WHERE \
         __row > (SELECT min(first) FROM headwater_runs WHERE source = ?1 AND \"table\" = ?2) AND \
         __run IN (SELECT run FROM headwater_runs WHERE source = ?1 AND \"table\" = ?2))",
        quoted(&wanted.name)?
    );
    let are_there: bool = opened
        .connection
        .query_row(&sql, [&wanted.source, &wanted.name], |row| row.get(0))
        .map_err(|error| opened.failed(ErrorKind::Sink, "cannot be read", error))?;
    if !are_there {
        return Ok(());
    }
    let what = format!("rows of it are in the table {:?}, and no checkpoint knows them", wanted.name);
    Err(wanted.error(what).advice("give the sink another `table`, or delete these rows"))
}

/// Text that is known to be valid.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

impl Table {
    pub(super) fn state(&self) -> Result<SinkState> {
        self.state.written()
    }

    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn name(&self) -> &str {
        &self.state.table
    }

    pub(super) fn run(&self) -> i64 {
        self.state.run
    }

    pub(super) fn typed_mut(&mut self) -> &mut TypedState {
        self.state.typed.get_or_insert_default()
    }

    /// Remembers the last row that was inserted.
    pub(super) fn wrote_up_to(&mut self, row: i64) {
        self.state.last = row;
    }

    /// Puts rows into the transaction that is open.
    pub(super) fn insert(&mut self, opened: &Opened<'_>, rows: &Rows) -> Result<()> {
        self.check_opened(opened)?;
        let name = quoted(&self.state.table)?;
        let failed = |error| {
            opened
                .failed(ErrorKind::Sink, "did not take a row", error)
                .at(|context| context.source = Some(self.source.as_str().into()))
        };
        let sql = match self.has_key {
            false => {
                format!("INSERT INTO {name} (record, __source, __ingested_at, __run) VALUES (?1, ?2, ?3, ?4)")
            }
            true => format!(
                "INSERT INTO {name} (record, __source, __ingested_at, __run, __key) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (__source, __key) DO UPDATE SET record = excluded.record, \
                 __ingested_at = excluded.__ingested_at, __run = excluded.__run"
            ),
        };
        let mut insert = opened.connection.prepare(&sql).map_err(failed)?;
        let mut any = false;
        for (at, rows) in rows.pages() {
            for Row { record, key } in rows {
                match key {
                    None => insert.execute(params![Text(record), self.label, at, self.state.run]),
                    Some(key) => {
                        insert.execute(params![Text(record), self.label, at, self.state.run, Text(key)])
                    }
                }
                .map_err(failed)?;
                any = true;
            }
        }
        if any && !self.has_key {
            self.state.last = opened.connection.last_insert_rowid();
        }
        Ok(())
    }

    /// Refuses to write for a run that another has gone on with, or past.
    pub(super) fn check_opened(&self, opened: &Opened<'_>) -> Result<()> {
        let sql = "SELECT opened FROM headwater_runs WHERE run = \
            (SELECT max(run) FROM headwater_runs WHERE source = ?1) AND run = ?2";
        let number: Option<i64> = opened
            .connection
            .query_row(sql, params![self.source, self.state.run], |row| row.get(0))
            .optional()
            .map_err(|error| opened.failed(ErrorKind::Sink, "cannot be read", error))?;
        if number == Some(self.opened) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Locked, "another run has opened the table since")
            .advice("this run must not go on; the other one has the data")
            .at(|context| context.source = Some(self.source.as_str().into())))
    }
}

/// A name as an SQL identifier: in double quotes, those in it doubled (ISO/IEC 9075-2, delimited identifier).
///
/// # Errors
/// `Config` if it is empty or has a NUL in it, which no database takes.
pub(super) fn quoted(name: &str) -> Result<String> {
    if name.is_empty() || name.contains('\0') {
        return Err(Error::config(format!("{name:?} cannot be the name of a table or a column"))
            .advice("a name has one character at least, and no NUL"));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_quotes() {
        assert_eq!(quoted(r#"a"; DROP TABLE users; --"#).unwrap(), r#""a""; DROP TABLE users; --""#);
        assert_eq!(quoted("select").unwrap(), r#""select""#);
        assert!(quoted("").is_err() && quoted("a\0b").is_err());
    }
}
