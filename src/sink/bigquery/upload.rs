//! Rows on their way: in one request with the job if they are few, else in parts, of which none is sent twice without need.
//!
//! <https://cloud.google.com/bigquery/docs/reference/api-uploads>

use std::fmt;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::header::{CONTENT_RANGE, LOCATION, RANGE};
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::client::{Call, Client};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::Response;

/// A part; a multiple of 256 KiB, as all but the last one must be.
const PART: usize = 8 * 1024 * 1024;
/// How often the end of one part is asked for.
const MOST_ASKED: u32 = 4;

/// Lines of JSON, as they are sent. They can be read as often as need be.
pub(super) trait Rows: fmt::Debug + Send + Sync {
    /// Some more whole lines, and the place behind them; none at the end. The first place is 0.
    fn read(&self, place: u64) -> BoxFuture<'_, Result<Option<(Bytes, u64)>>>;
}

/// Sends a job with its rows. `None` if a job of its id is there already.
pub(super) async fn upload(
    client: &Client,
    project: &str,
    job: Value,
    rows: &dyn Rows,
) -> Result<Option<Value>> {
    let mut url = client.url(&["upload", "bigquery", "v2", "projects", project, "jobs"]);
    let mut source = Source { rows, place: Some(0), gathered: BytesMut::new() };
    source.gather(PART).await?;
    if source.gathered.len() <= PART && source.place.is_none() {
        url.query_pairs_mut().append_pair("uploadType", "multipart");
        return whole(client, url, &job, &source.gathered).await;
    }
    url.query_pairs_mut().append_pair("uploadType", "resumable");
    let begin = Call::new(Method::POST, url)?
        .json(job)
        .header("X-Upload-Content-Type", "application/octet-stream")?;
    let begun = client.once("begin a load job", &begin, &[StatusCode::CONFLICT]).await?;
    if begun.status == StatusCode::CONFLICT {
        return Ok(None);
    }
    let session = begun.headers.get(LOCATION).ok_or_else(|| {
        Error::new(ErrorKind::Sink, "BigQuery does not say where the parts of an upload go").once()
    })?;
    in_parts(client, &client.session(session)?, &mut source).await
}

async fn whole(client: &Client, url: Url, job: &Value, lines: &[u8]) -> Result<Option<Value>> {
    // A line of JSON does not begin with it.
    const BOUNDARY: &str = "headwater-7e1f0c52";
    let mut body = BytesMut::with_capacity(lines.len() + 4096);
    let head = format!(
        "--{BOUNDARY}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{job}\r\n\
         --{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(lines);
    body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
    let kind = format!("multipart/related; boundary={BOUNDARY}");
    let call = Call::new(Method::POST, url)?.bytes(&kind, body.freeze())?;
    let response = client.once("load rows", &call, &[StatusCode::CONFLICT]).await?;
    answer(&response)
}

/// The job that an answer shows; `None` if it was there before.
fn answer(response: &Response) -> Result<Option<Value>> {
    if response.status == StatusCode::CONFLICT {
        return Ok(None);
    }
    let unreadable = |error| {
        Error::new(ErrorKind::NotJson, "BigQuery's answer to a load job cannot be read").because(error).once()
    };
    serde_json::from_slice(&response.body).map(Some).map_err(unreadable)
}

/// What is left to send.
struct Source<'a> {
    rows: &'a dyn Rows,
    place: Option<u64>,
    gathered: BytesMut,
}

impl Source<'_> {
    /// Reads until there is more than `wanted`, or no more.
    async fn gather(&mut self, wanted: usize) -> Result<()> {
        while let Some(place) = self.place {
            if self.gathered.len() > wanted {
                break;
            }
            self.place = match self.rows.read(place).await? {
                Some((lines, place)) => {
                    self.gathered.extend_from_slice(&lines);
                    Some(place)
                }
                None => None,
            };
        }
        Ok(())
    }
}

const TAKEN: [StatusCode; 2] = [StatusCode::PERMANENT_REDIRECT, StatusCode::CONFLICT];

async fn in_parts(client: &Client, session: &Url, source: &mut Source<'_>) -> Result<Option<Value>> {
    let mut sent = 0;
    loop {
        source.gather(PART).await?;
        let length = source.gathered.len().min(PART);
        let part = source.gathered.split_to(length).freeze();
        let total = (source.place.is_none() && source.gathered.is_empty()).then_some(sent + length as u64);
        if let Some(response) = one_part(client, session, sent, part, total).await? {
            if total.is_none() && response.status.is_success() {
                return Err(
                    Error::new(ErrorKind::Sink, "BigQuery ends an upload before its last part").once()
                );
            }
            return answer(&response);
        }
        sent += length as u64;
        if total.is_some() {
            return Err(Error::new(
                ErrorKind::Sink,
                "BigQuery has all parts of an upload, and waits for more",
            )
            .once());
        }
    }
}

/// Sends a part to its end: `None` if there is to be another.
async fn one_part(
    client: &Client,
    session: &Url,
    begin: u64,
    part: Bytes,
    total: Option<u64>,
) -> Result<Option<Response>> {
    let end = begin + part.len() as u64;
    let of = total.map_or_else(|| "*".to_owned(), |total| total.to_string());
    let (mut at, mut asked) = (begin, 0);
    loop {
        let rest = part.slice(usize::try_from(at - begin).unwrap_or_default()..);
        let range = format!("bytes {at}-{}/{of}", end.saturating_sub(1));
        let put = Call::new(Method::PUT, session.clone())?
            .header(CONTENT_RANGE.as_str(), &range)?
            .bytes("application/octet-stream", rest)?;
        let response = match client.once("take a part of a load", &put, &TAKEN).await {
            Ok(response) => response,
            Err(error) => {
                asked += 1;
                if !error.is_transient() || asked >= MOST_ASKED {
                    return Err(error);
                }
                // How much of it has come is only known there.
                let look = Call::new(Method::PUT, session.clone())?
                    .header(CONTENT_RANGE.as_str(), &format!("bytes */{of}"))?
                    .bytes("application/octet-stream", Bytes::new())?;
                client.ask("say what it has of a load", &look, &TAKEN).await?
            }
        };
        if response.status != StatusCode::PERMANENT_REDIRECT {
            return Ok(Some(response));
        }
        let has = has(&response).unwrap_or(0);
        if has == end {
            return Ok(None);
        }
        asked += 1;
        if !(begin..end).contains(&has) || asked >= MOST_ASKED {
            let what = format!("BigQuery has {has} bytes of an upload where {end} were sent");
            return Err(Error::new(ErrorKind::Interrupted, what).transient());
        }
        at = has;
    }
}

/// How many bytes have come: `Range: bytes=0-N`, and no header if there is none.
fn has(response: &Response) -> Option<u64> {
    let range = response.headers.get(RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes=0-")?.parse::<u64>().ok()?.checked_add(1)
}
