//! What a body is coded in, and undoing it into a buffer with a cap.
//!
//! gzip is undone here and not in the client, for three reasons: a body that is coded twice must be refused, a
//! bomb must be stopped in the middle of a packet, and the headers must still say how the body was framed.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use http::header::{CONTENT_ENCODING, HeaderMap};

use crate::error::{Error, ErrorKind, Result};

/// What a body is coded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
}

impl Coding {
    /// Says how a body is coded, or refuses it.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self> {
        // Some servers put the charset here; the body is plain all the same.
        const PLAIN: [&str; 4] = ["", "identity", "none", "utf-8"];
        // RFC 9110 §8.4.1.3: "x-gzip" is the same.
        const GZIP: [&str; 2] = ["gzip", "x-gzip"];
        let lines = headers.get_all(CONTENT_ENCODING).iter();
        let listed: Vec<String> =
            lines.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let all = listed.join(", ").to_ascii_lowercase();
        let codings: Vec<&str> =
            all.split(',').map(str::trim).filter(|coding| !PLAIN.contains(coding)).collect();
        match codings.as_slice() {
            [] => Ok(Coding::Plain),
            [one] if GZIP.contains(one) => Ok(Coding::Gzip),
            [_] => Err(foreign("unknown content coding", &all)),
            _ => Err(foreign("content codings on top of each other:", &all)),
        }
    }
}

fn foreign(what: &str, codings: &str) -> Error {
    Error::new(ErrorKind::Encoding, format!("{what} \"{}\"", codings.escape_debug()))
        .advice("gzip is understood, once; the server was asked for nothing else")
}

/// Undoes the coding, into a buffer that never grows above its cap.
pub(super) enum Decoder {
    Plain(Capped),
    Gzip {
        decoder: Box<MultiGzDecoder<Capped>>,
        /// Coded bytes, which are capped as well: gzip can go on for ever without a byte of output.
        coded: usize,
    },
}

/// Why a body cannot be taken.
#[derive(Debug)]
pub(super) enum Fault {
    Full,
    Corrupt(io::Error),
}

impl Decoder {
    /// Reads into a buffer, which is empty.
    pub(super) fn new(coding: Coding, buffer: Vec<u8>, cap: usize) -> Self {
        let body = Capped { body: buffer, cap, refused: 0 };
        match coding {
            Coding::Plain => Self::Plain(body),
            Coding::Gzip => Self::Gzip { decoder: Box::new(MultiGzDecoder::new(body)), coded: 0 },
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Plain(body) => body.write_all(chunk).map_err(|_| Fault::Full),
            Self::Gzip { decoder, coded } => {
                *coded = coded.saturating_add(chunk.len());
                if *coded > decoder.get_ref().cap {
                    return Err(Fault::Full);
                }
                decoder.write_all(chunk).map_err(|error| Self::fault(decoder.get_ref(), error))
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Fault> {
        // An answer without a body has nothing to decode.
        if let Self::Gzip { decoder, coded: 1.. } = self {
            decoder.try_finish().map_err(|error| Self::fault(decoder.get_ref(), error))?;
        }
        Ok(std::mem::take(&mut self.capped_mut().body))
    }

    fn fault(body: &Capped, error: io::Error) -> Fault {
        if body.refused > 0 { Fault::Full } else { Fault::Corrupt(error) }
    }

    fn capped(&self) -> &Capped {
        match self {
            Self::Plain(body) => body,
            Self::Gzip { decoder, .. } => decoder.get_ref(),
        }
    }

    fn capped_mut(&mut self) -> &mut Capped {
        match self {
            Self::Plain(body) => body,
            Self::Gzip { decoder, .. } => decoder.get_mut(),
        }
    }

    /// Decoded bytes that came, those that were one too many included.
    pub(super) fn taken(&self) -> u64 {
        let body = self.capped();
        (body.body.len() + body.refused) as u64
    }

    pub(super) fn so_far(&mut self) -> Vec<u8> {
        if let Self::Gzip { decoder, .. } = self {
            // What is still in the decoder's own buffer.
            let _ = decoder.flush();
        }
        std::mem::take(&mut self.capped_mut().body)
    }
}

/// A buffer that takes no more than its cap.
#[derive(Debug)]
pub(super) struct Capped {
    body: Vec<u8>,
    cap: usize,
    /// How many bytes stood in what was refused.
    refused: usize,
}

impl Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.cap - self.body.len();
        let kept = &bytes[..bytes.len().min(room)];
        let needed = self.body.len() + kept.len();
        if needed > self.body.capacity() {
            // Twice as large each time, but never larger than the cap.
            let capacity = self.body.capacity().saturating_mul(2).min(self.cap).max(needed);
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(kept);
        if kept.len() < bytes.len() {
            self.refused = bytes.len() - kept.len();
            return Err(io::Error::other("the cap is reached"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(coded: &[u8], cap: usize) -> Result<Vec<u8>, Fault> {
        let mut decoder = Decoder::new(Coding::Gzip, Vec::new(), cap);
        // Byte by byte, the worst that a network can do.
        coded.iter().try_for_each(|byte| decoder.push(&[*byte]))?;
        decoder.finish()
    }

    #[test]
    fn gzip_is_undone_member_by_member() {
        let two = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(decode(&two, 100).unwrap(), b"[1,2]");
        assert_eq!(decode(&[], 100).unwrap(), b"");
    }

    #[test]
    fn gzip_that_is_cut_changed_or_followed_by_something_is_corrupt() {
        let whole = gzip(b"[1,2,3]");
        for end in 1..whole.len() {
            assert!(matches!(decode(&whole[..end], 100), Err(Fault::Corrupt(_))), "cut after {end}");
        }
        let mut changed = whole.clone();
        *changed.iter_mut().rev().nth(5).unwrap() ^= 1;
        assert!(matches!(decode(&changed, 100), Err(Fault::Corrupt(_))), "a wrong checksum");
        for tail in [&b"x"[..], &[0; 20], &whole[..12]] {
            assert!(matches!(decode(&[&whole, tail].concat(), 100), Err(Fault::Corrupt(_))), "{tail:?}");
        }
    }

    #[test]
    fn a_bomb_is_stopped_at_the_cap() {
        let bomb = gzip(&vec![b' '; 10_000_000]);
        let mut decoder = Decoder::new(Coding::Gzip, Vec::new(), 100_000);
        assert!(matches!(decoder.push(&bomb), Err(Fault::Full)), "in one packet");
        assert!(decoder.taken() <= 100_000 + 64 * 1024, "{}", decoder.taken());
        assert!(decoder.capped().body.capacity() <= 100_000);
    }

    #[test]
    fn gzip_without_output_is_stopped_as_well() {
        let empty_blocks = [&gzip(b"")[..10], &[0, 0, 0, 0xff, 0xff].repeat(1000)].concat();
        assert!(matches!(decode(&empty_blocks, 4000), Err(Fault::Full)));
    }

    #[test]
    fn codings_are_read_in_every_spelling() {
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, line.parse().unwrap());
            }
            Coding::of(&headers).ok()
        };
        for plain in [&[][..], &[""], &["Identity"], &["UTF-8"], &["identity, none"]] {
            assert_eq!(read(plain), Some(Coding::Plain), "{plain:?}");
        }
        for gzip in [&["gzip"][..], &["GZIP"], &["x-gzip"], &["identity", "gzip"]] {
            assert_eq!(read(gzip), Some(Coding::Gzip), "{gzip:?}");
        }
        for refused in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["gzip", "br"], &["gzipped"]] {
            assert_eq!(read(refused), None, "{refused:?}");
        }
    }
}
