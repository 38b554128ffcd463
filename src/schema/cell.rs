//! Cells: the values of a row, in the types of their columns.

use std::borrow::Cow;
use std::fmt;

use super::column::ColumnType;
use super::rules::Limits;
use super::{jsonb, number, time};

/// A value of a row, borrowed from its record where it can be.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// Of a `Bool` column.
    Bool(bool),
    /// Of an `Int64` column.
    Int(i64),
    /// Of a `Float64` column: finite, and its shortest text is the value of the record.
    Float(f64),
    /// Of a `Decimal` column: plain digits, with a sign and a point where there is one, never an exponent.
    Decimal(Cow<'a, str>),
    /// Of a `Text` column.
    Text(Cow<'a, str>),
    /// Of a `Json` column: the text as it stands in the record, line breaks and all.
    Json(&'a str),
    /// Of a `Timestamp` column: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// Of a `Date` column: days since 1970-01-01.
    Date(i32),
}

impl Cell<'_> {
    /// Whether there is no value.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Writes the value as text: nothing for a null, times by RFC 3339, doubles with the digits that give them back.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            // Without an exponent it would have hundreds of digits.
            Self::Float(value) if *value != 0.0 && !(1e-5..1e16).contains(&value.abs()) => {
                write!(f, "{value:e}")
            }
            Self::Float(value) => value.fmt(f),
            Self::Decimal(text) | Self::Text(text) => f.write_str(text),
            Self::Json(text) => f.write_str(text),
            Self::Timestamp(micros) => f.write_str(&time::timestamp_text(*micros)),
            Self::Date(days) => f.write_str(&time::date_text(*days)),
        }
    }
}

/// Puts a value, as it stands in its record, into the type of a column; or says why it does not fit.
pub(super) fn cell<'a>(
    column_type: ColumnType,
    raw: &'a str,
    limits: &Limits,
) -> Result<Cell<'a>, &'static str> {
    let first = raw.as_bytes().first().copied().unwrap_or(b'n');
    if first == b'n' {
        return Ok(Cell::Null);
    }
    let is_number = matches!(first, b'-' | b'0'..=b'9');
    match column_type {
        ColumnType::Json if !limits.nul && !limits.json.is_text && has_nul_escape(raw) => {
            Err("it has a character U+0000")
        }
        ColumnType::Json => jsonb::misfit(raw, limits.json).map_or(Ok(Cell::Json(raw)), Err),
        ColumnType::Bool => match raw {
            "true" => Ok(Cell::Bool(true)),
            "false" => Ok(Cell::Bool(false)),
            _ => Err("it is no boolean"),
        },
        ColumnType::Int64 if is_number => {
            number::int64(raw).map(Cell::Int).ok_or("it is no whole number of 64 bits")
        }
        ColumnType::Float64 if is_number => {
            number::float64(raw).map(Cell::Float).ok_or("a double does not hold all its digits")
        }
        ColumnType::Decimal { precision, scale } if is_number => number::decimal(raw, precision, scale)
            .map(Cell::Decimal)
            .ok_or("it has more digits than the decimal"),
        ColumnType::Decimal { precision, scale } if first == b'"' => {
            // Escapes in it would be no digits.
            let text = raw.get(1..raw.len() - 1).unwrap_or_default();
            number::decimal(text, precision, scale)
                .map(Cell::Decimal)
                .ok_or("it is no number that the decimal holds")
        }
        ColumnType::Int64 | ColumnType::Float64 | ColumnType::Decimal { .. } => Err("it is no number"),
        ColumnType::Text if first == b'"' => match string(raw) {
            Some(text) if !limits.nul && text.contains('\0') => Err("it has a character U+0000"),
            text => text.map(Cell::Text).ok_or("it is no Unicode: a surrogate stands alone"),
        },
        ColumnType::Text if is_number || matches!(first, b't' | b'f') => Ok(Cell::Text(Cow::Borrowed(raw))),
        ColumnType::Text => Err("it is an object or an array"),
        ColumnType::Timestamp => string_of(raw)
            .and_then(|text| time::timestamp(&text))
            .map(Cell::Timestamp)
            .ok_or("it is no point in time by RFC 3339, to the microsecond"),
        ColumnType::Date => string_of(raw)
            .and_then(|text| time::date(&text))
            .map(Cell::Date)
            .ok_or("it is no date like 2026-05-17"),
    }
}

