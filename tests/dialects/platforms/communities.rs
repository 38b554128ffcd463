//! Discord and Twitch.

use std::time::Duration;

use headwater::paginate::Cursor;
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{
    Asked, Limit, answer, iso, made, ok, page, place, refuse, require, seconds, serve, slice, token,
};

pub(crate) fn rows() -> Vec<Row> {
    vec![discord(), twitch()]
}

/// The epoch that snowflakes count from, in milliseconds.
const DISCORD: i64 = 1_420_070_400_000;

/// The id of a record: its time in milliseconds, above 22 bits of other things.
fn snowflake(number: u64) -> u64 {
    (((made(number) * 1000 - DISCORD) as u64) << 22) | (number & 0xfff)
}

/// The body says how long to wait, to the millisecond; `Retry-After` rounds it up. The limit is one of the route's bucket.
fn discord_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    asked.authorized("Bot MTk4.token")?;
    let Some(wait) = limit.meets(asked)? else { return Ok(()) };
    let left = wait.as_secs_f64();
    Err(answer(
        429,
        json!({ "message": "You are being rate limited.", "retry_after": left, "global": false }),
    )
    .header("retry-after", &left.ceil().to_string())
    .header("x-ratelimit-limit", "5")
    .header("x-ratelimit-remaining", "0")
    .header("x-ratelimit-reset", &format!("{:.3}", limit.now() + left))
    .header("x-ratelimit-reset-after", &format!("{left:.3}"))
    .header("x-ratelimit-bucket", "80c17d2f203122d936070c88c8d10f33")
    .header("x-ratelimit-scope", "user"))
}

fn id(asked: &Asked<'_>, name: &str) -> Result<Option<u64>, Reply> {
    let Some(text) = asked.query(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| refuse(400, format!("{name}: Value {text:?} is not snowflake.")))
}

fn size(asked: &Asked<'_>, default: u64, most: u64) -> Result<u64, Reply> {
    let size = asked.number("limit", default)?;
    require((1..=most).contains(&size), format!("limit: int value should be between 1 and {most}."))?;
    Ok(size)
}

/// Whatever the direction, the youngest of a page stands first.
fn messages(limit: Limit) -> Scripted {
    serve(move |asked| {
        discord_limited(asked, &limit)?;
        asked.at("GET", "/api/v10/channels/41771983423143937/messages")?;
        let size = size(asked, 50, 100)? as usize;
        let (before, after) = (id(asked, "before")?, id(asked, "after")?);
        require(before.is_none() || after.is_none(), "before and after exclude each other")?;
        let mut numbers: Vec<u64> = match (before, after) {
            (_, Some(after)) => (0..RECORDS).filter(|n| snowflake(*n) > after).take(size).collect(),
            (before, _) => {
                let older = (0..RECORDS).rev().filter(|n| before.is_none_or(|before| snowflake(*n) < before));
                older.take(size).collect()
            }
        };
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        ok(numbers
            .iter()
            .map(|n| json!({ "n": n, "id": snowflake(*n).to_string() }))
            .collect::<Vec<_>>()
            .into())
    })
}

fn members(limit: Limit) -> Scripted {
    serve(move |asked| {
        discord_limited(asked, &limit)?;
        asked.at("GET", "/api/v10/guilds/197038439483310086/members")?;
        let (size, after) = (size(asked, 1, 1000)? as usize, id(asked, "after")?.unwrap_or(0));
        let numbers = (0..RECORDS).filter(|n| snowflake(*n) > after).take(size);
        ok(numbers
            .map(|n| json!({ "n": n, "user": { "id": snowflake(n).to_string() } }))
            .collect::<Vec<_>>()
            .into())
    })
}

