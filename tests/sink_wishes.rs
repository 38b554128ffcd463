//! What a sink may ask of the pipeline: to be told of the end of a source, to be committed when it is full, or at its own
//! pace, to have its rejected records told, and to be given the commits that it needs to settle a source.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use headwater::checkpoint::{CheckpointStore, SinkState};
use headwater::error::{Error, ErrorKind};
use headwater::pipeline::Outcome;
use headwater::prelude::*;
use headwater::records::Batch;
use headwater::sink::{Committed, Committing, Guarantee, Memory, Opening, Sink, SinkStates};
use headwater::testing::{Reply, Scripted};

/// What a page takes to come.
const TAKES: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq)]
enum Call {
    Write(String),
    Finish(String),
    Commit,
    Durable,
}

/// A sink with wishes, which notes how it is called.
#[derive(Debug, Clone)]
struct Wishing {
    memory: Memory,
    calls: Arc<Mutex<Vec<Call>>>,
    /// So many pages fill it.
    holds: usize,
    every: Option<Duration>,
    commit_takes: Duration,
}

impl Wishing {
    fn new() -> Self {
        let (memory, calls) = (Memory::new(), Arc::default());
        Self { memory, calls, holds: usize::MAX, every: None, commit_takes: Duration::ZERO }
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// Pages that are not durable.
    fn waiting(&self) -> usize {
        let (mut waiting, mut taken_in) = (0, 0);
        for call in self.calls() {
            match call {
                Call::Write(_) => waiting += 1,
                Call::Commit => taken_in = waiting,
                Call::Durable => waiting -= std::mem::take(&mut taken_in),
                Call::Finish(_) => {}
            }
        }
        waiting
    }
}

impl Sink for Wishing {
    fn definition(&self) -> String {
        self.memory.definition()
    }

    fn guarantee(&self) -> Guarantee {
        self.memory.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.memory.checkpoints()
    }

    fn commit_every(&self) -> Option<Duration> {
        self.every
    }

