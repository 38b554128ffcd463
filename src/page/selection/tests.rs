//! What each shape of a selection takes from a page, and what it refuses.

use super::*;
use crate::page::walk::Plan;

fn take(select: &Select, shape: Shape, body: &str) -> Result<Selected> {
    let selection = Arc::new(Selection::new(select)?);
    let outline = Plan::over(selection.routes(), &[], shape)
        .walk(body)
        .map_err(|error| Error::new(ErrorKind::NotJson, error.to_string()))?;
    selection.take(outline.routes, body, shape, 1 << 20)
}

fn texts(selected: &Selected, body: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let records: Vec<_> =
        selected.slices(&body).map(|record| std::str::from_utf8(record).unwrap().to_owned()).collect();
    records.join(" ")
}

/// The records, between blanks; or the kind of error and its text.
fn shown(select: &Select, shape: Shape, body: &str) -> String {
    match take(select, shape, body) {
        Ok(selected) => texts(&selected, body),
        Err(error) => format!("{:?}: {}", error.kind(), error.message()),
    }
}

#[track_caller]
fn json(select: impl Into<Select>, body: &str, expected: &str) {
    assert_eq!(shown(&select.into(), Shape::Json, body), expected, "{body}");
}

#[track_caller]
fn elements(select: impl Into<Select>, body: &str, expected: &str) {
    assert_eq!(shown(&select.into(), Shape::Elements, body), expected, "{body}");
}

