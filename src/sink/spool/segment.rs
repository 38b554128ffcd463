//! Segments on their way, and who takes them.

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::chain::Chain;
use super::state::{Sealed, hex};
use super::{damaged, failed};
use crate::checkpoint::Lease;
use crate::error::Result;
use crate::fs::{Fs, FsFile, OpenMode};

/// So many bytes at once are read.
const PIECE: usize = 256 * 1024;

/// Takes segments to where the records belong.
pub(crate) trait Ship: fmt::Debug + Send + Sync + 'static {
    /// Takes one there. After a crash it may be called again for the same stem and number, with the same bytes, and that
    /// must come to the same. Nothing is shipped before the checkpoint that has the segment sealed is stored, and of a source
    /// they come in their order, one at a time.
    ///
    /// What goes on when the future is dropped must hold the segment, for it holds the lease.
    ///
    /// # Errors
    /// Any: the run ends.
    fn ship(&self, segment: Segment) -> BoxFuture<'static, Result<Shipped>>;
}

/// What is told of a shipped segment: small, and no secret, for it goes into the state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shipped(pub(crate) Value);

/// A sealed segment, which never changes again.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) source: Arc<str>,
    /// What `__source` says.
    pub(crate) label: Arc<str>,
    /// `{source}_{run start}`: no other run of this source has it.
    pub(crate) stem: Arc<str>,
    /// Number, length, rows, hash, and what was noted when it was sealed.
    pub(crate) sealed: Sealed,
    pub(crate) lease: Lease,
    pub(super) fs: Arc<dyn Fs>,
    pub(super) path: PathBuf,
}

impl Segment {
    /// Opens it for reading. It may block.
    ///
    /// # Errors
    /// `Sink` if it cannot be opened, `Checkpoint` if it is not as long as it was.
    pub(crate) fn open(&self) -> Result<Reader> {
        let file = match self.fs.open(&self.path, OpenMode::Existing) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(&self.path, "the segment is gone before it was shipped".into()));
            }
            Err(error) => return Err(failed(&self.path, "cannot be opened", error)),
        };
        let length = file.length().map_err(|error| failed(&self.path, "cannot be read", error))?;
        if length < self.sealed.length {
            let why = format!("it has {length} bytes, but {} were committed", self.sealed.length);
            return Err(damaged(&self.path, why));
        }
        let (piece, chain) = (Vec::new(), Chain::default());
        Ok(Reader { file, left: self.sealed.clone(), at: 0, piece, taken: 0, chain })
    }

    /// Reads a part of it, for those that need not read it in one go. It may block.
    ///
    /// # Errors
    /// As for [`open`](Self::open). The hash is not looked at.
    pub(crate) fn read_at(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let left = usize::try_from(self.sealed.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let read = |error| failed(&self.path, "cannot be read", error);
        let file = self.fs.open(&self.path, OpenMode::Existing).map_err(read)?;
        let bytes = file.read_at(offset, length.min(left)).map_err(read)?;
        if bytes.len() < length.min(left) {
            return Err(damaged(&self.path, "it is shorter than it was when it was committed".into()));
        }
        Ok(bytes)
    }

    /// Says of an error where it was.
    pub(crate) fn unread(&self, error: io::Error) -> crate::error::Error {
        match error.kind() {
            io::ErrorKind::InvalidData => damaged(&self.path, error.to_string()),
            _ => failed(&self.path, "cannot be read", error),
        }
    }
}

/// Reads the committed bytes of a segment, and sees at their end whether they are what was written.
#[derive(Debug)]
pub(crate) struct Reader {
    file: Box<dyn FsFile>,
    left: Sealed,
    at: u64,
    piece: Vec<u8>,
    taken: usize,
    chain: Chain,
}

impl Reader {
    /// Reads the next piece behind what was taken.
    fn fill(&mut self) -> io::Result<()> {
        if self.taken < self.piece.len() || self.at == self.left.length {
            return Ok(());
        }
        let left = usize::try_from(self.left.length - self.at).unwrap_or(PIECE);
        self.piece = self.file.read_at(self.at, left.min(PIECE))?;
        self.taken = 0;
        if self.piece.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is shorter than what was committed"));
        }
        self.at += self.piece.len() as u64;
        self.chain.add(&self.piece);
        if self.at == self.left.length && hex(self.chain.hash()) != self.left.hash {
            let why = "it was changed: its bytes are not what was committed";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = io::BufRead::fill_buf(self)?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        self.taken += count;
        Ok(count)
    }
}

impl io::BufRead for Reader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.fill()?;
        Ok(&self.piece[self.taken..])
    }

    fn consume(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.piece.len());
    }
}
