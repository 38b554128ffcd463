//! The values of a page that are not its records, by their paths.

use serde_json::Value;

use crate::page::JsonPath;

/// So deep is looked, and at so many values.
const DEEPEST: usize = 4;
const MOST: usize = 2_000;

/// Objects that are one token, whatever is in them.
const WHOLE: [&str; 2] = ["lastevaluatedkey", "continue"];
/// Lists of what went wrong, and no records.
const FAILURES: [&str; 4] = ["errors", "failures", "warnings", "error"];

/// A value that is neither an object nor an array, or an object that is one token.
pub(super) struct Leaf<'a> {
    pub(super) path: String,
    /// Its key, in lower case.
    pub(super) name: String,
    /// The key above it, in lower case.
    pub(super) parent: Option<String>,
    pub(super) value: &'a Value,
}

impl Leaf<'_> {
    /// A whole number, also as a text: in XML there is nothing else.
    pub(super) fn number(&self) -> Option<u64> {
        self.value.as_u64().or_else(|| self.value.as_str()?.trim().parse().ok())
    }

    /// A flag, also as a text.
    pub(super) fn flag(&self) -> Option<bool> {
        self.value.as_bool().or_else(|| match self.value.as_str()? {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        })
    }
}

/// A path as it is written.
pub(super) fn path_of(segments: &[&str]) -> String {
    let segments: Vec<String> = segments.iter().map(|segment| (*segment).to_owned()).collect();
    JsonPath::of(&segments).to_string()
}

/// The leaves outside of arrays, those near the top first.
pub(super) fn leaves<'a>(body: &'a Value, records: Option<&str>) -> Vec<Leaf<'a>> {
    let mut found = Vec::new();
    let mut level: Vec<(Vec<&'a str>, &'a Value)> = vec![(Vec::new(), body)];
    for _ in 0..DEEPEST {
        let mut next = Vec::new();
        for (path, value) in level {
            let Value::Object(fields) = value else { continue };
            for (name, value) in fields {
                if found.len() >= MOST {
                    return found;
                }
                let mut below = path.clone();
                below.push(name);
                let text = path_of(&below);
                match value {
                    Value::Object(_) if records == Some(text.as_str()) => {}
                    Value::Object(_) if !WHOLE.contains(&name.to_ascii_lowercase().as_str()) => {
                        next.push((below, value));
                    }
                    Value::Array(_) => {}
                    value => found.push(Leaf {
                        path: text,
                        name: name.to_ascii_lowercase(),
                        parent: path.last().map(|parent| parent.to_ascii_lowercase()),
                        value,
                    }),
                }
            }
        }
        level = next;
    }
    found
}

/// What may be the records of a page.
pub(super) struct Found<'a> {
    /// Its path, with `*` for each key of a map of arrays.
    pub(super) path: String,
    pub(super) items: Vec<&'a Value>,
}

impl Found<'_> {
    /// Whether it is a list of what went wrong.
    pub(super) fn is_failures(&self) -> bool {
        is_failures(&[self.path.rsplit(['.', '/']).next().unwrap_or_default()])
    }
}

struct Array<'a> {
    path: Vec<&'a str>,
    items: &'a [Value],
}

