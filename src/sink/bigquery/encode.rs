//! Rows as lines of JSON, in the spelling that BigQuery reads without a change.
//!
//! Integers beyond 2⁵³ and decimals are strings: "pass it as a string to avoid data corruption"
//! (<https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json>).

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::table::{Field, INGESTED_AT, Kind};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Cell, Column, ColumnType, SOURCE};

/// The column of the whole record, where there are no others.
pub(super) const RECORD: &str = "record";
/// "Maximum row size", <https://cloud.google.com/bigquery/quotas#load_jobs>.
const MOST_LINE: usize = 100_000_000;
/// Doubles, which is what JSON's numbers are to many, have all whole numbers up to here.
const MOST_PLAIN: u64 = (1 << 53) - 1;

/// Whether what is nested becomes a column of JSON, or of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Nested {
    /// Nothing of it is changed, whatever its numbers are.
    #[default]
    Text,
    Json,
}

/// The column of BigQuery for one of a schema.
///
/// # Errors
/// `Config` if BigQuery keeps its name for itself.
pub(super) fn field(column: &Column, nested: Nested) -> Result<Field> {
    let name = column.name().to_owned();
    // https://cloud.google.com/bigquery/docs/schemas#column_names
    const OURS: [&str; 6] =
        ["_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER"];
    if OURS.iter().any(|ours| name.get(..ours.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(ours))) {
        return Err(Error::config(format!("BigQuery keeps the name of the column {name:?} for itself"))
            .advice("declare the column under another name, with `from_field`, or rename the field before the sink"));
    }
    Ok(Field { name, kind: kind(column.column_type(), nested) })
}

fn kind(column_type: ColumnType, nested: Nested) -> Kind {
    match column_type {
        ColumnType::Bool => Kind::Bool,
        ColumnType::Int64 => Kind::Int64,
        ColumnType::Float64 => Kind::Float64,
        // NUMERIC(P, S): S ≤ 9, P - S ≤ 29. BIGNUMERIC(P, S): both ≤ 38.
        ColumnType::Decimal { precision, scale } if scale <= 9 && precision - scale <= 29 => {
            Kind::Numeric { precision, scale }
        }
        ColumnType::Decimal { precision, scale } if scale <= 38 && precision - scale <= 38 => {
            Kind::BigNumeric { precision, scale }
        }
        ColumnType::Timestamp => Kind::Timestamp,
        ColumnType::Date => Kind::Date,
        ColumnType::Json if nested == Nested::Json => Kind::Json,
        // A decimal that is too large for any is kept as its text.
        _ => Kind::String,
    }
}

/// The columns of a table without a schema.
pub(super) fn plain_fields(nested: Nested) -> Vec<Field> {
    let record = kind(ColumnType::Json, nested);
    [(RECORD, record), (SOURCE, Kind::String), (INGESTED_AT, Kind::Timestamp)]
        .map(|(name, kind)| Field { name: name.to_owned(), kind })
        .into()
}

/// Appends a row as a line. Of a null there is nothing.
pub(super) fn row(columns: &[Column], cells: &[Cell<'_>], nested: Nested, out: &mut Vec<u8>) -> Result<()> {
    let begin = out.len();
    out.push(b'{');
    for (column, cell) in columns.iter().zip(cells).filter(|(_, cell)| !cell.is_null()) {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        string(column.name(), out);
        out.push(b':');
        value(cell, nested, out);
    }
    out.extend_from_slice(b"}\n");
    measured(out.len() - begin)
}

fn value(cell: &Cell<'_>, nested: Nested, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = match cell {
        Cell::Bool(value) => write!(out, "{value}"),
        Cell::Int(value) if value.unsigned_abs() > MOST_PLAIN => write!(out, "\"{value}\""),
        Cell::Int(value) => write!(out, "{value}"),
        Cell::Float(_) => write!(out, "{cell}"),
        Cell::Json(text) if nested == Nested::Json => {
            one_line(text, out);
            Ok(())
        }
        Cell::Text(text) => {
            string(text, out);
            Ok(())
        }
        Cell::Json(text) => {
            string(text, out);
            Ok(())
        }
        other => {
            let mut text = String::new();
            let _ = write!(text, "{other}");
            string(&text, out);
            Ok(())
        }
    };
}

