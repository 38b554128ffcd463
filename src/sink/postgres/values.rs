//! Cells in the form in which a binary COPY has them.

use super::rows::{EPOCH, field, null};
use crate::error::Result;
use crate::schema::Cell;

/// Days from 1970 to 2000, from which PostgreSQL counts.
const EPOCH_DAYS: i32 = 10_957;
/// Digits of a `numeric` are of this base, four decimal ones each.
const GROUP: usize = 4;

/// Appends a value as a field. `json`: the version of the binary form of `jsonb`; `json` has none.
pub(super) fn append(cell: &Cell<'_>, json: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<()> {
    match cell {
        Cell::Null => {
            null(out);
            Ok(())
        }
        Cell::Bool(value) => field(out, &[&[u8::from(*value)]]),
        Cell::Int(value) => field(out, &[&value.to_be_bytes()]),
        Cell::Float(value) => field(out, &[&value.to_be_bytes()]),
        Cell::Decimal(text) => {
            scratch.clear();
            numeric(text, scratch);
            field(out, &[scratch])
        }
        Cell::Text(text) => field(out, &[text.as_bytes()]),
        Cell::Json(text) => field(out, &[json, text.as_bytes()]),
        Cell::Timestamp(micros) => field(out, &[&(micros - EPOCH).to_be_bytes()]),
        Cell::Date(days) => field(out, &[&(days - EPOCH_DAYS).to_be_bytes()]),
    }
}

/// Appends a decimal as `numeric_recv` reads it: how many groups of digits, the weight of the first one, the sign, how many digits
/// stand behind the point, and the groups.
fn numeric(text: &str, out: &mut Vec<u8>) {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0').as_bytes();
    let mut groups = [0_i16; 2 + 2 * crate::schema::ColumnType::MOST_DIGITS as usize / GROUP];
    let before = whole.len().div_ceil(GROUP);
    let pad = before * GROUP - whole.len();
    let digits = whole.iter().enumerate().map(|(at, digit)| (at + pad, digit));
    let behind = fraction.bytes().enumerate().map(|(at, digit)| (before * GROUP + at, digit));
    for (at, digit) in digits.map(|(at, digit)| (at, *digit)).chain(behind) {
        if let Some(group) = groups.get_mut(at / GROUP) {
            *group += i16::from(digit.saturating_sub(b'0')) * [1000, 100, 10, 1][at % GROUP];
        }
    }
    let used = groups.iter().rposition(|group| *group != 0).map_or(0, |last| last + 1);
    let first = groups.iter().position(|group| *group != 0).unwrap_or(0);
    let weight = if used == 0 { 0 } else { before as i16 - 1 - first as i16 };
    let sign: u16 = if is_negative && used > 0 { 0x4000 } else { 0 };
    out.extend_from_slice(&((used - first) as i16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(fraction.len() as i16).to_be_bytes());
    for group in &groups[first..used] {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// What a row of a page of 8 kB may have, without its header, the bits of 1,600 nulls, and our own columns
/// (`MaxHeapTupleSize` in `access/htup_details.h`).
const ROW: usize = 8_160 - 224 - 72;
/// The least that is left in the row of a value that is stored outside of it, or compressed.
const POINTER: usize = 24;

/// Refuses a row that the server could not keep: values of any length are stored outside of their row, but for a pointer.
pub(super) fn row_limit(cells: &[Cell<'_>]) -> Option<&'static str> {
    let mut size = 0_usize;
    for cell in cells {
        let (length, align) = match cell {
            Cell::Null => (0, 1),
            Cell::Bool(_) => (1, 1),
            Cell::Date(_) => (4, 4),
            Cell::Int(_) | Cell::Float(_) | Cell::Timestamp(_) => (8, 8),
            Cell::Decimal(text) => ((text.len() / 2 + 5).min(POINTER), 1),
            Cell::Text(text) if text.len() <= POINTER - 4 => (text.len() + 1, 1),
            Cell::Text(_) | Cell::Json(_) => (POINTER, 4),
        };
        size = size.next_multiple_of(align) + length;
    }
    (size > ROW).then_some("its values take more than the 8 kB that PostgreSQL has for a row")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(text: &str) -> (i16, u16, i16, Vec<i16>) {
        let mut out = Vec::new();
        numeric(text, &mut out);
        let number = |at: usize| i16::from_be_bytes([out[at], out[at + 1]]);
        let count = number(0) as usize;
        assert_eq!(out.len(), 8 + 2 * count);
        (number(2), number(4) as u16, number(6), (0..count).map(|at| number(8 + 2 * at)).collect())
    }

    #[test]
    fn a_decimal_has_its_digits_in_groups_of_four() {
        assert_eq!(groups("0"), (0, 0, 0, vec![]));
        assert_eq!(groups("-0.00"), (0, 0, 2, vec![]));
        assert_eq!(groups("12345.678"), (1, 0, 3, vec![1, 2345, 6780]));
        assert_eq!(groups("-10000"), (1, 0x4000, 0, vec![1]));
        assert_eq!(groups("0.00001"), (-2, 0, 5, vec![1000]));
        assert_eq!(groups("0.0001"), (-1, 0, 4, vec![1]));
        let nines = "9".repeat(76);
        assert_eq!(groups(&nines), (18, 0, 0, vec![9999; 19]));
        assert_eq!(groups(&format!("0.{nines}")), (-1, 0, 76, vec![9999; 19]));
        assert_eq!(groups(&format!("{}.9", &nines[..75])).3.len(), 20);
    }

    #[test]
    fn a_row_that_no_page_holds_is_refused() {
        assert!(row_limit(&vec![Cell::Int(1); 980]).is_none());
        assert!(row_limit(&vec![Cell::Int(1); 990]).is_some());
        let long = "x".repeat(100_000);
        assert!(row_limit(&vec![Cell::Text(long.as_str().into()); 320]).is_none());
        assert!(row_limit(&vec![Cell::Text(long.as_str().into()); 330]).is_some());
        assert!(row_limit(&vec![Cell::Null; 1_598]).is_none());
    }
}
