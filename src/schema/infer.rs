//! Types, inferred from what a sample has.
//!
//! What a field was seen to hold decides, and every value of the sample fits what comes out:
//!
//! | seen, beside nulls | type |
//! |---|---|
//! | nothing | none yet |
//! | booleans | `Bool` |
//! | numbers, all whole and within 64 bits | `Int64` |
//! | numbers, all given back by a double | `Float64` |
//! | numbers, of at most 38 digits before and behind the point | `Decimal` with 38 digits, as many of them behind the point as were seen |
//! | other numbers | `Text`: their digits |
//! | strings, all dates or all points in time | `Date`, `Timestamp` |
//! | other strings | `Text` |
//! | scalars of several of these rows | `Text` |
//! | objects, arrays, strings that are no Unicode, also among others | `Json` |

use std::collections::HashMap;

use super::cell::string_of;
use super::column::ColumnType;
use super::fields::{Fields, unescaped};
use super::{number, time};

/// How many digits an inferred decimal has: what most databases have room for.
const DIGITS: i64 = 38;

/// What a field was seen to hold.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    has_bools: bool,
    has_numbers: bool,
    has_dates: bool,
    has_times: bool,
    has_text: bool,
    has_json: bool,
    /// What the numbers are not.
    not_int64: bool,
    not_float64: bool,
    /// The most digits before the point and behind it.
    whole: i64,
    fraction: i64,
}

impl Seen {
    fn see(&mut self, raw: &str, times: bool) {
        match raw.as_bytes().first() {
            None | Some(b'n') => {}
            Some(b't' | b'f') => self.has_bools = true,
            Some(b'"') => match string_of(raw) {
                None => self.has_json = true,
                Some(text) if times && time::date(&text).is_some() => self.has_dates = true,
                Some(text) if times && time::timestamp(&text).is_some() => self.has_times = true,
                Some(_) => self.has_text = true,
            },
            Some(b'-' | b'0'..=b'9') => self.see_number(raw),
            Some(_) => self.has_json = true,
        }
    }

    fn see_number(&mut self, raw: &str) {
        self.has_numbers = true;
        self.not_int64 |= number::int64(raw).is_none();
        self.not_float64 |= number::float64(raw).is_none();
        let (whole, fraction) = number::size(raw).unwrap_or((i64::MAX, i64::MAX));
        (self.whole, self.fraction) = (self.whole.max(whole), self.fraction.max(fraction));
    }

    fn column_type(&self) -> Option<ColumnType> {
        if self.has_json {
            return Some(ColumnType::Json);
        }
        let kinds = [self.has_bools, self.has_numbers, self.has_dates, self.has_times, self.has_text];
        match (kinds, kinds.iter().filter(|has| **has).count()) {
            (_, 0) => None,
            ([true, ..], 1) => Some(ColumnType::Bool),
            ([_, true, ..], 1) => Some(self.number_type()),
            ([_, _, true, ..], 1) => Some(ColumnType::Date),
            ([_, _, _, true, _], 1) => Some(ColumnType::Timestamp),
            _ => Some(ColumnType::Text),
        }
    }

    fn number_type(&self) -> ColumnType {
        if !self.not_int64 {
            return ColumnType::Int64;
        }
        if !self.not_float64 {
            return ColumnType::Float64;
        }
        if self.whole.saturating_add(self.fraction) > DIGITS {
            return ColumnType::Text;
        }
        ColumnType::Decimal {
            precision: DIGITS as u8,
            scale: u8::try_from(self.fraction).unwrap_or(DIGITS as u8),
        }
    }
}

/// The fields of records, in the order in which they came first, with what they hold.
#[derive(Debug, Default)]
pub(super) struct Sample {
    fields: Vec<(String, Seen)>,
    places: HashMap<String, usize>,
}

impl Sample {
    /// Looks at one field.
    pub(super) fn see(&mut self, field: &str, raw: &str, times: bool) {
        let place = match self.places.get(field) {
            Some(place) => *place,
            None => {
                self.fields.push((field.to_owned(), Seen::default()));
                self.places.insert(field.to_owned(), self.fields.len() - 1);
                self.fields.len() - 1
            }
        };
        self.fields[place].1.see(raw, times);
    }

    /// Looks at all fields of a record, of those that come twice at the last, as long as there are not more fields than
    /// `most`, nor longer names than `longest` bytes.
    pub(super) fn see_record(&mut self, record: &str, times: bool, most: usize, longest: usize) {
        let mut see = |field: &str, raw: &str| {
            let has_room = self.fields.len() < most || self.knows(field);
            if field.len() <= longest && has_room {
                self.see(field, raw, times);
            }
        };
        match Fields::of(record) {
            None => see("value", record),
            // An earlier value of a field that comes twice only makes its type wider.
            Some(fields) => fields.for_each(|(key, raw)| see(&unescaped(key), raw)),
        }
    }

    /// Whether the field was seen.
    pub(super) fn knows(&self, field: &str) -> bool {
        self.places.contains_key(field)
    }

    /// How many fields there are.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The fields with their types. Of one that has only nulls, nothing is known.
    pub(super) fn types(&self) -> impl Iterator<Item = (&str, Option<ColumnType>)> {
        self.fields.iter().map(|(field, seen)| (field.as_str(), seen.column_type()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inferred(values: &[&str]) -> Option<String> {
        let mut sample = Sample::default();
        for value in values {
            sample.see_record(&format!("{{\"a\":{value}}}"), true, 10, 10);
        }
        sample.types().next().and_then(|(_, found)| found).map(|found| found.to_string())
    }

    #[test]
    fn a_type_holds_all_that_was_seen() {
        for (values, expected) in [
            (&["null"][..], None),
            (&["true", "null", "false"], Some("bool")),
            (&["1", "1.0", "-9223372036854775808"], Some("int64")),
            (&["1", "1.5"], Some("float64")),
            (&["9223372036854775808"], Some("decimal(38,0)")),
            (&["9007199254740993", "0.5"], Some("decimal(38,1)")),
            (&["0.1234567890123456789"], Some("decimal(38,19)")),
            (&["1e400"], Some("text")),
            (&["\"a\"", "null"], Some("text")),
            (&["\"2026-05-17\""], Some("date")),
            (&["\"2026-05-17T10:00:00Z\"", "\"2026-05-17T10:00:00.5+02:00\""], Some("timestamp")),
            (&["\"2026-05-17\"", "\"2026-05-17T10:00:00Z\""], Some("text")),
            (&["\"2026-05-17\"", "\"later\""], Some("text")),
            (&["1", "\"a\""], Some("text")),
            (&["true", "1"], Some("text")),
            (&["1", "[1]"], Some("json")),
            (&["\"a\"", "\"\\ud800\""], Some("json")),
        ] {
            assert_eq!(inferred(values).as_deref(), expected, "{values:?}");
        }
    }
}
