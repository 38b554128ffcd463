//! Xero, QuickBooks Online, NetSuite.

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::page::Select;
use headwater::paginate::{Cursor, NextUrl, Offset, PageNumber};
use headwater::request::Target;
use headwater::testing::Reply;
use serde_json::{Value, json};
use std::time::Duration;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, ok, page, refuse, serve};

pub(crate) fn rows() -> Vec<Row> {
    vec![net_suite(), quick_books(), xero()]
}

/// Xero (developer.xero.com/documentation: "Invoices", "Journals", "OAuth 2.0 API limits"): `page` and `pageSize` (100, at
/// most 1,000), `pagination.pageCount`; the answer is XML unless `Accept` says otherwise, and the tenant is a header. The
/// `offset` of Journals is the JournalNumber of the last one, and these have gaps; 100 each. A 429 has `Retry-After`.
fn xero() -> Row {
    let common = |asked: &Asked<'_>, limit: &Limit| {
        asked.authorized("Bearer xeroToken")?;
        asked.credentials("xero-tenant-id", "tenant-1")?;
        asked.says("accept", "application/json")?;
        limit.pass(asked, |wait| {
            Reply::status(429)
                .header("retry-after", &wait.as_secs().to_string())
                .header("x-rate-limit-problem", "minute")
                .header("x-minlimit-remaining", "0")
                .header("x-daylimit-remaining", "4210")
                .header("x-appminlimit-remaining", "9988")
        })
    };
    let told = |reply: Reply| {
        reply
            .header("x-minlimit-remaining", "55")
            .header("x-daylimit-remaining", "4200")
            .header("x-appminlimit-remaining", "9980")
    };
    let with = |name: &str, url: &str| {
        Source::get(name, url)
            .bearer("xeroToken")
            .header("xero-tenant-id", "tenant-1")
            .header("accept", "application/json")
    };
    let limit = Limit::told(2, 33);
    let invoices_hit = limit.clone();
    let invoices = serve(move |asked| {
        asked.at("GET", "/api.xro/2.0/Invoices")?;
        common(asked, &limit)?;
        asked.says("if-modified-since", "2026-01-01T00:00:00")?;
        asked.only(&["page", "pageSize", "order"])?;
        asked.asks("order", "UpdatedDateUTC ASC")?;
        let (size, number) = (asked.size("pageSize", 100, 1000)?, asked.number("page", 1)?);
        let found = page((number - 1) * size, size, |n| json!({"InvoiceID": format!("inv-{n}"), "n": n}));
        let pagination = json!({"page": number, "pageSize": size, "pageCount": RECORDS.div_ceil(size), "itemCount": RECORDS});
        Ok(told(answer(200, json!({"Id": "x", "Status": "OK", "pagination": pagination, "Invoices": found}))))
    });
    let invoices_source = with("invoices", "https://api.xero.com/api.xro/2.0/Invoices")
        .header("if-modified-since", "2026-01-01T00:00:00")
        .query("order", "UpdatedDateUTC ASC")
        .records("Invoices")
        .paginate(PageNumber::new().size("pageSize", 250).until_page_count("pagination.pageCount"));

    let limit = Limit::told(5, 12);
    let journals_hit = limit.clone();
    let journals = serve(move |asked| {
        asked.at("GET", "/api.xro/2.0/Journals")?;
        common(asked, &limit)?;
        asked.only(&["offset"])?;
        // Every third number was never used.
        let number = |n: u64| 10 + n + n / 2;
        let after = asked.number("offset", 0)?;
        let found = (0..RECORDS).filter(|n| number(*n) > after).take(100);
        let found = found.map(|n| json!({"JournalID": format!("j-{n}"), "JournalNumber": number(n), "n": n}));
        Ok(told(answer(200, json!({"Journals": found.collect::<Vec<_>>()}))))
    });
    let journals_source = with("journals", "https://api.xero.com/api.xro/2.0/Journals")
        .records("Journals")
        .paginate(Cursor::last_record("JournalNumber").into_query("offset"));
    Row::new(
        "Xero",
        [
            Way::new("G", invoices, invoices_source).named("Invoices").checked(move || invoices_hit.kept()),
            Way::new("K", journals, journals_source).named("Journals").checked(move || journals_hit.kept()),
        ],
    )
}

