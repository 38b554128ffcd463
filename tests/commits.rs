//! Commits that go on while pages are written: what they take in, what is noted of them, and what waits for them.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use futures::future::BoxFuture;
use headwater::checkpoint::{Checkpoint, CheckpointStore, Lease, SinkState};
use headwater::error::{Error, ErrorKind};
use headwater::exchange::{Verdict, When};
use headwater::pipeline::{Event, Outcome};
use headwater::prelude::*;
use headwater::records::Batch;
use headwater::sink::{Committing, Guarantee, Memory, Opening, Sink, SinkStates};
use headwater::testing::{Reply, Scripted};
use headwater::{Report, RunError, Shutdown};
use tokio::time::Instant;

/// What a page takes to come.
const TAKES: Duration = Duration::from_millis(50);

/// A sink whose commits take a while. It sees to it that nothing but `write` is called meanwhile.
#[derive(Debug, Clone)]
struct Behind {
    memory: Memory,
    seen: Arc<Mutex<Seen>>,
    takes: Duration,
    /// Which commit fails, and which write, counted from 1.
    fails: (u64, u64),
}

#[derive(Debug, Default)]
struct Seen {
    is_committing: bool,
    commits: u64,
    writes: u64,
    /// How many of them came while a commit was on its way.
    beside: u64,
}

impl Behind {
    fn new(takes: Duration) -> Self {
        Self { memory: Memory::new(), seen: Arc::default(), takes, fails: (0, 0) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn free(&self, call: &str) -> MutexGuard<'_, Seen> {
        let seen = self.seen();
        assert!(!seen.is_committing, "{call} while a commit is on its way");
        seen
    }

    fn checkpoint(&self, source: &str) -> Checkpoint {
        let store = self.memory.checkpoints().unwrap();
        store.load(source).now_or_never().unwrap().unwrap().unwrap()
    }

    /// As many records as are told lie before the place where a rerun would go on.
    fn assert_is_whole(&self, source: &str) {
        let checkpoint = self.checkpoint(source);
        let all = self.memory.lines(source);
        let mut lengths = all.iter().scan(0, |length, line| {
            *length += line.len() as u64 + 1;
            Some(*length)
        });
        let told = usize::try_from(checkpoint.records).unwrap();
        let length = if told == 0 { Some(0) } else { lengths.nth(told - 1) };
        assert_eq!(checkpoint.sink.0.as_u64(), length, "{source}: {checkpoint:?}");
    }
}

fn broken() -> Error {
    Error::new(ErrorKind::Sink, "told to fail")
}

impl Sink for Behind {
    fn definition(&self) -> String {
        self.memory.definition()
    }

