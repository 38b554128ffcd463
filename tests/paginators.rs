//! Paginators over whole streams and runs: requests behind the first, tokens of several values, requests that the server
//! hands over, and what is kept for the next run.

use std::collections::BTreeSet;

use futures::StreamExt;
use headwater::auth::Bearer;
use headwater::error::ErrorKind;
use headwater::exchange::{Verdict, When};
use headwater::pages::{Fanout, Window};
use headwater::paginate::{Cursor, Delta, End, FollowUp, NextUrl, Offset, PageNumber, Paginate, Single};
use headwater::request::Target;
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted, Seen};
use headwater::{Mark, Pages, Pipeline, Position, RecordsExt, Request, Source, SourceBuilder};
use serde_json::{Value, json};

const HOST: &str = "https://api.example.com";
const TOKEN: &str = "t0ken-of-the-bearer";

fn get(path: &str) -> Request {
    Request::get(format!("{HOST}{path}")).unwrap()
}

fn post(path: &str) -> Request {
    Request::post(format!("{HOST}{path}")).unwrap()
}

fn pages(api: &Scripted, first: Request, paginator: impl Paginate) -> Pages {
    Pages::new(api.clone(), first, paginator).auth(Bearer::new(TOKEN).unwrap()).select("data")
}

/// The records that come, and the kind of the error at the end, if there is one.
async fn pulled(api: &Scripted, first: Request, paginator: impl Paginate) -> (Vec<u64>, Option<ErrorKind>) {
    let (mut numbers, mut ended) = (Vec::new(), None);
    let mut records = pages(api, first, paginator).records("data");
    while let Some(record) = records.next().await {
        match record {
            Ok(record) => numbers.push(record.as_str().parse().unwrap()),
            Err(error) => ended = Some(error.kind()),
        }
    }
    (numbers, ended)
}

fn reply(body: Value) -> Reply {
    Reply::json(body.to_string())
}

/// Pulls page by page, each in a stream of its own that goes on from the stored mark of the one before.
async fn pulled_by_marks(
    api: &Scripted,
    first: &Request,
    paginator: impl Paginate + Clone,
) -> (Vec<u64>, Vec<String>) {
    let (mut numbers, mut stored, mut mark) = (Vec::new(), Vec::new(), Mark::start());
    while !mark.is_end() {
        let page = pages(api, first.clone(), paginator.clone()).resume(mark).next().await.unwrap().unwrap();
        let body: Value = serde_json::from_slice(page.body()).unwrap();
        numbers.extend(body["data"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap()));
        let text = serde_json::to_string(&page.mark()).unwrap();
        mark = serde_json::from_str(&text).unwrap();
        stored.push(text);
    }
    (numbers, stored)
}

fn bodies(api: &Scripted) -> Vec<Option<Value>> {
    api.requests().into_iter().map(|seen| seen.body).collect()
}

