//! Three sources, three dialects, one command, no network, no keys.
//!
//! ```text
//! cargo run --release --example quickstart [-- --output DIR]
//! ```
//!
//! It starts a mock API on a free loopback port, which pages by offset, by cursor and by `Link` header, limits
//! the rate, and answers now and then with 429 or 503. Then it pulls 30,000 records from it, the three sources
//! in parallel, into one JSONL file each. Kill it in the middle and start it again: it goes on where it was.

mod progress;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use headwater::error::ErrorKind;
use headwater::prelude::*;
use headwater::sink::Jsonl;
use headwater::testing::{Faults, MockApi, Paging, Resource};
use progress::Progress;

/// Pulls three sources of an embedded mock API into JSONL files.
#[derive(Parser)]
struct Args {
    /// The folder for the files
    #[arg(long, default_value = "out")]
    output: PathBuf,

    /// How many records each of the three sources has
    #[arg(long, default_value_t = 10_000)]
    records: u64,

    /// Go on though another run holds the folder: for one that hangs
    #[arg(long)]
    take_over: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let api = start_mock_api(args.records).await?;

    // One budget for all three, as if they were on one credential. The server allows a little more.
    let limiter = Limiter::per_second(140.0).burst(40);
    let source = |name: &str| {
        Source::get(name, api.url(name))
            .bearer("quickstart-token")
            .rate_limit(limiter.clone())
            .retry(RetryPolicy::exponential().max_attempts(5))
            .timeout(Duration::from_secs(30))
            // The port is another one the next time.
            .ignore_origin_changes()
    };
    let customers =
        source("customers").records("data").paginate(Offset::new(100).until_total("total")).build()?;
    let invoices = source("invoices")
        .query("limit", "100")
        .records("data")
        .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
        .build()?;
    let issues = source("issues").query("per_page", "100").records("").paginate(LinkHeader::new()).build()?;

    let progress = Progress::new(args.records);
    let mut pipeline = Pipeline::new()
        .sources([customers, invoices, issues])
        .sink(Jsonl::dir(&args.output))
        .observe(move |event| progress.show(event))
        .stop_on_signals();
    if args.take_over {
        pipeline = pipeline.take_over();
    }

    match pipeline.run().await {
        Ok(report) => {
            println!("{report}");
            Ok(())
        }
        Err(failure) => {
            if let Some(report) = &failure.report {
                println!("{report}");
            }
            eprintln!("{failure}");
            std::process::exit(if failure.error.kind() == ErrorKind::Stopped { 130 } else { 1 });
        }
    }
}

async fn start_mock_api(records: u64) -> std::io::Result<MockApi> {
    let faults = Faults::none().too_many_requests_every(29, Duration::from_millis(200)).unavailable_every(41);
    let resource = |name: &str, paging| Resource::new(name, records).paging(paging).faults(faults.clone());
    MockApi::builder()
        .resource(resource("customers", Paging::Offset))
        .resource(resource("invoices", Paging::Cursor))
        .resource(resource("issues", Paging::Link))
        .bearer("quickstart-token")
        .rate_limit(150.0, 50)
        .start()
        .await
}
