//! What a first page gives away, for first pages as vendors' documents show them.

use headwater::page::Select;
use headwater::paginate::{Cursor, End, NextUrl, Offset, PageNumber};
use headwater::request::Target;
use headwater::sink::Memory;
use headwater::source::{Probe, SourceBuilder};
use headwater::testing::{Reply, Scripted};
use headwater::{ErrorKind, Pipeline, Request, RetryPolicy, Source};
use serde_json::{Value, json};

async fn look(url: &str, reply: Reply) -> Probe {
    Source::get("items", url).transport(Scripted::new([reply])).probe().await.unwrap()
}

#[tokio::test]
async fn each_dialect_is_known_by_its_marks() {
    let link = r#"<https://api.example.com/items?page=2>; rel="next""#;
    let sentry = r#"<https://s.example/?cursor=0:100:0>; rel="next"; results="true"; cursor="0:100:0""#;
    for (api, reply, records, paginator) in [
        ("GitHub", Reply::json(r#"[{"id":1}]"#).header("link", link), "", "LinkHeader::new()"),
        (
            "Sentry",
            Reply::json(r#"[{"id":"1"}]"#).header("link", sentry),
            "",
            r#"LinkHeader::new().until_param("results", "false")"#,
        ),
        (
            "Stripe",
            Reply::json(r#"{"object":"list","data":[{"id":"in_1"}],"has_more":true,"url":"/v1/invoices"}"#),
            "data",
            r#"Cursor::last_record("id").into_query("starting_after").until_false("has_more")"#,
        ),
        (
            "Slack",
            Reply::json(
                r#"{"ok":true,"channels":[{"id":"C1"}],"response_metadata":{"next_cursor":"dGVhbTpD"}}"#,
            ),
            "channels",
            r#"Cursor::body("response_metadata.next_cursor").into_query("cursor")"#,
        ),
        (
            "Notion",
            Reply::json(r#"{"results":[{"id":"a"}],"next_cursor":"fe2c","has_more":true}"#),
            "results",
            r#"Cursor::body("next_cursor").into_query("cursor").until_false("has_more")"#,
        ),
        (
            "Google Drive",
            Reply::json(r#"{"files":[{"id":"a"}],"nextPageToken":"~!!~AI9"}"#),
            "files",
            r#"Cursor::body("nextPageToken").into_query("pageToken")"#,
        ),
        (
            "Microsoft Graph",
            Reply::json(
                r#"{"@odata.nextLink":"https://graph.microsoft.com/v1.0/users?$skiptoken=x","value":[{"id":"a"}]}"#,
            ),
            "value",
            r#"NextUrl::body("/@odata.nextLink")"#,
        ),
        (
            "Django REST framework",
            Reply::json(
                r#"{"count":1023,"next":"https://api.example.org/accounts/?page=2","previous":null,"results":[{"id":1}]}"#,
            ),
            "results",
            r#"NextUrl::body("next")"#,
        ),
        (
            "Confluence",
            Reply::json(
                r#"{"results":[{"id":"1"}],"_links":{"next":"/rest/api/content?cursor=x","base":"https://x.atlassian.net/wiki"}}"#,
            ),
            "results",
            "NextUrl::body(\"_links.next\")",
        ),
        (
            "STAC",
            Reply::json(
                r#"{"features":[{"id":"a"}],"links":[{"rel":"next","href":"https://s.example/search","method":"POST","body":{"token":"x"}}]}"#,
            ),
            "features",
            r#"NextUrl::links("links").as_request()"#,
        ),
        (
            "PayPal",
            Reply::json(
                r#"{"items":[{"id":"a"}],"links":[{"rel":"next","href":"https://p.example/?page=2"}],"total_pages":4}"#,
            ),
            "items",
            r#"NextUrl::links("links")"#,
        ),
        (
            "Jira",
            Reply::json(r#"{"startAt":0,"maxResults":50,"total":200,"issues":[{"id":"1"},{"id":"2"}]}"#),
            "issues",
            r#"Offset::new(50).offset_param("startAt").limit_param("maxResults").until_total("total")"#,
        ),
        (
            "Spring",
            Reply::json(r#"{"content":[{"id":1}],"page":{"size":20,"totalPages":7,"number":0}}"#),
            "content",
            r#"PageNumber::new().param("page").start(0).until_page_count("page.totalPages")"#,
        ),
        (
            "Kinto",
            Reply::json(r#"{"data":[{"id":"a"}]}"#).header("next-page", "https://k.example/?_token=x"),
            "data",
            r#"NextUrl::header("Next-Page")"#,
        ),
        ("one page", Reply::json(r#"{"things":[{"id":"a"}]}"#), "things", "Single"),
    ] {
        let found = look("https://api.example.com/items", reply).await;
        assert_eq!(found.records[0].0, records, "{api}");
        assert_eq!(found.dialects[0].paginator, paginator, "{api}: {:#?}", found.dialects);
        assert!(found.code.contains(paginator) && found.to_string().contains("because"), "{api}");
    }
}

#[tokio::test]
async fn size_limits_key_and_change_are_seen() {
    let reply = Reply::json(
        r#"{"data":[{"id":1,"updated_at":"2026-01-02T03:04:05Z","n":1.5,"who":{"name":"x"}},
                    {"id":2,"updated_at":"2026-01-02T03:04:05Z","n":null}],"per_page":30}"#,
    )
    .header("x-ratelimit-remaining", "59")
    .header("x-request-id", "abc");
    let found = look("https://api.example.com/items", reply).await;
    assert_eq!(found.size.unwrap().parameter, "per_page");
    assert_eq!(found.limits, [("x-ratelimit-remaining".to_owned(), "59".to_owned())]);
    assert_eq!(found.schema.key.as_deref(), Some("id"));
    assert_eq!(found.schema.changed.as_deref(), Some("updated_at"));
    let fields: Vec<_> = found
        .schema
        .fields
        .iter()
        .map(|field| (field.path.as_str(), field.types.join("|"), field.present))
        .collect();
    assert!(fields.contains(&("n", "null|number".to_owned(), 2)), "{fields:?}");
    assert!(fields.contains(&("who.name", "string".to_owned(), 1)), "{fields:?}");
    assert!(found.code.contains(r#"Incremental::by("updated_at").key("id")"#), "{}", found.code);
}

#[tokio::test]
async fn no_credential_is_in_what_it_says() {
    let api = Scripted::new([Reply::json(r#"{"data":[]}"#)]);
    let source = Source::get("items", "https://api.example.com/items?api_key=q-s3cret-of-sixteen");
    let found = source.bearer("b-s3cret-of-sixteen").transport(api.clone()).probe().await.unwrap();
    assert!(api.requests()[0].header("authorization").is_some(), "it is asked with the credentials");
    let text = format!("{found} {found:?} {}", serde_json::to_string(&found).unwrap());
    assert!(!text.contains("s3cret"), "{text}");
}

#[tokio::test]
async fn what_is_no_page_is_an_error() {
    let html = Scripted::from_fn(|_, _| Reply::status(200).html("<html>sign in</html>"));
    let source = Source::get("items", "https://h.example/").transport(html).retry(RetryPolicy::none());
    assert_eq!(source.probe().await.unwrap_err().kind(), ErrorKind::NotJson);
    let gone = Scripted::from_fn(|_, _| Reply::status(404));
    let error = Source::get("items", "https://h.example/").transport(gone).probe().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status);
}

/// A definition as the probe writes it: its text, and what it does.
macro_rules! proposed {
    ($records:expr, $paginator:expr) => {
        Proposed {
            records: stringify!($records),
            paginator: stringify!($paginator),
            add: |source| source.records($records).paginate($paginator),
        }
    };
}

struct Proposed {
    records: &'static str,
    paginator: &'static str,
    add: fn(SourceBuilder) -> SourceBuilder,
}

/// So many rows the servers have.
const ALL: usize = 7;

fn number(request: &Request, name: &str) -> Option<usize> {
    let in_query =
        request.url().query_pairs().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok());
    in_query
        .or_else(|| request.body().and_then(|body| body.get(name)?.as_u64()).map(|number| number as usize))
}

fn rows(from: usize, size: usize) -> Vec<Value> {
    (from..(from + size).min(ALL)).map(|id| json!({"id": id, "sort": [id]})).collect()
}

/// Probes, compares what is proposed, and pulls by it: every row must come once.
async fn holds(
    what: &str,
    source: impl Fn() -> SourceBuilder,
    first: Option<Value>,
    api: fn(&Request) -> Value,
    proposed: Proposed,
) -> Probe {
    let reply = move |request: &Request| Reply::json(api(request).to_string());
    let probed = match first {
        Some(first) => source().transport(Scripted::new([Reply::json(first.to_string())])).probe().await,
        None => source().transport(Scripted::from_fn(move |request, _| reply(request))).probe().await,
    };
    let probe = probed.unwrap_or_else(|error| panic!("{what}: {error}"));
    let plain = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(
        plain(&probe.dialects[0].paginator),
        plain(proposed.paginator),
        "{what}: {:#?}",
        probe.dialects
    );
    let code = format!(".records({}).paginate({})", proposed.records, proposed.paginator);
    assert!(plain(&probe.code).contains(&plain(&code)), "{what}: {}", probe.code);
    let sink = Memory::new();
    let transport = Scripted::from_fn(move |request, _| reply(request));
    let source = (proposed.add)(source().transport(transport)).build().unwrap();
    let name = source.name().to_owned();
    let report = Pipeline::new().source(source).sink(sink.clone()).run().await;
    report.unwrap_or_else(|error| panic!("{what}: {error}"));
    let ids = sink.lines(&name).into_iter().map(|line| {
        let record: Value = serde_json::from_str(&line).unwrap();
        record["id"].as_u64().unwrap_or_else(|| panic!("{what}: {line}")) as usize
    });
    assert_eq!(ids.collect::<Vec<_>>(), (0..ALL).collect::<Vec<_>>(), "{what}");
    probe
}

fn at(url: &'static str) -> impl Fn() -> SourceBuilder {
    move || Source::get("items", format!("https://a.example.com/{url}"))
}

#[tokio::test]
async fn a_first_page_that_is_the_last_shows_its_dialect_all_the_same() {
    let was_last = |what: &str, probe: &Probe| {
        assert!(probe.dialects[0].doubt.as_ref().unwrap().contains("last page"), "{what}: {probe}");
        assert_eq!(probe.dialects.last().unwrap().paginator, "Single", "{what}");
    };
    let probe = holds(
        "next_cursor is null",
        at("x"),
        Some(json!({"data": [{"id": 1}, {"id": 2}], "next_cursor": null})),
        |request| {
            let from = number(request, "cursor").unwrap_or(0);
            let next = (from + 3 < ALL).then(|| (from + 3).to_string());
            json!({"data": rows(from, 3), "next_cursor": next})
        },
        proposed!("data", Cursor::body("next_cursor").into_query("cursor")),
    )
    .await;
    was_last("next_cursor", &probe);
    let probe = holds(
        "has_more is false",
        at("x"),
        Some(json!({"data": [{"id": 1}], "meta": {"next_cursor": null}, "has_more": false})),
        |request| {
            let from = number(request, "cursor").unwrap_or(0);
            let next = (from + 3 < ALL).then(|| (from + 3).to_string());
            json!({"data": rows(from, 3), "has_more": next.is_some(), "meta": {"next_cursor": next}})
        },
        proposed!("data", Cursor::body("meta.next_cursor").into_query("cursor").until_false("has_more")),
    )
    .await;
    was_last("has_more", &probe);
    let probe = holds(
        "nextPageToken is empty",
        at("x"),
        Some(json!({"files": [{"id": 1}], "nextPageToken": ""})),
        |request| {
            let from = number(request, "pageToken").unwrap_or(0);
            let next = if from + 3 < ALL { (from + 3).to_string() } else { String::new() };
            json!({"files": rows(from, 3), "nextPageToken": next})
        },
        proposed!("files", Cursor::body("nextPageToken").into_query("pageToken")),
    )
    .await;
    was_last("nextPageToken", &probe);
    for (name, empty) in [("next", Value::Null), ("next", json!("")), ("next_url", Value::Null)] {
        let first = json!({"results": [{"id": 1}], name: empty});
        let api = |request: &Request| {
            let from = number(request, "offset").unwrap_or(0);
            let next = (from + 3 < ALL).then(|| format!("https://a.example.com/x?offset={}", from + 3));
            json!({"results": rows(from, 3), "next": next, "next_url": next})
        };
        let proposed = match name {
            "next" => proposed!("results", NextUrl::body("next")),
            _ => proposed!("results", NextUrl::body("next_url")),
        };
        let probe = holds(name, at("x"), Some(first), api, proposed).await;
        was_last(name, &probe);
    }
}

#[tokio::test]
async fn what_was_asked_for_is_evidence() {
    let odata = |request: &Request| {
        let (skip, top) = (number(request, "$skip").unwrap_or(0), number(request, "$top").unwrap());
        json!({"@odata.count": ALL, "value": rows(skip, top)})
    };
    holds(
        "OData",
        at("x?$top=2&$skip=0&$count=true"),
        None,
        odata,
        proposed!(
            "value",
            Offset::new(2).offset_param("$skip").limit_param("$top").until_total("/@odata.count")
        ),
    )
    .await;
    let bare = |request: &Request| {
        let size = number(request, "per_page").unwrap();
        json!(rows((number(request, "page").unwrap_or(1) - 1) * size, size))
    };
    let probe = holds(
        "a bare array",
        at("x?page=1&per_page=2"),
        None,
        bare,
        proposed!("", PageNumber::new().param("page").size("per_page", 2)),
    )
    .await;
    let single = probe.dialects.last().unwrap();
    assert!(single.paginator == "Single" && single.doubt.as_ref().unwrap().contains("as full as"), "{probe}");
    // Only the size: what the page is asked for by is a guess, and is said to be one.
    let probe = holds(
        "a full page",
        at("x?per_page=2"),
        None,
        bare,
        proposed!("", PageNumber::new().param("page").size("per_page", 2)),
    )
    .await;
    assert!(probe.dialects[0].doubt.as_ref().unwrap().contains("guess"), "{probe}");
    let found = look("https://a.example.com/x?per_page=5", Reply::json("[{\"id\":1}]")).await;
    assert_eq!(found.dialects[0].paginator, "Single", "a page that is not full");
    let search =
        || Source::post("items", "https://a.example.com/i/_search").json(json!({"size": 2, "sort": ["id"]}));
    let probe = holds(
        "Elasticsearch",
        search,
        None,
        |request| {
            let after = request.body().and_then(|body| body["search_after"][0].as_u64());
            let hits = rows(after.map_or(0, |after| after as usize + 1), 2);
            json!({"_shards": {"failures": []}, "hits": {"total": {"value": 10000, "relation": "gte"}, "hits": hits}})
        },
        proposed!("hits.hits", Cursor::last_record("sort").into_body("search_after")),
    )
    .await;
    assert!(probe.code.starts_with("Source::post(") && probe.code.contains(".json(body)"), "{}", probe.code);
    assert!(probe.to_string().starts_with("POST https://a.example.com/i/_search: status 200"), "{probe}");
}

#[tokio::test]
async fn pages_are_counted_from_where_the_api_counts_from() {
    fn spring(request: &Request) -> Value {
        let (page, size) = (number(request, "page").unwrap_or(0), number(request, "size").unwrap_or(2));
        let pages = ALL.div_ceil(size);
        json!({"content": rows(page * size, size), "totalPages": pages, "totalElements": ALL, "number": page,
               "size": size, "first": page == 0, "last": page + 1 >= pages})
    }
    holds(
        "by the URL, with its size",
        at("x?page=0&size=3"),
        None,
        spring,
        proposed!(
            "content",
            PageNumber::new().param("page").start(0).size("size", 3).until_page_count("totalPages")
        ),
    )
    .await;
    holds(
        "by the body",
        at("x"),
        None,
        spring,
        proposed!("content", PageNumber::new().param("page").start(0).until_page_count("totalPages")),
    )
    .await;
    holds(
        "in a JSON body",
        || Source::post("items", "https://a.example.com/x").json(json!({"page": 0, "size": 3})),
        None,
        spring,
        proposed!(
            "content",
            PageNumber::new()
                .number_into(Target::body("page"))
                .start(0)
                .size_into(Target::body("size"), 3)
                .until_page_count("totalPages")
        ),
    )
    .await;
    holds(
        "a page, a size and a total",
        at("x"),
        None,
        |request| {
            let page = number(request, "page").unwrap_or(1);
            json!({"items": rows((page - 1) * 2, 2), "page": page, "per_page": 2, "total": ALL})
        },
        proposed!("items", PageNumber::new().param("page").until(End::total("total"))),
    )
    .await;
}

#[tokio::test]
async fn what_counts_stands_before_a_guess() {
    let probe = holds(
        "a flag and a total",
        at("x?offset=0&limit=2"),
        None,
        |request| {
            let offset = number(request, "offset").unwrap_or(0);
            let data = rows(offset, number(request, "limit").unwrap());
            json!({"has_more": offset + data.len() < ALL, "total": ALL, "data": data})
        },
        proposed!("data", Offset::new(2).offset_param("offset").until_total("total")),
    )
    .await;
    assert!(probe.dialects[1].paginator.contains("starting_after"), "{probe}");
    holds(
        "a page and a flag",
        at("x?page=1"),
        None,
        |request| {
            let page = number(request, "page").unwrap_or(1);
            json!({"data": rows((page - 1) * 3, 3), "has_more": page * 3 < ALL})
        },
        proposed!("data", PageNumber::new().param("page").until_false("has_more")),
    )
    .await;
    holds(
        "Jira, by the size that the answer repeats",
        at("x"),
        None,
        |request| {
            let (start, most) =
                (number(request, "startAt").unwrap_or(0), number(request, "maxResults").unwrap_or(3));
            json!({"startAt": start, "maxResults": most, "total": ALL, "issues": rows(start, most)})
        },
        proposed!(
            "issues",
            Offset::new(3).offset_param("startAt").limit_param("maxResults").until_total("total")
        ),
    )
    .await;
}

#[tokio::test]
async fn the_code_asks_as_the_probe_did() {
    let query = "query($cursor: String) { issues(after: $cursor) { nodes { id } pageInfo { hasNextPage endCursor } } }";
    let probe = holds(
        "GraphQL",
        || Source::graphql("items", "https://a.example.com/graphql", query),
        None,
        |request| {
            let cursor = request.body().and_then(|body| body["variables"]["cursor"].as_str()?.parse().ok());
            let from = cursor.unwrap_or(0);
            let info = json!({"hasNextPage": from + 3 < ALL, "endCursor": (from + 3).to_string()});
            json!({"data": {"issues": {"nodes": rows(from, 3), "pageInfo": info}}})
        },
        proposed!(
            "data.issues.nodes",
            Cursor::body("data.issues.pageInfo.endCursor")
                .into_body("variables.cursor")
                .until_false("data.issues.pageInfo.hasNextPage")
        ),
    )
    .await;
    assert!(
        probe.code.starts_with("Source::graphql(\"items\", \"https://a.example.com/graphql\", query)"),
        "{probe}"
    );
    let api = |request: &Request| {
        let cursor = request.body().and_then(|body| body["cursor"].as_str()?.parse().ok());
        let from = cursor.unwrap_or(0);
        json!({"results": rows(from, 3), "has_more": from + 3 < ALL, "next_cursor": (from + 3).to_string()})
    };
    let post = || {
        let post = Source::post("items", "https://a.example.com/q").json(json!({"filter": "s3cret"}));
        post.bearer("b-s3cret-of-sixteen").header("X-Version", "2")
    };
    let cursor =
        proposed!("results", Cursor::body("next_cursor").into_body("cursor").until_false("has_more"));
    let probe = holds("a JSON body", post, None, api, cursor).await;
    assert!(
        probe.code.starts_with("Source::post(\"items\", \"https://a.example.com/q\")\n    .json(body)"),
        "{probe}"
    );
    assert!(
        probe.code.contains("with the credentials, headers") && !probe.code.contains("s3cret"),
        "{probe}"
    );
    let form = Source::post("items", "https://a.example.com/q").form("kind", "x");
    let form = form.transport(Scripted::new([Reply::json(
        api(&Request::get("https://a.example.com/").unwrap()).to_string(),
    )]));
    assert!(form.probe().await.unwrap().code.contains(".into_form(\"cursor\")"));
}

#[cfg(feature = "csv")]
#[tokio::test]
async fn the_code_has_the_format() {
    use headwater::page::Format;
    for (format, body, code) in [
        (Format::JsonLines, "{\"id\":1}\n", ".format(Format::JsonLines)\n"),
        (Format::csv().into(), "id,n\n1,A\n", ".format(Format::csv())\n"),
        (
            Format::csv().delimiter(b';').names(["id", "n"]).into(),
            "1;A\n",
            ".format(Format::csv().delimiter(b';').names([\"id\",\"n\"]))\n",
        ),
    ] {
        let api = Scripted::new([Reply::status(200).body(body)]);
        let source = Source::get("x", "https://a.example.com/x").format(format).transport(api);
        let found = source.probe().await.unwrap();
        assert!(found.code.contains(code), "{found}");
    }
}

#[tokio::test]
async fn other_shapes_are_seen() {
    holds(
        "DynamoDB",
        || Source::post("items", "https://a.example.com/").json(json!({"TableName": "t"})),
        None,
        |request| {
            let key =
                request.body().and_then(|body| body["ExclusiveStartKey"]["id"]["N"].as_str()?.parse().ok());
            let from: usize = key.unwrap_or(0);
            let mut page = json!({"Items": rows(from, 3), "Count": 3});
            if from + 3 < ALL {
                page["LastEvaluatedKey"] = json!({"id": {"N": (from + 3).to_string()}});
            }
            page
        },
        proposed!("Items", Cursor::body("LastEvaluatedKey").into_body("ExclusiveStartKey").missing_ends()),
    )
    .await;
    holds(
        "a map of arrays",
        at("bars"),
        None,
        |request| {
            let from = number(request, "page_token").unwrap_or(0);
            let next = (from + 4 < ALL).then(|| (from + 4).to_string());
            json!({"bars": {"A": rows(from, 2), "B": rows(from + 2, 2)}, "next_page_token": next})
        },
        proposed!(Select::map("bars"), Cursor::body("next_page_token").into_query("page_token")),
    )
    .await;
    let facets = r#"{"facets":{"a":[{"k":1,"n":2}],"b":[{"k":1,"n":2},{"k":2,"n":2}]},"items":[{"id":1}]}"#;
    assert_eq!(look("https://a.example.com/x", Reply::json(facets)).await.records[0].0, "items");
}

#[cfg(feature = "xml")]
#[tokio::test]
async fn xml_has_flags_of_text_and_lists_of_one() {
    use headwater::page::Format;
    for contents in [
        "<Contents><Key>a</Key><Owner><ID>o</ID></Owner></Contents>",
        "<Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents>",
    ] {
        let page = |more: bool| {
            let token = if more { "<NextContinuationToken>t</NextContinuationToken>" } else { "" };
            let list =
                format!("<List><IsTruncated>{more}</IsTruncated><Name>b</Name>{contents}{token}</List>");
            Reply::status(200).body(list)
        };
        let source = || Source::get("x", "https://a.example.com/?list-type=2").format(Format::xml());
        let found = source().transport(Scripted::new([page(true)])).probe().await.unwrap();
        let rows = contents.matches("<Key>").count();
        assert_eq!(found.records[0], ("List.Contents".to_owned(), rows), "{found}");
        let paginator = r#"Cursor::body("List.NextContinuationToken").into_query("continuation-token").until_false("List.IsTruncated")"#;
        assert_eq!(found.dialects[0].paginator, paginator, "{found}");
        assert!(found.code.contains(".format(Format::xml())"), "{found}");
        let sink = Memory::new();
        let cursor = Cursor::body("List.NextContinuationToken").into_query("continuation-token");
        let source = source()
            .transport(Scripted::new([page(true), page(false)]))
            .allow_identical_pages()
            .records("List.Contents")
            .paginate(cursor.until_false("List.IsTruncated"));
        Pipeline::new().source(source.build().unwrap()).sink(sink.clone()).run().await.unwrap();
        assert_eq!(sink.lines("x").len(), 2 * rows);
    }
    let one =
        "<R><Owner><ID>i</ID><Name>d</Name></Owner><Buckets><Bucket><Name>b</Name></Bucket></Buckets></R>";
    let api = Scripted::new([Reply::status(200).body(one)]);
    let source = Source::get("x", "https://a.example.com/").format(Format::xml()).transport(api);
    assert_eq!(source.probe().await.unwrap().records[0], ("R.Buckets.Bucket".to_owned(), 1));
}

#[tokio::test]
async fn an_error_gives_no_source() {
    for (body, rule) in [
        (
            r#"{"ok":false,"error":"not_authed"}"#,
            r#"When::status(200).body("ok", false).means(Verdict::Fail)"#,
        ),
        (r#"{"error":{"code":7}}"#, r#"When::status(200).body_present("error").means(Verdict::Fail)"#),
        (
            r#"{"errors":[{"message":"no"}],"data":null}"#,
            r#"When::status(200).body_present("errors").means(Verdict::Fail)"#,
        ),
    ] {
        let found = look("https://a.example.com/x", Reply::json(body)).await;
        assert!(found.dialects[0].doubt.as_ref().unwrap().contains(rule), "{found}");
        assert!(found.to_string().contains("looks like an error"), "{found}");
        assert!(!found.code.contains("Source::") && found.code.contains(rule), "{}", found.code);
    }
    let part = r#"{"errors":[{"message":"no"}],"data":{"a":{"nodes":[{"id":1}]}}}"#;
    let found = look("https://a.example.com/x", Reply::json(part)).await;
    assert!(found.code.contains("looks like an error"), "a part of a GraphQL answer: {found}");
    // With records, and where nothing is wrong.
    for body in [r#"{"ok":true,"error":null,"m":[{"id":1}]}"#, r#"{"errors":[],"data":[{"id":1}]}"#] {
        let found = look("https://a.example.com/x", Reply::json(body)).await;
        assert!(found.code.contains("Source::get"), "{found}");
    }
    let found = look("https://a.example.com/errors", Reply::json(r#"{"errors":[{"id":1}]}"#)).await;
    assert!(found.code.contains(".records(\"errors\")"), "{found}");
}
