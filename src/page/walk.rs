//! The one walk over a page: validates the whole document, and on the way notes where the records are and
//! what stands at the paths that the paginator wants to see.
//!
//! Nothing is copied and nothing is turned into a number or a string: what comes out are [`Span`]s of the
//! body. `serde_json`'s `RawValue` gives them; it validates without recursion, so that a document nested a
//! million deep costs no stack. Only the path down to the records is walked by name.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonPath;

/// A range of bytes in a page. Pages are capped below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn of(self, body: &str) -> &str {
        &body[self.start as usize..self.end as usize]
    }
}

/// What was found at the record path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    /// `null`: no records.
    Null,
    Array(Vec<Span>),
    /// Something that is not an array.
    Other(&'static str),
}

/// What one walk has seen.
#[derive(Debug)]
pub(crate) struct Outline {
    pub(crate) records: Found,
    /// One for each path asked for; `None` where the path leads nowhere.
    pub(crate) captures: Vec<Option<Span>>,
}

/// The paths to look at, as a tree, so that one pass serves them all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    root: Node,
    captures: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    records: bool,
    captures: Vec<usize>,
    children: Vec<(String, Node)>,
}

impl Plan {
    pub(crate) fn new(records: Option<&JsonPath>, captures: &[JsonPath]) -> Self {
        let mut plan = Self { root: Node::default(), captures: captures.len() };
        if let Some(path) = records {
            plan.root.descend(path).records = true;
        }
        for (index, path) in captures.iter().enumerate() {
            plan.root.descend(path).captures.push(index);
        }
        plan
    }

    /// Walks a whole document.
    pub(crate) fn walk(&self, body: &str) -> Result<Outline, serde_json::Error> {
        // Asked what is there, `serde_json` refuses numbers that it has no type for, and half surrogate pairs. Such
        // a document is walked once more, by what values begin with.
        self.walk_by(body, false).or_else(|_| self.walk_by(body, true))
    }

    fn walk_by(&self, body: &str, by_text: bool) -> Result<Outline, serde_json::Error> {
        let mut outline = Outline { records: Found::Missing, captures: vec![None; self.captures] };
        let mut document = serde_json::Deserializer::from_str(body);
        let walk = Walk { node: &self.root, outline: &mut outline, base: body.as_ptr() as usize, by_text };
        walk.deserialize(&mut document)?;
        document.end()?;
        Ok(outline)
    }
}

impl Node {
    fn descend(&mut self, path: &JsonPath) -> &mut Self {
        path.segments().iter().fold(self, |node, segment| {
            let at = node.children.iter().position(|(name, _)| name == segment).unwrap_or_else(|| {
                node.children.push((segment.clone(), Self::default()));
                node.children.len() - 1
            });
            &mut node.children[at].1
        })
    }
}

struct Walk<'a> {
    node: &'a Node,
    outline: &'a mut Outline,
    base: usize,
    by_text: bool,
}

