//! What answers mean where their status does not say: a source's rules, on a paused clock.

#[path = "support/pulled.rs"]
mod pulled;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use headwater::auth::Auth;
use headwater::exchange::{Rule, Verdict, When};
use headwater::hints::{At, Signal, Unit};
use headwater::page::Format;
use headwater::pages::Window;
use headwater::paginate::{Cursor, Offset, PageNumber, Single};
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted};
use headwater::{
    ErrorKind, JsonPath, Pipeline, RetryPolicy, Secret, Source, SourceBuilder, request::Request,
};
use tokio::time::Instant;

use pulled::pulled;

const URL: &str = "https://api.example.com/items";

fn by_cursor(api: &Scripted) -> SourceBuilder {
    Source::get("items", URL)
        .transport(api.clone())
        .records("data")
        .paginate(Cursor::body("next").into_query("after"))
        .retry(RetryPolicy::exponential().base(Duration::ZERO).max_attempts(3))
}

fn by_number(api: &Scripted) -> SourceBuilder {
    by_cursor(api).paginate(PageNumber::new())
}

fn page(next: &str) -> Reply {
    Reply::json(format!(r#"{{"data":[{next},2],"next":{next}}}"#))
}

#[tokio::test(start_paused = true)]
async fn an_error_in_a_200_is_no_page() {
    let api = Scripted::new([page("\"a\""), Reply::json(r#"{"ok":false,"error":"invalid_auth","data":[]}"#)]);
    let rule = When::status(200).body("ok", false).means(Verdict::Fail);
    let (records, error) = pulled(by_cursor(&api).rule(rule)).await;
    let error = error.unwrap();
    assert_eq!((records, error.kind()), (2, ErrorKind::Status));
    assert!(error.to_string().contains("by the rule: status 200, body ok = false means Fail"), "{error}");
    assert!(error.to_string().contains("invalid_auth"), "the body is shown: {error}");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_comes_as_a_200_is_waited_for_and_costs_no_page() {
    let limited = Reply::json(r#"{"ok":false,"error":"ratelimited"}"#).header("retry-after", "30");
    let api = Scripted::new([
        page("\"a\""),
        limited.clone(),
        limited.clone(),
        limited.clone(),
        limited,
        page("null"),
    ]);
    let rule = When::status(200).body("error", "ratelimited").means(Verdict::Wait);
    let began = Instant::now();
    let (records, error) = pulled(by_cursor(&api).rule(rule)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((records, began.elapsed().as_secs()), (4, 120), "told waits use up no attempt");
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_tells_no_wait_is_given_the_one_of_the_vendor_s_document() {
    let times = |limited: Reply| async {
        let api = Scripted::new([page("\"a\""), limited, page("null")]);
        let rule = When::status(429).means(Verdict::WaitFor(Duration::from_secs(30)));
        let (records, error) = pulled(by_cursor(&api).rule(rule)).await;
        assert_eq!((records, error.map(|error| error.kind())), (4, None));
        api.times()[2].as_secs()
    };
    assert_eq!(times(Reply::status(429)).await, 30);
    assert_eq!(times(Reply::status(429).header("retry-after", "5")).await, 30);
    assert_eq!(times(Reply::status(429).header("retry-after", "45")).await, 45);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_comes_as_a_400_is_retried() {
    let api = Scripted::new([Reply::status(400).body(r#"{"error":{"code":2}}"#), page("null")]);
    let rule = When::status(400).body("error.code", 2).means(Verdict::Retry);
    assert_eq!(pulled(by_cursor(&api).rule(rule.clone())).await.0, 2);
    let api = Scripted::new([Reply::status(400).body(r#"{"error":{"code":100}}"#), page("null")]);
    let error = pulled(by_cursor(&api).rule(rule)).await.1.unwrap();
    assert_eq!(error.context().attempts, None, "another code is not");
}

#[tokio::test(start_paused = true)]
async fn past_the_end_is_the_end_and_never_the_first_page() {
    let past = || When::status(404).means(Verdict::End);
    let api = Scripted::new([page("0"), page("0").body(r#"{"data":[3]}"#), Reply::status(404)]);
    let (records, error) = pulled(by_number(&api).rule(past())).await;
    assert_eq!((records, error.map(|error| error.kind())), (3, None));
    let api = Scripted::new([Reply::status(404)]);
    let error = pulled(by_number(&api).rule(past())).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::Status, "a wrong path is not an empty list");
    let api = Scripted::new([page("0"), Reply::status(404)]);
    let error = pulled(by_number(&api)).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::Status, "nor is it without the rule");
}

#[tokio::test(start_paused = true)]
async fn no_records_may_be_said_by_an_error() {
    let api = Scripted::new([Reply::json(r#"{"error":{"code":"noRecordsMatch"}}"#)]);
    let rule = When::any().body("error.code", "noRecordsMatch").means(Verdict::NoRecords);
    assert_eq!(pulled(by_cursor(&api).rule(rule)).await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_replaced_by_the_one_that_comes_with_the_error() {
    let gone = || Reply::status(410).body(r#"{"code":410,"metadata":{"continue":"fresh"}}"#);
    let path = headwater::JsonPath::parse("metadata.continue").unwrap();
    let rule = || When::status(410).means(Verdict::ContinueAt(path.clone()));
    let api = Scripted::new([page("\"stale\""), gone(), page("null")]);
    let (records, error) = pulled(by_cursor(&api).rule(rule())).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(records, 4);
    assert_eq!(api.urls()[1..], [format!("{URL}?after=stale"), format!("{URL}?after=fresh")]);
    // A server that expires its own new tokens does not keep us for ever.
    let api = Scripted::from_fn(move |_, number| if number == 1 { page("\"stale\"") } else { gone() });
    let error = pulled(by_cursor(&api).rule(rule())).await.1.unwrap();
    assert_eq!((error.kind(), api.urls().len()), (ErrorKind::CursorExpired, 3));
    let api = Scripted::new([page("\"stale\""), Reply::status(410).body("{}")]);
    let error = pulled(by_cursor(&api).rule(rule())).await.1.unwrap();
    assert!(error.to_string().contains("no new token"), "{error}");
}

/// A token that is renewed when it is refused.
#[derive(Debug, Default)]
struct Renewing(AtomicU64);

impl Auth for Renewing {
    fn authorize<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, headwater::Result<()>> {
        *request = request.clone().query("token", self.0.load(Ordering::Relaxed).to_string());
        Box::pin(async { Ok(()) })
    }

    fn renew<'a>(&'a self, refused: &'a Request) -> BoxFuture<'a, headwater::Result<bool>> {
        assert!(refused.url().query().unwrap().contains("token="), "it shows what was refused");
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async { Ok(true) })
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_renewed_once() {
    let api = Scripted::new([
        Reply::status(401),
        page("\"a\""),
        Reply::json(r#"{"error":"token_expired"}"#),
        page("null"),
    ]);
    let rule = || When::status(200).body("error", "token_expired").means(Verdict::Renew);
    let (records, error) = pulled(by_cursor(&api).auth(Renewing::default()).rule(rule())).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!((records, api.urls().len()), (4, 4));
    let api = Scripted::from_fn(|_, _| Reply::status(401));
    let error = pulled(by_cursor(&api).auth(Renewing::default()).rule(rule())).await.1.unwrap();
    assert_eq!((error.kind(), api.urls().len()), (ErrorKind::Unauthorized, 2), "not for ever");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_be_read_is_refused_before_anything_is_sent() {
    let api = Scripted::new([]);
    for rule in [
        When::any().body("a..b", 1),
        When::any().header_present("no header"),
        When::status(0),
        When::status_in(std::ops::RangeInclusive::new(599, 500)),
    ] {
        let error = by_cursor(&api).rule(rule.means(Verdict::Fail)).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[tokio::test(start_paused = true)]
async fn graphql_errors_are_known_by_their_codes() {
    let throttled =
        Reply::json(r#"{"errors":[{"extensions":{"code":"THROTTLED"}}]}"#).header("retry-after", "7");
    let api = Scripted::new([throttled, page("null")]);
    let began = Instant::now();
    assert_eq!(pulled(by_cursor(&api).rules(Rule::graphql())).await.0, 2);
    assert_eq!(began.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_has_not_changed_is_not_pulled_again() {
    let api = Scripted::from_fn(|request, number| {
        let asked = request.headers().get("if-none-match").map(|value| value.to_str().unwrap().to_owned());
        match (number, asked.as_deref()) {
            (1, None) => Reply::json(r#"{"data":[1,2]}"#).header("etag", "\"v1\""),
            (2, Some("\"v1\"")) | (4, Some("\"v2\"")) => Reply::status(304),
            (3, Some("\"v1\"")) => Reply::json(r#"{"data":[1,2,3]}"#).header("etag", "\"v2\""),
            other => panic!("{other:?}"),
        }
    });
    let sink = Memory::new();
    let mut counts = Vec::new();
    for _ in 0..4 {
        let source =
            Source::get("items", URL).transport(api.clone()).records("data").paginate(Single).conditional();
        let run = Pipeline::new().source(source.build().unwrap()).sink(sink.clone());
        counts.push(run.run().await.unwrap().source("items").unwrap().records);
    }
    assert_eq!(counts, [2, 0, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn not_modified_is_an_error_where_nothing_was_asked() {
    let api = Scripted::new([Reply::status(304)]);
    assert_eq!(pulled(by_cursor(&api).conditional()).await.1.unwrap().kind(), ErrorKind::Status);
}

/// Three pages of two, by a token that is only valid while `fresh`; each begin gets new tokens.
fn expiring(expire_at: &'static [u64]) -> Scripted {
    Scripted::from_fn(move |request, number| {
        if expire_at.contains(&number) {
            return Reply::status(422).body(r#"{"error":{"type":"LIST_RECORDS_ITERATOR_NOT_AVAILABLE"}}"#);
        }
        let after = request.url().query_pairs().find(|(name, _)| name == "after");
        let page: u64 = after.map_or(0, |(_, value)| value.parse().unwrap());
        let next = if page < 2 { format!("\"{}\"", page + 1) } else { "null".into() };
        Reply::json(format!(r#"{{"data":[{},{}],"next":{next}}}"#, 2 * page, 2 * page + 1))
    })
}

fn restarting(api: &Scripted) -> Source {
    let rule =
        When::status(422).body("error.type", "LIST_RECORDS_ITERATOR_NOT_AVAILABLE").means(Verdict::Expired);
    by_cursor(api).rule(rule).restart_on_expiry().build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_position_that_expires_begins_the_source_anew_and_nothing_is_twice() {
    for commit_every in [Duration::ZERO, Duration::from_secs(3600)] {
        let (api, sink) = (expiring(&[3, 5]), Memory::new());
        let run = Pipeline::new().source(restarting(&api)).sink(sink.clone()).commit_every(commit_every);
        let report = run.run().await.unwrap();
        assert_eq!(report.source("items").unwrap().records, 6);
        let values: Vec<String> =
            sink.lines("items").iter().map(|line| line.split([':', ',']).nth(1).unwrap().into()).collect();
        assert_eq!(values, ["0", "1", "2", "3", "4", "5"]);
        assert_eq!(api.urls().len(), 3 + 2 + 3);
        assert_eq!(report.source("items").unwrap().counts.requests, 3 + 2 + 3, "all that were sent");
    }
}

#[tokio::test(start_paused = true)]
async fn files_have_nothing_twice_either_whenever_it_expires() {
    for expire_at in [&[2_u64][..], &[3], &[2, 4], &[3, 6, 9]] {
        let (api, dir) = (expiring(expire_at), tempfile::tempdir().unwrap());
        let sink = headwater::sink::Jsonl::dir(dir.path());
        let run = Pipeline::new().source(restarting(&api)).sink(sink).commit_every(Duration::ZERO);
        run.run().await.unwrap();
        let files: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let files: Vec<_> =
            files.iter().filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(std::fs::read_to_string(files[0]).unwrap().lines().count(), 6, "{expire_at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_expires_for_ever_fails() {
    let api = expiring(&[2, 4, 6, 8, 10, 12]);
    let failed = Pipeline::new().source(restarting(&api)).sink(Memory::new()).run().await.unwrap_err();
    assert_eq!((failed.error.kind(), api.urls().len()), (ErrorKind::CursorExpired, 8));
    let api = expiring(&[2]);
    let plain = by_cursor(&api).rule(When::status(422).means(Verdict::Expired)).build().unwrap();
    let failed = Pipeline::new().source(plain).sink(Memory::new()).run().await.unwrap_err();
    assert!(failed.error.to_string().contains("restart_on_expiry"), "{}", failed.error);
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_the_server_calls_too_large_is_halved() {
    let api = Scripted::from_fn(|request, _| {
        let number = |name: &str| {
            let mut pairs = request.url().query_pairs();
            pairs.find(|(other, _)| other == name).map_or(0, |(_, value)| value.parse::<u64>().unwrap())
        };
        let ids: Vec<u64> = (number("from")..number("to")).collect();
        match ids.len() {
            0..=3 => Reply::json(format!(r#"{{"data":{ids:?}}}"#)),
            _ => Reply::status(400).body(r#"{"name":"RESULTSET_TOO_LARGE"}"#),
        }
    });
    let source = || {
        by_number(&api)
            .paginate(Single)
            .query("from", "{start}")
            .query("to", "{end}")
            .rule(When::status(400).body("name", "RESULTSET_TOO_LARGE").means(Verdict::TooMany))
    };
    let (records, error) = pulled(source().window(Window::ids(0..20).ceiling(4))).await;
    assert_eq!((records, error.map(|error| error.kind())), (20, None));
    // Nothing else may be made smaller, and no other refusal means that it should be.
    let error = pulled(source().window(Window::ids(0..20))).await.1.unwrap();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert!(error.to_string().contains("ceiling"), "{error}");
    let api = Scripted::new([Reply::status(400).body(r#"{"name":"INVALID"}"#)]);
    let error =
        pulled(source().transport(api.clone()).window(Window::ids(0..20).ceiling(4))).await.1.unwrap();
    assert_eq!((error.kind(), api.requests().len()), (ErrorKind::Status, 1));
}

#[tokio::test(start_paused = true)]
async fn not_modified_behind_the_first_page_is_no_end() {
    let api = Scripted::new([Reply::json(r#"{"data":[{"id":1}],"next":"b"}"#), Reply::status(304)]);
    let source = Source::get("s", "https://api.example.com/items")
        .header("If-Modified-Since", "Wed, 21 Oct 2015 07:28:00 GMT")
        .transport(api)
        .records("data")
        .paginate(Cursor::body("next").into_query("c"));
    let run = Pipeline::new().source(source.build().unwrap()).sink(Memory::new()).run();
    assert_eq!(run.await.unwrap_err().error.kind(), ErrorKind::Truncated);
}

#[tokio::test(start_paused = true)]
async fn a_403_with_a_date_that_has_passed_is_a_limit_that_is_over() {
    let date = "Sun, 17 May 2026 10:00:00 GMT";
    let late =
        || Reply::status(403).header("date", "Sun, 17 May 2026 10:00:03 GMT").header("retry-after", date);
    let api = Scripted::new([late(), late(), page("null")]);
    let (records, error) = pulled(by_cursor(&api)).await;
    assert_eq!((records, error.map(|error| error.kind())), (2, None));
    // Confluence tells a wait of nothing with every answer: that is no limit.
    let api = Scripted::new([Reply::status(403).header("retry-after", "0"), page("null")]);
    let (_, error) = pulled(by_cursor(&api)).await;
    assert_eq!((error.unwrap().kind(), api.requests().len()), (ErrorKind::Status, 1));
}

/// Of each format an answer that says that the position has expired, and gives another one.
fn expired_answers() -> Vec<(Format, &'static str, &'static str, String)> {
    let json = r#"{"error":{"code":"gone","token":"fresh"}}"#;
    let mut answers = vec![
        (Format::JsonLines, "0.error.code", "0.error.token", format!("{json}\n")),
        (Format::JsonLines, "error.code", "error.token", json.to_owned()),
    ];
    #[cfg(feature = "csv")]
    answers.push((Format::csv().into(), "*.code", "0.token", "code,token\ngone,fresh\n".to_owned()));
    #[cfg(feature = "csv")]
    answers.push((Format::csv().into(), "error.code", "error.token", json.to_owned()));
    #[cfg(feature = "xml")]
    for path in ["Error.Item.*.token", "Error.*.token", "Error.Item.token", "Error.Item.token.#text"] {
        let body = "<?xml version='1.0'?><Error><Item><code>gone</code><token>fresh</token></Item></Error>";
        answers.push((Format::xml(), "Error.Item.*.code", path, body.to_owned()));
    }
    answers
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_found_in_whatever_the_answers_are_written_in() {
    for (format, code, token, body) in expired_answers() {
        let rule =
            When::status(410).body(code, "gone").means(Verdict::ContinueAt(JsonPath::parse(token).unwrap()));
        let api = Scripted::new([Reply::status(410).body(body.clone()), Reply::status(400)]);
        let source = by_cursor(&api).format(format).records("").rule(rule);
        pulled(source).await;
        let last = api.urls().pop().unwrap();
        assert!(last.ends_with("after=fresh"), "{code}, {token} in {body}: {last}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_found_in_whatever_the_answers_are_written_in() {
    for (format, _, _, body) in expired_answers() {
        let path = match () {
            () if body.contains("<token>") => "Error.Item.*.wait",
            () if body.starts_with("code") => "0.wait",
            () if body.ends_with('\n') => "0.error.wait",
            () => "error.wait",
        };
        let body = body.replace("fresh", "30").replace("token", "wait");
        let api = Scripted::new([Reply::status(429).body(body.clone()), Reply::status(400)]);
        let source =
            by_cursor(&api).format(format).records("").signal(Signal::wait(At::body(path), Unit::Seconds));
        let begun = Instant::now();
        pulled(source).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(30), "{path} in {body}");
    }
}

/// A stray 404 in the middle of a list, or a 204, must not pass for its end.
#[tokio::test(start_paused = true)]
async fn an_answer_without_a_page_is_no_end_where_the_page_before_says_that_there_is_more() {
    let by_total = |api: &Scripted| by_cursor(api).paginate(Offset::new(2).until_total("total"));
    let by_flag = |api: &Scripted| by_cursor(api).paginate(Cursor::body("next").until_false("more"));
    let by_nothing = |api: &Scripted| by_cursor(api).paginate(Offset::new(2));
    let ended = async |source: fn(&Scripted) -> SourceBuilder, nothing: Reply, verdict: Verdict| {
        let page = Reply::json(r#"{"data":[1,2],"next":"t","total":5,"more":true}"#);
        let api = Scripted::new([page, nothing.clone(), nothing]);
        let rule = When::status(404).means(verdict);
        let (records, error) = pulled(source(&api).rule(rule).no_content_ends()).await;
        assert_eq!(records, 2);
        (error.map(|error| error.kind()), api.requests().len())
    };
    for nothing in [Reply::status(404), Reply::status(204)] {
        for verdict in [Verdict::End, Verdict::NoRecords] {
            for source in [by_total, by_flag] {
                let outcome = ended(source, nothing.clone(), verdict.clone()).await;
                assert_eq!(outcome, (Some(ErrorKind::Truncated), 3), "{verdict:?}, and asked once more");
            }
            // Where nothing is said about more, it is believed.
            assert_eq!(ended(by_nothing, nothing.clone(), verdict).await, (None, 2));
        }
    }
}
