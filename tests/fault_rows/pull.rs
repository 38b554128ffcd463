//! One pull by the public combinators, and what it cost.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use futures::StreamExt;
use headwater::error::{Error, ErrorKind};
use headwater::prelude::*;
use headwater::transport::HttpBuilder;
use headwater::{Annotator, Counts};

use super::table::{CAP, Table, Want, want};
use crate::MEMORY;
use crate::fault_server::{Reply, Server};

/// A page of three records that is the last one.
pub(crate) const PAGE: &str = r#"{"data":[{"id":1},{"id":2},{"id":3}]}"#;
/// How often a page is asked for that never comes.
pub(crate) const ATTEMPTS: usize = 4;
pub(crate) const ONE_PAGE: &str = "1 page, 3 records";

/// What a pull does, with its defaults.
pub(crate) struct Pull {
    pages: Box<dyn FnOnce(Http) -> Pages>,
    http: Option<HttpBuilder>,
    attempts: usize,
    limiter: Limiter,
}

/// What has come of it.
pub(crate) struct Pulled {
    /// "1 page, 3 records", or the kind of the error.
    pub(crate) outcome: String,
    /// The error as it is shown.
    pub(crate) text: String,
    pub(crate) records: Vec<String>,
    /// The records as the JSONL sink would write them.
    pub(crate) lines: String,
    pub(crate) counts: Counts,
    /// Bytes of memory above those at its start, at most.
    pub(crate) peak: usize,
    pub(crate) took: Duration,
}

/// The memory in use, once what the last line has left behind is gone: a dropped server or connection is a task
/// that ends when it is next looked at. The peak starts from here.
pub(crate) async fn memory_at_rest() -> usize {
    let mut last = usize::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(3)).await;
        MEMORY.reset_peak_usage();
        let now = MEMORY.current_usage();
        if now == last {
            return now;
        }
        last = now;
    }
}

/// The client's settings in every line that does not say otherwise.
pub(crate) fn client() -> HttpBuilder {
    Http::builder()
        .max_page_bytes(CAP)
        .no_proxy()
        .connect_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_secs(20))
        .timeout(Duration::from_secs(60))
}

fn shared_client() -> Http {
    static CLIENT: OnceLock<Http> = OnceLock::new();
    CLIENT.get_or_init(|| client().build().expect("a client")).clone()
}

impl Pull {
    /// By cursor, from this URL, without credentials.
    pub(crate) fn get(url: impl Into<String>) -> Self {
        let url = url.into();
        Self::with(move |http| {
            Pages::new(http, Request::get(url).expect("a URL"), Cursor::body("next").missing_ends())
        })
    }

    pub(crate) fn with(pages: impl FnOnce(Http) -> Pages + 'static) -> Self {
        Self { pages: Box::new(pages), http: None, attempts: ATTEMPTS, limiter: Limiter::unlimited() }
    }

    pub(crate) fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// With a client of its own.
    pub(crate) fn client(mut self, change: impl FnOnce(HttpBuilder) -> HttpBuilder) -> Self {
        self.http = Some(change(client()));
        self
    }

    pub(crate) async fn run(self) -> Pulled {
        let http = self.http.map_or_else(shared_client, |http| http.build().expect("a client"));
        let policy = RetryPolicy::exponential()
            .base(Duration::from_millis(2))
            .max_attempts(self.attempts as u32)
            .budget(1.0, 1000);
        let pages = (self.pages)(http);
        let meter = pages.meter();
        let before = memory_at_rest().await;
        let start = Instant::now();
        let mut batches = pages.rate_limit(self.limiter).retry(policy).batches("data");
        let (mut count, mut records, mut lines) = (0, Vec::new(), Vec::new());
        let mut annotator = Annotator::new("s");
        let mut error = None;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    count += 1;
                    records.extend(batch.records());
                    annotator.append_batch(&batch, &mut lines);
                }
                Err(failure) => error = Some(failure),
            }
        }
        let took = start.elapsed();
        let peak = MEMORY.peak_usage().saturating_sub(before);
        let records: Vec<String> = records.iter().map(|record| record.as_str().to_owned()).collect();
        let lines = String::from_utf8(lines).expect("lines are UTF-8");
        let pulled = Pulled::of_run(error, count, records.len(), meter.counts(), peak, took);
        Pulled { records, lines, ..pulled }
    }
}

