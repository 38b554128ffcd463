//! What turns batches into the bytes of files.

use std::fmt;
use std::ops::Range;

use serde_json::Value;

use crate::error::Result;
use crate::records::Batch;

/// A form that records can be written in.
pub(crate) trait Format: fmt::Debug + Send + 'static {
    type Encoder: Encoder;

    /// The end of the file names: `jsonl`.
    fn extension(&self) -> &'static str;

    /// Makes what encodes the records of one source. `state` is what it was when it was committed, `Null` for one that begins.
    ///
    /// # Errors
    /// `Checkpoint` if the state cannot be read.
    fn encoder(&self, source: &str, label: &str, state: &Value) -> Result<Self::Encoder>;
}

/// Encodes the records of one source.
pub(crate) trait Encoder: fmt::Debug + Send + 'static {
    /// Appends what stands at the beginning of each file.
    ///
    /// # Errors
    /// `Sink`. The run ends.
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let _ = out;
        Ok(())
    }

    /// Appends records of a batch, and gives how many it took, those included that it did not write. It takes fewer than
    /// it is given if a new file must begin first; of a new file it takes one at least.
    ///
    /// # Errors
    /// `Sink`. The run ends.
    fn encode(&mut self, batch: &Batch, records: Range<usize>, out: &mut Vec<u8>) -> Result<usize>;

    /// What it needs to go on from here, small: it becomes a part of the checkpoint. `Null` for nothing.
    fn state(&self) -> Value {
        Value::Null
    }
}
