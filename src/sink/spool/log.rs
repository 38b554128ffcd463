//! The log of one source: the segment that is written to, and those behind it that are not shipped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;
use tokio::time::Instant;

use super::chain::Chain;
use super::shipping::Shipping;
use super::state::{Sealed, State, file_name, hex};
use super::{broken_off, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode, Work};

/// The file of the segment that is written to.
#[derive(Debug)]
pub(super) enum Slot {
    /// Not made yet.
    Missing,
    Open(OpenFile),
    /// A piece is on its way to it, or was broken off: nothing is known.
    Lost,
}

/// A file that is there. A clone is the same.
#[derive(Debug, Clone)]
pub(super) struct OpenFile {
    pub(super) path: Arc<Path>,
    pub(super) file: Arc<dyn FsFile>,
    /// Whether its name is durable.
    pub(super) is_named: Arc<AtomicBool>,
}

impl OpenFile {
    pub(super) fn new(path: PathBuf, file: Box<dyn FsFile>) -> Self {
        Self { path: path.into(), file: file.into(), is_named: Arc::default() }
    }
}

/// Lines, and where they belong.
#[derive(Debug)]
pub(super) struct Piece {
    path: PathBuf,
    pub(super) slot: Slot,
    /// How long the file is before them.
    at: u64,
    lines: Vec<u8>,
}

impl Piece {
    /// Appends it, to a new file if there is none.
    pub(super) fn write(&mut self, fs: &dyn Fs) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        if matches!(self.slot, Slot::Missing) {
            let new = fs.open(&self.path, OpenMode::New);
            let new = new.map_err(|error| failed(&self.path, "cannot be made", error))?;
            self.slot = Slot::Open(OpenFile::new(self.path.clone(), new));
        }
        let Slot::Open(OpenFile { file, .. }) = &self.slot else { return Err(broken_off()) };
        let write = |error| failed(&self.path, "cannot be written", error);
        if file.length().map_err(write)? != self.at {
            let what = format!("{} was changed by someone else while it was written", self.path.display());
            return Err(Error::new(ErrorKind::Sink, what));
        }
        file.append(&self.lines).map_err(write)?;
        self.lines.clear();
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Log {
    pub(super) dir: Arc<Path>,
    pub(super) label: Arc<str>,
    /// All but what is in the buffer; of what is shipped, what was known when the last commit began.
    pub(super) state: State,
    pub(super) slot: Slot,
    chain: Chain,
    pub(super) buffer: Vec<u8>,
    /// When the first row came into the segment.
    pub(super) since: Option<Instant>,
    writing: Option<Work<(Piece, Result<()>)>>,
    /// Files that were written to and sealed since the last commit began.
    sealed_files: Vec<OpenFile>,
    pub(super) is_touched: bool,
    /// Whether it was told that the source is finished and settled.
    pub(super) is_over: bool,
    /// What the last commit has told: up to which number segments were sealed then. Once the next one begins that is stored.
    pub(super) sealed_stored: u64,
    pub(super) sealed_told: u64,
    /// The same for what is shipped; a commit sets it when it is over.
    pub(super) shipped_told: Arc<AtomicU64>,
    pub(super) shipping: Shipping,
    /// The files of what is shipped, by number.
    spent: Vec<(u64, PathBuf)>,
    /// Files that the stored state does not name any more.
    pub(super) leftover: Vec<PathBuf>,
}

impl Log {
    pub(super) fn new(dir: &Path, label: &str, state: State, slot: Slot, chain: Chain) -> Self {
        let sealed = state.number - 1;
        Self {
            dir: dir.into(),
            label: label.into(),
            slot,
            chain,
            buffer: Vec::new(),
            since: None,
            writing: None,
            sealed_files: Vec::new(),
            is_touched: false,
            is_over: false,
            // The state that it was opened with is stored.
            sealed_stored: sealed,
            sealed_told: sealed,
            shipped_told: Arc::new(AtomicU64::new(state.shipped)),
            shipping: Shipping::idle(state.shipped),
            spent: Vec::new(),
            leftover: Vec::new(),
            state,
        }
    }

