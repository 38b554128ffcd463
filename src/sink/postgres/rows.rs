//! Rows that wait for a commit, in the form in which they are sent: that of a binary COPY.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;
use crate::sink::sql::Key;

/// What a COPY begins with: the signature, no flags, no more of a header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// And what it ends with.
const TRAILER: &[u8] = &(-1_i16).to_be_bytes();
/// So much is sent at once.
const CHUNK: usize = 256 * 1024;
/// PostgreSQL counts from the first of January 2000.
pub(super) const EPOCH: i64 = 946_684_800_000_000;

/// What is the same in all rows of a commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constants<'a> {
    pub(super) label: &'a str,
    pub(super) run: i64,
    pub(super) commit: i64,
    /// Whether `record` is of the type `jsonb`, and not `json`.
    pub(super) is_binary: bool,
}

/// The rows of some pages.
#[derive(Debug, Default)]
pub(super) struct Rows {
    chunks: Vec<Bytes>,
    chunk: Vec<u8>,
    bytes: usize,
    rows: i64,
    /// What stands behind each record of a page.
    suffix: Vec<u8>,
    key: Vec<u8>,
}

impl Rows {
    /// What they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.chunk.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many there are.
    pub(super) fn len(&self) -> i64 {
        self.rows
    }

    /// Begins a row of so many fields, which are appended to what this gives.
    pub(super) fn begin(&mut self, fields: usize) -> Result<&mut Vec<u8>> {
        if self.rows == 0 {
            self.chunk.extend_from_slice(HEADER);
        }
        let fields = i16::try_from(fields)
            .map_err(|_| Error::new(ErrorKind::TooLarge, "a row has more columns than a table takes"))?;
        self.chunk.extend_from_slice(&fields.to_be_bytes());
        self.rows += 1;
        Ok(&mut self.chunk)
    }

    /// Ends a row.
    pub(super) fn end(&mut self) {
        if self.chunk.len() >= CHUNK {
            self.cut();
        }
    }

    /// Takes the records of a page: with a key as rows of the staging table, otherwise of the table itself.
    pub(super) fn push(&mut self, batch: &Batch, key: Option<&Key>, constants: Constants<'_>) -> Result<()> {
        let at = micros(batch.fetched_at()).to_be_bytes();
        self.suffix.clear();
        let fields: i16 = match key {
            Some(_) => {
                field(&mut self.suffix, &[&at])?;
                4
            }
            None => {
                field(&mut self.suffix, &[constants.label.as_bytes()])?;
                field(&mut self.suffix, &[&at])?;
                field(&mut self.suffix, &[&constants.run.to_be_bytes()])?;
                field(&mut self.suffix, &[&constants.commit.to_be_bytes()])?;
                5
            }
        };
        // The version of the binary form of jsonb.
        let version: &[u8] = if constants.is_binary { &[1] } else { &[] };
        for record in batch.slices() {
            if self.rows == 0 {
                self.chunk.extend_from_slice(HEADER);
            }
            self.chunk.extend_from_slice(&fields.to_be_bytes());
            if let Some(key) = key {
                self.key.clear();
                key.append_of(batch, record, &mut self.key)?;
                field(&mut self.chunk, &[&self.rows.to_be_bytes()])?;
                field(&mut self.chunk, &[&self.key])?;
            }
            field(&mut self.chunk, &[version, record])?;
            self.chunk.extend_from_slice(&self.suffix);
            self.rows += 1;
            if self.chunk.len() >= CHUNK {
                self.cut();
            }
        }
        Ok(())
    }

    fn cut(&mut self) {
        self.bytes += self.chunk.len();
        let next = Vec::with_capacity(CHUNK + CHUNK / 8);
        self.chunks.push(std::mem::replace(&mut self.chunk, next).into());
    }

    /// Hands out what is to be sent.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        if self.rows == 0 {
            self.chunk.extend_from_slice(HEADER);
        }
        self.chunk.extend_from_slice(TRAILER);
        self.cut();
        (self.bytes, self.rows) = (0, 0);
        std::mem::take(&mut self.chunks)
    }
}

/// Appends a field: its length, and its bytes.
pub(super) fn field(out: &mut Vec<u8>, parts: &[&[u8]]) -> Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let length = i32::try_from(length)
        .map_err(|_| Error::new(ErrorKind::TooLarge, "a record has more bytes than a row takes"))?;
    out.extend_from_slice(&length.to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    Ok(())
}

/// Appends a field without a value.
pub(super) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

pub(super) fn micros(at: SystemTime) -> i64 {
    let since = match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()),
        Err(before) => i64::try_from(before.duration().as_micros()).map(|before| -before),
    };
    since.unwrap_or_default() - EPOCH
}
