//! One table: made, gone back to what was committed, and filled.

use chrono::{DateTime, Utc};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::rows::{Row, Rows};
use crate::checkpoint::SinkState;
use crate::checkpoint::sqlite::Opened;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{Committed, Opening};

/// Says of each run when it began, where it writes, and how often it was opened.
const RUNS: &str = "CREATE TABLE IF NOT EXISTS headwater_runs (\
    run INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, \"table\" TEXT NOT NULL, \
    started_at TEXT NOT NULL, first INTEGER NOT NULL, opened INTEGER NOT NULL)";
const RUNS_BY_SOURCE: &str =
    "CREATE INDEX IF NOT EXISTS headwater_runs_by_source ON headwater_runs (source, run)";

/// What the checkpoint keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) table: String,
    run: i64,
    /// The last row of the table when the run began, and the last one that the run has committed. Both are 0 where rows have keys.
    first: i64,
    last: i64,
    /// Whether nothing of the run counts, whatever is there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    emptied: bool,
}

impl State {
    pub(super) fn read(state: &SinkState) -> Result<Self> {
        serde_json::from_value(state.0.clone()).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, "the state is not one of an SQLite table").because(error)
        })
    }

    /// The state of the same run that has committed nothing.
    pub(super) fn emptied(self) -> Result<SinkState> {
        Self { last: self.first, emptied: true, ..self }.written()
    }

    fn written(&self) -> Result<SinkState> {
        serde_json::to_value(self)
            .map(SinkState)
            .map_err(|error| Error::new(ErrorKind::Sink, "the state cannot be written").because(error))
    }
}

/// A table that is to be opened.
#[derive(Debug)]
pub(super) struct Wanted {
    source: String,
    label: String,
    name: String,
    has_key: bool,
    started_at: String,
    before: Option<State>,
    is_new_run: bool,
}

impl Wanted {
    pub(super) fn new(opening: &Opening<'_>, name: String, has_key: bool) -> Result<Self> {
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
pub(super) fn open_all(opened: &Opened<'_>, wanted: &[Wanted]) -> Result<Vec<Table>> {
    let made = opened.connection.execute_batch(&format!("{RUNS}; {RUNS_BY_SOURCE}"));
    made.map_err(|error| opened.failed(ErrorKind::Sink, "takes no table for the runs", error))?;
    wanted
        .iter()
        .map(|wanted| {
            open(opened, wanted)
                .map_err(|error| error.at(|context| context.source = Some(wanted.source.as_str().into())))
        })
        .collect()
}

fn open(opened: &Opened<'_>, wanted: &Wanted) -> Result<Table> {
    let database = opened.connection;
    let failed = |what: &'static str| move |error| opened.failed(ErrorKind::Sink, what, error);
    let name = quoted(&wanted.name)?;
    let keyed = if wanted.has_key { KEYED } else { NUMBERED };
    database
        .execute_batch(&format!("CREATE TABLE IF NOT EXISTS {name} ({keyed})"))
        .map_err(failed("did not make the table"))?;
    check_columns(opened, wanted)?;
    let last = || match wanted.has_key {
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
            go_back(opened, wanted, state)?;
            State { emptied: false, ..state.clone() }
        }
        before => {
            if before.is_none() && !wanted.has_key {
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

const NUMBERED: &str = "__row INTEGER PRIMARY KEY AUTOINCREMENT, record TEXT NOT NULL, \
    __source TEXT NOT NULL, __ingested_at TEXT NOT NULL, __run INTEGER NOT NULL";
const KEYED: &str = "__key TEXT NOT NULL, record TEXT NOT NULL, __source TEXT NOT NULL, \
    __ingested_at TEXT NOT NULL, __run INTEGER NOT NULL, PRIMARY KEY (__source, __key)";

/// Refuses a table that was not made like this: of another mode, or not by us.
fn check_columns(opened: &Opened<'_>, wanted: &Wanted) -> Result<()> {
    let failed = |error| opened.failed(ErrorKind::Sink, "does not say what columns the table has", error);
    let mut columns =
        opened.connection.prepare("SELECT name, pk FROM pragma_table_info(?1)").map_err(failed)?;
    let columns = columns.query_map([&wanted.name], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    let columns: Vec<(String, i64)> = columns.collect::<rusqlite::Result<_>>().map_err(failed)?;
    let own = if wanted.has_key { [("__source", 1), ("__key", 2)] } else { [("__row", 1), ("__source", 0)] };
    let plain = [("record", 0), ("__ingested_at", 0), ("__run", 0)];
    let is_there =
        |(name, pk): &(&str, i64)| columns.iter().any(|column| (&*column.0, column.1) == (*name, *pk));
    if own.iter().chain(&plain).all(is_there) {
        return Ok(());
    }
    let mode = if wanted.has_key { "a key" } else { "appended rows" };
    let what = format!("the table {:?} is there, and was not made for {mode}", wanted.name);
    Err(Error::new(ErrorKind::Sink, what)
        .advice("give the sink another `table`, or rename the one that is there"))
}

/// Deletes what the run wrote behind the committed row. Behind the checkpoints of this database there is nothing; another
/// store may lie behind, or the source begins anew.
fn go_back(opened: &Opened<'_>, wanted: &Wanted, state: &State) -> Result<()> {
    let name = quoted(&wanted.name)?;
    let failed = |error| opened.failed(ErrorKind::Sink, "did not delete what is not committed", error);
    if wanted.has_key {
        // What is written again takes the place of what is there.
        if state.emptied {
            let sql = format!("DELETE FROM {name} WHERE __run = ?1");
            opened.connection.execute(&sql, [state.run]).map_err(failed)?;
        }
        return Ok(());
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
    if is_there {
        return Ok(());
    }
    let what = format!("the last committed row, {}, is not in the table {:?}", state.last, wanted.name);
    Err(wanted.error(what).advice("restore the database that belongs to the checkpoints"))
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
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

impl Table {
    pub(super) fn state(&self) -> Result<SinkState> {
        self.state.written()
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
    fn check_opened(&self, opened: &Opened<'_>) -> Result<()> {
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
fn quoted(name: &str) -> Result<String> {
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
