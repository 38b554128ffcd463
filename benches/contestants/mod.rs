//! What the benches of whole pulls race against each other: one list of `server`, from the first page to the last.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use futures::stream::{self, TryStreamExt};
use headwater::paginate::PageNumber;
use headwater::sink::Jsonl;
use headwater::{Http, Limiter, Pipeline, RetryPolicy, Source};
use reqwest::Client;
use serde_json::Value;

use super::Outcome;

/// Every body as it is into one file, no look into it but at its last bytes, for the flag.
pub(crate) async fn download(client: &Client, url: &str, dir: &Path, sync: bool) -> Outcome<()> {
    let mut file = File::create(dir.join("pages"))?;
    for page in 1_u64.. {
        let answer = client.get(format!("{url}?page={page}")).send().await?.error_for_status()?;
        let body = answer.bytes().await?;
        file.write_all(&body)?;
        if body.ends_with(b"\"has_more\":false}") {
            break;
        }
    }
    if sync {
        file.sync_data()?;
    }
    Ok(())
}

/// What most would write: a `Value` of every page, two fields inserted, a `BufWriter`; no retry, no limit, no checkpoint,
/// no sync.
pub(crate) async fn by_hand(client: &Client, url: &str, dir: &Path) -> Outcome<()> {
    let pages = stream::try_unfold(Some(1_u64), async |next| -> Outcome<_> {
        let Some(page) = next else { return Ok(None) };
        let answer = client.get(format!("{url}?page={page}")).send().await?.error_for_status()?;
        let mut body: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let next = (body["has_more"] == true).then_some(page + 1);
        Ok(Some((body["data"].take(), next)))
    });
    let mut pages = std::pin::pin!(pages);
    let mut file = BufWriter::new(File::create(dir.join("records.jsonl"))?);
    while let Some(page) = pages.try_next().await? {
        let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Value::Array(records) = page else { return Err("no records".into()) };
        for mut record in records {
            record["__source"] = "bench".into();
            record["__ingested_at"] = now.as_str().into();
            serde_json::to_writer(&mut file, &record)?;
            file.write_all(b"\n")?;
        }
    }
    file.flush()?;
    Ok(())
}

/// All of it: limiter, retry, the guard against circles, a checkpoint every second, every commit synced.
pub(crate) async fn headwater(http: &Http, url: &str, dir: &Path) -> Outcome<()> {
    let source = Source::get("bench", url)
        .records("data")
        .paginate(PageNumber::new().until_false("has_more"))
        // Far more than is asked for: every request takes its permit, and none waits.
        .rate_limit(Limiter::per_second(100_000.0).burst(1000))
        .retry(RetryPolicy::exponential().max_attempts(5))
        .transport(http.clone())
        .build()?;
    Pipeline::new().source(source).sink(Jsonl::dir(dir)).commit_every(Duration::from_secs(1)).run().await?;
    Ok(())
}
