//! X, Reddit and Mastodon.

use headwater::Source;
use headwater::page::Select;
use headwater::pages::Window;
use headwater::paginate::{Cursor, LinkHeader};
use headwater::testing::{Reply, Scripted};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, iso, made, ok, page, refuse, require, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![x(), reddit(), mastodon()]
}

fn x_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bearer AAAA")?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    Err(answer(429, json!({ "title": "Too Many Requests", "type": "about:blank", "status": 429 }))
        .header("x-rate-limit-limit", "900")
        .header("x-rate-limit-remaining", "0")
        .header("x-rate-limit-reset", &limit.after(wait).to_string()))
}

/// Posts, newest first; the token goes back by a name that differs from endpoint to endpoint. One page shows none.
fn posts(limit: Limit, path: &'static str, name: &'static str) -> Scripted {
    serve(move |asked| {
        x_limited(asked, &limit)?;
        asked.at("GET", path)?;
        asked.asks("tweet.fields", "created_at")?;
        asked.only(&["tweet.fields", "max_results", "query", name])?;
        if name == "next_token" {
            asked.asks("query", "from:XDevelopers")?;
        }
        let size = asked.number("max_results", 10)?;
        require(
            (5..=100).contains(&size),
            "The `max_results` query parameter value is not between 5 and 100",
        )?;
        let token = asked.query(name);
        let at = match token {
            Some(token) => {
                let digits = token.strip_prefix("7140w").map(|rest| rest.trim_end_matches('h'));
                digits
                    .and_then(|digits| digits.parse().ok())
                    .ok_or_else(|| refuse(400, "Invalid 'pagination_token'"))?
            }
            None => 0,
        };
        let hidden = at == 500 && token == Some("7140w500");
        let rows = page(at, if hidden { 0 } else { size }, |at| {
            let n = RECORDS - 1 - at;
            json!({ "n": n, "id": (1_700_000_000_000_000_000 + n).to_string(), "created_at": iso(made(n)) })
        });
        let end = at + rows.len() as u64;
        let mut body = json!({ "meta": { "result_count": rows.len() } });
        // Without results there is no `data`.
        if !rows.is_empty() {
            body["data"] = rows.into();
        }
        if end < RECORDS {
            body["meta"]["next_token"] = json!(format!("7140w{end}{}", if hidden { "h" } else { "" }));
        }
        ok(body)
    })
}

/// `meta.next_token` goes back as `pagination_token`, or as `next_token` in a search; it is left out at the end, and so
/// is `data` on a page without results (docs.x.com, "Pagination", "Rate limits": resets in epoch seconds).
fn x() -> Row {
    let source = |name, url: &str| {
        Source::get(name, url)
            .bearer("AAAA")
            .query("tweet.fields", "created_at")
            .query("max_results", "100")
            .records(Select::path("data").optional())
    };
    let way = |path, name, source| {
        let limit = Limit::told(8, 600);
        Way::new("C", posts(limit.clone(), path, name), source).checked(move || limit.kept())
    };
    let timeline = source("posts", "https://api.x.com/2/users/2244994945/tweets")
        .paginate(Cursor::body("meta.next_token").into_query("pagination_token").missing_ends());
    let search = source("search", "https://api.x.com/2/tweets/search/all")
        .query("query", "from:XDevelopers")
        .paginate(Cursor::body("meta.next_token").into_query("next_token").missing_ends());
    Row::new(
        "X API v2",
        [
            way("/2/users/2244994945/tweets", "pagination_token", timeline).named("pagination_token"),
            way("/2/tweets/search/all", "next_token", search).named("next_token"),
        ],
    )
}

fn reddit_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("bearer eyJ.token")?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    Err(answer(429, json!({ "message": "Too Many Requests", "error": 429 }))
        .header("x-ratelimit-used", "600")
        .header("x-ratelimit-remaining", "0.0")
        .header("x-ratelimit-reset", &wait.as_secs().to_string()))
}

/// A listing is a thousand long, and no longer.
const LISTING: u64 = 1000;

/// Two subreddits, newest first: one has 800 posts, the other the rest. The list of both together ends after 1,000.
fn listing(limit: Limit) -> Scripted {
    serve(move |asked| {
        reddit_limited(asked, &limit)?;
        asked.asks("raw_json", "1")?;
        let posts: Vec<u64> = match asked.path() {
            "/r/rust/new" => (0..800).rev().collect(),
            "/r/learnrust/new" => (800..RECORDS).rev().collect(),
            "/r/rust+learnrust/new" => (0..RECORDS).rev().collect(),
            _ => return Err(refuse(404, "Not Found")),
        };
        let size = asked.number("limit", 25)?.min(100);
        let at = match asked.query("after") {
            None => 0,
            Some(after) => {
                let n = after.strip_prefix("t3_").and_then(|id| u64::from_str_radix(id, 36).ok());
                // What is no post of this list is no place in it, and the list begins again.
                n.and_then(|n| posts.iter().position(|post| *post == n)).map_or(0, |at| at as u64 + 1)
            }
        };
        let known = LISTING.min(posts.len() as u64);
        let end = (at + size).min(known);
        let shown = &posts[at as usize..end as usize];
        let child = |n: &u64| json!({ "kind": "t3", "data": { "n": n, "name": fullname(*n), "created_utc": made(*n) as f64 } });
        let after = shown.last().filter(|_| end < known).map(|n| fullname(*n));
        let children: Vec<Value> = shown.iter().map(child).collect();
        ok(
            json!({ "kind": "Listing", "data": { "after": after, "before": null, "dist": children.len(), "children": children } }),
        )
    })
}

