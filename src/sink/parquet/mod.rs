//! Parquet files: typed columns, made of a log when it has the rows of a file.
//!
//! A Parquet file is only whole with its footer, and cannot be gone on with behind a crash. So rows go to a log on the same disk first
//! (`sink/spool`), which is what a commit makes durable; when a segment of it has the size of a file, and the checkpoint that says so is
//! stored, a file is made of it beside the run, and gets its name when it is synced. A crash at any instant leaves the segment,
//! or the file, or both; never half a file under its name, and never a row twice.

mod columns;
mod convert;
mod encode;
mod opening;
mod rows;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use convert::{Converter, Known};
#[cfg(feature = "objects")]
pub(super) use encode::Encoder;
pub(super) use encode::Encoding;
use futures::future::{BoxFuture, try_join};
use opening::{State, look, tell};
use parquet::basic::ZstdLevel;
use serde_json::json;

use super::rejected::DeadLetters;
use super::spool::{self, Before, Spool, Taken, Wanted, failed};
use super::{Committed, Committing, Guarantee, Opening, Sink, SinkStates, only, unopened};
use crate::checkpoint::{CheckpointStore, FileStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, blocking};
use crate::records::Batch;
use crate::schema::{Conformer, Limits, SchemaState, Schemas};

/// So many files at once are made.
const AT_ONCE: usize = 2;

/// Parquet files, `{dir}/{source}_{run start}-{part}.parquet`.
///
/// The columns are those of [`Schemas`]: declared, or inferred over the first records, in
/// [types](crate::schema::ColumnType) that hold every value as it is. `__source` (text) and `__ingested_at` (a timestamp in
/// UTC) are columns too. A file has the columns that are known when it is made; later ones may have more, at their end, so readers
/// unite them by name: `read_parquet('out/*.parquet', union_by_name = true)` in DuckDB. A record that does not fit goes to
/// `{dir}/rejected`, with the reason.
///
/// Exactly once. A file appears when it is whole, some time behind its last row: at the end of the source, or when it has its
/// size. Until then its rows are in a log, `{dir}/.headwater/spool`, with the checkpoints beside it. A source without records
/// has no file.
///
/// A source that begins anew (`restart_on_expiry`) discards its log. It fails if a file's worth of it is sealed, for a
/// file that someone may have read is not taken back.
///
/// ```no_run
/// use headwater::{Pipeline, sink::Parquet};
/// let pipeline = Pipeline::new().sink(Parquet::dir("out"));
/// ```
#[derive(Debug)]
pub struct Parquet {
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    schemas: Schemas,
    limits: spool::Limits,
    encoding: Encoding,
    /// Made when the first source is opened.
    spool: Option<Spool>,
    letters: DeadLetters,
    outputs: BTreeMap<Arc<str>, Output>,
    known: Known,
    rows: Vec<u8>,
}

#[derive(Debug)]
struct Output {
    conformer: Conformer,
    /// Whether the next commit tells its state.
    is_touched: bool,
    is_finished: bool,
}

