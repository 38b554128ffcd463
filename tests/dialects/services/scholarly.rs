//! Crossref, OpenAlex, arXiv, PubMed.

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, demand, ok, page, place, refuse, serve, slice, token};
use headwater::page::{Format, Select};
use headwater::pages::Fanout;
use headwater::paginate::{Cursor, End, Offset, PageNumber, Single};
use headwater::testing::Reply;
use headwater::{Limiter, Source};
use serde_json::json;

pub(crate) fn rows() -> Vec<Row> {
    vec![pub_med(), arxiv(), open_alex(), crossref()]
}

/// Crossref REST API (github.com/CrossRef/rest-api-doc, "Deep paging with cursors"): `cursor=*`, then `next-cursor`, which
/// is always there, and has `+`, `/` and `=` in it; the end is a page with fewer items than `rows` (20, at most 1,000).
/// `X-Rate-Limit-Limit` per `X-Rate-Limit-Interval` (crossref.org/documentation, "Access and authentication"). By `offset` one
/// gets no further than 10,000.
fn crossref() -> Row {
    let limit = Limit::untold(2, 0);
    let hit = limit.clone();
    let server = serve(move |asked| {
        asked.at("GET", "/works")?;
        let told =
            |reply: Reply| reply.header("x-rate-limit-limit", "50").header("x-rate-limit-interval", "1s");
        limit.pass(asked, |_| told(Reply::status(429)))?;
        asked.only(&["filter", "rows", "cursor", "mailto"])?;
        asked.asks("filter", "type:dataset")?;
        asked.asks("mailto", "me@example.org")?;
        let size = asked.size("rows", 20, 1000)?;
        let start = match asked.query("cursor") {
            Some("*") => 0,
            Some(cursor) => place(cursor)?,
            None => return Err(refuse(400, "in this test, with a cursor")),
        };
        let items = page(start, size, |n| json!({"DOI": format!("10.5555/{n}"), "n": n}));
        let next = token(start + items.len() as u64);
        Ok(told(answer(
            200,
            json!({"status": "ok", "message": {"next-cursor": next, "total-results": RECORDS, "items": items}}),
        )))
    });
    let source = Source::get("works", "https://api.crossref.org/works")
        .query("filter", "type:dataset")
        .query("mailto", "me@example.org")
        .query("rows", "300")
        .records("message.items")
        .paginate(
            Cursor::body("message.next-cursor").into_query("cursor").first("*").until(End::short_page(300)),
        );
    Row::new("Crossref", [Way::new("C", server, source).checked(move || hit.kept())])
}

/// OpenAlex (developers.openalex.org, "Page through results", "Authentication & Rate Limits"): `cursor=*`, then
/// `meta.next_cursor`; the last page with results still has one, and leads to an empty page where it is null. By `page`, up
/// to 10,000. 25 a page, at most 100 (`per_page`; it was `per-page`, and 200). Since February 2026 it wants a key. A day has
/// 10,000 credits, or a dollar, of which a list costs one.
fn open_alex() -> Row {
    let server = |by_page: bool| {
        let limit = Limit::told(3, 26);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/works")?;
            let told = |reply: Reply, remaining: &str, reset: u64| {
                reply
                    .header("x-ratelimit-limit", "10000")
                    .header("x-ratelimit-remaining", remaining)
                    .header("x-ratelimit-credits-used", "1")
                    .header("x-ratelimit-cost-usd", "0.0001")
                    .header("x-ratelimit-limit-usd", "1.0")
                    .header("x-ratelimit-reset", &reset.to_string())
            };
            limit.pass(asked, |wait| {
                told(Reply::status(429).body(r#"{"error":"Rate limit exceeded"}"#), "0", wait.as_secs())
            })?;
            demand(asked.query("api_key") == Some("key-of-openalex"), 401, "a key is required")?;
            asked.only(&["filter", "per_page", "api_key", if by_page { "page" } else { "cursor" }])?;
            asked.asks("filter", "has_doi:true")?;
            let size = asked.size("per_page", 25, 100)?;
            let start = match (by_page, asked.query("cursor")) {
                (true, _) => (asked.number("page", 1)? - 1) * size,
                (_, Some("*")) => 0,
                (_, Some(cursor)) => place(cursor)?,
                _ => return Err(refuse(400, "in this test, with a cursor")),
            };
            if by_page && start + size > 10_000 {
                return Err(refuse(
                    403,
                    "Maximum results size of 10,000 records is exceeded. Use cursor pagination.",
                ));
            }
            let results = page(start, size, |n| json!({"id": format!("https://openalex.org/W{n}"), "n": n}));
            let next = (!by_page && !results.is_empty()).then(|| token(start + results.len() as u64));
            let meta = json!({"count": RECORDS, "page": null, "per_page": size, "next_cursor": next});
            Ok(told(answer(200, json!({"meta": meta, "results": results})), "9990", 3600))
        });
        (server, hit)
    };
    let source = || {
        Source::get("works", "https://api.openalex.org/works")
            .api_key_query("api_key", "key-of-openalex")
            .query("filter", "has_doi:true")
            .records("results")
    };
    let ((cursor, cursor_hit), (number, number_hit)) = (server(false), server(true));
    let by_cursor = source()
        .query("per_page", "100")
        .paginate(Cursor::body("meta.next_cursor").into_query("cursor").first("*"));
    let by_page = source().paginate(PageNumber::new().size("per_page", 100).until(End::total("meta.count")));
    Row::new(
        "OpenAlex",
        [
            Way::new("C", cursor, by_cursor).named("cursor").checked(move || cursor_hit.kept()),
            Way::new("G", number, by_page).named("page").checked(move || number_hit.kept()),
        ],
    )
}