#[test]
fn several_arrays_come_in_the_order_of_the_paths() {
    let both = Select::path("b").and("x.a");
    json(both.clone(), r#"{"x":{"a":[1,2]},"b":[3]}"#, "3 1 2");
    json(both.clone(), r#"{"x":{"a":[1,2]}}"#, "RecordPath: the record path \"b\" is not in the answer");
    json(both.clone().optional(), r#"{"x":{"a":[1,2]}}"#, "1 2");
    json(both.clone(), r#"{"x":{"a":null},"b":[3]}"#, "3");
    json(
        both.clone(),
        r#"{"x":{"a":7},"b":[]}"#,
        "RecordPath: the record path \"x.a\" holds a number, not an array",
    );
    json(both.key_as("list"), r#"{"x":{"a":[{}]},"b":[3]}"#, r#"{"value":3,"list":"b"} {"list":"a"}"#);
    // One inside the other.
    json(Select::path("a").and("a.0.b"), r#"{"a":[{"b":[1]}]}"#, r#"{"b":[1]} 1"#);
}

#[test]
fn records_of_another_kind_are_left_out_and_counted() {
    let matches = Select::path("entry.*.resource").only("type", "Observation");
    let bundle = r#"{"entry":[{"resource":{"type":"Observation","id":1}},{"resource":{"type":"Patient","id":2}},
        {"resource":{"id":3}}]}"#;
    json(matches.clone(), bundle, r#"{"type":"Observation","id":1}"#);
    assert_eq!(take(&matches, Shape::Json, bundle).unwrap().skipped, 2);
    json(
        Select::path("").only("kind", 7),
        r#"[{"kind":7},{"kind":"7"},{"kind":70},8]"#,
        r#"{"kind":7} {"kind":"7"}"#,
    );
    elements(Select::path("r.i").only("@a", "x"), r#"{"r":{"i":{"@a":"x"}}}"#, r#"{"@a":"x"}"#);
    assert!(Selection::new(&Select::path("a").only("b..c", 1)).is_err());
    assert_ne!(matches.definition(), Select::path("entry.*.resource").definition());
}

#[test]
fn a_map_gives_its_values_with_their_keys() {
    let bars = Select::map("bars");
    json(bars.clone(), r#"{"bars":{"B":[1,2],"A":[],"C":null,"D":[3]}}"#, "1 2 3");
    json(bars.clone(), r#"{"bars":{}}"#, "");
    json(bars.clone(), r#"{"bars":null}"#, "");
    json(bars.clone(), "{}", "RecordPath: the record path \"bars\" is not in the answer");
    json(
        bars.clone(),
        r#"{"bars":[1]}"#,
        "RecordPath: the record path \"bars\" holds an array, not an object",
    );
    json(
        bars.clone(),
        r#"{"bars":"x"}"#,
        "RecordPath: the record path \"bars\" holds a string, not an object",
    );
    json(
        bars.clone(),
        r#"{"bars":{"A":[1],"B":"no such symbol"}}"#,
        "RecordPath: the record path \"bars\" holds an array here and a plain value there",
    );
    json(
        bars.clone(),
        r#"{"bars":{"A":[1],"\u0041":[2]}}"#,
        "NotJson: the record path stands in the document twice at line 1 column 26",
    );
    let keyed = bars.key_as("symbol");
    json(
        keyed.clone(),
        r#"{"bars":{"A":[{"c":1.10}, 7],"B\"":{"symbol":"own"}}}"#,
        "RecordPath: the record path \"bars\" holds an array here and an object there",
    );
    json(
        keyed.clone(),
        r#"{"bars":{"A":{"c":1.10},"B\"":{"symbol":"own"}}}"#,
        r#"{"c":1.10,"symbol":"A"} {"symbol_original":"own","symbol":"B\""}"#,
    );
    json(
        keyed,
        r#"{"bars":{"EUR":1.10,"USD":1e999}}"#,
        r#"{"value":1.10,"symbol":"EUR"} {"value":1e999,"symbol":"USD"}"#,
    );
    json(Select::map("").key_as("k"), r#"{"\ud800":{}}"#, r#"{"k":"\ud800"}"#);
}

#[test]
fn an_object_is_one_record() {
    json(Select::object(""), r#" {"id":7} "#, r#"{"id":7}"#);
    json(Select::object("item"), r#"{"item":{"id":7}}"#, r#"{"id":7}"#);
    json(Select::object(""), "[1]", "RecordPath: the record path \"\" holds an array, not an object");
    json(Select::object(""), "7", "RecordPath: the record path \"\" holds a number, not an object");
    json(Select::object(""), "null", "RecordPath: the record path \"\" holds null, not an object");
    json(Select::object("").skip_null(), "null", "");
    json(Select::object("item"), "{}", "RecordPath: the record path \"item\" is not in the answer");
    json(Select::object("item").optional(), "{}", "");
}

#[test]
fn items_that_are_null_are_records_unless_they_are_declared_to_be_none() {
    let body = r#"{"items":[null,{"id":1},null]}"#;
    json("items", body, r#"null {"id":1} null"#);
    json(Select::path("items").skip_null(), body, r#"{"id":1}"#);
    let selected = take(&Select::path("items").skip_null(), Shape::Json, body).unwrap();
    assert_eq!(selected.skipped, 2, "the server counts them");
}

#[test]
fn a_star_goes_through_every_item_and_every_value() {
    let resources = Select::path("entry.*.resource");
    json(
        resources.clone(),
        r#"{"entry":[{"resource":{"id":1}},{"x":0,"resource":{"id":2}}]}"#,
        r#"{"id":1} {"id":2}"#,
    );
    json(resources.clone(), r#"{"entry":[]}"#, "");
    json(resources.clone(), r#"{"entry":null}"#, "");
    json(
        resources.clone(),
        r#"{"entry":[{"resource":{"id":1}},{},null]}"#,
        "RecordPath: the record path \"entry.*.resource\" leads nowhere in 2 items",
    );
    json(resources.clone().optional(), r#"{"entry":[{"resource":{"id":1}},{},null]}"#, r#"{"id":1}"#);
    json(resources.clone(), "{}", "RecordPath: the record path \"entry.*.resource\" is not in the answer");
    json(resources.clone().optional(), "{}", "");
    json(
        resources.clone(),
        r#"{"entry":7}"#,
        "RecordPath: the record path \"entry.*.resource\" holds a number, not what has items",
    );
    for twice in [r#"{"entry":[{"resource":{},"resource":{}}]}"#, r#"{"entry":[],"entry":[{"resource":{}}]}"#]
    {
        assert!(shown(&resources, Shape::Json, twice).contains("twice"), "{twice}");
    }
    json(
        "groups.*.items",
        r#"{"groups":[{"items":[1,2]},{"items":[]},{"items":null},{"items":[3]}]}"#,
        "1 2 3",
    );
    json(
        Select::path("groups.*.items").key_as("group"),
        r#"{"groups":{"a":{"items":[1]},"b":{"items":[2]}}}"#,
        r#"{"value":1,"group":"a"} {"value":2,"group":"b"}"#,
    );
    json("a.*.b.*.c", r#"{"a":[{"b":[{"c":[1]},{"c":[2]}]},{"b":[]},{"b":[{"c":[3]}]}]}"#, "1 2 3");
    json(
        "a.*.b.*.c",
        r#"{"a":[{"b":[]},{}]}"#,
        "RecordPath: the record path \"a.*.b.*.c\" leads nowhere in 1 item",
    );
    json("*", r#"[[1,2],[3]]"#, "1 2 3");
    json("results.*.id", r#"{"results":[{"id":1},{"id":"x"}]}"#, r#"1 "x""#);
}

#[test]
fn an_element_that_stands_there_once_is_a_list_of_one() {
    let bucket = Select::path("R.Contents").and("R.CommonPrefixes");
    elements(
        bucket.clone(),
        r#"{"R":{"Contents":[{"Key":"a"},{"Key":"b"}],"CommonPrefixes":{"Prefix":"p"}}}"#,
        r#"{"Key":"a"} {"Key":"b"} {"Prefix":"p"}"#,
    );
    elements(bucket.clone(), r#"{"R":{"Contents":{"Key":"a"}}}"#, r#"{"Key":"a"}"#);
    elements(bucket.clone(), r#"{"R":{"KeyCount":"0"}}"#, "");
    elements(bucket.clone(), r#"{"R":null}"#, "");
    elements(
        bucket,
        r#"{"Error":{"Code":"SlowDown"}}"#,
        "RecordPath: the record path \"R.Contents\" is not in the answer",
    );
    elements("R.B.Blob", r#"{"R":{"B":null}}"#, "");
    elements("R.B.Blob", r#"{"R":{}}"#, "RecordPath: the record path \"R.B.Blob\" is not in the answer");
    elements(
        "R.B.Blob",
        r#"{"R":{"B":[{},{"Blob":"x"}]}}"#,
        "RecordPath: the record path \"R.B.Blob\" is not in the answer",
    );
    elements("R.B.*.Blob", r#"{"R":{"B":[{},{"Blob":"x"},{"Blob":["y","z"]}]}}"#, r#""x" "y" "z""#);
    elements("R.B.*.Blob", r#"{"R":{"B":{"Blob":["y",null]}}}"#, r#""y" null"#);
    elements("R.x", r#"{"R":{"x":null}}"#, "null");
    elements(
        Select::map("R.rates").key_as("currency"),
        r##"{"R":{"rates":{"@date":"d","EUR":"1.1","USD":{"@q":"1","#text":"1"}, "#text":"t"}}}"##,
        r##"{"value":"1.1","currency":"EUR"} {"@q":"1","#text":"1","currency":"USD"}"##,
    );
    elements(
        Select::map("R.rates").key_as("currency"),
        r##"{"R":{"rates":{"@date":"d","EUR":"1.1","#text":"t"}}}"##,
        r##"{"value":"1.1","currency":"EUR"}"##,
    );
    elements("feed", r#"{"error":"x"}"#, "RecordPath: the record path \"feed\" is not in the answer");
}

#[test]
fn the_text_of_an_element_is_found_with_and_without_attributes() {
    let captures = [JsonPath::parse("R.token.#text").unwrap(), JsonPath::parse("R.token").unwrap()];
    for (body, text) in [
        (r##"{"R":{"token":{"@size":"3","#text":"abc"}}}"##, Some(r##""abc""##)),
        (r#"{"R":{"token":"abc"}}"#, Some(r#""abc""#)),
        (r#"{"R":{"token":null}}"#, Some("null")),
        (r#"{"R":{"token":{"@size":"3"}}}"#, None),
    ] {
        let outline = Plan::over(&[], &captures, Shape::Elements).walk(body).unwrap();
        assert_eq!(outline.captures[0].map(|span| span.of(body)), text, "{body}");
        assert!(outline.captures[1].is_some());
    }
}

#[test]
fn a_selection_that_cannot_be_meant_is_refused() {
    for select in [
        Select::path("a..b"),
        Select::path("a").and("a"),
        Select::path("a").and("b.").optional(),
        Select::path("").key_as("k"),
    ] {
        assert_eq!(Selection::new(&select).unwrap_err().kind(), ErrorKind::Config, "{select:?}");
    }
}

#[test]
fn pages_are_told_apart_by_their_records_whatever_stands_between_them() {
    let all = |body: &'static str| {
        let selected = take(&Select::path("b").and("a"), Shape::Json, body).unwrap();
        selected.all(&Bytes::from_static(body.as_bytes())).into_owned()
    };
    assert_eq!(all(r#"{"a":[1],"at":"10:00","b":[2]}"#), all(r#"{"a":[1],"at":"10:01","b":[2]}"#));
    assert_ne!(all(r#"{"a":[1],"b":[2]}"#), all(r#"{"a":[1],"b":[3]}"#));
}
