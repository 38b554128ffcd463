//! Microsoft Graph and Dataverse, and the standard behind both: OData.

use headwater::Source;
use headwater::paginate::{Delta, NextUrl};
use headwater::testing::{Reply, Scripted};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, encoded, ok, page, require, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![graph(), sap_cap(), dataverse()]
}

fn user(number: u64) -> Value {
    json!({ "n": number, "id": format!("00000000-0000-0000-0000-{number:012}") })
}

fn graph_asked(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer eyJ0.token")?;
    asked.says("consistencylevel", "eventual")?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    let body = json!({ "error": { "code": "TooManyRequests", "message": "Please retry again later." } });
    Err(answer(429, body).header("retry-after", &wait.as_secs().to_string()))
}

/// Every third page is empty and leads on all the same.
fn graph_page(asked: &Asked<'_>, at: u64, size: u64) -> (Vec<Value>, u64) {
    let empty = asked.query("$skiptoken").is_some_and(|token| token.ends_with('e'));
    if empty { (Vec::new(), at) } else { (page(at, size, user), slice(at, size).end) }
}

fn skiptoken(at: u64, empty: bool) -> String {
    format!("RFNwdAIAAQAAABc6{at:05}{}", if empty { "e" } else { "" })
}

fn opened(token: &str) -> Result<u64, Reply> {
    let digits = token.strip_prefix("RFNwdAIAAQAAABc6").map(|rest| rest.trim_end_matches('e'));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| super::server::refuse(400, "Directory_ExpiredPageToken"))
}

fn graph_users(limit: Limit) -> Scripted {
    serve(move |asked| {
        graph_asked(asked, &limit)?;
        asked.at("GET", "/v1.0/users")?;
        asked.asks("$select", "id")?;
        let size = asked.number("$top", 100)?;
        require(size <= 999, "Invalid page size specified")?;
        let at = asked.query("$skiptoken").map_or(Ok(0), opened)?;
        let (value, end) = graph_page(asked, at, size);
        let mut body =
            json!({ "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users", "value": value });
        if end < RECORDS {
            let next = skiptoken(end, end > at && end % 3 == 0);
            body["@odata.nextLink"] = json!(format!(
                "https://graph.microsoft.com/v1.0/users?$top={size}&$select=id&$skiptoken={next}"
            ));
        }
        ok(body)
    })
}

fn graph_delta(limit: Limit) -> Scripted {
    let resync = Limit::told(7, 0);
    serve(move |asked| {
        graph_asked(asked, &limit)?;
        asked.at("GET", "/v1.0/users/delta")?;
        if resync.meets(asked)?.is_some() {
            // What was given out before may be wrong by now: all has to be read anew.
            let error =
                json!({ "code": "resyncRequired", "message": "Resync required. Replace any local items." });
            return Ok(answer(410, json!({ "error": error }))
                .header("location", "https://graph.microsoft.com/v1.0/users/delta?$deltatoken="));
        }
        let at = match asked.query("$skiptoken") {
            // The token holds what was asked; anything beside it is refused.
            Some(token) => {
                asked.only(&["$skiptoken"])?;
                opened(token)?
            }
            None => {
                asked.asks("$select", "id")?;
                0
            }
        };
        let (value, end) = graph_page(asked, at, 200);
        let mut body =
            json!({ "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users", "value": value });
        let url = "https://graph.microsoft.com/v1.0/users/delta";
        match end < RECORDS {
            true => {
                body["@odata.nextLink"] =
                    json!(format!("{url}?$skiptoken={}", skiptoken(end, end > at && end % 3 == 0)))
            }
            false => body["@odata.deltaLink"] = json!(format!("{url}?$deltatoken=RFNwdAIAAQAAABc6end")),
        }
        ok(body)
    })
}

/// `@odata.nextLink` is absolute and to be asked as it is; pages may be empty in the middle. A delta query ends with an
/// `@odata.deltaLink`, where the next run begins, and may ask for all of it anew: 410 `resyncRequired` (learn.microsoft.com/graph, "Paging Microsoft Graph data in your app",
/// "Use delta query to track changes", "throttling guidance": 429 with `Retry-After`).
fn graph() -> Row {
    let way = |served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(3, 120);
        Way::new("N", served(limit.clone()), source).checked(move || limit.kept())
    };
    let source = |name, url: &str| {
        Source::get(name, url)
            .bearer("eyJ0.token")
            .header("ConsistencyLevel", "eventual")
            .query("$select", "id")
            .records("value")
    };
    let list = source("users", "https://graph.microsoft.com/v1.0/users")
        .query("$top", "99")
        .paginate(NextUrl::body("/@odata.nextLink").missing_ends());
    let delta = source("users", "https://graph.microsoft.com/v1.0/users/delta")
        .paginate(Delta::new(
            NextUrl::body("/@odata.nextLink").missing_ends(),
            NextUrl::body("/@odata.deltaLink"),
        ))
        .restart_on_expiry();
    Row::new(
        "Microsoft Graph",
        [way(graph_users, list).named("list"), way(graph_delta, delta).named("delta").in_a_run()],
    )
}

