//! A copy of a part without some of its records.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::ledger::Span;
use crate::error::Result;
use crate::fs::{Fs, FsFile, OpenMode};
use crate::sink::files::compress::Compression;
use crate::sink::files::naming::{PARTIALS, remove};
use crate::sink::files::opening::{check, damaged};
use crate::sink::files::output::{failed, hash};
use crate::sink::files::piece::End;
use crate::sink::files::state::{FileState, PartState};

/// So much text is compressed at once.
const PIECE: usize = 512 * 1024;

/// A part of a file, to be read from one end to the other.
struct Section<'a> {
    file: &'a dyn FsFile,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = (self.end - self.at).min(buffer.len() as u64) as usize;
        let bytes = self.file.read_at(self.at, wanted)?;
        if bytes.is_empty() && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

/// Pieces at the end of a new file.
struct Writer<'a> {
    file: &'a dyn FsFile,
    compression: Compression,
    end: End,
    text: Vec<u8>,
}

impl Writer<'_> {
    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)?;
        self.end.append(bytes);
        Ok(())
    }

    fn take(&mut self, text: &[u8]) -> io::Result<()> {
        self.text.extend_from_slice(text);
        if self.text.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.text);
        let compressed = self.compression.compress(&text)?;
        self.raw(compressed.as_ref().unwrap_or(&text))
    }
}

/// What became of a part: its copy, if anything is left of it, and where what is undecided stands in that.
pub(super) struct Rewritten {
    pub(super) part: Option<PartState>,
    /// From where the texts of commits began to where they do now.
    bases: BTreeMap<u64, u64>,
    dropped: Vec<Span>,
}

impl Rewritten {
    /// Where a span stands now.
    pub(super) fn moved(&self, span: Span) -> Span {
        let before = self.dropped.iter().filter(|one| one.base == span.base && one.offset < span.offset);
        let shift: u64 = before.map(|one| one.bytes).sum();
        let base = self.bases.get(&span.base).copied().unwrap_or(span.base);
        Span { base, offset: span.offset - shift, ..span }
    }
}

/// Copies a part without these spans, under another name. `bases` is where the texts of the commits begin that any span is of
/// which may be looked for later.
pub(super) fn rewrite(
    fs: &dyn Fs,
    dir: &Path,
    compression: Compression,
    part: &PartState,
    (name, term): (String, u64),
    mut dropped: Vec<Span>,
    bases: impl IntoIterator<Item = u64>,
) -> Result<Rewritten> {
    let partials = dir.join(PARTIALS);
    let (path, to) = (partials.join(&part.file.file), partials.join(&name));
    let file =
        fs.open(&path, OpenMode::Existing).map_err(|error| failed(&path, "cannot be opened", error))?;
    check(&*file, &part.file, &path)?;
    dropped.sort_by_key(|span| (span.base, span.offset));
    let mut bases: BTreeMap<u64, u64> = bases.into_iter().map(|base| (base, base)).collect();
    bases.extend(dropped.iter().map(|span| (span.base, span.base)));
    // What an earlier attempt has left.
    remove(fs, &to)?;
    let copy = fs.open(&to, OpenMode::New).map_err(|error| failed(&to, "cannot be made", error))?;
    let mut writer = Writer { file: &*copy, compression, end: End::default(), text: Vec::new() };
    let mut write = || -> io::Result<bool> {
        let starts: Vec<u64> = bases.keys().copied().collect();
        let first = starts.first().copied().unwrap_or(part.file.length);
        let mut buffer = vec![0; 256 * 1024];
        let mut raw = Section { file: &*file, at: 0, end: first };
        loop {
            let count = raw.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            writer.raw(&buffer[..count])?;
        }
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(part.file.length);
            bases.insert(*start, writer.end.length);
            let of_it = dropped.iter().filter(|span| span.base == *start);
            if !copy_text(&mut writer, Section { file: &*file, at: *start, end }, of_it, &mut buffer)? {
                return Ok(false);
            }
            writer.flush()?;
        }
        copy.sync()?;
        Ok(true)
    };
    let is_whole = write().map_err(|error| failed(&to, "cannot be written", error))?;
    if !is_whole {
        return Err(damaged(&path, "it is not as long as the ledger says".into()));
    }
    let rows: u64 = dropped.iter().map(|span| span.rows).sum();
    let End { length, tail } = writer.end;
    let file = FileState { file: name, length, tail: hash(&tail), term };
    let copied = PartState { file, rows: part.rows.saturating_sub(rows), ..part.clone() };
    if length == 0 {
        remove(fs, &to)?;
    }
    Ok(Rewritten { part: (length > 0).then_some(copied), bases, dropped })
}

/// Copies the text from one place to another but for some of it. False, if it is not as long as that.
fn copy_text<'a>(
    writer: &mut Writer<'_>,
    from: Section<'_>,
    dropped: impl Iterator<Item = &'a Span>,
    buffer: &mut [u8],
) -> io::Result<bool> {
    let mut text = writer.compression.reader(BufReader::with_capacity(64 * 1024, from))?;
    let (mut at, mut is_whole) = (0, true);
    let mut pass =
        |writer: Option<&mut Writer<'_>>, mut bytes: u64, text: &mut dyn Read| -> io::Result<u64> {
            let mut writer = writer;
            let mut done = 0;
            while bytes > 0 {
                let most = usize::try_from(bytes).unwrap_or(usize::MAX).min(buffer.len());
                let count = text.read(&mut buffer[..most])?;
                if count == 0 {
                    break;
                }
                if let Some(writer) = &mut writer {
                    writer.take(&buffer[..count])?;
                }
                (bytes, done) = (bytes - count as u64, done + count as u64);
            }
            Ok(done)
        };
    for span in dropped {
        let before = span.offset.saturating_sub(at);
        is_whole &= pass(Some(writer), before, &mut text)? == before;
        is_whole &= pass(None, span.bytes, &mut text)? == span.bytes;
        at = span.offset + span.bytes;
    }
    pass(Some(writer), u64::MAX, &mut text)?;
    Ok(is_whole)
}
