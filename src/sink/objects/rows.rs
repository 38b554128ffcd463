//! Records into objects with columns.

use std::fmt;

use parquet::basic::ZstdLevel;
use parquet::errors::ParquetError;

use super::Objects;
use super::encode::Encode;
use super::object::{Object, Place};
use super::opening::State;
use super::output::Output;
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;
use crate::schema::{Column, Conformer, Limits, SchemaState, Schemas};
use crate::sink::parquet::{Encoder, Encoding};
use crate::sink::rejected::letters;
use crate::sink::{Committed, Opening};

/// Several sources share the memory.
const ROW_GROUP: usize = 32 * 1024 * 1024;

/// How objects with columns are written.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    schemas: Schemas,
    encoding: Encoding,
}

impl Default for Tables {
    fn default() -> Self {
        let encoding = Encoding { row_group: ROW_GROUP, ..Encoding::default() };
        Self { schemas: Schemas::inferred(), encoding }
    }
}

impl Tables {
    /// The table of a source, as it was when its state was stored.
    pub(super) fn table(&self, opening: &Opening<'_>, state: &State) -> Result<Table> {
        let of = |error: Error| error.at(|context| context.source = Some(opening.source.into()));
        let mut conformer =
            Conformer::new(&self.schemas, opening.source, opening.label, Limits::default()).map_err(of)?;
        if let Some(schema) = &state.schema {
            match opening.committed {
                Committed::Unfinished(_) => conformer.resume(schema)?,
                _ => conformer.follow(schema)?,
            }
        }
        Ok(Table { conformer, encoding: self.encoding, object: None })
    }
}

/// # Parquet
#[cfg_attr(docsrs, doc(cfg(feature = "parquet")))]
impl Objects {
    /// Makes Parquet objects, `{prefix}/{source}/{run start}/{number}-{session}.parquet`, compressed with zstd.
    ///
    /// The columns are those of [`schemas`](Self::schemas). An object has the columns that are known when it is begun; later ones may
    /// have more, at their end, and readers unite them by name. What nobody knew when an object was begun is in the next one, which
    /// may be of the same commit.
    ///
    /// A record that does not fit is in an object of its own kind, `{prefix}/rejected/{source}/{run start}/…jsonl.gz`, as it came and with
    /// the reason; [`rejected`](super::rejected) lists those. It is committed with the rows, by the same entry. [`compress`](Self::compress)
    /// is for those objects alone.
    ///
    /// ```no_run
    /// use headwater::sink::Objects;
    /// let sink = Objects::local("out")?.parquet();
    /// # Ok::<(), headwater::Error>(())
    /// ```
    #[must_use]
    pub fn parquet(mut self) -> Self {
        self.tables.get_or_insert_default();
        self
    }

    /// Makes [Parquet](Self::parquet) objects with the columns that these say, and the contract for what does not fit
    /// (default: inferred, and they grow).
    #[must_use]
    pub fn schemas(mut self, schemas: Schemas) -> Self {
        self.tables.get_or_insert_default().schemas = schemas;
        self
    }

    /// Makes [Parquet](Self::parquet) objects whose row groups end when they take so many bytes of memory (default: 32 MiB), or at a
    /// commit.
    #[must_use]
    pub fn row_group_bytes(mut self, bytes: usize) -> Self {
        self.tables.get_or_insert_default().encoding.row_group = bytes.max(1);
        self
    }

    /// Makes [Parquet](Self::parquet) objects that are compressed with this level of zstd, 1 to 22 (default: 3).
    #[must_use]
    pub fn compression_level(mut self, level: i32) -> Self {
        let level = ZstdLevel::try_new(level.clamp(1, 22)).unwrap_or_default();
        self.tables.get_or_insert_default().encoding.level = level;
        self
    }
}

/// What is written of a source in columns.
#[derive(Debug)]
pub(super) struct Table {
    conformer: Conformer,
    encoding: Encoding,
    /// It has the columns that were known when it was begun.
    pub(super) object: Option<Object<Rows>>,
}

impl Table {
    pub(super) fn write(&mut self, batch: &Batch, output: &mut Output) -> Result<()> {
        if self.conformer.schema().is_some() {
            return self.append(batch, output);
        }
        match self.conformer.hold(batch) {
            true => self.settle(output),
            false => Ok(()),
        }
    }

    /// Ends the sample, and writes what was held for it.
    pub(super) fn settle(&mut self, output: &mut Output) -> Result<()> {
        for batch in self.conformer.end_sample() {
            self.append(&batch, output)?;
        }
        Ok(())
    }

    fn append(&mut self, batch: &Batch, output: &mut Output) -> Result<()> {
        let mut at = 0;
        while at < batch.len() {
            let chunk = self.conformer.rows(batch, at..batch.len(), self.object.is_none())?;
            let Some(chunk) = chunk else {
                // The columns of an object cannot change.
                if let Some(object) = self.object.take() {
                    output.ended.push(object.ended()?);
                }
                continue;
            };
            if !chunk.is_empty() {
                let object = match &mut self.object {
                    Some(object) => object,
                    none => {
                        let place = output.place("parquet", false);
                        let rows = Rows::new(chunk.schema().columns(), self.encoding, output, &place)?;
                        none.insert(Object::new(place, rows))
                    }
                };
                for row in chunk.rows() {
                    object.encoder.0.row(row).map_err(unencoded)?;
                }
                object.rows += chunk.len() as u64;
            }
            if !chunk.rejected().is_empty() {
                output.state.rejected += chunk.rejected().len() as u64;
                output.append_lines(&letters(batch, chunk.rejected())?, true)?;
            }
            at = chunk.records().end;
        }
        Ok(())
    }

    /// What the checkpoint keeps of the columns.
    pub(super) fn state(&self) -> Result<SchemaState> {
        self.conformer.state()
    }

    pub(super) fn gathered(&mut self) -> usize {
        self.conformer.held_bytes() + self.object.as_mut().map_or(0, Object::gathered)
    }

    pub(super) fn size(&mut self) -> u64 {
        self.object.as_mut().map_or(0, Object::size)
    }
}

/// Rows of Parquet.
pub(super) struct Rows(Encoder<Vec<u8>>);

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Rows {
    fn new(columns: &[Column], encoding: Encoding, output: &Output, place: &Place) -> Result<Self> {
        let notes = vec![
            ("headwater.source", output.label.clone()),
            ("headwater.run", output.state.folder.clone()),
            ("headwater.part", place.number.to_string()),
        ];
        Encoder::new(columns, Vec::new(), encoding, notes).map(Self).map_err(unencoded)
    }
}

fn unencoded(error: ParquetError) -> Error {
    Error::new(ErrorKind::Sink, "the rows cannot be encoded").because(error)
}

impl Encode for Rows {
    fn ready(&mut self) -> &mut Vec<u8> {
        self.0.written()
    }

    fn held(&self) -> usize {
        self.0.held()
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>> {
        self.0.finish().map_err(unencoded)
    }
}
