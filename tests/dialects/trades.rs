//! Exchanges of shares and coins, and what happened on bank accounts.

use chrono::DateTime;
use headwater::exchange::{Verdict, When};
use headwater::hints::{At, Signal};
use headwater::page::Select;
use headwater::pages::{TimeFormat, Window};
use headwater::paginate::{Cursor, Delta, End, Single};
use headwater::testing::Reply;
use headwater::{Request, Source};
use serde_json::{Map, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, bare, demand, number_in, ok, refuse, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![binance(), coinbase_exchange(), alpaca(), plaid()]
}

/// The last trade's id and one, for the trade of that id comes as well; candles by the time of the last and one
/// millisecond. Too much weight is a 429, and whoever goes on gets 418 (developers.binance.com: Spot, Old trade lookup,
/// Kline data, LIMITS).
fn binance() -> Row {
    let weight =
        Signal::used(At::header("x-mbx-used-weight-1m"), 6000).every(std::time::Duration::from_secs(60));
    let limits = [Limit::told(3, 20), Limit::told(6, 120), Limit::told(9, 60)];
    let trades = Source::get("trades", "https://api.binance.com/api/v3/historicalTrades")
        .api_key_header("X-MBX-APIKEY", "key-of-binance")
        .signal(weight)
        .rule(When::status(418).means(Verdict::Wait))
        .query("symbol", "BTCUSDT")
        .query("limit", "100")
        .query("fromId", "0")
        .records("")
        .paginate(Cursor::last_record("id").plus(1).into_query("fromId").until(End::short_page(100)));
    let candles = Source::get("candles", "https://api.binance.com/api/v3/klines")
        .query("symbol", "BTCUSDT")
        .query("interval", "1m")
        .query("limit", "1000")
        .query("startTime", NEW_YEAR.to_string())
        .records("")
        .paginate(Cursor::last_record("0").plus(1).into_query("startTime"));
    let by_hour = Source::get("aggregates", "https://api.binance.com/api/v3/aggTrades")
        .query("symbol", "BTCUSDT")
        .query("startTime", "{start}")
        .query("endTime", "{end}")
        .query("limit", "1000")
        .records("")
        .paginate(Single)
        .window(
            Window::time("2026-01-01T00:00:00Z", "2026-01-01T04:00:00Z")
                .every(std::time::Duration::from_secs(3600))
                .inclusive_end()
                .format(TimeFormat::EpochMillis)
                .ceiling(1000),
        );
    Row::new(
        "Binance",
        [
            Way::new("K", serve(move |asked| historical_trades(asked, &limits)), trades)
                .number("id")
                .named("trades by id"),
            Way::new("K", serve(klines), candles).number("5").named("candles by time"),
            Way::new("W", serve(aggregate_trades), by_hour).number("a").named("trades by hour"),
        ],
    )
}

/// A header with the cursor of the older trades (docs.cdp.coinbase.com: Exchange REST API Pagination). Nobody is
/// answered without a `User-Agent`.
fn coinbase_exchange() -> Row {
    let limit = Limit::told(4, 0);
    let trades = Source::get("trades", "https://api.exchange.coinbase.com/products/BTC-USD/trades")
        .header("User-Agent", "headwater (trades@example.com)")
        .query("limit", "100")
        .records("")
        .paginate(Cursor::header("CB-AFTER").into_query("after").missing_ends());
    let candles_of_days =
        Source::get("candles", "https://api.exchange.coinbase.com/products/BTC-USD/candles")
            .header("User-Agent", "headwater (trades@example.com)")
            .query("granularity", "60")
            .query("start", "{start}")
            .query("end", "{end}")
            .records("")
            .paginate(Single)
            .window(
                Window::time("2026-01-01", "2026-01-02")
                    .every(std::time::Duration::from_secs(300 * 60))
                    .inclusive_end()
                    .concurrency(3),
            );
    Row::new(
        "Coinbase Exchange",
        [
            Way::new("W", serve(candles), candles_of_days).number("5").named("candles"),
            Way::new("C", serve(move |asked| latest_trades(asked, &limit)), trades)
                .number("trade_id")
                .named("trades"),
        ],
    )
}

