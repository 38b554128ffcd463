//! Batches into the bytes of an object.

use std::fmt;
use std::io::Write;

use crate::error::{Error, ErrorKind, Result};
use crate::records::{Annotator, Batch};

/// Turns the batches of one object into its bytes.
///
/// What is ready may be taken away and uploaded before the object is whole.
pub(super) trait Encode: fmt::Debug + Send {
    /// Takes the records of a page.
    fn append(&mut self, batch: &Batch) -> Result<()>;

    /// What is ready to be uploaded.
    fn ready(&mut self) -> &mut Vec<u8>;

    /// Ends the object, and gives what has not been taken away.
    fn finish(self: Box<Self>) -> Result<Vec<u8>>;
}

/// How lines are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub(super) enum Compression {
    None,
    #[default]
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Compression {
    /// What the names of the objects end with.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::None => "jsonl",
            Self::Gzip => "jsonl.gz",
            #[cfg(feature = "zstd")]
            Self::Zstd => "jsonl.zst",
        }
    }
}

/// Annotated lines.
#[derive(Debug)]
pub(super) struct Lines {
    annotator: Annotator,
    lines: Vec<u8>,
    into: Into,
}

enum Into {
    /// The lines are what is uploaded.
    Lines,
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl fmt::Debug for Into {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines => "Lines",
            Self::Gzip(_) => "Gzip",
            #[cfg(feature = "zstd")]
            Self::Zstd(_) => "Zstd",
        })
    }
}

impl Lines {
    pub(super) fn new(label: &str, compression: Compression) -> Result<Self> {
        let into = match compression {
            Compression::None => Into::Lines,
            Compression::Gzip => {
                Into::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6)))
            }
            #[cfg(feature = "zstd")]
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).map_err(uncompressed)?;
                encoder.include_checksum(true).map_err(uncompressed)?;
                Into::Zstd(encoder)
            }
        };
        Ok(Self { annotator: Annotator::new(label), lines: Vec::new(), into })
    }
}

fn uncompressed(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Sink, "the lines cannot be compressed").because(error)
}

impl Encode for Lines {
    fn append(&mut self, batch: &Batch) -> Result<()> {
        self.annotator.append_batch(batch, &mut self.lines);
        let written = match &mut self.into {
            Into::Lines => return Ok(()),
            Into::Gzip(encoder) => encoder.write_all(&self.lines),
            #[cfg(feature = "zstd")]
            Into::Zstd(encoder) => encoder.write_all(&self.lines),
        };
        self.lines.clear();
        written.map_err(uncompressed)
    }

    fn ready(&mut self) -> &mut Vec<u8> {
        match &mut self.into {
            Into::Lines => &mut self.lines,
            Into::Gzip(encoder) => encoder.get_mut(),
            #[cfg(feature = "zstd")]
            Into::Zstd(encoder) => encoder.get_mut(),
        }
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        match self.into {
            Into::Lines => Ok(self.lines),
            Into::Gzip(encoder) => encoder.finish().map_err(uncompressed),
            #[cfg(feature = "zstd")]
            Into::Zstd(encoder) => encoder.finish().map_err(uncompressed),
        }
    }
}