/// The arrays of the page that may be its records, the likeliest first. In XML a single element is a list of one.
pub(super) fn arrays(body: &Value, is_xml: bool) -> Vec<Found<'_>> {
    const NAMES: [&str; 10] =
        ["data", "items", "results", "records", "value", "values", "entries", "list", "hits", "rows"];
    let mut found: Vec<Array<'_>> = Vec::new();
    let (mut maps, mut elements) = (Vec::new(), Vec::new());
    let mut level: Vec<(Vec<&str>, &Value)> = vec![(Vec::new(), body)];
    for depth in 0..=DEEPEST {
        let mut next = Vec::new();
        for (path, value) in level {
            match value {
                Value::Array(items) => found.push(Array { path, items }),
                Value::Object(fields) if found.len() < MOST => {
                    if let Some(items) = map_of_arrays(fields).filter(|_| depth > 0) {
                        let path = path_of(&path);
                        let separator = if path.starts_with('/') { '/' } else { '.' };
                        maps.push(Found { path: format!("{path}{separator}*"), items });
                        continue;
                    }
                    if depth > 1 && fields.values().any(|value| !value.is_object()) {
                        elements.push(Array { path: path.clone(), items: std::slice::from_ref(value) });
                    }
                    for (name, value) in fields {
                        let mut below = path.clone();
                        below.push(name);
                        next.push((below, value));
                    }
                }
                _ => {}
            }
        }
        level = next;
    }
    found.retain(|Array { path, items }| !(is_links(items) || items.is_empty() && is_failures(path)));
    let has_name =
        |path: &[&str]| path.last().is_some_and(|name| NAMES.contains(&name.to_ascii_lowercase().as_str()));
    // Rows may be lists of values (datasette, Google Sheets).
    let records = |path: &[&str], items: &[Value]| {
        let named = has_name(path);
        items.iter().filter(|item| item.is_object() || named && item.is_array()).count()
    };
    // More records, then a telling name, then more items, then nearer to the top.
    found.sort_by_key(|Array { path, items }| {
        std::cmp::Reverse((records(path, items), has_name(path), items.len(), std::cmp::Reverse(path.len())))
    });
    if is_xml && found.is_empty() {
        // One that is called like a part of its parent, then the one with the most in it.
        elements.sort_by_key(|Array { path, items }| {
            let fields = items.first().and_then(|item| item.as_object()).map_or(0, serde_json::Map::len);
            (!is_part(path), path.len(), std::cmp::Reverse(fields))
        });
        found = elements;
    }
    // A map is what is paged, unless an array beside it has as much, or is called like records are.
    let most = maps.iter().map(|map| map.items.len()).max().unwrap_or(0);
    let leads = found.first().is_some_and(|Array { path, items }| {
        let rows = records(path, items);
        rows >= most || rows > 0 && has_name(path)
    });
    let mut all: Vec<Found<'_>> = found
        .into_iter()
        .map(|array| Found { path: path_of(&array.path), items: array.items.iter().collect() })
        .collect();
    let place = usize::from(leads);
    all.splice(place..place, maps);
    // Stable: what went wrong is what was asked for only if there is nothing else.
    all.sort_by_key(Found::is_failures);
    all
}

/// `<Buckets><Bucket>`, `<Topics><member>`.
fn is_part(path: &[&str]) -> bool {
    let [.., parent, name] = path else { return false };
    let (parent, name) = (parent.to_ascii_lowercase(), name.to_ascii_lowercase());
    parent.len() > name.len() && parent.starts_with(&name)
        || ["member", "item", "entry", "record", "row"].contains(&name.as_str())
}

fn is_links(items: &[Value]) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get("rel").is_some() && item.get("href").is_some())
}

fn is_failures(path: &[&str]) -> bool {
    path.last().is_some_and(|name| FAILURES.contains(&name.to_ascii_lowercase().as_str()))
}

/// The records of all the arrays of an object, if they are of one kind.
fn map_of_arrays(fields: &serde_json::Map<String, Value>) -> Option<Vec<&Value>> {
    let arrays: Vec<&Vec<Value>> = fields.values().map(Value::as_array).collect::<Option<_>>()?;
    let mut firsts = arrays.iter().filter_map(|items| items.first());
    let first = firsts.next()?.as_object()?;
    let is_alike = |other: &Value| {
        let Some(other) = other.as_object() else { return false };
        let shared = other.keys().filter(|key| first.contains_key(*key)).count();
        shared * 2 > other.len().max(first.len())
    };
    let is_map = arrays.len() > 1 && firsts.all(is_alike) && !arrays.iter().any(|items| is_links(items));
    is_map.then(|| arrays.into_iter().flatten().collect())
}
