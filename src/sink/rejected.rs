//! Dead letters: the records that did not fit, as they came, with the reason.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, ready};
use serde::{Deserialize, Serialize};

use super::{Committed, Jsonl, Opening, Sink};
use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs};
use crate::page::Page;
use crate::records::Batch;
use crate::schema::Rejected;

/// The rejected records of a typed sink, in `{dir}/{source}_{run start}.jsonl`: a part of that sink, which opens, commits and closes
/// it with itself, and keeps its state in its own.
///
/// A line has the record as a string, byte for byte what came, and says why and from where:
///
/// ```json
/// {"record":"{\"id\": 1e400}","reason":"it is no whole number of 64 bits","column":"id","position":"page number 2","page":2,
///  "__source":"invoices","__ingested_at":"2026-05-17T10:00:00Z"}
/// ```
///
/// Exactly once, as the records that did fit: what was written behind the last commit is cut off when the run goes on. The
/// file is made when the first record is rejected.
#[derive(Debug)]
pub struct DeadLetters {
    files: Jsonl,
    states: Arc<Mutex<BTreeMap<Arc<str>, LettersState>>>,
    /// How many were written of each source, committed or not.
    counts: BTreeMap<Arc<str>, u64>,
    touched: bool,
}

/// What a typed sink keeps of its dead letters in its own state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LettersState {
    count: u64,
    file: SinkState,
}

impl LettersState {
    /// How many records of the run were rejected.
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The states behind a commit.
#[derive(Debug, Clone)]
pub struct Letters {
    states: Arc<Mutex<BTreeMap<Arc<str>, LettersState>>>,
}

impl Letters {
    /// The state of a source that is open.
    pub fn of(&self, source: &str) -> LettersState {
        locked(&self.states).get(source).cloned().unwrap_or_default()
    }
}

/// A commit of dead letters that was begun.
pub type CommittingLetters = BoxFuture<'static, Result<Letters>>;

/// A line of the file, without what is added to each record.
#[derive(Serialize)]
struct Letter<'a> {
    record: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<&'a str>,
    position: &'a str,
    page: u64,
}

