//! Open catalogues of books, films, creatures and news.

use chrono::{Days, NaiveDate};
use headwater::Source;
use headwater::page::Select;
use headwater::pages::{Fanout, Step, TimeFormat, Window};
use headwater::paginate::{End, NextUrl, Offset, PageNumber, Single};
use headwater::testing::Reply;
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, bare, demand, ok, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![pokeapi(), swapi(), tmdb(), open_library(), hacker_news()]
}

/// Next links, `null` at the end; the list holds references, each of which is fetched (pokeapi.co/docs/v2).
fn pokeapi() -> Row {
    let list = serve(pokemon);
    let names = || {
        Source::get("names", "https://pokeapi.co/api/v2/pokemon")
            .query("limit", "100")
            .records("results")
            .paginate(NextUrl::body("next"))
    };
    // Every request of both, and each item at its own address.
    let both = serve(|asked| {
        let id = asked.path().strip_prefix("/api/v2/pokemon/").map(|id| id.trim_end_matches('/'));
        let Some(id) = id.filter(|id| !id.is_empty()) else { return pokemon(asked) };
        let n: u64 = id.parse().map_err(|_| Reply::status(404).body("Not Found"))?;
        ok(json!({"id": n, "name": id, "height": 7}))
    });
    let items = Source::get("pokemon", "https://pokeapi.co/api/v2/pokemon/{name}/")
        .records(Select::object(""))
        .paginate(Single)
        .fanout(Fanout::over(names().transport(both.clone())).bind("name", "name").concurrency(4));
    Row::new(
        "PokeAPI",
        [
            Way::new("N", list, names()).named("list").number("name"),
            Way::new("N F", both, items).named("items").number("id"),
        ],
    )
}

fn pokemon(asked: &Asked<'_>) -> Served {
    let (offset, limit) = (asked.number("offset", 0)?, asked.number("limit", 20)?);
    let range = slice(offset, limit);
    let url = |path: String| format!("https://pokeapi.co/api/v2/pokemon{path}");
    let next = (range.end < RECORDS)
        .then(|| url(format!("?offset={}&limit={}", range.end, limit.min(RECORDS - range.end))));
    let refs: Vec<_> = range.map(|n| json!({"name": n.to_string(), "url": url(format!("/{n}/"))})).collect();
    ok(json!({"count": RECORDS, "next": next, "previous": null, "results": refs}))
}

/// Next links, `null` at the end, or page numbers (swapi.dev/documentation: Schema, Pagination; Rate limiting).
fn swapi() -> Row {
    let source = || Source::get("people", "https://swapi.dev/api/people/").records("results");
    let throttled = || {
        let limit = Limit::told(9, 9);
        serve(move |asked| people(asked, &limit))
    };
    let pages = source().paginate(PageNumber::new().until(End::total("count")));
    let links = source().paginate(NextUrl::body("next").upgrade_http());
    Row::new(
        "SWAPI",
        [Way::new("N", throttled(), links).named("next"), Way::new("G", throttled(), pages).named("page")],
    )
}

/// People, ten a page; the links are of http, though they were asked for by https, and a page past the end is 404.
fn people(asked: &Asked<'_>, limit: &Limit) -> Served {
    limit.pass(asked, |_| {
        answer(429, json!({"detail": "Request was throttled."})).header("retry-after", "9")
    })?;
    demand(asked.request.url().scheme() == "https" && asked.path() == "/api/people/", 404, "Not found")?;
    let (page, pages) = (asked.number("page", 1)?, RECORDS.div_ceil(10));
    demand((1..=pages).contains(&page), 404, "Not found")?;
    let next = (page < pages).then(|| format!("http://swapi.dev/api/people/?page={}", page + 1));
    let found = bare(slice((page - 1) * 10, 10));
    ok(json!({"count": RECORDS, "next": next, "previous": null, "results": found}))
}

/// Films between two days, both among them, twenty a page, and no page beyond the last of `pages`.
fn films(asked: &Asked<'_>, limit: &Limit, pages: u64) -> Served {
    limit.pass(asked, |_| {
        answer(429, json!({"status_code": 25, "success": false})).header("retry-after", "4")
    })?;
    asked.authorized("Bearer token-of-tmdb")?;
    let page = asked.number("page", 1)?;
    if !(1..=pages).contains(&page) {
        let invalid = "Invalid page: Pages start at 1 and max at 500. They are expected to be an integer.";
        return Err(answer(400, json!({"status_code": 22, "status_message": invalid, "success": false})));
    }
    let day = |name: &str| -> Result<Option<NaiveDate>, Reply> {
        let text = asked.query(name);
        text.map(|text| text.parse().map_err(|_| answer(400, json!({"status_code": 23})))).transpose()
    };
    let (from, to) = (day("primary_release_date.gte")?, day("primary_release_date.lte")?);
    let within = |n: &u64| {
        let released = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap_or_default() + Days::new(*n);
        from.is_none_or(|from| from <= released) && to.is_none_or(|to| released <= to)
    };
    let mut all: Vec<u64> = (0..RECORDS).filter(within).collect();
    // The order is that of popularity, which changes, unless another one is asked for.
    if asked.query("sort_by").is_none() && !all.is_empty() {
        let by = asked.nth as usize * 37 % all.len();
        all.rotate_left(by);
    }
    let found = bare(all.iter().copied().skip((page as usize - 1) * 20).take(20));
    let (total, count) = (all.len() as u64, (all.len() as u64).div_ceil(20));
    ok(json!({"page": page, "results": found, "total_pages": count, "total_results": total}))
}

