//! Rows as they stand in the log: cells in the order of their columns, each with its type, so that nothing is parsed twice.
//!
//! A row is its length (four bytes, little-endian) and its cells; a cell is a byte that says what it is, and its value. Columns
//! that a row does not reach, for they came later, are null.

use std::borrow::Cow;
use std::io::{self, Read};

use crate::schema::Cell;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const DECIMAL: u8 = 5;
const TEXT: u8 = 6;
const JSON: u8 = 7;
const TIMESTAMP: u8 = 8;
const DATE: u8 = 9;

/// Appends a row. False if it is too long for its length to be told: then nothing is appended.
pub(super) fn append(cells: &[Cell<'_>], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let mut fits = true;
    for cell in cells {
        match cell {
            Cell::Null => out.push(NULL),
            Cell::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
            Cell::Int(value) => fixed(INT, &value.to_le_bytes(), out),
            Cell::Float(value) => fixed(FLOAT, &value.to_le_bytes(), out),
            Cell::Decimal(text) => fits &= sized(DECIMAL, text, out),
            Cell::Text(text) => fits &= sized(TEXT, text, out),
            Cell::Json(text) => fits &= sized(JSON, text, out),
            Cell::Timestamp(micros) => fixed(TIMESTAMP, &micros.to_le_bytes(), out),
            Cell::Date(days) => fixed(DATE, &days.to_le_bytes(), out),
        }
    }
    match u32::try_from(out.len() - start - 4) {
        Ok(length) if fits => out[start..start + 4].copy_from_slice(&length.to_le_bytes()),
        _ => out.truncate(start),
    }
    out.len() > start
}

fn fixed(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn sized(kind: u8, text: &str, out: &mut Vec<u8>) -> bool {
    let Ok(length) = u32::try_from(text.len()) else { return false };
    out.push(kind);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    true
}

/// Reads the bytes of the next row, of those that are left. False at the end.
pub(super) fn next(from: &mut impl Read, left: &mut u64, row: &mut Vec<u8>) -> io::Result<bool> {
    row.clear();
    if *left == 0 {
        return Ok(false);
    }
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    *left = left.checked_sub(4 + length).ok_or_else(torn)?;
    if from.take(length).read_to_end(row)? as u64 != length {
        return Err(torn());
    }
    Ok(true)
}

/// The cells of a row.
pub(super) fn cells<'a>(row: &'a [u8], cells: &mut Vec<Cell<'a>>) -> io::Result<()> {
    cells.clear();
    let mut rest = row;
    while let Some((kind, behind)) = rest.split_first() {
        rest = behind;
        cells.push(match *kind {
            NULL => Cell::Null,
            FALSE => Cell::Bool(false),
            TRUE => Cell::Bool(true),
            INT => Cell::Int(i64::from_le_bytes(taken(&mut rest)?)),
            FLOAT => Cell::Float(f64::from_le_bytes(taken(&mut rest)?)),
            TIMESTAMP => Cell::Timestamp(i64::from_le_bytes(taken(&mut rest)?)),
            DATE => Cell::Date(i32::from_le_bytes(taken(&mut rest)?)),
            DECIMAL => Cell::Decimal(Cow::Borrowed(text(&mut rest)?)),
            TEXT => Cell::Text(Cow::Borrowed(text(&mut rest)?)),
            JSON => Cell::Json(text(&mut rest)?),
            _ => return Err(torn()),
        });
    }
    Ok(())
}

fn taken<const N: usize>(rest: &mut &[u8]) -> io::Result<[u8; N]> {
    let (bytes, behind) = rest.split_first_chunk::<N>().ok_or_else(torn)?;
    *rest = behind;
    Ok(*bytes)
}

fn text<'a>(rest: &mut &'a [u8]) -> io::Result<&'a str> {
    let length = u32::from_le_bytes(taken(rest)?) as usize;
    let (text, behind) = rest.split_at_checked(length).ok_or_else(torn)?;
    *rest = behind;
    std::str::from_utf8(text).map_err(|_| torn())
}

fn torn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a row in it cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Vec<Cell<'static>> {
        vec![
            Cell::Int(i64::MIN),
            Cell::Null,
            Cell::Bool(true),
            Cell::Bool(false),
            Cell::Float(-0.0),
            Cell::Decimal("-12.50".into()),
            Cell::Text("é\n\0".into()),
            Cell::Json("{\"a\": [1.0]}"),
            Cell::Timestamp(-1),
            Cell::Date(i32::MAX),
            Cell::Text("".into()),
        ]
    }

    #[test]
    fn a_row_comes_back_as_it_was() {
        let mut log = Vec::new();
        assert!(append(&row(), &mut log) && append(&[], &mut log) && append(&row()[..2], &mut log));
        let (mut from, mut left, mut bytes) = (&log[..], log.len() as u64, Vec::new());
        for expected in [row(), Vec::new(), row()[..2].to_vec()] {
            assert!(next(&mut from, &mut left, &mut bytes).unwrap());
            let mut found = Vec::new();
            cells(&bytes, &mut found).unwrap();
            assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        }
        assert!(!next(&mut from, &mut left, &mut bytes).unwrap());
    }

    #[test]
    fn bytes_that_are_no_rows_are_an_error_and_take_no_more_memory_than_they_are() {
        let mut whole = Vec::new();
        append(&row(), &mut whole);
        let seed =
            std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..5_000 {
            let mut log = whole[..random.usize(..=whole.len())].to_vec();
            for _ in 0..random.usize(..4) {
                let at = random.usize(..whole.len());
                if let Some(byte) = log.get_mut(at) {
                    *byte = random.u8(..);
                }
            }
            let (mut from, mut left, mut bytes) = (&log[..], log.len() as u64, Vec::new());
            while next(&mut from, &mut left, &mut bytes).unwrap_or(false) {
                assert!(bytes.capacity() < 4096, "HEADWATER_SEED={seed}");
                if cells(&bytes, &mut Vec::new()).is_err() {
                    break;
                }
            }
        }
    }
}