#[tokio::test(start_paused = true)]
async fn the_requests_behind_the_first_go_to_another_path_with_the_cursor_alone() {
    let api = Scripted::new([
        reply(json!({"data": [1], "cursor": "a", "has_more": true})),
        reply(json!({"data": [], "cursor": "b", "has_more": true})),
        reply(json!({"data": [2], "cursor": "c", "has_more": false})),
    ]);
    let files = Cursor::body("cursor")
        .into_body("cursor")
        .follow(FollowUp::at("/2/list/continue").only())
        .until_false("has_more");
    let first = post("/2/list?lang=en").header("X-Team", "7").unwrap().json(json!({"path": "", "limit": 5}));
    assert_eq!(pulled(&api, first, files).await, (vec![1, 2], None));
    let seen = api.requests();
    let urls: Vec<&str> = seen.iter().map(|seen| seen.url.strip_prefix(HOST).unwrap()).collect();
    assert_eq!(urls, ["/2/list?lang=en", "/2/list/continue", "/2/list/continue"]);
    assert_eq!(bodies(&api)[1..], [Some(json!({"cursor": "a"})), Some(json!({"cursor": "b"}))]);
    for Seen { method, headers, .. } in &seen {
        assert_eq!((method.as_str(), &headers["x-team"]), ("POST", &"7".parse().unwrap()));
        assert_eq!(headers["authorization"], format!("Bearer {TOKEN}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_follow_up_to_another_origin_is_refused() {
    let api = Scripted::new([reply(json!({"data": [1], "cursor": "a"}))]);
    let away = Cursor::body("cursor").follow(FollowUp::at("https://evil.example/list"));
    assert_eq!(pulled(&api, get("/list"), away).await, (vec![1], Some(ErrorKind::Origin)));
    assert_eq!(api.urls().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_values_go_on_from_a_stored_mark() {
    let api = Scripted::from_fn(|request, _| {
        let body = request.body().unwrap();
        assert_eq!(body["size"], 2, "the rest of the body stays");
        let (after, pit) = (&body["search_after"], &body["pit"]["id"]);
        let from = if after.is_null() { 0 } else { after[0].as_u64().unwrap() + 1 };
        assert_eq!(pit, &json!(format!("pit{from}")), "the id of the last answer");
        let hits: Vec<u64> = (from..5.min(from + 2)).collect();
        let next = hits.last().map_or(from, |last| last + 1);
        let sorts: Vec<Value> = hits.iter().map(|n| json!({"n": n, "sort": [n, 1.5, "x"]})).collect();
        reply(json!({"data": hits, "hits": sorts, "pit": format!("pit{next}")}))
    });
    let first = post("/_search").json(json!({"size": 2, "pit": {"id": "pit0", "keep_alive": "1m"}}));
    let paginator =
        Cursor::last_record("sort").into_body("search_after").and(Cursor::body("pit").into_body("pit.id"));
    let (mut numbers, mut mark) = (Vec::new(), Mark::start());
    while !mark.is_end() {
        let pages = Pages::new(api.clone(), first.clone(), paginator.clone()).select("hits").resume(mark);
        let page = Box::pin(pages).next().await.unwrap().unwrap();
        let body: Value = serde_json::from_slice(page.body()).unwrap();
        numbers.extend(body["data"].as_array().unwrap().clone());
        mark = serde_json::from_str(&serde_json::to_string(&page.mark()).unwrap()).unwrap();
    }
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!(bodies(&api)[1].as_ref().unwrap()["pit"]["keep_alive"], "1m");
}

#[tokio::test(start_paused = true)]
async fn a_continue_object_is_merged_into_the_first_query_each_time() {
    let api = Scripted::new([
        reply(json!({"data": [1], "continue": {"a": "1", "continue": "-||"}})),
        reply(json!({"data": [2], "continue": {"b": "x|y", "continue": "||"}})),
        reply(json!({"data": [3]})),
    ]);
    let wiki = Cursor::body("continue").into_target(Target::merged()).missing_ends();
    let (numbers, _) = pulled_by_marks(&api, &get("/w?action=query&b=0"), wiki).await;
    assert_eq!(numbers, [1, 2, 3]);
    let queries: Vec<String> =
        api.urls().iter().map(|url| url.split_once('?').unwrap().1.to_owned()).collect();
    assert_eq!(
        queries,
        ["action=query&b=0", "action=query&b=0&a=1&continue=-%7C%7C", "action=query&b=x%7Cy&continue=%7C%7C"]
    );
}

#[tokio::test(start_paused = true)]
async fn forms_variables_headers_and_paths_take_a_cursor() {
    let list = || {
        Scripted::new([
            reply(json!({"data": [1], "next": "a/ b&c"})),
            reply(json!({"data": [2], "next": null})),
        ])
    };
    let api = list();
    pulled(&api, post("/x").form("limit", "5"), Cursor::body("next").into_form("cursor")).await;
    let form = &api.requests()[1].form;
    assert_eq!(form.last().unwrap(), &("cursor".to_owned(), "a/ b&c".to_owned()));
    assert_eq!(form.len(), 2);
    let api = list();
    let query = Request::graphql(format!("{HOST}/graphql"), "query($after: String) { n }").unwrap();
    pulled(&api, query.variable("first", 5), Cursor::body("next").into_body("variables.after")).await;
    assert_eq!(bodies(&api)[0].as_ref().unwrap()["variables"], json!({"first": 5}));
    assert_eq!(bodies(&api)[1].as_ref().unwrap()["variables"], json!({"first": 5, "after": "a/ b&c"}));
    let api = list();
    pulled(&api, get("/x"), Cursor::body("next").into_header("X-After")).await;
    assert_eq!(api.requests()[1].header("x-after"), Some("a/ b&c"));
    let api = list();
    let path = Cursor::body("next").into_target(Target::placeholder("after")).first("begin");
    pulled(&api, get("/x/{after}/items"), path).await;
    assert_eq!(api.urls(), [format!("{HOST}/x/begin/items"), format!("{HOST}/x/a%2F%20b%26c/items")]);
}

/// A search that hands over its next requests as a whole: POSTs with a token in the body, merged into the first.
fn stac() -> Scripted {
    Scripted::from_fn(|request, _| {
        assert_eq!(request.method(), "POST");
        let body = request.body().unwrap();
        assert_eq!(body["collections"], json!(["a"]), "merged into the first");
        let from = body["token"].as_u64().unwrap_or(0);
        let mut links = vec![json!({"rel": "self", "href": "/"})];
        if from < 8 {
            let next = json!({"rel": "next", "href": "https://api.example.com/search", "method": "POST",
                "body": {"token": from + 2}, "merge": true,
                "headers": {"Search-After": "x", "Authorization": "Bearer of-the-server", "Cookie": "a=b"}});
            links.push(next);
        }
        reply(json!({"data": [from, from + 1], "links": links}))
    })
}

#[tokio::test(start_paused = true)]
async fn the_server_hands_over_the_next_request() {
    let api = stac();
    let first = post("/search").repeatable().json(json!({"collections": ["a"]}));
    let (numbers, stored) = pulled_by_marks(&api, &first, NextUrl::links("links").as_request()).await;
    assert_eq!(numbers, (0..10).collect::<Vec<u64>>());
    for seen in &api.requests()[1..] {
        assert_eq!(seen.header("search-after"), Some("x"));
        assert_eq!(seen.header("authorization"), Some("Bearer t0ken-of-the-bearer"), "ours, and no other");
        assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
        assert_eq!(seen.header("cookie"), None);
    }
    assert!(stored[0].contains(r#""href":"/search""#), "our own origin is not stored: {}", stored[0]);
    assert!(!stored[0].contains("of-the-server"), "{}", stored[0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_handed_over_goes_through_the_same_door_as_a_link() {
    let handed = |link: Value| {
        let first = reply(json!({"data": [1], "next": link}));
        Scripted::from_fn(
            move |_, nth| if nth == 1 { first.clone() } else { reply(json!({"data": [2], "next": null})) },
        )
    };
    let post_to = |href: &str| json!({"href": href, "method": "POST", "body": {"token": "t"}});
    for (link, expected) in [
        (post_to("https://evil.example/search"), Some(ErrorKind::Origin)),
        (post_to("http://api.example.com/search"), Some(ErrorKind::Origin)),
        (post_to("file:///etc/passwd"), Some(ErrorKind::Origin)),
        (json!({"href": "https://user:pw@api.example.com/", "method": "POST"}), Some(ErrorKind::Origin)),
        // Even where a link may lead, a body may not.
        (post_to("https://files.example.com/search"), Some(ErrorKind::Origin)),
        // A credential in the body of what is stored.
        (json!({"href": "/", "method": "POST", "body": {"t": format!("x{TOKEN}")}}), Some(ErrorKind::Cursor)),
        (json!({"href": "/", "method": "POST", "headers": {"X-A": TOKEN}}), Some(ErrorKind::Cursor)),
        (json!({"href": "/", "method": "POST", "body": {"x": "y".repeat(70_000)}}), Some(ErrorKind::Cursor)),
        // In the link it is replaced by a word, as in any other.
        (json!({"href": format!("/?access={TOKEN}"), "method": "POST", "body": {}}), None),
        (json!({"href": "https://files.example.com/next"}), None),
    ] {
        let api = handed(link.clone());
        let pages =
            pages(&api, get("/search"), NextUrl::request("next")).allow_origin("https://files.example.com");
        let given: Vec<_> = pages.collect().await;
        let error = given.iter().find_map(|page| page.as_ref().err());
        assert_eq!(error.map(|error| error.kind()), expected, "{link}");
        assert_eq!(api.urls().len(), if expected.is_some() { 1 } else { 2 }, "{link}");
        assert!(!format!("{given:?}").contains(TOKEN), "{link}");
        for page in given.iter().flatten() {
            assert!(!serde_json::to_string(&page.mark()).unwrap().contains(TOKEN), "{link}");
        }
        if expected.is_none() && link["href"].as_str().unwrap().contains("files") {
            assert_eq!(api.requests()[1].header("authorization"), None);
        }
        if link["href"].as_str().unwrap().contains("access") {
            assert!(api.urls()[1].ends_with(&format!("/?access={TOKEN}")), "{:?}", api.urls());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_the_server_puts_into_its_links_is_not_stored() {
    let api = Scripted::from_fn(|request, _| {
        assert!(!request.url().as_str().contains("access_token"));
        let at = request.url().query_pairs().find(|(name, _)| name == "after");
        let at: u64 = at.map_or(0, |(_, value)| value.parse().unwrap());
        let next = format!("{HOST}/v1/items?access_token=made-by-the-server&after={}", at + 1);
        let paging = if at < 3 { json!({"next": next}) } else { json!({}) };
        let data: Vec<u64> = if at == 1 { Vec::new() } else { vec![at] };
        reply(json!({"data": data, "paging": paging}))
    });
    let meta = NextUrl::body("paging.next").strip_query(["access_token"]).missing_ends();
    let (numbers, stored) = pulled_by_marks(&api, &get("/v1/items"), meta).await;
    assert_eq!(numbers, [0, 2, 3], "an empty page in the middle is legal");
    assert!(stored.iter().all(|mark| !mark.contains("made-by-the-server")));
}

#[tokio::test(start_paused = true)]
async fn a_credential_within_a_position_of_several_values_is_not_stored() {
    for next in [json!({"a": {"S": TOKEN}}), json!([1, format!("x-{TOKEN}")]), json!({TOKEN: 1})] {
        let api = Scripted::new([reply(json!({"data": [1], "next": next}))]);
        let whole = Cursor::body("next").into_body("after");
        assert_eq!(pulled(&api, post("/x"), whole).await, (vec![], Some(ErrorKind::Cursor)), "{next}");
    }
    let api = Scripted::new([reply(json!({"data": [1], "next": "a"})).header("x-b", TOKEN)]);
    let both = Cursor::body("next").and(Cursor::header("x-b").into_query("b"));
    assert_eq!(pulled(&api, get("/x"), both).await, (vec![], Some(ErrorKind::Cursor)));
}

/// A list of numbers that grows, and says at its end where the next run begins.
#[derive(Clone, Copy)]
enum Kind {
    /// `@odata.nextLink` and `@odata.deltaLink`.
    Graph,
    /// `nextPageToken` and `nextSyncToken`.
    Calendar,
    /// `list_folder` and `list_folder/continue`.
    Folder,
}

impl Kind {
    fn paginator(self) -> Delta {
        let page = || Cursor::body("nextPageToken").into_query("pageToken").missing_ends();
        let cursor =
            || Cursor::body("cursor").into_body("cursor").follow(FollowUp::at("/list/continue").only());
        match self {
            Self::Graph => Delta::new(
                NextUrl::body("/@odata.nextLink").missing_ends(),
                NextUrl::body("/@odata.deltaLink"),
            ),
            Self::Calendar => Delta::new(page(), Cursor::body("nextSyncToken").into_query("syncToken")),
            Self::Folder => Delta::new(cursor().until_false("has_more"), cursor()),
        }
    }

    /// Answers with the numbers below `there` behind a place, two at a time.
    fn answer(self, request: &Request, there: u64) -> Reply {
        let parameter = |name: &str| {
            let found = request.url().query_pairs().find(|(other, _)| other == name);
            found.map(|(_, value)| value.parse::<u64>().unwrap())
        };
        let since = parameter("syncToken").unwrap_or(0);
        let from = match self {
            Self::Graph => parameter("$skiptoken").or(parameter("$deltatoken")).unwrap_or(0),
            Self::Calendar => match parameter("pageToken") {
                Some(token) => {
                    assert_eq!(token % 1000, since, "the sync token goes along with each page");
                    token / 1000
                }
                None => since,
            },
            Self::Folder => {
                let cursor = request.body().and_then(|body| body["cursor"].as_str()?.parse().ok());
                assert_eq!(request.url().path().ends_with("continue"), cursor.is_some());
                cursor.unwrap_or(0)
            }
        };
        let to = there.min(from + 2);
        let data: Vec<u64> = (from..to).collect();
        let is_last = to == there;
        reply(match self {
            Self::Graph if is_last => {
                json!({"data": data, "@odata.deltaLink": format!("{HOST}/list?$deltatoken={to}")})
            }
            Self::Graph => json!({"data": data, "@odata.nextLink": format!("{HOST}/list?$skiptoken={to}")}),
            Self::Calendar if is_last => json!({"data": data, "nextSyncToken": to.to_string()}),
            Self::Calendar => json!({"data": data, "nextPageToken": (to * 1000 + since).to_string()}),
            Self::Folder => json!({"data": data, "cursor": to.to_string(), "has_more": !is_last}),
        })
    }

    fn source(self, api: &Scripted) -> SourceBuilder {
        let source = match self {
            Self::Folder => {
                Source::post("list", format!("{HOST}/list")).json(json!({"path": ""})).repeatable()
            }
            _ => Source::get("list", format!("{HOST}/list")),
        };
        source.transport(api.clone()).bearer(TOKEN).records("data").paginate(self.paginator())
    }
}

async fn run(sink: &Memory, source: SourceBuilder) -> Result<(), headwater::Error> {
    let run = Pipeline::new().source(source.build()?).sink(sink.clone());
    run.run().await.map(drop).map_err(|failed| failed.error)
}

/// The numbers that the last run has put into the sink.
fn numbers(sink: &Memory) -> Vec<u64> {
    let lines = sink.lines("list");
    lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["value"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_run_takes_what_has_come_since() {
    for kind in [Kind::Graph, Kind::Calendar, Kind::Folder] {
        let there = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(5));
        let grows = there.clone();
        let api = Scripted::from_fn(move |request, _| {
            kind.answer(request, grows.load(std::sync::atomic::Ordering::SeqCst))
        });
        let sink = Memory::new();
        let mut all = BTreeSet::new();
        for (until, expected) in [(5, 0..5), (5, 5..5), (11, 5..11), (12, 11..12)] {
            there.store(until, std::sync::atomic::Ordering::SeqCst);
            run(&sink, kind.source(&api)).await.unwrap();
            let came = numbers(&sink);
            assert_eq!(came, expected.collect::<Vec<u64>>());
            assert!(came.into_iter().all(|number| all.insert(number)), "each once over all runs");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delta_run_that_was_broken_off_goes_on_with_its_token() {
    for kind in [Kind::Graph, Kind::Calendar, Kind::Folder] {
        let api = Scripted::from_fn(move |request, nth| match nth {
            1..=3 => kind.answer(request, 5),
            5 => Reply::status(400),
            _ => kind.answer(request, 11),
        });
        let sink = Memory::new();
        run(&sink, kind.source(&api)).await.unwrap();
        assert_eq!(numbers(&sink), [0, 1, 2, 3, 4]);
        run(&sink, kind.source(&api)).await.unwrap_err();
        run(&sink, kind.source(&api)).await.unwrap();
        assert_eq!(numbers(&sink), [5, 6, 7, 8, 9, 10]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delta_token_that_is_promised_and_missing_is_an_error() {
    let api = Scripted::new([reply(json!({"data": [1]}))]);
    let error = run(&Memory::new(), Kind::Calendar.source(&api)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cursor);
    // And one that has expired says so.
    let api = Scripted::new([reply(json!({"data": [1], "nextSyncToken": "7"})), Reply::status(410)]);
    let sink = Memory::new();
    run(&sink, Kind::Calendar.source(&api)).await.unwrap();
    assert_eq!(run(&sink, Kind::Calendar.source(&api)).await.unwrap_err().kind(), ErrorKind::CursorExpired);
}

#[tokio::test(start_paused = true)]
async fn a_position_of_the_dialect_before_is_not_misread() {
    let stored = Mark::at(Position::Json(json!({"kept": {"cursor": "a"}})));
    for paginator in [Cursor::body("next"), Cursor::body("next").into_target(Target::query("x"))] {
        let api = Scripted::new([]);
        let given = pages(&api, get("/x"), paginator).resume(stored.clone()).collect::<Vec<_>>().await;
        assert_eq!(given[0].as_ref().unwrap_err().kind(), ErrorKind::Config);
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_counts_in_its_body_until_the_total() {
    let api = Scripted::from_fn(|request, _| {
        let body = request.body().unwrap();
        let (from, size) = (body["from"].as_u64().unwrap(), body["size"].as_u64().unwrap());
        let data: Vec<u64> = (from..25.min(from + size.min(10))).collect();
        reply(json!({"data": data, "hits": {"total": {"value": "25"}}}))
    });
    let search = Offset::new(100)
        .offset_into(Target::body("from"))
        .limit_into(Target::body("size"))
        .until(End::total("hits.total.value"));
    let first = post("/_search").json(json!({"query": {"match_all": {}}}));
    let (numbers, ended) = pulled(&api, first, search).await;
    assert_eq!((numbers.len(), ended), (25, None));
    assert_eq!(api.urls().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_graphql_answer_with_errors_is_none_unless_a_rule_says_otherwise() {
    let answers = |second: Value| {
        let page = |n: u64, next: Value| json!({"data": {"list": [n], "next": next}});
        let mut broken = page(2, Value::Null);
        broken["errors"] = second;
        Scripted::new([reply(page(1, json!("a"))), reply(broken), reply(page(2, Value::Null))])
    };
    let source = |api: &Scripted| {
        Source::graphql("list", format!("{HOST}/graphql"), "query($after: String) { list(after: $after) }")
            .transport(api.clone())
            .records("data.list")
            .paginate(Cursor::body("data.next").into_body("variables.after"))
    };
    let sink = Memory::new();
    let partial = json!([{"message": "a part of it is missing"}]);
    let error = run(&sink, source(&answers(partial.clone()))).await.unwrap_err();
    assert_eq!((error.kind(), numbers(&sink)), (ErrorKind::Status, vec![1]));
    let tolerant = source(&answers(partial)).rule(When::any().body_present("errors").means(Verdict::Success));
    run(&Memory::new(), tolerant).await.unwrap();
    let sink = Memory::new();
    let throttled = answers(json!([{"extensions": {"code": "THROTTLED"}}]));
    run(&sink, source(&throttled)).await.unwrap();
    assert_eq!((numbers(&sink), throttled.urls().len()), (vec![1, 2], 3));
    // An answer without any is a page.
    run(&Memory::new(), source(&answers(json!([])))).await.unwrap();
}

#[test]
fn what_is_sent_must_have_a_place_in_the_request_when_the_source_is_built() {
    let cursor = || Cursor::body("next");
    let body = || cursor().into_body("page.after");
    let in_path = || cursor().into_target(Target::placeholder("after"));
    let offset = |target| Offset::new(9).offset_into(target).limit_param("n");
    fn with(request: Request, paginator: impl Paginate) -> SourceBuilder {
        Source::request("items", request).records("data").paginate(paginator)
    }
    let rows: Vec<(&str, SourceBuilder, Option<&str>)> = vec![
        ("a cursor into the body of a GET", with(get("/x"), body()), Some("page.after")),
        ("a cursor into the form of a GET", with(get("/x"), cursor().into_form("after")), Some("after")),
        ("the second of two", with(get("/x"), cursor().and(body())), Some("page.after")),
        ("the kept one", with(get("/x"), Delta::new(cursor(), body())), Some("page.after")),
        ("an offset into the body of a GET", with(get("/x"), offset(Target::body("from"))), Some("from")),
        ("a GET with a body on purpose", with(get("/x").json(json!({"size": 9})), body()), None),
        ("a POST without a body", with(post("/x"), body()), None),
        (
            "a GraphQL request",
            with(Request::graphql(HOST, "{x}").unwrap(), cursor().into_body("variables.a")),
            None,
        ),
        ("a body beside a form", with(post("/x").form("q", "1"), body()), Some("form")),
        ("a form beside a body", with(post("/x").json(json!({})), cursor().into_form("a")), Some("form")),
        ("a body without room", with(post("/x").json(json!({"page": 1})), body()), Some("page.after")),
        ("a follow-up's body", with(get("/x"), body().follow(FollowUp::at("/y").json(json!({})))), None),
        (
            "a follow-up that drops it",
            with(get("/x").json(json!({"q": 1})), body().follow(FollowUp::at("/y").only())),
            None,
        ),
        ("a path without the name", with(get("/x"), in_path()), Some("{after}")),
        ("a path with the name", with(get("/x/{after}"), in_path().first("0")), None),
        ("a follow-up's path", with(get("/x"), in_path().follow(FollowUp::at("/x/{after}"))), None),
        ("pages of no rows", with(get("/x"), Offset::new(0)), Some("0 rows")),
        ("pages of no rows", with(get("/x"), PageNumber::new().size("n", 0)), Some("0 rows")),
        ("no pages", with(get("/x"), PageNumber::new().most_pages(0)), Some("0 pages")),
        ("shorter than nothing", with(get("/x"), cursor().until(End::short_page(0))), Some("0 rows")),
        ("two tokens for one place", with(get("/x"), cursor().and(Cursor::body("other"))), Some("cursor")),
        (
            "the size in the place of the number",
            with(get("/x"), PageNumber::new().size("page", 9)),
            Some("page"),
        ),
        ("the size in the place of the offset", with(get("/x"), offset(Target::query("n"))), Some("\"n\"")),
        ("a limit that is not sent", with(get("/x"), Offset::new(0).without_limit_param()), None),
    ];
    for (name, source, wrong) in rows {
        let error = source.build().err().map(|error| (error.kind(), error.to_string()));
        match (wrong, error) {
            (None, None) => {}
            (Some(text), Some((ErrorKind::Config, error))) if error.contains(text) => {}
            (wrong, error) => panic!("{name}: expected {wrong:?}, and it is {error:?}"),
        }
    }
}

#[test]
fn a_name_in_the_request_that_nothing_gives_a_value_is_refused_when_the_source_is_built() {
    let list = |url: &str| Source::get("list", format!("{HOST}{url}")).records("data").paginate(Single);
    let ids = || Window::ids(0..9);
    let parent = || list("/parents");
    let rows: Vec<(&str, SourceBuilder, Option<&str>)> = vec![
        ("a window's name", list("/x?from={start}"), Some("{start}")),
        ("in the path, encoded", list("/x/%7Bkey%7D"), Some("{key}")),
        ("in the body", list("/x").json(json!({"q": ["created:..{end}"]})), Some("{end}")),
        ("in a header", list("/x").header("X-Range", "{start}-9"), Some("{start}")),
        ("with a window", list("/x?from={start}&to={end}").window(ids()), None),
        (
            "with a window of another kind",
            list("/x?from={start}&to={end}&k={key}").window(ids()),
            Some("{key}"),
        ),
        ("bound by a fan-out", list("/{key}").fanout(Fanout::over(parent()).bind("key", "id")), None),
        (
            "not bound by a fan-out",
            list("/{id}?since={since}").fanout(Fanout::over(parent()).bind("id", "id")),
            Some("{since}"),
        ),
        (
            "bound further up",
            list("/{id}?from={start}&since={since}").fanout(
                Fanout::over(
                    list("/{since}?from={start}&to={end}")
                        .window(ids())
                        .fanout(Fanout::over(parent()).bind("since", "id")),
                )
                .bind("id", "id"),
            ),
            None,
        ),
        (
            "the parent's own",
            list("/{id}").fanout(Fanout::over(list("/parents?from={start}")).bind("id", "id")),
            Some("{start}"),
        ),
        (
            "a paginator's (GitHub's `since` is an id)",
            list("/users?since={since}")
                .paginate(Cursor::last_record("id").into_target(Target::placeholder("since"))),
            None,
        ),
        (
            "another template's",
            list("/{{key}}?q={{start}}")
                .header("X-T", "{{end}}")
                .json(json!({"source": "{{start}} {{ key }}"})),
            None,
        ),
        ("one of each", list("/x").json(json!({"source": "{{start}}", "from": "{start}"})), Some("{start}")),
        ("nobody's", list("/x?q={other}&r={}&filter={a:{start:1}}").query("s", "{ start }"), None),
    ];
    for (name, source, wrong) in rows {
        match (wrong, source.build()) {
            (None, Ok(_)) => {}
            (Some(text), Err(error)) if error.kind() == ErrorKind::Config => {
                assert!(error.to_string().contains(text) && error.help().is_some(), "{name}: {error:?}");
            }
            (wrong, built) => panic!("{name}: expected {wrong:?}, and it is {:?}", built.err()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn parents_without_a_transport_of_their_own_take_over_that_of_the_child() {
    let server = || Scripted::from_fn(|_, _| Reply::json(r#"{"data":[{"id":1},{"id":2}]}"#));
    let list = |path: &str| Source::get("list", format!("{HOST}{path}")).records("data").paginate(Single);
    let (api, other) = (server(), server());
    let levels = |orgs: SourceBuilder| {
        let repos = list("/{org}/repos").fanout(Fanout::over(orgs).bind("org", "id"));
        list("/{repo}/issues").transport(api.clone()).fanout(Fanout::over(repos).bind("repo", "id"))
    };
    let pull = async |source: SourceBuilder| {
        let batches = source.build().unwrap().batches(Mark::start()).unwrap();
        batches.map(|batch| batch.unwrap().len()).fold(0, async |sum, len| sum + len).await
    };
    assert_eq!(pull(levels(list("/orgs"))).await, 8);
    assert_eq!(api.requests().len(), 1 + 2 + 4);
    assert_eq!(pull(levels(list("/orgs").transport(other.clone()))).await, 8);
    assert_eq!((api.requests().len(), other.requests().len()), (7 + 6, 1));
}

#[test]
fn a_number_in_the_url_that_is_not_where_paging_begins_is_refused() {
    let source = |url: &str, paginator: PageNumber| {
        let source = Source::get("x", url).records("data").paginate(paginator).build();
        source.map(drop).map_err(|error| (error.kind(), error.help().unwrap_or_default().to_owned()))
    };
    let refused = source("https://h.example/items?page=0", PageNumber::new()).unwrap_err();
    assert_eq!(refused.0, ErrorKind::Config);
    assert!(refused.1.contains(".start(0)"), "{}", refused.1);
    source("https://h.example/items?page=0", PageNumber::new().start(0)).unwrap();
    source("https://h.example/items?page=1&x=0", PageNumber::new()).unwrap();
    let offset = Source::get("x", "https://h.example/items?offset=100").records("data");
    assert_eq!(offset.paginate(Offset::new(10)).build().unwrap_err().kind(), ErrorKind::Config);
}
