//! The declared signals of a source, read from every answer.

use std::fmt;

use bytes::Bytes;
use http::HeaderName;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::hints::{Found, Hints, Place, Signal};
use crate::page::{JsonPath, without_bom};
use crate::transport::Response;

/// What is a number or a time is no longer.
const LONGEST_VALUE: usize = 256;

/// Signals whose places can be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signals {
    list: Vec<Signal>,
    headers: Vec<HeaderName>,
    paths: Vec<(String, JsonPath)>,
}

impl Signals {
    /// # Errors
    /// `Config` if a path, or the name of a header, cannot be read.
    pub(crate) fn new(list: Vec<Signal>) -> Result<Self> {
        let (mut headers, mut paths) = (Vec::new(), Vec::new());
        for place in list.iter().flat_map(Signal::places) {
            match place {
                Place::Header(name) => headers.push(HeaderName::try_from(name).map_err(|error| {
                    Error::config(format!("the signal {name:?} is no header name")).because(error)
                })?),
                Place::Body(path) => paths.push((path.clone(), JsonPath::parse(path)?)),
            }
        }
        Ok(Self { list, headers, paths })
    }

    /// What an answer says about waiting: in the headers that are read by default, and where it was declared.
    pub(crate) fn read(&self, response: &Response) -> Hints {
        let Response { headers, body, received_at, .. } = response;
        let mut hints = Hints::read_but(headers, *received_at, &self.headers);
        if self.list.is_empty() {
            return hints;
        }
        let mut found = Found::new(headers, *received_at);
        if !self.paths.is_empty() {
            let body = without_bom(body.clone());
            found.body =
                self.paths.iter().filter_map(|(name, path)| Some((&**name, scalar(&body, path)?))).collect();
        }
        for signal in &self.list {
            signal.read(&found, &mut hints);
        }
        hints
    }
}

/// The number, or the text, at a path of a JSON body. Nothing is built on the way, and the rest is not looked at.
fn scalar(body: &Bytes, path: &JsonPath) -> Option<String> {
    let mut found = None;
    let seek = Seek { path: path.segments(), found: &mut found };
    // It stops, by an error, as soon as it has the value. What was seen before a fault is still worth having.
    let _ = seek.deserialize(&mut serde_json::Deserializer::from_slice(body));
    found
}

struct Seek<'a> {
    path: &'a [String],
    found: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        if !self.path.is_empty() {
            return document.deserialize_any(self);
        }
        let raw = <&RawValue>::deserialize(document)?.get();
        if raw.len() > LONGEST_VALUE {
            return Ok(());
        }
        *self.found = match serde_json::from_str(raw) {
            Ok(Value::String(text)) => Some(text),
            // As it was written: a number keeps its digits.
            Ok(Value::Number(_)) => Some(raw.to_owned()),
            _ => return Ok(()),
        };
        Err(D::Error::custom("found"))
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else { return Ok(()) };
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            if key == *first || first == "*" {
                map.next_value_seed(Seek { path: rest, found: self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else { return Ok(()) };
        let index = first.parse::<usize>().ok();
        for at in 0_usize.. {
            let more = if first == "*" || index == Some(at) {
                seq.next_element_seed(Seek { path: rest, found: self.found })?.is_some()
            } else {
                seq.next_element::<IgnoredAny>()?.is_some()
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    // A scalar in the middle of the path leads nowhere.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, body: &'static str) -> Option<String> {
        scalar(&Bytes::from_static(body.as_bytes()), &JsonPath::parse(path).unwrap())
    }

    #[test]
    fn a_scalar_is_found_wherever_it_stands() {
        for (path, body, value) in [
            (
                "retry_after",
                r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#,
                Some("64.57"),
            ),
            ("a.b", r#"{"a":[1],"a":{"b":"x"}}"#, Some("x")),
            ("a.1.b", r#"{"a":[{"b":1},{"b":2},{"b":3}]}"#, Some("2")),
            ("a.*.b", r#"{"a":[7,{"c":1},{"b":[]},{"b":2},{"b":3}]}"#, Some("2")),
            ("a.*.b", r#"{"a":{"x":{"b":"2"}}}"#, Some("2")),
            ("", "30", Some("30")),
            // The rest is not looked at.
            ("a", r#"{"a":1, oops"#, Some("1")),
            ("a", "<html>", None),
            ("a", "", None),
            ("a.b", r#"{"a":"text"}"#, None),
            ("a", r#"{"a":true}"#, None),
            ("a", r#"{"a":null}"#, None),
            ("/a.b", r#"{"a.b":1}"#, Some("1")),
        ] {
            assert_eq!(at(path, body).as_deref(), value, "{path} in {body}");
        }
    }

    #[test]
    fn a_document_nested_a_million_deep_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(scalar(&deep.clone().into(), &JsonPath::parse("b").unwrap()), None);
        assert_eq!(scalar(&deep.into(), &JsonPath::parse("a.*.*.b").unwrap()), None);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        use crate::hints::{At, Unit};
        for at in [At::header("retry after"), At::body("a..b")] {
            assert!(Signals::new(vec![Signal::wait(at, Unit::Seconds)]).is_err());
        }
    }
}
