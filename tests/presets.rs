//! The presets pull what the servers of tests/dialects/ hand out, which behave as the vendors' documents say.

#[path = "dialects/mod.rs"]
mod dialects;
#[path = "support/pulled.rs"]
mod pulled;

use dialects::{Verdict, rows};
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
fn a_preset_shows_no_token() {
    let shown =
        format!("{:?} {:?}", GitHub::new("ghp_s3cret-token").unwrap(), Discord::bot("s3cret").unwrap());
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(Slack::new("line\nbreak").is_err());
}
