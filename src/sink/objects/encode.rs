//! Batches into the bytes of an object.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::records::{Annotator, Batch};
use crate::sink::files::{Compression, Stream};

/// Turns records into the bytes of one object.
///
/// What is ready may be taken away and uploaded before the object is whole.
pub(super) trait Encode: fmt::Debug + Send {
    /// What is ready to be uploaded.
    fn ready(&mut self) -> &mut Vec<u8>;

    /// How many bytes are in memory that are not ready yet, where it matters.
    fn held(&self) -> usize {
        0
    }

    /// Ends the object, and gives what has not been taken away.
    fn finish(self: Box<Self>) -> Result<Vec<u8>>;
}

/// What is left of an object that is ended.
impl Encode for Vec<u8> {
    fn ready(&mut self) -> &mut Vec<u8> {
        self
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(*self)
    }
}

impl Encode for Box<dyn Encode> {
    fn ready(&mut self) -> &mut Vec<u8> {
        (**self).ready()
    }

    fn held(&self) -> usize {
        (**self).held()
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        (*self).finish()
    }
}

/// Annotated lines.
pub(super) struct Lines {
    annotator: Annotator,
    lines: Vec<u8>,
    into: Stream,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("annotator", &self.annotator).finish_non_exhaustive()
    }
}

impl Lines {
    pub(super) fn new(label: &str, compression: Compression) -> Result<Self> {
        let into = Stream::new(compression).map_err(uncompressed)?;
        Ok(Self { annotator: Annotator::new(label), lines: Vec::new(), into })
    }

    /// Takes the records of a page.
    pub(super) fn append(&mut self, batch: &Batch) -> Result<()> {
        self.annotator.append_batch(batch, &mut self.lines);
        self.into.take(&mut self.lines).map_err(uncompressed)
    }
}

fn uncompressed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Sink, "the lines cannot be compressed").because(error)
}

impl Encode for Lines {
    fn ready(&mut self) -> &mut Vec<u8> {
        self.into.out()
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        self.into.finish().map_err(uncompressed)
    }
}
