//! The outputs of sources: what is kept of them, and the calls of the pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::encode::{Nested, field, plain_fields, record, row};
use super::ship::note;
use super::table::{Field, Table};
use super::{BigQuery, Opened};
use crate::checkpoint::{CheckpointStore, FileStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;
use crate::schema::{Chunks, Conformer, Limits, SchemaState, Schemas};
use crate::sink::rejected::{DeadLetters, LettersState};
use crate::sink::spool::{Before, Spool, State, Taken, Wanted};
use crate::sink::{Committed, Committing, Guarantee, Opening, Sink, SinkStates, only, unopened};

/// "Maximum columns in a table", <https://cloud.google.com/bigquery/quotas#standard_tables>.
const MOST_COLUMNS: usize = 10_000;
/// <https://cloud.google.com/bigquery/docs/schemas#column_names>
const MOST_NAME: usize = 300;

/// Where rows go: those that fit, and those that do not.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) spool: Spool,
    pub(super) letters: DeadLetters,
    pub(super) nested: Nested,
}

/// One source.
#[derive(Debug)]
pub(super) struct Output {
    label: Arc<str>,
    run: String,
    table: String,
    /// None without a schema.
    conformer: Option<Conformer>,
    columns: Vec<Field>,
    lines: Vec<u8>,
}

/// What the checkpoint keeps of a source.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    /// Of this run, and no other.
    run: String,
    table: String,
    log: State,
    #[serde(default)]
    schema: SchemaState,
    #[serde(default)]
    rejected: LettersState,
}

impl Kept {
    fn of(state: &SinkState) -> Result<Self> {
        serde_json::from_value(state.0.clone()).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, "the state of the BigQuery sink cannot be read").because(error)
        })
    }

    fn state(self) -> Result<SinkState> {
        serde_json::to_value(self).map(SinkState).map_err(|error| {
            Error::new(ErrorKind::Sink, "the state cannot be written as JSON").because(error)
        })
    }
}

impl Output {
    fn new(
        schemas: Option<&Schemas>,
        nested: Nested,
        source: &str,
        label: &str,
        table: String,
    ) -> Result<Self> {
        let limits = || Limits::default().columns(MOST_COLUMNS).name_bytes(MOST_NAME).plain_names();
        let conformer =
            schemas.map(|schemas| Conformer::new(schemas, source, label, limits())).transpose()?;
        let columns = if conformer.is_some() { Vec::new() } else { plain_fields(nested) };
        let run = format!("{:016x}", fastrand::u64(..));
        Ok(Self { label: label.into(), run, table, conformer, columns, lines: Vec::new() })
    }

    /// What is kept, as it is now, beside the log and the dead letters.
    fn kept(&self, log: State, rejected: LettersState) -> Result<Kept> {
        let schema = self.schema()?;
        Ok(Kept { run: self.run.clone(), table: self.table.clone(), log, schema, rejected })
    }

    fn schema(&self) -> Result<SchemaState> {
        Ok(self.conformer.as_ref().map(Conformer::state).transpose()?.unwrap_or_default())
    }

    async fn seal(&self, spool: &mut Spool, source: &str) -> Result<()> {
        spool.seal(source, note(&self.run, &self.table, &self.columns)).await
    }

    async fn write(&mut self, to: &mut Places, source: &str, batch: &Batch) -> Result<()> {
        let Self { conformer, lines, columns, .. } = self;
        // Though no line may be ready: the state is to be told.
        to.spool.write(source, &[], 0).await?;
        let is_due = match conformer {
            Some(conformer) => take(conformer.write(batch), columns, lines, to, source).await?,
            None => {
                lines.clear();
                for slice in batch.slices() {
                    record(slice, &self.label, batch.fetched_at(), to.nested, lines)?;
                }
                to.spool.write(source, lines, batch.len() as u64).await?
            }
        };
        if is_due { self.seal(&mut to.spool, source).await } else { Ok(()) }
    }

    /// Writes what a sample holds.
    async fn settle(&mut self, to: &mut Places, source: &str) -> Result<()> {
        let Self { conformer: Some(conformer), lines, columns, .. } = self else { return Ok(()) };
        if take(conformer.settle(), columns, lines, to, source).await? {
            self.seal(&mut to.spool, source).await?;
        }
        Ok(())
    }
}

/// Writes rows that are ready. True if the segment is to be sealed.
async fn take(
    mut chunks: Chunks<'_>,
    columns: &mut Vec<Field>,
    lines: &mut Vec<u8>,
    to: &mut Places,
    source: &str,
) -> Result<bool> {
    let mut is_due = false;
    while let Some(chunk) = chunks.next_chunk()? {
        let schema = chunk.schema().columns();
        for column in &schema[columns.len().min(schema.len())..] {
            columns.push(field(column, to.nested)?);
        }
        to.letters.write(source, chunk.batch(), chunk.rejected()).await?;
        lines.clear();
        for cells in chunk.rows() {
            row(schema, cells, to.nested, lines)?;
        }
        is_due |= to.spool.write(source, lines, chunk.len() as u64).await?;
    }
    Ok(is_due)
}

