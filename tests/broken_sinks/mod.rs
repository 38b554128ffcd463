//! A sink that is right, and can be made wrong in one way.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, ready};
use headwater::Annotator;
use headwater::checkpoint::{Checkpoint, CheckpointStore, Lease, MemoryStore, SinkState};
use headwater::prelude::*;
use headwater::sink::{Committed, Committing, Guarantee, Opening, Sink, SinkStates};
use headwater::testing::sink_suite::Place;
use serde_json::json;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    ForgetsTheStateOfOneSource,
    KeepsWhatWasNotCommitted,
    KeepsOneUncommittedRecord,
    LosesTheLastPage,
    GivesTheStateOfTheCommitBefore,
    GivesTheStateOfTheEndOfACommit,
    MixesSources,
    DropsEmptyBatches,
    IsDurableOnlyWhenClosed,
    DiscardsNothingWhenBegunAnew,
    LetsTwoIn,
    ParsesNumbers,
    WritesRecordsAsTheyStand,
    LosesLargeRecords,
    StatesGrow,
    OpensInAnotherOrder,
    EmptiesTheOthersWhenOneIsOpened,
    FailsToCommitNothing,
    ChangesItsDefinition,
    EndsBeforeItsCommit,
    ForgetsThatASourceWasFinished,
}

pub(crate) const FAULTS: [Fault; 21] = [
    Fault::ForgetsTheStateOfOneSource,
    Fault::KeepsWhatWasNotCommitted,
    Fault::KeepsOneUncommittedRecord,
    Fault::LosesTheLastPage,
    Fault::GivesTheStateOfTheCommitBefore,
    Fault::GivesTheStateOfTheEndOfACommit,
    Fault::MixesSources,
    Fault::DropsEmptyBatches,
    Fault::IsDurableOnlyWhenClosed,
    Fault::DiscardsNothingWhenBegunAnew,
    Fault::LetsTwoIn,
    Fault::ParsesNumbers,
    Fault::WritesRecordsAsTheyStand,
    Fault::LosesLargeRecords,
    Fault::StatesGrow,
    Fault::OpensInAnotherOrder,
    Fault::EmptiesTheOthersWhenOneIsOpened,
    Fault::FailsToCommitNothing,
    Fault::ChangesItsDefinition,
    Fault::EndsBeforeItsCommit,
    Fault::ForgetsThatASourceWasFinished,
];

type Lines = BTreeMap<String, Vec<String>>;

/// A place of lines, which outlives its sinks.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    fault: Fault,
    lines: Arc<Mutex<Lines>>,
    store: MemoryStore,
}

#[derive(Debug)]
pub(crate) struct ShelfSink {
    shelf: Shelf,
    annotators: BTreeMap<String, Annotator>,
    /// Where each output begins, for its state, and how often it was committed.
    opened: BTreeMap<String, (usize, u64)>,
    touched: Vec<String>,
    before: BTreeMap<String, usize>,
    unwritten: Vec<(String, String)>,
}

impl Shelf {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, lines: Arc::default(), store: MemoryStore::new() }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn key(&self, source: &str) -> String {
        if self.has(Fault::MixesSources) { source.replace(['.', '-'], "_") } else { source.to_owned() }
    }

    fn length(&self, source: &str) -> usize {
        self.lines.lock().unwrap().get(&self.key(source)).map_or(0, Vec::len)
    }
}

impl Place for Shelf {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(ShelfSink {
            shelf: self.clone(),
            annotators: BTreeMap::new(),
            opened: BTreeMap::new(),
            touched: Vec::new(),
            before: BTreeMap::new(),
            unwritten: Vec::new(),
        })
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let lines = self.lines.lock().unwrap().get(&self.key(source)).cloned().unwrap_or_default();
        Box::pin(ready(Ok(lines)))
    }
}

impl ShelfSink {
    fn state(&self, source: &str) -> SinkState {
        let shelf = &self.shelf;
        let (begin, commits) = self.opened.get(source).copied().unwrap_or_default();
        let length = match shelf.fault {
            Fault::GivesTheStateOfTheCommitBefore => self.before.get(source).copied().unwrap_or(begin),
            _ => shelf.length(source),
        };
        let history = if shelf.has(Fault::StatesGrow) { vec![length; 60 * commits as usize] } else { vec![] };
        SinkState(json!({"begin": begin, "length": length, "history": history}))
    }

    fn open_one(&mut self, opening: &Opening<'_>) -> SinkState {
        let fault = self.shelf.fault;
        let mut lines = self.shelf.lines.lock().unwrap();
        if fault == Fault::EmptiesTheOthersWhenOneIsOpened {
            lines.retain(|source, _| *source == opening.source);
        }
        let own = lines.entry(self.shelf.key(opening.source)).or_default();
        let number = |state: &SinkState, name: &str| state.0[name].as_u64().unwrap_or(0) as usize;
        let (begin, mut length) = match opening.committed {
            Committed::Unfinished(state) => (number(state, "begin"), number(state, "length")),
            // Its records stay, and those of this run come behind them.
            Committed::Finished(_) if fault == Fault::ForgetsThatASourceWasFinished => (0, own.len().min(1)),
            Committed::Finished(state) => (number(state, "length"), number(state, "length")),
            _ => (0, 0),
        };
        match fault {
            Fault::KeepsWhatWasNotCommitted => length = own.len(),
            Fault::KeepsOneUncommittedRecord => length += 1,
            Fault::EndsBeforeItsCommit if own.last().is_some_and(|line| line == "the end") => {
                own.pop();
                length = own.len();
            }
            _ => {}
        }
        own.truncate(length);
        drop(lines);
        self.opened.insert(opening.source.to_owned(), (begin, 0));
        self.before.insert(opening.source.to_owned(), length);
        self.annotators.insert(opening.source.to_owned(), Annotator::new(opening.label));
        self.state(opening.source)
    }

