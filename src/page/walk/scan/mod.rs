//! JSON text (RFC 8259), gone through value by value: where each of them ends, and that it is one.
//!
//! Every byte is looked at once. Nothing is built, nothing is decoded, and nesting costs a bit a level, not stack.
//! Of the records of a list, what is the same from one to the next is only compared (`shape`).

mod joint;
mod likeness;
mod shape;
mod stencil;
mod token;

use joint::{Nesting, value};
use shape::Shape;
use token::{blanks, colon, string};

use super::Span;

/// What is wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    NotJson,
    /// It is JSON, and means two things at once.
    Twice(&'static str),
}

pub(super) type Scanned<T> = Result<T, Fault>;

/// A place in a text. What lies before it has been validated.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'t> {
    text: &'t str,
    at: usize,
    nesting: Nesting,
    shape: Shape,
}

impl<'t> Scanner<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, nesting: Nesting::default(), shape: Shape::default() }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Goes to where a value begins that was already gone through, or to its end.
    pub(super) fn go_to(&mut self, at: usize) {
        self.at = at;
    }

    /// Passes over blanks, and gives what comes then: by its first byte it is known what a value is.
    pub(super) fn peek(&mut self) -> Scanned<u8> {
        self.at = blanks(self.text.as_bytes(), self.at);
        self.text.as_bytes().get(self.at).copied().ok_or(Fault::NotJson)
    }

    /// Passes the bracket that a value begins with. Says whether there is anything before the one that ends it.
    pub(super) fn enter(&mut self, close: u8) -> Scanned<bool> {
        self.at += 1;
        if self.peek()? != close {
            return Ok(true);
        }
        self.at += 1;
        Ok(false)
    }

    /// Passes what stands behind an item. Says whether it is a comma, or the bracket that ends them all.
    pub(super) fn more(&mut self, close: u8) -> Scanned<bool> {
        let found = self.peek()?;
        self.at += 1;
        match found {
            b',' => Ok(true),
            found if found == close => Ok(false),
            _ => Err(Fault::NotJson),
        }
    }

    /// Passes a key and its colon, and gives the key as it stands, quotes and all.
    pub(super) fn key(&mut self) -> Scanned<&'t str> {
        self.peek()?;
        let start = self.at;
        let bytes = self.text.as_bytes();
        let end = string(bytes, start).ok_or(Fault::NotJson)?;
        self.at = colon(bytes, end).ok_or(Fault::NotJson)?;
        Ok(&self.text[start..end])
    }

    /// Where a part of the text stands that was given out.
    pub(super) fn span_of(&self, part: &str) -> Span {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        Span::new(start, start + part.len())
    }

    /// Passes a whole value.
    pub(super) fn skip(&mut self) -> Scanned<()> {
        self.at = value(self.text.as_bytes(), self.at, &mut self.nesting).ok_or(Fault::NotJson)?;
        Ok(())
    }

    /// Passes a whole value that is an item of a list, and probably like the one before it.
    pub(super) fn skip_item(&mut self) -> Scanned<()> {
        match self.shape.pass(self.text.as_bytes(), self.at) {
            Some(end) => self.at = end,
            None => self.skip()?,
        }
        Ok(())
    }

    /// An item was passed otherwise: nothing is known of what the items look like.
    pub(super) fn saw_no_item(&mut self) {
        self.shape.saw_no_item();
    }

    /// Whether all items so far are on one line each, without a key that begins with two underscores or is written with
    /// an escape.
    pub(super) fn is_plain(&self) -> bool {
        self.shape.is_plain()
    }

    /// Makes sure that nothing but blanks is left.
    pub(super) fn end(&self) -> Scanned<()> {
        let is_all = blanks(self.text.as_bytes(), self.at) == self.text.len();
        if is_all { Ok(()) } else { Err(Fault::NotJson) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_json(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.skip().and_then(|()| scanner.end()).is_ok()
    }

    #[test]
    fn exactly_the_grammar_is_json() {
        for text in [
            "0",
            "-0",
            "-1.50e+10",
            "1E9",
            "1e999",
            "123456789012345678901234567890",
            r#""""#,
            r#""\ud800""#,
            r#""\/\b\f\n\r\t\"\\""#,
            " [ ] ",
            " { } ",
            r#"[[],{},[{}],{"a":[]}]"#,
            r#"{"a" : 1 , "a" : null}"#,
            "true",
            "\t\r\nnull ",
            r#""Größe""#,
        ] {
            assert!(is_json(text), "{text}");
        }
        for text in [
            "",
            " ",
            "-",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "NaN",
            "nul",
            "truex",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1",
            "{",
            "{}}",
            "[}",
            "{]",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            "{1:2}",
            r#"{"a":1 "b":2}"#,
            r#"""#,
            r#""a"#,
            r#""\"#,
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u123""#,
            "\"\n\"",
            "\"\u{0}\"",
            "\"1234567\n\"",
            "1 2",
            "\u{a0}1",
        ] {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn brackets_match_at_any_depth() {
        for depth in [1, 63, 64, 65, 128, 129, 1_000] {
            let kinds: Vec<bool> = (0..depth).map(|level| level * 7 % 3 == 0).collect();
            let open: String = kinds.iter().map(|object| if *object { r#"{"k":"# } else { "[" }).collect();
            let close: Vec<&str> = kinds.iter().rev().map(|object| if *object { "}" } else { "]" }).collect();
            assert!(is_json(&format!("{open}1{}", close.concat())), "{depth}");
            for wrong in 0..depth {
                let mut close = close.clone();
                close[wrong] = if close[wrong] == "}" { "]" } else { "}" };
                assert!(!is_json(&format!("{open}1{}", close.concat())), "{depth}, {wrong}");
            }
        }
    }
}
