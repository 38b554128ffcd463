//! Sources with known records, pulled into Parquet files on a paused clock, and the files read back.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use headwater::fs::Fs;
use headwater::prelude::*;
use headwater::sink::Parquet;
use headwater::testing::{Image, Reply, Scripted};
use headwater::{Report, RunError};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row, RowAccessor};

pub(crate) const OUT: &str = "/out";

/// A source of these pages, each a JSON array of records.
pub(crate) fn source(name: &str, pages: Vec<String>, pace: Duration) -> Source {
    let api = Scripted::from_fn(move |request, _| {
        let query = request.url().query_pairs().find(|(name, _)| name == "cursor");
        let page: usize = query.map_or(0, |(_, page)| page.parse().expect("a number"));
        let next = if page + 1 < pages.len() { format!("\"{}\"", page + 1) } else { "null".into() };
        Reply::json(format!("{{\"data\":{},\"next\":{next}}}", pages[page])).delay(pace)
    });
    let source = Source::get(name, "https://api.example.com/items").records("data");
    source.paginate(Cursor::body("next")).transport(api).build().expect("a good definition")
}

/// Sources whose records grow a field half way, and one of which does not fit.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) sources: Vec<Vec<u64>>,
    pub(crate) rows: u64,
    pub(crate) pace: Duration,
    pub(crate) every: Duration,
    runs: Arc<AtomicU64>,
}

impl World {
    pub(crate) fn new(sources: Vec<Vec<u64>>, rows: u64) -> Self {
        let (pace, every) = (Duration::from_millis(300), Duration::from_millis(250));
        Self { sources, rows, pace, every, runs: Arc::default() }
    }

    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let pages = |random: &mut fastrand::Rng| (0..random.usize(1..12)).map(|_| random.u64(0..4)).collect();
        let sources = (0..random.usize(1..=2)).map(|_| pages(random)).collect();
        let mut world = Self::new(sources, random.u64(1..12));
        world.pace = Duration::from_millis(random.u64(1..400));
        world.every = Duration::from_millis(random.u64(1..1500));
        world
    }

    fn pages(&self, number: usize) -> Vec<String> {
        let pages = &self.sources[number];
        let total: u64 = pages.iter().sum();
        let mut id = 0;
        let mut record = || {
            id += 1;
            match id > total / 2 {
                false => format!(r#"{{"id":{id},"name":"n{id}"}}"#),
                true => format!(r#"{{"id":{id},"name":"n{id}","late":{{"a":[{id}]}}}}"#),
            }
        };
        let mut page = |count: u64| (0..count).map(|_| record()).collect::<Vec<_>>().join(",");
        pages.iter().map(|count| format!("[{}]", page(*count))).collect()
    }

    pub(crate) fn pipeline(&self, fs: &Arc<dyn Fs>) -> Pipeline {
        let start = UNIX_EPOCH + Duration::from_secs(1_779_012_000 + self.runs.fetch_add(1, SeqCst) / 2);
        let sources = (0..self.sources.len()).map(|number| {
            let pace = self.pace + Duration::from_millis(70 * number as u64);
            source(&format!("s{number}"), self.pages(number), pace)
        });
        let sink = Parquet::on(fs.clone(), OUT).roll_at_rows(self.rows);
        Pipeline::new().sources(sources).sink(sink).commit_every(self.every).started_at(start)
    }

    pub(crate) fn run(&self, fs: &Arc<dyn Fs>) -> Result<Report, RunError> {
        in_paused_time(self.pipeline(fs).run())
    }

    pub(crate) fn run_over(&self, fs: &Arc<dyn Fs>) -> Result<Report, RunError> {
        in_paused_time(self.pipeline(fs).take_over().run())
    }

    /// Whether the files of each run have every record once, and nothing is left of the log.
    pub(crate) fn check(&self, image: &Image) -> Result<(), String> {
        let mut runs: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (path, bytes) in image.files() {
            let name = path.file_name().expect("a name").to_string_lossy();
            if path.starts_with(Path::new(OUT).join(".headwater/spool"))
                || name.ends_with(".tmp") && !name.contains("checkpoint")
            {
                return Err(format!("{} is left over", path.display()));
            }
            let Some(part) = name.strip_suffix(".parquet") else { continue };
            let (stem, _) = part.rsplit_once('-').expect("a part");
            let ids = ids(Bytes::copy_from_slice(bytes)).map_err(|why| format!("{name}: {why}"))?;
            runs.entry(stem.to_owned()).or_default().extend(ids);
        }
        for (number, pages) in self.sources.iter().enumerate() {
            let expected: Vec<i64> = (1..=pages.iter().sum::<u64>() as i64).collect();
            let its = |stem: &&String| stem.starts_with(&format!("s{number}_"));
            if !expected.is_empty() && !runs.keys().any(|stem| its(&stem)) {
                return Err(format!("s{number} has no file"));
            }
            for (stem, ids) in runs.iter().filter(|(stem, _)| its(stem)) {
                if *ids != expected {
                    return Err(format!("{stem} has {ids:?}, not {expected:?}"));
                }
            }
        }
        Ok(())
    }
}

/// The ids in a file, which must be whole.
pub(crate) fn ids(bytes: Bytes) -> Result<Vec<i64>, String> {
    let reader = SerializedFileReader::new(bytes).map_err(|error| error.to_string())?;
    let file = reader.metadata().file_metadata();
    let place = file.schema().get_fields().iter().position(|field| field.name() == "id");
    let place = place.ok_or("it has no ids")?;
    let mut ids = Vec::new();
    for row in reader.get_row_iter(None).map_err(|error| error.to_string())? {
        let row = row.map_err(|error| error.to_string())?;
        ids.push(row.get_long(place).map_err(|error| error.to_string())?);
    }
    let told = file.key_value_metadata().and_then(|notes| {
        notes.iter().find(|note| note.key == "headwater.records").and_then(|note| note.value.clone())
    });
    if told != Some(ids.len().to_string()) {
        return Err(format!("it tells {told:?} records, and has {}", ids.len()));
    }
    Ok(ids)
}

/// A field of a row as text; `None` for a null, and if there is no such column.
pub(crate) fn text_of(row: &Row, name: &str) -> Option<String> {
    match row.get_column_iter().find(|(column, _)| *column == name)?.1 {
        Field::Null => None,
        Field::Str(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The files in a folder, in their order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("the folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    files.sort();
    files
}

/// Runs a future on a clock that jumps over every wait.
pub(crate) fn in_paused_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}
