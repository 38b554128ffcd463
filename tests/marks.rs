//! What a finished run keeps for the next one: it is found again, and never taken for that of another list.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use headwater::exchange::{Verdict, When};
use headwater::fs::Fs;
use headwater::incremental::Incremental;
use headwater::pages::{Fanout, Window};
use headwater::paginate::{Cursor, Delta, PageNumber, Single};
use headwater::request::Target;
use headwater::sink::{Jsonl, Memory};
use headwater::testing::{CrashFs, Reply, Scripted};
use headwater::{Error, ErrorKind, Pipeline, RetryPolicy, Source, SourceBuilder};
use serde_json::{Value, json};
use tokio::sync::Notify;

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

/// A list with a token, and a mark as well: without the token it gives all, with one that has expired nothing.
fn list_with_a_token(expired: &Arc<Mutex<bool>>) -> Scripted {
    let is_expired = expired.clone();
    Scripted::from_fn(move |request, _| {
        let has_token = request.url().query().is_some_and(|query| query.contains("sync"));
        match request.url().path() {
            "/parents" => Reply::json(r#"{"data":[{"id":1},{"id":2}]}"#),
            "/1" if has_token && *is_expired.lock().unwrap() => Reply::status(410),
            _ if has_token => Reply::json(r#"{"data":[{"id":3,"n":3}],"sync":"T"}"#),
            _ => Reply::json(r#"{"data":[{"id":1,"n":1},{"id":2,"n":2},{"id":3,"n":3}],"sync":"T"}"#),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_mark_survives_the_token_that_has_expired() {
    let expired = Arc::new(Mutex::new(false));
    let api = list_with_a_token(&expired);
    let both = |url: &str| {
        let source = list(&api, "s", url).records("data").paginate(delta()).incremental(by_number());
        source.rule(When::status(410).means(Verdict::Expired)).restart_on_expiry()
    };
    let parents = || list(&api, "parents", "https://h.example/parents").records("data");
    let whole = || both("https://h.example/1");
    let parts = || both("https://h.example/{id}").fanout(Fanout::over(parents()).bind("id", "id"));
    let (of_whole, of_parts) = (Memory::new(), Memory::new());
    assert_eq!(run(&of_whole, whole()).await.unwrap(), 3);
    assert_eq!(run(&of_parts, parts()).await.unwrap(), 6);
    *expired.lock().unwrap() = true;
    assert_eq!(run(&of_whole, whole()).await.unwrap(), 0, "what earlier runs have pulled is known");
    assert_eq!(run(&of_parts, parts()).await.unwrap(), 0);
    *expired.lock().unwrap() = false;
    assert_eq!(run(&of_whole, whole()).await.unwrap(), 0);
    assert!(api.urls().last().unwrap().contains("sync=T"), "{:?}", api.urls());
}

#[tokio::test(start_paused = true)]
async fn a_window_whose_slice_has_expired_goes_on_from_where_the_last_run_ended() {
    let expires = Arc::new(Mutex::new(0));
    let left = expires.clone();
    let api = Scripted::from_fn(move |request, _| {
        let query: std::collections::BTreeMap<_, _> = request.url().query_pairs().into_owned().collect();
        let start: u64 = query["start"].parse().unwrap();
        let mut left = left.lock().unwrap();
        match query.get("cursor") {
            Some(_) if *left > 0 => {
                *left -= 1;
                Reply::status(410)
            }
            Some(_) => Reply::json(format!(r#"{{"data":[{{"id":{}}}]}}"#, start + 1)),
            None => Reply::json(format!(r#"{{"data":[{{"id":{start}}}],"next":"c"}}"#)),
        }
    });
    let source = |end: i64, ceiling: u64| {
        list(&api, "s", "https://h.example/items?start={start}&end={end}")
            .records("data")
            .paginate(Cursor::body("next").into_query("cursor").missing_ends())
            .rule(When::status(410).means(Verdict::Expired))
            .restart_on_expiry()
            .window(Window::ids(0..end).every(10).ceiling(ceiling).continue_from_end())
    };
    for ceiling in [5, 2000] {
        let sink = Memory::new();
        // Nothing leaves a slice that is held back before it is whole.
        *expires.lock().unwrap() = 1;
        assert_eq!(run(&sink, source(20, ceiling)).await.unwrap(), 4);
        assert_eq!(sink.lines("s").len(), 4);
        *expires.lock().unwrap() = 2;
        // (A window of ids ends where it ends: there is nothing new.)
        assert_eq!(run(&sink, source(20, ceiling)).await.unwrap(), 0);
        *expires.lock().unwrap() = 9;
        let error = run(&Memory::new(), source(20, ceiling)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CursorExpired, "again and again leads nowhere");
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_whose_first_page_has_expired_does_not_begin_at_its_start() {
    let expired = Arc::new(Mutex::new(false));
    let is_expired = expired.clone();
    let api = Scripted::from_fn(move |_, _| match *is_expired.lock().unwrap() {
        true => Reply::status(410),
        false => Reply::json(r#"[{"id":1}]"#),
    });
    let day = |number: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(86_400 * number);
    let source = |today: u64| {
        let window = Window::time("1970-01-01", "now").as_of(day(today)).continue_from_end();
        let source = list(&api, "s", "https://h.example/items?start={start}&end={end}").window(window);
        source.rule(When::status(410).means(Verdict::Expired)).restart_on_expiry()
    };
    let sink = Memory::new();
    run(&sink, source(1)).await.unwrap();
    *expired.lock().unwrap() = true;
    assert_eq!(run(&sink, source(2)).await.unwrap_err().kind(), ErrorKind::CursorExpired);
    *expired.lock().unwrap() = false;
    run(&sink, source(3)).await.unwrap();
    let from_the_start = api.urls().iter().filter(|url| url.contains("start=1970-01-01")).count();
    assert_eq!(from_the_start, 1, "{:?}", api.urls());
}

#[tokio::test(start_paused = true)]
async fn of_a_parent_that_is_listed_twice_nothing_is_lost_whichever_child_ends_last() {
    // The same child for two parents; while one is read, another record comes.
    for (broken, concurrency) in [(false, 1), (false, 2), (true, 1)] {
        for late_is_first in [false, true] {
            let (asked, fails) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(broken)));
            let (count, failing) = (asked.clone(), fails.clone());
            let api = Scripted::from_fn(move |request, _| {
                if request.url().path() == "/members" {
                    return Reply::json(r#"[{"user":7,"org":"a"},{"user":7,"org":"b"}]"#);
                }
                let mut count = count.lock().unwrap();
                if *count == 1 && std::mem::take(&mut *failing.lock().unwrap()) {
                    return Reply::status(403);
                }
                *count += 1;
                let is_early = (*count == 1) != late_is_first && *count <= 2;
                Reply::json(if is_early {
                    r#"[{"id":1,"n":1}]"#
                } else {
                    r#"[{"id":1,"n":1},{"id":2,"n":2}]"#
                })
            });
            let source = || {
                let members = list(&api, "members", "https://h.example/members");
                let fanout = Fanout::over(members).bind("user", "user").copy("org", "org");
                list(&api, "s", "https://h.example/users/{user}/events?since={since}")
                    .incremental(by_number())
                    .fanout(fanout.concurrency(concurrency))
            };
            let sink = Memory::new();
            let mut all = std::collections::BTreeSet::new();
            for round in 0..3 {
                if run(&sink, source()).await.is_err() {
                    run(&sink, source()).await.unwrap();
                }
                for line in sink.lines("s") {
                    let line: Value = serde_json::from_str(&line).unwrap();
                    all.insert((line["org"].as_str().unwrap().to_owned(), line["id"].as_u64().unwrap()));
                }
                assert!(round < 2 || sink.lines("s").is_empty(), "then all is known");
            }
            assert_eq!(all.len(), 4, "broken {broken}, late first {late_is_first}: {all:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_of_another_field_is_not_taken_for_one_of_this() {
    let api = Scripted::from_fn(|_, _| {
        Reply::json(
            r#"[{"id":1,"k":1,"n":1,"m":9},{"id":2,"k":2,"n":50,"m":8},{"id":3,"k":3,"n":100,"m":7}]"#,
        )
    });
    let source =
        |rules: Incremental| list(&api, "s", "https://h.example/items?since={since}").incremental(rules);
    for other in [
        Incremental::by("m").integer().key("id"),
        Incremental::by("n").string().key("id"),
        Incremental::by("n").integer().key("k"),
        Incremental::by("n").integer(),
        by_number().exclusive(),
    ] {
        let sink = Memory::new();
        assert_eq!(run(&sink, source(by_number())).await.unwrap(), 3);
        let error = run(&sink, source(other.clone())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DefinitionChanged, "{other:?}");
        assert!(error.to_string().contains("field of the mark"), "{error}");
        assert_eq!(run(&sink, source(by_number().until(1000))).await.unwrap(), 0);
        assert_eq!(run(&sink, source(by_number().lookback_by(60))).await.unwrap(), 0, "nothing comes twice");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_child_has_kept_no_longer_counts_when_it_keeps_nothing() {
    let content = Arc::new(Mutex::new("a"));
    let served = content.clone();
    let api = Scripted::from_fn(move |request, _| {
        if request.url().path() == "/parents" {
            return Reply::json(r#"[{"id":1}]"#);
        }
        match *served.lock().unwrap() {
            "a" if request.headers().get("if-none-match").is_some_and(|tag| tag == "\"a\"") => {
                Reply::status(304)
            }
            "a" => Reply::json(r#"[{"is":"a"}]"#).header("etag", "\"a\""),
            other => Reply::json(format!(r#"[{{"is":"{other}"}}]"#)),
        }
    });
    let source = || {
        let parents = list(&api, "parents", "https://h.example/parents");
        list(&api, "s", "https://h.example/{id}").conditional().fanout(Fanout::over(parents).bind("id", "id"))
    };
    let sink = Memory::new();
    let mut counts = Vec::new();
    for now in ["a", "a", "b", "a", "a"] {
        *content.lock().unwrap() = now;
        counts.push(run(&sink, source()).await.unwrap());
    }
    assert_eq!(counts, [1, 0, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_parents_field_that_looks_like_a_placeholder_is_sent_as_it_is() {
    let of = |value: &'static str| {
        Scripted::from_fn(move |request, _| match request.url().path() {
            "/parents" => Reply::json(json!([{ "id": value }]).to_string()),
            _ => Reply::json(r#"[{"id":1,"n":1}]"#),
        })
    };
    for value in ["{since}", "{until}", "a{since}b", "{{since}", "{id}"] {
        let api = of(value);
        let source = || {
            let parents = list(&api, "parents", "https://h.example/parents");
            list(&api, "s", "https://h.example/{id}?q={id}&since={since}")
                .incremental(by_number())
                .fanout(Fanout::over(parents).bind("id", "id"))
        };
        let sink = Memory::new();
        assert_eq!(run(&sink, source()).await.unwrap(), 1, "{value}");
        assert_eq!(run(&sink, source()).await.unwrap(), 0);
        let asked: url::Url = api.urls()[3].parse().unwrap();
        let pairs: Vec<(String, String)> = asked.query_pairs().into_owned().collect();
        assert_eq!(pairs, [("q".into(), value.to_owned()), ("since".into(), "1".into())]);
    }
    let api = of("a{after}b");
    let parents = list(&api, "parents", "https://h.example/parents");
    let cursor = Cursor::body("next").into_target(Target::placeholder("after")).missing_ends();
    let source = list(&api, "s", "https://h.example/items?q={id}&after={after}").paginate(cursor);
    let error = run(&Memory::new(), source.fanout(Fanout::over(parents).bind("id", "id"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Record, "the position would be put into it: {error}");
}

#[tokio::test(start_paused = true)]
async fn nor_when_a_run_has_failed_before_its_first_page() {
    let fails = Arc::new(Mutex::new(false));
    let failing = fails.clone();
    let api = Scripted::from_fn(move |request, _| match request.url().path() {
        _ if *failing.lock().unwrap() => Reply::status(403),
        "/a" => Reply::json(r#"[{"id":1,"n":100}]"#),
        _ => Reply::json(r#"[{"id":1,"n":1},{"id":2,"n":200}]"#),
    });
    let source = |path: &str| {
        list(&api, "s", &format!("https://h.example/{path}?since={{since}}")).incremental(by_number())
    };
    let sink = Memory::new();
    // One that never got a page, and began with nothing, may be mended.
    *fails.lock().unwrap() = true;
    run(&sink, source("wrong")).await.unwrap_err();
    *fails.lock().unwrap() = false;
    run(&sink, source("a")).await.unwrap();
    *fails.lock().unwrap() = true;
    run(&sink, source("a")).await.unwrap_err();
    *fails.lock().unwrap() = false;
    let error = run(&sink, source("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DefinitionChanged, "{error}");
    assert_eq!(run(&sink, source("a")).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_goes_on_does_not_begin_earlier_than_it_did() {
    let api = Scripted::from_fn(|_, _| Reply::json(r#"[{"id":1}]"#));
    let day = |number: u64| std::time::UNIX_EPOCH + std::time::Duration::from_secs(86_400 * number);
    let of =
        |window: Window| list(&api, "s", "https://h.example/items?start={start}&end={end}").window(window);
    let from = |start: &str, today: u64| of(Window::time(start, "now").as_of(day(today)).continue_from_end());
    let sink = Memory::new();
    run(&sink, from("1970-01-05", 10)).await.unwrap();
    let error = run(&sink, of(Window::ids(0..9).continue_from_end())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DefinitionChanged, "a time is no id: {error}");
    let error = run(&sink, from("1970-01-02", 11)).await.unwrap_err();
    assert!(error.to_string().contains("begins before"), "{error}");
    run(&sink, from("1970-01-07", 12)).await.unwrap();
    assert!(api.urls()[1].contains("start=1970-01-11") && api.urls()[1].contains("end=1970-01-13"));
}

#[tokio::test(start_paused = true)]
async fn what_lies_before_the_first_beginning_is_not_looked_back_to() {
    let api = Scripted::from_fn(|_, _| Reply::json(r#"[{"id":1,"n":50},{"id":2,"n":100},{"id":3,"n":150}]"#));
    let source = || {
        let source = list(&api, "s", "https://h.example/items?since={since}&until={until}");
        source.incremental(by_number().lookback_by(60).since(100))
    };
    assert_eq!(run(&Memory::new(), source()).await.unwrap(), 2);
    assert_eq!(run(&Memory::new(), source().backfill(100, 150)).await.unwrap(), 1);
    assert!(api.urls().iter().all(|url| url.contains("since=100")), "{:?}", api.urls());
}

/// Four lists, of which each gives a token; a list without one is given as a whole, two a page.
fn lists_with_tokens(state: &Arc<Mutex<Expiring>>, told: &Arc<Notify>) -> Scripted {
    let (state, told) = (state.clone(), told.clone());
    Scripted::from_fn(move |request, _| {
        let mut state = state.lock().unwrap();
        state.sent += 1;
        if state.sent == state.broken_at {
            told.notify_one();
        }
        let query: std::collections::BTreeMap<_, _> = request.url().query_pairs().into_owned().collect();
        let token = query.get("sync").map(|token| token.parse::<u64>().unwrap());
        let page = query.get("page").map_or(0, |page| page.parse::<usize>().unwrap());
        let list = request.url().path().trim_start_matches('/').parse::<u64>().ok();
        if token.is_some() && list.map_or(state.parents, |list| state.children && list % 2 == 1) {
            return Reply::status(410);
        }
        if page > 0 && list.is_some() && state.pages > 0 {
            state.pages -= 1;
            return Reply::status(410);
        }
        let rows: Vec<Value> = match list {
            None => (1..=4).map(|id| json!({ "id": id })).collect(),
            Some(list) => {
                let new = token.map_or(1, |token| token + 1)..=state.last;
                new.map(|n| json!({ "id": list * 100 + n, "n": n })).collect()
            }
        };
        let data: Vec<&Value> = rows.iter().skip(page * 2).take(2).collect();
        let mut body = json!({ "data": data });
        match rows.len() > page * 2 + 2 {
            true => body["next"] = (page + 1).to_string().into(),
            false => body["sync"] = state.last.to_string().into(),
        }
        Reply::json(body.to_string()).delay(std::time::Duration::from_millis(7))
    })
}

/// What the server no longer knows: the token of the parents, those of some children, so many positions of pages.
#[derive(Default)]
struct Expiring {
    parents: bool,
    children: bool,
    pages: u32,
    last: u64,
    sent: u64,
    broken_at: u64,
}

#[test]
fn what_begins_anew_survives_a_crash_at_every_request() {
    let told = Arc::new(Notify::new());
    let source = |api: &Scripted, at_once: usize| {
        let gone = || When::status(410).means(Verdict::Expired);
        let parents = list(api, "parents", "https://h.example/parents").records("data");
        let parents = parents.paginate(delta()).rule(gone());
        list(api, "s", "https://h.example/{id}?since={since}")
            .records("data")
            .paginate(delta())
            .rule(gone())
            .restart_on_expiry()
            .incremental(by_number())
            .fanout(Fanout::over(parents).bind("id", "id").concurrency(at_once))
    };
    for (parents, children, pages) in [(false, true, 1), (true, false, 0), (true, true, 2)] {
        for broken_at in 1.. {
            let disk = CrashFs::new();
            let fs: Arc<dyn Fs> = Arc::new(disk.clone());
            let state = Arc::new(Mutex::new(Expiring { last: 5, ..Expiring::default() }));
            let started = AtomicU64::new(1_779_012_000);
            let run = |at_once: usize| {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_time().start_paused(true).build().unwrap();
                runtime.block_on(async {
                    let api = lists_with_tokens(&state, &told);
                    let time = std::time::Duration::from_secs(started.fetch_add(1, Relaxed));
                    let pipeline = Pipeline::new()
                        .source(source(&api, at_once).build().unwrap())
                        .sink(Jsonl::on(fs.clone(), "/out"))
                        .commit_every(std::time::Duration::from_millis(5))
                        .started_at(std::time::UNIX_EPOCH + time);
                    tokio::select! {
                        biased;
                        () = told.notified() => false,
                        done = pipeline.run() => done.map(|_| true).unwrap(),
                    }
                })
            };
            assert!(run(2));
            *state.lock().unwrap() =
                Expiring { parents, children, pages, last: 8, broken_at, ..Expiring::default() };
            let is_through = run(1 + broken_at as usize % 3);
            state.lock().unwrap().broken_at = 0;
            assert!(is_through || run(3));
            assert!(run(2));
            let image = disk.image();
            let files = image.files().filter(|(path, _)| path.extension().is_some_and(|end| end == "jsonl"));
            let lines = files.flat_map(|(_, bytes)| std::str::from_utf8(bytes).unwrap().lines());
            let mut ids: Vec<u64> = lines
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap())
                .collect();
            ids.sort_unstable();
            let all: Vec<u64> = (1..=4).flat_map(|list| (1..=8).map(move |n| list * 100 + n)).collect();
            assert_eq!(ids, all, "broken off at request {broken_at}: {parents} {children} {pages}");
            if is_through {
                break;
            }
        }
    }
}
