//! Registries of packages and images, and what code hosts say.

use headwater::Source;
use headwater::paginate::{Cursor, Delta, End, LinkHeader, NextUrl, Offset};
use headwater::testing::Reply;
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Limit, answer, bare, number_in, ok, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![docker(), npm(), bitbucket()]
}

/// `Link` from the path on, for the catalogue and for the tags; a list is cut short at 100 where no `n` was sent, and
/// an `n` above 1,000 is refused (distribution.github.io: HTTP API V2, Pagination).
fn docker() -> Row {
    let limit = Limit::told(2, 30);
    let catalog = serve(move |asked| {
        limit.pass(asked, |_| {
            Reply::status(429).header("retry-after", "30").body(r#"{"errors":[{"code":"TOOMANYREQUESTS"}]}"#)
        })?;
        asked.authorized("Bearer token-of-registry")?;
        let size = asked.number("n", 100)?;
        if size == 0 || size > 1000 {
            return Err(answer(400, json!({"errors": [{"code": "PAGINATION_NUMBER_INVALID"}]})));
        }
        // Names in the order of their letters, and `last` is the name before the page.
        let first = asked.query("last").map(|last| number_in(Some(last), "team/")).transpose()?;
        let range = slice(first.map_or(0, |last| last + 1), size);
        let names: Vec<_> = range.clone().map(|n| format!("{n:04}")).collect();
        let reply = answer(200, json!({ "repositories": names }));
        let link = format!("</v2/_catalog?last=team%2F{:04}&n={size}>; rel=\"next\"", range.end - 1);
        Ok(if range.end < RECORDS { reply.header("link", &link) } else { reply })
    });
    let source = Source::get("repositories", "https://registry.example.com/v2/_catalog")
        .bearer("token-of-registry")
        .query("n", "500")
        .records("repositories")
        .paginate(LinkHeader::new());
    // Some registries (2.8) give all tags of a repository at once, whatever `n` is.
    let tags = serve(|asked| {
        asked.authorized("Bearer token-of-registry")?;
        let names: Vec<_> = (0..RECORDS).map(|n| format!("{n:04}")).collect();
        ok(json!({"name": "team/app", "tags": names}))
    });
    let of_one = Source::get("tags", "https://registry.example.com/v2/team/app/tags/list")
        .bearer("token-of-registry")
        .query("n", "500")
        .records("tags")
        .paginate(LinkHeader::new());
    Row::new(
        "Docker Registry v2",
        [
            Way::new("N", catalog, source).number("").named("catalogue"),
            Way::new("N", tags, of_one).number("").named("tags"),
        ],
    )
}

/// Offsets in a search, 250 at most (github.com/npm/registry: REGISTRY-API.md, `GET -/v1/search`); the feed of changes
/// up to where there are none (github.blog: npm replication feeds APIs, the only ones since May 2025).
fn npm() -> Row {
    let limit = Limit::told(3, 0);
    let search = serve(move |asked| {
        limit.pass(asked, |_| Reply::status(429).body(r#"{"error":"too many requests"}"#))?;
        if asked.query("text").is_none_or(|text| text.len() > 64) {
            return Err(answer(400, json!({"code": "ERR_TEXT_LENGTH"})));
        }
        let size = asked.number("size", 20)?.min(250);
        let objects: Vec<_> = bare(slice(asked.number("from", 0)?, size))
            .into_iter()
            .map(|package| json!({"package": package}))
            .collect();
        ok(json!({"objects": objects, "total": RECORDS}))
    });
    let source = Source::get("packages", "https://registry.npmjs.org/-/v1/search")
        .query("text", "keywords:stream")
        .records("objects")
        .paginate(Offset::new(250).offset_param("from").limit_param("size").until_total("total"));
    let changes = serve(|asked| {
        let since = asked.number("since", 0)?;
        let range = slice(since, asked.number("limit", 1000)?.min(10_000));
        let last = range.end;
        let results: Vec<_> =
            range.map(|n| json!({"seq": n + 1, "id": format!("package-{n}"), "n": n})).collect();
        ok(json!({"results": results, "last_seq": last}))
    });
    let last = || Cursor::body("last_seq").into_query("since");
    let feed = Source::get("changes", "https://replicate.npmjs.com/registry/_changes")
        .query("limit", "500")
        .records("results")
        .paginate(Delta::new(last().until(End::empty_page()), last()));
    Row::new(
        "npm registry",
        [
            Way::new("O", search, source).number("package.n").named("search"),
            Way::new("C", changes, feed).named("_changes"),
        ],
    )
}

/// The next URL, whose `page` is a number or a hash and is not to be made up; more than 100 a page is refused
/// (developer.atlassian.com: Bitbucket Cloud REST API, Pagination).
fn bitbucket() -> Row {
    let limit = Limit::told(6, 0);
    let commits = serve(move |asked| {
        limit.pass(asked, |_| Reply::status(429).body("Rate limit for this resource has been exceeded"))?;
        asked.authorized("Bearer token-of-bitbucket")?;
        let size = asked.number("pagelen", 10)?;
        if size > 100 {
            return Err(answer(400, json!({"type": "error", "error": {"message": "Invalid pagelen"}})));
        }
        let range = slice(number_in(asked.query("page"), "a5f0c3")?, size);
        let mut body = json!({"pagelen": size, "values": bare(range.clone())});
        if range.end < RECORDS {
            let url = "https://api.bitbucket.org/2.0/repositories/team/code/commits";
            body["next"] = json!(format!("{url}?pagelen={size}&page=a5f0c3{}", range.end));
        }
        ok(body)
    });
    let source = Source::get("commits", "https://api.bitbucket.org/2.0/repositories/team/code/commits")
        .bearer("token-of-bitbucket")
        .query("pagelen", "100")
        .records("values")
        .paginate(NextUrl::body("next").missing_ends());
    Row::new("Bitbucket Cloud", [Way::new("N", commits, source)])
}
