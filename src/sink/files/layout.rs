//! Which files there are, and how they are written.

use std::time::Duration;

use super::compress::Compression;
use super::finals::Shape;
use super::partition::Partition;
use super::template::{Named, Template};
use crate::error::{Error, Result};

/// See [`Jsonl::buffer`](crate::sink::Jsonl::buffer).
const BUFFER: usize = 256 * 1024;
/// Of each a frame is made, and larger ones compress better.
const COMPRESSED_BUFFER: usize = 512 * 1024;
/// A sync is begun when so many bytes wait for one, so that the disk is at work while pages come, and little is left for
/// the commit.
const SYNC_AHEAD: u64 = 16 * 1024 * 1024;
/// See [`Jsonl::most_open_files`](crate::sink::Jsonl::most_open_files).
const MOST_OPEN: usize = 64;
/// The names of files in parts.
const NAMES: &str = "{source}_{start}_{part}";

/// What a user has chosen.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) compression: Compression,
    /// What was gathered is appended when it comes to so many bytes.
    pub(crate) buffer: Option<usize>,
    /// So many bytes are not synced before that is begun, ahead of the commit.
    pub(crate) sync_ahead: u64,
    pub(crate) limits: Limits,
    pub(crate) names: Option<String>,
    pub(crate) partitions: Vec<Partition>,
    pub(crate) most_open: usize,
    /// Whether there may be several files for a source, whatever else is chosen.
    pub(crate) is_parts: bool,
    /// Whether all sources share the files.
    pub(crate) is_shared: bool,
}

/// When a file is finished and the next one begins.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) bytes: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) age: Option<Duration>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            compression: Compression::none(),
            buffer: None,
            sync_ahead: SYNC_AHEAD,
            limits: Limits::default(),
            names: None,
            partitions: Vec::new(),
            most_open: MOST_OPEN,
            is_parts: false,
            is_shared: false,
        }
    }
}

impl Layout {
    pub(super) fn buffer(&self) -> usize {
        let default = if self.compression.is_none() { BUFFER } else { COMPRESSED_BUFFER };
        self.buffer.unwrap_or(default)
    }

    /// Whether a source has several files, each with a final name that it gets when it is finished.
    pub(super) fn is_parts(&self) -> bool {
        let Limits { bytes, rows, age } = self.limits;
        let rolls = bytes.is_some() || rows.is_some() || age.is_some();
        self.is_parts || self.is_shared || rolls || self.names.is_some() || !self.partitions.is_empty()
    }

    /// # Errors
    /// `Config` if the template of the names cannot be one.
    pub(super) fn namer(&self, ending: &str) -> Result<Namer> {
        let by_source = self.partitions.iter().any(Partition::is_by_source);
        let names = self.names.as_deref().unwrap_or(NAMES);
        if self.is_shared
            && (by_source || self.names.as_ref().is_some_and(|names| names.contains("{source}")))
        {
            let what =
                "the sources share their files, so neither a name nor a folder can be that of one source";
            return Err(
                Error::config(what).advice("leave `{source}` and `Partition::source()` out, or `one_file()`")
            );
        }
        let template = Template::new(names, by_source || self.is_shared)?;
        Ok(Namer { template, partitions: self.partitions.clone(), ending: ending.to_owned() })
    }
}

/// Which file a record belongs to: its folders, and the day if the name has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) folder: String,
    pub(super) date: String,
}

/// Gives the names.
#[derive(Debug, Clone)]
pub(super) struct Namer {
    template: Template,
    partitions: Vec<Partition>,
    ending: String,
}

impl Namer {
    /// Whether records of one page may belong to several files.
    pub(super) fn looks_at_records(&self) -> bool {
        self.partitions.iter().any(Partition::is_by_field)
    }

    pub(super) fn key(&self, source: &str, date: &str, record: &[u8]) -> Key {
        let folders: Vec<String> =
            self.partitions.iter().map(|partition| partition.folder(source, date, record)).collect();
        let date = if self.template.has_date() { date.to_owned() } else { String::new() };
        Key { folder: folders.join("/"), date }
    }

    /// The path of a finished file in the output folder.
    pub(super) fn name(&self, source: &str, start: &str, part: u64, key: &Key) -> String {
        let name = self.template.name(Named { source, start, part, date: &key.date });
        let slash = if key.folder.is_empty() { "" } else { "/" };
        format!("{}{slash}{name}{}", key.folder, self.ending)
    }

    /// The name of a file in the folder of those that are not finished.
    pub(super) fn partial(&self, source: &str, start: &str, part: u64, term: u64) -> String {
        // So that no run of another term means the same file.
        let term = if term == 0 { String::new() } else { format!(".t{term}") };
        format!("{source}_{start}_{part:05}{term}{}", self.ending)
    }

    /// The name of a copy of such a file that has lost some of its records, by a number that no other copy has.
    pub(super) fn rewritten(&self, source: &str, start: &str, part: u64, term: u64, number: u64) -> String {
        format!("{source}_{start}_{part:05}.t{term}-{number}{}", self.ending)
    }

    /// The source and the term of such a name.
    pub(super) fn partial_of<'a>(&self, name: &'a str) -> Option<(&'a str, u64)> {
        // Neither the start nor what stands behind it has a `_`.
        let (front, back) = name.strip_suffix(self.ending.as_str())?.rsplit_once('_')?;
        let (part, term) = back.split_once(".t").unwrap_or((back, "0"));
        part.parse::<u64>().ok()?;
        let term = term.split_once('-').map_or(term, |(term, _)| term);
        Some((front.rsplit_once('_')?.0, term.parse().ok()?))
    }

    /// The shapes of the paths that files of this source are given in the output folder.
    pub(super) fn shapes(&self, source: &str) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = self
            .partitions
            .iter()
            .map(|partition| partition.shape(source))
            .chain(self.template.shapes(source))
            .collect();
        if let Some(file) = shapes.pop() {
            shapes.push(file.and(&self.ending));
        }
        shapes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_partial_file_says_whose_it_is() {
        let namer = Layout { is_parts: true, ..Layout::default() }.namer(".jsonl.gz").unwrap();
        for (source, term) in [("a", 0), ("a_b.c-d", 3)] {
            let name = namer.partial(source, "20260517T100000Z-2", 7, term);
            assert_eq!(namer.partial_of(&name), Some((source, term)), "{name}");
        }
        let rewritten = namer.rewritten("a_b.c-d", "20260517T100000Z", 7, 3, 12);
        assert_eq!(namer.partial_of(&rewritten), Some(("a_b.c-d", 3)));
        assert_eq!(namer.partial_of("a_20260517T100000Z_00001.jsonl"), None);
    }
}