/// QuickBooks Online, "Data queries" and "API call limits and throttles" (developer.intuit.com): `STARTPOSITION` (from 1)
/// and `MAXRESULTS` (100, at most 1,000) stand in the text of the query. A page without rows has no list. A 429 says
/// nothing: one is to wait 60 s.
fn quick_books() -> Row {
    let server = || {
        let limit = Limit::untold(2, 60);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/v3/company/9130/query")?;
            asked.authorized("Bearer qboToken")?;
            asked.says("accept", "application/json")?;
            limit.pass(asked, |_| {
                let body = json!({"Fault": {"Error": [{"Message": "ThrottleExceeded", "code": "3001"}], "type": "THROTTLE"}});
                Reply::status(429).body(body.to_string())
            })?;
            asked.only(&["query", "minorversion"])?;
            asked.asks("minorversion", "75")?;
            let query = asked.query("query").unwrap_or_default();
            let numbers = query
                .strip_prefix("SELECT * FROM Customer ORDERBY Id STARTPOSITION ")
                .and_then(|rest| rest.split_once(" MAXRESULTS "))
                .and_then(|(start, size)| Some((start.parse::<u64>().ok()?, size.parse::<u64>().ok()?)));
            let Some((start @ 1.., size @ 1..=1000)) = numbers else {
                return Err(refuse(400, format!("QueryParserError: {query}")));
            };
            let found = page(start - 1, size, |n| json!({"Id": (n + 1).to_string(), "n": n}));
            let response = match found.len() {
                0 => json!({}),
                rows => json!({"Customer": found, "startPosition": start, "maxResults": rows}),
            };
            ok(json!({"QueryResponse": response, "time": "2026-05-17T03:00:00.000-07:00"}))
        });
        (server, hit)
    };
    let source = |size: u64, offset: Offset| {
        Source::get("customers", "https://quickbooks.api.intuit.com/v3/company/9130/query")
            .bearer("qboToken")
            .header("accept", "application/json")
            .query(
                "query",
                format!("SELECT * FROM Customer ORDERBY Id STARTPOSITION {{start}} MAXRESULTS {size}"),
            )
            .query("minorversion", "75")
            .records(Select::path("QueryResponse.Customer").optional())
            .paginate(offset.start(1).offset_into(Target::placeholder("start")).without_limit_param())
            .rule(When::status(429).means(Verdict::WaitFor(Duration::from_secs(60))))
    };
    let ((first, first_hit), (second, second_hit)) = (server(), server());
    Row::new(
        "QuickBooks Online",
        [
            Way::new("O", first, source(1000, Offset::new(1000).until_short_page()))
                .named("short page")
                .checked(move || first_hit.kept()),
            // 1,234 is twice 617: the end is an answer without a list.
            Way::new("O", second, source(617, Offset::new(617)))
                .named("empty page")
                .checked(move || second_hit.kept()),
        ],
    )
}

/// NetSuite (docs.oracle.com, "Collection Paging", "Executing SuiteQL Queries Through REST Web Services"): `limit` and
/// `offset`, which must be a multiple of it; at most 1,000 rows a page and 1,000 pages. The next link of the vendor's own
/// sample lacks `q`: followed to the letter it lists everything. SuiteQL is a POST with `Prefer: transient`.
fn net_suite() -> Row {
    let host = "https://12345.suitetalk.api.netsuite.com/services/rest";
    let common = move |asked: &Asked<'_>, limit: &Limit| {
        asked.authorized("Bearer nsToken")?;
        limit.pass(asked, |_| {
            let detail = json!({"detail": "Concurrent request limit exceeded.", "o:errorCode": "CONCURRENCY_LIMIT_EXCEEDED"});
            Reply::status(429).body(json!({"title": "Too Many Requests", "status": 429, "o:errorDetails": [detail]}).to_string())
        })
    };
    // 100 more are there without the filter.
    let answer = move |asked: &Asked<'_>, all: u64, url: &str| {
        let (size, start) = (asked.size("limit", 1000, 1000)?, asked.number("offset", 0)?);
        if start % size != 0 || start / size >= 1000 {
            return Err(refuse(
                400,
                "INVALID_PARAMETER: offset must be divisible by limit, and within 1,000 pages",
            ));
        }
        let items = (start..(start + size).min(all)).map(|n| json!({"id": n.to_string(), "n": n}));
        let items: Vec<Value> = items.collect();
        let more = start + size < all;
        let mut links = vec![json!({"rel": "self", "href": format!("{url}?limit={size}&offset={start}")})];
        if more {
            links.insert(
                0,
                json!({"rel": "next", "href": format!("{url}?limit={size}&offset={}", start + size)}),
            );
        }
        ok(
            json!({"links": links, "count": items.len(), "hasMore": more, "items": items, "offset": start, "totalResults": all}),
        )
    };
    let customers = || {
        let limit = Limit::untold(3, 0);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/services/rest/record/v1/customer")?;
            common(asked, &limit)?;
            asked.only(&["limit", "offset", "q"])?;
            let all = match asked.query("q") {
                Some("email START_WITH barbara") => RECORDS,
                Some(_) => return Err(refuse(400, "INVALID_PARAMETER: q")),
                None => RECORDS + 100,
            };
            answer(asked, all, &format!("{host}/record/v1/customer"))
        });
        (server, hit)
    };
    let source = || {
        Source::get("customers", format!("{host}/record/v1/customer"))
            .bearer("nsToken")
            .query("q", "email START_WITH barbara")
            .records("items")
    };
    let limit = Limit::untold(2, 0);
    let suite_ql_hit = limit.clone();
    let suite_ql = serve(move |asked| {
        asked.at("POST", "/services/rest/query/v1/suiteql")?;
        common(asked, &limit)?;
        asked.says("prefer", "transient")?;
        asked.only(&["limit", "offset"])?;
        if *asked.body("") != json!({"q": "SELECT id FROM transaction ORDER BY id"}) {
            return Err(refuse(400, "INVALID_PARAMETER: q"));
        }
        answer(asked, RECORDS, &format!("{host}/query/v1/suiteql"))
    });
    let suite_ql_source = Source::post("transactions", format!("{host}/query/v1/suiteql"))
        .json(json!({"q": "SELECT id FROM transaction ORDER BY id"}))
        .repeatable()
        .bearer("nsToken")
        .header("prefer", "transient")
        .records("items")
        .paginate(Offset::new(1000).until_false("hasMore"));
    let ((first, first_hit), (second, second_hit)) = (customers(), customers());
    let next = NextUrl::links("links").relation("next").keep_query(["q"]);
    Row::new(
        "NetSuite REST",
        [
            Way::new("O", first, source().paginate(Offset::new(200).until_false("hasMore")))
                .named("offset")
                .checked(move || first_hit.kept()),
            Way::new("N", second, source().query("limit", "200").paginate(next))
                .named("links")
                .checked(move || second_hit.kept()),
            Way::new("O", suite_ql, suite_ql_source).named("SuiteQL").checked(move || suite_ql_hit.kept()),
        ],
    )
}
