//! Frameworks that make an API out of tables.

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::page::Format;
use headwater::paginate::{Cursor, NextUrl, Offset, PageNumber, Single};
use headwater::testing::Reply;
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, bare, demand, number_in, ok, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![datasette(), rest_framework(), json_server()]
}

/// `next_url`, or `next` sent back as `_next`, which for compound keys holds commas and tildes; with `_shape=array`
/// the `Link` header has it. More than 1,000 rows a page are refused (docs.datasette.io: JSON API, Pagination).
fn datasette() -> Row {
    let source = || Source::get("commits", "https://datasette.io/content/commits.json").query("_size", "max");
    let url = source().query("_shape", "objects").records("rows").paginate(NextUrl::body("next_url"));
    let next = source()
        .query("_shape", "objects")
        .records("rows")
        .paginate(Cursor::body("next").into_query("_next"));
    let link = source().query("_shape", "array").records("").paginate(headwater::paginate::LinkHeader::new());
    let csv = Source::get("commits", "https://datasette.io/content/commits.csv")
        .query("_stream", "on")
        .format(Format::csv())
        .records("")
        .paginate(Single);
    let streamed = serve(|asked| {
        demand(asked.query("_stream") == Some("on"), 400, "only a page of them")?;
        let lines: String = (0..RECORDS).map(|n| format!("{n},\"a, b\"\r\n")).collect();
        Ok(Reply::status(200)
            .header("content-type", "text/csv; charset=utf-8")
            .body(format!("n,message\r\n{lines}")))
    });
    Row::new(
        "Datasette",
        [
            Way::new("–", streamed, csv).named("CSV, streamed"),
            Way::new("N", serve(commits), url).named("next_url"),
            Way::new("C", serve(commits), next).named("next"),
            Way::new("N", serve(commits), link).named("Link"),
        ],
    )
}

fn commits(asked: &Asked<'_>) -> Served {
    // The vendor's largest page has 1,000 rows: here 200, so that there are more pages than two.
    let size = match asked.query("_size") {
        None => 100,
        Some("max") => 200,
        Some(_) => asked.number("_size", 100)?,
    };
    demand(size <= 200, 400, "_size must be <= 1000")?;
    // A key of two columns, the first of which has a comma in it, as tilde-encoding writes it.
    let next = asked.query("_next");
    let first = next.map(|next| number_in(Some(next), "a~2Cb,")).transpose()?.map_or(0, |last| last + 1);
    let range = slice(first, size);
    let more = range.end < RECORDS;
    let next = more.then(|| format!("a~2Cb,{}", range.end - 1));
    let shape = asked.query("_shape").unwrap_or("lists");
    let encoded = next.as_ref().map(|next| next.replace('~', "%7E").replace(',', "%2C"));
    let url = encoded.map(|next| {
        format!("https://datasette.io/content/commits.json?_size={size}&_shape={shape}&_next={next}")
    });
    if shape == "array" {
        let reply = answer(200, bare(range).into());
        return Ok(match url {
            Some(url) => reply.header("link", &format!("<{url}>; rel=\"next\"")),
            None => reply,
        });
    }
    if shape == "lists" {
        let lists: Vec<_> = range.map(|n| json!([n])).collect();
        return ok(json!({"columns": ["n"], "rows": lists, "next": next, "next_url": url}));
    }
    let body = json!({"ok": true, "rows": bare(range), "next": next, "next_url": url, "filtered_table_rows_count": RECORDS});
    ok(body)
}

/// Three pagination classes, each with `next`; a page past the end is 404 (django-rest-framework.org: Pagination,
/// Throttling).
fn rest_framework() -> Row {
    let by_offset = || {
        let limit = Limit::told(3, 42);
        serve(move |asked| {
            limit.pass(asked, |_| {
                answer(429, json!({"detail": "Request was throttled."})).header("retry-after", "42")
            })?;
            let (offset, limit) = (asked.number("offset", 0)?, asked.number("limit", 100)?.min(250));
            let range = slice(offset, limit);
            let next = (range.end < RECORDS)
                .then(|| format!("https://django.example.com/items/?limit={limit}&offset={}", range.end));
            ok(json!({"count": RECORDS, "next": next, "previous": null, "results": bare(range)}))
        })
    };
    let items = || Source::get("items", "https://django.example.com/items/").records("results");
    let cursors = serve(|asked| {
        let range = slice(number_in(asked.query("cursor"), "cD0=")?, 100);
        let next = (range.end < RECORDS)
            .then(|| format!("https://django.example.com/items/?cursor=cD0%3D{}", range.end));
        ok(json!({"next": next, "previous": null, "results": bare(range)}))
    });
    let past = items().paginate(PageNumber::new()).rule(When::status(404).means(Verdict::End));
    Row::new(
        "DRF (3 styles)",
        [
            Way::new("N", by_offset(), items().query("limit", "250").paginate(NextUrl::body("next")))
                .named("limit and offset, next"),
            Way::new("O", by_offset(), items().paginate(Offset::new(500).until_total("count")))
                .named("limit and offset"),
            Way::new("N", serve(numbered), items().paginate(NextUrl::body("next")))
                .named("page number, next"),
            Way::new("G", serve(numbered), past).named("page number past the end"),
            Way::new("N", cursors, items().paginate(NextUrl::body("next"))).named("cursor"),
        ],
    )
}

fn numbered(asked: &Asked<'_>) -> Served {
    let page = asked.number("page", 1)?;
    let pages = RECORDS.div_ceil(100);
    demand((1..=pages).contains(&page), 404, "Invalid page.")?;
    let next = (page < pages).then(|| format!("https://django.example.com/items/?page={}", page + 1));
    ok(
        json!({"count": RECORDS, "next": next, "previous": null, "results": bare(slice((page - 1) * 100, 100))}),
    )
}

/// `next` is the number of the next page, `null` at the end; past the end the last page comes again (json-server 1.x,
/// `src/service.ts`).
fn json_server() -> Row {
    let source = || Source::get("posts", "http://localhost:3000/posts").records("data");
    let next = source()
        .query("_page", "1")
        .query("_per_page", "100")
        .paginate(Cursor::body("next").into_query("_page"));
    let pages = PageNumber::new().param("_page").size("_per_page", 100).until_page_count("pages");
    Row::new(
        "json-server 1.x",
        [
            Way::new("C", serve(posts), next).named("next"),
            Way::new("G", serve(posts), source().paginate(pages)).named("pages"),
        ],
    )
}

fn posts(asked: &Asked<'_>) -> Served {
    if asked.query("_page").is_none() {
        return ok(bare(0..RECORDS).into());
    }
    let size = asked.number("_per_page", 10)?;
    let pages = RECORDS.div_ceil(size);
    let page = asked.number("_page", 1)?.clamp(1, pages);
    let (prev, next) = ((page > 1).then(|| page - 1), (page < pages).then(|| page + 1));
    let data = bare(slice((page - 1) * size, size));
    ok(json!({
        "first": 1, "prev": prev, "next": next, "last": pages, "pages": pages, "items": RECORDS, "data": data,
    }))
}