/// Appends a record as it is, in a column of its own.
pub(super) fn record(
    record: &[u8],
    source: &str,
    at: SystemTime,
    nested: Nested,
    out: &mut Vec<u8>,
) -> Result<()> {
    let text = std::str::from_utf8(record)
        .map_err(|error| Error::new(ErrorKind::Record, "a record is no UTF-8").because(error))?;
    let begin = out.len();
    out.extend_from_slice(b"{\"record\":");
    match nested {
        Nested::Text => string(text, out),
        Nested::Json => one_line(text, out),
    }
    out.extend_from_slice(b",\"__source\":");
    string(source, out);
    let at: DateTime<Utc> = at.into();
    let _ = writeln!(out, ",\"__ingested_at\":\"{}\"}}", at.format("%Y-%m-%dT%H:%M:%SZ"));
    measured(out.len() - begin)
}

fn string(text: &str, out: &mut Vec<u8>) {
    // A string always has a JSON form.
    let _ = serde_json::to_writer(out, text);
}

/// JSON without its line breaks: inside a string there are none.
fn one_line(text: &str, out: &mut Vec<u8>) {
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}

fn measured(bytes: usize) -> Result<()> {
    if bytes <= MOST_LINE {
        return Ok(());
    }
    let what = format!("a record makes a row of {bytes} bytes; BigQuery takes {MOST_LINE}");
    Err(Error::new(ErrorKind::Record, what).advice("drop its largest fields before the sink"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn a_row_is_spelled_so_that_no_digit_is_lost() {
        let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
        let columns = [
            ("i", ColumnType::Int64, "INTEGER"),
            ("big", ColumnType::Int64, "INTEGER"),
            ("f", ColumnType::Float64, "FLOAT"),
            ("n", decimal(38, 9), "NUMERIC"),
            ("b", decimal(76, 38), "BIGNUMERIC"),
            ("huge", decimal(60, 2), "STRING"),
            ("j", ColumnType::Json, "STRING"),
            ("t", ColumnType::Timestamp, "TIMESTAMP"),
            ("none", ColumnType::Text, "STRING"),
        ];
        let mut schema = Schema::builder();
        for (name, column_type, _) in columns {
            schema = schema.column(name, column_type);
        }
        let schema = schema.build().unwrap();
        for (column, (_, _, kind)) in schema.columns().iter().zip(columns) {
            let field = field(column, Nested::Text).unwrap();
            assert!(field.kind.fits(kind), "{column:?} is {field:?}");
        }
        let cells = [
            Cell::Int(-9_007_199_254_740_991),
            Cell::Int(i64::MIN),
            Cell::Float(0.1),
            Cell::Decimal("1.10".into()),
            Cell::Decimal("-7".into()),
            Cell::Decimal("8".into()),
            Cell::Json("{\"x\":\n1.50}"),
            Cell::Timestamp(1_779_012_000_123_456),
            Cell::Null,
        ];
        let line = |nested| {
            let mut line = Vec::new();
            row(schema.columns(), &cells, nested, &mut line).unwrap();
            String::from_utf8(line).unwrap()
        };
        let expected = r#"{"i":-9007199254740991,"big":"-9223372036854775808","f":0.1,"n":"1.10","b":"-7","huge":"8","j":"{\"x\":\n1.50}","t":"2026-05-17T10:00:00.123456Z"}"#;
        assert_eq!(line(Nested::Text), format!("{expected}\n"));
        assert!(line(Nested::Json).contains(r#""j":{"x": 1.50},"#));
    }

    #[test]
    fn a_record_stays_byte_for_byte_in_its_column() {
        let text = "{ \"id\" : 1.50,\n \"a\":\"\\u00e9\u{2028}\" }";
        let mut line = Vec::new();
        record(text.as_bytes(), "s", SystemTime::UNIX_EPOCH, Nested::Text, &mut line).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(read["record"], text);
        assert_eq!(read["__ingested_at"], "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_name_that_bigquery_keeps_is_refused() {
        let schema = Schema::builder().column("_partitionTime", ColumnType::Text).build().unwrap();
        assert!(field(&schema.columns()[0], Nested::Text).is_err());
        assert!(field(&schema.columns()[1], Nested::Text).is_ok());
    }
}
