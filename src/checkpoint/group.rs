//! Checkpoints of many sources in one file.
//!
//! It holds, one behind the other, what would stand in the files of the single sources, so a person can read it, and
//! take a source out of it: two lines, of which each checkpoint has its own checksum.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::Checkpoint;
use super::format::{decode, encode, is_intact};

/// So many at most: a commit of one of them writes them all again.
pub(super) const MOST: usize = 128;

/// The checkpoints of one epoch that are stored together.
#[derive(Debug)]
pub(super) struct Group {
    /// The first that was put into it, which gives the file its name: a source is in one group of an epoch only.
    pub(super) founder: String,
    pub(super) epoch: u64,
    /// The bytes of each, by source.
    members: BTreeMap<String, String>,
    /// Whether one of them is damaged: the source that it names may be another.
    pub(super) is_damaged: bool,
}

/// All that has to be known of a checkpoint that is only copied.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
}

impl Group {
    /// Has nobody in it yet.
    pub(super) fn new(founder: &str, epoch: u64) -> Self {
        Self { founder: founder.to_owned(), epoch, members: BTreeMap::new(), is_damaged: false }
    }

    /// Reads a file, or says what is wrong with it.
    pub(super) fn read(founder: &str, epoch: u64, bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
        let mut group = Self::new(founder, epoch);
        let mut lines = text.split_inclusive('\n');
        while let Some(header) = lines.next() {
            let json = lines.next().filter(|json| json.ends_with('\n')).ok_or("it is cut off")?;
            let named: Named<'_> = serde_json::from_str(json)
                .map_err(|error| format!("its content cannot be read ({error})"))?;
            group.is_damaged |= !is_intact(header, json);
            let source = named.source.into_owned();
            if group.members.insert(source.clone(), [header, json].concat()).is_some() {
                return Err(format!("it has {source:?} twice"));
            }
        }
        if group.members.is_empty() { Err("it is empty".into()) } else { Ok(group) }
    }

    /// The names of its sources.
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// The checkpoint of a source that is in it, or what is wrong with that.
    pub(super) fn get(&self, source: &str) -> Option<Result<Checkpoint, String>> {
        Some(decode(self.members.get(source)?.as_bytes()))
    }

    /// Puts a checkpoint in the place of the one before.
    pub(super) fn put(&mut self, checkpoint: &Checkpoint) -> std::io::Result<()> {
        let bytes = encode(checkpoint).map_err(std::io::Error::other)?;
        let text = String::from_utf8(bytes).map_err(std::io::Error::other)?;
        self.members.insert(checkpoint.source.clone(), text);
        Ok(())
    }

    /// What its file has in it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.members.values().map(String::as_str).collect::<String>().into_bytes()
    }
}
