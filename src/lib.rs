//! headwater turns paginated REST APIs into streams, and those streams into files, with nothing lost and
//! nothing twice.
//!
//! It is a library of stream combinators. Pagination is a [`Stream`](futures::Stream) of pages made by
//! `unfold`; rate limits and retries are adapters around it; records are slices of their pages; sources are
//! merged page by page and folded into a sink, with a checkpoint behind each commit:
//!
//! ```text
//!  Request ──► Pages ──► rate_limit ──► retry ──► records ──► merge ──► Sink ──► commit ──► Checkpoint
//!  template    unfold    one permit,    polls     slices of   page by   lines    fsync      position and
//!                        one request    again     the page    page                          sink state
//!     ▲                                                                                        │
//!     └──────────────────────────── Position: the next run goes on from here ◄────────────────┘
//! ```
//!
//! The modules stand in the order of that picture, and each uses only those to its left: [`hints`], [`error`],
//! [`request`], [`page`], [`transport`], [`fs`], [`auth`], [`exchange`], [`paginate`], [`limit`], [`retry`], [`pages`],
//! [`records`], [`schema`], [`checkpoint`], [`sink`], [`source`], [`presets`], [`pipeline`].
//!
//! # By hand: combinators
//!
//! ```
//! use futures::TryStreamExt;
//! use headwater::prelude::*;
//! # use headwater::testing::{MockApi, Paging, Resource};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let api = MockApi::builder().resource(Resource::new("invoices", 250).paging(Paging::Cursor)).start().await?;
//! # let url = api.url("/invoices");
//!
//! let pages = Pages::new(
//!     Http::new()?,
//!     Request::get(url)?.query("limit", "100"),
//!     Cursor::last_record("id").into_query("starting_after").until_false("has_more"),
//! );
//! let records: Vec<Record> = pages
//!     .rate_limit(Limiter::per_second(25.0).burst(50))
//!     .retry(RetryPolicy::exponential().max_attempts(5))
//!     .records("data")
//!     .try_collect()
//!     .await?;
//! assert_eq!(records.len(), 250);
//! # Ok(())
//! # }
//! ```
//!
//! # By builder: the same thing, with files and checkpoints
//!
//! ```
//! use headwater::{prelude::*, sink::Jsonl};
//! # use headwater::testing::{MockApi, Paging, Resource};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let api = MockApi::builder().resource(Resource::new("invoices", 250).paging(Paging::Cursor)).start().await?;
//! # let url = api.url("/invoices");
//! # let out = tempfile::tempdir()?;
//! # let out = out.path();
//!
//! let invoices = Source::get("invoices", url)
//!     .bearer("sk_test_123")
//!     .query("limit", "100")
//!     .records("data")
//!     .paginate(Cursor::last_record("id").into_query("starting_after").until_false("has_more"))
//!     .rate_limit(Limiter::per_second(25.0).burst(50))
//!     .build()?;
//! let report = Pipeline::new().source(invoices).sink(Jsonl::dir(out)).run().await?;
//! assert_eq!(report.source("invoices").unwrap().records, 250);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **A page is all or nothing.** It is complete and valid before its first record leaves it.
//! - **Truncation is never success.** A missing record path, a missing cursor, a position that comes again:
//!   each is an [`Error`] that says what, where, and what to do; the checkpoint does not move past it.
//! - **Exactly once.** A crash at any instant, then a rerun, leaves each record in the files once.
//! - **Secrets stay home.** Credentials go to the origin they were given for and nowhere else, and into no
//!   log, error, checkpoint or report.
//! - **Records stay as they are.** Numbers keep their digits, keys their order.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | *(none)* | everything above |
//! | `csv` | pages in CSV ([`page::Format`]), CSV files (`sink::Csv`) |
//! | `xml` | pages in XML ([`page::Format`]) |
//! | `jwt` | [`auth::JwtGrant`]: service accounts (RFC 7523) |
//! | `sigv4` | [`auth::SigV4`]: AWS Signature Version 4 |
//! | `parquet` | `sink::Parquet`: files with typed columns; `sink::Objects` as Parquet |
//! | `postgres` | `sink::Postgres` and `checkpoint::PostgresStore`: tables and checkpoints in a PostgreSQL database |
//! | `sqlite` | `sink::Sqlite` and `checkpoint::SqliteStore`: tables and checkpoints in an SQLite database |
//! | `s3`, `gcs`, `azure` | `sink::Objects` and `checkpoint::ObjectsStore`: objects and checkpoints in S3, Google Cloud Storage, Azure |
//! | `objects` | the same in a folder, or any `object_store` |
//! | `bigquery` | `sink::BigQuery`: tables of BigQuery, by load jobs |
//! | `testing` | [`mod@testing`]: an embedded mock API, a scripted transport, a file system that loses power, suites for sinks of your own |
//!
//! # The clock
//!
//! All waiting is on tokio's clock, so tests of your own streams can run on a paused one; use the scripted
//! transport for those, for real sockets do not know about paused time.
#![warn(missing_docs, missing_debug_implementations)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// In the order of the picture. `tests/architecture.rs` holds each to those above it.
pub mod auth;
pub mod checkpoint;
pub mod error;
pub mod exchange;
pub mod fs;
pub mod hints;
pub mod limit;
mod meter;
pub mod page;
pub mod pages;
pub mod paginate;
pub mod pipeline;
pub mod prelude;
pub mod presets;
pub mod records;
pub mod request;
pub mod retry;
pub mod schema;
pub mod sink;
pub mod source;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transport;

