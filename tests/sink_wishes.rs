//! What a sink may ask of the pipeline: to be told of the end of a source, to be committed when it is full, or at its own
//! pace, and to have its rejected records told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use headwater::checkpoint::{CheckpointStore, SinkState};
use headwater::prelude::*;
use headwater::records::Batch;
use headwater::sink::{Committing, Guarantee, Memory, Opening, Sink, SinkStates};
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
