//! A copy in the place of a file that a run of an earlier term may hold open.
//!
//! That run may be frozen, and wake in the middle of anything. An open file cannot be taken away from it, but
//! its name can: a copy of what was committed gets the name, and whatever is written into the old file is
//! nowhere to be seen. The frozen run may itself be in the middle of putting a copy there, one step before the
//! rename, so that it would put an old copy in the place of a newer file. Therefore
//!
//! - a successor removes the copies of others first, so that their rename finds nothing to rename;
//! - a copy is looked after behind its making: one that is made after that removal is made after the successor
//!   has the lock, and the look shows it.

use std::io;
use std::path::Path;

use super::output::failed;
use crate::checkpoint::Lease;
use crate::error::Result;
use crate::fs::{Fs, FsFile, OpenMode};

/// So many bytes at once are copied.
const PIECE: usize = 1024 * 1024;

/// Removes what earlier runs have left of copies of this file, and never a successor's. Comes before the file is
/// opened.
///
/// `names` is what the folder held at some time since the lock is ours: a copy that is not among them is made by one
/// that will look, and see that.
pub(super) fn remove_copies(
    fs: &dyn Fs,
    dir: &Path,
    names: &[String],
    file: &str,
    lease: &Lease,
) -> Result<()> {
    let prefix = format!(".{file}.");
    let term = |name: &str| name.strip_prefix(&prefix)?.strip_suffix(".copy")?.parse::<u64>().ok();
    for name in names.iter().filter(|name| term(name).is_some_and(|term| term <= lease.term())) {
        let path = dir.join(name);
        match fs.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&path, "cannot be removed", error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Copies so many bytes of a file, or none, and puts the copy in its place. Gives the copy, open.
pub(super) fn replace(
    fs: &dyn Fs,
    dir: &Path,
    file: &str,
    from: Option<(Box<dyn FsFile>, u64)>,
    lease: &Lease,
) -> Result<Box<dyn FsFile>> {
    let path = dir.join(file);
    let staged = dir.join(format!(".{file}.{}.copy", lease.term()));
    let copied = copy(fs, &staged, from).map_err(|error| failed(&staged, "cannot be written", error))?;
    lease.check()?;
    fs.rename(&staged, &path).map_err(|error| failed(&path, "cannot be replaced by its copy", error))?;
    fs.sync_dir(dir).map_err(|error| failed(dir, "cannot be synced", error))?;
    Ok(copied)
}

pub(super) fn copy(
    fs: &dyn Fs,
    to: &Path,
    from: Option<(Box<dyn FsFile>, u64)>,
) -> io::Result<Box<dyn FsFile>> {
    let copy = fs.open(to, OpenMode::New)?;
    if let Some((from, length)) = from {
        let mut done = 0;
        while done < length {
            let bytes = from.read_at(done, usize::try_from(length - done).unwrap_or(PIECE).min(PIECE))?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            copy.append(&bytes)?;
            done += bytes.len() as u64;
        }
    }
    copy.sync()?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Hold;
    use crate::fs::Disk;

    #[derive(Debug)]
    struct Term(u64);

    impl Hold for Term {
        fn term(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_run_removes_copies_of_its_own_and_earlier_terms_and_never_a_successor_s() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".a.jsonl.1.copy", ".a.jsonl.2.copy", ".a.jsonl.3.copy", ".b.jsonl.1.copy"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let names = Disk.names(dir.path()).unwrap();
        remove_copies(&Disk, dir.path(), &names, "a.jsonl", &Lease::new(Term(2))).unwrap();
        let mut left = Disk.names(dir.path()).unwrap();
        left.sort();
        assert_eq!(left, [".a.jsonl.3.copy", ".b.jsonl.1.copy"]);
    }
}
