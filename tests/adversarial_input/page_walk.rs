//! Page walking and record slicing: any bytes, any record path, any paths that a paginator reads.

use std::sync::{Arc, Mutex};

use headwater::error::ErrorKind;
use headwater::paginate::from_fn;
use headwater::testing::{Reply, Scripted};
use headwater::{Batch, JsonPath, Page, Pages, Position, Request};
use serde::de::IgnoredAny;
use serde_json::Value;

use super::grammar::{Document, Kind, Node};
use super::{collected, lines};

/// The record path, the paths that the paginator reads (between blanks), and the body.
pub(crate) fn fuzz(data: &[u8]) {
    let ([records, captures], body) = lines(data);
    check(body, &records, &captures.split_whitespace().collect::<Vec<_>>());
}

/// What a page holds at the record path, or what kind of error it is.
type Found<'a> = Result<Vec<&'a [u8]>, ErrorKind>;

pub(crate) fn check(body: &[u8], records: &str, captures: &[&str]) {
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let document = Document::read(text);
    oracles_agree(text, document.is_some());
    let page = Page::new(body.to_vec(), 1, Position::Start, None);
    assert_eq!(page.is_ok(), document.is_some(), "a page is made of every JSON text, and of nothing else");

    let Ok(path) = JsonPath::parse(records) else { return };
    if let (Ok(page), Some(document)) = (page, &document) {
        assert_eq!(page.body(), text, "the body stays as it is");
        let batch = Batch::new(page, &path);
        let found: Found<'_> =
            batch.as_ref().map(|batch| batch.slices().collect()).map_err(|error| error.kind());
        if is_star(&path) {
            pieces(&found);
        } else {
            assert_eq!(found, at(document, &path), "the records at {path}");
        }
        if let (Ok(batch), false) = (&batch, is_star(&path)) {
            as_values(text, &path, batch);
        }
    }
    as_stream(body, document.as_ref(), records, captures);
}

/// `serde_json` may refuse more (numbers that it has no type for, half surrogates, depth), and never less.
fn oracles_agree(text: &[u8], valid: bool) {
    if serde_json::from_slice::<Value>(text).is_ok() {
        assert!(valid, "serde_json reads what the grammar does not");
    }
    let read = std::str::from_utf8(text).is_ok() && serde_json::from_slice::<IgnoredAny>(text).is_ok();
    assert_eq!(read, valid, "serde_json and the grammar disagree");
}

/// What has to be found at a path.
fn at<'a>(document: &Document<'a>, path: &JsonPath) -> Found<'a> {
    match document.at(path.segments()).as_slice() {
        [Node { kind: Kind::Array(items), .. }] => {
            Ok(items.iter().map(|item| document.bytes(document.node(*item))).collect())
        }
        [Node { kind: Kind::Null, .. }] => Ok(Vec::new()),
        [] | [_] => Err(ErrorKind::RecordPath),
        // Which of them is meant, nobody can say.
        _ => Err(ErrorKind::NotJson),
    }
}

/// Whether a path leads through every item of something: what that gives, `tests/formats.rs` says case by case.
fn is_star(path: &JsonPath) -> bool {
    path.segments().iter().any(|segment| segment == "*")
}

/// Whatever is found is JSON by itself, and what is not found is an error of the right kind.
fn pieces(found: &Found<'_>) {
    match found {
        Ok(records) => records.iter().for_each(|record| assert!(Document::read(record).is_some())),
        Err(kind) => assert!([ErrorKind::RecordPath, ErrorKind::NotJson].contains(kind), "{kind:?}"),
    }
}

/// The same records as `serde_json::Value` has, where it can read the document.
fn as_values(text: &[u8], path: &JsonPath, batch: &Batch) {
    let Ok(value) = serde_json::from_slice::<Value>(text) else { return };
    let pointer: String =
        path.segments().iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect();
    let items = match value.pointer(&pointer) {
        Some(Value::Array(items)) => items.as_slice(),
        Some(Value::Null) => &[],
        other => panic!("serde_json finds {other:?}"),
    };
    let read: Vec<Value> = batch
        .records()
        .map(|record| serde_json::from_slice(record.as_bytes()).expect("a record is JSON"))
        .collect();
    assert_eq!(read, items);
}

/// The one walk of the page stream finds the records, and what the paginator reads, in one pass.
fn as_stream(body: &[u8], document: Option<&Document<'_>>, records: &str, captures: &[&str]) {
    let paths: Result<Vec<JsonPath>, _> = captures.iter().map(|path| JsonPath::parse(path)).collect();
    let Ok(paths) = paths else { return };
    let seen: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let (count, sees) = (captures.len(), seen.clone());
    let reader = from_fn(
        "reader",
        |template, _| Ok(template),
        move |answer| {
            let values = (0..count).map(|index| answer.value(index).map(|value| value.text().to_owned()));
            *sees.lock().expect("nothing panics while it is held") = values.collect();
            Ok(None)
        },
    )
    .reading(captures.iter().copied());
    let api = Scripted::new([Reply::json(body.to_vec())]);
    let first = Request::get("https://api.example.com/items").expect("a URL");
    let page = collected(Pages::new(api, first, reader).select(records)).remove(0);

    let path = JsonPath::parse(records).expect("it was read before");
    let whole = Page::new(body.to_vec(), 1, Position::Start, None).and_then(|page| Batch::new(page, &path));
    let expected = match document {
        None if body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii().is_empty() => {
            Err(vec![ErrorKind::Empty])
        }
        None => Err(vec![ErrorKind::NotJson, ErrorKind::Encoding]),
        Some(document) if paths.iter().any(|path| document.at(path.segments()).len() > 1) => {
            Err(vec![ErrorKind::NotJson])
        }
        // Of a stream and of a page by itself the same comes out.
        Some(_) if is_star(&path) => {
            whole.as_ref().map(|batch| batch.slices().collect()).map_err(|error| vec![error.kind()])
        }
        Some(document) => at(document, &path).map_err(|kind| vec![kind]),
    };
    match (page, expected) {
        (Ok(page), Ok(expected)) => {
            let batch = Batch::new(page, &path).expect("the records have been found");
            assert_eq!(batch.slices().collect::<Vec<_>>(), expected);
            let document = document.expect("it was read");
            let wanted: Vec<Option<String>> = paths
                .iter()
                .map(|path| {
                    let node = document.at(path.segments()).pop()?;
                    Some(String::from_utf8_lossy(document.bytes(node)).into_owned())
                })
                .collect();
            assert_eq!(
                *seen.lock().expect("nothing panics while it is held"),
                wanted,
                "what the paginator reads"
            );
        }
        (Err(error), Err(kinds)) => {
            assert!(kinds.contains(&error.kind()), "{error}, and not one of {kinds:?}")
        }
        (page, expected) => panic!("the stream gives {page:?}, expected was {expected:?}"),
    }
}
