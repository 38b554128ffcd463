//! Rows into the bytes of a Parquet file, wherever they go.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::columns::{Builder, field};
use crate::schema::{Cell, Column};

/// Cells are given to the writer when they come to so many bytes, or so many rows.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
const BATCH_ROWS: usize = 8 * 1024;

/// How files are written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoding {
    /// A row group ends when it takes so many bytes of memory.
    pub(crate) row_group: usize,
    /// Of zstd.
    pub(crate) level: ZstdLevel,
}

impl Default for Encoding {
    fn default() -> Self {
        Self { row_group: 64 * 1024 * 1024, level: ZstdLevel::try_new(3).unwrap_or_default() }
    }
}

/// Writes a Parquet file, row by row. It holds one row group in memory, as it will stand in the file, and some rows.
pub(crate) struct Encoder<W: Write + Send> {
    writer: ArrowWriter<W>,
    schema: Arc<Schema>,
    builders: Vec<Builder>,
    row_group: usize,
    /// Not given to the writer yet.
    rows: usize,
    bytes: usize,
}

impl<W: Write + Send> fmt::Debug for Encoder<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("columns", &self.builders.len()).field("rows", &self.rows).finish()
    }
}

impl<W: Write + Send> Encoder<W> {
    /// Begins a file with these columns, and these notes at its end.
    pub(crate) fn new(
        columns: &[Column],
        to: W,
        encoding: Encoding,
        notes: Vec<(&str, String)>,
    ) -> Result<Self, ParquetError> {
        let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
        let notes = notes.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(encoding.level))
            .set_statistics_enabled(EnabledStatistics::Page)
            .set_max_row_group_row_count(None)
            .set_created_by(concat!("headwater ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(notes))
            .build();
        let writer = ArrowWriter::try_new(to, schema.clone(), Some(properties))?;
        let builders = columns.iter().map(|column| Builder::new(column.column_type())).collect();
        Ok(Self { writer, schema, builders, row_group: encoding.row_group, rows: 0, bytes: 0 })
    }

    /// Adds a row. Columns that it does not reach are null.
    pub(crate) fn row(&mut self, cells: &[Cell<'_>]) -> Result<(), ParquetError> {
        if cells.len() > self.builders.len() {
            return Err(ParquetError::General("a row has more cells than there are columns".into()));
        }
        let cells = cells.iter().chain(std::iter::repeat(&Cell::Null));
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            self.bytes += 8;
            if let Cell::Text(text) | Cell::Decimal(text) = cell {
                self.bytes += text.len();
            } else if let Cell::Json(text) = cell {
                self.bytes += text.len();
            }
            if !builder.add(cell) {
                return Err(ParquetError::General("a cell is not of its column's type".into()));
            }
        }
        self.rows += 1;
        if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.pass_on()?;
        }
        Ok(())
    }

    /// How much it holds in memory, about.
    #[cfg(feature = "objects")]
    pub(crate) fn held(&self) -> usize {
        self.bytes + self.writer.memory_size().max(self.writer.in_progress_size())
    }

    /// What it writes to. What stands there may be taken away while it goes on.
    #[cfg(feature = "objects")]
    pub(crate) fn written(&mut self) -> &mut W {
        self.writer.inner_mut()
    }

    /// Ends the file, and gives what it was written to.
    pub(crate) fn finish(mut self) -> Result<W, ParquetError> {
        self.pass_on()?;
        self.writer.into_inner()
    }

    fn pass_on(&mut self) -> Result<(), ParquetError> {
        if self.rows == 0 {
            return Ok(());
        }
        let arrays: Vec<ArrayRef> = self.builders.iter_mut().map(Builder::finish).collect();
        self.writer.write(&RecordBatch::try_new(self.schema.clone(), arrays)?)?;
        (self.rows, self.bytes) = (0, 0);
        if self.writer.memory_size().max(self.writer.in_progress_size()) >= self.row_group {
            self.writer.flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{ColumnType, Schema};
    use parquet::file::reader::{FileReader, SerializedFileReader};

    /// Counts what is written, and keeps nothing.
    #[derive(Default)]
    struct Counted {
        bytes: usize,
        at_once: usize,
    }

    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.bytes += bytes.len();
            self.at_once = self.at_once.max(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn schema() -> Schema {
        Schema::builder().column("a", ColumnType::Text).column("b", ColumnType::Int64).build().unwrap()
    }

    #[test]
    fn row_groups_are_bounded_by_what_they_take_in_memory() {
        let encoding = Encoding { row_group: 2 * 1024 * 1024, ..Encoding::default() };
        let mut encoder =
            Encoder::new(&schema().columns()[..2], Counted::default(), encoding, Vec::new()).unwrap();
        let mut random = fastrand::Rng::with_seed(7);
        let mut most = 0;
        for number in 0..30_000 {
            // Of random letters, which do not compress well.
            let text: String = (0..1_000).map(|_| random.alphanumeric()).collect();
            encoder.row(&[Cell::Text(text.into()), Cell::Int(number)]).unwrap();
            most = most.max(encoder.writer.memory_size() + encoder.bytes);
        }
        assert!(most < 2 * encoding.row_group + 2 * BATCH_BYTES, "{most} bytes in memory");
        let written = encoder.finish().unwrap();
        assert!(written.bytes > 20_000_000, "{} bytes", written.bytes);
        assert!(written.at_once < 4 * 1024 * 1024, "{} bytes at once", written.at_once);
    }

    #[test]
    fn a_file_has_its_statistics_and_its_notes() {
        let notes = vec![("headwater.source", "s".to_owned())];
        let mut encoder =
            Encoder::new(&schema().columns()[..2], Vec::new(), Encoding::default(), notes).unwrap();
        for number in 1..=10 {
            encoder.row(&[Cell::Null, Cell::Int(number)]).unwrap();
        }
        let bytes = encoder.finish().unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        let metadata = reader.metadata();
        let notes = metadata.file_metadata().key_value_metadata().unwrap();
        assert!(
            notes.iter().any(|note| note.key == "headwater.source" && note.value.as_deref() == Some("s"))
        );
        let group = metadata.row_group(0);
        let statistics = |column: usize| group.column(column).statistics().unwrap().clone();
        assert_eq!(statistics(0).null_count_opt(), Some(10));
        assert_eq!(statistics(1).min_bytes_opt(), Some(&1_i64.to_le_bytes()[..]));
        assert_eq!(statistics(1).max_bytes_opt(), Some(&10_i64.to_le_bytes()[..]));
        assert!(matches!(group.column(1).compression(), Compression::ZSTD(_)));
    }
}
