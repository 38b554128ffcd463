//! Two sources of an embedded mock API into two tables of BigQuery, or of an emulator of it.
//!
//! ```text
//! cargo run --features bigquery --example bigquery -- --project my-project --dataset raw
//! ```
//!
//! `GOOGLE_APPLICATION_CREDENTIALS` names the key file of a service account that may run jobs in the project and change
//! tables in the dataset. With `BIGQUERY_ENDPOINT=http://127.0.0.1:9050` it is an emulator that is asked, without credentials.
//! Kill it in the middle and start it again: it goes on where it was, and each row is in its table once.

use std::path::PathBuf;

use clap::Parser;
use headwater::prelude::*;
use headwater::sink::BigQuery;
use headwater::testing::{MockApi, Paging, Resource};

/// Loads two sources of an embedded mock API into BigQuery.
#[derive(Parser)]
struct Args {
    /// The project that has the dataset and runs the jobs
    #[arg(long)]
    project: String,

    /// The dataset, which must be there
    #[arg(long)]
    dataset: String,

    /// Another server than https://bigquery.googleapis.com
    #[arg(long, env = "BIGQUERY_ENDPOINT")]
    endpoint: Option<String>,

    /// The key file of a service account
    #[arg(long, env = "GOOGLE_APPLICATION_CREDENTIALS")]
    key: Option<PathBuf>,

    /// The folder for the log and the checkpoints
    #[arg(long, default_value = "headwater")]
    dir: PathBuf,

    /// How many records each of the sources has
    #[arg(long, default_value_t = 5_000)]
    records: u64,

    /// How many rows are loaded at once
    #[arg(long, default_value_t = 2_000)]
    segment_rows: u64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let api = MockApi::builder()
        .resource(Resource::new("customers", args.records).paging(Paging::Offset))
        .resource(Resource::new("invoices", args.records).paging(Paging::Cursor))
        .start()
        .await?;
    // The port is another one the next time.
    let source = |name: &str| Source::get(name, api.url(name)).records("data").ignore_origin_changes();
    let customers = source("customers").paginate(Offset::new(100).until_total("total")).build()?;
    let cursor = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
    let invoices = source("invoices").query("limit", "100").paginate(cursor).build()?;

    let mut sink = BigQuery::new(args.project, args.dataset).dir(args.dir).segment_rows(args.segment_rows);
    if let Some(endpoint) = args.endpoint {
        sink = sink.endpoint(endpoint);
    }
    if let Some(key) = args.key {
        sink = sink.service_account_file(key)?;
    }
    let report = Pipeline::new().sources([customers, invoices]).sink(sink).run().await?;
    println!("{report}");
    Ok(())
}
