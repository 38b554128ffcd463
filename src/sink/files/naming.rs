//! Final names: given when the checkpoint is stored that knows the file as finished, and never to two files.
//!
//! A name is a second name of the partial file first, which fails where one is taken; then the folder is synced; then the
//! first name goes. A crash leaves one of the names or both, and the next run goes on from there. Whoever sees a file under its
//! final name has all of it, for good: it was committed before.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::output::{TAIL, failed, hash};
use super::state::Finished;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, OpenMode};

/// Where files are until they are finished.
pub(super) const PARTIALS: &str = ".partial";

/// Gives finished files their names. `is_again` says that an earlier run may have done so, and the files may be
/// gone since.
pub(super) fn name_all(fs: &dyn Fs, dir: &Path, finished: &[Finished], is_again: bool) -> Result<()> {
    if finished.is_empty() {
        return Ok(());
    }
    let mut folders = BTreeSet::new();
    for one in finished {
        if !one.is_inside() {
            let what = format!("the checkpoint names a file that is not one of {}", dir.display());
            return Err(Error::new(ErrorKind::Checkpoint, what));
        }
        let name = dir.join(&one.name);
        let folder = name.parent().unwrap_or(dir).to_owned();
        if folder != dir && !folders.contains(&folder) {
            fs.create_dir_all(&folder).map_err(|error| failed(&folder, "cannot be made", error))?;
        }
        folders.insert(folder);
        name_one(fs, dir, one, is_again)?;
    }
    for folder in &folders {
        fs.sync_dir(folder).map_err(|error| failed(folder, "cannot be synced", error))?;
    }
    let partials = dir.join(PARTIALS);
    for one in finished {
        remove(fs, &partials.join(&one.partial))?;
    }
    // So that no second name comes back when nobody looks any more.
    fs.sync_dir(&partials).map_err(|error| failed(&partials, "cannot be synced", error))
}

fn name_one(fs: &dyn Fs, dir: &Path, one: &Finished, is_again: bool) -> Result<()> {
    let (partial, name) = (dir.join(PARTIALS).join(&one.partial), dir.join(&one.name));
    let error = match fs.link(&partial, &name) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::AlreadyExists if is_it(fs, &name, one)? => Ok(()),
        io::ErrorKind::AlreadyExists => {
            let what = format!("{} is there already, and is another file", name.display());
            Err(Error::new(ErrorKind::Sink, what).advice(format!(
                "no file is ever overwritten; move it away, and run again: what belongs there is in {}",
                partial.display()
            )))
        }
        io::ErrorKind::NotFound if is_it(fs, &name, one)? => Ok(()),
        io::ErrorKind::NotFound if is_again => {
            tracing::warn!(file = %name.display(), "a finished file has been taken away since");
            Ok(())
        }
        // No second names here: FAT, or a share.
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied => {
            match fs.open(&name, OpenMode::Existing) {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => fs
                    .rename(&partial, &name)
                    .map_err(|error| failed(&name, "cannot be given its name", error)),
                _ => Err(failed(&name, "is there already", error)),
            }
        }
        _ => Err(failed(&name, "cannot be given its name", error)),
    }
}

/// Whether what has the name is the file that it was meant for.
fn is_it(fs: &dyn Fs, name: &Path, one: &Finished) -> Result<bool> {
    let read = |error| failed(name, "cannot be read", error);
    let file = match fs.open(name, OpenMode::Existing) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(read(error)),
    };
    let size = one.length.min(TAIL as u64);
    Ok(file.length().map_err(read)? == one.length
        && hash(&file.read_at(one.length - size, size as usize).map_err(read)?) == one.tail)
}

/// Takes a name away, if it is there.
pub(super) fn remove(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(path, "cannot be removed", error))
        }
        _ => Ok(()),
    }
}
