//! The columns of a table: those that are there, and those that are missing.

use super::table::quoted;
use crate::checkpoint::sqlite::Opened;
use crate::error::{ErrorKind, Result};
use crate::schema::{Column, ColumnType};
use crate::sink::sql::typed::{not_made_for, of_another_type};

const NUMBERED: &str = "__row INTEGER PRIMARY KEY AUTOINCREMENT";
const KEYED: &str = "__key TEXT NOT NULL, PRIMARY KEY (__source, __key)";
const PLAIN: &str = "record TEXT NOT NULL, __source TEXT NOT NULL, __ingested_at TEXT NOT NULL";

/// A column that a table has.
#[derive(Debug)]
struct Existing {
    name: String,
    declared: String,
    is_required: bool,
    /// Its place in the primary key, from 1.
    key: i64,
}

fn existing(opened: &Opened<'_>, table: &str) -> Result<Vec<Existing>> {
    let failed = |error| opened.failed(ErrorKind::Sink, "does not say what columns the table has", error);
    let sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1)";
    let mut columns = opened.connection.prepare(sql).map_err(failed)?;
    let column = |row: &rusqlite::Row<'_>| {
        let (name, declared) = (row.get(0)?, row.get(1)?);
        Ok(Existing { name, declared, is_required: row.get(2)?, key: row.get(3)? })
    };
    let columns = columns.query_map([table], column).map_err(failed)?;
    columns.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// Whether the table is there.
pub(super) fn is_there(opened: &Opened<'_>, table: &str) -> Result<bool> {
    Ok(!existing(opened, table)?.is_empty())
}

/// Makes a table for whole records, unless it is there.
pub(super) fn make(opened: &Opened<'_>, table: &str, has_key: bool) -> Result<()> {
    let own = if has_key { KEYED } else { NUMBERED };
    let sql =
        format!("CREATE TABLE IF NOT EXISTS {} ({PLAIN}, __run INTEGER NOT NULL, {own})", quoted(table)?);
    run(opened, &sql)?;
    check(&existing(opened, table)?, table, has_key, false)
}

/// Refuses a table of another mode, or one that was not made by us.
fn check(columns: &[Existing], table: &str, has_key: bool, is_typed: bool) -> Result<()> {
    let own = if has_key { [("__source", 1), ("__key", 2)] } else { [("__row", 1), ("__source", 0)] };
    let has = |name: &str, key: i64| columns.iter().any(|column| column.name == name && column.key == key);
    // A field may have that name, too: then it may be null.
    let has_records = columns.iter().any(|column| column.name == "record" && column.is_required);
    let is_ours = own.iter().all(|(name, key)| has(name, *key)) && has("__ingested_at", 0) && has("__run", 0);
    if is_ours && has_records != is_typed {
        return Ok(());
    }
    let rows = if is_typed { "typed columns" } else { "whole records" };
    Err(not_made_for(&format!("{table:?}"), has_key, rows))
}

/// Sees to it that a table has these columns: makes it, or adds to it what is missing.
pub(super) fn grow(opened: &Opened<'_>, table: &str, has_key: bool, columns: &[Column]) -> Result<()> {
    let there = existing(opened, table)?;
    let name = quoted(table)?;
    if there.is_empty() {
        let mut all = String::new();
        for column in columns {
            all += &definition(column)?;
            all += if column.field().is_none() && column.is_required() { " NOT NULL, " } else { ", " };
        }
        let own = if has_key { KEYED } else { NUMBERED };
        return run(opened, &format!("CREATE TABLE {name} ({all}__run INTEGER NOT NULL, {own})"));
    }
    check(&there, table, has_key, true)?;
    for column in columns {
        // To SQLite, ASCII letters in names are the same in either case.
        match there.iter().find(|other| other.name.eq_ignore_ascii_case(column.name())) {
            None => run(opened, &format!("ALTER TABLE {name} ADD COLUMN {}", definition(column)?))?,
            Some(other) if affinity(&other.declared) == affinity(declared(column.column_type())) => {}
            Some(other) => {
                let rows = declared(column.column_type());
                return Err(of_another_type(table, &other.name, &other.declared, rows));
            }
        }
    }
    Ok(())
}

fn definition(column: &Column) -> Result<String> {
    Ok(format!("{} {}", quoted(column.name())?, declared(column.column_type())))
}

/// The type of a column, of an affinity that changes no value: a decimal as a number would be rounded to a double.
fn declared(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Int64 => "INTEGER",
        ColumnType::Float64 => "REAL",
        _ => "TEXT",
    }
}

/// What SQLite makes of a type (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>).
fn affinity(declared: &str) -> &'static str {
    let declared = declared.to_ascii_uppercase();
    let has = |parts: &[&str]| parts.iter().any(|part| declared.contains(part));
    match () {
        () if has(&["INT"]) => "integer",
        () if has(&["CHAR", "CLOB", "TEXT"]) => "text",
        () if has(&["BLOB"]) || declared.is_empty() => "none",
        () if has(&["REAL", "FLOA", "DOUB"]) => "real",
        () => "numeric",
    }
}

fn run(opened: &Opened<'_>, sql: &str) -> Result<()> {
    let failed = |error| opened.failed(ErrorKind::Sink, "did not make the table, or a column of it", error);
    opened.connection.execute_batch(sql).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_the_affinity_that_keeps_its_values() {
        let decimal = ColumnType::Decimal { precision: 38, scale: 2 };
        for (column_type, expected) in [
            (ColumnType::Bool, "numeric"),
            (ColumnType::Int64, "integer"),
            (ColumnType::Float64, "real"),
            (decimal, "text"),
            (ColumnType::Text, "text"),
            (ColumnType::Timestamp, "text"),
            (ColumnType::Json, "text"),
        ] {
            assert_eq!(affinity(declared(column_type)), expected, "{column_type}");
        }
        assert_eq!(affinity("varchar(10)"), "text");
        assert_eq!(affinity(""), "none");
    }
}
