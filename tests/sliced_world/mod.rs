//! Servers with known records, pulled by windows and fan-outs, and runs of them that are broken off anywhere.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, UNIX_EPOCH};

use headwater::fs::Fs;
use headwater::pages::{Fanout, Window};
use headwater::paginate::{Cursor, Offset, PageNumber};
use headwater::sink::Jsonl;
use headwater::testing::{CrashFs, Image, Reply, Scripted};
use headwater::{ErrorKind, Pipeline, Report, Request, RunError, Shutdown, Source, SourceBuilder};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub(crate) const OUT: &str = "/out";

/// 2026-05-17T10:00:00Z.
pub(crate) const NOW: u64 = 1_779_012_000;

/// Rows that a server has: so many on a page, so many in all for one query, and what it does beyond.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) ids: Vec<i64>,
    pub(crate) page: usize,
    pub(crate) ceiling: Option<usize>,
    pub(crate) says_total: bool,
}

impl Table {
    pub(crate) fn new(ids: impl IntoIterator<Item = i64>, page: usize) -> Self {
        Self { ids: ids.into_iter().collect(), page, ceiling: None, says_total: false }
    }

    pub(crate) fn ceiling(mut self, rows: usize) -> Self {
        self.ceiling = Some(rows);
        self
    }

    pub(crate) fn says_total(mut self) -> Self {
        self.says_total = true;
        self
    }

    /// `?start&end&offset`, the end not included; beyond the ceiling it refuses, as GitHub does.
    fn answer(&self, query: &BTreeMap<String, String>) -> Reply {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<i64>().ok());
        let (start, end) = (number("start").unwrap_or(i64::MIN), number("end").unwrap_or(i64::MAX));
        let found: Vec<i64> = self.ids.iter().copied().filter(|id| (start..end).contains(id)).collect();
        let offset = usize::try_from(number("offset").unwrap_or(0)).expect("not negative");
        if self.ceiling.is_some_and(|ceiling| offset + self.page > ceiling) {
            return Reply::status(422).body(r#"{"message":"Only the first results are available"}"#);
        }
        let data: Vec<Value> =
            found.iter().skip(offset).take(self.page).map(|id| json!({"id": id})).collect();
        let more = offset + data.len() < found.len();
        let mut body = json!({"data": data, "more": more});
        if self.says_total {
            body["total"] = found.len().into();
        }
        Reply::json(body.to_string())
    }

    /// The rows from a user's id on, up to four ids.
    fn of_user(&self, user: i64, query: &BTreeMap<String, String>) -> Reply {
        let offset = query.get("offset").map_or(0, |text| text.parse().expect("a number"));
        let found = self.ids.iter().filter(|id| (user..user + 4).contains(id));
        let data: Vec<Value> =
            found.clone().skip(offset).take(3).map(|id| json!({"id": format!("{user}/{id}")})).collect();
        Reply::json(json!({"data": data, "more": offset + data.len() < found.count()}).to_string())
    }

    pub(crate) fn source(&self, name: &str) -> SourceBuilder {
        Source::get(name, "https://api.example.com/rows?start={start}&end={end}")
            .records("data")
            .paginate(Offset::new(self.page as u64).without_limit_param().until_false("more"))
    }
}

/// `/orgs` by cursor, `/orgs/{org}/repos` by page number, `/repos/{org}/{repo}/issues` by the last record, each with
/// empty ones in between, and names that are no plain words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tree {
    pub(crate) orgs: usize,
    pub(crate) repos: usize,
    pub(crate) issues: usize,
}

impl Tree {
    fn org(org: usize) -> String {
        format!("o/{org} ü")
    }

    fn repos_of(self, org: usize) -> usize {
        (org * 7 + 3) % (self.repos + 1)
    }

    fn issues_of(self, org: usize, repo: usize) -> usize {
        (org * 5 + repo * 3 + 1) % (self.issues + 1)
    }

