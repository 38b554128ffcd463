//! Shopify.

use super::account::Account;
use crate::auth::ApiKey;
use crate::error::Result;
use crate::hints::{At, Signal};
use crate::limit::Limiter;
use crate::page::Select;
use crate::paginate::{Cursor, LinkHeader};
use crate::request::Secret;
use crate::source::SourceBuilder;

/// Shopify: the REST API by `Link` headers, whose links carry all that is needed; a bucket of forty requests, of which two
/// leak away each second. The GraphQL API counts points: who asks for more than there are waits until they have come back
/// ("REST Admin API rate limits", <https://shopify.dev/docs/api/admin-rest/usage/rate-limits>; "Make paginated requests to
/// the REST Admin API", <https://shopify.dev/docs/api/admin-rest/usage/pagination>; "Shopify API limits",
/// <https://shopify.dev/docs/api/usage/limits>).
///
/// ```
/// use headwater::presets::Shopify;
/// let products = Shopify::new("your-shop", "shpat_token")?.list("products", "products").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Shopify(Account);

/// The version of the API that is asked for.
const VERSION: &str = "2026-01";

impl Shopify {
    /// Takes the shop (`your-shop` or `your-shop.myshopify.com`) and an access token.
    ///
    /// # Errors
    /// `Config` if it cannot be in a header.
    pub fn new(shop: &str, token: impl Into<Secret>) -> Result<Self> {
        let base = format!("{}/admin/api/{VERSION}", Account::site(shop, "myshopify.com"));
        let auth = ApiKey::header("X-Shopify-Access-Token", token)?;
        Ok(Self(Account::new(base, auth, Limiter::per_second(2.0).burst(40))))
    }

    /// A resource of the REST API (`products`, `orders`), whose records stand under its name.
    pub fn list(&self, name: &str, resource: &str) -> SourceBuilder {
        let records: Select = resource.rsplit('/').next().unwrap_or(resource).into();
        self.0
            .get(name, &format!("/{resource}.json"))
            .query("limit", "250")
            .records(records)
            .paginate(LinkHeader::new())
    }

    /// A connection of the GraphQL API, at this path of the answer (`data.products`). The query has a variable `$after`,
    /// and asks for `nodes` and for `pageInfo { hasNextPage endCursor }`.
    pub fn graphql(&self, name: &str, query: &str, connection: &str) -> SourceBuilder {
        let cost = |path: &str| At::body(format!("extensions.cost.{path}"));
        let points = Signal::points(
            cost("requestedQueryCost"),
            cost("throttleStatus.currentlyAvailable"),
            cost("throttleStatus.restoreRate"),
        );
        let cursor = Cursor::body(format!("{connection}.pageInfo.endCursor")).into_body("variables.after");
        self.0
            .graphql(name, "/graphql.json", query)
            .records(format!("{connection}.nodes"))
            .paginate(cursor.until_false(&format!("{connection}.pageInfo.hasNextPage")))
            .signal(points)
    }
}
