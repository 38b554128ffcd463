//! One stream into several sinks, with one checkpoint.

mod broken_sinks;
mod ledger;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broken_sinks::{Fault, Shelf};
use futures::future::{BoxFuture, ready};
use headwater::checkpoint::{CheckpointStore, SinkState};
use headwater::prelude::*;
use headwater::sink::{Committing, Guarantee, Memory, Opening, Sink, SinkStates, Tee};
use headwater::testing::sink_suite::{self, Place};
use headwater::testing::{Reply, Scripted};
use ledger::Ledger;

/// Reads the records of a source back.
type Read<'a> = Box<dyn Fn(&str) -> Vec<String> + Sync + 'a>;

/// Several places that have to have the same.
struct All<'a> {
    sink: Box<dyn Fn() -> Tee + Sync + 'a>,
    read: Vec<Read<'a>>,
}

impl Place for All<'_> {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new((self.sink)())
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let mut read: Vec<Vec<String>> = self.read.iter().map(|read| read(source)).collect();
        let first = read.remove(0);
        let same = read.iter().all(|other| *other == first);
        let what = || format!("one sink has {} records, the others {read:?}", first.len());
        Box::pin(ready(if same { Ok(first.clone()) } else { Err(Error::new(ErrorKind::Sink, what())) }))
    }
}

fn read(shelf: &Shelf) -> Read<'_> {
    Box::new(|source| futures::executor::block_on(shelf.committed(source)).unwrap())
}

#[tokio::test]
async fn two_sinks_have_the_same_whatever_happens() {
    let (one, other) = (Shelf::new(Fault::Nothing), Shelf::new(Fault::Nothing));
    let sink = Box::new(|| Tee::new(one.sink(), other.sink()));
    sink_suite::run(&All { sink, read: vec![read(&one), read(&other)] }).await;
}

