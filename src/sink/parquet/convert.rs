//! A segment of the log into a file.
//!
//! The file is written under another name and synced, and only then gets its own. One that has its name already was made of
//! this segment before a crash, and says so at its end: it stays.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FooterTail, ParquetMetaDataReader};
use serde_json::json;

use super::encode::{Encoder, Encoding};
use super::rows;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, FsFile, OpenMode, Work};
use crate::schema::Schema;
use crate::sink::spool::{Segment, Ship, Shipped, failed};

/// So many bytes at once go to the file.
const PIECE: usize = 1024 * 1024;
/// The size of what stands behind the notes of a file.
const TAIL: u64 = 8;
/// No notes are larger.
const MOST_NOTES: u64 = 256 * 1024 * 1024;

const SOURCE: &str = "headwater.source";
const RUN: &str = "headwater.run";
const PART: &str = "headwater.part";
const RECORDS: &str = "headwater.records";
const SEGMENT: &str = "headwater.segment";

/// The columns of each source, which only grow.
pub(super) type Known = Arc<Mutex<BTreeMap<Arc<str>, Arc<Schema>>>>;

/// Makes files of segments.
#[derive(Debug, Clone)]
pub(super) struct Converter {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) dir: Arc<Path>,
    pub(super) known: Known,
    pub(super) encoding: Encoding,
}

impl Ship for Converter {
    fn ship(&self, segment: Segment) -> BoxFuture<'static, Result<Shipped>> {
        let (converter, fs) = (self.clone(), self.fs.clone());
        Box::pin(async move {
            let dir = converter.dir.clone();
            let made = Work::begin(&fs, move |fs| converter.convert(fs, &segment)).wait().await;
            made.unwrap_or_else(|error| Err(failed(&dir, "cannot be written", error)))
        })
    }
}

/// The name of a part.
fn name_of(stem: &str, part: u64) -> String {
    format!("{stem}-{part:05}.parquet")
}

/// What a part is called while it is written, in this term.
fn staged_name(name: &str, term: u64) -> String {
    format!(".{name}.{term}.tmp")
}

/// The part that a file of this name is the beginning of, and the term.
pub(super) fn staged_of(name: &str) -> Option<(&str, u64)> {
    let (name, term) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    Some((name.strip_suffix(".parquet")?, term.parse().ok()?))
}