/// arXiv API (info.arxiv.org/help/api/user-manual.html): `start` and `max_results` (10, at most 2,000, and 30,000 in all);
/// Atom, whose `opensearch:totalResults` is a text node with a namespace. Three seconds between two requests. Now and then a
/// feed is empty that should not be (github.com/lukasschwab/arxiv.py, `UnexpectedEmptyPageError`).
fn arxiv() -> Row {
    let last = std::sync::Mutex::new(None::<tokio::time::Instant>);
    let server = serve(move |asked| {
        asked.at("GET", "/api/query")?;
        let now = tokio::time::Instant::now();
        let before = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).replace(now);
        if before.is_some_and(|before| now - before < std::time::Duration::from_millis(2990)) {
            return Err(refuse(400, "less than 3 s after the last request"));
        }
        asked.only(&["search_query", "start", "max_results", "sortBy"])?;
        asked.asks("search_query", "cat:hep-ex")?;
        asked.asks("sortBy", "submittedDate")?;
        let (size, start) = (asked.size("max_results", 10, 2000)?, asked.number("start", 0)?);
        let (total, size) = match asked.nth {
            3 => (0, 0),
            5 => (RECORDS, 0),
            _ => (RECORDS, size),
        };
        let entries: String = slice(start, size)
            .map(|n| {
                format!(
                    "<entry><id>http://arxiv.org/abs/{n}v1</id><title>Of &lt;{n}&gt; &amp; more</title><author><name>A</name></author>\
                     <arxiv:number xmlns:arxiv=\"http://arxiv.org/schemas/atom\">{n}</arxiv:number></entry>"
                )
            })
            .collect();
        let namespace = "xmlns:opensearch=\"http://a9.com/-/spec/opensearch/1.1/\"";
        let feed = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\">\n  <title type=\"html\">ArXiv Query</title>\n  \
             <opensearch:totalResults {namespace}>{total}</opensearch:totalResults>\n  \
             <opensearch:startIndex {namespace}>{start}</opensearch:startIndex>\n{entries}</feed>\n"
        );
        Ok(Reply::status(200).header("content-type", "application/atom+xml; charset=UTF-8").body(feed))
    });
    let source = Source::get("papers", "https://export.arxiv.org/api/query")
        .query("search_query", "cat:hep-ex")
        .query("sortBy", "submittedDate")
        .format(Format::xml())
        .records("feed.entry")
        .paginate(
            Offset::new(200)
                .offset_param("start")
                .limit_param("max_results")
                .until_total("feed.opensearch:totalResults.#text"),
        )
        .rate_limit(Limiter::per_second(1.0 / 3.0));
    Row::new("arXiv", [Way::new("O", server, source).number("arxiv:number.#text")])
}

