//! PayPal, Square, Adyen.

use headwater::exchange::{Verdict, When};
use headwater::pages::{Step, Window};
use headwater::paginate::{Cursor, NextUrl, Offset, PageNumber};
use headwater::testing::Reply;
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, day, ok, page, place, refuse, serve, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![pay_pal(), square(), adyen()]
}

/// Square, "Pagination" (developer.squareup.com/docs/build-basics/common-api-patterns/pagination): `cursor`, absent at the
/// end; into the query, or into the body of a search. The filters must be repeated with it. The limit is advisory: there
/// may be fewer, or more.
fn square() -> Row {
    let common = |asked: &Asked<'_>, limit: &Limit| {
        asked.authorized("Bearer EAAA")?;
        asked.says("square-version", "2026-01-22")?;
        limit.pass(asked, |_| {
            let error = json!({"category": "RATE_LIMIT_ERROR", "code": "RATE_LIMITED"});
            Reply::status(429).body(json!({"errors": [error]}).to_string())
        })
    };
    let answer = |field: &str, start: u64, size: u64| {
        let size = match start / size % 3 {
            0 => size,
            1 => size + 7,
            _ => size / 2,
        };
        let mut body = json!({field: page(start, size, |n| json!({"id": format!("sq{n}"), "n": n}))});
        if start + size < RECORDS {
            body["cursor"] = token(start + size).into();
        }
        ok(body)
    };
    let limit = Limit::untold(3, 0);
    let payments_hit = limit.clone();
    let payments = serve(move |asked| {
        asked.at("GET", "/v2/payments")?;
        common(asked, &limit)?;
        asked.only(&["location_id", "limit", "cursor"])?;
        asked.asks("location_id", "L1")?;
        let start = asked.query("cursor").map_or(Ok(0), place)?;
        answer("payments", start, asked.size("limit", 100, 100)?)
    });
    let limit = Limit::untold(2, 0);
    let orders_hit = limit.clone();
    let orders = serve(move |asked| {
        asked.at("POST", "/v2/orders/search")?;
        common(asked, &limit)?;
        if *asked.body("/location_ids") != json!(["L1"])
            || *asked.body("/query/filter/state_filter/states") != json!(["COMPLETED"])
        {
            return Err(refuse(400, "the cursor belongs to another query"));
        }
        let start = match asked.body("/cursor") {
            Value::Null => 0,
            cursor => place(cursor.as_str().unwrap_or_default())?,
        };
        match asked.body("/limit").as_u64().unwrap_or(500) {
            size @ 1..=1000 => answer("orders", start, size),
            _ => Err(refuse(400, "limit must be from 1 to 1000")),
        }
    });
    let with = |source: SourceBuilder| source.bearer("EAAA").header("square-version", "2026-01-22");
    let payments_source = with(Source::get("payments", "https://connect.squareup.com/v2/payments"))
        .query("location_id", "L1")
        .query("limit", "100")
        .records("payments")
        .paginate(Cursor::body("cursor").into_query("cursor").missing_ends());
    let body = json!({"location_ids": ["L1"], "limit": 200, "query": {"filter": {"state_filter": {"states": ["COMPLETED"]}}}});
    let orders_source = with(Source::post("orders", "https://connect.squareup.com/v2/orders/search"))
        .json(body)
        .repeatable()
        .records("orders")
        .paginate(Cursor::body("cursor").into_body("cursor").missing_ends());
    Row::new(
        "Square",
        [
            Way::new("C", payments, payments_source).named("query").checked(move || payments_hit.kept()),
            Way::new("C", orders, orders_source).named("body").checked(move || orders_hit.kept()),
        ],
    )
}

