//! What holds for every input: proptest makes the inputs, `serde_json::Value` is the oracle.
//!
//! A failure prints the smallest input that shows it, and is kept in `tests/properties.proptest-regressions` to be tried first
//! from then on. `PROPTEST_CASES` sets how many inputs are made, `PROPTEST_RNG_SEED` which.

use std::time::UNIX_EPOCH;

use futures::{FutureExt, StreamExt};
use headwater::checkpoint::{CheckpointStore, FileStore};
use headwater::prelude::*;
use headwater::testing::{Reply, Scripted};
use headwater::{Annotator, Hints, JsonPath, Position};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON value, with the keys and strings that matter here among them.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        Just("__source".to_owned()),
        Just("a\nb\"\\\u{2028}".to_owned()),
    ];
    let key = prop_oneof![
        "[a-z_]{1,6}",
        Just("__source".to_owned()),
        Just("__ingested_at".to_owned()),
        Just("__source_original".to_owned()),
        Just("value".to_owned()),
        Just("ключ.~/".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Quarters, for `serde_json` does not read every fraction back as it wrote it.
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn written(value: &Value, pretty: bool) -> String {
    if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) }.unwrap()
}

/// The records of a page at a path, as text.
fn records(body: String, path: &str) -> headwater::Result<Vec<String>> {
    let page = Page::new(body, 1, Position::Start, None)?;
    let batch = Batch::new(page, &JsonPath::parse(path)?)?;
    Ok(batch.records().map(|record| record.as_str().to_owned()).collect())
}

proptest! {
    #[test]
    fn the_records_are_those_that_serde_json_sees(
        items in prop::collection::vec(any_json(), 0..8),
        before in any_json(),
        after in any_json(),
        pretty in any::<bool>(),
    ) {
        let document = json!({"a": before, "data": {"items": items, "n": 1}, "z": after});
        let found = records(written(&document, pretty), "data.items").unwrap();
        let parsed: Vec<Value> = found.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        prop_assert_eq!(parsed, items);
    }

    #[test]
    fn a_path_leads_where_a_json_pointer_does(document in any_json(), keys in prop::collection::vec("[a-z_0-9]{1,2}", 0..3)) {
        let pointer: String = keys.iter().map(|key| format!("/{key}")).collect();
        let found = records(written(&document, false), &pointer);
        match document.pointer(&pointer) {
            Some(Value::Array(items)) => {
                let parsed: Vec<Value> = found.unwrap().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
                prop_assert_eq!(&parsed, items);
            }
            Some(Value::Null) => prop_assert!(found.unwrap().is_empty()),
            _ => prop_assert_eq!(found.unwrap_err().kind(), ErrorKind::RecordPath),
        }
    }

    #[test]
    fn no_bytes_make_a_page_of_what_is_not_json(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let valid = serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_ok() && std::str::from_utf8(&body).is_ok();
        prop_assert_eq!(Page::new(body, 1, Position::Start, None).is_ok(), valid);
    }

    #[test]
    fn a_line_is_the_record_and_two_fields(record in any_json(), pretty in any::<bool>()) {
        let text = Record::new(written(&record, pretty), UNIX_EPOCH).unwrap();
        let mut line = Vec::new();
        Annotator::new("src").append(&text, &mut line);
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        prop_assert_eq!(line.last(), Some(&b'\n'));
        let mut parsed: Value = serde_json::from_slice(&line).unwrap();
        let fields = parsed.as_object_mut().unwrap();
        prop_assert_eq!(fields.remove("__source"), Some(json!("src")));
        prop_assert_eq!(fields.remove("__ingested_at"), Some(json!("1970-01-01T00:00:00Z")));
        match record {
            Value::Object(mut own) => {
                // Ours are renamed to a name that is free; everything else is as it was.
                for ours in ["__source", "__ingested_at"] {
                    let Some(value) = own.remove(ours) else { continue };
                    let mut name = format!("{ours}_original");
                    while own.contains_key(&name) {
                        name.push_str("_original");
                    }
                    prop_assert_eq!(fields.remove(&name), Some(value));
                }
                prop_assert_eq!(&*fields, &own);
            }
            other => prop_assert_eq!(&parsed, &json!({"value": other})),
        }
    }

    #[test]
    fn no_header_makes_the_hints_panic(name in 0..7_usize, value in "[ -~]{0,40}") {
        const NAMES: [&str; 7] = [
            "retry-after", "retry-after-ms", "ratelimit", "x-ratelimit-reset", "x-ratelimit-remaining", "ratelimit-reset", "date",
        ];
        let mut headers = http::HeaderMap::new();
        headers.insert("x-ratelimit-remaining", "0".parse().unwrap());
        headers.insert(NAMES[name], value.parse().unwrap());
        let limiter = Limiter::per_second(1.0);
        limiter.observe(&Hints::read(&headers, UNIX_EPOCH));
    }

    #[test]
    fn a_wait_is_read_as_it_was_written(millis in 0..10_000_000_u64) {
        let mut headers = http::HeaderMap::new();
        headers.insert("retry-after", format!("{}.{:03}", millis / 1000, millis % 1000).parse().unwrap());
        let wait = Hints::read(&headers, UNIX_EPOCH).retry_after.unwrap();
        prop_assert_eq!(wait.as_millis(), u128::from(millis));
    }

    #[test]
    fn no_link_leads_to_another_origin(link in "(https?:)?[/\\\\@:.?#a-z0-9\\[\\]%-]{0,24}", as_header in any::<bool>()) {
        let api = Scripted::from_fn(move |_, nth| {
            let link = if nth == 1 { link.clone() } else { String::new() };
            match as_header {
                true if nth == 1 => Reply::json("[1]").header("link", &format!("<{link}>; rel=next")),
                true => Reply::json("[2]"),
                false => Reply::json(json!({"items": [nth], "next": link}).to_string()),
            }
        });
        let first = Request::get("https://api.example.com/v1/items").unwrap();
        let auth = headwater::auth::Bearer::new("hunter2-token").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let pages = if as_header {
                Pages::new(api.clone(), first, LinkHeader::new()).auth(auth)
            } else {
                Pages::new(api.clone(), first, NextUrl::body("next")).auth(auth)
            };
            for page in pages.take(4).collect::<Vec<_>>().await {
                if let Err(error) = page {
                    assert!(!format!("{error} {error:?}").contains("hunter2"));
                }
            }
        });
        for url in api.urls() {
            prop_assert!(url.starts_with("https://api.example.com/"), "{}", url);
        }
    }

    #[test]
    fn no_link_header_makes_the_parser_panic_or_hang(line in "[<>;,=\" a-z\\\\/]{0,40}") {
        let api = Scripted::new([Reply::json("[1]").header("link", &line)]);
        let first = Request::get("https://api.example.com/v1/items").unwrap();
        let _ = Pages::new(api, first, LinkHeader::new()).next().now_or_never();
    }

    #[test]
    fn no_bytes_make_a_checkpoint(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("items.1.checkpoint"), bytes).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let loaded = runtime.block_on(FileStore::new(dir.path()).load("items"));
        prop_assert_eq!(loaded.unwrap_err().kind(), ErrorKind::Checkpoint);
    }
}
