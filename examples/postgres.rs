//! A list of an API as a table of a PostgreSQL database. No keys: the API is a mock on a free loopback port.
//!
//! ```text
//! DATABASE_URL=postgres://user:password@host/database cargo run --release --features postgres --example postgres
//! ```
//!
//! The events are appended; the customers have a key, so a second run replaces them. Kill it in the middle and start it again:
//! it goes on where it was.

mod progress;

use std::time::Duration;

use clap::Parser;
use headwater::prelude::*;
use headwater::schema::Schemas;
use headwater::sink::Postgres;
use headwater::testing::{Faults, MockApi, Paging, Resource};
use progress::Progress;

/// Pulls two lists of an embedded mock API into a database.
#[derive(Parser)]
struct Args {
    /// The schema of the tables
    #[arg(long, default_value = "headwater_example")]
    schema: String,

    /// How many records each of the two lists has
    #[arg(long, default_value_t = 10_000)]
    records: u64,

    /// How long the API takes for a page, in milliseconds
    #[arg(long, default_value_t = 5)]
    latency: u64,

    /// How often is committed, in milliseconds
    #[arg(long, default_value_t = 100)]
    commit_every: u64,

    /// Give the tables a column for each field
    #[arg(long)]
    typed: bool,

    /// Go on though another run holds the schema: for one that hangs
    #[arg(long)]
    take_over: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let resource = |name: &str, paging| {
        Resource::new(name, args.records).paging(paging).faults(Faults::none().unavailable_every(41))
    };
    let api = MockApi::builder()
        .resource(resource("customers", Paging::Cursor))
        .resource(resource("events", Paging::Offset))
        .latency(Duration::from_millis(args.latency))
        .start()
        .await?;
    // The port is another one the next time.
    let source = |name: &str| Source::get(name, api.url(name)).records("data").ignore_origin_changes();
    let customers = source("customers")
        .query("limit", "100")
        .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"));
    let events = source("events").paginate(Offset::new(100).until_total("total"));

    let mut sink =
        Postgres::connect(Secret::env("DATABASE_URL")?).schema(args.schema).key_of("customers", ["id"]);
    if args.typed {
        sink = sink.schemas(Schemas::inferred());
    }
    let progress = Progress::new(args.records);
    let mut pipeline = Pipeline::new()
        .sources([customers.build()?, events.build()?])
        .sink(sink)
        .commit_every(Duration::from_millis(args.commit_every))
        .observe(move |event| progress.show(event))
        .stop_on_signals();
    if args.take_over {
        pipeline = pipeline.take_over();
    }
    println!("{}", pipeline.run().await?);
    Ok(())
}
