//! What hides the time that a server takes: several pages at once where the positions are known ahead, and fetching on
//! while the last page is written where they are not.
//!
//! | row | against | goal |
//! |---|---|---|
//! | 8 lanes, page numbers, 50 ms a request | one lane | at least 7 × as fast |
//! | `prefetch(1)`, a cursor, 50 ms a request, a sink that takes 50 ms a page | without | at least 1.8 × as fast |
//!
//! Both pull the same list over loopback, one right after the other.
//!
//! ```text
//! cargo bench --bench latency
//! ```

mod arguments;
mod goals;
mod sample;
mod server;

use std::time::{Duration, Instant};

use futures::StreamExt;
use headwater::pages::{Lanes, Paged};
use headwater::paginate::{PageNumber, from_fn};
use headwater::{Http, Limiter, Mark, Pages, PagesExt, Position, RecordsExt, Request, RetryPolicy};

use arguments::Asked;
use goals::Goals;
use server::Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const LATENCY: Duration = Duration::from_millis(50);
const PAGES: u64 = 100;
const LANES: usize = 8;
const LANES_ROW: &str = "8 lanes, page numbers";
const PREFETCH_ROW: &str = "prefetch(1), a cursor, a slow sink";

/// Pulls a list to its end; the sink takes its time with each page. Gives the seconds that it took.
async fn pull(pages: impl Paged, sink: Duration, expected: u64) -> Outcome<f64> {
    let start = Instant::now();
    let mut batches = std::pin::pin!(pages.batches("data"));
    let mut records = 0;
    while let Some(batch) = batches.next().await {
        records += batch?.len() as u64;
        if !sink.is_zero() {
            tokio::time::sleep(sink).await;
        }
    }
    if records != expected {
        return Err(format!("{records} records of {expected}").into());
    }
    Ok(start.elapsed().as_secs_f64())
}

fn numbered(http: &Http, url: &str, mark: Mark) -> impl Paged + Send + 'static + use<> {
    let request = Request::get(url).expect("a URL");
    Pages::new(http.clone(), request, PageNumber::new().until_false("has_more"))
        .resume(mark)
        .rate_limit(Limiter::unlimited())
        .retry(RetryPolicy::exponential())
}

/// The same list by a position that only the page before tells.
fn chained(http: &Http, url: &str) -> impl Paged + Send + 'static + use<> {
    let request = Request::get(url).expect("a URL");
    let number = |position: &Position| match position {
        Position::Cursor(page) => page.parse().unwrap_or(1_u64),
        _ => 1,
    };
    let paginator = from_fn(
        "page",
        move |template: Request, position: &Position| {
            Ok(template.with_query("page", number(position).to_string()))
        },
        move |answer| {
            let more = answer.value(0).and_then(|more| more.as_bool()) == Some(true);
            Ok(more.then(|| Position::Cursor((number(answer.position()) + 1).to_string())))
        },
    )
    .reading(["has_more"]);
    Pages::new(http.clone(), request, paginator)
        .rate_limit(Limiter::unlimited())
        .retry(RetryPolicy::exponential())
}

/// How many times as fast as one lane eight are, and as nothing ahead one page ahead is.
async fn race(server: &Server, pages: u64) -> Outcome<[f64; 2]> {
    let http = Http::builder().no_proxy().build()?;
    let shape = sample::EVENTS;
    let (url, records) = (server.url(&shape, pages, LATENCY), shape.records_per_page * pages);
    let one = pull(numbered(&http, &url, Mark::start()), Duration::ZERO, records).await?;
    let (http_of_lanes, url_of_lanes) = (http.clone(), url.clone());
    let lanes = Lanes::new(LANES, Mark::start(), move |mark| numbered(&http_of_lanes, &url_of_lanes, mark));
    let eight = pull(lanes, Duration::ZERO, records).await?;
    let alone = pull(chained(&http, &url), LATENCY, records).await?;
    let ahead = pull(chained(&http, &url).prefetch(1), LATENCY, records).await?;
    println!("\n{:<60}  {:>9}  {:>9}", format!("{pages} pages, 50 ms a request"), "without", "with");
    println!("{LANES_ROW:<60}  {one:>7.3} s  {eight:>7.3} s");
    println!("{PREFETCH_ROW:<60}  {alone:>7.3} s  {ahead:>7.3} s");
    Ok([one / eight, alone / ahead])
}

fn main() -> Outcome<()> {
    server::serve_if_asked()?;
    let test = match arguments::asked() {
        Asked::Nothing => return Ok(()),
        asked => asked == Asked::Test,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = Server::start()?;
    let [lanes, prefetch] = runtime.block_on(race(&server, if test { 4 } else { PAGES }))?;
    if test {
        return Ok(());
    }
    let mut goals = Goals::of("latency");
    goals.at_least(format!("{LANES_ROW}: as fast as one lane"), lanes, 7.0, "x");
    goals.at_least(format!("{PREFETCH_ROW}: as fast as without"), prefetch, 1.8, "x");
    goals.print();
    Ok(goals.keep()?)
}