/// Pins go by the time at which they were made, and have a flag.
fn pins(limit: Limit) -> Scripted {
    serve(move |asked| {
        discord_limited(asked, &limit)?;
        asked.at("GET", "/api/v10/channels/41771983423143937/messages/pins")?;
        let size = size(asked, 50, 50)?;
        let before = asked.query("before").map_or(Ok(i64::MAX), seconds)?;
        let older: Vec<u64> = (0..RECORDS).rev().filter(|n| made(*n) < before).collect();
        let items: Vec<Value> = (older.iter().take(size as usize))
            .map(|n| json!({ "pinned_at": iso(made(*n)), "message": { "n": n, "id": snowflake(*n).to_string() } }))
            .collect();
        ok(json!({ "items": items, "has_more": older.len() as u64 > size }))
    })
}

/// The id of the last record, backwards by `before`; forwards by `after` it is the first one's, for a page of messages
/// always begins with the youngest. Members go by the id of their user; pins by a time, and say whether there is more.
/// Nothing else does: a page that is short, or empty, is the end (docs.discord.com, "Message", "Guild", "Rate Limits").
fn discord() -> Row {
    let source = |name, path: &str| -> SourceBuilder {
        Source::get(name, format!("https://discord.com/api/v10{path}"))
            .api_key_header("Authorization", "Bot MTk4.token")
    };
    let way = |served: fn(Limit) -> Scripted, source| {
        let limit = Limit::at(2, Duration::from_millis(1_337));
        Way::new("K", served(limit.clone()), source).checked(move || limit.kept())
    };
    let list =
        || source("messages", "/channels/41771983423143937/messages").query("limit", "100").records("");
    let before = list().paginate(Cursor::last_record("id").into_query("before"));
    let after = list().paginate(Cursor::first_record("id").into_query("after").first("0"));
    let of_guild = source("members", "/guilds/197038439483310086/members")
        .query("limit", "1000")
        .records("")
        .paginate(Cursor::last_record("user.id").into_query("after"));
    let pinned = source("pins", "/channels/41771983423143937/messages/pins")
        .records("items")
        .paginate(Cursor::last_record("pinned_at").into_query("before").until_false("has_more"));
    Row::new(
        "Discord",
        [
            way(messages, before).named("messages before"),
            way(messages, after).named("messages after"),
            way(members, of_guild).named("members"),
            way(pins, pinned).named("pins").number("message.n"),
        ],
    )
}

/// `pagination` is an empty object at the end; the client's id must come with each page (dev.twitch.tv, "Twitch API
/// Concepts": `Ratelimit-Reset` in epoch seconds; 20, at most 100 a page).
fn twitch() -> Row {
    let limit = Limit::told(3, 40);
    let kept = limit.clone();
    let followers = serve(move |asked| {
        asked.authorized("Bearer cfabdegwdoklmawdzdo98xt2fo512y")?;
        asked.says("client-id", "uo6dggojyb8d6soh92zknwmi5ej1q2")?;
        asked.at("GET", "/helix/channels/followers")?;
        if let Some(wait) = limit.meets(asked)? {
            return Ok(answer(429, json!({ "error": "Too Many Requests", "status": 429 }))
                .header("ratelimit-limit", "800")
                .header("ratelimit-remaining", "0")
                .header("ratelimit-reset", &limit.after(wait).to_string()));
        }
        asked.asks("broadcaster_id", "123456")?;
        let size = asked.number("first", 20)?;
        require(
            size <= 100,
            "The parameter \"first\" was malformed: the value must be less than or equal to 100",
        )?;
        let at = asked.query("after").map_or(Ok(0), place)?;
        let end = slice(at, size).end;
        let pagination = if end < RECORDS { json!({ "cursor": token(end) }) } else { json!({}) };
        let data = page(at, size, |n| json!({ "n": n, "user_id": n.to_string() }));
        ok(json!({ "total": RECORDS, "data": data, "pagination": pagination }))
    });
    let source = Source::get("followers", "https://api.twitch.tv/helix/channels/followers")
        .bearer("cfabdegwdoklmawdzdo98xt2fo512y")
        .header("Client-Id", "uo6dggojyb8d6soh92zknwmi5ej1q2")
        .query("broadcaster_id", "123456")
        .query("first", "100")
        .records("data")
        .paginate(Cursor::body("pagination.cursor").into_query("after").missing_ends());
    Row::new("Twitch", [Way::new("C", followers, source).checked(move || kept.kept())])
}
