//! Mailchimp, SendGrid, Mailgun, Klaviyo.

use headwater::paginate::{End, NextUrl, Offset};
use std::time::Duration;

use headwater::Source;
use headwater::testing::Reply;
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, answer, ok, page, place, refuse, serve, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![mailgun(), mailchimp(), send_grid(), klaviyo()]
}

/// Mailchimp, "Pagination" and "Throttling" (mailchimp.com/developer/marketing/docs): `offset` and `count`, 10 by
/// default, at most 1,000; `total_items`. A 429 comes at more than ten connections at once, and says nothing more.
fn mailchimp() -> Row {
    let limit = Limit::untold(2, 0);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/3.0/lists/a1b2/members")?;
        // base64 of "anystring:key-us6"
        asked.authorized("Basic YW55c3RyaW5nOmtleS11czY=")?;
        limit.pass(asked, |_| {
            let body = json!({"title": "Too Many Requests", "status": 429, "detail": "You have exceeded the limit of 10 simultaneous connections."});
            Reply::status(429).body(body.to_string())
        })?;
        asked.only(&["count", "offset", "status", "fields"])?;
        asked.asks("status", "subscribed")?;
        let (size, start) = (asked.size("count", 10, 1000)?, asked.number("offset", 0)?);
        let members = page(start, size, |n| json!({"id": format!("{n:032x}"), "n": n}));
        ok(json!({"members": members, "list_id": "a1b2", "total_items": RECORDS}))
    });
    let source = Source::get("members", "https://us6.api.mailchimp.com/3.0/lists/a1b2/members")
        .basic("anystring", "key-us6")
        .query("status", "subscribed")
        .records("members")
        .paginate(Offset::new(1000).limit_param("count").until_total("total_items"));
    Row::new("Mailchimp", [Way::new("O", server, source).checked(move || hit.kept())])
}

/// SendGrid (github.com/twilio/sendgrid-oai): marketing lists have `_metadata.next`, a URL with a `page_token`, absent at
/// the end; suppressions have `limit` (at most 500) and `offset` over a bare array, and no total. A 429 has
/// `X-RateLimit-Reset` in epoch seconds.
fn send_grid() -> Row {
    let refused = |limit: &Limit, wait: Duration| {
        Reply::status(429)
            .header("x-ratelimit-limit", "600")
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", &limit.after(wait).to_string())
            .body(r#"{"errors":[{"field":null,"message":"too many requests"}]}"#)
    };
    let limit = Limit::told(3, 27);
    let lists_hit = limit.clone();
    let lists = serve(move |asked| {
        asked.at("GET", "/v3/marketing/lists")?;
        asked.authorized("Bearer SG.key")?;
        limit.pass(asked, |wait| refused(&limit, wait))?;
        asked.only(&["page_size", "page_token"])?;
        let size = asked.size("page_size", 100, 1000)?;
        let start = asked.query("page_token").map_or(Ok(0), place)?;
        let found = page(start, size, |n| json!({"id": format!("{n:08x}-aa"), "n": n}));
        let link = |token: &str| {
            let url = url::Url::parse_with_params(
                &format!("https://api.sendgrid.com/v3/marketing/lists?page_size={size}"),
                [("page_token", token)],
            );
            url.expect("a token fits into a URL").to_string()
        };
        let mut metadata = json!({"self": link(&token(start)), "count": RECORDS});
        if start + size < RECORDS {
            metadata["next"] = link(&token(start + size)).into();
        }
        ok(json!({"result": found, "_metadata": metadata}))
    });
    let lists_source = Source::get("lists", "https://api.sendgrid.com/v3/marketing/lists")
        .bearer("SG.key")
        .query("page_size", "250")
        .records("result")
        .paginate(NextUrl::body("_metadata.next").missing_ends());

    let limit = Limit::told(2, 8);
    let blocks_hit = limit.clone();
    let blocks = serve(move |asked| {
        asked.at("GET", "/v3/suppression/blocks")?;
        asked.authorized("Bearer SG.key")?;
        limit.pass(asked, |wait| refused(&limit, wait))?;
        asked.only(&["limit", "offset", "start_time", "end_time"])?;
        asked.asks("start_time", "1700000000")?;
        let (size, start) = (asked.size("limit", 500, 500)?, asked.number("offset", 0)?);
        ok(page(start, size, |n| json!({"email": format!("{n}@example.com"), "created": n})).into())
    });
    let blocks_source = Source::get("blocks", "https://api.sendgrid.com/v3/suppression/blocks")
        .bearer("SG.key")
        .query("start_time", "1700000000")
        .records("")
        .paginate(Offset::new(500));
    Row::new(
        "SendGrid",
        [
            Way::new("N", lists, lists_source).named("lists").checked(move || lists_hit.kept()),
            Way::new("O", blocks, blocks_source)
                .named("suppressions")
                .number("created")
                .checked(move || blocks_hit.kept()),
        ],
    )
}

/// Klaviyo (developers.klaviyo.com, "Pagination" and "Rate limits"): JSON:API; `links.next` is null at the end, and the
/// cursor stands nowhere else. `revision` on every page. `page[size]` is 20, at most 100. Two buckets, burst and steady: one
/// header has both, the others tell of the steady one; a 429 has `Retry-After` in their place.
fn klaviyo() -> Row {
    let limit = Limit::told(4, 11);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/api/profiles")?;
        asked.authorized("Klaviyo-API-Key pk_1")?;
        asked.says("revision", "2025-04-15")?;
        let headers = |reply: Reply, remaining: &str, reset: u64| {
            reply
                .header("ratelimit-limit", "700, 75;w=1, 700;w=60")
                .header("ratelimit-remaining", remaining)
                .header("ratelimit-reset", &reset.to_string())
        };
        limit.pass(asked, |wait| {
            let reply = Reply::status(429).header("retry-after", &wait.as_secs().to_string());
            reply.body(r#"{"errors":[{"status":429,"code":"throttled"}]}"#)
        })?;
        asked.only(&["page[size]", "page[cursor]", "sort"])?;
        asked.asks("sort", "-created")?;
        let size = asked.size("page[size]", 20, 100)?;
        let start = asked.query("page[cursor]").map_or(Ok(0), place)?;
        let data = page(
            start,
            size,
            |n| json!({"type": "profile", "id": format!("01H{n}"), "attributes": {"n": n}}),
        );
        let next: Value = if start + size < RECORDS {
            let (size, cursor) = (size.to_string(), token(start + size));
            let pairs = [("page[size]", &*size), ("page[cursor]", &*cursor), ("sort", "-created")];
            let url = url::Url::parse_with_params("https://a.klaviyo.com/api/profiles", pairs);
            url.expect("a cursor fits into a URL").to_string().into()
        } else {
            Value::Null
        };
        let links = json!({"self": "https://a.klaviyo.com/api/profiles", "next": next, "prev": null});
        Ok(headers(answer(200, json!({"data": data, "links": links})), "650", 40))
    });
    let source = Source::get("profiles", "https://a.klaviyo.com/api/profiles")
        .api_key_header("authorization", "Klaviyo-API-Key pk_1")
        .header("revision", "2025-04-15")
        .query("page[size]", "100")
        .query("sort", "-created")
        .records("data")
        .paginate(NextUrl::body("links.next"));
    Row::new("Klaviyo", [Way::new("N", server, source).number("attributes.n").checked(move || hit.kept())])
}