impl Converter {
    fn convert(&self, fs: &dyn Fs, segment: &Segment) -> Result<Shipped> {
        let name = name_of(&segment.stem, segment.sealed.number);
        let path = self.dir.join(&name);
        let shipped = Shipped(json!({ "file": name }));
        let broken = |error| failed(&path, "cannot be made", error);
        match fs.open(&path, OpenMode::Existing) {
            Ok(file) => {
                adopt(&*file, &path, segment)?;
                // Whether its name was made durable before the crash is not known.
                fs.sync_dir(&self.dir).map_err(|error| failed(&self.dir, "cannot be synced", error))?;
                return Ok(shipped);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path, "cannot be opened", error)),
        }
        let staged = self.dir.join(staged_name(&name, segment.lease.term()));
        match fs.remove(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&staged, "cannot be removed", error));
            }
            _ => {}
        }
        let file = fs.open(&staged, OpenMode::New).map_err(broken)?;
        self.write(&*file, segment, &path)?;
        file.sync().map_err(|error| failed(&staged, "cannot be synced", error))?;
        // Another run may have made it meanwhile.
        segment.lease.check()?;
        fs.rename(&staged, &path).map_err(|error| failed(&path, "cannot be given its name", error))?;
        fs.sync_dir(&self.dir).map_err(|error| failed(&self.dir, "cannot be synced", error))?;
        Ok(shipped)
    }

    fn write(&self, file: &dyn FsFile, segment: &Segment, path: &Path) -> Result<()> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&segment.source).cloned();
        let count = segment.sealed.note["columns"].as_u64().and_then(|count| usize::try_from(count).ok());
        let columns = known.as_ref().zip(count).and_then(|(schema, count)| schema.columns().get(..count));
        let Some(columns) = columns else {
            let what = format!("{}: the columns of its rows are not known", path.display());
            return Err(Error::new(ErrorKind::Checkpoint, what).advice("restore the checkpoint"));
        };
        let run = segment.stem.rsplit_once('_').map_or("", |(_, run)| run);
        let notes = vec![
            (SOURCE, segment.label.to_string()),
            (RUN, run.to_owned()),
            (PART, segment.sealed.number.to_string()),
            (RECORDS, segment.sealed.rows.to_string()),
            (SEGMENT, segment.sealed.hash.clone()),
        ];
        let unwritten = |error: ParquetError| match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => failed(path, "cannot be written", *error),
                Err(inner) => unmade(path).because(ParquetError::External(inner)),
            },
            error => unmade(path).because(error),
        };
        let to = BufWriter::with_capacity(PIECE, Appending(file));
        let mut encoder = Encoder::new(columns, to, self.encoding, notes).map_err(unwritten)?;
        let (mut reader, mut left) = (segment.open()?, segment.sealed.length);
        let (mut row, mut count) = (Vec::new(), 0_u64);
        let unread = |error| segment.unread(error);
        while rows::next(&mut reader, &mut left, &mut row).map_err(unread)? {
            let mut cells = Vec::with_capacity(columns.len());
            rows::cells(&row, &mut cells).map_err(unread)?;
            encoder.row(&cells).map_err(unwritten)?;
            count += 1;
        }
        if count != segment.sealed.rows {
            return Err(
                segment.unread(io::Error::new(io::ErrorKind::InvalidData, "it has not the rows that it had"))
            );
        }
        let mut to = encoder.finish().map_err(unwritten)?;
        to.flush().map_err(|error| failed(path, "cannot be written", error))
    }
}

fn unmade(path: &Path) -> Error {
    Error::new(ErrorKind::Sink, format!("{} cannot be written", path.display()))
}

/// Appends to a file.
struct Appending<'a>(&'a dyn FsFile);

impl Write for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes a file that was made of this segment.
fn adopt(file: &dyn FsFile, path: &Path, segment: &Segment) -> Result<()> {
    let found = note(file, SEGMENT).map_err(|error| failed(path, "cannot be read", error))?;
    if found.as_deref() == Some(&segment.sealed.hash) {
        return Ok(());
    }
    let what = format!("{} is there already, and was not made of these records", path.display());
    Err(Error::new(ErrorKind::Sink, what).advice("move it away, and run again: nothing is lost"))
}

/// What a Parquet file notes under a name; nothing, if it is no such file.
fn note(file: &dyn FsFile, key: &str) -> io::Result<Option<String>> {
    let length = file.length()?;
    let Some(at) = length.checked_sub(TAIL) else { return Ok(None) };
    let tail = file.read_at(at, TAIL as usize)?;
    let size = tail.first_chunk().and_then(|tail| Some(FooterTail::try_new(tail).ok()?.metadata_length()));
    let size = size.and_then(|size| u64::try_from(size).ok()).filter(|size| *size <= at.min(MOST_NOTES));
    let Some(size) = size else { return Ok(None) };
    let notes = file.read_at(at - size, usize::try_from(size).unwrap_or_default())?;
    let Ok(metadata) = ParquetMetaDataReader::decode_metadata(&notes) else { return Ok(None) };
    let notes = metadata.file_metadata().key_value_metadata();
    Ok(notes.into_iter().flatten().find(|note| note.key == key).and_then(|note| note.value.clone()))
}

/// The files that earlier runs have left half made, of this source and never a successor's.
pub(super) fn half_made(
    dir: &Path,
    names: &[String],
    term: u64,
    is_its: impl Fn(&str) -> bool,
) -> Vec<PathBuf> {
    let is_old = |name: &&String| staged_of(name).is_some_and(|(part, of)| of <= term && is_its(part));
    names.iter().filter(is_old).map(|name| dir.join(name)).collect()
}