    fn is_full(&self) -> bool {
        self.waiting() >= self.holds
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        self.memory.open(opening)
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        assert!(!self.is_full(), "written to while it is full");
        self.note(Call::Write(source.into()));
        self.memory.write(source, batch)
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        self.note(Call::Finish(source.into()));
        Box::pin(async { Ok(()) })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(async {
            self.note(Call::Commit);
            let states = self.memory.commit().await?;
            let noting = self.clone();
            Ok(Box::pin(async move {
                tokio::time::sleep(noting.commit_takes).await;
                noting.note(Call::Durable);
                Ok(states)
            }) as Committing)
        })
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        // As if every tenth byte were a record that does not fit.
        state.0.as_u64().unwrap_or(0) / 10
    }
}

/// Pages of one record.
fn source(name: &str, pages: u64) -> Source {
    let api = Scripted::from_fn(move |_, number| {
        Reply::json(format!(r#"{{"data":[{{"id":{number}}}],"more":{}}}"#, number < pages)).delay(TAKES)
    });
    Source::get(name, "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(api)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_sink_learns_of_the_end_of_a_source_before_the_commit_of_its_last_page() {
    let sink = Wishing { every: Some(Duration::from_secs(3600)), ..Wishing::new() };
    Pipeline::new().sources([source("long", 4), source("short", 2)]).sink(sink.clone()).run().await.unwrap();
    let calls = sink.calls();
    for (name, pages) in [("long", 4), ("short", 2)] {
        let own = |call: &&Call| matches!(call, Call::Write(of) | Call::Finish(of) if of == name);
        let own: Vec<&Call> = calls.iter().filter(own).collect();
        assert_eq!(own.len(), pages + 1, "{calls:?}");
        assert_eq!(own[pages], &Call::Finish(name.into()));
    }
    // Directly behind its last page: a commit that has the page has the end.
    let end = calls.iter().position(|call| *call == Call::Finish("short".into())).unwrap();
    assert_eq!(calls[end - 1], Call::Write("short".into()));
    assert!(calls.ends_with(&[Call::Finish("long".into()), Call::Commit, Call::Durable]), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_sink_is_committed_before_more_is_written() {
    for commit_takes in [Duration::ZERO, 4 * TAKES] {
        let sink =
            Wishing { holds: 3, commit_takes, every: Some(Duration::from_secs(3600)), ..Wishing::new() };
        let run = Pipeline::new().sources([source("a", 10), source("b", 5)]).sink(sink.clone()).run();
        assert_eq!(run.await.unwrap().records(), 15);
        let commits = sink.calls().iter().filter(|call| **call == Call::Commit).count();
        assert_eq!(commits, 5, "{:?}", sink.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn the_pace_of_the_sink_is_used_unless_the_pipeline_is_told_another() {
    for (told, commits) in [(None, 3), (Some(10 * TAKES), 2), (Some(2 * TAKES), 6)] {
        let sink = Wishing { every: Some(5 * TAKES), ..Wishing::new() };
        let pipeline = Pipeline::new().source(source("a", 12)).sink(sink.clone());
        match told {
            None => pipeline.run().await.unwrap(),
            Some(told) => pipeline.commit_every(told).run().await.unwrap(),
        };
        let seen = sink.calls().iter().filter(|call| **call == Call::Commit).count();
        assert!(seen.abs_diff(commits) <= 1, "told {told:?}: {seen} commits of {commits}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_is_told_beside_what_was_written() {
    let sink = Wishing::new();
    let report = Pipeline::new().source(source("a", 10)).sink(sink.clone()).run().await.unwrap();
    let bytes: usize = sink.memory.lines("a").iter().map(|line| line.len() + 1).sum();
    let told = report.source("a").unwrap();
    assert_eq!((told.records, told.rejected), (10, bytes as u64 / 10));
    assert_eq!(told.written, 0);
    assert!(report.to_string().contains(&format!("a: {} records were rejected, 0 written", bytes / 10)));
}

/// A sink that needs some commits more when the last page is committed. Its states say how many are left.
#[derive(Debug, Clone)]
struct Settling {
    memory: Memory,
    needs: u64,
    /// Which commit fails, counted from 1, and how many there were.
    fails: u64,
    commits: u64,
    left: BTreeMap<String, Left>,
}

#[derive(Debug, Clone)]
struct Left {
    is_finished: bool,
    commits: u64,
    state: SinkState,
}

impl Settling {
    fn new(needs: u64) -> Self {
        Self { memory: Memory::new(), needs, fails: 0, commits: 0, left: BTreeMap::new() }
    }

    /// As after a crash: the memory is the place.
    fn again(&self) -> Self {
        Self { memory: self.memory.clone(), ..Self::new(self.needs) }
    }
}

fn with(left: u64, inner: &SinkState) -> SinkState {
    SinkState(serde_json::json!({ "left": left, "inner": inner.0 }))
}

fn left(state: &SinkState) -> u64 {
    state.0["left"].as_u64().unwrap()
}

impl Sink for Settling {
    fn definition(&self) -> String {
        self.memory.definition()
    }

    fn guarantee(&self) -> Guarantee {
        self.memory.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.memory.checkpoints()
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        left(state) == 0
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move {
            let source = opening.source.to_owned();
            let commits = match opening.committed {
                Committed::Unfinished(state) => left(state),
                _ => self.needs,
            };
            let inner = match opening.committed {
                Committed::Unfinished(state) => Some(SinkState(state.0["inner"].clone())),
                _ => None,
            };
            let committed = match (&inner, opening.committed) {
                (Some(state), _) => Committed::Unfinished(state),
                (None, other) => other,
            };
            let mut own = opening;
            own.committed = committed;
            let state = self.memory.open(own).await?;
            // What is left is known to be left only of a source that was finished.
            let is_finished = inner.is_some() && commits < self.needs;
            self.left.insert(source, Left { is_finished, commits, state: state.clone() });
            Ok(with(commits, &state))
        })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        self.memory.write(source, batch)
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        self.left.get_mut(source).unwrap().is_finished = true;
        Box::pin(async { Ok(()) })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async {
            self.commits += 1;
            if self.commits == self.fails {
                return Err(Error::new(ErrorKind::Sink, "told to fail"));
            }
            for (source, state) in self.memory.commit().await? {
                self.left.get_mut(&*source).unwrap().state = state;
            }
            let states = self.left.iter_mut().map(|(source, left)| {
                if left.is_finished && self.needs < STUCK {
                    left.commits = left.commits.saturating_sub(1);
                }
                (source.as_str().into(), with(left.commits, &left.state))
            });
            Ok(states.collect())
        })
    }
}

const STUCK: u64 = 100;

#[tokio::test(start_paused = true)]
async fn a_source_is_finished_when_its_sink_has_nothing_left_to_do_for_it() {
    // The commit of the last page is the first of those that are needed.
    let sink = Settling::new(3);
    let run = |sink: Settling| {
        let pipeline = Pipeline::new().sources([source("a", 4), source("b", 2)]).sink(sink);
        pipeline.commit_every(Duration::from_secs(3600)).run()
    };
    let report = run(sink.clone()).await.unwrap();
    assert_eq!(report.outcome, Outcome::Finished);
    assert_eq!(sink.memory.lines("a").len() + sink.memory.lines("b").len(), 6);
    let store = sink.memory.checkpoints().unwrap();
    for name in ["a", "b"] {
        assert_eq!(left(&store.load(name).await.unwrap().unwrap().sink), 0);
    }
    // All pages are committed, and the commit behind that fails: the run is not over, and no page comes again.
    for fails in [2, 3] {
        let sink = Settling { fails, ..Settling::new(3) };
        let error = run(sink.clone()).await.unwrap_err();
        let told = error.report.unwrap();
        assert_eq!(told.source("a").unwrap().outcome, Outcome::Stopped, "{fails}");
        assert_eq!(told.source("a").unwrap().records, 4, "{fails}");
        let report = run(sink.again()).await.unwrap();
        assert_eq!((report.run.as_str(), report.outcome), (told.run.as_str(), Outcome::Finished));
        assert_eq!(report.source("a").unwrap().counts.requests, 0, "{fails}");
        assert_eq!(sink.memory.lines("a").len() + sink.memory.lines("b").len(), 6);
        // And then the next one is a new one.
        assert_ne!(run(sink.again()).await.unwrap().run, told.run);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_never_settles_is_an_error_and_no_endless_run() {
    let error = Pipeline::new().source(source("a", 2)).sink(Settling::new(STUCK)).run().await.unwrap_err();
    assert_eq!(error.error.kind(), ErrorKind::Sink);
    assert!(error.to_string().contains("something left to do"), "{error}");
}
