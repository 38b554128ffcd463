//! Open catalogues of books, films, creatures and news.

use headwater::Source;
use headwater::paginate::{NextUrl, Offset};
use headwater::testing::Reply;
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Answered, Limit, cut, demand, header, json_reply, number, rows, server};

pub(crate) fn rows_of_playgrounds() -> Vec<Row> {
    vec![pokeapi(), open_library()]
}

/// Next links, `null` at the end; the list holds references, each of which is fetched (pokeapi.co/docs/v2).
fn pokeapi() -> Row {
    let list = server(|request, _| pokemon(request));
    let names = Source::get("pokemon", "https://pokeapi.co/api/v2/pokemon")
        .query("limit", "100")
        .records("results")
        .paginate(NextUrl::body("next"));
    Row::new("PokeAPI", [Way::new("N", list, names).named("list").number("name")])
}

fn pokemon(request: &headwater::Request) -> Answered {
    let (offset, limit) = (number(request, "offset", 0)?, number(request, "limit", 20)?);
    let range = cut(offset, limit);
    let url = |path: String| format!("https://pokeapi.co/api/v2/pokemon{path}");
    let next = (range.end < RECORDS)
        .then(|| url(format!("?offset={}&limit={}", range.end, limit.min(RECORDS - range.end))));
    let refs: Vec<_> = range.map(|n| json!({"name": n.to_string(), "url": url(format!("/{n}/"))})).collect();
    Ok(json_reply(200, &json!({"count": RECORDS, "next": next, "previous": null, "results": refs})))
}

/// Pages of a search by number or offset; an author's works by a link from the path on, as far as 1,000 at once
/// (openlibrary.org/dev/docs/api/search, /authors). Whoever does not say who they are is limited to one request a
/// second.
fn open_library() -> Row {
    let agent = "headwater (books@example.com)";
    let known =
        move |request: &headwater::Request| demand(header(request, "user-agent") == Some(agent), 403, "who?");
    let works = server(move |request, _| {
        known(request)?;
        let (offset, limit) = (number(request, "offset", 0)?, number(request, "limit", 50)?.min(1000));
        let range = cut(offset, limit);
        let mut links = json!({"self": request.url().path(), "author": "/authors/OL23919A"});
        if range.end < RECORDS {
            let path = request.url().path();
            links["next"] = json!(format!("{path}?limit={limit}&offset={}", offset + limit));
        }
        Ok(json_reply(200, &json!({"links": links, "size": RECORDS, "entries": rows(range)})))
    });
    let author = Source::get("works", "https://openlibrary.org/authors/OL23919A/works.json")
        .header("User-Agent", agent)
        .query("limit", "100")
        .records("entries")
        .paginate(NextUrl::body("links.next").missing_ends());
    let limit = Limit::at(3, 15);
    let search = server(move |request, nth| {
        limit.refuse(nth, || Reply::status(429).header("retry-after", "15"))?;
        known(request)?;
        let size = number(request, "limit", 100)?.min(1000);
        let offset = number(request, "offset", (number(request, "page", 1)?.max(1) - 1) * size)?;
        let found = json!({"numFound": RECORDS, "start": offset, "docs": rows(cut(offset, size))});
        Ok(json_reply(200, &found))
    });
    let rust = Source::get("search", "https://openlibrary.org/search.json")
        .header("User-Agent", agent)
        .query("q", "rust")
        .records("docs")
        .paginate(Offset::new(200).until_total("numFound"));
    Row::new(
        "Open Library",
        [
            Way::new("N", works, author).named("works of an author"),
            Way::new("O", search, rust).named("search by offset"),
        ],
    )
}