/// What is written of the records of a batch that were rejected.
pub(super) fn letters(batch: &Batch, rejected: &[Rejected<'_>]) -> Result<Batch> {
    let position = batch.page().position.to_string();
    let letters: Vec<Letter<'_>> = rejected
        .iter()
        .map(|rejected| Letter {
            // A record is a slice of a page, which is UTF-8.
            record: std::str::from_utf8(rejected.record).unwrap_or_default(),
            reason: &rejected.reason,
            column: rejected.column.as_deref(),
            position: &position,
            page: batch.page().number,
        })
        .collect();
    let unwritten = |error| Error::new(ErrorKind::Sink, "a rejected record cannot be written").because(error);
    let lines = serde_json::to_vec(&letters).map_err(unwritten)?;
    let mut page = Page::new(lines, batch.page().number, batch.page().position.clone(), None)?;
    page.fetched_at = batch.fetched_at();
    Batch::new(page, "")
}

fn locked<T>(states: &Mutex<T>) -> MutexGuard<'_, T> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DeadLetters {
    /// Writes into this folder, which is made if need be.
    pub fn dir(dir: impl Into<PathBuf>) -> Self {
        Self::on(Arc::new(Disk), dir)
    }

    /// Writes on another file system.
    pub fn on(fs: Arc<dyn Fs>, dir: impl Into<PathBuf>) -> Self {
        let (states, counts) = (Arc::default(), BTreeMap::new());
        Self { files: Jsonl::on(fs, dir), states, counts, touched: false }
    }

    /// Opens the files of these sources, and discards what was written after the states that the sink has kept, which come in
    /// the same order.
    ///
    /// # Errors
    /// As for [`Sink::open`].
    pub async fn open_all(
        &mut self,
        openings: &[Opening<'_>],
        before: &[Option<LettersState>],
    ) -> Result<Vec<LettersState>> {
        let known = before.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let openings: Vec<(Opening<'_>, u64)> = openings
            .iter()
            .zip(known)
            .map(|(opening, known)| {
                let (committed, count) = match (opening.committed, known) {
                    (Committed::Finished(_), Some(known)) => (Committed::Finished(&known.file), 0),
                    (Committed::Unfinished(_), Some(known)) => {
                        (Committed::Unfinished(&known.file), known.count)
                    }
                    _ => (Committed::Nothing, 0),
                };
                (Opening { committed, ..*opening }, count)
            })
            .collect();
        let files = self.files.open_all(openings.iter().map(|(opening, _)| *opening).collect()).await?;
        let mut opened = Vec::with_capacity(files.len());
        for ((opening, count), file) in openings.iter().zip(files) {
            let state = LettersState { count: *count, file };
            locked(&self.states).insert(opening.source.into(), state.clone());
            self.counts.insert(opening.source.into(), *count);
            opened.push(state);
        }
        Ok(opened)
    }

    /// Takes records of a batch that were rejected.
    ///
    /// # Errors
    /// `Sink`, as for [`Sink::write`].
    pub async fn write(&mut self, source: &str, batch: &Batch, rejected: &[Rejected<'_>]) -> Result<()> {
        if rejected.is_empty() {
            return Ok(());
        }
        self.files.write(source, &letters(batch, rejected)?).await?;
        *self.counts.entry(source.into()).or_default() += rejected.len() as u64;
        self.touched = true;
        Ok(())
    }

    /// Begins to make durable what was written until now, as [`Sink::begin_commit`] does. The sink's own commit must
    /// resolve behind it.
    ///
    /// # Errors
    /// `Sink`, now or from what it gives.
    pub async fn begin_commit(&mut self) -> Result<CommittingLetters> {
        let states = self.states.clone();
        if !std::mem::take(&mut self.touched) {
            return Ok(Box::pin(ready(Ok(Letters { states }))));
        }
        let counts = self.counts.clone();
        let committing = self.files.begin_commit().await?;
        Ok(Box::pin(async move {
            let committed = committing.await?;
            {
                let mut states = locked(&states);
                for (source, file) in committed {
                    let count = counts.get(&source).copied().unwrap_or_default();
                    states.insert(source, LettersState { count, file });
                }
            }
            Ok(Letters { states })
        }))
    }

    /// Makes durable what was written until now.
    ///
    /// # Errors
    /// `Sink`, as for [`Sink::commit`].
    pub async fn commit(&mut self) -> Result<Letters> {
        self.begin_commit().await?.await
    }

    /// The state with nothing in it, in the place of one that is open, as [`Sink::emptied`] gives it.
    pub fn emptied(&self, state: &LettersState) -> Option<LettersState> {
        self.files.emptied(&state.file).map(|file| LettersState { count: 0, file })
    }

    /// Gives up what is held.
    ///
    /// # Errors
    /// `Sink`, as for [`Sink::close`].
    pub async fn close(&mut self) -> Result<()> {
        locked(&self.states).clear();
        self.counts.clear();
        self.touched = false;
        self.files.close().await
    }

    /// Where the rejected records of a source are.
    pub fn location(&self, state: &LettersState) -> Option<String> {
        self.files.location(&state.file)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::Value;

    use super::*;
    use crate::checkpoint::{CheckpointStore, FileStore};
    use crate::request::Position;

    fn rejected(record: &str) -> Rejected<'_> {
        let (reason, column) = ("it is no number".into(), Some("id".into()));
        Rejected { record: record.as_bytes(), reason, column, index: 0 }
    }

    fn batch() -> Batch {
        let mut page = Page::new("[]", 3, Position::Offset(200), None).unwrap();
        page.fetched_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_779_012_000);
        Batch::new(page, "").unwrap()
    }

    #[tokio::test]
    async fn a_letter_is_there_once_with_the_bytes_that_came() {
        let dir = tempfile::tempdir().unwrap();
        let lease = FileStore::new(dir.path().join(".headwater")).lock().await.unwrap();
        let opening = |committed| {
            let started_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_779_012_000);
            [Opening { source: "s", label: "whole", started_at, committed, lease: &lease }]
        };
        let odd = "{ \"id\":\t\"a\\u0000\\ud800é\" }";
        let mut letters = DeadLetters::dir(dir.path());
        let first = letters.open_all(&opening(Committed::Nothing), &[None]).await.unwrap();
        assert_eq!(first[0].count(), 0);
        letters.write("s", &batch(), &[rejected(odd)]).await.unwrap();
        let committed = letters.commit().await.unwrap().of("s");
        assert_eq!(committed.count(), 1);
        // Behind the commit, and lost with the process.
        letters.write("s", &batch(), &[rejected("2"), rejected("3")]).await.unwrap();
        letters.begin_commit().await.unwrap().await.unwrap();
        letters.close().await.unwrap();

        let kept = serde_json::from_str(&serde_json::to_string(&committed).unwrap()).unwrap();
        let mut again = DeadLetters::dir(dir.path());
        let sink = SinkState::default();
        let opened = again.open_all(&opening(Committed::Unfinished(&sink)), &[Some(kept)]).await.unwrap();
        assert_eq!(opened[0].count(), 1);
        again.write("s", &batch(), &[rejected("4")]).await.unwrap();
        let state = again.commit().await.unwrap().of("s");
        assert_eq!(state.count(), 2);
        let text = std::fs::read_to_string(again.location(&state).unwrap()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        let expected = serde_json::json!({
            "record": odd, "reason": "it is no number", "column": "id",
            "position": Position::Offset(200).to_string(), "page": 3,
            "__source": "whole", "__ingested_at": "2026-05-17T10:00:00Z",
        });
        assert_eq!(lines[0], expected);
        assert_eq!(lines[1]["record"], "4");
        assert_eq!(again.emptied(&state).unwrap().count(), 0);
    }
}