/// PubMed, E-utilities (ncbi.nlm.nih.gov/books/NBK25499): `retstart` and `retmax` (20, at most 10,000, and no further in
/// PubMed); `count` is a string. ESearch gives ids; EFetch takes up to 200 of them, or the `WebEnv` and `query_key` of a
/// search with `usehistory=y`. Three requests a second, ten with a key; a 429 says nothing of a wait.
fn pub_med() -> Row {
    let search = |asked: &Asked<'_>, history: bool| {
        asked.only(&["db", "term", "retmode", "retstart", "retmax", "usehistory", "api_key"])?;
        asked.asks("term", "headwater[title]")?;
        asked.asks("retmode", "json")?;
        let (size, start) = (asked.number("retmax", 20)?, asked.number("retstart", 0)?);
        if size > 10_000 || start + size > 10_000 {
            return Err(refuse(400, "cannot retrieve beyond 10,000"));
        }
        let ids: Vec<String> = slice(start, size).map(|n| n.to_string()).collect();
        let mut result = json!({"count": RECORDS.to_string(), "retmax": ids.len().to_string(), "retstart": start.to_string(), "idlist": ids});
        if history {
            asked.asks("usehistory", "y")?;
            result["webenv"] = "MCID_66+b/==".into();
            result["querykey"] = "1".into();
        }
        ok(json!({"header": {"type": "esearch", "version": "0.3"}, "esearchresult": result}))
    };
    let articles = |ids: &[u64]| {
        let articles: String = ids
            .iter()
            .map(|n| format!("<PubmedArticle><MedlineCitation Status=\"MEDLINE\"><PMID Version=\"1\">{n}</PMID></MedlineCitation></PubmedArticle>"))
            .collect();
        Reply::status(200)
            .header("content-type", "text/xml; charset=UTF-8")
            .body(format!("<?xml version=\"1.0\" ?>\n<!DOCTYPE PubmedArticleSet PUBLIC \"-//NLM//DTD PubMedArticle\" \"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd\">\n<PubmedArticleSet>{articles}</PubmedArticleSet>"))
    };
    let server = move |history: bool, limit: Limit| {
        serve(move |asked| {
            limit.pass(asked, |_| {
                Reply::status(429).body(
                    r#"{"error":"API rate limit exceeded","api-key":"10.0.0.1","count":"4","limit":"3"}"#,
                )
            })?;
            asked.asks("db", "pubmed")?;
            asked.asks("api_key", "ncbiKey")?;
            match asked.path() {
                "/entrez/eutils/esearch.fcgi" => search(asked, history),
                "/entrez/eutils/efetch.fcgi" if history => {
                    asked.only(&["db", "retmode", "api_key", "WebEnv", "query_key", "retstart", "retmax"])?;
                    asked.asks("WebEnv", "MCID_66+b/==")?;
                    asked.asks("query_key", "1")?;
                    let (size, start) = (asked.size("retmax", 20, 10_000)?, asked.number("retstart", 0)?);
                    Ok(articles(&slice(start, size).collect::<Vec<_>>()))
                }
                "/entrez/eutils/efetch.fcgi" => {
                    asked.only(&["db", "retmode", "api_key", "id"])?;
                    let ids = asked.query("id").unwrap_or_default();
                    let ids: Vec<u64> = ids.split(',').filter_map(|id| id.parse().ok()).collect();
                    if ids.is_empty() || ids.len() > 200 {
                        return Err(refuse(400, "id: up to 200"));
                    }
                    Ok(articles(&ids))
                }
                path => Err(refuse(404, path)),
            }
        })
    };
    let base = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils";
    let tool = |name: &str, tool: &str| {
        Source::get(name, format!("{base}/{tool}.fcgi"))
            .api_key_query("api_key", "ncbiKey")
            .query("db", "pubmed")
    };
    let ids = || tool("ids", "esearch").query("term", "headwater[title]").query("retmode", "json");
    let offset = |size: u64| Offset::new(size).offset_param("retstart").limit_param("retmax");
    let listed =
        || ids().records("esearchresult.idlist").paginate(offset(500).until_total("esearchresult.count"));
    let fetch = || {
        tool("articles", "efetch")
            .query("retmode", "xml")
            .format(Format::xml())
            .records("PubmedArticleSet.PubmedArticle")
    };
    let (by_id_server, by_history_server) =
        (server(false, Limit::untold(4, 0)), server(true, Limit::untold(3, 0)));
    let parents = listed().transport(by_id_server.clone());
    let by_ids = fetch()
        .query("id", "{ids}")
        .paginate(Single)
        .fanout(Fanout::over(parents).bind_joined("ids", "", 200, ","));
    let history = ids()
        .query("usehistory", "y")
        .query("retmax", "0")
        .records(Select::object("esearchresult"))
        .paginate(Single)
        .transport(by_history_server.clone());
    let by_history = fetch()
        .query("WebEnv", "{webenv}")
        .query("query_key", "{querykey}")
        .paginate(offset(300).until_short_page())
        .fanout(Fanout::over(history).bind("webenv", "webenv").bind("querykey", "querykey"));
    let limit = Limit::untold(2, 0);
    let hit = limit.clone();
    let pmid = "MedlineCitation.PMID.#text";
    Row::new(
        "PubMed E-utilities",
        [
            Way::new("O", server(false, limit), listed()).named("ids").number("").checked(move || hit.kept()),
            Way::new("F", by_id_server, by_ids).named("by ids").number(pmid),
            Way::new("F,O", by_history_server, by_history).named("history").number(pmid),
        ],
    )
}
