//! Lists of an API as CSV files with typed columns: no network, no keys.
//!
//! ```text
//! cargo run --release --features csv --example csv [-- --output out-csv]
//! ```
//!
//! It pulls a list from a mock API on a free loopback port, with columns inferred over its first thousand records, and a
//! small list of orders with declared columns: of these some do not fit, and are rejected with the reason.

mod progress;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use headwater::prelude::*;
use headwater::schema::{ColumnType, Contract, Schema, Schemas};
use headwater::sink::Csv;
use headwater::testing::{MockApi, Paging, Reply, Resource, Scripted};
use progress::Progress;

/// Pulls two lists into CSV files.
#[derive(Parser)]
struct Args {
    /// The folder for the files
    #[arg(long, default_value = "out-csv")]
    output: PathBuf,

    /// How many customers there are
    #[arg(long, default_value_t = 10_000)]
    records: u64,
}

/// The third has a fraction too many, the fourth no number; the fifth has a field that nobody has declared.
const ORDERS: &str = r#"{"data": [
    {"number": 1, "total": "12.50", "lines": [{"sku": "a-1"}]},
    {"number": 2, "total": 8, "note": "=1+1"},
    {"number": 3, "total": 0.125},
    {"total": "3.00"},
    {"number": 5, "total": "7.00", "gift": true}
]}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let api = MockApi::builder()
        .resource(Resource::new("customers", args.records).paging(Paging::Cursor))
        .latency(Duration::from_millis(5))
        .start()
        .await?;
    let customers = Source::get("customers", api.url("customers"))
        .query("limit", "100")
        .records("data")
        .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
        // The port is another one the next time.
        .ignore_origin_changes()
        .build()?;
    let orders = Source::get("orders", "https://api.example.com/orders")
        .records("data")
        .paginate(Single)
        .transport(Scripted::from_fn(|_, _| Reply::json(ORDERS)))
        .build()?;

    let schema = Schema::builder()
        .required("number", ColumnType::Int64)
        .column("total", ColumnType::Decimal { precision: 12, scale: 2 })
        .column("note", ColumnType::Text)
        .column("lines", ColumnType::Json)
        .build()?;
    let schemas = Schemas::inferred().declare("orders", schema).contract_of("orders", Contract::Reject);
    let progress = Progress::new(args.records);
    let report = Pipeline::new()
        .sources([customers, orders])
        .sink(Csv::dir(&args.output).schemas(schemas).guard_formulas())
        .observe(move |event| progress.show(event))
        .stop_on_signals()
        .run()
        .await?;
    println!("{report}");
    Ok(())
}
