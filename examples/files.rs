//! Compressed files that roll, in folders by source and day; or lines on standard output.
//!
//! ```text
//! cargo run --release --example files [-- --output DIR | --stdout]
//! ```
//!
//! It starts a mock API on a free loopback port and pulls two sources from it, into files like
//! `out/source=orders/date=2026-05-17/20260517T100000Z_00001.jsonl.gz`, with a new file for every 2,000 records. Kill it in the
//! middle and start it again: it goes on where it was, and every record is there once.

use std::path::PathBuf;

use clap::Parser;
use headwater::prelude::*;
use headwater::sink::{Compression, Jsonl, Partition, Sink, Stdout};
use headwater::testing::{MockApi, Paging, Resource};

/// Pulls two sources of an embedded mock API into compressed files that roll.
#[derive(Parser)]
struct Args {
    /// The folder for the files
    #[arg(long, default_value = "out")]
    output: PathBuf,

    /// How many records each of the two sources has
    #[arg(long, default_value_t = 10_000)]
    records: u64,

    /// Print the lines instead
    #[arg(long)]
    stdout: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let api = MockApi::builder()
        .resource(Resource::new("orders", args.records).paging(Paging::Cursor))
        .resource(Resource::new("customers", args.records).paging(Paging::Offset))
        .rate_limit(150.0, 50)
        .start()
        .await?;
    let limiter = Limiter::per_second(140.0).burst(40);
    let source = |name: &str| {
        let source = Source::get(name, api.url(name)).rate_limit(limiter.clone()).records("data");
        // The port is another one the next time.
        source.ignore_origin_changes()
    };
    let orders = source("orders")
        .query("limit", "100")
        .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
        .build()?;
    let customers = source("customers").paginate(Offset::new(100).until_total("total")).build()?;

    let sink: Box<dyn Sink> = match args.stdout {
        true => Box::new(Stdout::new()),
        false => Box::new(
            Jsonl::dir(&args.output)
                .compress(Compression::gzip())
                .roll_at_rows(2_000)
                .partition_by(Partition::source())
                .partition_by(Partition::date())
                .names("{start}_{part}"),
        ),
    };
    match Pipeline::new().sources([orders, customers]).sink(sink).stop_on_signals().run().await {
        Ok(report) => eprintln!("{report}"),
        Err(failure) => {
            eprintln!("{failure}");
            std::process::exit(1);
        }
    }
    Ok(())
}
