//! A segment of the log becomes a load job.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::client::Client;
use super::job::{Load, load};
use super::table::{Field, Layout, Table, ensure, location};
use super::upload::Rows;
use crate::error::{Error, ErrorKind, Result};
use crate::retry::RetryPolicy;
use crate::sink::spool::{Segment, Ship, Shipped};

/// So many bytes of a segment are read at once.
const PIECE: usize = 1024 * 1024;

/// What is noted with a segment when it is sealed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    /// Which run it is of, for the ids of the jobs.
    pub(super) run: String,
    pub(super) table: String,
    pub(super) columns: Vec<Field>,
}

/// Takes segments to BigQuery.
#[derive(Debug)]
pub(super) struct Shipper {
    pub(super) client: Client,
    pub(super) project: String,
    pub(super) dataset: String,
    pub(super) location: OnceCell<Option<String>>,
    pub(super) layout: Layout,
    pub(super) retry: RetryPolicy,
    pub(super) job_timeout: Duration,
}

impl Shipper {
    /// Where the dataset is. Fails if it cannot be seen.
    pub(super) async fn location(&self) -> Result<Option<String>> {
        self.location.get_or_try_init(|| location(&self.client, &self.project, &self.dataset)).await.cloned()
    }

    async fn take(&self, segment: Segment) -> Result<Shipped> {
        let note: Note = serde_json::from_value(segment.sealed.note.clone()).map_err(|error| {
            let what = format!("the columns of segment {} cannot be read", segment.sealed.number);
            Error::new(ErrorKind::Checkpoint, what).because(error)
        })?;
        let seen = segment.clone();
        on_a_thread(move || see(&seen)).await?;
        let table = Table { project: self.project.clone(), dataset: self.dataset.clone(), table: note.table };
        ensure(&self.client, &table, &self.layout, &note.columns).await?;
        let wanted = Load {
            table,
            location: self.location().await?,
            source: segment.source.to_string(),
            run: note.run,
            stem: segment.stem.to_string(),
            number: segment.sealed.number,
            rows: segment.sealed.rows,
            hash: segment.sealed.hash.clone(),
        };
        let rows = Logged { segment };
        let job = load(&self.client, &wanted, &rows, &self.retry, self.job_timeout).await?;
        tracing::info!(job = job.id, rows = wanted.rows, table = %wanted.table, "a segment is loaded");
        Ok(Shipped(json!({ "job": job.id })))
    }
}

/// What carries it may be dropped: the segment holds the lease.
#[derive(Debug)]
pub(super) struct Ships(pub(super) Arc<Shipper>);

impl Ship for Ships {
    fn ship(&self, segment: Segment) -> BoxFuture<'static, Result<Shipped>> {
        let shipper = self.0.clone();
        Box::pin(async move {
            let source = segment.source.clone();
            let shipped = shipper.take(segment).await;
            shipped.map_err(|error| error.at(|context| context.source = Some(source)))
        })
    }
}

/// Looks at all of a segment: the id of the job says what is in it, so it must be that.
fn see(segment: &Segment) -> Result<()> {
    let mut reader = segment.open()?;
    std::io::copy(&mut reader, &mut std::io::sink()).map_err(|error| segment.unread(error))?;
    Ok(())
}

/// The lines of a segment.
struct Logged {
    segment: Segment,
}

impl Rows for Logged {
    fn read(&self, place: u64) -> BoxFuture<'_, Result<Option<(Bytes, u64)>>> {
        Box::pin(async move {
            if place >= self.segment.sealed.length {
                return Ok(None);
            }
            let segment = self.segment.clone();
            let bytes = on_a_thread(move || segment.read_at(place, PIECE)).await?;
            let next = place + bytes.len() as u64;
            Ok(Some((bytes.into(), next)))
        })
    }
}

impl fmt::Debug for Logged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logged").field("segment", &self.segment.sealed.number).finish_non_exhaustive()
    }
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|lost| {
        Err(Error::new(ErrorKind::Sink, "reading a segment was broken off").because(lost))
    })
}

/// A note as it is kept.
pub(super) fn note(run: &str, table: &str, columns: &[Field]) -> Value {
    // Texts and numbers always have a JSON form.
    serde_json::to_value(Note { run: run.into(), table: table.into(), columns: columns.to_vec() })
        .unwrap_or_default()
}
