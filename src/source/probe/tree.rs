//! The values of a page that are not its records, by their paths.

use serde_json::Value;

use crate::page::JsonPath;

/// So deep is looked, and at so many values.
const DEEPEST: usize = 4;
const MOST: usize = 2_000;

/// A value that is neither an object nor an array.
pub(super) struct Leaf<'a> {
    pub(super) path: String,
    /// Its key, in lower case.
    pub(super) name: String,
    /// The key above it, in lower case.
    pub(super) parent: Option<String>,
    pub(super) value: &'a Value,
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
                    Value::Object(_) if records != Some(text.as_str()) => next.push((below, value)),
                    Value::Object(_) | Value::Array(_) => {}
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

/// The arrays of the page that may be its records: path and items, the likeliest first.
pub(super) fn arrays(body: &Value) -> Vec<(String, &Vec<Value>)> {
    const NAMES: [&str; 10] =
        ["data", "items", "results", "records", "value", "values", "entries", "list", "hits", "rows"];
    let mut found: Vec<(Vec<&str>, &Vec<Value>)> = Vec::new();
    let mut level: Vec<(Vec<&str>, &Value)> = vec![(Vec::new(), body)];
    for _ in 0..=DEEPEST {
        let mut next = Vec::new();
        for (path, value) in level {
            match value {
                Value::Array(items) => found.push((path, items)),
                Value::Object(fields) if found.len() < MOST => {
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
    let is_links = |items: &Vec<Value>| {
        !items.is_empty() && items.iter().all(|item| item.get("rel").is_some() && item.get("href").is_some())
    };
    found.retain(|(_, items)| !is_links(items));
    let has_name =
        |path: &[&str]| path.last().is_some_and(|name| NAMES.contains(&name.to_ascii_lowercase().as_str()));
    // Rows may be lists of values (datasette, Google Sheets).
    let records = |path: &[&str], items: &Vec<Value>| {
        let named = has_name(path);
        items.iter().filter(|item| item.is_object() || named && item.is_array()).count()
    };
    // More records, then a telling name, then more items, then nearer to the top.
    found.sort_by_key(|(path, items)| {
        std::cmp::Reverse((records(path, items), has_name(path), items.len(), std::cmp::Reverse(path.len())))
    });
    found.into_iter().map(|(path, items)| (path_of(&path), items)).collect()
}