    /// The lines of a page, as they are put on the shelf.
    fn lines_of(&mut self, source: &str, batch: &Batch) -> Vec<String> {
        let mut text = Vec::new();
        if let Some(annotator) = self.annotators.get_mut(source) {
            annotator.append_batch(batch, &mut text);
        }
        let lines = String::from_utf8(text).unwrap();
        let lines = lines.lines().map(str::to_owned);
        match self.shelf.fault {
            Fault::ParsesNumbers => lines
                .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap().to_string())
                .collect(),
            Fault::WritesRecordsAsTheyStand => batch
                .slices()
                .flat_map(|record| {
                    String::from_utf8_lossy(record).lines().map(str::to_owned).collect::<Vec<_>>()
                })
                .collect(),
            Fault::LosesLargeRecords => lines.filter(|line| line.len() < 65_536).collect(),
            _ => lines.collect(),
        }
    }

    fn put(&self, source: &str, lines: Vec<String>) {
        self.shelf.lines.lock().unwrap().entry(self.shelf.key(source)).or_default().extend(lines);
    }

    fn states(&mut self) -> Result<SinkStates> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort();
        touched.dedup();
        if touched.is_empty() && self.shelf.has(Fault::FailsToCommitNothing) {
            return Err(Error::new(ErrorKind::Sink, "there is nothing to commit"));
        }
        if touched.len() > 1 && self.shelf.has(Fault::ForgetsTheStateOfOneSource) {
            touched.pop();
        }
        let mut states = Vec::new();
        for source in touched {
            if let Some((_, commits)) = self.opened.get_mut(&source) {
                *commits += 1;
            }
            states.push((source.as_str().into(), self.state(&source)));
            self.before.insert(source.clone(), self.shelf.length(&source));
        }
        Ok(states)
    }
}

impl Sink for ShelfSink {
    fn definition(&self) -> String {
        if self.shelf.has(Fault::ChangesItsDefinition) {
            return format!("a shelf at {self:p}");
        }
        "a shelf".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        match self.shelf.fault {
            Fault::LetsTwoIn => Some(Arc::new(Unlocked(self.shelf.store.clone()))),
            _ => Some(Arc::new(self.shelf.store.clone())),
        }
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(ready(Ok(self.open_one(&opening))))
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        let mut states: Vec<SinkState> = openings.iter().map(|opening| self.open_one(opening)).collect();
        if self.shelf.has(Fault::OpensInAnotherOrder) {
            states.reverse();
        }
        Box::pin(ready(Ok(states)))
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        let lines = self.lines_of(source, batch);
        if !(lines.is_empty() && self.shelf.has(Fault::DropsEmptyBatches)) {
            self.touched.push(source.to_owned());
        }
        match self.shelf.fault {
            Fault::IsDurableOnlyWhenClosed => {
                self.unwritten.extend(lines.into_iter().map(|line| (source.to_owned(), line)));
            }
            Fault::LosesTheLastPage if batch.is_last() => {}
            _ => self.put(source, lines),
        }
        Box::pin(ready(Ok(())))
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        if self.shelf.has(Fault::EndsBeforeItsCommit) {
            self.put(source, vec!["the end".into()]);
        }
        Box::pin(ready(Ok(())))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        let states = self.states();
        let late = self.shelf.has(Fault::GivesTheStateOfTheEndOfACommit);
        let (shelf, opened) = (self.shelf.clone(), self.opened.clone());
        Box::pin(async move {
            let mut states = states?;
            Ok(Box::pin(async move {
                // As if a disk were at work.
                tokio::task::yield_now().await;
                for (source, state) in states.iter_mut().filter(|_| late) {
                    let begin = opened.get(&**source).map_or(0, |(begin, _)| *begin);
                    *state = SinkState(json!({"begin": begin, "length": shelf.length(source)}));
                }
                Ok(states)
            }) as Committing)
        })
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        if self.shelf.has(Fault::DiscardsNothingWhenBegunAnew) {
            return Some(state.clone());
        }
        let mut emptied = state.clone();
        emptied.0["length"] = emptied.0["begin"].clone();
        Some(emptied)
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        for (source, line) in std::mem::take(&mut self.unwritten) {
            self.put(&source, vec![line]);
        }
        for own in self
            .shelf
            .lines
            .lock()
            .unwrap()
            .values_mut()
            .filter(|_| self.shelf.has(Fault::EndsBeforeItsCommit))
        {
            own.retain(|line| line != "the end");
        }
        Box::pin(ready(Ok(())))
    }
}

/// Checkpoints that anybody may write.
#[derive(Debug)]
struct Unlocked(MemoryStore);

impl CheckpointStore for Unlocked {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(ready(Ok(Lease::new(()))))
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        self.0.load(source)
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        self.0.save(lease, checkpoints)
    }
}
