//! Only combinators: no builder, no pipeline.
//!
//! ```text
//! cargo run --example custom_stream
//! ```
//!
//! Two lists of one API, each a stream of pages behind the same limiter, are turned into records, sifted,
//! merged, and folded into a sink of our own: a tally of what is owed in each currency. Everything here is
//! an ordinary `futures` stream, so whatever you know about those works.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt, future, stream};
use headwater::prelude::*;
use headwater::testing::{MockApi, Paging, Resource};
use serde::Deserialize;

/// What we want of an invoice or an order: a record stays bytes until here.
#[derive(Deserialize)]
struct Owed {
    currency: String,
    amount: f64,
}

/// A sink of our own: for each currency, how many and how much.
#[derive(Default)]
struct Tally(BTreeMap<String, (u64, f64)>);

impl Tally {
    fn add(mut self, owed: Owed) -> Self {
        let (count, sum) = self.0.entry(owed.currency).or_default();
        *count += 1;
        *sum += owed.amount;
        self
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // Any API will do; this one is embedded, so that the example runs without a network.
    let api = MockApi::builder()
        .resource(Resource::new("invoices", 2_000).paging(Paging::Cursor))
        .resource(Resource::new("orders", 1_000).paging(Paging::Page))
        .start()
        .await
        .expect("a free port on loopback");

    let http = Http::new()?;
    // A clone shares the budget: both streams together send no more than 100 requests a second.
    let limiter = Limiter::per_second(100.0).burst(10);

    let invoices = Pages::new(
        http.clone(),
        Request::get(api.url("/invoices"))?.query("limit", "100"),
        Cursor::last_record("id").into_query("starting_after").until_false("has_more"),
    )
    .rate_limit(limiter.clone()) // one permit, one request …
    .retry(RetryPolicy::exponential()) // … and an attempt is a request: this order, or it does not compile
    .prefetch(1) // fetch a page while the last one is worked on
    .records("data");

    let orders = Pages::new(
        http,
        Request::get(api.url("/orders"))?,
        PageNumber::new().size("per_page", 50).until_page_count("pages"),
    )
    .rate_limit(limiter)
    .retry(RetryPolicy::exponential().max_attempts(3))
    .records("items");

    let tally = stream::select_all([invoices.boxed(), orders.boxed()])
        .try_filter_map(|record| future::ready(large(&record)))
        .try_fold(Tally::default(), |tally, owed| future::ok(tally.add(owed)))
        .await?;

    for (currency, (count, sum)) in &tally.0 {
        println!("{currency}: {count:>4} records, {sum:>12.2}");
    }
    Ok(())
}

/// Leaves out what is not worth a letter.
fn large(record: &Record) -> Result<Option<Owed>> {
    let owed: Owed = record.parse()?;
    Ok((owed.amount >= 100.0).then_some(owed))
}