    pub(crate) fn expected(self) -> Vec<String> {
        let mut ids = Vec::new();
        for org in 0..self.orgs {
            for repo in 0..self.repos_of(org) {
                ids.extend((1..=self.issues_of(org, repo)).map(|issue| format!("{org}-{repo}-{issue}")));
            }
        }
        ids
    }

    fn answer(self, path: &[String], query: &BTreeMap<String, String>) -> Reply {
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let org_of =
            |name: &str| (0..self.orgs).find(|org| Self::org(*org) == name).expect("an org that was named");
        match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["orgs"] => {
                let from = number("cursor").unwrap_or(0);
                let page: Vec<Value> =
                    (from..self.orgs).take(2).map(|org| json!({"login": Self::org(org)})).collect();
                let next = (from + 2 < self.orgs).then(|| (from + 2).to_string());
                Reply::json(json!({"data": page, "next": next}).to_string())
            }
            ["orgs", org, "repos"] => {
                let (org, page) = (org_of(org), number("page").unwrap_or(1) - 1);
                let repos = self.repos_of(org);
                let data: Vec<Value> = (page * 2..repos).take(2).map(|repo| json!({"id": repo})).collect();
                Reply::json(json!({"data": data, "more": page * 2 + 2 < repos}).to_string())
            }
            ["repos", org, repo, "issues"] => {
                let (org, repo) = (org_of(org), repo.parse().expect("a repo's number"));
                let (after, start) = (number("after").unwrap_or(0), number("start").unwrap_or(0));
                let end = number("end").unwrap_or(usize::MAX);
                let last = self.issues_of(org, repo);
                let fits = (after + 1..=last).filter(|issue| (start..end).contains(issue));
                let data: Vec<Value> = fits
                    .clone()
                    .take(2)
                    .map(|issue| json!({"id": format!("{org}-{repo}-{issue}"), "number": issue}))
                    .collect();
                Reply::json(json!({"data": data, "more": fits.count() > 2}).to_string())
            }
            _ => panic!("no such path: {path:?}"),
        }
    }

    pub(crate) fn orgs(self) -> SourceBuilder {
        Source::get("orgs", "https://api.example.com/orgs").records("data").paginate(Cursor::body("next"))
    }

    pub(crate) fn repos(self, api: &Scripted, concurrency: usize) -> SourceBuilder {
        Source::get("repos", "https://api.example.com/orgs/{org}/repos")
            .records("data")
            .paginate(PageNumber::new().until_false("more"))
            .transport(api.clone())
            .fanout(
                Fanout::over(self.orgs().transport(api.clone()))
                    .bind("org", "login")
                    .concurrency(concurrency),
            )
    }

    /// What was bound two levels above is bound here too.
    pub(crate) fn issues(self, api: &Scripted, concurrency: usize) -> SourceBuilder {
        Source::get("issues", "https://api.example.com/repos/{org}/{repo}/issues")
            .records("data")
            .paginate(Cursor::last_record("number").into_query("after").until_false("more"))
            .transport(api.clone())
            .fanout(Fanout::over(self.repos(api, concurrency)).bind("repo", "id").concurrency(concurrency))
    }
}

/// What a server answers, at a pace that differs from page to page, so that slices overtake each other.
fn answer(table: &Table, tree: Tree, request: &Request) -> Reply {
    let url = request.url();
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let decode =
        |segment: &str| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
    let path: Vec<String> = url.path_segments().expect("a path").map(decode).collect();
    let mut hasher = DefaultHasher::new();
    url.as_str().hash(&mut hasher);
    let reply = match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["rows"] => table.answer(&query),
        ["rows", user] => table.of_user(user.parse().expect("a user's id"), &query),
        ["many"] => {
            let data: Vec<Value> = query["ids"].split(',').map(|id| json!({"id": id})).collect();
            Reply::json(json!({"data": data}).to_string())
        }
        _ => tree.answer(&path, &query),
    };
    reply.delay(Duration::from_millis(1 + hasher.finish() % 40))
}