// A position may be the state of many streams, with a mark for each: so the two are defined together.
use request::mark;

pub use error::{Error, ErrorKind, Result};
pub use hints::Hints;
pub use limit::Limiter;
pub use mark::Mark;
pub use meter::{Counts, Meter};
pub use page::{JsonPath, Page};
pub use pages::incremental;
pub use pages::{PageStream, Paged, Pages, PagesExt};
pub use pipeline::{Pipeline, Report, RunError, Shutdown};
pub use records::{Annotator, Batch, Record, RecordsExt};
pub use request::{Origin, Position, Request, Secret};
pub use retry::RetryPolicy;
pub use source::{Source, SourceBuilder};
pub use transport::{Http, Response, Transport};

/// The examples of the README, so that they compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Those of the pages in `docs/`.
#[cfg(doctest)]
mod pages_of_docs {
    #[doc = include_str!("../docs/guide.md")]
    struct Guide;
    #[cfg(feature = "csv")]
    #[doc = include_str!("../docs/schema.md")]
    struct Schema;
    #[doc = include_str!("../docs/transformations.md")]
    struct Transformations;
    #[cfg(feature = "bigquery")]
    #[doc = include_str!("../docs/sinks/bigquery.md")]
    struct BigQuery;
    #[cfg(feature = "csv")]
    #[doc = include_str!("../docs/sinks/csv.md")]
    struct Csv;
    #[doc = include_str!("../docs/sinks/custom.md")]
    struct Custom;
    #[cfg(feature = "zstd")]
    #[doc = include_str!("../docs/sinks/jsonl.md")]
    struct Jsonl;
    #[cfg(all(feature = "s3", feature = "parquet"))]
    #[doc = include_str!("../docs/sinks/objects.md")]
    struct Objects;
    #[cfg(feature = "parquet")]
    #[doc = include_str!("../docs/sinks/parquet.md")]
    struct Parquet;
    #[cfg(feature = "postgres")]
    #[doc = include_str!("../docs/sinks/postgres.md")]
    struct Postgres;
    #[doc = include_str!("../docs/sinks/route.md")]
    struct Route;
    #[cfg(feature = "sqlite")]
    #[doc = include_str!("../docs/sinks/sqlite.md")]
    struct Sqlite;
    #[doc = include_str!("../docs/sinks/tee.md")]
    struct Tee;
}
