//! What a first page gives away, for first pages as vendors' documents show them.

use headwater::source::Probe;
use headwater::testing::{Reply, Scripted};
use headwater::{ErrorKind, RetryPolicy, Source};

async fn probe(url: &str, reply: Reply) -> Probe {
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
            r#"Offset::new(2).offset_param("startAt").until_total("total")"#,
        ),
        (
            "Spring",
            Reply::json(r#"{"content":[{"id":1}],"page":{"size":20,"totalPages":7}}"#),
            "content",
            r#"PageNumber::new().param("page").until_page_count("page.totalPages")"#,
        ),
        (
            "Kinto",
            Reply::json(r#"{"data":[{"id":"a"}]}"#).header("next-page", "https://k.example/?_token=x"),
            "data",
            r#"NextUrl::header("Next-Page")"#,
        ),
        ("one page", Reply::json(r#"{"things":[{"id":"a"}]}"#), "things", "Single"),
    ] {
        let found = probe("https://api.example.com/items", reply).await;
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
    let found = probe("https://api.example.com/items", reply).await;
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
