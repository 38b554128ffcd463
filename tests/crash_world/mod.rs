//! A small world for crash tests: sources with known records, pulled on a paused clock onto a file system that
//! can lose power at any instant.
#![allow(dead_code, reason = "each test file uses its part")]

mod layout;
mod slow;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, UNIX_EPOCH};

use headwater::checkpoint::FileStore;
use headwater::fs::Fs;
use headwater::prelude::*;
use headwater::testing::{Image, Reply, Scripted};
use headwater::{Report, RunError};
pub(crate) use layout::Layout;
use serde_json::json;
use slow::{SlowSink, SlowStore};

pub(crate) const OUT: &str = "/out";
/// Where the sink would keep them.
const CHECKPOINTS: &str = "/out/.headwater";

/// Sources, and how often is committed.
#[derive(Debug, Clone)]
pub(crate) struct World {
    sources: Vec<Listing>,
    commit_every: Duration,
    /// How many runs there were: each begins a second after the one before, and names its files by that.
    runs: Arc<AtomicU64>,
    /// From how many on checkpoints are stored in one file.
    grouped_from: usize,
    /// How long each half of a commit takes, twice: that of the sink, and that of the checkpoints.
    commit_takes: Duration,
    /// So many bytes are gathered before they are appended.
    buffer: usize,
    layout: Layout,
}

#[derive(Debug, Clone)]
struct Listing {
    name: String,
    /// How many records each page has.
    pages: Vec<u64>,
    /// How long each page takes.
    pace: Duration,
}

impl World {
    /// So many sources of so many pages, with two records on each, and a commit for about each page.
    pub(crate) fn small(sources: u64, pages: usize) -> Self {
        let listing = |number: u64| Listing {
            name: format!("s{number}"),
            pages: vec![2; pages],
            pace: Duration::from_millis(300 + 70 * number),
        };
        Self::of((0..sources).map(listing).collect(), 250)
    }

    /// One source that takes its time, and one that is finished before its first page is there.
    pub(crate) fn slow_and_fast() -> Self {
        let listing = |name: &str, pages, millis| Listing {
            name: name.into(),
            pages: vec![2; pages],
            pace: Duration::from_millis(millis),
        };
        Self::of(vec![listing("s0", 3, 1000), listing("s1", 1, 10)], 250)
    }

    /// The same world, of which only one source is pulled.
    pub(crate) fn only(&self, name: &str) -> Self {
        let mut one = self.clone();
        one.sources.retain(|listing| listing.name == name);
        one
    }

    fn of(sources: Vec<Listing>, commit_every: u64) -> Self {
        let commit_every = Duration::from_millis(commit_every);
        Self {
            sources,
            commit_every,
            runs: Arc::default(),
            grouped_from: 16,
            commit_takes: Duration::ZERO,
            buffer: 256 * 1024,
            layout: Layout::Single,
        }
    }

    /// The same world, in which each step of a commit takes so long, and what is written meanwhile goes to the file at
    /// once.
    pub(crate) fn commit_takes(&self, each_step: u64) -> Self {
        Self { commit_takes: Duration::from_millis(each_step), buffer: 1, ..self.clone() }
    }

    /// The same world, with other files.
    pub(crate) fn layout(&self, layout: Layout) -> Self {
        Self { layout, ..self.clone() }
    }

    /// The same world, whose checkpoints are stored in one file, if so many of them are stored at once.
    pub(crate) fn grouped_from(&self, checkpoints: usize) -> Self {
        Self { grouped_from: checkpoints, ..self.clone() }
    }