#[tokio::test]
async fn a_database_among_them_is_exactly_once_by_its_own_checkpoints() {
    let (shelf, ledger, memory) = (Shelf::new(Fault::Nothing), Ledger::default(), Shelf::new(Fault::Nothing));
    let sink = Box::new(|| Tee::new(shelf.sink(), ledger.sink()).and(memory.sink()));
    let rows: Read<'_> = Box::new(|source| ledger.rows(source));
    // Nothing can be discarded of a ledger, so all of it says that nothing can.
    let place = All { sink, read: vec![read(&shelf), rows, read(&memory)] };
    let broken = sink_suite::check(&place).await;
    // Given another store, the ledger is at least once, and the tee says so; then the sinks may differ.
    let broken: Vec<_> = broken.iter().filter(|broken| !broken.what.contains("one sink has")).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[tokio::test]
async fn a_tee_that_is_wrong_in_one_of_its_sinks_is_found() {
    for fault in
        [Fault::KeepsWhatWasNotCommitted, Fault::LosesTheLastPage, Fault::GivesTheStateOfTheEndOfACommit]
    {
        let (one, other) = (Shelf::new(Fault::Nothing), Shelf::new(fault));
        let sink = Box::new(|| Tee::new(one.sink(), other.sink()));
        let broken = sink_suite::check(&All { sink, read: vec![read(&one), read(&other)] }).await;
        assert!(!broken.is_empty(), "{fault:?} is not seen");
    }
}

/// A memory whose commits take their time, and say when they are durable.
#[derive(Debug, Clone)]
struct Slow {
    memory: Memory,
    calls: Arc<Mutex<Vec<&'static str>>>,
    takes: Duration,
    every: Option<Duration>,
    fails_to_close: bool,
}

impl Slow {
    fn new(calls: &Arc<Mutex<Vec<&'static str>>>, takes: u64) -> Self {
        let (memory, takes) = (Memory::new(), Duration::from_millis(takes));
        Self { memory, calls: calls.clone(), takes, every: None, fails_to_close: false }
    }
}

impl Sink for Slow {
    fn definition(&self) -> String {
        "slow".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.memory.checkpoints()
    }

    fn commit_every(&self) -> Option<Duration> {
        self.every
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        self.memory.open(opening)
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        self.calls.lock().unwrap().push("write");
        self.memory.write(source, batch)
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(async {
            let states = self.memory.commit().await?;
            let (calls, takes) = (self.calls.clone(), self.takes);
            Ok(Box::pin(async move {
                tokio::time::sleep(takes).await;
                calls.lock().unwrap().push("durable");
                Ok(states)
            }) as Committing)
        })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        self.calls.lock().unwrap().push("close");
        let failed = Error::new(ErrorKind::Sink, "it does not close");
        Box::pin(ready(if self.fails_to_close { Err(failed) } else { Ok(()) }))
    }

    fn rejected(&self, _: &SinkState) -> u64 {
        self.takes.as_millis() as u64
    }
}

fn source(pages: u64) -> Source {
    let api = Scripted::from_fn(move |_, number| {
        Reply::json(format!(r#"{{"data":[{{"id":{number}}}],"more":{}}}"#, number < pages))
            .delay(Duration::from_millis(40))
    });
    Source::get("s", "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(api)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_transaction_is_committed_when_all_others_are_durable_and_ends_with_the_checkpoint() {
    let ledger = Ledger::default();
    let slow = Slow::new(&ledger.calls, 100);
    let tee = Tee::new(slow.clone(), ledger.sink());
    let report = Pipeline::new()
        .source(source(6))
        .sink(tee)
        .commit_every(Duration::from_millis(90))
        .run()
        .await
        .unwrap();
    assert_eq!((report.records(), report.guarantee), (6, Guarantee::ExactlyOnce));
    let calls = ledger.calls.lock().unwrap().clone();
    let commits: Vec<&[&str]> = calls.split(|call| *call == "stored").collect();
    assert!(commits.len() > 3, "{calls:?}");
    // The first checkpoint is stored before there is a commit.
    for commit in &commits[1..commits.len() - 1] {
        assert!(commit.ends_with(&["durable", "transaction"]), "{calls:?}");
    }
    assert_eq!(ledger.rows("s"), slow.memory.lines("s"));
}

#[tokio::test(start_paused = true)]
async fn sinks_without_transactions_are_committed_at_the_same_time_and_written_to_meanwhile() {
    let calls = Arc::default();
    let [one, other] = [Slow::new(&calls, 100), Slow::new(&calls, 100)];
    let began = tokio::time::Instant::now();
    let tee = Tee::new(one, other);
    let run = Pipeline::new().source(source(4)).sink(tee).commit_every(Duration::from_millis(90)).run();
    run.await.unwrap();
    let calls: Vec<&str> = calls.lock().unwrap().clone();
    let first = calls.iter().position(|call| *call == "durable").unwrap();
    assert!(calls[..first].len() >= 6, "pages were written beside the commit: {calls:?}");
    assert!(
        began.elapsed() < Duration::from_millis(4 * 40 + 3 * 100 + 50),
        "{:?}: one behind the other",
        began.elapsed()
    );
}

#[tokio::test]
async fn all_are_closed_behind_a_failure_and_the_weakest_counts() {
    let calls = Arc::default();
    let failing = Slow { fails_to_close: true, ..Slow::new(&calls, 3) };
    let tee = Tee::new(failing, Slow { every: Some(Duration::from_secs(60)), ..Slow::new(&calls, 7) });
    assert_eq!(tee.commit_every(), Some(Duration::from_secs(1)), "one of them has the usual pace");
    let error = Pipeline::new().source(source(1)).sink(tee).run().await.unwrap_err();
    assert!(error.error.to_string().contains("it does not close"), "{}", error.error);
    assert_eq!(calls.lock().unwrap().iter().filter(|call| **call == "close").count(), 2);
    assert_eq!(error.report.unwrap().source("s").unwrap().rejected, 7, "of the sink that rejected most");
    // The second one's store is not used, and it says what that means.
    let (first, second) = (Ledger::default(), Ledger::default());
    let tee = Tee::new(first.sink(), second.sink());
    let report = Pipeline::new().source(source(2)).sink(tee).run().await.unwrap();
    assert_eq!(report.guarantee, Guarantee::AtLeastOnce);
    assert_eq!((first.rows("s").len(), second.rows("s").len()), (2, 2));
}
