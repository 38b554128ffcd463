//! Pieces of a file, each compressed by itself.
//!
//! Each piece is a gzip member (RFC 1952 §2.2) or a zstd frame (RFC 8878 §3) of its own, and a file is what they are one
//! behind the other: both formats say that this is one text. So wherever a commit falls, it falls between two of them,
//! and a file that is cut back there is whole.

use std::io::{self, BufRead, Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

/// How files are compressed.
///
/// What was committed can be read at any moment, by `zcat`, `zstdcat` and whatever else reads such files: a commit ends a
/// gzip member, or a zstd frame. They are of up to 512 KiB of text. Many small commits make many small ones, which compress
/// badly: with compression, [`commit_every`](crate::Pipeline::commit_every) is better a minute than a second.
///
/// ```
/// use headwater::sink::{Compression, Jsonl};
/// let sink = Jsonl::dir("out").compress(Compression::gzip().level(9));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Compression(Kind);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    None,
    Gzip(u32),
    #[cfg(feature = "zstd")]
    Zstd(i32),
}

impl Compression {
    /// Compresses nothing.
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// Compresses with gzip, at level 6. The names end in `.gz`.
    pub fn gzip() -> Self {
        Self(Kind::Gzip(6))
    }

    /// Compresses with zstd, at level 3. The names end in `.zst`.
    #[cfg(feature = "zstd")]
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    pub fn zstd() -> Self {
        Self(Kind::Zstd(3))
    }

    /// Sets how hard it tries: 0 to 9 for gzip, 1 to 22 for zstd. What lies outside is set to the nearest.
    #[must_use]
    pub fn level(self, level: u32) -> Self {
        Self(match self.0 {
            Kind::None => Kind::None,
            Kind::Gzip(_) => Kind::Gzip(level.min(9)),
            #[cfg(feature = "zstd")]
            Kind::Zstd(_) => Kind::Zstd(i32::try_from(level.clamp(1, 22)).unwrap_or(22)),
        })
    }

    pub(in crate::sink) fn is_none(self) -> bool {
        self.0 == Kind::None
    }

    /// What stands behind the name of a file.
    pub(in crate::sink) fn suffix(self) -> &'static str {
        match self.0 {
            Kind::None => "",
            Kind::Gzip(_) => ".gz",
            #[cfg(feature = "zstd")]
            Kind::Zstd(_) => ".zst",
        }
    }

    /// Reads pieces, one behind the other, as one text.
    pub(super) fn reader<'a>(self, pieces: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self.0 {
            Kind::None => Box::new(pieces),
            Kind::Gzip(_) => Box::new(MultiGzDecoder::new(pieces)),
            #[cfg(feature = "zstd")]
            Kind::Zstd(_) => Box::new(zstd::stream::read::Decoder::with_buffer(pieces)?),
        })
    }

    /// One piece; `None` if it stays as it is.
    pub(super) fn compress(self, text: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.0 {
            Kind::None => Ok(None),
            Kind::Gzip(level) => {
                let out = Vec::with_capacity(text.len() / 4);
                let mut encoder = GzEncoder::new(out, flate2::Compression::new(level));
                encoder.write_all(text)?;
                encoder.finish().map(Some)
            }
            #[cfg(feature = "zstd")]
            Kind::Zstd(level) => {
                let mut compressor = zstd::bulk::Compressor::new(level)?;
                compressor.include_checksum(true)?;
                compressor.compress(text).map(Some)
            }
        }
    }
}

/// A whole output in one gzip member or zstd frame, whose bytes are taken away as they come.
#[cfg(feature = "objects")]
pub(in crate::sink) enum Stream {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

#[cfg(feature = "objects")]
impl Stream {
    pub(in crate::sink) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression.0 {
            Kind::None => Self::Plain(Vec::new()),
            Kind::Gzip(level) => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(level))),
            #[cfg(feature = "zstd")]
            Kind::Zstd(level) => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), level)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Takes what was gathered, and leaves it empty.
    pub(in crate::sink) fn take(&mut self, text: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.append(text),
            Self::Gzip(encoder) => encoder.write_all(text)?,
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.write_all(text)?,
        }
        text.clear();
        Ok(())
    }

    /// What has come out.
    pub(in crate::sink) fn out(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(out) => out,
            Self::Gzip(encoder) => encoder.get_mut(),
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.get_mut(),
        }
    }

    /// Ends it, and gives what has not been taken away.
    pub(in crate::sink) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(out) => Ok(out),
            Self::Gzip(encoder) => encoder.finish(),
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_one_behind_the_other_are_one_text() {
        for level in [0, 1, 6, 9, 99] {
            let mut file = Vec::new();
            for piece in ["a\n", "", "b\n"] {
                let gzip = Compression::gzip().level(level);
                file.extend(gzip.compress(piece.as_bytes()).unwrap().unwrap());
            }
            let mut text = String::new();
            flate2::read::MultiGzDecoder::new(&*file).read_to_string(&mut text).unwrap();
            assert_eq!(text, "a\nb\n");
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn frames_one_behind_the_other_are_one_text() {
        for level in [0, 3, 22, 99] {
            let mut file = Vec::new();
            for piece in ["a\n", "", "b\n"] {
                let zstd = Compression::zstd().level(level);
                file.extend(zstd.compress(piece.as_bytes()).unwrap().unwrap());
            }
            assert_eq!(zstd::stream::decode_all(&*file).unwrap(), b"a\nb\n");
        }
    }
}