fn fullname(number: u64) -> String {
    let mut digits = String::new();
    let mut rest = number;
    loop {
        digits.insert(0, char::from_digit((rest % 36) as u32, 36).unwrap_or('0'));
        rest /= 36;
        if rest == 0 {
            return format!("t3_{digits}");
        }
    }
}

/// The list of flairs has no such end; its token is left out on the last page.
fn flairs(limit: Limit) -> Scripted {
    serve(move |asked| {
        reddit_limited(asked, &limit)?;
        asked.at("GET", "/r/rust/api/flairlist")?;
        let size = asked.number("limit", 25)?.min(1000);
        let at = match asked.query("after") {
            None => 0,
            Some(after) => after
                .strip_prefix("t2_")
                .and_then(|at| at.parse().ok())
                .ok_or_else(|| refuse(400, "Bad Request"))?,
        };
        let end = slice(at, size).end;
        let mut body = json!({ "users": page(at, size, |n| json!({ "n": n, "user": format!("u{n}") })) });
        if end < RECORDS {
            body["next"] = json!(format!("t2_{end}"));
        }
        ok(body)
    })
}

/// `data.after` is null at the end, and the end is after 1,000 rows at the latest, without a word: so each subreddit is
/// listed by itself. The reset is in seconds left, and what remains has a fraction (github.com/reddit-archive/reddit/wiki/API;
/// reddit.com/dev/api, "listings"; lists of flairs have no ceiling).
fn reddit() -> Row {
    let way = |primitive, served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(4, 284);
        Way::new(primitive, served(limit.clone()), source).checked(move || limit.kept())
    };
    let source = |name, url: &str| Source::get(name, url).api_key_header("Authorization", "bearer eyJ.token");
    let by_subreddit = source("posts", "https://oauth.reddit.com/r/{key}/new")
        .query("raw_json", "1")
        .query("limit", "100")
        .records("data.children")
        .paginate(Cursor::body("data.after").into_query("after"))
        .window(Window::keys(["rust", "learnrust"]).ceiling(LISTING));
    let by_flair = source("flairs", "https://oauth.reddit.com/r/rust/api/flairlist")
        .query("limit", "300")
        .records("users")
        .paginate(Cursor::body("next").into_query("after").missing_ends());
    Row::new(
        "Reddit",
        [
            way("C,W", listing, by_subreddit).named("listings").number("data.n"),
            way("C", flairs, by_flair).named("flairs"),
        ],
    )
}

/// Only the `Link` header leads on: its ids are those of the favourites, not of the posts that the page shows. The reset
/// is an ISO 8601 time (docs.joinmastodon.org, "API guidelines", "Rate limits"; 20, at most 40 a page).
fn mastodon() -> Row {
    let limit = Limit::told(10, 300);
    let kept = limit.clone();
    let favourites = serve(move |asked| {
        asked.authorized("Bearer token")?;
        asked.at("GET", "/api/v1/favourites")?;
        if let Some(wait) = limit.meets(asked)? {
            return Ok(answer(429, json!({ "error": "Too many requests" }))
                .header("x-ratelimit-limit", "300")
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", &iso(limit.after(wait) as i64)));
        }
        let size = asked.number("limit", 20)?.min(40);
        // Favourites have ids of their own, from 9000 downwards; the posts come in no order of theirs.
        let at = match asked.query("max_id") {
            None => 0,
            Some(id) => id.parse::<u64>().ok().and_then(|id| 9000_u64.checked_sub(id)).map_or(0, |at| at + 1),
        };
        let end = slice(at, size).end;
        let rows = page(at, size, |at| {
            let n = at * 601 % RECORDS;
            json!({ "n": n, "id": (111_000_000_000_000_000 + n).to_string() })
        });
        let link = |name: &str, id: u64, rel: &str| {
            format!("<https://mastodon.example/api/v1/favourites?limit={size}&{name}={id}>; rel=\"{rel}\"")
        };
        let mut links = Vec::new();
        if end < RECORDS {
            links.push(link("max_id", 9000 - (end - 1), "next"));
        }
        links.push(link("min_id", 9000 - at, "prev"));
        Ok(answer(200, rows.into()).header("link", &links.join(", ")))
    });
    let source = Source::get("favourites", "https://mastodon.example/api/v1/favourites")
        .bearer("token")
        .query("limit", "40")
        .records("")
        .paginate(LinkHeader::new());
    Row::new("Mastodon", [Way::new("N", favourites, source).checked(move || kept.kept())])
}
