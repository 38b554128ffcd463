//! How the sources of a run and its sink share the time, for one source and for several.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use headwater::checkpoint::{CheckpointStore, SinkState};
use headwater::error::ErrorKind;
use headwater::prelude::*;
use headwater::records::Batch;
use headwater::sink::{Guarantee, Memory, Opening, Sink, SinkStates};
use headwater::transport::{Response, Transport};
use tokio::time::Instant;

const PAGES: u64 = 10;
const TAKES: Duration = Duration::from_millis(50);

/// Answers after a while with a page of one record, and panics at one of them if it is told to.
struct Slow {
    panics_at: Option<u64>,
}

impl Transport for Slow {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        Box::pin(async {
            let page = request.url().query_pairs().find(|(name, _)| name == "page");
            let page: u64 = page.map_or(1, |(_, number)| number.parse().unwrap());
            tokio::time::sleep(TAKES).await;
            assert_ne!(self.panics_at, Some(page), "told to");
            Ok(Response {
                status: http::StatusCode::OK,
                headers: http::HeaderMap::new(),
                body: format!(r#"{{"data":[{{"id":{page}}}],"more":{}}}"#, page < PAGES).into(),
                received_at: SystemTime::UNIX_EPOCH,
            })
        })
    }
}

fn source(number: usize, panics_at: Option<u64>) -> Source {
    Source::get(format!("source_{number}"), "https://api.example.com/items")
        .records("data")
        .paginate(PageNumber::new().until_false("more"))
        .transport(Slow { panics_at })
        .build()
        .unwrap()
}

/// Takes its time for every page, or for every commit.
#[derive(Debug)]
struct SlowSink {
    memory: Memory,
    write: Duration,
    commit: Duration,
}

impl Sink for SlowSink {
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
        self.memory.open(opening)
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            tokio::time::sleep(self.write).await;
            self.memory.write(source, batch).await
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async move {
            tokio::time::sleep(self.commit).await;
            self.memory.commit().await
        })
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        self.memory.close()
    }
}

/// How long a run takes in which each page costs so much, in the time that a page takes to come.
async fn steps(sources: usize, write: u32, commit: u32) -> u32 {
    let memory = Memory::new();
    let sink = SlowSink { memory: memory.clone(), write: write * TAKES, commit: commit * TAKES };
    let every = if commit == 0 { Duration::from_secs(3_600) } else { Duration::from_millis(1) };
    let mut pipeline = Pipeline::new().sink(sink).commit_every(every);
    for number in 0..sources {
        pipeline = pipeline.source(source(number, None));
    }
    let start = Instant::now();
    pipeline.run().await.unwrap();
    let lines = memory.lines("source_0");
    assert_eq!(lines.len() as u64, PAGES);
    assert!(lines.iter().zip(1..).all(|(line, id)| line.starts_with(&format!("{{\"id\":{id},"))));
    u32::try_from(start.elapsed().as_millis() / TAKES.as_millis()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_next_page_comes_while_a_slow_sink_takes_the_last() {
    // One step for the first page, and one for each that is written.
    assert_eq!(steps(1, 1, 0).await, 11);
    assert_eq!(steps(3, 1, 0).await, 31);
    // A sink that takes nothing adds nothing.
    assert_eq!(steps(1, 0, 0).await, 10);
    assert_eq!(steps(3, 0, 0).await, 10);
}

#[tokio::test(start_paused = true)]
async fn the_next_page_comes_while_a_slow_sink_commits() {
    assert_eq!(steps(1, 0, 1).await, 11);
}

#[tokio::test]
async fn a_source_that_panics_is_a_failure_of_its_own() {
    for sources in [1, 3] {
        let memory = Memory::new();
        let mut pipeline = Pipeline::new().sink(memory.clone());
        for number in 0..sources {
            pipeline = pipeline.source(source(number, (number == 0).then_some(3)));
        }
        let failure = pipeline.run().await.unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::Truncated, "{failure}");
        let committed = |number: usize| memory.lines(&format!("source_{number}")).len() as u64;
        assert_eq!(committed(0), 2, "what came before is committed");
        assert!((1..sources).all(|number| committed(number) == PAGES));
    }
}