    /// Bytes of the segment, those in the buffer included.
    pub(super) fn length(&self) -> u64 {
        self.state.length + self.buffer.len() as u64
    }

    /// Takes what is buffered, for its way to the file. The piece before must have arrived.
    pub(super) fn piece(&mut self) -> Piece {
        let lines = std::mem::take(&mut self.buffer);
        let at = self.state.length;
        self.state.length += lines.len() as u64;
        self.chain.add(&lines);
        let path = self.dir.join(file_name(&self.state.stem, self.state.number, self.state.term));
        Piece { path, slot: std::mem::replace(&mut self.slot, Slot::Lost), at, lines }
    }

    /// Sends what is buffered on its way.
    pub(super) async fn send<L: Send + 'static>(&mut self, fs: &Arc<dyn Fs>, lease: L) -> Result<()> {
        self.settle().await?;
        let mut piece = self.piece();
        self.writing = Some(Work::begin(fs, move |fs| {
            let _lease = lease;
            let outcome = piece.write(fs);
            (piece, outcome)
        }));
        Ok(())
    }

    /// Waits until the piece that is on its way has arrived.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let lost = |error: io::Error| failed(&self.dir, "cannot be written", error);
        let (piece, outcome) = writing.wait().await.map_err(lost)?;
        outcome?;
        self.slot = piece.slot;
        if self.buffer.capacity() == 0 {
            self.buffer = piece.lines;
        }
        Ok(())
    }

    /// Begins the next segment, in the term of now. All that was written must have arrived. Gives how many bytes are sealed.
    pub(super) fn seal(&mut self, now: u64, note: Value) -> Result<u64> {
        if self.state.length == 0 {
            return Ok(0);
        }
        let slot = std::mem::replace(&mut self.slot, Slot::Missing);
        let Slot::Open(file) = slot else { return Err(broken_off()) };
        self.sealed_files.push(file);
        let (state, chain) = (&mut self.state, std::mem::take(&mut self.chain));
        let (number, length, rows, term) = (state.number, state.length, state.rows, state.term);
        state.sealed.push(Sealed { number, length, rows, hash: hex(chain.hash()), term, note });
        (state.number, state.length, state.rows, state.term) = (number + 1, 0, 0, now);
        self.since = None;
        self.is_touched = true;
        Ok(length)
    }

    /// The state of now, when everything has arrived.
    pub(super) fn told(&mut self) -> State {
        (self.state.blocks, self.state.hash) = (hex(self.chain.blocks()), hex(self.chain.hash()));
        self.state.clone()
    }

    /// Hands the files that were written to over to a commit.
    pub(super) fn take_files(&mut self) -> Vec<OpenFile> {
        let mut files = std::mem::take(&mut self.sealed_files);
        if let (true, Slot::Open(file)) = (self.is_touched, &self.slot) {
            files.push(file.clone());
        }
        self.is_touched = false;
        files
    }

    /// Notes what was shipped since.
    ///
    /// # Errors
    /// That for which a segment could not be shipped.
    pub(super) fn look(&mut self) -> Result<()> {
        let progress = self.shipping.progress()?;
        let shipped = self.state.sealed.iter().take_while(|sealed| sealed.number <= progress.shipped);
        let stem = &self.state.stem;
        let spent = shipped.map(|it| (it.number, self.dir.join(file_name(stem, it.number, it.term))));
        self.spent.extend(spent);
        self.state.note(&progress);
        Ok(())
    }

    /// The files of segments that the stored state knows as shipped.
    pub(super) fn take_spent(&mut self) -> Vec<PathBuf> {
        let stored = self.shipped_told.load(Ordering::Acquire);
        self.state.removed = self.state.removed.max(stored);
        let (spent, kept) =
            std::mem::take(&mut self.spent).into_iter().partition(|(number, _)| *number <= stored);
        self.spent = kept;
        let mut files = std::mem::take(&mut self.leftover);
        let spent: Vec<(u64, PathBuf)> = spent;
        files.extend(spent.into_iter().map(|(_, file)| file));
        files
    }
}
