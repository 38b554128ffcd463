//! Cells as the fields of a CSV record (RFC 4180 §2).
//!
//! A field is quoted if a reader could take it for something else: it has a delimiter, a quote or a line break, begins or ends
//! with a blank, or is text that would look like a null. That nulls and empty strings stay apart hangs on the quotes, field by
//! field, which a writer that quotes by one rule for all fields cannot do.

use std::borrow::Cow;
use std::fmt::Write;

use crate::schema::{Cell, Column};

/// How fields are written.
#[derive(Debug, Clone)]
pub(super) struct Quoting {
    pub(super) delimiter: u8,
    pub(super) null: String,
    pub(super) guard: bool,
    pub(super) end: &'static str,
}

impl Default for Quoting {
    fn default() -> Self {
        Self { delimiter: b',', null: String::new(), guard: false, end: "\n" }
    }
}

impl Quoting {
    /// Whether fields can be told from what stands between them, and nulls from text.
    pub(super) fn is_sound(&self) -> bool {
        let is_plain = |byte: u8| {
            !matches!(byte, b'"' | b'\n' | b'\r' | b'\0') && byte.is_ascii() && !byte.is_ascii_alphanumeric()
        };
        is_plain(self.delimiter)
            && !matches!(self.delimiter, b'.' | b'-' | b'+' | b'_')
            && !self.must_be_quoted(&self.null)
    }

    /// The record with the names of the columns.
    pub(super) fn header(&self, columns: &[Column], out: &mut Vec<u8>) {
        for (index, column) in columns.iter().enumerate() {
            self.begin_field(index, out);
            self.text(column.name(), out);
        }
        out.extend_from_slice(self.end.as_bytes());
    }

    pub(super) fn row(&self, row: &[Cell<'_>], scratch: &mut String, out: &mut Vec<u8>) {
        for (index, cell) in row.iter().enumerate() {
            self.begin_field(index, out);
            match cell {
                Cell::Null => out.extend_from_slice(self.null.as_bytes()),
                Cell::Text(text) => self.text(text, out),
                Cell::Json(text) => self.text(&one_line(text), out),
                cell => {
                    scratch.clear();
                    // Into a string nothing fails.
                    let _ = write!(scratch, "{cell}");
                    self.field(scratch, out);
                }
            }
        }
        out.extend_from_slice(self.end.as_bytes());
    }

    fn begin_field(&self, index: usize, out: &mut Vec<u8>) {
        if index > 0 {
            out.push(self.delimiter);
        }
    }

    /// Text, which may be anything.
    fn text(&self, text: &str, out: &mut Vec<u8>) {
        if self.guard && is_formula(text) {
            return quoted("'", text, out);
        }
        if text == self.null { quoted("", text, out) } else { self.field(text, out) }
    }

    fn field(&self, text: &str, out: &mut Vec<u8>) {
        if self.must_be_quoted(text) { quoted("", text, out) } else { out.extend_from_slice(text.as_bytes()) }
    }

    fn must_be_quoted(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        let is_blank = |byte: Option<&u8>| byte.is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        is_blank(bytes.first())
            || is_blank(bytes.last())
            || bytes.iter().any(|byte| matches!(byte, b'"' | b'\n' | b'\r') || *byte == self.delimiter)
    }
}

/// Whether a spreadsheet would run it: it begins with `=`, `+`, `-`, `@`, a tab or a line break (OWASP, CSV Injection), and is no
/// number.
fn is_formula(text: &str) -> bool {
    let begins = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    begins && !is_number(text)
}

/// A number in plain digits, which a spreadsheet takes as one.
fn is_number(text: &str) -> bool {
    let is_digit = |c: char| matches!(c, '0'..='9' | '.' | 'e' | 'E' | '+' | '-');
    text.chars().all(is_digit) && text.parse::<f64>().is_ok()
}

fn quoted(before: &str, text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(before.as_bytes());
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// JSON text without its line breaks: in a string they are escaped, so each one stands between two tokens.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(['\n', '\r']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split(['\n', '\r']).map(|line| line.trim_start_matches([' ', '\t'])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(quoting: &Quoting, cells: &[Cell<'_>]) -> String {
        let mut out = Vec::new();
        quoting.row(cells, &mut String::new(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn text(text: &str) -> Cell<'_> {
        Cell::Text(text.into())
    }

    #[test]
    fn a_null_is_no_empty_string() {
        let row = [Cell::Null, text(""), text("NULL"), text("a")];
        assert_eq!(written(&Quoting::default(), &row), ",\"\",NULL,a\n");
        let named = Quoting { null: "NULL".into(), ..Quoting::default() };
        assert_eq!(written(&named, &row), "NULL,,\"NULL\",a\n");
    }

    #[test]
    fn a_field_is_quoted_where_it_has_to_be() {
        let row = [
            text("a,b"),
            text("say \"x\""),
            text("two\nlines"),
            text(" blank"),
            text("semi;"),
            Cell::Int(-1),
        ];
        let expected = "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\" blank\",semi;,-1\n";
        assert_eq!(written(&Quoting::default(), &row), expected);
        let semicolons = Quoting { delimiter: b';', end: "\r\n", ..Quoting::default() };
        assert_eq!(written(&semicolons, &[text("a,b"), text("c;d")]), "a,b;\"c;d\"\r\n");
        assert_eq!(
            written(&Quoting::default(), &[Cell::Json("{\n  \"a\": \"x\\ny\",\r\n  \"b\": 1\n}")]),
            "\"{\"\"a\"\": \"\"x\\ny\"\",\"\"b\"\": 1}\"\n"
        );
    }

    #[test]
    fn a_formula_is_text_where_it_is_guarded_against() {
        let guarded = Quoting { guard: true, ..Quoting::default() };
        for formula in ["=1+1", "+1-555", "-2+3", "@SUM(A1)", "\tx", "\r=1", "-", "=cmd|' /C calc'!A0"] {
            let expected = format!("\"'{}\"\n", formula.replace('"', "\"\""));
            assert_eq!(written(&guarded, &[text(formula)]), expected);
            assert!(!written(&Quoting::default(), &[text(formula)]).contains("'="), "off by default");
        }
        for plain in ["-5", "-1.5e3", "a=1", "", "e"] {
            assert!(!written(&guarded, &[text(plain)]).contains('\''), "{plain}");
        }
        assert_eq!(
            written(&guarded, &[Cell::Int(-5), Cell::Float(-0.5), Cell::Decimal("-1.10".into())]),
            "-5,-0.5,-1.10\n"
        );
    }

    #[test]
    fn what_cannot_be_told_apart_is_not_sound() {
        assert!(Quoting::default().is_sound());
        for delimiter in [b'"', b'\n', b'a', b'0', b'-', 0xC3] {
            assert!(!Quoting { delimiter, ..Quoting::default() }.is_sound(), "{delimiter}");
        }
        for null in ["a,b", "\"", " "] {
            assert!(!Quoting { null: null.into(), ..Quoting::default() }.is_sound(), "{null}");
        }
    }
}