/// Adyen (github.com/Adyen/adyen-openapi): three dialects by product. Management: `pageNumber`, `pageSize` (10, at most
/// 100), `pagesTotal`, and `_links.next.href`. Balance platform: `offset`, `limit`, `hasNext`. Transfers: a `cursor` that
/// stands in `_links.next.href` only.
fn adyen() -> Row {
    let common = |asked: &Asked<'_>, limit: &Limit| {
        asked.credentials("x-api-key", "AQE")?;
        limit.pass(asked, |_| Reply::status(429).body(r#"{"status":429,"title":"Too many requests"}"#))
    };
    let user = |n: u64| json!({"id": format!("S2-{n}"), "n": n});
    let management = || {
        let limit = Limit::untold(2, 0);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/v3/companies/Co/users")?;
            common(asked, &limit)?;
            asked.only(&["pageNumber", "pageSize"])?;
            let (size, number) = (asked.size("pageSize", 10, 100)?, asked.number("pageNumber", 1)?);
            let pages = RECORDS.div_ceil(size);
            let link = |number: u64| json!({"href": format!("https://management-live.adyen.com/v3/companies/Co/users?pageNumber={number}&pageSize={size}")});
            let mut links = json!({"first": link(1), "self": link(number), "last": link(pages)});
            if number < pages {
                links["next"] = link(number + 1);
            }
            let data = page((number - 1) * size, size, user);
            ok(json!({"_links": links, "itemsTotal": RECORDS, "pagesTotal": pages, "data": data}))
        });
        (server, hit)
    };
    let users = || {
        Source::get("users", "https://management-live.adyen.com/v3/companies/Co/users")
            .api_key_header("x-api-key", "AQE")
            .records("data")
    };
    let pages = PageNumber::new().param("pageNumber").size("pageSize", 100).until_page_count("pagesTotal");

    let limit = Limit::untold(3, 0);
    let holders_hit = limit.clone();
    let holders = serve(move |asked| {
        asked.at("GET", "/bcl/v2/balancePlatforms/BP/accountHolders")?;
        common(asked, &limit)?;
        asked.only(&["offset", "limit"])?;
        let (size, start) = (asked.size("limit", 10, 100)?, asked.number("offset", 0)?);
        let found = page(start, size, user);
        ok(json!({"accountHolders": found, "hasNext": start + size < RECORDS, "hasPrevious": start > 0}))
    });
    let holders_source = Source::get(
        "holders",
        "https://balanceplatform-api-live.adyen.com/bcl/v2/balancePlatforms/BP/accountHolders",
    )
    .api_key_header("x-api-key", "AQE")
    .records("accountHolders")
    .paginate(Offset::new(100).until_false("hasNext"));

    let limit = Limit::untold(4, 0);
    let transfers_hit = limit.clone();
    let transfers = serve(move |asked| {
        asked.at("GET", "/btl/v4/transactions")?;
        common(asked, &limit)?;
        asked.only(&["balancePlatform", "createdSince", "createdUntil", "limit", "cursor"])?;
        asked.asks("balancePlatform", "BP")?;
        asked.asks("createdSince", "2026-01-01T00:00:00Z")?;
        asked.asks("createdUntil", "2026-05-01T00:00:00Z")?;
        let size = asked.size("limit", 10, 100)?;
        let start = asked.query("cursor").map_or(Ok(0), place)?;
        let mut body = json!({"data": page(start, size, user)});
        if start + size < RECORDS {
            let (size, cursor) = (size.to_string(), token(start + size));
            let pairs = [
                ("balancePlatform", "BP"),
                ("createdSince", "2026-01-01T00:00:00Z"),
                ("createdUntil", "2026-05-01T00:00:00Z"),
                ("limit", &size),
                ("cursor", &cursor),
            ];
            let url = url::Url::parse_with_params(
                "https://balanceplatform-api-live.adyen.com/btl/v4/transactions",
                pairs,
            );
            body["_links"] = json!({"next": {"href": url.expect("a cursor fits into a URL").as_str()}});
        }
        ok(body)
    });
    let transfers_source =
        Source::get("transactions", "https://balanceplatform-api-live.adyen.com/btl/v4/transactions")
            .api_key_header("x-api-key", "AQE")
            .query("balancePlatform", "BP")
            .query("createdSince", "2026-01-01T00:00:00Z")
            .query("createdUntil", "2026-05-01T00:00:00Z")
            .query("limit", "100")
            .records("data")
            .paginate(NextUrl::body("_links.next.href").missing_ends());
    let ((first, first_hit), (second, second_hit)) = (management(), management());
    let next = NextUrl::body("_links.next.href").missing_ends();
    Row::new(
        "Adyen",
        [
            Way::new("N", first, users().query("pageSize", "100").paginate(next))
                .named("_links")
                .checked(move || first_hit.kept()),
            Way::new("G", second, users().paginate(pages))
                .named("pageNumber")
                .checked(move || second_hit.kept()),
            Way::new("O", holders, holders_source).named("offset").checked(move || holders_hit.kept()),
            Way::new("N", transfers, transfers_source).named("cursor").checked(move || transfers_hit.kept()),
        ],
    )
}

