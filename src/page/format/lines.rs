//! JSON Lines: one JSON value on each line.

use serde_json::value::RawValue;

use super::text::JsonText;
use crate::error::{Error, ErrorKind, Result};
use crate::page::not_json;

/// Turns lines into the array of their values.
pub(super) fn read(text: &str, json: &mut JsonText) -> Result<()> {
    if text.trim_start().starts_with('<') {
        // The page of a proxy says so better than its first line.
        if let Err(error) = serde_json::from_str::<&RawValue>(text) {
            return Err(not_json(text.as_bytes(), error));
        }
    }
    json.raw(b"[")?;
    let mut first = true;
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() {
            continue;
        }
        // Each by itself: two halves of lines could make one value.
        let value: &RawValue = serde_json::from_str(line).map_err(|error| {
            let what = match (error.is_eof(), index + 1) {
                (true, number) => format!("line {number} ends too early"),
                (false, number) => format!("line {number} is not one JSON value"),
            };
            Error::new(ErrorKind::NotJson, what).because(error).once()
        })?;
        if !std::mem::take(&mut first) {
            json.raw(b",")?;
        }
        json.raw(value.get().as_bytes())?;
    }
    json.raw(b"]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String> {
        let mut json = JsonText::new(1024);
        super::read(text, &mut json)?;
        Ok(String::from_utf8(json.done().to_vec()).unwrap())
    }

    #[test]
    fn lines_become_an_array_byte_for_byte() {
        assert_eq!(
            read("{\"n\":1.10}\r\n\n  [1, 2]\t\n\"\u{2028}\"\n7").unwrap(),
            "[{\"n\":1.10},[1, 2],\"\u{2028}\",7]"
        );
        assert_eq!(read("").unwrap(), "[]");
        assert_eq!(read("\n \r\n").unwrap(), "[]");
    }

    #[test]
    fn a_line_that_is_broken_or_cut_is_named() {
        for (text, expected) in [
            ("{\"a\":1}\n{\"a\":", "line 2 ends too early"),
            ("{\"a\":1}\n\n{\"a\":1}}\n", "line 3 is not one JSON value"),
            ("1 2", "line 1 is not one JSON value"),
            ("1],[2", "line 1 is not one JSON value"),
            ("[1\n2]", "line 1 ends too early"),
            ("1\u{a0}\n", "line 1 is not one JSON value"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::NotJson, expected), "{text}");
            assert_eq!(error.transience(), crate::error::Transience::Once);
        }
        let error = read("<html>\n</html>").unwrap_err();
        assert!(error.message().contains("HTML"), "{error}");
    }
}
