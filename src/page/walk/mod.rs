//! The one walk over a page: validates the whole document, and on the way notes where the records are and
//! what stands at the paths that the paginator wants to see.
//!
//! Nothing is copied and nothing is turned into a number or a string: what comes out are [`Span`]s of the
//! body. Only the paths down to the records are walked by name; the rest is passed over without recursion, so that a
//! document nested a million deep costs no stack.

mod arrays;
mod key;
mod outline;
mod plan;
mod reach;
mod scan;

use std::collections::HashSet;

use memchr::{memchr_iter, memrchr};
use serde::de::{Error as _, IgnoredAny};

use super::JsonPath;
pub(crate) use arrays::array_paths;
use key::{decoded, is_about_element};
pub(crate) use outline::{Found, Match, Outline, Span, Traced};
use plan::Node;
pub(crate) use plan::{Plan, Route, Shape, Step};
pub(crate) use reach::reaches;
use scan::{Fault, Scanner};

impl Plan {
    /// Walks a whole document.
    pub(crate) fn walk(&self, body: &str) -> Result<Outline, serde_json::Error> {
        let mut outline =
            Outline { routes: vec![Traced::default(); self.routes], captures: vec![None; self.captures] };
        let place = Place { elements: self.shape == Shape::Elements, key: None, in_each: false };
        let mut text = Scanner::new(body);
        let walk = Walk { node: &self.root, outline: &mut outline, place };
        walk.value(&mut text).and_then(|()| text.end()).map_err(|fault| explain(fault, body, text.at()))?;
        Ok(outline)
    }
}

/// Says what is wrong with a document, and where. What no grammar allows, `serde_json` explains.
#[cold]
fn explain(fault: Fault, body: &str, at: usize) -> serde_json::Error {
    let what = match fault {
        Fault::Twice(what) => what,
        Fault::NotJson => match serde_json::from_str::<IgnoredAny>(body) {
            Err(error) => return error,
            Ok(_) => "not one valid JSON document",
        },
    };
    let before = &body.as_bytes()[..at.min(body.len())];
    let line = memchr_iter(b'\n', before).count() + 1;
    let column = before.len() - memrchr(b'\n', before).map_or(0, |end| end + 1);
    serde_json::Error::custom(format!("{what} at line {line} column {column}"))
}

/// The text of what stands at one path of a JSON document.
pub(crate) fn find<'t>(path: &JsonPath, document: &'t str) -> Result<Option<&'t str>, serde_json::Error> {
    let outline = Plan::new(std::slice::from_ref(path)).walk(document)?;
    Ok(outline.captures.first().copied().flatten().map(|span| span.of(document)))
}

const TWICE: Fault = Fault::Twice("the record path stands in the document twice");
const READ_TWICE: Fault = Fault::Twice("a path that the paginator reads stands in the document twice");

struct Walk<'a> {
    node: &'a Node,
    outline: &'a mut Outline,
    place: Place,
}

/// How a walk has come here.
#[derive(Clone, Copy)]
struct Place {
    elements: bool,
    key: Option<Span>,
    in_each: bool,
}

impl<'a> Walk<'a> {
    fn at<'b>(&'b mut self, node: &'b Node) -> Walk<'b> {
        Walk { node, outline: &mut *self.outline, place: self.place }
    }

    /// Walks one of several items, and notes the routes that lead nowhere in it.
    fn item(&mut self, node: &'a Node, key: Option<Span>, text: &mut Scanner<'_>) -> Result<(), Fault> {
        for route in &node.through {
            self.outline.routes[*route].arrived = false;
        }
        let mut below = self.at(node);
        below.place.key = key.or(below.place.key);
        below.place.in_each = true;
        below.value(text)?;
        for route in &node.through {
            let traced = &mut self.outline.routes[*route];
            traced.lost += u64::from(!traced.arrived);
            traced.arrived = true;
        }
        Ok(())
    }

    /// Walks the value that comes next, to its end.
    fn value(mut self, text: &mut Scanner<'_>) -> Result<(), Fault> {
        let node = self.node;
        let first = text.peek()?;
        let start = text.at();
        let found = match first {
            b'{' if node.has_each() || !node.children.is_empty() => self.members(text)?,
            b'[' if node.any.is_some() || !node.children.is_empty() || !node.ends.is_empty() => {
                self.items(text)?
            }
            first => {
                text.skip()?;
                match first {
                    b'{' => Found::Object,
                    b'[' => Found::Array(Vec::new()),
                    b'"' => Found::Scalar("a string"),
                    b't' | b'f' => Found::Scalar("a boolean"),
                    b'n' => Found::Null,
                    _ => Found::Scalar("a number"),
                }
            }
        };
        let end = text.at();
        let span = Span::new(start, end);
        for index in &node.captures {
            if self.outline.captures[*index].replace(span).is_some() {
                return Err(READ_TWICE);
            }
        }
        // An element is one item, and if it has nothing else, it is its own text.
        if let (Some(child), false) = (node.text, matches!(first, b'{' | b'[')) {
            text.go_to(start);
            self.at(&node.children[child].1).value(text)?;
        }
        if let (Some(any), true) = (&node.any, self.place.elements && first != b'[') {
            text.go_to(start);
            self.item(any, None, text)?;
        }
        self.end(found, node.whole.then_some(span), text.is_plain())
    }