/// Page numbers up to 500, whatever `total_pages` says; beyond that, by days (developer.themoviedb.org: Discover, Movie;
/// Errors, 22).
fn tmdb() -> Row {
    let source = || {
        Source::get("films", "https://api.themoviedb.org/3/discover/movie")
            .bearer("token-of-tmdb")
            .query("sort_by", "primary_release_date.asc")
            .records("results")
    };
    let limit = Limit::told(3, 4);
    let all = source().paginate(PageNumber::new().most_pages(500).until_page_count("total_pages"));
    let server_of_all = serve(move |asked| films(asked, &limit, 500));
    // The vendor has 500 pages of twenty: here 20 pages, so that a year is too much.
    let limit = Limit::told(3, 4);
    let server_of_days = serve(move |asked| films(asked, &limit, 20));
    let in_days = source()
        .query("primary_release_date.gte", "{start}")
        .query("primary_release_date.lte", "{end}")
        .paginate(PageNumber::new().until_page_count("total_pages"))
        .window(
            Window::time("2000-01-01", "2004-01-01")
                .every(Step::years(2))
                .inclusive_end()
                .format(TimeFormat::Date)
                .ceiling(400)
                .total_at("total_results"),
        );
    Row::new(
        "TMDB",
        [
            Way::new("G", server_of_all, all).named("pages"),
            Way::new("G W", server_of_days, in_days).named("pages, in windows"),
        ],
    )
}

/// A list of ids, and an item for each, which may be `null` (github.com/HackerNews/API).
fn hacker_news() -> Row {
    let api = serve(news);
    let ids = Source::get("ids", "https://hacker-news.firebaseio.com/v0/user/whoishiring.json")
        .records("submitted")
        .paginate(Single)
        .transport(api.clone());
    let items = Source::get("items", "https://hacker-news.firebaseio.com/v0/item/{id}.json")
        .records(Select::object("").skip_null())
        .paginate(Single)
        .fanout(Fanout::over(ids).bind("id", "").concurrency(8));
    Row::new("Hacker News", [Way::new("F", api, items)])
}

/// A list of ids, and an item of each, which is `null` where it was taken back.
fn news(asked: &Asked<'_>) -> Served {
    let path = asked.path();
    if path == "/v0/user/whoishiring.json" {
        // Every twenty-fifth of them is gone.
        let ids: Vec<u64> = (0..RECORDS + RECORDS / 24).map(|place| 1000 + place).collect();
        return ok(json!({"id": "whoishiring", "karma": 1, "submitted": ids}));
    }
    let id = path.strip_prefix("/v0/item/").and_then(|rest| rest.strip_suffix(".json")?.parse::<u64>().ok());
    let Some(place) = id.and_then(|id| id.checked_sub(1000)) else {
        return ok(json!(null));
    };
    let gone = place % 25 == 24;
    let item = json!({"id": place + 1000, "type": "story", "n": place - place / 25});
    ok(if gone { serde_json::Value::Null } else { item })
}

/// Pages of a search by number or offset; an author's works by a link from the path on, as far as 1,000 at once
/// (openlibrary.org/dev/docs/api/search, /authors). Whoever does not say who they are is limited to one request a
/// second.
fn open_library() -> Row {
    let agent = "headwater (books@example.com)";
    let known = move |asked: &Asked<'_>| demand(asked.header("user-agent") == Some(agent), 403, "who?");
    let works = serve(move |asked| {
        known(asked)?;
        let (offset, limit) = (asked.number("offset", 0)?, asked.number("limit", 50)?.min(1000));
        let range = slice(offset, limit);
        let mut links = json!({"self": asked.path(), "author": "/authors/OL23919A"});
        if range.end < RECORDS {
            let path = asked.path();
            links["next"] = json!(format!("{path}?limit={limit}&offset={}", offset + limit));
        }
        ok(json!({"links": links, "size": RECORDS, "entries": bare(range)}))
    });
    let author = Source::get("works", "https://openlibrary.org/authors/OL23919A/works.json")
        .header("User-Agent", agent)
        .query("limit", "100")
        .records("entries")
        .paginate(NextUrl::body("links.next").missing_ends());
    let search = || {
        let limit = Limit::told(3, 15);
        serve(move |asked| {
            limit.pass(asked, |_| Reply::status(429).header("retry-after", "15"))?;
            known(asked)?;
            if asked.query("q").is_none() {
                return ok(json!({"numFound": 0, "start": 0, "docs": []}));
            }
            let size = asked.number("limit", 100)?.min(1000);
            let offset = asked.number("offset", (asked.number("page", 1)?.max(1) - 1) * size)?;
            let found = json!({"numFound": RECORDS, "start": offset, "docs": bare(slice(offset, size))});
            ok(found)
        })
    };
    let rust = || {
        Source::get("search", "https://openlibrary.org/search.json")
            .header("User-Agent", agent)
            .query("q", "rust")
            .records("docs")
    };
    let by_offset = rust().paginate(Offset::new(200).until_total("numFound"));
    let by_page = rust().paginate(PageNumber::new().size("limit", 100).until(End::total("numFound")));
    Row::new(
        "Open Library",
        [
            Way::new("N", works, author).named("works of an author"),
            Way::new("O", search(), by_offset).named("search by offset"),
            Way::new("G", search(), by_page).named("search by page"),
        ],
    )
}
