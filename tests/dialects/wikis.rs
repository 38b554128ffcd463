//! What many people write: wikis, blogs, forums, chat.

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::hints::{At, Signal, Unit};
use headwater::pages::Fanout;
use headwater::paginate::{Cursor, LinkHeader, NextUrl, PageNumber, Single};
use headwater::testing::Reply;
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{
    Asked, Limit, PLACES, Served, answer, bare, demand, number_in, ok, refuse, seen, serve, slice,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![wordpress(), discourse(), matrix()]
}

/// Pages by number, with `Link` and `X-WP-TotalPages`; more than 100 a page, and a page past the end, are 400
/// (developer.wordpress.org: REST API Handbook, Pagination).
fn wordpress() -> Row {
    let source = || Source::get("posts", "https://wordpress.org/news/wp-json/wp/v2/posts").records("");
    let links = source().query("per_page", "100").paginate(LinkHeader::new());
    let past = When::status(400).body("code", "rest_post_invalid_page_number");
    let pages = source().paginate(PageNumber::new().size("per_page", 100)).rule(past.means(Verdict::End));
    Row::new(
        "WordPress",
        [
            Way::new("N", wordpress_server(), links).named("Link"),
            Way::new("G", wordpress_server(), pages).named("page past the end"),
        ],
    )
}

fn wordpress_server() -> headwater::testing::Scripted {
    serve(|asked| {
        let (page, size) = (asked.number("page", 1)?, asked.number("per_page", 10)?);
        if !(1..=100).contains(&size) || page == 0 {
            return Err(answer(400, json!({"code": "rest_invalid_param", "data": {"status": 400}})));
        }
        let pages = RECORDS.div_ceil(size);
        if page > pages {
            let past = json!({"code": "rest_post_invalid_page_number", "data": {"status": 400}});
            return Err(answer(400, past));
        }
        let to = |page: u64, rel| {
            format!(
                "<https://wordpress.org/news/wp-json/wp/v2/posts?per_page={size}&page={page}>; rel=\"{rel}\""
            )
        };
        let mut links = Vec::new();
        if page > 1 {
            links.push(to(page - 1, "prev"));
        }
        if page < pages {
            links.push(to(page + 1, "next"));
        }
        Ok(answer(200, bare(slice((page - 1) * size, size)).into())
            .header("x-wp-total", &RECORDS.to_string())
            .header("x-wp-totalpages", &pages.to_string())
            .header("link", &links.join(", ")))
    })
}

/// The path of the next topics, which lacks the `.json` of the first: without `Accept` it leads to a page for people; of a
/// topic all ids at once, and the posts of twenty of them (docs.discourse.org: listLatestTopics, getSpecificPostsFromTopic).
fn discourse() -> Row {
    let limit = Limit::told(7, 10);
    let latest = serve(move |asked| {
        limit.pass(asked, |_| Reply::status(429).header("retry-after", "10").body("Slow down"))?;
        asked.credentials("api-key", "key-of-discourse")?;
        demand(asked.header("api-username") == Some("reader"), 403, "invalid_access")?;
        if !asked.path().ends_with(".json") && asked.header("accept") != Some("application/json") {
            return Ok(Reply::status(200).html("<!DOCTYPE html><title>Latest topics</title>"));
        }
        let page = asked.number("page", 0)?;
        let range = slice(page * 30, 30);
        let mut list = json!({"per_page": 30, "topics": bare(range.clone())});
        if range.end < RECORDS {
            list["more_topics_url"] = json!(format!("/latest?no_definitions=true&page={}", page + 1));
        }
        ok(json!({ "topic_list": list }))
    });
    let topics = Source::get("topics", "https://meta.discourse.org/latest.json")
        .api_key_header("Api-Key", "key-of-discourse")
        .header("Api-Username", "reader")
        .header("Accept", "application/json")
        .records("topic_list.topics")
        .paginate(NextUrl::body("topic_list.more_topics_url").missing_ends());
    let posts = serve(posts);
    let ids = Source::get("ids", "https://meta.discourse.org/t/1.json")
        .api_key_header("Api-Key", "key-of-discourse")
        .header("Api-Username", "reader")
        .records("post_stream.stream")
        .paginate(Single)
        .transport(posts.clone());
    let bodies = Source::get("posts", "https://meta.discourse.org/t/1/posts.json")
        .api_key_header("Api-Key", "key-of-discourse")
        .header("Api-Username", "reader")
        .query("post_ids[]", "{ids}")
        .records("post_stream.posts")
        .paginate(Single)
        .fanout(Fanout::over(ids).bind_list("ids", "", 20));
    Row::new(
        "Discourse",
        [
            Way::new("N", latest, topics).named("topics"),
            Way::new("F", posts, bodies).named("posts of a topic"),
        ],
    )
}