    fn guarantee(&self) -> Guarantee {
        self.memory.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.memory.checkpoints()
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        drop(self.free("open"));
        self.memory.open(opening)
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let number = {
                let mut seen = self.seen();
                seen.writes += 1;
                seen.beside += u64::from(seen.is_committing);
                seen.writes
            };
            if number == self.fails.1 { Err(broken()) } else { self.memory.write(source, batch).await }
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(async {
            let number = {
                let mut seen = self.free("begin_commit");
                seen.is_committing = true;
                seen.commits += 1;
                seen.commits
            };
            let states = self.memory.commit().await?;
            let (seen, takes, fails) = (self.seen.clone(), self.takes, number == self.fails.0);
            Ok(Box::pin(async move {
                tokio::time::sleep(takes).await;
                seen.lock().unwrap().is_committing = false;
                if fails { Err(broken()) } else { Ok(states) }
            }) as Committing)
        })
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        self.memory.emptied(state)
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        drop(self.free("close"));
        self.memory.close()
    }
}

/// Pages of one record, one after the other; the `expired` th answer says that the list is another one now.
fn source(name: &str, pages: u64, expired: u64) -> Source {
    let api = Scripted::from_fn(move |request, number| {
        let page = request.url().query_pairs().find(|(name, _)| name == "page");
        let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
        let more = page < pages;
        if number == expired {
            return Reply::status(410).delay(TAKES);
        }
        Reply::json(format!(r#"{{"data":[{{"id":{page}}}],"more":{more}}}"#)).delay(TAKES)
    });
    Source::get(name, "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .rule(When::status(410).means(Verdict::Expired))
        .restart_on_expiry()
        .transport(api)
        .build()
        .unwrap()
}

fn pipeline(sink: &Behind, sources: impl IntoIterator<Item = Source>) -> Pipeline {
    let pipeline = Pipeline::new().sources(sources).sink(sink.clone());
    pipeline.commit_every(Duration::from_millis(1)).started_at(SystemTime::UNIX_EPOCH)
}

fn report(failure: RunError) -> Report {
    *failure.report.expect("it began")
}

#[tokio::test(start_paused = true)]
async fn pages_are_written_while_a_commit_is_on_its_way_and_belong_to_the_next() {
    for sources in [1, 3] {
        let sink = Behind::new(3 * TAKES);
        let names: Vec<String> = (0..sources).map(|number| format!("s{number}")).collect();
        let (looking, all) = (sink.clone(), names.clone());
        let committed = Arc::new(Mutex::new(Vec::new()));
        let noted = committed.clone();
        let start = Instant::now();
        let run = pipeline(&sink, names.iter().map(|name| source(name, 10, 0)));
        let report = run.observe(move |event| {
            if let Event::Committed = event {
                all.iter().for_each(|name| looking.assert_is_whole(name));
                noted.lock().unwrap().push(looking.checkpoint("s0").records);
            }
        });
        let report = report.run().await.unwrap();
        assert_eq!(report.records(), 10 * sources);
        let noted = committed.lock().unwrap().clone();
        assert!((4..=5).contains(&noted.len()), "the first page, each three steps, the rest: {noted:?}");
        assert_eq!((noted[0], noted.last()), (1, Some(&10)));
        // Ten steps for the pages, and three for each of the last two commits.
        assert!(start.elapsed() <= 17 * TAKES, "{:?}", start.elapsed());
        assert!(sink.seen().beside >= 8 * sources, "{:?}", sink.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_ends_the_run_and_what_it_took_in_does_not_count() {
    // The source has ended when the commit fails; the second is the last one of the run.
    for (fails, records) in [(1, 0), (2, 1)] {
        let sink = Behind { fails: (fails, 0), ..Behind::new(10 * TAKES) };
        let failure = pipeline(&sink, [source("s0", 3, 0)]).run().await.unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Sink, "{failure}");
        let report = report(failure);
        let told = report.source("s0").unwrap();
        assert_eq!((told.outcome, told.records, told.pages), (Outcome::Stopped, records, records));
        assert_eq!(report.outcome, Outcome::Failed);
        assert_eq!(sink.checkpoint("s0").records, records);
        let report = pipeline(&Behind { fails: (0, 0), ..sink.clone() }, [source("s0", 3, 0)]).run();
        assert_eq!(report.await.unwrap().records(), 3);
        assert_eq!(sink.memory.lines("s0").len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_ends_the_run_while_pages_still_come() {
    let sink = Behind { fails: (2, 0), ..Behind::new(3 * TAKES) };
    let start = Instant::now();
    let failure = pipeline(&sink, [source("s0", 1_000, 0), source("s1", 1_000, 0)]).run().await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Sink, "{failure}");
    assert!(start.elapsed() <= 9 * TAKES, "{:?}", start.elapsed());
    assert_eq!(report(failure).source("s0").unwrap().records, sink.checkpoint("s0").records);
    assert_eq!(sink.checkpoint("s0").records, 1);
}

#[tokio::test(start_paused = true)]
async fn where_a_write_fails_the_commit_on_its_way_still_counts() {
    let sink = Behind { fails: (0, 3), ..Behind::new(5 * TAKES) };
    let failure = pipeline(&sink, [source("s0", 10, 0)]).run().await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Sink, "{failure}");
    // What was written behind its beginning is not committed any more.
    assert_eq!(sink.seen().commits, 1);
    assert_eq!((report(failure).records(), sink.checkpoint("s0").records), (1, 1));
    let again = Behind { fails: (0, 0), ..sink.clone() };
    assert_eq!(pipeline(&again, [source("s0", 10, 0)]).run().await.unwrap().records(), 10);
    assert_eq!(sink.memory.lines("s0").len(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_output_is_not_opened_again_while_a_commit_is_on_its_way() {
    for takes in 1..12 {
        let sink = Behind::new(takes * TAKES);
        let sources = [source("s0", 10, 4), source("s1", 10, 0)];
        let report = pipeline(&sink, sources).run().await.unwrap();
        assert_eq!(report.source("s0").unwrap().records, 10);
        for name in ["s0", "s1"] {
            let lines = sink.memory.lines(name);
            let ids = (1..=10).map(|id| format!("{{\"id\":{id},"));
            assert!(lines.len() == 10 && lines.iter().zip(ids).all(|(line, id)| line.starts_with(&id)));
            sink.assert_is_whole(name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gentle_stop_commits_what_was_written_beside_a_commit_and_a_stop_at_once_waits_for_none() {
    for at_once in [false, true] {
        let (sink, shutdown) = (Behind::new(100 * TAKES), Shutdown::new());
        let run = tokio::spawn(pipeline(&sink, [source("s0", 1_000, 0)]).shutdown(shutdown.clone()).run());
        tokio::time::sleep(4 * TAKES + TAKES / 2).await;
        if at_once {
            shutdown.at_once()
        } else {
            shutdown.finish_pages()
        }
        let start = Instant::now();
        let failure = run.await.unwrap().unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Stopped, "{failure}");
        let (records, waited) = (report(failure).records(), start.elapsed());
        if at_once {
            assert_eq!((records, waited), (0, Duration::ZERO));
        } else {
            assert_eq!(records, 5, "the page on its way is the last");
            assert!(waited > 150 * TAKES, "for the rest of one commit, and for another: {waited:?}");
        }
        assert_eq!(sink.checkpoint("s0").records, records);
    }
}

#[tokio::test(start_paused = true)]
async fn where_nothing_was_written_since_nothing_is_committed() {
    // A commit is long over when the next page comes.
    let sink = Behind::new(TAKES / 10);
    pipeline(&sink, [source("s0", 4, 0)]).run().await.unwrap();
    assert_eq!(sink.seen().commits, 4);
    // And there is none for pages that came beside the last one, once they are committed.
    let sink = Behind::new(20 * TAKES);
    pipeline(&sink, [source("s0", 4, 0)]).run().await.unwrap();
    assert_eq!(sink.seen().commits, 2);
}

/// A sink that keeps its checkpoints in the transaction of its rows, and knows nothing of commits that go on behind.
#[derive(Debug, Clone, Default)]
struct Transacted {
    memory: Memory,
    store: Option<Arc<dyn CheckpointStore>>,
    /// Whether the rows are ready to be stored, and the checkpoints are not there yet.
    is_waiting: Arc<AtomicBool>,
    stored: Arc<AtomicU64>,
}

impl Sink for Transacted {
    fn definition(&self) -> String {
        self.memory.definition()
    }

    fn guarantee(&self) -> Guarantee {
        self.memory.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(Arc::new(Self { store: self.memory.checkpoints(), ..self.clone() }))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        self.memory.open(opening)
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        assert!(!self.is_waiting.load(SeqCst), "rows that the checkpoints do not know");
        self.memory.write(source, batch)
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        self.is_waiting.store(true, SeqCst);
        self.memory.commit()
    }
}

impl CheckpointStore for Transacted {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        self.store.as_ref().unwrap().lock()
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        self.store.as_ref().unwrap().load(source)
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            tokio::time::sleep(3 * TAKES).await;
            self.stored.fetch_add(1, SeqCst);
            self.is_waiting.store(false, SeqCst);
            self.store.as_ref().unwrap().save(lease, checkpoints).await
        })
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_between_a_commit_that_is_made_at_once_and_its_checkpoints() {
    for sources in [&["s0"][..], &["s0", "s1", "s2"]] {
        let sink = Transacted::default();
        let run = Pipeline::new().sources(sources.iter().map(|name| source(name, 10, 0))).sink(sink.clone());
        let run = run.commit_every(Duration::from_millis(1)).started_at(SystemTime::UNIX_EPOCH).run();
        assert_eq!(run.await.unwrap().records(), 10 * sources.len() as u64);
        assert!(sink.stored.load(SeqCst) > 3, "once when it begins, and on the way: {sink:?}");
    }
}