    fn members(&mut self, text: &mut Scanner<'_>) -> Result<Found, Fault> {
        let node = self.node;
        let mut keys = HashSet::new();
        // An element is one item, and has attributes and text besides its children.
        let any = node.any.as_deref().filter(|_| !self.place.elements);
        let mut more = text.enter(b'}')?;
        while more {
            let key = text.key()?;
            let child = node.named(key);
            let is_new = match child {
                _ if node.has_each() => keys.insert(decoded(key)),
                Some(child) if self.place.in_each && !child.through.is_empty() => keys.insert(decoded(key)),
                _ => true,
            };
            if !is_new {
                return Err(TWICE);
            }
            let start = text.at();
            let is_value = !self.place.elements || !is_about_element(key);
            let values = node.values.as_deref().filter(|_| is_value);
            if let Some(child) = child {
                self.at(child).value(text)?;
            }
            for each in any.into_iter().chain(values) {
                text.go_to(start);
                self.item(each, Some(text.span_of(key)), text)?;
            }
            if text.at() == start {
                text.skip()?;
            }
            more = text.more(b'}')?;
        }
        Ok(Found::Object)
    }

    fn items(&mut self, text: &mut Scanner<'_>) -> Result<Found, Fault> {
        let node = self.node;
        let mut spans = Vec::new();
        let mut more = text.enter(b']')?;
        for index in 0_usize.. {
            if !more {
                break;
            }
            text.peek()?;
            let start = text.at();
            let child = node.numbered(index);
            match (child, &node.any) {
                (None, None) => text.skip_item()?,
                (child, any) => {
                    text.saw_no_item();
                    if let Some(child) = child {
                        self.at(child).value(text)?;
                    }
                    if let Some(any) = any {
                        text.go_to(start);
                        self.item(any, None, text)?;
                    }
                }
            }
            if !node.ends.is_empty() {
                spans.push(Span::new(start, text.at()));
            }
            more = text.more(b']')?;
        }
        Ok(Found::Array(spans))
    }

    /// Notes what stands here.
    fn end(self, found: Found, span: Option<Span>, plain: bool) -> Result<(), Fault> {
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
                    return Err(TWICE);
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
                return Err(TWICE);
            }
            traced.arrived = true;
            traced.matches.push(Match { found, span, key: place.key, plain });
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

    /// The child of a key, as the key stands in the document.
    fn named(&self, key: &str) -> Option<&Self> {
        if self.children.is_empty() {
            return None;
        }
        let name = decoded(key);
        self.children.iter().find(|(other, _)| *other == name).map(|(_, node)| node)
    }

    /// The child of an index.
    fn numbered(&self, index: usize) -> Option<&Self> {
        let is_it = |name: &str| {
            name.parse() == Ok(index) && (name == "0" || name.starts_with(|c: char| matches!(c, '1'..='9')))
        };
        self.children.iter().find(|(name, _)| is_it(name)).map(|(_, node)| node)
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
    fn items_are_plain_if_all_were_seen_to_be() {
        let is_plain = |captures: &[JsonPath], body: &str| {
            Plan::over(&[route("a")], captures, Shape::Json).walk(body).unwrap().routes[0].matches[0].plain
        };
        assert!(is_plain(&[], r#"{"x":{"__y":1}, "a":[{"b":"__c"},{"b":"\n"}],"z":"\n"}"#));
        for odd in [r#"{"__b":1}"#, r#"{"\u005fb":1}"#, "{\"b\":1,\n\"c\":2}", r#"[{"b":{"__c":1}}]"#] {
            assert!(!is_plain(&[], &format!(r#"{{"a":[{{"b":1}},{odd}]}}"#)), "{odd}");
        }
        // What is walked into is not looked at.
        assert!(!is_plain(&[path("a.0.b")], r#"{"a":[{"b":1}]}"#));
        // Nor what follows where a list was given up.
        let unlike: String = (0..2_000).map(|number| format!(r#"{{"{number}":1}},"#)).collect();
        assert!(!is_plain(&[], &format!(r#"{{"a":[{unlike}{{"__b":1}}]}}"#)));
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
