//! Okta, Auth0, SCIM.

use headwater::Source;
use headwater::paginate::{Cursor, Offset};
use headwater::request::Target;
use headwater::testing::Reply;
use serde_json::json;

use super::asked::{Asked, Limit, list, page, refuse, seal, serve, slice, unseal};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![scim_cursor(), scim_index(), auth0_checkpoint()]
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

/// SCIM 2.0 (RFC 7644 §3.4.2.4, §3.4.3): `startIndex` from 1, `count`, `totalResults`. The server gives fewer than were
/// asked for, and says so in `itemsPerPage` only. The same in the body of a POST to /.search.
fn scim_index() -> Row {
    let answer = |start: u64, count: u64| {
        // As one server does that was asked for 5,000: the most is 500.
        let found = list(slice(start.max(1) - 1, count.min(500)), |n| json!({"id": format!("u{n}"), "n": n}));
        Ok(page(json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": RECORDS, "startIndex": start, "itemsPerPage": found.len(), "Resources": found,
        })))
    };
    let limit = Limit::told(2, 3);
    let get_hit = limit.hit();
    let get = serve(move |asked| {
        asked.get("/v2/Users")?;
        scim(asked)?;
        limit.pass(asked, |wait| Reply::status(429).header("retry-after", &wait.as_secs().to_string()))?;
        asked.only(&["startIndex", "count", "filter", "attributes"])?;
        asked.wants("filter", "active eq true")?;
        answer(asked.number("startIndex", 1)?, asked.number("count", 100)?)
    });
    let search = serve(move |asked| {
        asked.post("/v2/Users/.search")?;
        scim(asked)?;
        asked.needs("content-type", "application/scim+json")?;
        if asked.field("/schemas") != json!(["urn:ietf:params:scim:api:messages:2.0:SearchRequest"])
            || asked.field("/filter") != "active eq true"
        {
            return Err(refuse(400, "invalidSyntax"));
        }
        let number = |field: &str| asked.field(field).as_u64().ok_or_else(|| refuse(400, "invalidValue"));
        answer(number("/startIndex")?, number("/count")?)
    });
    let get_source = Source::get("users", USERS)
        .bearer("scimToken")
        .header("accept", "application/scim+json")
        .query("filter", "active eq true")
        .records("Resources")
        .paginate(
            Offset::new(5000)
                .start(1)
                .offset_param("startIndex")
                .limit_param("count")
                .until_total("totalResults"),
        );
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "active eq true"});
    let offset =
        Offset::new(5000).start(1).offset_into(Target::body("startIndex")).limit_into(Target::body("count"));
    let search_source = Source::post("users", format!("{USERS}/.search"))
        .bearer("scimToken")
        .header("accept", "application/scim+json")
        .header("content-type", "application/scim+json")
        .json(body)
        .repeatable()
        .records("Resources")
        .paginate(offset.until_total("totalResults"));
    Row::new(
        "SCIM index",
        [
            Way::new("O", get, get_source).named("GET").checked(get_hit),
            Way::new("O", search, search_source).named(".search"),
        ],
    )
}

/// SCIM cursors (RFC 9865 §2): the first request has a `cursor` without a value; `nextCursor` is absent at the end. Without
/// `cursor` the server pages by index, and no `nextCursor` comes: that would be the end after one page.
fn scim_cursor() -> Row {
    let limit = Limit::told(4, 3);
    let hit = limit.hit();
    let server = serve(move |asked| {
        asked.get("/v2/Users")?;
        scim(asked)?;
        limit.pass(asked, |wait| Reply::status(429).header("retry-after", &wait.as_secs().to_string()))?;
        asked.only(&["cursor", "count", "filter"])?;
        asked.wants("filter", "active eq true")?;
        let size = asked.number("count", 100)?.min(250);
        let start = match asked.query("cursor").as_deref() {
            Some("") => 0,
            Some(cursor) => unseal("VZU", cursor)?,
            None => 0,
        };
        let found = list(slice(start, size), |n| json!({"id": format!("u{n}"), "n": n}));
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": RECORDS, "itemsPerPage": found.len(), "Resources": found,
        });
        if start + size < RECORDS && asked.query("cursor").is_some() {
            body["nextCursor"] = seal("VZU", start + size).into();
        }
        Ok(page(body))
    });
    let source = Source::get("users", USERS)
        .bearer("scimToken")
        .header("accept", "application/scim+json")
        .query("filter", "active eq true")
        .query("count", "200")
        .records("Resources")
        .paginate(Cursor::body("nextCursor").into_query("cursor").first("").missing_ends());
    Row::new("SCIM cursor (RFC 9865)", [Way::new("C", server, source).checked(hit)])
}
