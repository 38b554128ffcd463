//! The presets pull what the servers of tests/dialects/ hand out, which behave as the vendors' documents say.

#[path = "dialects/mod.rs"]
mod dialects;
#[path = "support/pulled.rs"]
mod pulled;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dialects::{Verdict, rows};
use futures::StreamExt;
use headwater::auth::Bearer;
use headwater::pages::{TimeFormat, Window};
use headwater::presets::{
    Airtable, Discord, GitHub, GitLab, Google, HubSpot, Intercom, Jira, MicrosoftGraph, Notion, Okta,
    Salesforce, Shopify, Slack, Stripe, Zendesk,
};
use headwater::testing::{Reply, Scripted};
use headwater::{ErrorKind, SourceBuilder};
use pulled::pulled;
use serde_json::json;
use tokio::time::Instant;

const GITHUB: &str = "query($owner: String!, $after: String) { repository(owner: $owner, name: \"hello\") {
    issues(first: 100, after: $after) { totalCount nodes { id number } pageInfo { hasNextPage endCursor } } } }";
const SHOPIFY: &str = "query($first: Int!, $after: String) { products(first: $first, after: $after) {
    nodes { id createdAt } pageInfo { hasNextPage endCursor } } }";

fn day() -> Window {
    Window::time("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
}

/// API, way, and the source that a preset makes for it.
fn presets() -> headwater::Result<Vec<(&'static str, &'static str, SourceBuilder)>> {
    let (github, gitlab, stripe) =
        (GitHub::new("ghp_token")?, GitLab::new("glpat-token")?, Stripe::new("sk_test_key")?);
    let (slack, hubspot, notion) =
        (Slack::new("xoxb-token")?, HubSpot::new("pat-token")?, Notion::new("ntn_token")?);
    let (jira, zendesk) = (
        Jira::new("your-company", "me@example.com", "api_token")?,
        Zendesk::new("your-company", "me@example.com", "api_token")?,
    );
    let shopify = Shopify::new("your-shop", "shpat_token")?;
    let salesforce = Salesforce::new("your-domain", Bearer::new("00D_token")?);
    let (graph, google) =
        (MicrosoftGraph::new(Bearer::new("eyJ0.token")?), Google::new(Bearer::new("ya29.token")?));
    let (airtable, intercom) = (Airtable::new("patKey")?, Intercom::new("dG9rOg")?);
    let (discord, okta) = (Discord::bot("MTk4.token")?, Okta::new("acme", "00token")?);
    let notion_filter = json!({
        "page_size": 100,
        "filter": { "and": [
            { "timestamp": "created_time", "created_time": { "on_or_after": "{start}" } },
            { "timestamp": "created_time", "created_time": { "before": "{end}" } },
        ] },
    });
    let hubspot_filter = json!({
        "limit": 200,
        "properties": ["createdate"],
        "sorts": [{ "propertyName": "createdate", "direction": "ASCENDING" }],
        "filterGroups": [{ "filters": [
            { "propertyName": "createdate", "operator": "GTE", "value": "{start}" },
            { "propertyName": "createdate", "operator": "LT", "value": "{end}" },
        ] }],
    });
    let query = json!({ "field": "updated_at", "operator": ">", "value": 0 });
    Ok(vec![
        ("GitHub REST", "lists", github.list("x", "/repos/octo/hello/issues").query("state", "all")),
        (
            "GitHub REST",
            "search",
            github
                .search("x", "/search/issues")
                .query("q", "repo:octo/hello created:{start}..{end}")
                .window(Window::time("2026-01-01", "2026-01-02").inclusive_end()),
        ),
        (
            "GitHub GraphQL",
            "",
            github.graphql("x", GITHUB, "data.repository.issues").variable("owner", "octo"),
        ),
        ("GitLab offset", "Link", gitlab.list("x", "/projects/9/issues").query("scope", "all")),
        ("GitLab keyset", "", gitlab.keyset("x", "/projects")),
        ("Stripe v1 list", "starting_after", stripe.list("x", "/v1/customers")),
        ("Stripe v1 search", "", stripe.search("x", "/v1/customers/search", "created>1767225599")),
        ("Stripe v2", "", stripe.v2("x", "/v2/core/accounts", "2026-01-28.preview")),
        ("Slack", "cursor in the query", slack.list("x", "users.list", "members")),
        (
            "HubSpot list",
            "after",
            hubspot.list("x", "/crm/v3/objects/contacts").query("properties", "createdate,email"),
        ),
        (
            "HubSpot search",
            "",
            // The server's ceiling is brought down to its few rows.
            hubspot
                .search("x", "contacts")
                .json(hubspot_filter)
                .ceiling(1_000)
                .window(day().format(TimeFormat::EpochMillis)),
        ),
        ("Notion", "list", notion.list("x", "/users")),
        (
            "Notion",
            "query",
            notion
                .query("x", "ds_1")
                .json(notion_filter)
                .ceiling(1_000)
                .window(day().format(TimeFormat::Rfc3339)),
        ),
        (
            "Jira Cloud (old lists)",
            "isLast",
            jira.list("x", "/rest/api/3/project/search", "values").query("orderBy", "key"),
        ),
        (
            "Zendesk cursor",
            "after_cursor",
            zendesk.list("x", "/api/v2/tickets", "tickets").query("sort", "id"),
        ),
        ("Zendesk incremental", "after_cursor", zendesk.export("x", "tickets", 1_767_225_600)),
        ("Shopify REST", "", shopify.list("x", "products").query("status", "active")),
        ("Shopify GraphQL", "", shopify.graphql("x", SHOPIFY, "data.products").variable("first", 250)),
        (
            "Salesforce SOQL",
            "",
            salesforce
                .query("x", "SELECT Id, CreatedDate FROM Account")
                .header("Sforce-Query-Options", "batchSize=200"),
        ),
        (
            "Microsoft Graph",
            "list",
            graph
                .list("x", "/users")
                .header("ConsistencyLevel", "eventual")
                .query("$select", "id")
                .query("$top", "99"),
        ),
        (
            "Microsoft Graph",
            "delta",
            graph.delta("x", "/users/delta").header("ConsistencyLevel", "eventual").query("$select", "id"),
        ),
        (
            "Google AIP-158 (Drive, Gmail, Calendar…)",
            "Drive",
            google
                .list("x", "/drive/v3/files", "files")
                .query("q", "trashed = false")
                .query("fields", "nextPageToken,files(id,name)")
                .query("pageSize", "200"),
        ),
        ("Google AIP-158 (Drive, Gmail, Calendar…)", "Calendar", google.events("x", "primary")),
        ("Airtable", "token gone", airtable.records("x", "appHeadwater", "Tasks")),
        ("Intercom lists", "starting_after", intercom.list("x", "/contacts")),
        ("Intercom lists", "scroll", intercom.companies("x")),
        ("Intercom search", "", intercom.search("x", "/contacts/search", &query)),
        ("Discord", "messages before", discord.messages("x", "41771983423143937")),
        ("Discord", "members", discord.members("x", "197038439483310086")),
        ("Okta", "users", okta.list("x", "/api/v1/users").query("filter", "status eq \"ACTIVE\"")),
        ("Okta", "system log", okta.system_log("x").query("filter", "status eq \"ACTIVE\"")),
    ])
}

#[tokio::test(start_paused = true)]
async fn each_preset_pulls_its_api_exactly_once() {
    let mut wrong = Vec::new();
    for (api, name, source) in presets().unwrap() {
        let row = rows().into_iter().find(|row| row.api == api);
        let ways = row.unwrap_or_else(|| panic!("{api} is not in the table")).ways;
        let names: Vec<&str> = ways.iter().map(|way| way.name).collect();
        let way = ways.into_iter().find(|way| way.name == name);
        let mut way = way.unwrap_or_else(|| panic!("{api} has no {name:?}: {names:?}"));
        way.source = source;
        if api == "Zendesk incremental" {
            // A thousand a page are two pages, and no limit is met.
            way.check = None;
        }
        let Verdict { requests, fault, .. } = way.pull().await;
        println!(
            "{api:<44} {name:<20} {:>8} requests  {}",
            requests,
            fault.as_deref().unwrap_or("each once")
        );
        wrong.extend(fault.map(|fault| format!("{api} {name}: {fault}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_part_of_what_was_searched_for_is_no_success() {
    let drive = Google::new(Bearer::new("ya29.token").unwrap()).list("x", "/drive/v3/files", "files");
    let github = GitHub::new("ghp_token").unwrap().search("x", "/search/issues").query("q", "is:open");
    let notion = Notion::new("ntn_token").unwrap().query("x", "ds_1");
    for (source, body, kind) in [
        (drive, r#"{"files":[{"id":1}],"incompleteSearch":true}"#, ErrorKind::Truncated),
        (github, r#"{"total_count":1,"items":[{"id":1}],"incomplete_results":true}"#, ErrorKind::Status),
        (
            notion,
            r#"{"results":[{"id":1}],"has_more":false,"next_cursor":null,"request_status":{"type":"incomplete"}}"#,
            ErrorKind::Truncated,
        ),
    ] {
        let api = Scripted::from_fn(move |_, _| Reply::json(body));
        let (records, error) = pulled(source.transport(api)).await;
        assert_eq!((records, error.map(|error| error.kind())), (0, Some(kind)), "{body}");
    }
}

#[test]
fn a_preset_shows_no_secret() {
    let (github, shop) = (GitHub::new("ghp_s3cret-token").unwrap(), "https://key:s3cret@acme.myshopify.com");
    let shopify = Shopify::new(shop, "shpat_s3cret").unwrap();
    let hidden = github.clone().at("https://ghe.example.com/api/v3?access_token=s3cret");
    let mut shown = format!("{github:?} {:?} {shopify:?} {hidden:?}", Discord::bot("s3cret").unwrap());
    assert!(
        shown.contains("https://acme.myshopify.com") && shown.contains("https://ghe.example.com"),
        "{shown}"
    );
    for source in [
        shopify.list("x", "products"),
        hidden.list("x", "/issues"),
        github.list("x", "https://me:s3cret@api.github.com/issues"),
        github.list("x", "https://evil.example.net/s3cret?token=s3cret"),
    ] {
        shown += &format!(" {source:?}");
        shown += &format!(" {:?}", source.build().map(|_| ()).expect_err("such an address is refused"));
    }
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(Slack::new("line\nbreak").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_back_without_its_scheme_is_wiped() {
    for source in [
        Discord::bot("s3cret-token").unwrap().messages("x", "1"),
        Okta::new("acme", "s3cret-token").unwrap().list("x", "/api/v1/users"),
    ] {
        let api = Scripted::from_fn(|_, _| Reply::status(403).body(r#"{"message":"s3cret-token may not"}"#));
        let (_, error) = pulled(source.transport(api)).await;
        let shown = format!("{0} {0:?}", error.unwrap());
        assert!(shown.contains("may not") && !shown.contains("s3cret"), "{shown}");
    }
}

/// Where the first request of a source goes.
async fn asked(source: SourceBuilder) -> headwater::Result<String> {
    let api = Scripted::from_fn(|_, _| Reply::status(404).body("{}"));
    let source = source.records("").transport(api.clone()).build()?;
    let _ = source.batches(headwater::Mark::start())?.next().await;
    let seen = api.requests();
    assert!(seen[0].header("authorization").is_some(), "without credentials: {}", seen[0].url);
    Ok(seen[0].url.to_string())
}

#[tokio::test(start_paused = true)]
async fn credentials_go_to_the_server_of_their_preset_alone() {
    let (github, google) =
        (GitHub::new("ghp_token").unwrap(), Google::new(Bearer::new("ya29.token").unwrap()));
    let (mock, stripe) = (google.clone().at("http://localhost:9"), Stripe::new("sk_test_key").unwrap());
    for (source, url) in [
        (github.list("x", "https://api.github.com/issues"), Some("https://api.github.com/issues?")),
        (github.list("x", "HTTPS://API.GITHUB.COM:443/issues"), Some("https://api.github.com/issues?")),
        (
            github.list("x", "/search/issues?q=https://x/"),
            Some("https://api.github.com/search/issues?q=https://x/"),
        ),
        (github.list("x", "//evil.example.net/x"), Some("https://api.github.com/evil.example.net/x")),
        (github.list("x", "@evil.example.net/x"), Some("https://api.github.com/@evil.example.net/x")),
        (
            google.list("x", "https://gmail.googleapis.com/gmail/v1/a", "a"),
            Some("https://gmail.googleapis.com/"),
        ),
        (mock.list("x", "/drive/v3/files", "files"), Some("http://localhost:9/drive/v3/files")),
        (github.list("x", "https://evil.example.net/x"), None),
        (github.list("x", "https://api.github.com.evil.example.net/x"), None),
        (github.list("x", "https://api.github.com@evil.example.net/x"), None),
        (github.list("x", "http://api.github.com/issues"), None),
        (github.list("x", "https://api.github.com:8443/issues"), None),
        (github.search("x", "https://evil.example.net/x"), None),
        (stripe.search("x", "https://evil.example.net/x", "a"), None),
        (google.list("x", "https://googleapis.com.evil.example.net/a", "a"), None),
        (google.list("x", "https://evilgoogleapis.com/a", "a"), None),
        (google.list("x", "http://www.googleapis.com/a", "a"), None),
        (google.list("x", "https://www.googleapis.com:8443/a", "a"), None),
        (mock.list("x", "https://www.googleapis.com/a", "a"), None),
    ] {
        match (asked(source).await, url) {
            (Ok(asked), Some(url)) => assert!(asked.starts_with(url), "{asked} is not {url}"),
            (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Config, "{error}"),
            (asked, url) => panic!("{asked:?} and not {url:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_preset_may_ask_another_server_over_https() {
    let at = |url: &str| {
        [
            Slack::new("token").unwrap().at(url).list("x", "users.list", "members"),
            Notion::new("token").unwrap().at(url).list("x", "/users"),
            Airtable::new("token").unwrap().at(url).records("x", "app1", "Tasks"),
            HubSpot::new("token").unwrap().at(url).search("x", "contacts"),
            Discord::bot("token").unwrap().at(url).members("x", "1"),
            Google::new(Bearer::new("token").unwrap()).at(url).events("x", "primary"),
            GitHub::new("token").unwrap().at(url).graphql("x", GITHUB, "data.repository.issues"),
            Stripe::new("token").unwrap().at(url).list("x", "/v1/customers"),
            Okta::new(url, "token").unwrap().list("x", "/api/v1/users"),
        ]
    };
    for base in ["https://mock.example.com/v1", "http://127.0.0.1:9/v1/", "http://[::1]:9/v1"] {
        for source in at(base) {
            let asked = asked(source).await.unwrap();
            assert!(
                asked.starts_with(&format!("{}/", base.trim_end_matches('/'))),
                "{asked} is not at {base}"
            );
        }
    }
    for base in
        ["http://mock.example.com", "http://10.0.0.1", "mock.example.com/v1", "https://mock.example.com/?a=b"]
    {
        // A site needs no scheme.
        for source in at(base).into_iter().take(if base.contains("://") { 9 } else { 8 }) {
            let error = source.records("").build().map(|_| ()).expect_err(base);
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        }
    }
}

/// A page with one new record in every shape, until there have been so many.
fn endless(most: usize) -> Scripted {
    let asked = AtomicUsize::new(0);
    Scripted::from_fn(move |request, _| {
        let next = asked.fetch_add(1, Ordering::Relaxed) + 1;
        let (row, more) = (json!([{ "id": next.to_string() }]), next < most);
        let token = more.then(|| next.to_string());
        if request.url().path().contains("/messages") {
            return Reply::json(if more { row } else { json!([]) }.to_string());
        }
        let mut page = json!({
            "data": row, "results": row, "records": row, "tickets": row, "products": row,
            "has_more": more, "end_of_stream": !more, "next_page": token, "next_cursor": token,
            "after_cursor": next.to_string(), "total": 1_000_000,
        });
        if more {
            page["paging"] = json!({ "next": { "after": token } });
            page["offset"] = json!(token);
        }
        let reply = Reply::json(page.to_string());
        let link = format!(
            "<https://acme.myshopify.com/admin/api/2026-01/products.json?page_info={next}>; rel=\"next\""
        );
        if more { reply.header("link", &link) } else { reply }
    })
}

#[tokio::test(start_paused = true)]
async fn no_window_holds_more_requests_than_the_vendor_allows() {
    let (stripe, discord, hubspot) =
        (Stripe::new("sk").unwrap(), Discord::bot("bot").unwrap(), HubSpot::new("pat").unwrap());
    let (notion, airtable) = (Notion::new("ntn").unwrap(), Airtable::new("pat").unwrap());
    let zendesk = Zendesk::new("acme", "me@example.com", "token").unwrap();
    let shopify = Shopify::new("acme", "shpat").unwrap();
    type Make<'a> = &'a dyn Fn() -> SourceBuilder;
    let cases: [(&str, usize, u64, Make); 9] = [
        ("Stripe", 25, 1, &|| stripe.list("x", "/v1/customers")),
        ("Stripe's searches", 20, 1, &|| stripe.search("x", "/v1/customers/search", "a")),
        ("Discord", 50, 1, &|| discord.messages("x", "1")),
        ("HubSpot", 100, 10, &|| hubspot.list("x", "/crm/v3/objects/contacts")),
        ("HubSpot's searches", 4, 1, &|| hubspot.search("x", "contacts").ceiling(2_000_000)),
        ("Notion", 3, 1, &|| notion.list("x", "/users")),
        ("Airtable", 5, 1, &|| airtable.records("x", "app1", "Tasks")),
        ("Zendesk's exports", 10, 60, &|| zendesk.export("x", "tickets", 0)),
        ("Shopify", 40, 0, &|| shopify.list("x", "products")),
    ];
    for (vendor, most, window, make) in cases {
        // One by one, then three at once: they share the preset's limiter.
        let (mut times, begun) = (Vec::new(), Instant::now());
        for together in [1, 3] {
            let (api, offset) = (endless(most * 4), begun.elapsed());
            let pulls = (0..together).map(|_| pulled(make().transport(api.clone())));
            futures::future::join_all(pulls).await;
            times.extend(api.times().into_iter().map(|time| offset + time));
        }
        assert!(times.len() >= most * 8, "{vendor}: {} requests", times.len());
        for (at, first) in times.iter().enumerate() {
            // Shopify's bucket leaks two a second; the others count in windows.
            let fits = |last: &Duration| match window {
                0 => (*last - *first).as_secs_f64() * 2.0,
                seconds if *last - *first >= Duration::from_secs(seconds) => f64::INFINITY,
                _ => 0.0,
            };
            for (to, last) in times.iter().enumerate().skip(at) {
                let count = to - at + 1;
                assert!(
                    count as f64 <= most as f64 + fits(last) + 1e-6,
                    "{vendor}: {count} in {:?}",
                    *last - *first
                );
            }
        }
        let (took, most_windows) = (times[times.len() - 1] - times[0], (times.len() / most) as u64);
        println!("{vendor:<20} {most:>3} in {window:>2} s: {} requests in {took:?}", times.len());
        if window > 0 {
            assert!(took <= Duration::from_secs(window * (most_windows + 1)), "{vendor} is slow: {took:?}");
        }
    }
}