impl Walk<'_> {
    fn span(&self, raw: &RawValue) -> Span {
        let start = raw.get().as_ptr() as usize - self.base;
        Span { start: start as u32, end: (start + raw.get().len()) as u32 }
    }

    /// Walks a value whose text is there already.
    fn below(self, text: &str) -> Result<(), serde_json::Error> {
        match text.as_bytes().first() {
            Some(b'"') if self.by_text => self.found(Found::Other("a string")),
            Some(b'-' | b'0'..=b'9') if self.by_text => self.found(Found::Other("a number")),
            _ => serde_json::Deserializer::from_str(text).deserialize_any(self),
        }
    }

    fn found<E: serde::de::Error>(self, found: Found) -> Result<(), E> {
        if self.node.records {
            if self.outline.records != Found::Missing {
                return Err(E::custom("the record path stands in the document twice"));
            }
            self.outline.records = found;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        if self.node.captures.is_empty() && !self.by_text {
            return document.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(document)?;
        let span = self.span(raw);
        for index in &self.node.captures {
            if self.outline.captures[*index].replace(span).is_some() {
                return Err(D::Error::custom("a path that the paginator reads stands in the document twice"));
            }
        }
        if self.node.records || !self.node.children.is_empty() {
            return self.below(raw.get()).map_err(D::Error::custom);
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(child) = map.next_key_seed(Key(&self.node.children))? {
            match child {
                Some(index) => {
                    map.next_value_seed(Walk {
                        node: &self.node.children[index].1,
                        outline: self.outline,
                        ..self
                    })?;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        self.found(Found::Other("an object"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut spans = Vec::new();
        if self.node.children.is_empty() {
            if !self.node.records {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(());
            }
            while let Some(raw) = seq.next_element::<&RawValue>()? {
                spans.push(self.span(raw));
            }
            return self.found(Found::Array(spans));
        }
        for index in 0_usize.. {
            let child = self.node.children.iter().find(|(name, _)| *name == index.to_string());
            let Some(raw) = seq.next_element::<&RawValue>()? else { break };
            spans.push(self.span(raw));
            if let Some((_, node)) = child {
                let walk = Walk { node, outline: self.outline, ..self };
                walk.deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
                    .map_err(A::Error::custom)?;
            }
        }
        self.found(Found::Array(spans))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.found(Found::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.found(Found::Other("a boolean"))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.found(Found::Other("a number"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.found(Found::Other("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.found(Found::Other("a number"))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.found(Found::Other("a string"))
    }
}

/// Reads a key without keeping it: the child that it names, if any.
struct Key<'a>(&'a [(String, Node)]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        // As it stands: read as bytes it could hold control characters, which JSON does not allow.
        let raw = <&RawValue as serde::Deserialize>::deserialize(key)?.get();
        let plain = &raw[1..raw.len() - 1];
        // A key with a lone surrogate in it is allowed (RFC 8259 §8.2), and no name of ours.
        let name =
            if plain.contains('\\') { serde_json::from_str(raw).ok() } else { Some(Cow::Borrowed(plain)) };
        Ok(name.and_then(|name| self.0.iter().position(|(other, _)| *other == name)))
    }
}

/// The paths that hold arrays, with their lengths, for an error message: the first twenty, six levels deep.
pub(crate) fn array_paths(body: &str) -> Vec<(JsonPath, usize)> {
    const MOST: usize = 20;
    const DEEPEST: usize = 6;
    const LONGEST_KEY: usize = 256;

    struct Look<'a> {
        path: JsonPath,
        seen: &'a mut Vec<(JsonPath, usize)>,
    }

    impl<'de> DeserializeSeed<'de> for Look<'_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
            if self.path.segments().len() > DEEPEST || self.seen.len() >= MOST {
                return IgnoredAny::deserialize(document).map(drop);
            }
            document.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for Look<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON document")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                // Nobody names a path like that, and it would be copied for each key below it.
                if key.len() > LONGEST_KEY {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                map.next_value_seed(Look { path: self.path.child(key), seen: self.seen })?;
            }
            Ok(())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            let mut length = 0;
            while seq.next_element::<IgnoredAny>()?.is_some() {
                length += 1;
            }
            self.seen.push((self.path, length));
            Ok(())
        }
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

    use serde::Deserialize;
    let mut seen = Vec::new();
    let look = Look { path: JsonPath::default(), seen: &mut seen };
    // What was seen up to a fault is still worth showing.
    let _ = look.deserialize(&mut serde_json::Deserializer::from_str(body));
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> JsonPath {
        JsonPath::parse(text).unwrap()
    }

    fn walk<'a>(records: &str, captures: &[&str], body: &'a str) -> (Vec<&'a str>, Vec<Option<&'a str>>) {
        let captures: Vec<_> = captures.iter().map(|text| path(text)).collect();
        let outline = Plan::new(Some(&path(records)), &captures).walk(body).unwrap();
        let Found::Array(spans) = outline.records else { panic!("{:?}", outline.records) };
        let captured = outline.captures.iter().map(|span| span.map(|span| span.of(body))).collect();
        (spans.iter().map(|span| span.of(body)).collect(), captured)
    }

    #[test]
    fn one_walk_finds_records_cursor_and_flag() {
        let body = r#" {"meta":{"next":"a\"b","more":true},"data":{"items":[{"n":1.10}, [1e999], "x", null]},"z":[1]} "#;
        let (records, captures) =
            walk("data.items", &["meta.next", "meta.more", "meta.none", "data.items.0.n"], body);
        assert_eq!(records, [r#"{"n":1.10}"#, "[1e999]", r#""x""#, "null"]);
        assert_eq!(captures, [Some(r#""a\"b""#), Some("true"), None, Some("1.10")]);
        assert_eq!(walk("a", &[], r#"{"\ud800":1,"\u0061":[1]}"#).0, ["1"]);
        assert_eq!(walk("", &[], "[1, 2]").0, ["1", "2"]);
        assert_eq!(
            walk("0.items", &["1.next"], r#"[{"items":[7]},{"next":9}]"#),
            (vec!["7"], vec![Some("9")])
        );
        assert_eq!(
            walk("a", &["a", ""], r#"{"a":[1]}"#),
            (vec!["1"], vec![Some("[1]"), Some(r#"{"a":[1]}"#)])
        );
    }

    #[test]
    fn what_is_not_an_array_is_told_apart() {
        let found = |body: &str| Plan::new(Some(&path("a.b")), &[]).walk(body).unwrap().records;
        assert_eq!(found(r#"{"a":{}}"#), Found::Missing);
        assert_eq!(found(r#"{"a":7}"#), Found::Missing);
        assert_eq!(found(r#"{"a":{"b":null}}"#), Found::Null);
        assert_eq!(found(r#"{"a":{"b":{}}}"#), Found::Other("an object"));
        assert_eq!(found(r#"{"a":{"b":"x"}}"#), Found::Other("a string"));
    }

    #[test]
    fn the_whole_document_is_validated() {
        for bad in [
            "",
            "{",
            r#"{"a":[1,2}"#,
            r#"{"a":[01]}"#,
            r#"{"a":[]} x"#,
            "{\"a\":[\"\n\"]}",
            r#"{"a":[],"z":tru}"#,
            "{\"\n\":1,\"a\":[]}",
        ] {
            assert!(Plan::new(Some(&path("a")), &[]).walk(bad).is_err(), "{bad}");
        }
        let twice = Plan::new(Some(&path("a")), &[]).walk(r#"{"a":[],"a":[1]}"#).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
    }

    #[test]
    fn a_document_nested_a_million_deep_costs_no_stack() {
        let deep = format!("{{\"a\":[{}{}]}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(walk("a", &[], &deep).0[0].len(), 2_000_000);
    }

    #[test]
    fn arrays_are_listed_with_their_lengths() {
        let seen = array_paths(r#"{"data":{"items":[1,2]},"a.b":[],"n":1}"#);
        let seen: Vec<_> = seen.iter().map(|(path, length)| format!("{path} {length}")).collect();
        assert_eq!(seen, ["data.items 2", "/a.b 0"]);
    }
}
