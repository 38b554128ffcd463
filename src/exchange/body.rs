//! What stands at the paths of a body, whatever the body is written in: one reader for rules, signals and new tokens.

use bytes::Bytes;
use serde_json::Value;

use crate::page::walk::{Plan, Shape, reaches};
use crate::page::{Format, JsonPath, without_bom};
use crate::transport::Response;

/// Paths to look at in bodies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paths {
    paths: Vec<Path>,
    /// For bodies in the format, and for JSON.
    plans: [Plan; 2],
    /// What bodies are written in, and how large they may be as JSON.
    format: Format,
    cap: usize,
}

/// One of them: up to where it forks, and the rest.
#[derive(Debug, Clone)]
struct Path {
    name: String,
    segments: Vec<String>,
    trunk: JsonPath,
    rest: Vec<String>,
}

impl Paths {
    /// One that cannot be read leads nowhere: it has been refused where it was declared.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut paths: Vec<Path> = Vec::new();
        for name in names {
            let Ok(path) = JsonPath::parse(name) else { continue };
            if paths.iter().all(|known| known.name != name) {
                let segments = path.segments();
                let plain = segments.iter().position(|segment| segment == "*").unwrap_or(segments.len());
                let (trunk, rest) = segments.split_at(plain);
                let (trunk, rest) = (JsonPath::of(trunk), rest.to_vec());
                paths.push(Path { name: name.to_owned(), segments: segments.to_vec(), trunk, rest });
            }
        }
        let mut paths = Self { paths, plans: Default::default(), format: Format::Json, cap: usize::MAX };
        paths.read_in(&Format::Json, usize::MAX);
        paths
    }

    /// Looks at bodies of this format.
    pub(super) fn read_in(&mut self, format: &Format, cap: usize) {
        let trunks: Vec<JsonPath> = self.paths.iter().map(|path| path.trunk.clone()).collect();
        self.plans = [format.shape(), Shape::Json].map(|shape| Plan::over(&[], &trunks, shape));
        (self.format, self.cap) = (format.clone(), cap);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(|path| path.name.as_str())
    }

    /// Finds what stands at all of them.
    pub(super) fn look(&self, response: &Response) -> Looked<'_> {
        let mut looked = Looked { paths: &self.paths, places: vec![None; self.paths.len()], broken: None };
        if self.paths.is_empty() {
            return looked;
        }
        let body = without_bom(response.body.clone());
        let is_json = self.format == Format::Json;
        let mut is_read = false;
        if !is_json && let Ok(json) = self.format.read(body.clone(), self.cap) {
            is_read = looked.note(&self.plans[0], &json, self.format.shape());
        }
        // An error may well come in another format than the pages: in JSON. A page that is in its format is not: the only
        // line of one would be taken for all of it.
        let is_failure = !response.status.is_success();
        if (is_failure || !is_read)
            && !looked.note(&self.plans[1], &body, Shape::Json)
            && (is_failure || is_json)
        {
            looked.broken = Some(body);
        }
        looked
    }
}

/// What has been found.
#[derive(Debug)]
pub(super) struct Looked<'a> {
    paths: &'a [Path],
    places: Vec<Option<(Bytes, Shape)>>,
    /// What is not one whole document: of a failure's body only the beginning is kept.
    broken: Option<Bytes>,
}

impl Looked<'_> {
    /// False if it is not one whole document.
    fn note(&mut self, plan: &Plan, json: &Bytes, shape: Shape) -> bool {
        let Ok(text) = std::str::from_utf8(json) else { return false };
        let Ok(outline) = plan.walk(text) else { return false };
        for (place, span) in self.places.iter_mut().zip(outline.captures) {
            let found = span.map(|span| (json.slice(span.start as usize..span.end as usize), shape));
            *place = place.take().or(found);
        }
        true
    }

    /// Whether the text of a value at a path, or of any where there are several, fits.
    pub(super) fn any(&self, name: &str, fits: &mut dyn FnMut(&str) -> bool) -> bool {
        let Some(index) = self.paths.iter().position(|path| path.name == name) else { return false };
        let path = &self.paths[index];
        let (rest, text, shape) = match (self.places.get(index).and_then(Option::as_ref), &self.broken) {
            (Some((text, shape)), _) => (&path.rest, text, *shape),
            // What stands before the fault is still worth having.
            (None, Some(body)) => (&path.segments, body, Shape::Json),
            (None, None) => return false,
        };
        // It may be cut in the middle of a character.
        let text = match std::str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
        };
        reaches(text, rest, shape == Shape::Elements, fits)
    }

    /// The first number, or text, of at most so many bytes. A number keeps its digits.
    pub(super) fn scalar(&self, name: &str, longest: usize) -> Option<String> {
        let mut found = None;
        self.any(name, &mut |raw| {
            if raw.len() > longest {
                return false;
            }
            found = match serde_json::from_str(raw) {
                Ok(Value::String(text)) => Some(text),
                Ok(Value::Number(_)) => Some(raw.to_owned()),
                _ => return false,
            };
            true
        });
        found
    }
}

