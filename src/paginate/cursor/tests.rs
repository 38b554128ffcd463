//! A cursor, shown one answer at a time.

use serde_json::json;

use super::*;
use crate::error::ErrorKind;
use crate::paginate::testing::{page, query_of};

fn cursor(text: &str) -> Option<Position> {
    Some(Position::Cursor(text.into()))
}

#[test]
fn the_token_of_the_body_is_sent_back() {
    let slack = Cursor::body("meta.next").into_query("after");
    assert_eq!(
        page(Position::Start, r#"{"data":[],"meta":{"next":"a\"=/"}}"#).to(&slack).unwrap(),
        cursor("a\"=/")
    );
    assert_eq!(query_of(&slack, &Position::Cursor("a\"=/&".into())), "q=x&after=a%22%3D%2F%26");
    assert_eq!(query_of(&slack, &Position::Start), "q=x");
    let long = r#"{"data":[],"meta":{"next":123456789012345678901234567890}}"#;
    assert_eq!(page(Position::Start, long).to(&slack).unwrap(), cursor("123456789012345678901234567890"));
    for end in ["null", "\"\"", "false"] {
        assert_eq!(
            page(Position::Start, format!(r#"{{"meta":{{"next":{end}}}}}"#)).to(&slack).unwrap(),
            None
        );
    }
}

#[test]
fn a_missing_token_is_an_error_unless_declared() {
    let gone = || page(Position::Start, r#"{"data":[1]}"#);
    assert_eq!(gone().to(&Cursor::body("next")).unwrap_err().kind(), ErrorKind::Cursor);
    assert_eq!(gone().to(&Cursor::body("next").missing_ends()).unwrap(), None);
    let wrong = page(Position::Start, r#"{"next":{"id":1}}"#).to(&Cursor::body("next")).unwrap_err();
    assert!(wrong.to_string().contains("an object"), "{wrong}");
}

#[test]
fn the_flag_decides_about_the_end() {
    let stripe = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
    let more = |text: &str| page(Position::Start, text).to(&stripe);
    assert_eq!(more(r#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true}"#).unwrap(), cursor("b"));
    assert_eq!(more(r#"{"data":[{"id":"a"}],"has_more":false}"#).unwrap(), None);
    assert_eq!(more(r#"{"data":[{"id":"a"}]}"#).unwrap_err().kind(), ErrorKind::Cursor);
    assert_eq!(more(r#"{"data":[],"has_more":true}"#).unwrap_err().kind(), ErrorKind::Truncated);
    assert_eq!(more(r#"{"data":[{"x":1}],"has_more":true}"#).unwrap_err().kind(), ErrorKind::Cursor);
    let notion = Cursor::body("next").until_false("has_more");
    let lost = page(Position::Start, r#"{"next":null,"has_more":true}"#).to(&notion).unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Truncated);
}

#[test]
fn a_token_goes_into_the_body() {
    let template = Request::post("https://h.example").unwrap().json(serde_json::json!({"page": {"size": 5}}));
    let next = Cursor::body("next").into_body("page.after");
    let request = next.request(&template, &Position::Cursor("t".into())).unwrap();
    assert_eq!(request.body().unwrap(), &serde_json::json!({"page": {"size": 5, "after": "t"}}));
    let position = page(Position::Start, r#"{"next":42}"#).to(&next).unwrap().unwrap();
    let request = next.request(&template, &position).unwrap();
    assert_eq!(request.body().unwrap(), &serde_json::json!({"page": {"size": 5, "after": 42}}));
}

fn next(cursor: &Cursor, body: &str) -> Result<Option<Position>> {
    page(Position::Start, body).to(cursor)
}

fn sent(cursor: &Cursor, position: &Position) -> Request {
    let template = Request::post("https://h.example/x/{after}?q=x").unwrap().json(json!({"q": 1}));
    cursor.request(&template, position).unwrap()
}

#[test]
fn an_object_and_an_array_are_sent_back_whole() {
    let dynamo = Cursor::body("Last").into_body("Start").missing_ends();
    let key = json!({"pk": {"S": "a\"b"}, "n": {"N": "12345678901234567890123"}});
    let position = next(&dynamo, &format!(r#"{{"Last":{key}}}"#)).unwrap().unwrap();
    assert_eq!(position, Position::Json(key.clone()));
    assert_eq!(sent(&dynamo, &position).body(), Some(&json!({"q": 1, "Start": key})));
    let sort = Cursor::last_record("sort").into_body("search_after");
    let position = next(&sort, r#"{"data":[{"sort":[1]},{"sort":[1.5,"x",null]}]}"#).unwrap().unwrap();
    assert_eq!(sent(&sort, &position).body().unwrap()["search_after"], json!([1.5, "x", null]));
    // A number that has no type would lose digits.
    assert!(next(&dynamo, r#"{"Last":{"n":123456789012345678901234567890}}"#).is_err());
    assert!(next(&dynamo, r#"{"Last":{}}"#).is_err());
    // An object is no text.
    assert!(next(&Cursor::body("Last"), r#"{"Last":{"id":1}}"#).is_err());
}

#[test]
fn several_values_go_together() {
    let both = Cursor::last_record("sort").into_body("after").and(Cursor::body("pit").into_body("pit.id"));
    let position = next(&both, r#"{"data":[{"sort":[7]}],"pit":"p2"}"#).unwrap().unwrap();
    assert_eq!(position, Position::Json(json!([[7], "p2"])));
    assert_eq!(sent(&both, &position).body(), Some(&json!({"q": 1, "after": [7], "pit": {"id": "p2"}})));
    assert_eq!(next(&both, r#"{"data":[],"pit":"p2"}"#).unwrap(), None);
    assert_eq!(next(&both, r#"{"data":[{"sort":[7]}]}"#).unwrap_err().kind(), ErrorKind::Cursor);
}

#[test]
fn of_several_headers_one_may_be_left_out() {
    let azure = Cursor::header("x-next-pk")
        .into_query("NextPartitionKey")
        .missing_ends()
        .and(Cursor::header("x-next-rk").into_query("NextRowKey").missing_ends());
    let shown = || page(Position::Start, "{}").header("x-next-pk", "1!8!a");
    let position = shown().to(&azure).unwrap().unwrap();
    assert_eq!(sent(&azure, &position).url().query(), Some("q=x&NextPartitionKey=1%218%21a"));
    let position = shown().header("x-next-rk", "b").to(&azure).unwrap().unwrap();
    assert_eq!(position, Position::Json(json!(["1!8!a", "b"])));
    assert_eq!(page(Position::Start, "{}").to(&azure).unwrap(), None);
    assert!(page(Position::Start, "{}").to(&Cursor::header("x-next-pk")).is_err());
}

#[test]
fn each_key_of_an_object_becomes_a_parameter_of_the_first_request() {
    let wiki = Cursor::body("continue").into_target(Target::merged()).missing_ends();
    let position =
        next(&wiki, r#"{"continue":{"apcontinue":"B|c","continue":"-||","n":2}}"#).unwrap().unwrap();
    assert_eq!(query_of(&wiki, &position), "q=x&apcontinue=B%7Cc&continue=-%7C%7C&n=2");
    let position = next(&wiki, r#"{"continue":{"rncontinue":"x"}}"#).unwrap().unwrap();
    assert_eq!(query_of(&wiki, &position), "q=x&rncontinue=x");
    assert_eq!(next(&wiki, "{}").unwrap(), None);
}

#[test]
fn the_first_page_may_be_asked_for_with_a_word() {
    assert_eq!(query_of(&Cursor::body("next").first("*"), &Position::Start), "q=x&cursor=*");
    assert_eq!(query_of(&Cursor::body("next").first(""), &Position::Start), "q=x&cursor=");
    let path = Cursor::body("next").into_target(Target::placeholder("after")).first("-");
    assert_eq!(sent(&path, &Position::Start).url().path(), "/x/-");
    assert_eq!(sent(&path, &Position::Cursor("a/b".into())).url().path(), "/x/a%2Fb");
}

#[test]
fn a_number_may_be_added_and_zero_may_be_the_end() {
    let binance = Cursor::last_record("id").plus(1).into_query("fromId");
    assert_eq!(next(&binance, r#"{"data":[{"id":41}]}"#).unwrap(), cursor("42"));
    assert_eq!(next(&binance, r#"{"data":[{"id":"41"}]}"#).unwrap(), cursor("42"));
    for bad in ["\"x\"", "9223372036854775807", "1.5"] {
        assert!(next(&binance, &format!(r#"{{"data":[{{"id":{bad}}}]}}"#)).is_err(), "{bad}");
    }
    assert_eq!(next(&Cursor::body("next").zero_ends(), r#"{"next":0}"#).unwrap(), None);
    assert_eq!(next(&Cursor::body("next"), r#"{"next":0}"#).unwrap(), cursor("0"));
}

#[test]
fn a_key_may_be_sent_as_json() {
    let couch = Cursor::last_record("key")
        .into_query("startkey")
        .json_encoded()
        .follow(FollowUp::here().query("skip", "1"));
    let position = next(&couch, r#"{"data":[{"key":["a",1]}]}"#).unwrap().unwrap();
    assert_eq!(query_of(&couch, &position), "q=x&skip=1&startkey=%5B%22a%22%2C1%5D");
    let position = next(&couch, r#"{"data":[{"key":"b"}]}"#).unwrap().unwrap();
    assert_eq!(query_of(&couch, &position), "q=x&skip=1&startkey=%22b%22");
}

#[test]
fn the_text_of_an_element_with_attributes_is_the_token() {
    let oai = Cursor::body("token").missing_ends();
    let with = r##"{"token":{"@size":"5","#text":"t"}}"##;
    let element = |body: &str| page(Position::Start, body).of_elements().to(&oai);
    assert_eq!(element(with).unwrap(), cursor("t"));
    assert_eq!(element(r#"{"token":{"@size":"5"}}"#).unwrap(), None);
    assert!(next(&oai, r#"{"token":{"@size":"5"}}"#).is_err(), "in JSON it is an object, and no end");
}

#[test]
fn the_shape_of_the_first_answer_may_be_another() {
    let monday = Cursor::body("first.cursor").or_body("more.cursor");
    assert_eq!(next(&monday, r#"{"first":{"cursor":"a"}}"#).unwrap(), cursor("a"));
    assert_eq!(next(&monday, r#"{"more":{"cursor":"b"}}"#).unwrap(), cursor("b"));
    assert_eq!(next(&monday, r#"{"more":{"cursor":null}}"#).unwrap(), None);
    let both = r#"{"first":{"cursor":null},"more":{"cursor":"b"}}"#;
    assert_eq!(next(&monday, both).unwrap(), cursor("b"), "one of them says that there is more");
    assert!(next(&monday, "{}").is_err());
}

#[test]
fn the_same_token_again_is_the_end_where_declared() {
    let logs = Cursor::body("next").until(End::repeated());
    let same = || page(Position::Cursor("t".into()), r#"{"next":"t"}"#);
    assert_eq!(same().to(&logs).unwrap(), None);
    assert_eq!(same().to(&Cursor::body("next")).unwrap(), cursor("t"));
}

#[test]
fn a_header_takes_no_line_break() {
    let into = Cursor::body("next").into_header("X-After");
    let position = next(&into, r#"{"next":"a\r\nX-Evil: 1"}"#).unwrap().unwrap();
    let template = Request::get("https://h.example").unwrap();
    assert_eq!(into.request(&template, &position).unwrap_err().kind(), ErrorKind::Cursor);
}

#[test]
fn old_definitions_and_positions_stay_valid() {
    let stripe = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
    let text = r#"cursor from LastRecord("id") into Query("starting_after") until has_more=false"#;
    assert_eq!(stripe.definition(), text);
    let google = Cursor::body("next").into_body("page.after").missing_ends();
    assert_eq!(google.definition(), r#"cursor from Body("next") into Body("page.after") missing ends"#);
    assert_eq!(sent(&google, &Position::Json(json!(7))).body().unwrap()["page"]["after"], 7);
    assert_eq!(query_of(&stripe, &Position::Json(json!(7))), "q=x&starting_after=7");
    let foreign = google.request(&Request::get("https://h.example").unwrap(), &Position::Offset(3));
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::Config);
}