    /// One to three sources of up to 25 pages, some of them empty, with commits now and then.
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let sources = (0..random.u64(1..=3))
            .map(|number| Listing {
                name: format!("s{number}"),
                pages: (0..random.usize(1..=25)).map(|_| random.u64(0..4)).collect(),
                pace: Duration::from_millis(random.u64(1..400)),
            })
            .collect();
        let grouped_from = *random.choice(&[1, 2, 16]).expect("there are three");
        let layout = *random.choice(&Layout::ALL).expect("there are some");
        let world = Self { grouped_from, layout, ..Self::of(sources, random.u64(1..1500)) };
        if random.bool() { world.commit_takes(random.u64(1..600)) } else { world }
    }

    /// Pulls everything, or as much as goes.
    pub(crate) fn run(&self, fs: &Arc<dyn Fs>) -> Result<Report, RunError> {
        in_paused_time(self.start(fs))
    }

    /// Pulls everything, though a run that is frozen may hold the state.
    pub(crate) fn run_over(&self, fs: &Arc<dyn Fs>) -> Result<Report, RunError> {
        in_paused_time(self.pipeline(fs).take_over().run())
    }

    /// The run as a future, for tests that do something beside it.
    pub(crate) fn start(&self, fs: &Arc<dyn Fs>) -> impl Future<Output = Result<Report, RunError>> + use<> {
        self.pipeline(fs).run()
    }

    fn pipeline(&self, fs: &Arc<dyn Fs>) -> Pipeline {
        let sink = self.layout.sink(fs.clone(), OUT).buffer(self.buffer);
        let store = FileStore::on(fs.clone(), CHECKPOINTS).grouped_from(self.grouped_from);
        Pipeline::new()
            .sources(self.sources.iter().map(Listing::source))
            .sink(SlowSink(sink, self.commit_takes))
            .checkpoints(SlowStore(store, self.commit_takes))
            .commit_every(self.commit_every)
            .started_at(UNIX_EPOCH + Duration::from_secs(1_779_012_000 + self.runs.fetch_add(1, SeqCst)))
    }

    /// Whether every record is there once. There is one run of each source, or several if the crash came when
    /// the run was finished: then the files of each of them are whole.
    pub(crate) fn check(&self, image: &Image) -> Result<(), String> {
        for listing in &self.sources {
            let expected: Vec<u64> = (1..=listing.pages.iter().sum()).collect();
            let runs = self.layout.texts(image, OUT, &listing.name)?;
            // Where there may be several files, there is none for nothing.
            if runs.is_empty() && !(expected.is_empty() && self.layout.is_parts()) {
                return Err(format!("{} has no file", listing.name));
            }
            for (path, text) in runs {
                let mut ids = ids(&text).map_err(|why| format!("{}: {why}", path.display()))?;
                if !self.layout.keeps_order() {
                    ids.sort_unstable();
                }
                if ids != expected {
                    return Err(difference(&path, &ids, &expected));
                }
            }
        }
        Ok(())
    }
}

impl Listing {
    fn source(&self) -> Source {
        let (pages, pace) = (self.pages.clone(), self.pace);
        let api = Scripted::from_fn(move |request, _| {
            let query = request.url().query_pairs().find(|(name, _)| name == "cursor");
            let page: usize = query.map_or(0, |(_, page)| page.parse().expect("a number"));
            let before: u64 = pages[..page].iter().sum();
            let records: Vec<_> = (1..=pages[page]).map(|number| json!({"id": before + number})).collect();
            let next = (page + 1 < pages.len()).then(|| (page + 1).to_string());
            Reply::json(json!({"data": records, "next": next}).to_string()).delay(pace)
        });
        Source::get(&self.name, "https://api.example.com/items")
            .records("data")
            .paginate(Cursor::body("next"))
            .transport(api)
            .build()
            .expect("a good definition")
    }
}

/// The ids of whole lines.
fn ids(bytes: &[u8]) -> Result<Vec<u64>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line is torn".to_owned());
    }
    text.lines()
        .map(|line| {
            let record: serde_json::Value =
                serde_json::from_str(line).map_err(|_| format!("a torn line: {line:?}"))?;
            record["id"].as_u64().ok_or_else(|| format!("a line without its id: {line}"))
        })
        .collect()
}

fn difference(path: &Path, ids: &[u64], expected: &[u64]) -> String {
    let lost = expected.iter().filter(|id| !ids.contains(id)).count();
    let twice = ids.len() - ids.iter().collect::<std::collections::BTreeSet<_>>().len();
    format!("{}: {lost} lost, {twice} twice, of {}", path.display(), expected.len())
}

/// Runs a future on a clock that jumps over every wait.
pub(crate) fn in_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}
