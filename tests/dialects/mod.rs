//! The rows of the table, and how one is pulled and judged.

#![allow(dead_code, reason = "each row takes what it needs")]
#![allow(clippy::result_large_err, reason = "a refusal is an answer like any other")]

mod clouds;
mod clusters;
mod earth;
mod exchanges;
mod frameworks;
mod libraries;
mod offices;
mod open_data;
mod platforms;
mod playgrounds;
mod registries;
mod row;
mod server;
mod services;
mod stores;
mod trades;
mod wikis;

pub(crate) use row::{Row, Verdict};

/// Every API of the table.
pub(crate) const APIS: [&str; 124] = [
    "GitHub REST",
    "GitHub GraphQL",
    "GitLab offset",
    "GitLab keyset",
    "Stripe v1 list",
    "Stripe v1 search",
    "Stripe v2",
    "Shopify REST",
    "Shopify GraphQL",
    "Slack",
    "Jira Cloud (old lists)",
    "Jira Cloud search/jql",
    "Confluence v1 search",
    "Confluence v2",
    "Salesforce SOQL",
    "HubSpot list",
    "HubSpot search",
    "Zendesk offset",
    "Zendesk cursor",
    "Zendesk incremental",
    "Intercom lists",
    "Intercom search",
    "Notion",
    "Google AIP-158 (Drive, Gmail, Calendar…)",
    "YouTube Data",
    "Google Ads",
    "GA4 runReport",
    "Microsoft Graph",
    "OData V4 (SAP CAP)",
    "Dynamics / Dataverse",
    "AWS JSON (436 services, 3,449 paginators)",
    "S3 ListObjectsV2",
    "DynamoDB Scan/Query",
    "Amazon SP-API",
    "X API v2",
    "Reddit",
    "Discord",
    "Mastodon",
    "Twitch",
    "Spotify",
    "Meta Graph",
    "LinkedIn index",
    "LinkedIn ads",
    "Airtable",
    "Asana",
    "Trello",
    "Monday",
    "ClickUp",
    "Linear",
    "Figma",
    "Dropbox",
    "Box",
    "Mailchimp",
    "SendGrid",
    "Mailgun",
    "Klaviyo",
    "Braintree",
    "PayPal",
    "Square",
    "Adyen",
    "Xero",
    "QuickBooks Online",
    "NetSuite REST",
    "Workday REST",
    "ServiceNow",
    "Okta",
    "Auth0 page",
    "Auth0 checkpoint",
    "SCIM index",
    "SCIM cursor (RFC 9865)",
    "Datadog v2",
    "PagerDuty classic",
    "PagerDuty cursor",
    "Sentry",
    "New Relic",
    "Elasticsearch from/size",
    "Elasticsearch search_after + PIT",
    "Elasticsearch scroll",
    "Algolia browse",
    "MongoDB Atlas Admin",
    "Crossref",
    "OpenAlex",
    "arXiv",
    "PubMed E-utilities",
    "OAI-PMH",
    "MediaWiki",
    "WordPress",
    "Discourse",
    "CKAN",
    "Socrata",
    "openFDA",
    "NASA NeoWs",
    "FHIR Bundle",
    "STAC API",
    "OGC API Features",
    "Docker Registry v2",
    "npm registry",
    "CouchDB / PouchDB",
    "Kubernetes",
    "Matrix",
    "Binance",
    "Coinbase Exchange",
    "Coinbase App v2",
    "Alpaca",
    "Polygon",
    "PokeAPI",
    "SWAPI",
    "TMDB",
    "Open Library",
    "Hacker News",
    "Plaid sync",
    "BigCommerce v3",
    "Cloudflare",
    "Zoom",
    "Marketo",
    "Azure Blob / Table",
    "Bitbucket Cloud",
    "Pipedrive",
    "MLflow / Databricks",
    "Kinto",
    "Datasette",
    "Directus",
    "DRF (3 styles)",
    "json-server 1.x",
];

/// Every row, in the groups of their files.
pub(crate) fn rows() -> Vec<Row> {
    let groups: Vec<Vec<Row>> = vec![
        platforms::rows(),
        open_data::rows(),
        wikis::rows(),
        playgrounds::rows(),
        exchanges::rows(),
        registries::rows(),
        clouds::rows(),
        frameworks::rows(),
        offices::rows(),
        stores::rows(),
        clusters::rows(),
        libraries::rows(),
        trades::rows(),
        earth::rows(),
        services::rows(),
    ];
    groups.into_iter().flatten().collect()
}