/// The token of a page, `null` at the end; of activities the id of the last one (docs.alpaca.markets: Historical bars,
/// Account Activities).
fn alpaca() -> Row {
    let activities_of_account = Source::get("activities", "https://api.alpaca.markets/v2/account/activities")
        .header("APCA-API-KEY-ID", "key-of-alpaca")
        .header("APCA-API-SECRET-KEY", "secret-of-alpaca")
        .query("page_size", "100")
        .records("")
        .paginate(Cursor::last_record("id").into_query("page_token"));
    let budget = Limit::told(2, 40);
    let bars_of_symbols = Source::get("bars", "https://data.alpaca.markets/v2/stocks/bars")
        .header("APCA-API-KEY-ID", "key-of-alpaca")
        .header("APCA-API-SECRET-KEY", "secret-of-alpaca")
        .query("symbols", "AAPL,MSFT,TSLA")
        .query("timeframe", "1Min")
        .query("limit", "10000")
        .records(Select::map("bars").key_as("symbol"))
        .paginate(Cursor::body("next_page_token").into_query("page_token"));
    Row::new(
        "Alpaca",
        [
            Way::new("C", serve(move |asked| bars(asked, &budget)), bars_of_symbols)
                .named("bars")
                .has("symbol"),
            Way::new("K", serve(activities), activities_of_account).named("activities"),
        ],
    )
}

/// 2026-01-01T00:00:00Z, in milliseconds.
const NEW_YEAR: u64 = 1_767_225_600_000;

/// Trades from an id on, that trade among them; without one, the newest.
fn historical_trades(asked: &Asked<'_>, [limit, ban, minute]: &[Limit; 3]) -> Served {
    let is_used_up = minute.meets(asked)?.is_some();
    let weight = if is_used_up { 6000 } else { asked.nth * 25 }.to_string();
    let limited = |status: u16, seconds: &str| {
        answer(status, json!({"code": -1003, "msg": "Too much request weight used"}))
            .header("retry-after", seconds)
            .header("x-mbx-used-weight-1m", "6001")
    };
    limit.pass(asked, |_| limited(429, "20"))?;
    ban.pass(asked, |_| limited(418, "120"))?;
    asked.credentials("x-mbx-apikey", "key-of-binance")?;
    demand(asked.query("symbol") == Some("BTCUSDT"), 400, "-1102: symbol was not sent")?;
    let size = asked.number("limit", 500)?;
    demand(size <= 1000, 400, "-1130: limit is at most 1000")?;
    let trades: Vec<_> = slice(asked.number("fromId", RECORDS.saturating_sub(size))?, size)
        .map(|id| json!({"id": id, "price": "97000.00", "time": NEW_YEAR + id}))
        .collect();
    Ok(answer(200, trades.into()).header("x-mbx-used-weight-1m", &weight))
}

/// When a trade was made: most of them in the first hour.
fn traded_at(n: u64) -> u64 {
    if n < 1100 { NEW_YEAR + n * 3000 } else { NEW_YEAR + 3_600_000 + (n - 1100) * 50_000 }
}

/// Trades of less than an hour, both ends included, of which the first thousand come, and no word about the rest.
fn aggregate_trades(asked: &Asked<'_>) -> Served {
    demand(asked.query("symbol") == Some("BTCUSDT"), 400, "-1102: symbol was not sent")?;
    let (start, end) = (asked.number("startTime", 0)?, asked.number("endTime", u64::MAX)?);
    demand(
        end.saturating_sub(start) < 3_600_000,
        400,
        "-1127: More than 1 hours between startTime and endTime.",
    )?;
    let size = asked.number("limit", 500)?.min(1000);
    let trades: Vec<_> = (0..RECORDS)
        .filter(|n| (start..=end).contains(&traded_at(*n)))
        .take(size as usize)
        .map(|n| json!({"a": n, "p": "97000.00", "T": traded_at(n)}))
        .collect();
    ok(trades.into())
}

