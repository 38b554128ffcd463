//! What a commit does: it makes durable what was written, begins to ship what is stored, and removes what is shipped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::log::{Log, OpenFile};
use super::segment::Segment;
use super::shipping::{Dock, Watch};
use super::state::{Sealed, State, file_name};
use super::{failed, of};
use crate::checkpoint::Lease;
use crate::error::Result;
use crate::fs::Fs;

/// What a commit takes in.
#[derive(Debug, Default)]
pub(super) struct Commit {
    pub(super) files: Vec<(Arc<str>, OpenFile)>,
    pub(super) remove: Vec<PathBuf>,
    pub(super) told: Vec<Told>,
}

/// The state of a source that a commit gives, and what it has to learn before that.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) source: Arc<str>,
    pub(super) state: State,
    pub(super) watch: Watch,
    /// Where it tells how many are shipped in it.
    pub(super) shipped: Arc<AtomicU64>,
    /// Whether it waits for what is on its way.
    pub(super) waits: bool,
}

/// Ships what is stored as sealed, unless something is on its way.
pub(super) fn ship(dock: &Dock, fs: &Arc<dyn Fs>, lease: &Option<Lease>, source: &Arc<str>, log: &mut Log) {
    let Some(lease) = lease else { return };
    if !log.shipping.is_over() {
        return;
    }
    let stored = log.state.sealed.iter().filter(|sealed| sealed.number <= log.sealed_stored);
    let segment = |sealed: &Sealed| Segment {
        source: source.clone(),
        label: log.label.clone(),
        stem: log.state.stem.as_str().into(),
        sealed: sealed.clone(),
        lease: lease.clone(),
        fs: fs.clone(),
        path: log.dir.join(file_name(&log.state.stem, sealed.number, sealed.term)),
    };
    let segments: Vec<Segment> = stored.map(segment).collect();
    if !segments.is_empty() {
        log.shipping.begin(dock, segments);
    }
}

/// Makes files durable, first what is in them, then the names of new ones; and removes those that no stored state names.
pub(super) fn store(
    fs: &dyn Fs,
    dir: &Path,
    files: &[(Arc<str>, OpenFile)],
    remove: &[PathBuf],
) -> Result<()> {
    let synced = fs.sync_all(files.iter().map(|(_, file)| &*file.file).collect());
    synced.map_err(|(index, error)| match files.get(index) {
        Some((source, file)) => of(source, failed(&file.path, "cannot be synced", error)),
        None => failed(dir, "cannot be synced", error),
    })?;
    for path in remove {
        match fs.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(path, "cannot be removed", error));
            }
            _ => {}
        }
    }
    if !remove.is_empty() || files.iter().any(|(_, file)| !file.is_named.load(Ordering::Acquire)) {
        fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
        files.iter().for_each(|(_, file)| file.is_named.store(true, Ordering::Release));
    }
    Ok(())
}