/// The link is relative to the root of the service, not to the page, and keeps the filter; the size is the server's, and
/// `Prefer` is not heard (CAP, "Serving OData APIs", "Pagination"; OData 4.01 JSON §4.5.5 takes it relative to the context URL).
fn sap_cap() -> Row {
    let books = serve(|asked| {
        asked.authorized("Basic YWxpY2U6c2VjcmV0")?;
        asked.at("GET", "/odata/v4/catalog/Authors(101)/books")?;
        asked.asks("$filter", "stock gt 0")?;
        let at = asked.number("$skiptoken", 0)?;
        let end = slice(at, 100).end;
        let value = page(at, 100, |n| json!({ "n": n, "ID": 200 + n, "stock": 1 }));
        let mut body = json!({ "@odata.context": "../$metadata#Books", "value": value });
        if end < RECORDS {
            let filter = encoded("stock gt 0");
            body["@odata.nextLink"] = json!(format!("Authors(101)/books?$filter={filter}&$skiptoken={end}"));
        }
        ok(body)
    });
    let source = Source::get("books", "https://bookshop.example.com/odata/v4/catalog/Authors(101)/books")
        .basic("alice", "secret")
        .query("$filter", "stock gt 0")
        .records("value")
        .paginate(
            NextUrl::body("/@odata.nextLink")
                .relative_to("https://bookshop.example.com/odata/v4/catalog/")
                .missing_ends(),
        );
    Row::new("OData V4 (SAP CAP)", [Way::new("N", books, source)])
}

/// The size is asked for in `Prefer`, which must come with each page; the cookie in the link is encoded twice and must
/// not be touched (learn.microsoft.com, "Query data using the Web API", "Page results": 5,000 rows at most; "Service
/// protection API limits": 429 with `Retry-After`).
fn dataverse() -> Row {
    let limit = Limit::told(3, 25);
    let kept = limit.clone();
    let cookie = |at: u64| {
        let inner =
            format!("%253ccookie%2520page%253d%2522{}%2522%253e{}%253c%252fcookie%253e", at / 200 + 1, at);
        format!(
            "%3Ccookie%20pagenumber=%22{}%22%20pagingcookie=%22{inner}%22%20istracking=%22False%22%20/%3E",
            at / 200 + 1
        )
    };
    let accounts = serve(move |asked| {
        asked.authorized("Bearer eyJ0.token")?;
        asked.says("odata-version", "4.0")?;
        asked.says("odata-maxversion", "4.0")?;
        asked.at("GET", "/api/data/v9.2/accounts")?;
        if let Some(wait) = limit.meets(asked)? {
            let body = json!({ "error": { "code": "0x80072322", "message": "Number of requests exceeded the limit of 6000 over time window of 300 seconds." } });
            return Ok(answer(429, body)
                .header("retry-after", &wait.as_secs().to_string())
                .header("x-ms-ratelimit-burst-remaining-xrm-requests", "0")
                .header("x-ms-ratelimit-time-remaining-xrm-requests", "1200"));
        }
        // Without it the page has 5,000 rows, and the cookie of a smaller one does not fit.
        asked.says("prefer", "odata.maxpagesize=200")?;
        asked.asks("$select", "name")?;
        let text = asked.text();
        let at = match text.split_once("&$skiptoken=") {
            None => 0,
            Some((_, asked_cookie)) => {
                let at = (0..RECORDS).step_by(200).find(|at| cookie(*at) == asked_cookie);
                at.ok_or_else(|| super::server::refuse(400, "Malformed XML in the Paging Cookie"))?
            }
        };
        let end = slice(at, 200).end;
        let value =
            page(at, 200, |n| json!({ "n": n, "accountid": format!("00000000-0000-0000-0000-{n:012}") }));
        let mut body = json!({ "@odata.context": "https://your-org.crm.dynamics.com/api/data/v9.2/$metadata#accounts(name)", "value": value });
        if end < RECORDS {
            let url = "https://your-org.crm.dynamics.com/api/data/v9.2/accounts";
            body["@odata.nextLink"] = json!(format!("{url}?$select=name&$skiptoken={}", cookie(end)));
        }
        Ok(answer(200, body).header("preference-applied", "odata.maxpagesize=200"))
    });
    let source = Source::get("accounts", "https://your-org.crm.dynamics.com/api/data/v9.2/accounts")
        .bearer("eyJ0.token")
        .header("OData-Version", "4.0")
        .header("OData-MaxVersion", "4.0")
        .header("Prefer", "odata.maxpagesize=200")
        .query("$select", "name")
        .records("value")
        .paginate(NextUrl::body("/@odata.nextLink").missing_ends());
    Row::new("Dynamics / Dataverse", [Way::new("N", accounts, source).checked(move || kept.kept())])
}