/// All ids of a topic's posts with the first twenty of them, or those that are asked for by their ids.
fn posts(asked: &Asked<'_>) -> Served {
    asked.credentials("api-key", "key-of-discourse")?;
    demand(asked.header("api-username") == Some("reader"), 403, "invalid_access")?;
    let post = |id: u64| json!({"id": 5000 + id, "n": id, "cooked": "<p>Hello</p>"});
    if asked.path() == "/t/1.json" {
        let stream: Vec<u64> = (0..RECORDS).map(|n| 5000 + n).collect();
        let posts: Vec<_> = (0..20).map(post).collect();
        return ok(json!({"post_stream": {"posts": posts, "stream": stream}}));
    }
    let ids =
        asked.queries("post_ids[]").map(|id| id.parse::<u64>().ok().and_then(|id| id.checked_sub(5000)));
    let ids: Vec<u64> =
        ids.collect::<Option<_>>().ok_or_else(|| refuse(400, "post_ids[] is no list of ids"))?;
    demand((1..=20).contains(&ids.len()), 400, "post_ids[] has up to twenty ids")?;
    ok(json!({"post_stream": {"posts": ids.into_iter().map(post).collect::<Vec<_>>()}}))
}

/// `end` of a room's messages into `from`, `next_batch` of a directory into `since`; empty pages in between, and no
/// token at the end (spec.matrix.org: Client-Server API, `GET /rooms/{roomId}/messages`, `GET /publicRooms`).
fn matrix() -> Row {
    let limit = Limit::told(5, 6);
    let messages = serve(move |asked| {
        limit.pass(asked, |_| {
            let body = r#"{"errcode":"M_LIMIT_EXCEEDED","error":"Too many requests","retry_after_ms":6000}"#;
            Reply::status(429).header("retry-after", "6").body(body)
        })?;
        asked.authorized("Bearer syt_token")?;
        demand(asked.query("dir") == Some("f"), 400, "M_MISSING_PARAM")?;
        let place = number_in(asked.query("from"), "t")?;
        let (numbers, end) = seen(place, asked.number("limit", 10)?.min(100));
        let mut body = json!({"start": format!("t{place}"), "chunk": bare(numbers)});
        // The token behind the last event leads to a page with nothing in it, and without a token.
        if place < PLACES {
            body["end"] = json!(format!("t{end}"));
        }
        ok(body)
    });
    let room = Source::get(
        "messages",
        "https://matrix.org/_matrix/client/v3/rooms/!OGEhHVWSdvArJzumhm:matrix.org/messages",
    )
    .bearer("syt_token")
    .query("dir", "f")
    .query("limit", "100")
    .records("chunk")
    .paginate(Cursor::body("end").into_query("from").missing_ends());
    // The wait in the body alone, as servers told it before version 1.10.
    let limit = Limit::told(3, 7);
    let rooms = serve(move |asked| {
        limit.pass(asked, |_| answer(429, json!({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 7000})))?;
        let range = slice(number_in(asked.query("since"), "p")?, asked.number("limit", 10)?.min(100));
        let mut body = json!({"chunk": bare(range.clone()), "total_room_count_estimate": RECORDS + 100});
        if range.end < RECORDS {
            body["next_batch"] = json!(format!("p{}", range.end));
        }
        ok(body)
    });
    let directory = Source::get("rooms", "https://matrix.org/_matrix/client/v3/publicRooms")
        .signal(Signal::wait(At::body("retry_after_ms"), Unit::Millis))
        .query("limit", "100")
        .records("chunk")
        .paginate(Cursor::body("next_batch").into_query("since").missing_ends());
    Row::new(
        "Matrix",
        [
            Way::new("C", messages, room).named("messages"),
            Way::new("C", rooms, directory).named("public rooms"),
        ],
    )
}