/// A source over a scripted server, and the ids that it must give.
pub(crate) struct World {
    pub(crate) table: Table,
    pub(crate) tree: Tree,
    pub(crate) source: Box<dyn Fn(&Scripted) -> SourceBuilder>,
    pub(crate) expected: Vec<String>,
    runs: AtomicU64,
}

impl World {
    pub(crate) fn rows(table: Table, window: Window) -> Self {
        let expected = table.ids.iter().map(ToString::to_string).collect();
        let source = {
            let table = table.clone();
            move |api: &Scripted| table.source("rows").window(window.clone()).transport(api.clone())
        };
        Self::of(table, Tree { orgs: 0, repos: 0, issues: 0 }, source, expected)
    }

    pub(crate) fn tree(tree: Tree, source: impl Fn(&Scripted) -> SourceBuilder + 'static) -> Self {
        Self::of(Table::new([], 1), tree, source, tree.expected())
    }

    pub(crate) fn of(
        table: Table,
        tree: Tree,
        source: impl Fn(&Scripted) -> SourceBuilder + 'static,
        mut expected: Vec<String>,
    ) -> Self {
        expected.sort();
        Self { table, tree, source: Box::new(source), expected, runs: AtomicU64::new(0) }
    }

    /// The server; `told` hears of the request of this number.
    pub(crate) fn server(&self, broken_at: u64, told: Arc<Notify>) -> Scripted {
        let (table, tree) = (self.table.clone(), self.tree);
        Scripted::from_fn(move |request, number| {
            if number == broken_at {
                told.notify_one();
            }
            answer(&table, tree, request)
        })
    }

    fn pipeline(&self, api: &Scripted, fs: &Arc<dyn Fs>) -> Pipeline {
        Pipeline::new()
            .source((self.source)(api).build().expect("a good definition"))
            .sink(Jsonl::on(fs.clone(), OUT))
            .commit_every(Duration::from_millis(25))
            .started_at(UNIX_EPOCH + Duration::from_secs(NOW + self.runs.fetch_add(1, SeqCst)))
    }

    /// Runs to the end.
    pub(crate) fn run(&self, fs: &Arc<dyn Fs>) -> (Result<Report, RunError>, u64) {
        in_paused_time(async {
            let api = self.server(u64::MAX, Arc::default());
            (self.pipeline(&api, fs).run().await, api.urls().len() as u64)
        })
    }

    /// Runs until the request of this number is sent, and is dropped then; true if the run was quicker.
    pub(crate) fn run_until(&self, fs: &Arc<dyn Fs>, request: u64) -> bool {
        in_paused_time(async {
            let told = Arc::new(Notify::new());
            let api = self.server(request, told.clone());
            tokio::select! {
                biased;
                () = told.notified() => false,
                done = self.pipeline(&api, fs).run() => {
                    done.expect("it finishes");
                    true
                }
            }
        })
    }

    /// Runs until the request of this number is sent, and is asked to stop then; true if it has finished.
    pub(crate) fn run_and_stop(&self, fs: &Arc<dyn Fs>, request: u64) -> bool {
        in_paused_time(async {
            let (told, shutdown) = (Arc::new(Notify::new()), Shutdown::new());
            let api = self.server(request, told.clone());
            let run = self.pipeline(&api, fs).shutdown(shutdown.clone()).run();
            tokio::pin!(run);
            let done = tokio::select! {
                biased;
                () = told.notified() => {
                    shutdown.finish_pages();
                    run.await
                }
                done = &mut run => done,
            };
            done.inspect_err(|failure| assert_eq!(failure.error.kind(), ErrorKind::Stopped, "{failure}"))
                .is_ok()
        })
    }