impl Parquet {
    /// Writes into this folder, which is made if need be.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Writes on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            letters: DeadLetters::on(fs.clone(), dir.join("rejected")),
            dir,
            fs,
            schemas: Schemas::inferred(),
            limits: spool::Limits { bytes: 128 * 1024 * 1024, rows: u64::MAX, age: Duration::MAX },
            encoding: Encoding::default(),
            spool: None,
            outputs: BTreeMap::new(),
            known: Known::default(),
            rows: Vec::new(),
        }
    }

    /// Takes the columns from these, and the contract for what does not fit (default: inferred, and they grow).
    #[must_use]
    pub fn schemas(mut self, schemas: Schemas) -> Self {
        self.schemas = schemas;
        self
    }

    /// Ends a file behind so many bytes of rows (default: 128 MiB), as they are in the log: about as much as they are in
    /// JSON without their keys. The file is smaller, by as much as zstd makes it.
    #[must_use]
    pub fn roll_at_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes.max(1);
        self
    }

    /// Ends a file behind so many rows, and the rest of their page up to 65,536 cells (default: no bound).
    #[must_use]
    pub fn roll_at_rows(mut self, rows: u64) -> Self {
        self.limits.rows = rows.max(1);
        self
    }

    /// Ends a file, at the commit of a page of its source, when its first row has waited so long in this process (default: never).
    #[must_use]
    pub fn roll_after(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// Ends a row group when it takes so many bytes of memory (default: 64 MiB). Up to two files are made at once.
    #[must_use]
    pub fn row_group_bytes(mut self, bytes: usize) -> Self {
        self.encoding.row_group = bytes.max(1);
        self
    }

    /// Compresses with this level of zstd, 1 to 22 (default: 3).
    #[must_use]
    pub fn compression_level(mut self, level: i32) -> Self {
        self.encoding.level = ZstdLevel::try_new(level.clamp(1, 22)).unwrap_or_default();
        self
    }

    async fn open_outputs(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        let Some(first) = openings.first() else { return Ok(Vec::new()) };
        let of = |opening: &Opening<'_>, error: Error| {
            error.at(|context| context.source = Some(opening.source.into()))
        };
        let mut outputs = Vec::with_capacity(openings.len());
        let mut wanted = Vec::with_capacity(openings.len());
        let mut letters = Vec::with_capacity(openings.len());
        for opening in openings {
            let known = match opening.committed {
                Committed::Nothing => None,
                Committed::Finished(state) | Committed::Unfinished(state) => {
                    Some(State::read(state).map_err(|error| of(opening, error))?)
                }
            };
            let mut conformer =
                Conformer::new(&self.schemas, opening.source, opening.label, Limits::default())?;
            let before = match (opening.committed, &known) {
                (Committed::Unfinished(_), Some(known)) => {
                    conformer.resume(&known.schema)?;
                    Before::Unfinished(Box::new(known.log.clone()))
                }
                (_, Some(known)) => {
                    conformer.follow(&known.schema)?;
                    Before::Finished
                }
                (_, None) => Before::Nothing,
            };
            wanted.push(Wanted { source: opening.source.into(), label: opening.label.into(), before });
            letters.push(known.map(|known| known.letters));
            outputs.push(Output { conformer, is_touched: false, is_finished: false });
        }
        let taken = self.look(&wanted, first.lease.term()).await?;
        let spool = self.spool.get_or_insert_with(|| {
            let (fs, known, encoding) = (self.fs.clone(), self.known.clone(), self.encoding);
            let converter = Converter { fs, dir: self.dir.as_path().into(), known, encoding };
            let log = self.dir.join(".headwater").join("spool");
            Spool::new(self.fs.clone(), log, self.limits, AT_ONCE, Arc::new(converter))
        });
        let logs = spool.open_all(wanted, taken, first.started_at, first.lease).await?;
        let letters = self.letters.open_all(openings, &letters).await?;
        let mut states = Vec::with_capacity(logs.len());
        for (((opening, mut output), log), letters) in openings.iter().zip(outputs).zip(logs).zip(letters) {
            output.is_finished = log.is_finished();
            tell(&self.known, opening.source, &output.conformer);
            let schema = output.conformer.state()?;
            states.push(State { log, schema, letters }.told()?);
            self.outputs.insert(opening.source.into(), output);
        }
        Ok(states)
    }

    /// Looks what is in the folder, and removes what is half made.
    async fn look(&self, wanted: &[Wanted], term: u64) -> Result<Taken> {
        let dir = self.dir.clone();
        let sources: Vec<Arc<str>> = wanted.iter().map(|one| one.source.clone()).collect();
        let look = move |fs: &dyn Fs| look(fs, &dir, &sources, term);
        let looked = blocking(&self.fs, look).await;
        looked.unwrap_or_else(|error| Err(failed(&self.dir, "cannot be listed", error)))
    }

    /// Takes a page, or what is held of a sample.
    async fn take(&mut self, source: &str, batch: Option<&Batch>) -> Result<()> {
        let (Some(output), Some(spool)) = (self.outputs.get_mut(source), self.spool.as_mut()) else {
            return Err(unopened(source));
        };
        let mut chunks = match batch {
            Some(batch) => output.conformer.write(batch),
            None => output.conformer.settle(),
        };
        while let Some(chunk) = chunks.next_chunk()? {
            self.rows.clear();
            for row in chunk.rows() {
                if !rows::append(row, &mut self.rows) {
                    let what = "a record is larger than 4 GiB";
                    return Err(Error::new(ErrorKind::Sink, what));
                }
            }
            self.letters.write(source, chunk.batch(), chunk.rejected()).await?;
            let columns = chunk.schema().len();
            if !chunk.added().is_empty() {
                let known = Arc::new(chunk.schema().clone());
                self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(source.into(), known);
            }
            if spool.write(source, &self.rows, chunk.len() as u64).await? {
                spool.seal(source, json!({ "columns": columns })).await?;
            }
        }
        // A large page is no reason to keep its buffer.
        self.rows.shrink_to(4 * 1024 * 1024);
        Ok(())
    }

    async fn seal(&mut self, source: &str) -> Result<()> {
        let (Some(output), Some(spool)) = (self.outputs.get(source), self.spool.as_mut()) else {
            return Err(unopened(source));
        };
        let columns = output.conformer.schema().map_or(0, crate::schema::Schema::len);
        spool.seal(source, json!({ "columns": columns })).await
    }

    async fn begin(&mut self) -> Result<Committing> {
        let touched = self.outputs.iter().filter(|(_, output)| output.is_touched);
        let touched: Vec<Arc<str>> = touched.map(|(source, _)| source.clone()).collect();
        for source in &touched {
            self.take(source, None).await?;
        }
        let aged = self.spool.as_ref().map(Spool::aged).unwrap_or_default();
        for source in aged {
            self.seal(&source).await?;
        }
        let Some(spool) = self.spool.as_mut() else { return Ok(Box::pin(async { Ok(Vec::new()) })) };
        let mut schemas: BTreeMap<Arc<str>, SchemaState> = BTreeMap::new();
        for (source, output) in &mut self.outputs {
            if output.is_touched || output.is_finished {
                output.is_touched = false;
                schemas.insert(source.clone(), output.conformer.state()?);
            }
        }
        let letters = self.letters.begin_commit().await?;
        let logs = spool.begin_commit().await?;
        Ok(Box::pin(async move {
            let (letters, logs) = try_join(letters, logs).await?;
            let mut states = Vec::with_capacity(logs.len());
            for (source, log) in logs {
                let Some(schema) = schemas.remove(&source) else { continue };
                let letters = letters.of(&source);
                states.push((source, State { log, schema, letters }.told()?));
            }
            Ok(states)
        }))
    }
}