/// PayPal (github.com/paypal/paypal-rest-api-specifications). Plans: `page`, `page_size` (10, at most 20); `total_pages`
/// only with `total_required=true`; `links` has the next page, too. Transactions: 100, at most 500, of at most 31 days and
/// 10,000 rows: above that a 400, `RESULTSET_TOO_LARGE`.
fn pay_pal() -> Row {
    let plans = || {
        let limit = Limit::told(4, 6);
        let hit = limit.clone();
        let server = serve(move |asked| {
            asked.at("GET", "/v1/billing/plans")?;
            asked.authorized("Bearer A21AA")?;
            limit.pass(asked, |wait| {
                Reply::status(429)
                    .header("retry-after", &wait.as_secs().to_string())
                    .body(r#"{"name":"RATE_LIMIT_REACHED","message":"Too many requests. Blocked due to rate limiting."}"#)
            })?;
            asked.only(&["page", "page_size", "total_required", "product_id"])?;
            asked.asks("product_id", "PROD-1")?;
            let (size, number) = (asked.size("page_size", 10, 20)?, asked.number("page", 1)?);
            let start = (number - 1) * size;
            let found = page(start, size, |n| json!({"id": format!("P-{n}"), "n": n}));
            let link = |rel: &str, number: u64| json!({"rel": rel, "method": "GET", "href": format!("https://api-m.paypal.com/v1/billing/plans?product_id=PROD-1&page_size={size}&page={number}&total_required=true")});
            let mut links = vec![link("self", number), link("first", 1)];
            if start + size < RECORDS {
                links.push(link("next", number + 1));
            }
            let mut body = json!({"plans": found, "links": links});
            if asked.query("total_required") == Some("true") {
                body["total_items"] = RECORDS.into();
                body["total_pages"] = RECORDS.div_ceil(size).into();
            }
            ok(body)
        });
        (server, hit)
    };
    let plans_source = || {
        Source::get("plans", "https://api-m.paypal.com/v1/billing/plans")
            .bearer("A21AA")
            .query("product_id", "PROD-1")
            .query("total_required", "true")
            .records("plans")
    };
    let pages = PageNumber::new().size("page_size", 20).until_page_count("total_pages");
    let links = NextUrl::links("links").relation("next");

    // A transaction every three hours and seven minutes from the beginning of January.
    let begin = day("2026-01-01");
    let at = move |n: u64| begin + chrono::Duration::minutes(187 * n as i64);
    let transactions = serve(move |asked| {
        asked.at("GET", "/v1/reporting/transactions")?;
        asked.authorized("Bearer A21AA")?;
        asked.only(&["start_date", "end_date", "fields", "page", "page_size"])?;
        asked.asks("fields", "all")?;
        let time = |name: &str| {
            let text = asked.query(name).unwrap_or_default();
            chrono::DateTime::parse_from_rfc3339(text)
                .map_err(|_| refuse(400, format!("{name}: INVALID_REQUEST")))
        };
        let (start, end) = (time("start_date")?, time("end_date")?);
        if end - start > chrono::Duration::days(31) {
            return Err(refuse(400, "INVALID_REQUEST: the range is greater than 31 days"));
        }
        let found: Vec<u64> = (0..RECORDS).filter(|n| at(*n) >= start && at(*n) < end).collect();
        // The vendor's end is at 10,000; with 1,234 records, this one is at 200.
        if found.len() > 200 {
            let body =
                json!({"name": "RESULTSET_TOO_LARGE", "total_items": found.len(), "maximum_items": 200});
            return Err(Reply::status(400).body(body.to_string()));
        }
        let (size, number) = (asked.size("page_size", 100, 500)?, asked.number("page", 1)?);
        let details = found.iter().skip(((number - 1) * size) as usize).take(size as usize);
        let details =
            details.map(|n| json!({"transaction_info": {"transaction_id": format!("T{n}"), "n": n}}));
        ok(json!({
            "transaction_details": details.collect::<Vec<_>>(),
            "page": number,
            "total_items": found.len(),
            "total_pages": found.len().div_ceil(size as usize),
        }))
    });
    let transactions_source =
        Source::get("transactions", "https://api-m.paypal.com/v1/reporting/transactions")
            .bearer("A21AA")
            .query("fields", "all")
            .query("start_date", "{start}")
            .query("end_date", "{end}")
            .records("transaction_details")
            .paginate(PageNumber::new().size("page_size", 100).until_page_count("total_pages"))
            .window(
                Window::time("2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z")
                    .every(Step::days(31))
                    .ceiling(200)
                    .concurrency(2),
            )
            .rule(When::status(400).body("name", "RESULTSET_TOO_LARGE").means(Verdict::TooMany));
    let ((first, first_hit), (second, second_hit)) = (plans(), plans());
    Row::new(
        "PayPal",
        [
            Way::new("G", first, plans_source().paginate(pages))
                .named("page")
                .checked(move || first_hit.kept()),
            Way::new("N", second, plans_source().query("page_size", "20").paginate(links))
                .named("links")
                .checked(move || second_hit.kept()),
            Way::new("W,G", transactions, transactions_source)
                .named("reporting")
                .number("transaction_info.n"),
        ],
    )
}
