//! Xero, QuickBooks Online, NetSuite.

use headwater::Source;
use headwater::paginate::{Cursor, PageNumber};
use headwater::testing::Reply;
use serde_json::json;

use super::asked::{Asked, Limit, list, page, serve, slice};
use super::row::{RECORDS, Row, Way};

pub(crate) fn rows() -> Vec<Row> {
    vec![xero()]
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