/// Whether the text of a value is that of nothing: `null`, or empty.
pub(super) fn is_nothing(raw: &str) -> bool {
    match raw.as_bytes().first() {
        Some(b'n') => true,
        Some(b'"') => raw.len() == 2,
        Some(b'[' | b'{') => raw[1..raw.len() - 1].trim().is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, body: impl Into<Bytes>, format: &Format) -> Option<String> {
        of(429, path, body, format)
    }

    fn of(status: u16, path: &str, body: impl Into<Bytes>, format: &Format) -> Option<String> {
        let mut paths = Paths::new([path].into_iter());
        paths.read_in(format, 1 << 20);
        let (status, headers) = (http::StatusCode::from_u16(status).unwrap(), http::HeaderMap::new());
        let received_at = std::time::SystemTime::UNIX_EPOCH;
        paths.look(&Response { status, headers, body: body.into(), received_at }).scalar(path, 256)
    }

    #[test]
    fn a_scalar_is_found_wherever_it_stands() {
        for (path, body, value) in [
            (
                "retry_after",
                r#"{"message":"You are being rate limited.","retry_after":64.57,"global":false}"#,
                Some("64.57"),
            ),
            ("a.1.b", r#"{"a":[{"b":1},{"b":2},{"b":3}]}"#, Some("2")),
            ("a.*.b", r#"{"a":[7,{"c":1},{"b":[]},{"b":2},{"b":3}]}"#, Some("2")),
            ("a.*.b", r#"{"a":{"x":{"b":"2"}}}"#, Some("2")),
            ("", "30", Some("30")),
            ("a", r#"{"a":100000000000000000000000000000.10}"#, Some("100000000000000000000000000000.10")),
            ("a", "\u{feff}{\"a\":1}", Some("1")),
            // What stands before a fault counts.
            ("a", r#"{"a":1, oops"#, Some("1")),
            ("a.*.b", r#"{"c":[],"a":[{"b":2},{"b"#, Some("2")),
            ("a", r#"{"a":"cut o"#, None),
            ("a", "<html>", None),
            ("a", "", None),
            ("a.b", r#"{"a":"text"}"#, None),
            ("a", r#"{"a":true}"#, None),
            ("a", r#"{"a":null}"#, None),
            ("/a.b", r#"{"a.b":1}"#, Some("1")),
        ] {
            assert_eq!(at(path, body, &Format::Json).as_deref(), value, "{path} in {body}");
        }
    }

    #[test]
    fn a_message_in_json_is_read_whatever_the_pages_are_written_in() {
        let error = r#"{"errors":[{"wait":7}]}"#;
        for path in ["errors.0.wait", "errors.*.wait", "0.errors.*.wait"] {
            assert_eq!(at(path, error, &Format::JsonLines).as_deref(), Some("7"), "{path}");
        }
        #[cfg(feature = "csv")]
        assert_eq!(at("errors.*.wait", error, &Format::csv().into()).as_deref(), Some("7"));
        #[cfg(feature = "xml")]
        assert_eq!(at("errors.*.wait", error, &Format::xml()).as_deref(), Some("7"));
    }

    #[test]
    fn the_only_line_of_a_page_is_not_taken_for_a_message() {
        let page = "{\"error\":\"of the record\"}\n";
        assert_eq!(of(200, "error", page, &Format::JsonLines), None);
        assert_eq!(of(200, "0.error", page, &Format::JsonLines).as_deref(), Some("of the record"));
        assert_eq!(
            of(200, "error", format!("{page}{page}{{"), &Format::JsonLines),
            None,
            "nor that of a cut one"
        );
        assert_eq!(of(400, "error", page, &Format::JsonLines).as_deref(), Some("of the record"));
        #[cfg(feature = "csv")]
        assert_eq!(
            of(200, "error", page, &Format::csv().into()).as_deref(),
            Some("of the record"),
            "no table"
        );
    }

    #[test]
    #[cfg(feature = "xml")]
    fn an_element_that_stands_there_once_is_a_list_of_one() {
        let one = "<r><error><wait>7</wait></error></r>";
        let two = "<r><error/><error><wait unit='s'>7</wait></error></r>";
        for (path, body) in [
            ("r.error.*.wait", one),
            ("r.error.wait", one),
            ("r.*.wait", one),
            ("r.error.*.wait.#text", one),
            ("r.error.*.wait.#text", two),
        ] {
            assert_eq!(at(path, body, &Format::xml()).as_deref(), Some("7"), "{path} in {body}");
        }
    }

    #[test]
    fn a_document_nested_a_million_deep_costs_no_stack() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(at("b", deep.clone(), &Format::Json), None);
        assert_eq!(at("a.*.*.b", deep, &Format::Json), None);
    }
}