impl Pulled {
    /// An outcome that has cost nothing.
    pub(crate) fn shown(outcome: &str) -> Self {
        let nothing = Self::of_run(None, 0, 0, Counts::default(), 0, Duration::ZERO);
        Self { outcome: outcome.to_owned(), ..nothing }
    }

    /// What a run of this many pages and records, or its error, is as a line.
    pub(crate) fn of_run(
        error: Option<Error>,
        pages: usize,
        records: usize,
        counts: Counts,
        peak: usize,
        took: Duration,
    ) -> Self {
        let plural =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let delivered = format!("{}, {}", plural(pages, "page"), plural(records, "record"));
        let outcome = match &error {
            None => delivered,
            Some(error) if pages == 0 => format!("{:?}", error.kind()),
            Some(error) => format!("{:?} after {delivered}", error.kind()),
        };
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        Self { outcome, text, records: Vec::new(), lines: String::new(), counts, peak, took }
    }
}

/// A fault that passes, and the same fault that does not.
///
/// The server recovers with the third answer: the page comes, and nothing of what was there before counts. It never
/// recovers: a typed error after the last attempt. `bytes` are those of one faulty answer.
pub(crate) async fn retried(
    table: &mut Table,
    row: u8,
    fault: &str,
    kind: ErrorKind,
    bytes: u64,
    reply: impl Fn() -> Reply + Clone + Send + Sync + 'static,
) {
    for recovers in [true, false] {
        let reply = reply.clone();
        let server =
            Server::start(move |ask| if recovers && ask.nth == 3 { Reply::json(PAGE) } else { reply() });
        let server = server.await;
        let pulled = Pull::get(server.url("/")).run().await;
        let (what, want) = if recovers {
            (format!("{fault}; twice"), want(ONE_PAGE, 3).bytes(2 * bytes + PAGE.len() as u64))
        } else {
            let want = want(format!("{kind:?}"), ATTEMPTS).bytes(ATTEMPTS as u64 * bytes);
            (fault.to_owned(), want.says(&["gave up after 4 attempts"]))
        };
        table.line(row, &what, &server, &pulled, want);
    }
}

/// A fault that is worth one more request, and no more.
pub(crate) async fn once_more(
    table: &mut Table,
    row: u8,
    fault: &str,
    kind: ErrorKind,
    bytes: u64,
    reply: impl Fn() -> Reply + Clone + Send + Sync + 'static,
) {
    for recovers in [true, false] {
        let reply = reply.clone();
        let server =
            Server::start(move |ask| if recovers && ask.nth == 2 { Reply::json(PAGE) } else { reply() });
        let server = server.await;
        let pulled = Pull::get(server.url("/")).run().await;
        let (what, want) = if recovers {
            (format!("{fault}; once"), want(ONE_PAGE, 2).bytes(bytes + PAGE.len() as u64))
        } else {
            let want = want(format!("{kind:?}"), 2).bytes(2 * bytes);
            (fault.to_owned(), want.says(&["gave up after 2 attempts"]))
        };
        table.line(row, &what, &server, &pulled, want);
    }
}

/// A fault that asking again does not mend: one request, and an error that says these words.
pub(crate) async fn fatal(
    table: &mut Table,
    row: u8,
    fault: &str,
    kind: ErrorKind,
    bytes: u64,
    says: &[&'static str],
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) {
    answered(table, row, fault, want(format!("{kind:?}"), 1).bytes(bytes).says(says), reply).await;
}

/// A server that always answers the same.
pub(crate) async fn answered(
    table: &mut Table,
    row: u8,
    fault: &str,
    want: Want,
    reply: impl Fn() -> Reply + Send + Sync + 'static,
) -> Pulled {
    let server = Server::start(move |_| reply()).await;
    let pulled = Pull::get(server.url("/")).run().await;
    table.line(row, fault, &server, &pulled, want);
    pulled
}
