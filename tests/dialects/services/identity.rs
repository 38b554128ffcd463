//! Okta, Auth0, SCIM.

use headwater::Source;
use headwater::paginate::Cursor;
use headwater::testing::Reply;
use serde_json::json;

use super::asked::{Asked, Limit, list, page, seal, serve, slice, unseal};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![auth0_checkpoint()]
}

fn auth0_limit(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.bearer("auth0Token")?;
    limit.pass(asked, |wait| {
        Reply::status(429)
            .header("x-ratelimit-limit", "50")
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", &limit.epoch(wait).ceil().to_string())
            .body(r#"{"statusCode":429,"error":"Too Many Requests","errorCode":"too_many_requests"}"#)
    })
}

/// Auth0, checkpoint pagination (auth0.com/docs, "Get Organizations"): `take` (50, at most 100) on the first page and on
/// every other; `from` is the last answer's `next`, absent at the end. Without `take` it pages by number, and says nothing
/// of a next one.
fn auth0_checkpoint() -> Row {
    let limit = Limit::told(5, 4);
    let hit = limit.hit();
    let server = serve(move |asked| {
        asked.get("/api/v2/organizations")?;
        auth0_limit(asked, &limit)?;
        asked.only(&["take", "from", "sort"])?;
        if asked.query("take").is_none() {
            return Ok(page(list(slice(0, 50), |n| json!({"n": n})).into()));
        }
        let size = asked.size("take", 50, 100)?;
        let start = asked.query("from").map_or(Ok(0), |from| unseal("Fe26", &from))?;
        let mut body =
            json!({"organizations": list(slice(start, size), |n| json!({"id": format!("org_{n}"), "n": n}))});
        if start + size < RECORDS {
            body["next"] = seal("Fe26", start + size).into();
        }
        Ok(page(body))
    });
    let source = Source::get("organizations", "https://acme.eu.auth0.com/api/v2/organizations")
        .bearer("auth0Token")
        .query("take", "100")
        .records("organizations")
        .paginate(Cursor::body("next").into_query("from").missing_ends());
    Row::new("Auth0 checkpoint", [Way::new("C", server, source).checked(hit)])
}

fn scim(asked: &Asked<'_>) -> Result<(), Reply> {
    asked.bearer("scimToken")?;
    asked.needs("accept", "application/scim+json")
}

const USERS: &str = "https://scim.example.com/v2/Users";
