//! What is known of the files from before: the state in the checkpoint, and what is in the folder.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use super::convert::{Known, half_made};
use crate::checkpoint::SinkState;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Fs;
use crate::schema::{Conformer, SchemaState};
use crate::sink::rejected::LettersState;
use crate::sink::spool::{self, Taken, failed, source_of, stem_of};

/// What the checkpoint keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) log: spool::State,
    pub(super) schema: SchemaState,
    pub(super) letters: LettersState,
}

impl State {
    pub(super) fn read(state: &SinkState) -> Result<Self> {
        serde_json::from_value(state.0.clone()).map_err(|error| {
            let what = "what the checkpoint says of the files cannot be read";
            Error::new(ErrorKind::Checkpoint, what).because(error)
        })
    }

    pub(super) fn told(self) -> Result<SinkState> {
        let state = serde_json::to_value(self);
        state
            .map(SinkState)
            .map_err(|error| Error::new(ErrorKind::Sink, "the state cannot be stored").because(error))
    }
}

/// Lists the folder of the files: which stems are taken. What these sources have half made is removed.
pub(super) fn look(fs: &dyn Fs, dir: &Path, sources: &[Arc<str>], term: u64) -> Result<Taken> {
    fs.create_dir_all(dir).map_err(|error| failed(dir, "cannot be used as the output folder", error))?;
    let names = fs.names(dir).map_err(|error| failed(dir, "cannot be listed", error))?;
    let source_of = |part: &str| stem_of(part).and_then(source_of).map(str::to_owned);
    let is_its = |part: &str| source_of(part).is_some_and(|of| sources.iter().any(|source| **source == *of));
    for path in half_made(dir, &names, term, is_its) {
        match fs.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&path, "cannot be removed", error));
            }
            _ => {}
        }
    }
    let stems = names.iter().filter_map(|name| stem_of(name.strip_suffix(".parquet")?).map(str::to_owned));
    let mut stems: Vec<String> = stems.collect();
    stems.sort();
    stems.dedup();
    Ok(Taken { place: dir.to_owned(), stems })
}

/// Tells the columns of a source to those who make its files.
pub(super) fn tell(known: &Known, source: &str, conformer: &Conformer) {
    if let Some(schema) = conformer.schema() {
        let schema = Arc::new(schema.clone());
        known.lock().unwrap_or_else(PoisonError::into_inner).insert(source.into(), schema);
    }
}
