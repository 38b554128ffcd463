//! CSV files, with columns from a schema.

mod encoder;
mod quoting;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use encoder::Rows;
use futures::future::{BoxFuture, try_join};
use serde::{Deserialize, Serialize};

use super::files::{Compression, Files, Partition};
use super::rejected::{DeadLetters, LettersState};
use super::{Committed, Committing, Guarantee, Opening, Sink, SinkStates, only, unopened};
use crate::checkpoint::{CheckpointStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs};
use crate::records::Batch;
use crate::schema::{Conformer, Rejected, Schemas};

/// Samples of all sources together hold so many bytes of pages; the source that reaches it ends its own.
const ALL_SAMPLES: usize = 64 * 1024 * 1024;

/// CSV in `{dir}/{source}_{run start}_{part}.csv`, each with a header, with columns that are declared or inferred over a sample.
///
/// Exactly once: a crash at any instant, then a rerun, leaves each record in the files once, or once among the rejected ones. The checkpoints
/// are kept in `{dir}/.headwater`, unless the pipeline is given another store; the rejected records in `{dir}/rejected`.
///
/// A file is in `{dir}/.partial` until it is finished, at the end of the source or when the next one begins. The next one
/// begins when a record has a new column, for the header of a file cannot change: so all rows of a file have the columns of
/// its header. See [`Schemas`] for where columns come from, and [`Contract`](crate::schema::Contract) for what happens to records
/// that do not fit.
///
/// A null is an empty field, and an empty string is `""`; [`null`](Self::null) says otherwise. What is nested is JSON text. Fields
/// are quoted by RFC 4180, lines end with a line feed, the encoding is UTF-8.
///
/// ```no_run
/// use headwater::schema::{Contract, Schemas};
/// use headwater::{Pipeline, sink::Csv};
///
/// let sink = Csv::dir("out").schemas(Schemas::inferred().contract(Contract::Reject)).guard_formulas();
/// let pipeline = Pipeline::new().sink(sink);
/// ```
#[derive(Debug)]
pub struct Csv {
    files: Files<Rows>,
    letters: DeadLetters,
    /// Sources with pages that are held for their sample.
    sampling: BTreeSet<Arc<str>>,
    held: usize,
}

/// What the checkpoint keeps: the state of the files, and that of the rejected records.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    files: SinkState,
    rejected: LettersState,
}

impl State {
    fn read(state: &SinkState) -> Result<Self> {
        State::deserialize(&state.0).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, "what the checkpoint says of the files cannot be read")
                .because(error)
        })
    }

    fn stored(self) -> Result<SinkState> {
        let unstored = |error| Error::new(ErrorKind::Sink, "the state cannot be stored").because(error);
        serde_json::to_value(self).map(SinkState).map_err(unstored)
    }
}

