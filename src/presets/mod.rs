//! Well-known APIs, ready: dialect, limits, waits and rules, from each vendor's documents.
//!
//! A preset is made once per credential, and makes the sources: they share one limiter, for the vendor counts them
//! together. What it makes is a [`SourceBuilder`](crate::SourceBuilder): queries, windows, fan-outs and the rest are set as ever.
//!
//! The credentials go to the origin of the preset alone (Google's to all of googleapis.com), and over https but for this
//! machine. A path that is a URL of another origin is an error of [`build`](crate::SourceBuilder::build).
//!
//! ```
//! use headwater::presets::GitHub;
//! let github = GitHub::new("ghp_token")?;
//! let issues = github.list("issues", "/repos/tokio-rs/tokio/issues").query("state", "all").build()?;
//! let commits = github.list("commits", "/repos/tokio-rs/tokio/commits").build()?;
//! # Ok::<(), headwater::Error>(())
//! ```
//!
//! | API | preset | dialect |
//! |---|---|---|
//! | Airtable | [`Airtable`] | token; begins anew when it has died |
//! | Discord | [`Discord`] | last record's id |
//! | GitHub | [`GitHub`] | `Link`; searches end at 1,000; GraphQL |
//! | GitLab | [`GitLab`] | `Link`, by page or by key |
//! | Google | [`Google`] | page token, empty pages, sync tokens |
//! | HubSpot | [`HubSpot`] | token; searches end at 10,000 |
//! | Intercom | [`Intercom`] | token, in the query or deep in the body; scroll |
//! | Jira | [`Jira`] | token for searches, offset for lists |
//! | Microsoft Graph | [`MicrosoftGraph`] | next link; delta link for the next run |
//! | Notion | [`Notion`] | token; queries end at 10,000 |
//! | Okta | [`Okta`] | `Link`; the log never ends by it |
//! | Salesforce | [`Salesforce`] | relative link until `done` |
//! | Shopify | [`Shopify`] | `Link`; GraphQL by points |
//! | Slack | [`Slack`] | token; errors with status 200 |
//! | Stripe | [`Stripe`] | last record's id; token for searches; links in v2 |
//! | Zendesk | [`Zendesk`] | token until `has_more`; exports that go on |

mod account;
mod airtable;
mod discord;
mod github;
mod gitlab;
mod google;
mod hubspot;
mod intercom;
mod jira;
mod microsoft_graph;
mod notion;
mod okta;
mod salesforce;
mod shopify;
mod slack;
mod stripe;
mod zendesk;

pub use airtable::Airtable;
pub use discord::Discord;
pub use github::GitHub;
pub use gitlab::GitLab;
pub use google::Google;
pub use hubspot::HubSpot;
pub use intercom::Intercom;
pub use jira::Jira;
pub use microsoft_graph::MicrosoftGraph;
pub use notion::Notion;
pub use okta::Okta;
pub use salesforce::Salesforce;
pub use shopify::Shopify;
pub use slack::Slack;
pub use stripe::Stripe;
pub use zendesk::Zendesk;
