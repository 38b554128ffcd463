//! Every sink of the library is held to what a sink promises, and the suite is shown to find those that do not hold it.

mod broken_sinks;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use broken_sinks::{FAULTS, Fault, Shelf};
use futures::future::{BoxFuture, ready};
use headwater::prelude::*;
use headwater::sink::{Compression, Jsonl, Memory, Sink};
use headwater::testing::sink_suite::{self, Place};
use headwater::testing::{CrashFs, Image};

struct InMemory(Memory);

impl Place for InMemory {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(self.0.clone())
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(ready(Ok(self.0.lines(source))))
    }
}

#[tokio::test]
async fn the_sink_in_memory_holds_it() {
    sink_suite::run(&InMemory(Memory::new())).await;
}

/// The lines of a source in a folder of files, those of its first run first.
fn lines<'a>(files: impl Iterator<Item = (&'a Path, Vec<u8>)>, source: &str) -> Vec<String> {
    let mut own: Vec<(&Path, Vec<u8>)> = files.filter(|(path, _)| is_of(path, source)).collect();
    own.sort();
    own.iter()
        .flat_map(|(_, bytes)| String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// `{source}_{run start}.jsonl`
fn is_of(path: &Path, source: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(source).and_then(|rest| rest.strip_prefix('_'));
    rest.is_some_and(|rest| rest.starts_with("20") && rest.contains(".jsonl"))
}

struct Folder(tempfile::TempDir);

impl Place for Folder {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(Jsonl::dir(self.0.path()))
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let paths: Vec<PathBuf> =
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
        let files = paths.iter().map(|path| (path.as_path(), std::fs::read(path).unwrap()));
        Box::pin(ready(Ok(lines(files, source))))
    }
}

#[tokio::test]
async fn json_lines_in_files_hold_it() {
    sink_suite::run(&Folder(tempfile::tempdir().unwrap())).await;
}

/// A disk that keeps what was synced, and of the rest what chance wills.
struct PowerLoss {
    disk: Mutex<CrashFs>,
    random: Mutex<fastrand::Rng>,
}

impl PowerLoss {
    fn new() -> Self {
        let seed = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        println!("HEADWATER_SEED={seed}");
        Self { disk: Mutex::default(), random: Mutex::new(fastrand::Rng::with_seed(seed)) }
    }
}

impl Place for PowerLoss {
    fn sink(&self) -> Box<dyn Sink> {
        // Small pieces, so that there is much that a crash can tear.
        Box::new(Jsonl::on(Arc::new(self.disk.lock().unwrap().clone()), "/out").buffer(64))
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let image: Image = self.disk.lock().unwrap().image();
        let files = image.files().map(|(path, bytes)| (path, bytes.to_vec()));
        Box::pin(ready(Ok(lines(files, source))))
    }

    fn crash(&self) {
        let mut disk = self.disk.lock().unwrap();
        let after = disk.crash(disk.operations()).sample(&mut self.random.lock().unwrap());
        *disk = CrashFs::from_image(after);
    }
}

#[tokio::test]
async fn json_lines_hold_it_when_power_is_lost() {
    sink_suite::run(&PowerLoss::new()).await;
}

/// One file of all sources, on such a disk.
struct Shared(PowerLoss, Compression, u64);

impl Place for Shared {
    fn sink(&self) -> Box<dyn Sink> {
        let disk = Arc::new(self.0.disk.lock().unwrap().clone());
        let sink = Jsonl::on(disk, "/out").buffer(64);
        Box::new(sink.one_file().compress(self.1).roll_at_bytes(self.2))
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let image: Image = self.0.disk.lock().unwrap().image();
        let finished = image.files().filter(|(path, _)| !path.to_string_lossy().contains("/."));
        let mut finished: Vec<(&Path, &[u8])> = finished.collect();
        finished.sort();
        let lines = finished.iter().flat_map(|(path, bytes)| lines_of(&read(path, bytes), source));
        Box::pin(ready(Ok(lines.collect())))
    }

    fn crash(&self) {
        self.0.crash();
    }
}

/// Whatever its compression.
fn read(path: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut text).map(drop).unwrap(),
        #[cfg(feature = "zstd")]
        Some("zst") => text = zstd::decode_all(bytes).unwrap(),
        _ => text = bytes.to_vec(),
    }
    text
}

/// The lines of a source among those of all.
fn lines_of(text: &[u8], source: &str) -> Vec<String> {
    let of_it = |line: &&str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["__source"] == source
    };
    std::str::from_utf8(text).unwrap().lines().filter(of_it).map(str::to_owned).collect()
}

#[tokio::test]
async fn one_file_of_all_sources_holds_it() {
    sink_suite::run(&Shared(PowerLoss::new(), Compression::none(), u64::MAX)).await;
}

#[tokio::test]
async fn zipped_files_of_all_sources_hold_it() {
    sink_suite::run(&Shared(PowerLoss::new(), Compression::gzip(), 500)).await;
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn files_of_all_sources_in_zstd_hold_it() {
    sink_suite::run(&Shared(PowerLoss::new(), Compression::zstd(), 5000)).await;
}

#[tokio::test]
async fn a_sink_that_was_written_elsewhere_holds_it() {
    sink_suite::run(&Shelf::new(Fault::Nothing)).await;
}

#[tokio::test]
async fn each_of_these_broken_sinks_is_found() {
    let mut unseen = Vec::new();
    for fault in FAULTS {
        let broken = sink_suite::check(&Shelf::new(fault)).await;
        let names: Vec<&str> = broken.iter().map(|broken| broken.behaviour).collect();
        println!("{fault:?}: {}", names.join(", "));
        if let Some(first) = broken.first() {
            println!("    {}", first.what);
        } else {
            unseen.push(fault);
        }
    }
    assert!(unseen.is_empty(), "the suite finds nothing wrong with {unseen:?}");
}
