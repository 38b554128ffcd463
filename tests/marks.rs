//! What a finished run keeps for the next one: it is found again, and never taken for that of another list.

use std::sync::{Arc, Mutex};

use headwater::exchange::{Verdict, When};
use headwater::incremental::Incremental;
use headwater::pages::{Fanout, Window};
use headwater::paginate::{Cursor, Delta, PageNumber, Single};
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted};
use headwater::{Error, ErrorKind, Pipeline, RetryPolicy, Source, SourceBuilder};
use serde_json::{Value, json};

fn pipeline(sink: &Memory, source: SourceBuilder) -> Pipeline {
    Pipeline::new().source(source.build().unwrap()).sink(sink.clone())
}

async fn run(sink: &Memory, source: SourceBuilder) -> Result<u64, Error> {
    let report = pipeline(sink, source).run().await.map_err(|failed| failed.error)?;
    Ok(report.sources[0].records)
}

fn by_number() -> Incremental {
    Incremental::by("n").integer().key("id")
}

fn list(api: &Scripted, name: &str, url: &str) -> SourceBuilder {
    Source::get(name, url).transport(api.clone()).records("").paginate(Single).retry(RetryPolicy::none())
}

#[tokio::test(start_paused = true)]
async fn a_mark_is_not_taken_for_that_of_another_list() {
    let api = Scripted::from_fn(|request, _| match request.url().path() {
        "/a" => Reply::json(r#"[{"id":1,"n":100}]"#),
        _ => Reply::json(r#"[{"id":1,"n":1},{"id":2,"n":200}]"#),
    });
    let sink = Memory::new();
    let source = |path: &str| {
        list(&api, "s", &format!("https://h.example/{path}?since={{since}}")).incremental(by_number())
    };
    assert_eq!(run(&sink, source("a")).await.unwrap(), 1);
    let error = run(&sink, source("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DefinitionChanged);
    assert!(error.to_string().contains("path changed"), "{error}");
    assert_eq!(
        run(&sink, source("a").incremental(by_number().until(500))).await.unwrap(),
        0,
        "the same list"
    );
    let accepted = pipeline(&sink, source("b")).accept_changed_definitions().run().await.unwrap();
    assert_eq!(accepted.sources[0].records, 1, "from the mark on, as was said");
}

#[tokio::test(start_paused = true)]
async fn validators_are_of_one_url() {
    let api = Scripted::from_fn(|request, _| match request.headers().contains_key("if-none-match") {
        true => Reply::status(304),
        false => Reply::json(r#"[{"id":1}]"#).header("etag", "\"1\""),
    });
    let sink = Memory::new();
    let source = |path: &str| list(&api, "s", &format!("https://h.example/{path}")).conditional();
    assert_eq!(run(&sink, source("a")).await.unwrap(), 1);
    assert_eq!(run(&sink, source("a")).await.unwrap(), 0);
    assert_eq!(run(&sink, source("b")).await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_children_of_a_parent_in_a_window_find_their_marks() {
    let api = Scripted::from_fn(|request, _| match request.url().path() {
        "/parents" => Reply::json(r#"[{"id":1}]"#),
        _ => Reply::json(r#"[{"id":"x","n":1},{"id":"y","n":2}]"#),
    });
    let sink = Memory::new();
    // A window up to now has another end in each run.
    let source = |end: i64| {
        let parents = list(&api, "parents", "https://h.example/parents?from={start}&to={end}");
        let parents = parents.window(Window::ids(0..end));
        list(&api, "s", "https://h.example/{id}/items")
            .incremental(by_number())
            .fanout(Fanout::over(parents).bind("id", "id"))
    };
    assert_eq!(run(&sink, source(10)).await.unwrap(), 2);
    assert_eq!(run(&sink, source(11)).await.unwrap(), 0);
}

#[test]
fn requests_for_several_parents_have_no_mark_that_could_be_found_again() {
    let api = Scripted::new([]);
    let source = list(&api, "s", "https://h.example/items?ids={ids}").incremental(by_number());
    let parents = list(&api, "parents", "https://h.example/parents");
    let joined = source.fanout(Fanout::over(parents).bind_joined("ids", "id", 2, ","));
    assert_eq!(joined.build().unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_keeps_the_token_that_the_run_began_with() {
    let api = Scripted::from_fn(|request, _| match request.url().query() {
        None => Reply::json(r#"{"data":[{"id":1}],"sync":"T"}"#),
        Some(_) => Reply::status(204),
    });
    let sink = Memory::new();
    let source =
        || list(&api, "s", "https://h.example/items").records("data").paginate(delta()).no_content_ends();
    assert_eq!(run(&sink, source()).await.unwrap(), 1);
    assert_eq!(run(&sink, source()).await.unwrap(), 0);
    assert_eq!(run(&sink, source()).await.unwrap(), 0, "{:?}", api.urls());
}

#[tokio::test(start_paused = true)]
async fn a_backfill_that_was_broken_off_goes_on_with_its_own_range_only() {
    let fails = Arc::new(Mutex::new(true));
    let failing = fails.clone();
    let api = Scripted::from_fn(move |request, _| {
        let query: std::collections::BTreeMap<_, _> = request.url().query_pairs().into_owned().collect();
        let number = |name: &str| query[name].parse::<usize>().unwrap();
        if number("page") > 1 && *failing.lock().unwrap() {
            return Reply::status(403);
        }
        let all: Vec<Value> =
            (number("since")..number("until")).map(|n| json!({ "id": n, "n": n })).collect();
        Reply::json(json!(all.chunks(2).nth(number("page") - 1).unwrap_or_default()).to_string())
    });
    let sink = Memory::new();
    let source = |from: u64| {
        list(&api, "s", "https://h.example/items?since={since}&until={until}")
            .paginate(PageNumber::new())
            .incremental(by_number())
            .backfill(from, 10)
    };
    run(&sink, source(5)).await.unwrap_err();
    *fails.lock().unwrap() = false;
    let error = run(&sink, source(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DefinitionChanged, "what lies before 5 would never come");
    assert_eq!(run(&sink, source(5)).await.unwrap(), 5);
}

fn delta() -> Delta {
    let pages = Cursor::body("next").into_query("page").missing_ends();
    Delta::new(pages, Cursor::body("sync").into_query("sync"))
}

#[tokio::test(start_paused = true)]
async fn a_child_whose_token_has_expired_begins_anew_and_the_others_go_on() {
    let expired = Arc::new(Mutex::new(false));
    let is_expired = expired.clone();
    let api = Scripted::from_fn(move |request, _| {
        let has_token = request.url().query().is_some_and(|query| query.contains("sync"));
        match request.url().path() {
            "/parents" => Reply::json(r#"[{"id":1},{"id":2}]"#),
            "/1" if has_token && *is_expired.lock().unwrap() => Reply::status(410),
            path => Reply::json(
                json!({ "data": [{ "path": path, "is_all": !has_token }], "sync": "T" }).to_string(),
            ),
        }
    });
    let sink = Memory::new();
    let source = || {
        let parents = list(&api, "parents", "https://h.example/parents");
        list(&api, "s", "https://h.example/{id}")
            .records("data")
            .paginate(delta())
            .rule(When::status(410).means(Verdict::Expired))
            .restart_on_expiry()
            .fanout(Fanout::over(parents).bind("id", "id"))
    };
    run(&sink, source()).await.unwrap();
    *expired.lock().unwrap() = true;
    assert_eq!(run(&sink, source()).await.unwrap(), 2);
    let all: Vec<bool> = sink.lines("s").iter().map(|line| line.contains(r#""is_all":true"#)).collect();
    assert_eq!(all, [true, false]);
}

#[tokio::test(start_paused = true)]
async fn when_the_parents_token_has_expired_the_marks_of_the_children_stand() {
    let expired = Arc::new(Mutex::new(false));
    let is_expired = expired.clone();
    let api = Scripted::from_fn(move |request, _| match (request.url().path(), request.url().query()) {
        ("/parents", Some(_)) if *is_expired.lock().unwrap() => Reply::status(410),
        ("/parents", _) => Reply::json(r#"{"data":[{"id":1},{"id":2}],"sync":"T"}"#),
        _ => Reply::json(r#"[{"id":1,"n":1}]"#),
    });
    let sink = Memory::new();
    let source = || {
        let parents = list(&api, "parents", "https://h.example/parents").records("data").paginate(delta());
        let parents = parents.rule(When::status(410).means(Verdict::Expired));
        list(&api, "s", "https://h.example/{id}")
            .incremental(by_number())
            .restart_on_expiry()
            .fanout(Fanout::over(parents).bind("id", "id"))
    };
    assert_eq!(run(&sink, source()).await.unwrap(), 2);
    *expired.lock().unwrap() = true;
    assert_eq!(run(&sink, source()).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_kept_token_that_leads_nowhere_is_not_past_the_end() {
    let api = Scripted::from_fn(|request, _| match request.url().query() {
        None => Reply::json(r#"{"data":[{"id":1}],"token":"t1"}"#),
        Some(_) => Reply::status(404),
    });
    let sink = Memory::new();
    let kept = || {
        let token = || Cursor::body("token").into_query("since");
        let first = Cursor::body("next").into_query("page").missing_ends();
        list(&api, "s", "https://h.example/items")
            .records("data")
            .paginate(Delta::new(first, token()))
            .rule(When::status(404).means(Verdict::End))
    };
    assert_eq!(run(&sink, kept()).await.unwrap(), 1);
    let error = run(&sink, kept()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Status,
        "an empty run that is finished would lose what is new: {error}"
    );
}