/// The value as text that always fits: a string as it is, anything else, and a string that is none, as JSON text.
pub(super) fn as_text(raw: &str, nul: bool) -> Cell<'_> {
    let text = string_of(raw).filter(|text| nul || !text.contains('\0'));
    Cell::Text(text.unwrap_or(Cow::Borrowed(raw)))
}

/// The text of a string, unless the value is another one.
pub(super) fn string_of(raw: &str) -> Option<Cow<'_, str>> {
    if raw.starts_with('"') { string(raw) } else { None }
}

fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.get(1..raw.len().checked_sub(1)?)?;
    if memchr::memchr(b'\\', inside.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inside));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

/// Whether U+0000 is written in JSON text. Plain, it cannot be.
fn has_nul_escape(raw: &str) -> bool {
    // A backslash that is escaped begins no escape: only an odd one counts.
    memchr::memmem::find_iter(raw.as_bytes(), b"\\u0000").any(|at| {
        let before = raw.as_bytes()[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        before % 2 == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_fits_its_column_whole_or_not_at_all() {
        use ColumnType::*;
        let fits = |column_type, raw: &str| {
            cell(column_type, raw, &Limits::default()).map(|cell| cell.to_string()).ok()
        };
        let decimal = Decimal { precision: 6, scale: 2 };
        for (column_type, raw, expected) in [
            (Bool, "true", Some("true")),
            (Bool, "1", None),
            (Int64, "1e3", Some("1000")),
            (Int64, "9223372036854775808", None),
            (Int64, "\"7\"", None),
            (Float64, "0.1", Some("0.1")),
            (Float64, "1e300", Some("1e300")),
            (Float64, "1e400", None),
            (decimal, "\"12.50\"", Some("12.50")),
            (decimal, "\"12.50 EUR\"", None),
            (decimal, "12.501", None),
            (Text, r#""a\nb""#, Some("a\nb")),
            (Text, r#""\ud800""#, None),
            (Text, "1.10", Some("1.10")),
            (Text, "{}", None),
            (Timestamp, "\"2026-05-17T12:00:00+02:00\"", Some("2026-05-17T10:00:00Z")),
            (Timestamp, "1779012000", None),
            (Date, "\"2026-05-17\"", Some("2026-05-17")),
            (Json, r#"{"a": [1.0]}"#, Some(r#"{"a": [1.0]}"#)),
            (Json, "\"x\"", Some("\"x\"")),
            (Json, "null", Some("")),
        ] {
            assert_eq!(fits(column_type, raw).as_deref(), expected, "{raw} as {column_type}");
        }
        assert!(matches!(
            cell(Text, "\"plain\"", &Limits::default()),
            Ok(Cell::Text(Cow::Borrowed("plain")))
        ));
    }

    #[test]
    fn where_no_text_may_have_a_nul_it_is_found() {
        let without = Limits::default().without_nul();
        assert!(cell(ColumnType::Text, r#""a\u0000""#, &Limits::default()).is_ok());
        assert!(cell(ColumnType::Text, r#""a\u0000""#, &without).is_err());
        assert!(cell(ColumnType::Json, r#"["a\u0000"]"#, &without).is_err());
        assert!(cell(ColumnType::Json, r#"["a\\u0000"]"#, &without).is_ok());
        assert!(cell(ColumnType::Json, r#"["a\u0000"]"#, &without.json_as_text()).is_ok());
        assert_eq!(as_text(r#""a\u0000""#, false).to_string(), r#""a\u0000""#);
        assert_eq!(as_text(r#""\ud800""#, true).to_string(), r#""\ud800""#);
        assert_eq!(as_text(r#""a\tb""#, false).to_string(), "a\tb");
    }
}