/// Candles from a time on, at most a thousand; they are arrays.
fn klines(asked: &Asked<'_>) -> Served {
    demand(asked.query("symbol") == Some("BTCUSDT"), 400, "-1102: symbol was not sent")?;
    demand(asked.query("interval") == Some("1m"), 400, "-1102: interval was not sent")?;
    let start = asked.number("startTime", NEW_YEAR + RECORDS * 60_000)?;
    let first = start.saturating_sub(NEW_YEAR).div_ceil(60_000);
    let candles: Vec<_> = slice(first, asked.number("limit", 500)?.min(1000))
        .map(|n| {
            json!([NEW_YEAR + n * 60_000, "97000.00", "97001.00", "96999.00", "97000.50", n.to_string()])
        })
        .collect();
    ok(candles.into())
}

fn known_agent(asked: &Asked<'_>) -> Result<(), Reply> {
    demand(asked.header("user-agent").is_some(), 400, "User-Agent header is required.")
}

/// Trades, newest first; the header holds the id of the last.
fn latest_trades(asked: &Asked<'_>, limit: &Limit) -> Served {
    limit.pass(asked, |_| answer(429, json!({"message": "Public rate limit exceeded"})))?;
    known_agent(asked)?;
    let size = asked.number("limit", 1000)?;
    demand(size <= 1000, 400, "limit is at most 1000")?;
    let behind = asked.number("after", RECORDS)?;
    let from = behind.saturating_sub(size);
    let trades: Vec<_> = (from..behind).rev().map(|n| json!({"trade_id": n, "price": "97000.00"})).collect();
    let reply = answer(200, trades.into()).header("cb-before", &behind.saturating_sub(1).to_string());
    Ok(if from > 0 { reply.header("cb-after", &from.to_string()) } else { reply })
}

/// Candles between two times, at most 300, newest first, as arrays.
fn candles(asked: &Asked<'_>) -> Served {
    known_agent(asked)?;
    let time = |name| {
        let text = asked.query(name).ok_or_else(|| refuse(400, "start and end belong together"))?;
        DateTime::parse_from_rfc3339(text).map_err(|_| refuse(400, "a time is not ISO 8601"))
    };
    let (start, end) = (time("start")?.timestamp() as u64, time("end")?.timestamp() as u64);
    demand(asked.number("granularity", 60)? == 60, 400, "Unsupported granularity")?;
    demand(end.saturating_sub(start) < 300 * 60, 400, "granularity too small for the requested time range")?;
    let minute = |n: u64| NEW_YEAR / 1000 + n * 60;
    let candles: Vec<_> = (0..RECORDS)
        .filter(|n| (start..=end).contains(&minute(*n)))
        .rev()
        .map(|n| json!([minute(n), 96999.0, 97001.0, 97000.0, 97000.5, n]))
        .collect();
    ok(candles.into())
}

fn alpaca_key(asked: &Asked<'_>) -> Result<(), Reply> {
    asked.credentials("apca-api-key-id", "key-of-alpaca")?;
    asked.credentials("apca-api-secret-key", "secret-of-alpaca")
}

/// Bars of several symbols: a map from the symbol to its bars, one symbol behind the other.
fn bars(asked: &Asked<'_>, budget: &Limit) -> Served {
    let used_up = budget.meets(asked)?;
    alpaca_key(asked)?;
    demand(asked.query("timeframe").is_some(), 400, "timeframe is required")?;
    let symbols = ["AAPL", "MSFT", "TSLA"];
    demand(asked.query("symbols") == Some("AAPL,MSFT,TSLA"), 400, "symbols is required")?;
    // The vendor's largest page has 10,000 bars: here 300.
    let range =
        slice(number_in(asked.query("page_token"), "QUFQTHxN")?, asked.number("limit", 1000)?.min(300));
    let end = range.end;
    let mut of_symbols = Map::new();
    for n in range {
        let of_symbol = of_symbols.entry(symbols[(n / 412).min(2) as usize]).or_insert_with(|| json!([]));
        of_symbol.as_array_mut().into_iter().for_each(|bars| bars.push(json!({"t": n, "c": 97.0, "n": n})));
    }
    let next = (end < RECORDS).then(|| format!("QUFQTHxN{end}"));
    let reply = answer(200, json!({"bars": of_symbols, "next_page_token": next}))
        .header("x-ratelimit-limit", "200")
        .header("x-ratelimit-remaining", if used_up.is_some() { "0" } else { "150" });
    Ok(reply.header("x-ratelimit-reset", &budget.after(used_up.unwrap_or_default()).to_string()))
}

