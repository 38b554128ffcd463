//! Sources that have several files: which records go to which, and when one is finished.

use std::ops::Range;

use chrono::{DateTime, Utc};

use super::layout::{Key, Limits, Namer};
use super::naming::{PARTIALS, name_all, remove};
use super::output::{Output, Part, failed};
use super::state::{self, Finished, Parts};
use super::{ALL_BUFFERS, Encoder, Files, Format, SourceFiles, shared};
use crate::checkpoint::{Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Fs;
use crate::records::Batch;

/// When so many finished files wait for a commit there should be one.
const MOST_FINISHED: usize = 64;

impl<F: Format> Files<F> {
    pub(super) async fn write_parts(&mut self, source: &str, batch: &Batch) -> Result<()> {
        let Some(namer) = self.namer.clone() else { return Ok(()) };
        let limits = self.layout.limits;
        let at: DateTime<Utc> = batch.fetched_at().into();
        let Some(files) = self.sources.get_mut(source) else { return Ok(()) };
        files.touched = true;
        files.finish_old(limits, at.timestamp());
        for (key, records) in runs(&namer, source, &at.format("%Y-%m-%d").to_string(), batch) {
            let mut from = records.start;
            while from < records.end {
                let Some(files) = self.sources.get_mut(source) else { return Ok(()) };
                let term = self.lease.as_ref().map_or(0, Lease::term);
                self.clock += 1;
                let index = match files.open_of(&key) {
                    Some(index) => index,
                    None => {
                        let path = self.dir.join(PARTIALS);
                        let path = path.join(namer.partial(source, &files.start, files.next, term));
                        let mut output = Output::missing(path, self.layout.compression, term);
                        output.part = Part::new(files.next, key.clone(), at.timestamp());
                        files.next += 1;
                        files.outputs.push(output);
                        files.outputs.len() - 1
                    }
                };
                let output = &mut files.outputs[index];
                let room = limits.rows.map_or(u64::MAX, |rows| rows.saturating_sub(output.part.rows).max(1));
                let to = records.end.min(from.saturating_add(usize::try_from(room).unwrap_or(usize::MAX)));
                if output.buffer.capacity() == 0 {
                    output.buffer = self.spare.take();
                }
                let (before, is_blank) = (output.buffer.len(), output.is_blank());
                if is_blank {
                    files.encoder.begin(&mut output.buffer)?;
                }
                let taken = files.encoder.encode(batch, from..to, &mut output.buffer)?;
                if taken == 0 && is_blank {
                    return Err(Error::new(ErrorKind::Sink, "a new file takes no records"));
                }
                from += taken;
                output.part.rows += taken as u64;
                (output.touched, output.part.used) = (true, self.clock);
                let is_refused = from < to;
                output.part.is_finished |= output.is_at(limits);
                self.gathered += output.buffer.len() - before;
                if self.shared.is_some() {
                    let bytes = (output.buffer.len() - before) as u64;
                    self.noted.push((output.part.number, bytes, taken as u64));
                }
                if output.buffer.len() >= self.layout.buffer() || self.gathered >= ALL_BUFFERS {
                    self.flush(source, index).await?;
                }
                if let Some(files) = self.sources.get_mut(source).filter(|_| is_refused) {
                    // What asks for a new file, new columns say, asks for one in each folder.
                    files.outputs.iter_mut().for_each(|output| output.part.is_finished = true);
                }
            }
        }
        if let Some(files) = self.sources.get_mut(source) {
            files.finish_unused(self.layout.most_open.max(1));
        }
        Ok(())
    }

    /// Whether so many finished files wait for a commit that there should be one.
    pub(crate) fn is_full(&self) -> bool {
        let finished = |files: &SourceFiles<F::Encoder>| {
            files.outputs.iter().filter(|output| output.part.is_finished && output.touched).count()
        };
        let is_waiting =
            self.namer.is_some() && self.sources.values().map(finished).sum::<usize>() >= MOST_FINISHED;
        is_waiting || self.is_shared_full()
    }

    /// Learns that a source has no more records: its files are finished.
    pub(crate) fn finish(&mut self, source: &str) {
        if self.layout.is_shared {
            return self.finish_shared(source);
        }
        if let (Some(files), Some(_)) = (self.sources.get_mut(source), &self.namer) {
            files.outputs.iter_mut().for_each(|output| output.part.is_finished = true);
        }
    }

    /// Gives those files their names that the last commit has finished: its checkpoints are stored, or no other would begin.
    pub(super) async fn name_finished(&mut self) -> Result<()> {
        let mut finished = Vec::new();
        for files in self.sources.values_mut().filter(|files| !files.finished.is_empty()) {
            finished.append(&mut files.finished);
            // Its state is another one now.
            files.touched = true;
        }
        let copied = std::mem::take(&mut self.copied);
        if finished.is_empty() && copied.is_empty() {
            return Ok(());
        }
        let dir = self.dir.clone();
        let name = move |fs: &dyn Fs| {
            copied.iter().try_for_each(|path| remove(fs, path))?;
            name_all(fs, &dir, &finished, false)
        };
        let named = self.work(name).await;
        named.unwrap_or_else(|error| Err(failed(&self.dir, "cannot be written", error)))
    }

    /// Whether nothing is left to do behind a commit.
    pub(crate) fn is_settled(&self, state: &SinkState) -> bool {
        match self.layout.is_shared {
            true => shared::is_settled(state),
            false => !self.layout.is_parts() || parts_are_settled(state),
        }
    }
}

pub(super) fn parts_are_settled(state: &SinkState) -> bool {
    // What cannot be read is of other files.
    state::read::<Parts>(state).map_or(true, |state| state.finished.is_empty())
}

/// Which records of a batch go to one file, one run after the other.
fn runs(namer: &Namer, source: &str, date: &str, batch: &Batch) -> Vec<(Key, Range<usize>)> {
    if !namer.looks_at_records() {
        return vec![(namer.key(source, date, b""), 0..batch.len())];
    }
    let mut runs: Vec<(Key, Range<usize>)> = Vec::new();
    for (index, record) in batch.slices().enumerate() {
        let key = namer.key(source, date, record);
        match runs.last_mut() {
            Some((last, records)) if *last == key => records.end = index + 1,
            _ => runs.push((key, index..index + 1)),
        }
    }
    runs
}

impl<E: Encoder> SourceFiles<E> {
    fn open_of(&self, key: &Key) -> Option<usize> {
        self.outputs.iter().position(|output| !output.part.is_finished && output.part.key == *key)
    }

    /// Finishes the files that have been open for too long.
    fn finish_old(&mut self, limits: Limits, now: i64) {
        let Some(age) = limits.age else { return };
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        for output in &mut self.outputs {
            output.part.is_finished |= now.saturating_sub(output.part.since) >= age.max(1);
        }
    }

    /// Finishes those that were not written to for the longest time, where there are too many.
    fn finish_unused(&mut self, most: usize) {
        let mut open: Vec<&mut Part> =
            self.outputs.iter_mut().map(|output| &mut output.part).filter(|part| !part.is_finished).collect();
        let surplus = open.len().saturating_sub(most);
        open.sort_by_key(|part| part.used);
        open.into_iter().take(surplus).for_each(|part| part.is_finished = true);
    }

    /// Takes the finished files out, of which all has arrived: the commit has them in it.
    pub(super) fn take_finished(&mut self, namer: &Namer, source: &str, limits: Limits) {
        for output in std::mem::take(&mut self.outputs) {
            let Part { number, key, .. } = &output.part;
            if !output.part.is_finished && !output.is_at(limits) {
                self.outputs.push(output);
                continue;
            }
            let state = output.state();
            self.ended.push(output.part.state(state.clone()));
            self.finished.push(Finished {
                name: namer.name(source, &self.start, *number, key),
                partial: state.file,
                length: state.length,
                tail: state.tail,
            });
            self.count += 1;
        }
    }

    pub(super) fn parts(&self) -> Result<SinkState> {
        let open = self.outputs.iter().map(|output| output.part.state(output.state())).collect();
        state::stored(&Parts {
            start: self.start.clone(),
            next: self.next,
            count: self.count,
            open,
            finished: self.finished.clone(),
            format: self.encoder.state(),
        })
    }
}

impl Output {
    /// Whether it has reached a limit.
    fn is_at(&self, limits: Limits) -> bool {
        // What is compressed counts when it has been.
        let gathered = if self.is_compressed() { 0 } else { (self.buffer.len() + self.on_its_way) as u64 };
        limits.rows.is_some_and(|rows| self.part.rows >= rows)
            || limits.bytes.is_some_and(|bytes| self.end.length + gathered >= bytes)
    }
}