    /// Stops a run again and again, from each request on. At the end every record is there once.
    pub(crate) fn survives_every_stop(&self) -> u64 {
        for first in 1.. {
            let disk = CrashFs::new();
            let fs: Arc<dyn Fs> = Arc::new(disk.clone());
            if self.run_and_stop(&fs, first) {
                return first;
            }
            let stops = (0..1000).find(|round| self.run_and_stop(&fs, 2 + (first + round * 3) % 11));
            assert!(stops.is_some(), "it gets no further");
            self.check(&disk.image()).unwrap_or_else(|why| panic!("stopped at request {first}: {why}"));
        }
        0
    }

    /// Runs for so long, and is dropped then.
    pub(crate) fn run_for(&self, fs: &Arc<dyn Fs>, time: Duration) -> bool {
        in_paused_time(async {
            let api = self.server(u64::MAX, Arc::default());
            let run = tokio::time::timeout(time, self.pipeline(&api, fs).run());
            run.await.map(|done| done.expect("it finishes")).is_ok()
        })
    }

    /// Whether each record is there once, in each file that a run has finished.
    pub(crate) fn check(&self, image: &Image) -> Result<(), String> {
        let files: Vec<_> = image.files().filter(|(path, _)| is_output(path)).collect();
        if files.is_empty() {
            return Err("there is no file".to_owned());
        }
        for (path, bytes) in files {
            let mut ids = ids(bytes);
            ids.sort();
            if ids != self.expected {
                let lost = self.expected.iter().filter(|id| !ids.contains(id)).count();
                let twice = ids.windows(2).filter(|pair| pair[0] == pair[1]).count();
                return Err(format!("{}: {lost} lost, {twice} twice of {}", path.display(), ids.len()));
            }
        }
        Ok(())
    }

    /// Breaks a run off at each request, and at many instants in between, with and without the loss of power, and
    /// says how many reruns there were. Each of them must give every record once.
    pub(crate) fn survives_every_crash(&self, random: &mut fastrand::Rng) -> u64 {
        let mut reruns = 0;
        let mut crash = |disk: &CrashFs, what: &str| {
            let lost = disk.crash(disk.operations()).sample(random);
            for image in [disk.image(), lost] {
                let disk = CrashFs::from_image(image);
                let fs: Arc<dyn Fs> = Arc::new(disk.clone());
                if let (Err(failure), _) = self.run(&fs) {
                    panic!("{what}: the rerun failed: {failure}");
                }
                self.check(&disk.image()).unwrap_or_else(|why| panic!("{what}: {why}"));
                reruns += 1;
            }
        };
        for request in 1.. {
            let disk = CrashFs::new();
            let fs: Arc<dyn Fs> = Arc::new(disk.clone());
            if self.run_until(&fs, request) {
                break;
            }
            crash(&disk, &format!("broken off at request {request}"));
        }
        for step in 1.. {
            let disk = CrashFs::new();
            let fs: Arc<dyn Fs> = Arc::new(disk.clone());
            let time = Duration::from_millis(step * 17);
            if self.run_for(&fs, time) {
                break;
            }
            crash(&disk, &format!("broken off after {time:?}"));
        }
        // One crash after the other, in one and the same run.
        let disk = CrashFs::new();
        let fs: Arc<dyn Fs> = Arc::new(disk.clone());
        for round in 0.. {
            if self.run_until(&fs, 3 + round % 20) {
                break;
            }
            assert!(round < 1000, "it gets no further");
        }
        self.check(&disk.image()).unwrap_or_else(|why| panic!("crash after crash: {why}"));
        reruns
    }
}

fn is_output(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl") && path.starts_with(OUT)
}

pub(crate) fn ids(bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).expect("a whole line");
            record["id"].as_str().map_or_else(|| record["id"].to_string(), str::to_owned)
        })
        .collect()
}

/// Runs a future on a clock that jumps over every wait.
pub(crate) fn in_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}