impl Sink for Parquet {
    fn definition(&self) -> String {
        "parquet, files for each source".into()
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
            let (Some(output), Some(spool)) = (self.outputs.get_mut(source), self.spool.as_mut()) else {
                return Err(unopened(source));
            };
            output.is_touched = true;
            // The page may be held, or empty: the commit tells of it all the same.
            spool.write(source, &[], 0).await?;
            self.take(source, Some(batch)).await
        })
    }

    fn is_full(&self) -> bool {
        self.spool.as_ref().is_some_and(Spool::is_full)
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.take(source, None).await?;
            self.seal(source).await?;
            let (Some(output), Some(spool)) = (self.outputs.get_mut(source), self.spool.as_mut()) else {
                return Err(unopened(source));
            };
            (output.is_touched, output.is_finished) = (true, true);
            spool.finish(source)
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.begin())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        let State { log, schema, letters } = State::read(state).ok()?;
        let (log, letters) = (log.emptied()?, self.letters.emptied(&letters)?);
        State { log, schema, letters }.told().ok()
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        // What cannot be read is said when it is opened.
        State::read(state).map_or(true, |state| state.log.is_settled())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            let letters = self.letters.close().await;
            let closed = match self.spool.as_mut() {
                Some(spool) => spool.close().await,
                None => Ok(()),
            };
            self.outputs.clear();
            self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
            closed.and(letters)
        })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        let state = State::read(state).ok()?;
        Some(self.dir.join(format!("{}-*.parquet", state.log.stem)).display().to_string())
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        State::read(state).map_or(0, |state| state.letters.count())
    }
}
