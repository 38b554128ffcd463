//! What is on the disk, compared with what the servers hold.

use std::collections::{BTreeSet, HashMap};
use std::time::SystemTime;

use headwater::checkpoint::Checkpoint;
use headwater::testing::{CrashFs, Image};

use super::listing::Listing;
use super::outputs::Output;
use super::shapes::At;
use super::world::World;

pub(crate) const OUT: &str = "/out";

/// When records may have come in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) from: SystemTime,
    pub(crate) to: SystemTime,
    pub(crate) in_order: bool,
}

/// Does what is looked at between two processes.
pub(crate) fn at_rest<T>(look: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(look)
}

/// The checkpoints as a rerun would find them.
pub(crate) fn checkpoints(world: &World, image: &Image) -> Result<Vec<Option<Checkpoint>>, String> {
    let sink = world.output.sink(&CrashFs::from_image(image.clone()), 1);
    let store = sink.checkpoints().expect("a store of its own");
    let load = |listing: &Listing| {
        let loaded = at_rest(store.load(&listing.name));
        loaded.map_err(|error| format!("{}: {error}", listing.name))
    };
    world.listings.iter().map(load).collect()
}

/// Whether the output of a source holds, up to where it was committed, just the records of its first pages. Of a shaped
/// source any of its records, each once, and all of them if it is finished: they are returned.
pub(crate) fn check(
    (listing, output): (&Listing, &Output),
    image: &Image,
    checkpoint: &Checkpoint,
    times: Times,
    at: At,
) -> Result<BTreeSet<usize>, String> {
    let name = &listing.name;
    let read = output.committed(listing, image, checkpoint)?;
    // What cannot be read yet is looked at when it can.
    let committed = read.as_deref();
    if let Some(shape) = &listing.shape {
        let committed = committed.ok_or_else(|| format!("{name}: nobody can tell what is committed"))?;
        let rows = any_lines(listing, committed, times).map_err(|why| format!("{name}: {why}"))?;
        if checkpoint.records != rows.len() as u64 {
            return Err(format!("{name}: {} records are told of {}", checkpoint.records, rows.len()));
        }
        shape.check(listing, checkpoint, &rows, at).map_err(|why| format!("{name}: {why}"))?;
        return Ok(rows);
    }
    let pages = usize::try_from(checkpoint.mark.pages).map_err(|_| "too many pages")?;
    if pages > listing.chain.len() || checkpoint.is_finished() != (pages == listing.chain.len()) {
        return Err(format!(
            "{name} has {pages} pages of {}, {:?}",
            listing.chain.len(),
            checkpoint.mark.next
        ));
    }
    let rows = listing.rows_of(pages);
    if checkpoint.records != rows as u64 {
        return Err(format!("{name}: {} records are told of {rows} in {pages} pages", checkpoint.records));
    }
    if let Some(committed) = committed {
        lines(listing, committed, rows, times).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(BTreeSet::new())
}

/// The rows whose lines these are, each at most once, byte for byte, but for the time.
fn any_lines(listing: &Listing, text: &str, times: Times) -> Result<BTreeSet<usize>, String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line is torn".to_owned());
    }
    let known: HashMap<&str, usize> =
        listing.items.iter().enumerate().map(|(row, item)| (item.line.as_str(), row)).collect();
    let suffix = format!("\"__source\":\"{}\",\"__ingested_at\":\"", listing.name);
    let (mut before, now) = (stamp(times.from), stamp(times.to));
    let mut rows = BTreeSet::new();
    for line in text.lines() {
        let row = line
            .split_once(&suffix)
            .and_then(|(line, time)| Some((*known.get(line)?, time.strip_suffix("\"}")?)));
        let Some((row, time)) = row else { return Err(format!("{line} is no record of it")) };
        if time.len() != now.len() || *time < *before || *time > *now {
            return Err(format!("record {row} came in at {time}, after {before}, and now is {now}"));
        }
        if times.in_order && listing.is_in_order() {
            before = time.to_owned();
        }
        if listing.is_in_rows() && row != rows.len() {
            return Err(format!("record {row} is in the place of record {}", rows.len()));
        }
        if !rows.insert(row) {
            return Err(format!("record {row} is there twice"));
        }
    }
    Ok(rows)
}

fn stamp(time: SystemTime) -> String {
    chrono::DateTime::<chrono::Utc>::from(time).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whether the lines are those of the first rows: each once, in order, byte for byte, but for the time.
fn lines(listing: &Listing, text: &str, rows: usize, times: Times) -> Result<(), String> {
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line is torn".to_owned());
    }
    let (mut before, now) = (stamp(times.from), stamp(times.to));
    let mut count = 0;
    for (line, item) in text.lines().zip(&listing.items) {
        let suffix = format!("\"__source\":\"{}\",\"__ingested_at\":\"", listing.name);
        let rest = line.strip_prefix(item.line.as_str()).and_then(|rest| rest.strip_prefix(&suffix));
        let time = rest.and_then(|rest| rest.strip_suffix("\"}"));
        let time =
            time.ok_or_else(|| format!("record {} is {line} and not {}{suffix}…", count + 1, item.line))?;
        if time.len() != now.len() || *time < *before || *time > *now {
            return Err(format!("record {} came in at {time}, after {before}, and now is {now}", count + 1));
        }
        if times.in_order {
            before = time.to_owned();
        }
        count += 1;
    }
    match text.lines().count() {
        lines if lines == rows && count == rows => Ok(()),
        lines => Err(format!("{lines} lines of {rows}")),
    }
}
