//! Xero, QuickBooks Online, NetSuite.

use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::page::Select;
use headwater::paginate::{Cursor, Offset, PageNumber};
use headwater::request::Target;
use headwater::testing::Reply;
use serde_json::json;
use std::time::Duration;

use super::asked::{Asked, Limit, list, page, refuse, serve, slice};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![quick_books(), xero()]
}

/// Xero (developer.xero.com/documentation: "Invoices", "Journals", "OAuth 2.0 API limits"): `page` and `pageSize` (100, at
/// most 1,000), `pagination.pageCount`; the answer is XML unless `Accept` says otherwise, and the tenant is a header. The
/// `offset` of Journals is the JournalNumber of the last one, and these have gaps; 100 each. A 429 has `Retry-After`.
fn xero() -> Row {
    let common = |asked: &Asked<'_>, limit: &Limit| {
        asked.bearer("xeroToken")?;
        asked.key("xero-tenant-id", "tenant-1")?;
        asked.needs("accept", "application/json")?;
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
    let invoices_hit = limit.hit();
    let invoices = serve(move |asked| {
        asked.get("/api.xro/2.0/Invoices")?;
        common(asked, &limit)?;
        asked.needs("if-modified-since", "2026-01-01T00:00:00")?;
        asked.only(&["page", "pageSize", "order"])?;
        asked.wants("order", "UpdatedDateUTC ASC")?;
        let (size, number) = (asked.size("pageSize", 100, 1000)?, asked.number("page", 1)?);
        let found =
            list(slice((number - 1) * size, size), |n| json!({"InvoiceID": format!("inv-{n}"), "n": n}));
        let pagination = json!({"page": number, "pageSize": size, "pageCount": RECORDS.div_ceil(size), "itemCount": RECORDS});
        Ok(told(page(json!({"Id": "x", "Status": "OK", "pagination": pagination, "Invoices": found}))))
    });
    let invoices_source = with("invoices", "https://api.xero.com/api.xro/2.0/Invoices")
        .header("if-modified-since", "2026-01-01T00:00:00")
        .query("order", "UpdatedDateUTC ASC")
        .records("Invoices")
        .paginate(PageNumber::new().size("pageSize", 250).until_page_count("pagination.pageCount"));

    let limit = Limit::told(5, 12);
    let journals_hit = limit.hit();
    let journals = serve(move |asked| {
        asked.get("/api.xro/2.0/Journals")?;
        common(asked, &limit)?;
        asked.only(&["offset"])?;
        // Every third number was never used.
        let number = |n: u64| 10 + n + n / 2;
        let after = asked.number("offset", 0)?;
        let found = (0..RECORDS).filter(|n| number(*n) > after).take(100);
        let found = found.map(|n| json!({"JournalID": format!("j-{n}"), "JournalNumber": number(n), "n": n}));
        Ok(told(page(json!({"Journals": found.collect::<Vec<_>>()}))))
    });
    let journals_source = with("journals", "https://api.xero.com/api.xro/2.0/Journals")
        .records("Journals")
        .paginate(Cursor::last_record("JournalNumber").into_query("offset"));
    Row::new(
        "Xero",
        [
            Way::new("G", invoices, invoices_source).named("Invoices").checked(invoices_hit),
            Way::new("K", journals, journals_source).named("Journals").checked(journals_hit),
        ],
    )
}

/// QuickBooks Online, "Data queries" and "API call limits and throttles" (developer.intuit.com): `STARTPOSITION` (from 1)
/// and `MAXRESULTS` (100, at most 1,000) stand in the text of the query. A page without rows has no list. A 429 says
/// nothing: one is to wait 60 s.
fn quick_books() -> Row {
    let server = || {
        let limit = Limit::untold(2, 60);
        let hit = limit.hit();
        let server = serve(move |asked| {
            asked.get("/v3/company/9130/query")?;
            asked.bearer("qboToken")?;
            asked.needs("accept", "application/json")?;
            limit.pass(asked, |_| {
                let body = json!({"Fault": {"Error": [{"Message": "ThrottleExceeded", "code": "3001"}], "type": "THROTTLE"}});
                Reply::status(429).body(body.to_string())
            })?;
            asked.only(&["query", "minorversion"])?;
            asked.wants("minorversion", "75")?;
            let query = asked.query("query").unwrap_or_default();
            let numbers = query
                .strip_prefix("SELECT * FROM Customer ORDERBY Id STARTPOSITION ")
                .and_then(|rest| rest.split_once(" MAXRESULTS "))
                .and_then(|(start, size)| Some((start.parse::<u64>().ok()?, size.parse::<u64>().ok()?)));
            let Some((start @ 1.., size @ 1..=1000)) = numbers else {
                return Err(refuse(400, format!("QueryParserError: {query}")));
            };
            let found = list(slice(start - 1, size), |n| json!({"Id": (n + 1).to_string(), "n": n}));
            let response = match found.len() {
                0 => json!({}),
                rows => json!({"Customer": found, "startPosition": start, "maxResults": rows}),
            };
            Ok(page(json!({"QueryResponse": response, "time": "2026-05-17T03:00:00.000-07:00"})))
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
                .checked(first_hit),
            // 1,234 is twice 617: the end is an answer without a list.
            Way::new("O", second, source(617, Offset::new(617))).named("empty page").checked(second_hit),
        ],
    )
}
