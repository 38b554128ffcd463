//! Customers and invoices from Stripe into JSON lines.
//!
//! ```text
//! export STRIPE_API_KEY=rk_test_…      # a restricted key that may read customers and invoices will do
//! cargo run --release --example stripe [-- --output DIR]
//! ```
//!
//! Each list comes into a file of its own, `out/stripe_customers_20260517T100000Z.jsonl`, every object once.
//! Stop it with Ctrl-C, or kill it, and start it again: it goes on where it was.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use headwater::prelude::*;
use headwater::{Report, sink::Jsonl};

/// Pulls customers and invoices from Stripe; the key is taken from STRIPE_API_KEY.
#[derive(Parser)]
struct Args {
    /// The folder for the files
    #[arg(long, default_value = "out")]
    output: PathBuf,
    /// Where the API is
    #[arg(long, default_value = "https://api.stripe.com")]
    base_url: String,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let pipeline = match pipeline(&args) {
        Ok(pipeline) => pipeline,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let print = |report: &Report| {
        if args.json { println!("{}", report.to_json()) } else { println!("{report}") }
    };
    match pipeline.run().await {
        Ok(report) => {
            print(&report);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if let Some(report) = &failure.report {
                print(report);
            }
            eprintln!("{failure}");
            ExitCode::from(if failure.error.kind() == ErrorKind::Stopped { 130 } else { 1 })
        }
    }
}

fn pipeline(args: &Args) -> Result<Pipeline> {
    let key = Secret::env("STRIPE_API_KEY")?;
    // Stripe counts per account, so both lists share one budget: 25 a second is its limit in test mode.
    let limiter = Limiter::per_second(25.0).burst(50);
    let list = |name: &str, path: &str| {
        Source::get(name, format!("{}{path}", args.base_url.trim_end_matches('/')))
            .bearer(key.clone())
            .query("limit", "100")
            .records("data")
            .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
            .rate_limit(limiter.clone())
            .retry(RetryPolicy::exponential())
            .build()
    };
    Ok(Pipeline::new()
        .source(list("stripe_customers", "/v1/customers")?)
        .source(list("stripe_invoices", "/v1/invoices")?)
        .sink(Jsonl::dir(&args.output))
        .stop_on_signals())
}