/// Activities, 100 at most; the token is the id of the last.
fn activities(asked: &Asked<'_>) -> Served {
    alpaca_key(asked)?;
    let size = asked.number("page_size", 100)?;
    demand(size <= 100, 422, "page_size is at most 100")?;
    let last = asked.query("page_token").map(|id| number_in(Some(id), "20260101000000000::")).transpose()?;
    let found: Vec<_> = slice(last.map_or(0, |last| last + 1), size)
        .map(|n| json!({"id": format!("20260101000000000::{n}"), "activity_type": "FILL", "n": n}))
        .collect();
    ok(found.into())
}

/// A cursor in the body, empty at first, until the flag; the last one is where the next run begins. A change while it is
/// read makes the cursors of this run worthless: it begins again at its first (plaid.com/docs: `/transactions/sync`,
/// Transactions errors).
fn plaid() -> Row {
    let request = Request::post("https://production.plaid.com/transactions/sync").expect("a URL");
    let cursor = || Cursor::body("next_cursor").into_body("cursor");
    let source = || {
        Source::request("transactions", request.clone().repeatable())
            .json(json!({"access_token": "access-production-1", "count": 100}))
            .header("PLAID-CLIENT-ID", "client")
            .header("PLAID-SECRET", "secret-of-plaid")
            .records(Select::path("added").and("modified").and("removed").key_as("change"))
            .paginate(Delta::new(cursor().until_false("has_more"), cursor()))
            .rule(
                When::status(400)
                    .body("error_code", "TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION")
                    .means(Verdict::Expired),
            )
            .restart_on_expiry()
    };
    let api = serve(move |asked| transactions(asked, 4));
    // The first run is given none but an old one; its cursor is where the second begins.
    let later = serve(|asked| {
        let body = asked.body("");
        if body["cursor"].is_null() {
            let old = json!([{"transaction_id": "old", "n": 2 * RECORDS}]);
            return ok(json!({
                "added": old, "modified": [], "removed": [], "next_cursor": "CAEB-0", "has_more": false,
            }));
        }
        transactions(asked, u64::MAX)
    });
    Row::new(
        "Plaid sync",
        [
            Way::new("C", api, source()).in_a_run().has("change").named("changed while it is read"),
            Way::new("C", later, source()).again(source()).named("the next run"),
        ],
    )
}

/// What was added, modified and removed since a cursor. With the request of some number there is a change while it is
/// read; from then on none of the cursors between the first and that moment is good.
fn transactions(asked: &Asked<'_>, changed: u64) -> Served {
    let body = asked.body("");
    let known = asked.header("plaid-client-id") == Some("client") && asked.header("plaid-secret").is_some();
    demand(known && body["access_token"] == "access-production-1", 400, "INVALID_ACCESS_TOKEN")?;
    let count = body["count"].as_u64().unwrap_or(100);
    demand((1..=500).contains(&count), 400, "INVALID_FIELD: count")?;
    let cursor = body["cursor"].as_str().filter(|cursor| !cursor.is_empty());
    let now = if asked.nth >= changed { "CAES-" } else { "CAEB-" };
    let Ok(first) = number_in(cursor, now) else {
        let error = json!({"error_type": "TRANSACTIONS_ERROR", "error_code": "TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION"});
        return Err(answer(400, error));
    };
    let range = slice(first, count);
    let (third, end) = ((range.end - range.start) / 3, range.end);
    let (added, rest) = (range.start..range.start + third, range.start + third..range.end);
    let (modified, removed) = (rest.start..rest.start + third, rest.start + third..rest.end);
    ok(json!({
        "added": bare(added), "modified": bare(modified), "removed": bare(removed),
        "next_cursor": format!("{now}{end}"), "has_more": end < RECORDS,
    }))
}
