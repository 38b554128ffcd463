//! Lists of an API as Parquet files: no network, no keys.
//!
//! ```text
//! cargo run --release --features parquet --example parquet [-- --output DIR]
//! ```
//!
//! It starts a mock API on a free loopback port, pulls two lists from it, and prints what the files say of themselves. Kill it
//! in the middle and start it again: it goes on where it was.

mod progress;

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use headwater::prelude::*;
use headwater::sink::Parquet;
use headwater::testing::{Faults, MockApi, Paging, Resource};
use parquet::file::reader::{FileReader, SerializedFileReader};
use progress::Progress;

/// Pulls two lists of an embedded mock API into Parquet files.
#[derive(Parser)]
struct Args {
    /// The folder for the files
    #[arg(long, default_value = "out")]
    output: PathBuf,

    /// How many records each of the two lists has
    #[arg(long, default_value_t = 10_000)]
    records: u64,

    /// How many rows a file has, and some more
    #[arg(long, default_value_t = 4_000)]
    rows: u64,

    /// How long the API takes for a page, in milliseconds
    #[arg(long, default_value_t = 5)]
    latency: u64,

    /// How often is committed, in milliseconds
    #[arg(long, default_value_t = 100)]
    commit_every: u64,

    /// Go on though another run holds the folder: for one that hangs
    #[arg(long)]
    take_over: bool,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
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

    let progress = Progress::new(args.records);
    let mut pipeline = Pipeline::new()
        .sources([customers.build()?, events.build()?])
        .sink(Parquet::dir(&args.output).roll_at_rows(args.rows))
        .commit_every(Duration::from_millis(args.commit_every))
        .observe(move |event| progress.show(event))
        .stop_on_signals();
    if args.take_over {
        pipeline = pipeline.take_over();
    }
    println!("{}", pipeline.run().await?);
    show(&args.output)
}

/// Prints what the files say of themselves.
fn show(dir: &Path) -> Result<(), Box<dyn Error>> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    for path in &files {
        let reader = SerializedFileReader::new(File::open(path)?)?;
        let file = reader.metadata().file_metadata();
        let columns: Vec<_> =
            file.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
        println!("{}: {} rows of {}", path.display(), file.num_rows(), columns.join(", "));
    }
    Ok(())
}