/// Mailgun, "Events" (documentation.mailgun.com): `paging.next` is always there, also when nothing is left: the end is a
/// page without items. Its path is another one, and it has no query. At most 300.
fn mailgun() -> Row {
    let limit = Limit::untold(3, 0);
    let hit = limit.clone();
    let server = serve(move |asked| {
        // base64 of "api:key-mg"
        asked.authorized("Basic YXBpOmtleS1tZw==")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"message":"Too many requests"}"#))?;
        let (size, start) = match asked.path().strip_prefix("/v3/mg.example.com/events") {
            Some("") => {
                asked.only(&["limit", "ascending", "begin"])?;
                asked.asks("ascending", "yes")?;
                (asked.size("limit", 100, 300)?, 0)
            }
            Some(rest) => {
                asked.only(&[])?;
                let parts = rest.strip_prefix("/W3si.").and_then(|rest| rest.split_once('.'));
                let number = |text: &str| text.parse().map_err(|_| refuse(400, "a bad page"));
                let (size, start) = parts.ok_or_else(|| refuse(404, "no such page"))?;
                (number(size)?, number(start)?)
            }
            None => return Err(refuse(404, asked.path())),
        };
        let items = page(start, size, |n| json!({"event": "delivered", "id": format!("ev{n}"), "n": n}));
        let at = |start: u64| format!("https://api.mailgun.net/v3/mg.example.com/events/W3si.{size}.{start}");
        let next = start + items.len() as u64;
        let paging = json!({"first": at(0), "previous": at(start.saturating_sub(size)), "next": at(next), "last": at(RECORDS)});
        ok(json!({"items": items, "paging": paging}))
    });
    let source = Source::get("events", "https://api.mailgun.net/v3/mg.example.com/events")
        .basic("api", "key-mg")
        .query("begin", "1700000000")
        .query("ascending", "yes")
        .query("limit", "300")
        .records("items")
        .paginate(NextUrl::body("paging.next").until(End::empty_page()));
    Row::new("Mailgun", [Way::new("N", server, source).checked(move || hit.kept())])
}