impl Csv {
    /// Writes into this folder, which is made if need be.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Writes on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        let letters = DeadLetters::on(fs.clone(), dir.join("rejected"));
        let mut files = Files::new(Rows::default(), fs, dir);
        // New columns ask for new files.
        files.layout.is_parts = true;
        Self { files, letters, sampling: BTreeSet::new(), held: 0 }
    }

    /// Says where the columns come from (default: [`Schemas::inferred`]).
    #[must_use]
    pub fn schemas(mut self, schemas: Schemas) -> Self {
        self.files.format.schemas = schemas;
        self
    }

    /// Separates fields by another byte than a comma: `b';'`, `b'\t'`, `b'|'`.
    #[must_use]
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.files.format.quoting.delimiter = delimiter;
        self
    }

    /// Writes nulls as this text, without quotes (default: nothing). A string of that text is quoted, so that they stay apart
    /// for a reader that minds the quotes, as databases do; for one that does not, choose a text that no string is: `\N`.
    #[must_use]
    pub fn null(mut self, text: impl Into<String>) -> Self {
        self.files.format.quoting.null = text.into();
        self
    }

    /// Ends lines with a carriage return and a line feed, as RFC 4180 says; the default is a line feed alone.
    #[must_use]
    pub fn crlf(mut self) -> Self {
        self.files.format.quoting.end = "\r\n";
        self
    }

    /// Puts an apostrophe before text that a spreadsheet would run as a formula: what begins with `=`, `+`, `-`, `@`, a tab or a
    /// line break, and is no number ([OWASP, CSV Injection](https://owasp.org/www-community/attacks/CSV_Injection)). Off by
    /// default, for it changes the text.
    #[must_use]
    pub fn guard_formulas(mut self) -> Self {
        self.files.format.quoting.guard = true;
        self
    }

    /// Appends the rows of a source to its file when so many bytes have gathered; see [`Jsonl::buffer`](super::Jsonl::buffer).
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.files.layout.buffer = Some(bytes);
        self
    }

    /// Finishes a file when it has so many bytes on the disk; see [`Jsonl::roll_at_bytes`](super::Jsonl::roll_at_bytes).
    #[must_use]
    pub fn roll_at_bytes(mut self, bytes: u64) -> Self {
        self.files.layout.limits.bytes = Some(bytes);
        self
    }

    /// Finishes a file when so many records went to it, those that were rejected included.
    #[must_use]
    pub fn roll_at_rows(mut self, rows: u64) -> Self {
        self.files.layout.limits.rows = Some(rows.max(1));
        self
    }

    /// Finishes a file when the next page of its source was fetched so much later than its first one.
    #[must_use]
    pub fn roll_after(mut self, age: Duration) -> Self {
        self.files.layout.limits.age = Some(age);
        self
    }

    /// Names the files by a template; see [`Jsonl::names`](super::Jsonl::names).
    #[must_use]
    pub fn names(mut self, template: &str) -> Self {
        self.files.layout.names = Some(template.to_owned());
        self
    }

    /// Puts the files into folders by what their records hold; see [`Jsonl::partition_by`](super::Jsonl::partition_by).
    #[must_use]
    pub fn partition_by(mut self, partition: Partition) -> Self {
        self.files.layout.partitions.push(partition);
        self
    }

    /// Compresses the files.
    #[must_use]
    pub fn compress(mut self, compression: Compression) -> Self {
        self.files.layout.compression = compression;
        self
    }

    async fn open_outputs(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        if !self.files.format.quoting.is_sound() {
            return Err(Error::config("the delimiter, or the text of a null, cannot be told from other text")
                .advice("choose an ASCII sign as the delimiter, and a null without it, quotes, line breaks and blanks at its ends"));
        }
        let mut before = Vec::with_capacity(openings.len());
        for opening in openings {
            self.sampling.remove(opening.source);
            before.push(match opening.committed {
                Committed::Nothing => None,
                Committed::Finished(state) => State::read(state).ok().map(|mut state| {
                    self.forget_other_columns(opening, &mut state.files);
                    state
                }),
                Committed::Unfinished(state) => Some(State::read(state)?),
            });
        }
        let mut files = Vec::with_capacity(openings.len());
        for (opening, state) in openings.iter().zip(&before) {
            let committed = match (opening.committed, state) {
                (Committed::Unfinished(_), Some(state)) => Committed::Unfinished(&state.files),
                (Committed::Finished(_), Some(state)) => Committed::Finished(&state.files),
                (committed, _) => committed,
            };
            files.push(Opening { committed, ..*opening });
        }
        let files = self.files.open_all(&files).await?;
        let known: Vec<_> =
            before.iter().map(|state| state.as_ref().map(|state| state.rejected.clone())).collect();
        let letters = self.letters.open_all(openings, &known).await?;
        let states = files.into_iter().zip(letters);
        states.map(|(files, rejected)| State { files, rejected }.stored()).collect()
    }

    /// Lets a run begin with other columns than the last one had, if they are declared otherwise now: its files are its own.
    fn forget_other_columns(&self, opening: &Opening<'_>, files: &mut SinkState) {
        let Some(format) = files.0.get_mut("format") else { return };
        let fits = |mut conformer: Conformer| conformer.follow(&encoder::read(format)?);
        let conformer = self.files.format.conformer(opening.source, opening.label);
        if conformer.and_then(fits).is_err() {
            *format = serde_json::Value::Null;
        }
    }

    async fn take(&mut self, source: &str, batch: &Batch) -> Result<()> {
        let conformer = &mut self.files.encoder(source).ok_or_else(|| unopened(source))?.conformer;
        if conformer.schema().is_some() {
            return self.write_rows(source, batch).await;
        }
        if batch.is_empty() {
            // There is nothing to hold, and the checkpoint has to know of the page all the same.
            return self.write_rows(source, batch).await;
        }
        let before = conformer.held_bytes();
        let is_complete = conformer.hold(batch);
        self.held += conformer.held_bytes() - before;
        self.sampling.insert(source.into());
        if is_complete || self.held >= ALL_SAMPLES {
            return self.settle(source).await;
        }
        Ok(())
    }

    /// Ends the sample of a source, and writes what was held.
    async fn settle(&mut self, source: &str) -> Result<()> {
        if !self.sampling.remove(source) {
            return Ok(());
        }
        let Some(encoder) = self.files.encoder(source) else { return Ok(()) };
        self.held = self.held.saturating_sub(encoder.conformer.held_bytes());
        let batches = encoder.conformer.end_sample();
        for batch in &batches {
            self.write_rows(source, batch).await?;
        }
        Ok(())
    }

    async fn write_rows(&mut self, source: &str, batch: &Batch) -> Result<()> {
        self.files.write(source, batch).await?;
        let Some(encoder) = self.files.encoder(source) else { return Ok(()) };
        let rejected = std::mem::take(&mut encoder.rejected);
        if rejected.is_empty() {
            return Ok(());
        }
        let with_text = |rejected: Rejected<'static>| Rejected {
            record: batch.slice(rejected.index).unwrap_or_default(),
            ..rejected
        };
        let rejected: Vec<Rejected<'_>> = rejected.into_iter().map(with_text).collect();
        self.letters.write(source, batch, &rejected).await
    }

    async fn begin(&mut self) -> Result<Committing> {
        for source in self.sampling.clone() {
            self.settle(&source).await?;
        }
        let letters = self.letters.begin_commit().await?;
        let files = self.files.begin_commit().await?;
        Ok(Box::pin(async move {
            let (letters, files) = try_join(letters, files).await?;
            let whole = |(source, files): (Arc<str>, SinkState)| {
                let rejected = letters.of(&source);
                Ok((source, State { files, rejected }.stored()?))
            };
            files.into_iter().map(whole).collect()
        }))
    }
}

impl Sink for Csv {
    fn definition(&self) -> String {
        let quoting::Quoting { delimiter, null, end, .. } = &self.files.format.quoting;
        format!("{}, {:?} {null:?} {end:?}", self.files.definition("csv"), char::from(*delimiter))
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(self.files.checkpoints())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        let State { files, rejected } = State::read(state).ok()?;
        let (files, rejected) = (self.files.emptied(&files)?, self.letters.emptied(&rejected)?);
        State { files, rejected }.stored().ok()
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { only(self.open_outputs(&[opening]).await?) })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move { self.open_outputs(&openings).await })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.take(source, batch))
    }

    fn is_full(&self) -> bool {
        self.files.is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.settle(source).await?;
            self.files.finish(source);
            Ok(())
        })
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        State::read(state).map_or(true, |state| self.files.is_settled(&state.files))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.begin())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.sampling.clear();
            self.held = 0;
            let letters = self.letters.close().await;
            self.files.close().await.and(letters)
        })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        self.files.location(&State::read(state).ok()?.files)
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        State::read(state).map_or(0, |state| state.rejected.count())
    }
}
