//! Two sources into objects: in a folder, or in S3, Google Cloud Storage or Azure.
//!
//! ```text
//! cargo run --release --features s3 --example objects [-- --to s3://bucket/prefix]
//! cargo run --release --features objects,parquet --example objects -- --parquet
//! ```
//!
//! Without an argument it writes into the folder `out/objects`: no network, no keys. `s3://bucket/prefix`,
//! `gs://bucket/prefix` and `az://container/prefix` want their features, and credentials in the environment; with
//! `AWS_ENDPOINT_URL` the first goes to whatever speaks S3. Kill it in the middle and start it again with `--take-over`,
//! or half a minute later without: it goes on where it was.

mod progress;

use std::time::Duration;

use clap::Parser;
use headwater::prelude::*;
use headwater::sink::Objects;
use headwater::testing::{MockApi, Paging, Resource};
use progress::Progress;

/// Pulls two sources of an embedded mock API into objects.
#[derive(Parser)]
struct Args {
    /// A folder, or s3://bucket/prefix, gs://bucket/prefix, az://container/prefix
    #[arg(long, default_value = "out/objects")]
    to: String,

    /// How many records each of the two sources has
    #[arg(long, default_value_t = 10_000)]
    records: u64,

    /// Commits so often, in milliseconds
    #[arg(long, default_value_t = 5_000)]
    commit_every: u64,

    /// Makes Parquet objects with typed columns, in the place of JSON lines
    #[arg(long)]
    parquet: bool,

    /// Go on though another run holds the place: for one that hangs, or was killed just now
    #[arg(long)]
    take_over: bool,
}

fn sink(args: &Args) -> Result<Objects> {
    let sink = place(&args.to)?;
    if !args.parquet {
        return Ok(sink);
    }
    #[cfg(feature = "parquet")]
    return Ok(sink.parquet());
    #[cfg(not(feature = "parquet"))]
    Err(Error::new(ErrorKind::Config, "Parquet is not built in").advice("build with --features parquet"))
}

fn place(to: &str) -> Result<Objects> {
    match to.split_once("://") {
        #[cfg(feature = "s3")]
        Some(("s3", place)) => Objects::s3(place),
        #[cfg(feature = "gcs")]
        Some(("gs", place)) => Objects::gcs(place),
        #[cfg(feature = "azure")]
        Some(("az", place)) => Objects::azure(place),
        Some((scheme, _)) => Err(Error::new(ErrorKind::Config, format!("{scheme}:// is not built in"))
            .advice("build with --features s3,gcs,azure")),
        None => Objects::local(to),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let resource = |name: &str, paging| Resource::new(name, args.records).paging(paging).page_size(100);
    let api = MockApi::builder()
        .resource(resource("customers", Paging::Offset))
        .resource(resource("issues", Paging::Link))
        .latency(Duration::from_millis(2))
        .start()
        .await?;
    // The port is another one the next time.
    let source = |name: &str| Source::get(name, api.url(name)).ignore_origin_changes();
    let customers =
        source("customers").records("data").paginate(Offset::new(100).until_total("total")).build()?;
    let issues = source("issues").query("per_page", "100").records("").paginate(LinkHeader::new()).build()?;

    let progress = Progress::new(args.records);
    let mut pipeline = Pipeline::new()
        .sources([customers, issues])
        .sink(sink(&args)?)
        .commit_every(Duration::from_millis(args.commit_every))
        .observe(move |event| progress.show(event))
        .stop_on_signals();
    if args.take_over {
        pipeline = pipeline.take_over();
    }
    println!("{}", pipeline.run().await?);
    Ok(())
}
