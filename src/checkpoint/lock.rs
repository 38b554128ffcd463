//! Who may use a folder of checkpoints: numbered lock files, of which the highest counts.
//!
//! A run holds `lock` for as long as it lives; the system gives it up when the process ends, however it ends.
//! A run that hangs or is frozen keeps it. To go on without it, another takes the folder over: it makes and
//! holds `lock.1` (then `lock.2` …), the lock of the next *term*. The frozen one may wake at any moment, in the
//! middle of anything, so it must find out before what it does can count. Four rules see to that, and each puts
//! the look, or what stands for it, **behind** the step that it guards:
//!
//! - Checkpoints are read, and then the term is looked at. If it is still ours, they are not those of a
//!   successor, whose epochs would lift ours above his.
//! - What was read is claimed, stored under an epoch of the new term, before any output is touched. From then on
//!   it is not undone by whatever an earlier run stores late: that has a lower epoch.
//! - A checkpoint is stored, and then the term is looked at. If it is still ours, whoever takes over later
//!   reads what we stored. If it is not, the commit does not count: it may be on the disk, and the successor's
//!   claim is above it.
//! - A data file is opened, and then the term is looked at. If it is still ours, a successor will replace the
//!   file by a copy, and what we hold is then a file without a name.
//!
//! A look before the step would leave a gap to be frozen in.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Hold, Lease};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, Locked};

/// A folder that is ours for a term.
#[derive(Debug)]
struct FolderLock {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    term: u64,
    _held: Box<dyn fmt::Debug + Send + Sync>,
}

impl Hold for FolderLock {
    fn term(&self) -> u64 {
        self.term
    }

    fn blocks(&self) -> bool {
        self.fs.blocks()
    }

    fn check(&self) -> Result<()> {
        match newest(&*self.fs, &self.dir)? {
            newest if newest <= self.term => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Locked,
                format!("another run has taken {} over", self.dir.display()),
            )
            .advice("this run must not go on; the other one has the data")),
        }
    }
}

/// Who this is, for those who find the lock held.
pub(super) fn holder() -> String {
    let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
    format!("process {} since {now}", std::process::id())
}

/// Takes the lock that counts, or says who has it.
pub(super) fn lock(fs: &Arc<dyn Fs>, dir: &Path, holder: &str) -> Result<Lease> {
    fs.create_dir_all(dir).map_err(|error| unusable(dir, error))?;
    loop {
        let term = newest(&**fs, dir)?;
        if let Some(lease) = take(fs, dir, term, holder)? {
            return Ok(lease);
        }
    }
}

/// Takes the lock of the next term if the one that counts is held.
pub(super) fn take_over(fs: &Arc<dyn Fs>, dir: &Path, holder: &str) -> Result<Lease> {
    match lock(fs, dir, holder) {
        Err(error) if error.kind() == ErrorKind::Locked => {}
        free => return free,
    }
    let term = newest(&**fs, dir)? + 1;
    let lease = take(fs, dir, term, holder)?;
    // So that terms never go back: a run elsewhere may outlive this machine.
    fs.sync_dir(dir).map_err(|error| unusable(dir, error))?;
    // Whoever was quicker is a run in good health.
    let lease = lease.ok_or_else(|| busy(dir, "a run that has just taken it over"))?;
    tracing::warn!(dir = %dir.display(), term, "took the checkpoints over from another run");
    Ok(lease)
}

/// The lease of a term, or nothing if that term is over by now.
fn take(fs: &Arc<dyn Fs>, dir: &Path, term: u64, holder: &str) -> Result<Option<Lease>> {
    match fs.try_lock(&path_of(dir, term), holder).map_err(|error| unusable(dir, error))? {
        Locked::Busy(holder) => Err(busy(dir, &holder)),
        Locked::Held(held) => {
            let lock = FolderLock { fs: fs.clone(), dir: dir.to_owned(), term, _held: held };
            Ok((newest(&**fs, dir)? == term).then(|| Lease::new(lock)))
        }
    }
}

/// The highest term that there is a lock file of; 0 if there is none.
fn newest(fs: &dyn Fs, dir: &Path) -> Result<u64> {
    let names = fs.names(dir).map_err(|error| unusable(dir, error))?;
    // More than there can be is not a name that was given here.
    let term =
        |name: &String| name.strip_prefix("lock.")?.parse::<u32>().ok().filter(|term| *term < u32::MAX);
    Ok(names.iter().filter_map(term).max().map_or(0, u64::from))
}

fn path_of(dir: &Path, term: u64) -> PathBuf {
    dir.join(if term == 0 { "lock".to_owned() } else { format!("lock.{term}") })
}

fn busy(dir: &Path, holder: &str) -> Error {
    let holder = if holder.is_empty() { "another process".into() } else { holder.escape_debug().to_string() };
    Error::new(ErrorKind::Locked, format!("{} is in use by {holder}", dir.display())).advice(
        "wait for it to end, or use another folder; if it hangs, `Pipeline::take_over` goes on without it",
    )
}

fn unusable(dir: &Path, error: std::io::Error) -> Error {
    let what = format!("the folder {} cannot be used for checkpoints", dir.display());
    Error::new(ErrorKind::Checkpoint, what).because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Disk;

    fn disk() -> Arc<dyn Fs> {
        Arc::new(Disk)
    }

    #[test]
    fn a_second_run_is_told_who_the_first_is_and_how_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let lease = lock(&disk(), dir.path(), "process 7").unwrap();
        let error = lock(&disk(), dir.path(), "process 8").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(
            error.to_string().contains("process 7") && error.to_string().contains("take_over"),
            "{error}"
        );
        drop(lease);
        assert_eq!(lock(&disk(), dir.path(), "process 8").unwrap().term(), 0);
    }

    #[test]
    fn a_run_that_is_taken_over_finds_out_and_the_next_one_has_the_same_term() {
        let dir = tempfile::tempdir().unwrap();
        let frozen = lock(&disk(), dir.path(), "process 7").unwrap();
        frozen.check().unwrap();
        let second = take_over(&disk(), dir.path(), "process 8").unwrap();
        assert_eq!(frozen.check().unwrap_err().kind(), ErrorKind::Locked);
        second.check().unwrap();
        assert_eq!(second.term(), 1);
        let error = lock(&disk(), dir.path(), "process 9").unwrap_err();
        assert!(error.to_string().contains("process 8"), "{error}");
        let third = take_over(&disk(), dir.path(), "process 9").unwrap();
        assert_eq!((third.term(), second.check().is_err()), (2, true));
        drop(third);
        assert_eq!(
            lock(&disk(), dir.path(), "process 10").unwrap().term(),
            2,
            "though the first is frozen still"
        );
    }

    #[test]
    fn taking_over_what_nobody_holds_is_nothing_special() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(take_over(&disk(), dir.path(), "process 7").unwrap().term(), 0);
    }
}
