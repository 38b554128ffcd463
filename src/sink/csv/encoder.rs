//! Batches into the bytes of CSV files.

use std::ops::Range;

use serde_json::Value;

use super::quoting::Quoting;
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;
use crate::schema::{Conformer, Limits, Rejected, SchemaState, Schemas};
use crate::sink::files::{Encoder, Format};

/// CSV, by the schemas of the sources.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) schemas: Schemas,
    pub(super) quoting: Quoting,
}

impl Rows {
    pub(super) fn conformer(&self, source: &str, label: &str) -> Result<Conformer> {
        Conformer::new(&self.schemas, source, label, Limits::default())
    }
}

impl Format for Rows {
    type Encoder = RowEncoder;

    fn extension(&self) -> &'static str {
        "csv"
    }

    fn encoder(&self, source: &str, label: &str, state: &Value) -> Result<RowEncoder> {
        let mut conformer = self.conformer(source, label)?;
        if !state.is_null() {
            conformer.resume(&read(state)?)?;
        }
        let (rejected, scratch) = (Vec::new(), String::new());
        Ok(RowEncoder { conformer, quoting: self.quoting.clone(), is_new: false, rejected, scratch })
    }
}

/// What the engine has kept of an encoder.
pub(super) fn read(state: &Value) -> Result<SchemaState> {
    serde_json::from_value(state.clone()).map_err(|error| {
        Error::new(ErrorKind::Checkpoint, "what the checkpoint says of the columns cannot be read")
            .because(error)
    })
}

#[derive(Debug)]
pub(super) struct RowEncoder {
    pub(super) conformer: Conformer,
    quoting: Quoting,
    /// Whether the file has no header yet.
    is_new: bool,
    /// Records that were rejected, until the sink takes them.
    pub(super) rejected: Vec<Rejected<'static>>,
    scratch: String,
}

impl Encoder for RowEncoder {
    fn begin(&mut self, _: &mut Vec<u8>) -> Result<()> {
        // The columns are known when the first rows are.
        self.is_new = true;
        Ok(())
    }

    fn encode(&mut self, batch: &Batch, records: Range<usize>, out: &mut Vec<u8>) -> Result<usize> {
        let mut at = records.start;
        while at < records.end {
            let chunk = self.conformer.rows(batch, at..records.end, self.is_new)?;
            // New columns cannot be put into the middle of a file.
            let Some(chunk) = chunk else { break };
            if std::mem::take(&mut self.is_new) {
                self.quoting.header(chunk.schema().columns(), out);
            }
            for row in chunk.rows() {
                self.quoting.row(row, &mut self.scratch, out);
            }
            self.rejected.extend(chunk.rejected().iter().map(kept));
            at = chunk.records().end;
        }
        Ok(at - records.start)
    }

    fn state(&self) -> Value {
        let state = self.conformer.state().ok();
        state.and_then(|state| serde_json::to_value(state).ok()).unwrap_or_default()
    }
}

/// A rejected record without its text, which the batch has.
fn kept(rejected: &Rejected<'_>) -> Rejected<'static> {
    let Rejected { reason, column, index, .. } = rejected.clone();
    Rejected { record: b"", reason, column, index }
}
