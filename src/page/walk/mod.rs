//! The one walk over a page: validates the whole document, and on the way notes where the records are and
//! what stands at the paths that the paginator wants to see.
//!
//! Nothing is copied and nothing is turned into a number or a string: what comes out are [`Span`]s of the
//! body. `serde_json`'s `RawValue` gives them; it validates without recursion, so that a document nested a
//! million deep costs no stack. Only the paths down to the records are walked by name.

mod arrays;
mod key;
mod outline;
mod plan;

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::JsonPath;
pub(crate) use arrays::array_paths;
use key::{Key, decoded, is_about_element};
pub(crate) use outline::{Found, Match, Outline, Span, Traced};
use plan::Node;
pub(crate) use plan::{Plan, Route, Shape, Step};

impl Plan {
    /// Walks a whole document.
    pub(crate) fn walk(&self, body: &str) -> Result<Outline, serde_json::Error> {
        // Asked what is there, `serde_json` refuses numbers that it has no type for, and half surrogate pairs. Such
        // a document is walked once more, by what values begin with.
        self.walk_by(body, false).or_else(|_| self.walk_by(body, true))
    }

    fn walk_by(&self, body: &str, by_text: bool) -> Result<Outline, serde_json::Error> {
        let mut outline =
            Outline { routes: vec![Traced::default(); self.routes], captures: vec![None; self.captures] };
        let mut document = serde_json::Deserializer::from_str(body);
        let place = Place {
            base: body.as_ptr() as usize,
            by_text,
            elements: self.shape == Shape::Elements,
            key: None,
            span: None,
            in_each: false,
        };
        Walk { node: &self.root, outline: &mut outline, place }.deserialize(&mut document)?;
        document.end()?;
        Ok(outline)
    }
}

/// The text of what stands at one path of a JSON document.
pub(crate) fn find<'t>(path: &JsonPath, document: &'t str) -> Result<Option<&'t str>, serde_json::Error> {
    let outline = Plan::new(std::slice::from_ref(path)).walk(document)?;
    Ok(outline.captures.first().copied().flatten().map(|span| span.of(document)))
}

const TWICE: &str = "the record path stands in the document twice";

struct Walk<'a> {
    node: &'a Node,
    outline: &'a mut Outline,
    place: Place,
}

/// How a walk has come here.
#[derive(Clone, Copy)]
struct Place {
    base: usize,
    by_text: bool,
    elements: bool,
    key: Option<Span>,
    /// Where the value stands, if that is known.
    span: Option<Span>,
    in_each: bool,
}

impl Place {
    fn span_of(self, text: &str) -> Span {
        let start = text.as_ptr() as usize - self.base;
        Span { start: start as u32, end: (start + text.len()) as u32 }
    }
}

impl<'a> Walk<'a> {
    fn at<'b>(&'b mut self, node: &'b Node) -> Walk<'b> {
        Walk { node, outline: &mut *self.outline, place: Place { span: None, ..self.place } }
    }

