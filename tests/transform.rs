//! Records changed on their way, against what the same does to a parsed value.

use std::time::SystemTime;

use futures::TryStreamExt;
use headwater::prelude::*;
use headwater::records::Transform;
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

fn apply(transform: &Transform, record: &str) -> Option<String> {
    let record = Record::new(record.to_owned(), SystemTime::UNIX_EPOCH).unwrap();
    let record = transform.apply(record).unwrap();
    record.map(|record| {
        serde_json::from_str::<&serde_json::value::RawValue>(record.as_str()).expect("valid JSON");
        record.as_str().to_owned()
    })
}

fn applied(transform: Transform, record: &str) -> String {
    apply(&transform, record).unwrap()
}

#[test]
fn fields_are_kept_dropped_and_renamed_where_they_stand() {
    let record = r#"{"id":1.10,"a":{"b":"\u0041","c":[1, 2]},"list":[{"x":1,"y":2},7,[{"x":3}]],"z":1e400}"#;
    for (transform, expected) in [
        (Transform::new().keep(["z", "a.b", "no.such"]), r#"{"a":{"b":"\u0041"},"z":1e400}"#),
        (Transform::new().keep(["list.x"]), r#"{"list":[{"x":1},[{"x":3}]]}"#),
        (Transform::new().keep(["id", "a", "list", "z"]), record),
        (Transform::new().drop_fields(["a.c", "list", "id"]), r#"{"a":{"b":"\u0041"},"z":1e400}"#),
        (
            Transform::new().drop_fields(["list.x", "a.b"]),
            r#"{"id":1.10,"a":{"c":[1, 2]},"list":[{"y":2},7,[{}]],"z":1e400}"#,
        ),
        (Transform::new().drop_fields(["b", "a.b.c"]), record),
        (
            Transform::new().rename("a.b", "letter").rename("z", "id"),
            r#"{"id_original":1.10,"a":{"letter":"\u0041","c":[1, 2]},"list":[{"x":1,"y":2},7,[{"x":3}]],"id":1e400}"#,
        ),
        (
            Transform::new().rename("list.x", "y").drop_fields(["a"]),
            r#"{"id":1.10,"list":[{"y":1,"y_original":2},7,[{"y":3}]],"z":1e400}"#,
        ),
        (Transform::new().rename("id", "id"), record),
        (Transform::new().redact(["a", "z", "none"]).keep(["a", "z"]), r#"{"a":"***","z":"***"}"#),
    ] {
        assert_eq!(applied(transform.clone(), record), expected, "{transform:?}");
    }
    assert_eq!(
        applied(Transform::new().keep(["a\"b", "/a.b"]), r#"{"a\"b":1,"a.b":2,"c":3}"#),
        r#"{"a\"b":1,"a.b":2}"#
    );
    assert_eq!(
        applied(Transform::new().drop_fields(["name"]), r#"{"n\u0061me":1,"\ud800":2}"#),
        r#"{"\ud800":2}"#
    );
}

#[test]
fn nested_fields_become_fields_of_the_record_and_none_is_lost() {
    for (transform, record, expected) in [
        (
            Transform::new().flatten("_"),
            r#"{"id":1.0,"user":{"name":"a","at":{"x":[{"y":1}]},"none":{}},"e":{}}"#,
            r#"{"id":1.0,"user_name":"a","user_at_x":[{"y":1}],"user_none":{},"e":{}}"#,
        ),
        (Transform::new().flatten_to(".", 1), r#"{"a":{"b":{"c":1}}}"#, r#"{"a.b":{"c":1}}"#),
        (Transform::new().flatten_to(".", 0), r#"{"a":{"b":{"c":1}}}"#, r#"{"a":{"b":{"c":1}}}"#),
        // Who has a name already keeps it.
        (
            Transform::new().flatten("_"),
            r#"{"a":{"b":1,"b_c":2,"b":3},"a_b":4,"a_b_c":5}"#,
            r#"{"a_b_2":1,"a_b_c_2":2,"a_b_3":3,"a_b":4,"a_b_c":5}"#,
        ),
        (Transform::new().flatten("\""), r#"{"a\n":{"b":1}}"#, r#"{"a\n\"b":1}"#),
    ] {
        assert_eq!(applied(transform, record), expected);
    }
}

#[test]
fn what_is_masked_can_be_joined_and_not_read() {
    let mask = |key: &str| Transform::new().mask(["mail", "who.mail"], &Secret::new(key));
    // HMAC-SHA256 with the key "key", as RFC 4231 counts it.
    let text = "The quick brown fox jumps over the lazy dog";
    let known = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
    let record = json!({"mail": text, "id": 1, "who": [{"mail": text}, {"mail": null}]}).to_string();
    let masked: Value = serde_json::from_str(&applied(mask("key"), &record)).unwrap();
    assert_eq!(masked, json!({"mail": known, "id": 1, "who": [{"mail": known}, {"mail": null}]}));
    assert_ne!(applied(mask("another"), &record), applied(mask("key"), &record));
    // The same value, however it is written.
    assert_eq!(applied(mask("key"), r#"{"mail":"\u0061"}"#), applied(mask("key"), r#"{"mail":"a"}"#));
    let shown = format!("{:?}", mask("a secret"));
    assert!(!shown.contains("a secret") && shown.contains("who.mail"), "{shown}");
}

#[test]
fn what_nobody_is_to_see_is_not_seen_however_deep_it_is() {
    for depth in [1, 32, 33, 40] {
        let record =
            format!(r#"{{"a":{}{{"mail":"secret"}}{},"id":1}}"#, "[".repeat(depth), "]".repeat(depth));
        for transform in [
            Transform::new().mask(["a.mail"], &Secret::new("key")),
            Transform::new().redact(["a.mail"]),
            Transform::new().drop_fields(["a.mail"]),
            Transform::new().keep(["id", "a.name"]),
        ] {
            let seen = applied(transform.clone(), &record);
            assert!(
                !seen.contains("secret") && seen.ends_with(r#""id":1}"#),
                "{depth}: {transform:?}: {seen}"
            );
        }
    }
}

#[test]
fn a_record_of_many_fields_of_one_name_is_done_in_one_pass() {
    // Each of these would take hours if the work grew with the square of the fields.
    const MANY: usize = 300_000;
    let record = format!(r#"{{"old":1{}}}"#, r#","new":2"#.repeat(MANY));
    let renamed = applied(Transform::new().rename("old", "new"), &record);
    assert_eq!(renamed.matches(r#""new_original":2"#).count(), MANY);
    let record = format!(r#"{{"a":{{"b":1{}}}}}"#, r#","b":2"#.repeat(MANY));
    let flat = applied(Transform::new().flatten("_"), &record);
    assert!(
        flat.starts_with(r#"{"a_b":1,"a_b_2":2,"#) && flat.ends_with(&format!(r#""a_b_{}":2}}"#, MANY + 1))
    );
}

#[test]
fn a_long_name_that_is_repeated_for_each_field_is_an_error_before_the_memory_is_full() {
    let record = format!(r#"{{"{}":{{"a":1{}}}}}"#, "x".repeat(100_000), r#","b":2"#.repeat(100_000));
    let record = Record::new(record, SystemTime::UNIX_EPOCH).unwrap();
    let error = Transform::new().flatten("_").apply(record).unwrap_err();
    assert_eq!(error.kind(), headwater::ErrorKind::TooLarge, "{error}");
}

#[tokio::test]
async fn a_key_is_found_in_a_page_however_it_is_written() {
    for key in ["secret", r"s\u0065cret", r"\u0073\u0065\u0063\u0072\u0065\u0074"] {
        for text in ["plain", r"with \n a break"] {
            let body = format!(r#"{{"data":[{{"id":1,"t":"{text}"}},{{"id":2,"{key}":"x"}}],"n":"\n"}}"#);
            let page = headwater::Page::new(body, 1, headwater::Position::Start, None).unwrap();
            let batch = headwater::Batch::new(page, "data").unwrap();
            let batches = futures::stream::iter([Ok(batch)]);
            let drop = Transform::new().drop_fields(["secret"]);
            let changed: Vec<_> = batches.transform_batches(drop).try_collect().await.unwrap();
            let records: Vec<_> = changed[0].slices().map(|record| String::from_utf8_lossy(record)).collect();
            assert_eq!(records, [&*format!(r#"{{"id":1,"t":"{text}"}}"#), r#"{"id":2}"#], "{key}");
        }
    }
}

#[test]
fn what_is_no_object_goes_through_and_what_is_deep_does_no_harm() {
    let all = Transform::new().keep(["a"]).drop_fields(["b"]).rename("a", "c").flatten("_").redact(["c"]);
    for record in ["7", "null", "\"a\"", "[{\"a\":1,\"b\":2}]"] {
        assert_eq!(applied(all.clone(), record), record);
    }
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let nested = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    for text in [deep, nested] {
        let page = Page::new(format!("[{text}]"), 1, headwater::Position::Start, None).unwrap();
        let batch = Batch::new(page, "").unwrap();
        for transform in [
            Transform::new().keep(["a.b"]),
            Transform::new().drop_fields(["a.b"]),
            Transform::new().rename("a.b", "c"),
            Transform::new().flatten("_"),
            Transform::new().redact(["a.b"]),
        ] {
            assert!(transform.apply(batch.records().next().unwrap()).unwrap().is_some());
        }
    }
}

#[derive(Deserialize)]
struct Order {
    id: u64,
    price: f64,
}

#[derive(Serialize)]
struct Row {
    id: u64,
    cents: u64,
}

fn cents(order: Order) -> Option<Row> {
    (order.price > 0.0).then(|| Row { id: order.id, cents: (order.price * 100.0).round() as u64 })
}

fn source(
    records: &str,
    change: impl FnOnce(headwater::SourceBuilder) -> headwater::SourceBuilder,
) -> Result<Source> {
    let api = Scripted::new([Reply::json(format!(r#"{{"data":[{records}]}}"#))]);
    let source = Source::get("orders", "https://api.example.com/orders")
        .records("data")
        .paginate(Single)
        .transport(api);
    change(source).build()
}

async fn lines(source: Source) -> Vec<String> {
    let memory = Memory::new();
    Pipeline::new().source(source).sink(memory.clone()).run().await.unwrap();
    memory.lines("orders").iter().map(|line| line.split("\"__source").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_source_does_it_in_the_order_that_was_given() {
    let records = r#"{"id":1,"a":{"b":1.50}},{"id":2},7"#;
    let one =
        source(records, |source| source.flatten("_").rename("a_b", "price").drop_fields(["id"])).unwrap();
    assert_eq!(lines(one).await, [r#"{"price":1.50,"#, "{", r#"{"value":7,"#]);
    let other = source(records, |source| source.drop_fields(["a_b"]).flatten("_").keep(["a_b"])).unwrap();
    assert_eq!(lines(other).await[0], r#"{"a_b":1.50,"#);
}

#[tokio::test]
async fn records_are_mapped_by_types_and_left_out() {
    let records = r#"{"id":1,"price":2.50},{"id":2,"price":0},{"id":3,"price":1}"#;
    let mapped = source(records, |source| source.map("cents", cents)).unwrap();
    assert_eq!(lines(mapped).await, [r#"{"id":1,"cents":250,"#, r#"{"id":3,"cents":100,"#]);
}

#[tokio::test]
async fn a_record_that_is_not_of_the_type_ends_the_source_and_shows_no_more_than_is_left_of_it() {
    let records = r#"{"id":1,"price":2.50,"mail":"a@b"},{"id":"x","price":1,"mail":"secret@example.com"}"#;
    let broken = source(records, |source| source.redact(["mail"]).map("cents", cents)).unwrap();
    let memory = Memory::new();
    let error = Pipeline::new().source(broken).sink(memory.clone()).run().await.unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::Record);
    let text = error.to_string();
    for part in ["orders: page 1", "the map \"cents\" asks for a", "line 1, column", "map_or_skip", "***"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(!text.contains("secret@example.com"), "{text}");
    assert!(memory.lines("orders").is_empty(), "a page is all or nothing");
    let skipping =
        source(records, |source| source.transform(Transform::new().map_or_skip("cents", cents))).unwrap();
    assert_eq!(lines(skipping).await, [r#"{"id":1,"cents":250,"#]);
}

#[tokio::test]
async fn what_is_wrong_with_a_path_is_said_when_the_source_is_built() {
    for change in [
        (|source: headwater::SourceBuilder| source.keep(["a..b"])) as fn(_) -> _,
        |source| source.drop_fields([""]),
        |source| source.rename("/a~2", "b"),
    ] {
        assert_eq!(source("1", change).unwrap_err().kind(), ErrorKind::Config);
    }
}

#[tokio::test]
async fn a_run_does_not_go_on_with_other_steps() {
    let run = |drop: &'static str, pages: u64, memory: &Memory| {
        let api = Scripted::from_fn(move |_, number| match number {
            number if number <= pages => Reply::json(r#"{"data":[{"id":1}],"more":true}"#),
            _ => Reply::status(404),
        });
        let source = Source::get("orders", "https://api.example.com/orders")
            .records("data")
            .paginate(PageNumber::new().until_false("more"))
            .allow_identical_pages()
            .drop_fields([drop])
            .transport(api)
            .build()
            .unwrap();
        Pipeline::new().source(source).sink(memory.clone()).run()
    };
    let memory = Memory::new();
    assert_eq!(run("a", 2, &memory).await.unwrap_err().error.kind(), ErrorKind::Status);
    let error = run("b", 0, &memory).await.unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::DefinitionChanged);
    assert!(error.to_string().contains("transform changed"), "{error}");
    assert_eq!(run("a", 0, &memory).await.unwrap_err().error.kind(), ErrorKind::Status);
}

#[tokio::test]
async fn a_page_that_no_step_concerns_is_passed_on_as_it_is() {
    let page = Page::new(r#"[{"id":1},{"id":2}]"#, 1, headwater::Position::Start, None).unwrap();
    let batch = Batch::new(page, "").unwrap();
    let before: Vec<*const u8> = batch.slices().map(<[u8]>::as_ptr).collect();
    let transform = Transform::new().drop_fields(["x"]).rename("y", "z").flatten("_").redact(["w.v"]);
    let batches = futures::stream::iter([Ok(batch)]).transform_batches(transform);
    let batches: Vec<Batch> = batches.try_collect().await.unwrap();
    let after: Vec<*const u8> = batches[0].slices().map(<[u8]>::as_ptr).collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn one_record_that_changes_leaves_the_others_as_they_were() {
    let body = "[{\"id\": 1.0},{\"x\":1,\"id\":2},\n{\"id\" :3}, 7]";
    let page = Page::new(body, 1, headwater::Position::Start, None).unwrap();
    let batch = Batch::new(page, "").unwrap();
    let changed = futures::stream::iter([Ok(batch)]).transform_batches(Transform::new().drop_fields(["x"]));
    let changed: Vec<Batch> = changed.try_collect().await.unwrap();
    let records: Vec<&[u8]> = changed[0].slices().collect();
    assert_eq!(records, [&b"{\"id\": 1.0}"[..], b"{\"id\":2}", b"{\"id\" :3}", b"7"]);
    assert!(changed[0].is_last());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a-c\"\\\\é\n]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner).prop_map(Value::from),
        ]
    })
}

fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(key(), inner, 0..5).prop_map(|map| map.into_iter().collect())
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-d]", 1 => "[a-b]_[a-b]", 1 => Just("é\"\n".to_owned()), 1 => Just(String::new())]
}

fn paths() -> impl Strategy<Value = Vec<Vec<String>>> {
    prop::collection::vec(prop::collection::vec("[a-d]", 1..4), 1..4)
}

fn dotted(paths: &[Vec<String>]) -> Vec<String> {
    paths.iter().map(|path| path.join(".")).collect()
}

/// The paths that go on behind a key, and whether one ends there.
fn behind(paths: &[Vec<String>], key: &str) -> (bool, Vec<Vec<String>>) {
    let on: Vec<Vec<String>> = paths
        .iter()
        .filter(|path| path.first().is_some_and(|first| first == key))
        .map(|path| path[1..].to_vec())
        .collect();
    (on.iter().any(Vec::is_empty), on)
}

fn kept(value: Value, paths: &[Vec<String>]) -> Option<Value> {
    match value {
        Value::Object(fields) => Some(Value::Object(
            fields
                .into_iter()
                .filter_map(|(key, value)| {
                    let (is_end, on) = behind(paths, &key);
                    let value = if is_end {
                        Some(value)
                    } else if on.is_empty() {
                        None
                    } else {
                        kept(value, &on)
                    };
                    Some((key, value?))
                })
                .collect(),
        )),
        Value::Array(items) => Some(items.into_iter().filter_map(|item| kept(item, paths)).collect()),
        _ => None,
    }
}

fn edited(
    value: Value,
    paths: &[Vec<String>],
    edit: &dyn Fn(String, Value) -> Option<(String, Value)>,
) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter_map(|(key, value)| {
                    let (is_end, on) = behind(paths, &key);
                    match (is_end, on.is_empty()) {
                        (true, _) => edit(key, value),
                        (_, true) => Some((key, value)),
                        _ => Some((key, edited(value, &on, edit))),
                    }
                })
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(|item| edited(item, paths, edit)).collect(),
        other => other,
    }
}

fn leaves(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields.values().flat_map(leaves).collect(),
        other => vec![other],
    }
}

/// However it is spelled: with blanks, or in another way of writing keys.
fn spelled(record: &Value, pretty: bool) -> String {
    if pretty {
        serde_json::to_string_pretty(record).unwrap()
    } else {
        record.to_string().replace('é', "\\u00e9")
    }
}

proptest! {
    #[test]
    fn it_does_to_text_what_would_be_done_to_a_value(fields in object(value()), paths in paths(), pretty: bool) {
        let record = Value::Object(fields);
        let text = spelled(&record, pretty);
        let names = dotted(&paths);
        let parsed = |transform: Transform| -> Value { serde_json::from_str(&applied(transform, &text)).unwrap() };
        prop_assert_eq!(parsed(Transform::new().keep(&names)), kept(record.clone(), &paths).unwrap());
        prop_assert_eq!(parsed(Transform::new().drop_fields(&names)), edited(record.clone(), &paths, &|_, _| None));
        let redacted = |key, value: Value| Some((key, if value.is_null() { value } else { json!("***") }));
        prop_assert_eq!(parsed(Transform::new().redact(&names)), edited(record.clone(), &paths, &redacted));
        // A name that is there nowhere else.
        let renamed = |_, value| Some(("new".to_owned(), value));
        let renaming = Transform::new().rename(&names[0], "new");
        prop_assert_eq!(parsed(renaming), edited(record.clone(), &paths[..1], &renamed));
        // Nothing is lost by flattening, and nothing stays nested.
        let flat = parsed(Transform::new().flatten("_"));
        prop_assert!(flat.as_object().unwrap().values().all(|value| value.as_object().is_none_or(Map::is_empty)));
        let sorted = |value: &Value| {
            let mut leaves: Vec<String> = leaves(value).into_iter().map(Value::to_string).collect();
            leaves.sort();
            leaves
        };
        if !record.as_object().unwrap().is_empty() {
            prop_assert_eq!(sorted(&flat), sorted(&record));
        }
    }

    #[test]
    fn numbers_keep_their_digits(digits in "[1-9][0-9]{0,40}", fraction in "[0-9]{1,20}") {
        let record = format!(r#"{{"a":{{"n":{digits}.{fraction}}},"b":-{digits}e5,"c":1}}"#);
        let changed = applied(Transform::new().drop_fields(["c"]).flatten("_").rename("b", "d"), &record);
        prop_assert_eq!(changed, format!(r#"{{"a_n":{digits}.{fraction},"d":-{digits}e5}}"#));
    }
}
