//! How fast a pipeline writes into PostgreSQL, against a bare `COPY` of the same rows.
//!
//! | row | against | goal |
//! |---|---|---|
//! | appended rows of 110 bytes and of 1.2 KB: pages in memory, walked, committed with their checkpoints | a binary `COPY` of the same rows, ready to be sent, in one transaction | at least 0.7 × as fast |
//!
//! Both fill a new table of the same columns on a server of its own that syncs, one right after the other; the median of five
//! rounds counts. Without a PostgreSQL server it says so and measures nothing.
//!
//! ```text
//! cargo bench --features postgres --bench postgres
//! ```

mod arguments;
mod goals;
mod sample;
#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use futures::SinkExt;
use headwater::prelude::*;
use headwater::sink::Postgres;
use headwater::testing::{Reply, Scripted};

use arguments::Asked;
use goals::Goals;
use sample::{EVENTS, ISSUES, Shape};
use support::postgres::Postgres as Server;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Pages, and their records as they are sent to the server.
struct Rows {
    pages: Vec<Bytes>,
    chunks: Vec<Bytes>,
    records: u64,
}

fn field(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(&u32::try_from(value.len()).expect("a small value").to_be_bytes());
    out.extend_from_slice(value);
}

impl Rows {
    fn new(shape: Shape, pages: u64) -> Outcome<Self> {
        let pages: Vec<Bytes> = (1..=pages).map(|number| shape.page(number, pages).into()).collect();
        let (mut chunks, mut records) = (Vec::new(), 0);
        let mut chunk = Vec::from(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        for body in &pages {
            let page = headwater::Page::new(body.clone(), 1, headwater::Position::Start, None)?;
            let batch = headwater::Batch::new(page, "data")?;
            for record in batch.slices() {
                chunk.extend_from_slice(&5_u16.to_be_bytes());
                field(&mut chunk, &[&[1], record].concat());
                field(&mut chunk, b"items");
                for number in [0_i64, 1, 1] {
                    field(&mut chunk, &number.to_be_bytes());
                }
                records += 1;
                if chunk.len() >= 256 * 1024 {
                    chunks.push(std::mem::take(&mut chunk).into());
                }
            }
        }
        chunk.extend_from_slice(&(-1_i16).to_be_bytes());
        chunks.push(chunk.into());
        Ok(Self { pages, chunks, records })
    }

    /// Seconds of a bare COPY.
    async fn copied(&self, server: &Server) -> Outcome<f64> {
        let client = server.client().await?;
        client
            .batch_execute(
                "DROP TABLE IF EXISTS bare; CREATE TABLE bare (record jsonb NOT NULL, __source text NOT NULL, \
                 __ingested_at timestamptz NOT NULL, __run bigint NOT NULL, __commit bigint NOT NULL)",
            )
            .await?;
        let start = Instant::now();
        client.batch_execute("BEGIN").await?;
        let sink = client.copy_in::<_, Bytes>("COPY bare FROM STDIN (FORMAT binary)").await?;
        let mut sink = std::pin::pin!(sink);
        for chunk in &self.chunks {
            sink.send(chunk.clone()).await?;
        }
        let rows = sink.finish().await?;
        client.batch_execute("COMMIT").await?;
        let seconds = start.elapsed().as_secs_f64();
        if rows == self.records {
            Ok(seconds)
        } else {
            Err(format!("{rows} rows of {}", self.records).into())
        }
    }

    /// Seconds of a pipeline, its beginning and its end included.
    async fn piped(&self, server: &Server) -> Outcome<f64> {
        server.rows("DROP SCHEMA IF EXISTS piped CASCADE").await;
        let pages = self.pages.clone();
        let api = Scripted::from_fn(move |_, number| {
            let page = usize::try_from(number).ok().and_then(|number| pages.get(number.checked_sub(1)?));
            page.map_or_else(|| Reply::status(404), |page| Reply::json(page.clone()))
        });
        let source = Source::get("items", "https://api.example.com/items")
            .records("data")
            .paginate(PageNumber::new().until_false("has_more"))
            .transport(api)
            .build()?;
        let sink = Postgres::connect(server.url(None)).schema("piped");
        let start = Instant::now();
        let report = Pipeline::new().source(source).sink(sink).started_at(SystemTime::now()).run().await?;
        let seconds = start.elapsed().as_secs_f64();
        let rows = server.rows("SELECT count(*) FROM piped.items").await;
        if report.records() == self.records && rows == [self.records.to_string()] {
            Ok(seconds)
        } else {
            Err(format!("{} records and {rows:?} rows of {}", report.records(), self.records).into())
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn measure(server: &Server, shape: Shape, pages: u64, rounds: usize) -> Outcome<f64> {
    let rows = Rows::new(shape, pages)?;
    let (mut ratios, mut bare, mut piped) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (one, other) = (rows.copied(server).await?, rows.piped(server).await?);
        ratios.push(one / other);
        bare.push(one);
        piped.push(other);
    }
    let speed = |seconds: Vec<f64>| rows.records as f64 / median(seconds);
    println!(
        "{}: {} records, {:.0} rows a second, a bare COPY {:.0}",
        shape.name,
        rows.records,
        speed(piped),
        speed(bare)
    );
    Ok(median(ratios))
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let asked = arguments::asked();
    if asked == Asked::Nothing {
        return Ok(());
    }
    let Some(server) = Server::start(true).await else { return Ok(()) };
    if asked == Asked::Test {
        measure(&server, EVENTS, 2, 1).await?;
        return Ok(());
    }
    let mut goals = Goals::of("postgres");
    for (shape, pages, bytes) in [(EVENTS, 300, "110 bytes"), (ISSUES, 1_000, "1.2 KB")] {
        let ratio = measure(&server, shape, pages, 5).await?;
        goals.at_least(format!("rows of {bytes} into PostgreSQL, of a bare COPY"), ratio, 0.7, "x");
    }
    goals.print();
    Ok(goals.keep()?)
}