    /// Walks one of several items, and notes the routes that lead nowhere in it.
    fn item<E>(
        &mut self,
        node: &'a Node,
        key: Option<Span>,
        walk: impl FnOnce(Walk<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for route in &node.through {
            self.outline.routes[*route].arrived = false;
        }
        let mut below = self.at(node);
        below.place.key = key.or(below.place.key);
        below.place.in_each = true;
        walk(below)?;
        for route in &node.through {
            let traced = &mut self.outline.routes[*route];
            traced.lost += u64::from(!traced.arrived);
            traced.arrived = true;
        }
        Ok(())
    }

    /// Walks a value whose text is there already.
    fn value(mut self, raw: &RawValue) -> Result<(), serde_json::Error> {
        let (node, text) = (self.node, raw.get());
        let span = self.place.span_of(text);
        self.place.span = Some(span);
        for index in &node.captures {
            if self.outline.captures[*index].replace(span).is_some() {
                return Err(serde_json::Error::custom(
                    "a path that the paginator reads stands in the document twice",
                ));
            }
        }
        let first = text.as_bytes().first();
        if let (Some(child), false) = (node.text, matches!(first, Some(b'{' | b'['))) {
            self.at(&node.children[child].1).value(raw)?;
        }
        if let (Some(any), true) = (&node.any, self.place.elements && first != Some(&b'[')) {
            self.item(any, None, |walk| walk.value(raw))?;
        }
        match first {
            Some(b'"') => self.end(Found::Scalar("a string")),
            Some(b'-' | b'0'..=b'9') => self.end(Found::Scalar("a number")),
            Some(b't' | b'f') => self.end(Found::Scalar("a boolean")),
            Some(b'n') => self.end(Found::Null),
            Some(b'{') if node.children.is_empty() && !node.has_each() => self.end(Found::Object),
            Some(b'[') if node.children.is_empty() && !node.has_each() && node.ends.is_empty() => Ok(()),
            _ => serde_json::Deserializer::from_str(text).deserialize_any(self),
        }
    }

    /// Notes what stands here.
    fn end<E: serde::de::Error>(self, found: Found) -> Result<(), E> {
        let Self { node, outline, place } = self;
        // A list of elements is no parent: it has to be gone through with `*`. Neither is a text: it may be a message.
        if place.elements && !matches!(found, Found::Array(_) | Found::Scalar(_)) {
            node.parent_of.iter().for_each(|route| outline.routes[*route].arrived = true);
        }
        for (each, takes_arrays) in [(&node.any, true), (&node.values, false)] {
            let wrong = match &found {
                Found::Scalar(kind) if !(place.elements && takes_arrays) => Some(*kind),
                Found::Array(_) if !takes_arrays => Some("an array"),
                _ => None,
            };
            for route in each.iter().flat_map(|node| &node.through) {
                let traced = &mut outline.routes[*route];
                if !place.in_each && std::mem::replace(&mut traced.met, true) {
                    return Err(E::custom(TWICE));
                }
                traced.arrived = true;
                traced.wrong = traced.wrong.or(wrong);
            }
        }
        let Some((last, others)) = node.ends.split_last() else { return Ok(()) };
        let mut note = |route: usize, found| {
            let traced = &mut outline.routes[route];
            // Behind a `*` there may be many; what stands twice in one of them was found on the way.
            if !place.in_each && !traced.matches.is_empty() {
                return Err(E::custom(TWICE));
            }
            traced.arrived = true;
            traced.matches.push(Match { found, span: place.span, key: place.key });
            Ok(())
        };
        for route in others {
            note(*route, found.clone())?;
        }
        note(*last, found)
    }
}

impl Node {
    fn has_each(&self) -> bool {
        self.any.is_some() || self.values.is_some()
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        if !self.node.whole && !self.place.by_text {
            return document.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(document)?;
        self.value(raw).map_err(D::Error::custom)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let node = self.node;
        let twice = || A::Error::custom(TWICE);
        let mut keys = HashSet::new();
        while let Some((child, key)) = map.next_key_seed(Key(&node.children))? {
            let child = child.map(|index| &node.children[index].1);
            if !node.has_each() {
                let Some(child) = child else {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                };
                if self.place.in_each && !child.through.is_empty() && !keys.insert(decoded(key)) {
                    return Err(twice());
                }
                map.next_value_seed(self.at(child))?;
                continue;
            }
            if !keys.insert(decoded(key)) {
                return Err(twice());
            }
            let span = Some(self.place.span_of(key));
            let raw = map.next_value::<&RawValue>()?;
            if let Some(child) = child {
                self.at(child).value(raw).map_err(A::Error::custom)?;
            }
            // An element is one item, and has attributes and text besides its children.
            let any = node.any.as_deref().filter(|_| !self.place.elements);
            let is_value = !self.place.elements || !is_about_element(key);
            let values = node.values.as_deref().filter(|_| is_value);
            for each in any.into_iter().chain(values) {
                self.item(each, span, |walk| walk.value(raw)).map_err(A::Error::custom)?;
            }
        }
        self.end(Found::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let node = self.node;
        let mut spans = Vec::new();
        if node.children.is_empty() && node.any.is_none() {
            if node.ends.is_empty() {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
            } else {
                while let Some(raw) = seq.next_element::<&RawValue>()? {
                    spans.push(self.place.span_of(raw.get()));
                }
            }
            return self.end(Found::Array(spans));
        }
        for index in 0_usize.. {
            let Some(raw) = seq.next_element::<&RawValue>()? else { break };
            if !node.ends.is_empty() {
                spans.push(self.place.span_of(raw.get()));
            }
            if let Some((_, child)) = node.children.iter().find(|(name, _)| *name == index.to_string()) {
                self.at(child).value(raw).map_err(A::Error::custom)?;
            }
            if let Some(any) = &node.any {
                self.item(any, None, |walk| walk.value(raw)).map_err(A::Error::custom)?;
            }
        }
        self.end(Found::Array(spans))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.end(Found::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.end(Found::Scalar("a boolean"))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.end(Found::Scalar("a number"))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.end(Found::Scalar("a number"))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.end(Found::Scalar("a number"))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.end(Found::Scalar("a string"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::JsonPath;

    fn path(text: &str) -> JsonPath {
        JsonPath::parse(text).unwrap()
    }

    fn route(text: &str) -> Route {
        let steps = path(text).segments().iter().map(|key| Step::Key(key.clone())).collect();
        Route { steps, whole: false }
    }

    fn walk<'a>(records: &str, captures: &[&str], body: &'a str) -> (Vec<&'a str>, Vec<Option<&'a str>>) {
        let captures: Vec<_> = captures.iter().map(|text| path(text)).collect();
        let mut outline = Plan::over(&[route(records)], &captures, Shape::Json).walk(body).unwrap();
        let found = outline.routes.remove(0).matches.remove(0).found;
        let Found::Array(spans) = found else { panic!("{found:?}") };
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
        let plan = Plan::over(&[route("a.b")], &[], Shape::Json);
        let found =
            |body: &str| plan.walk(body).unwrap().routes.remove(0).matches.pop().map(|found| found.found);
        assert_eq!(found(r#"{"a":{}}"#), None);
        assert_eq!(found(r#"{"a":7}"#), None);
        assert_eq!(found(r#"{"a":{"b":null}}"#), Some(Found::Null));
        assert_eq!(found(r#"{"a":{"b":{}}}"#), Some(Found::Object));
        assert_eq!(found(r#"{"a":{"b":"x"}}"#), Some(Found::Scalar("a string")));
    }

    #[test]
    fn the_whole_document_is_validated() {
        let plan = Plan::over(&[route("a")], &[], Shape::Json);
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
            assert!(plan.walk(bad).is_err(), "{bad}");
        }
        let twice = plan.walk(r#"{"a":[],"a":[1]}"#).unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
    }

    #[test]
    fn a_document_nested_a_million_deep_costs_no_stack() {
        let deep = format!("{{\"a\":[{}{}]}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(walk("a", &[], &deep).0[0].len(), 2_000_000);
    }
}