impl BigQuery {
    async fn open_outputs(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        let Some(first) = openings.first() else { return Ok(Vec::new()) };
        if self.opened.is_none() {
            self.opened = Some(self.make()?);
        }
        let Some(Opened { shipper, to }) = &mut self.opened else { return Ok(Vec::new()) };
        // What cannot be reached is told before anything is pulled.
        shipper.location().await?;
        let (mut wanted, mut outputs, mut letters) = (Vec::new(), Vec::new(), Vec::new());
        for opening in openings {
            let table = self.table.replace("{source}", &opening.source.replace('.', "_"));
            let mut output =
                Output::new(self.schemas.as_ref(), self.nested, opening.source, opening.label, table)?;
            let before = match opening.committed {
                Committed::Nothing => {
                    letters.push(None);
                    Before::Nothing
                }
                Committed::Finished(state) => {
                    let kept = Kept::of(state)?;
                    letters.push(Some(kept.rejected));
                    if let Some(conformer) = &mut output.conformer {
                        conformer.follow(&kept.schema)?;
                    }
                    Before::Finished
                }
                Committed::Unfinished(state) => {
                    let kept = Kept::of(state)?;
                    if let Some(conformer) = &mut output.conformer {
                        conformer.resume(&kept.schema)?;
                    }
                    letters.push(Some(kept.rejected));
                    (output.run, output.table) = (kept.run, kept.table);
                    Before::Unfinished(Box::new(kept.log))
                }
            };
            if let Some(schema) = output.conformer.as_ref().and_then(Conformer::schema) {
                output.columns = schema
                    .columns()
                    .iter()
                    .map(|column| field(column, self.nested))
                    .collect::<Result<_>>()?;
            }
            wanted.push(Wanted { source: opening.source.into(), label: opening.label.into(), before });
            outputs.push((Arc::from(opening.source), output));
        }
        let letters = to.letters.open_all(openings, &letters).await?;
        let logs = to.spool.open_all(wanted, Taken::default(), first.started_at, first.lease).await?;
        let mut states = Vec::with_capacity(logs.len());
        for ((source, output), (log, letters)) in outputs.into_iter().zip(logs.into_iter().zip(letters)) {
            states.push(output.kept(log, letters)?.state()?);
            self.outputs.insert(source, output);
        }
        Ok(states)
    }

    fn both(&mut self, source: &str) -> Result<(&mut Places, &mut Output)> {
        match (&mut self.opened, self.outputs.get_mut(source)) {
            (Some(opened), Some(output)) => Ok((&mut opened.to, output)),
            _ => Err(unopened(source)),
        }
    }

    async fn begin(&mut self) -> Result<Committing> {
        let Some(Opened { to, .. }) = &mut self.opened else {
            return Ok(Box::pin(async { Ok(Vec::new()) }));
        };
        for (source, output) in &mut self.outputs {
            output.settle(to, source).await?;
        }
        for source in to.spool.aged() {
            if let Some(output) = self.outputs.get(&source) {
                output.seal(&mut to.spool, &source).await?;
            }
        }
        // As they are now, whatever is written meanwhile.
        let kept = |(source, output): (&Arc<str>, &Output)| {
            Ok((source.clone(), (output.run.clone(), output.table.clone(), output.schema()?)))
        };
        let mut kept: BTreeMap<_, _> = self.outputs.iter().map(kept).collect::<Result<_>>()?;
        let letters = to.letters.begin_commit().await?;
        let committing = to.spool.begin_commit().await?;
        Ok(Box::pin(async move {
            let letters = letters.await?;
            let mut states = Vec::new();
            for (source, log) in committing.await? {
                if let Some((run, table, schema)) = kept.remove(&source) {
                    let rejected = letters.of(&source);
                    states.push((source, Kept { run, table, log, schema, rejected }.state()?));
                }
            }
            Ok(states)
        }))
    }
}

impl Sink for BigQuery {
    fn definition(&self) -> String {
        let shape = match (&self.schemas, self.nested) {
            (Some(_), Nested::Text) => "columns",
            (Some(_), Nested::Json) => "columns, nested ones of JSON",
            (None, Nested::Text) => "a column for the record",
            (None, Nested::Json) => "a column of JSON for the record",
        };
        format!("bigquery, {}.{}.{}, {shape}", self.project, self.dataset, self.table)
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(Arc::new(FileStore::on(self.fs.clone(), self.dir.join(".headwater"))))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { only(self.open_outputs(&[opening]).await?) })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move { self.open_outputs(&openings).await })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (to, output) = self.both(source)?;
            output.write(to, source, batch).await
        })
    }

    fn is_full(&self) -> bool {
        self.opened.as_ref().is_some_and(|opened| opened.to.spool.is_full())
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let (to, output) = self.both(source)?;
            output.settle(to, source).await?;
            output.seal(&mut to.spool, source).await?;
            to.spool.finish(source)
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.begin())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        let kept = Kept::of(state).ok()?;
        let log = kept.log.emptied()?;
        let rejected = self.opened.as_ref()?.to.letters.emptied(&kept.rejected)?;
        Kept { log, rejected, ..kept }.state().ok()
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        Kept::of(state).is_ok_and(|kept| kept.log.is_settled())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.outputs.clear();
            let Some(Opened { mut to, .. }) = self.opened.take() else { return Ok(()) };
            // Both, behind a failure too: what is on its way holds the lease.
            let closed = to.spool.close().await;
            closed.and(to.letters.close().await)
        })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        let table = Kept::of(state).ok()?.table;
        Some(Table { project: self.project.clone(), dataset: self.dataset.clone(), table }.to_string())
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        Kept::of(state).map_or(0, |kept| kept.rejected.count())
    }
}
