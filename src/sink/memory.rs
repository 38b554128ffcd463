//! Records in memory: for tests and for small things.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;

use super::{Committed, Guarantee, Opening, Sink, SinkStates};
use crate::checkpoint::{CheckpointStore, MemoryStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::records::{Annotator, Batch};

/// Annotated lines in memory. A clone sees the same records, and brings the same checkpoints along.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    outputs: Arc<Mutex<BTreeMap<String, Output>>>,
    store: MemoryStore,
}

#[derive(Debug)]
struct Output {
    annotator: Annotator,
    lines: Vec<u8>,
    committed: usize,
    touched: bool,
}

impl Memory {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The committed lines of a source.
    pub fn lines(&self, source: &str) -> Vec<String> {
        let outputs = self.outputs();
        let Some(output) = outputs.get(source) else { return Vec::new() };
        String::from_utf8_lossy(&output.lines[..output.committed]).lines().map(str::to_owned).collect()
    }

    fn outputs(&self) -> MutexGuard<'_, BTreeMap<String, Output>> {
        self.outputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn open_output(&self, opening: Opening<'_>) -> Result<SinkState> {
        let mut outputs = self.outputs();
        let mut lines = outputs.remove(opening.source).map(|output| output.lines).unwrap_or_default();
        let committed = match opening.committed {
            Committed::Unfinished(state) => state.0.as_u64().and_then(|length| usize::try_from(length).ok()),
            _ => Some(0),
        };
        let Some(committed) = committed.filter(|length| *length <= lines.len()) else {
            return Err(Error::new(ErrorKind::Checkpoint, "the committed records are not in this memory"));
        };
        lines.truncate(committed);
        let annotator = Annotator::new(opening.source);
        outputs.insert(opening.source.to_owned(), Output { annotator, lines, committed, touched: false });
        Ok(SinkState(committed.into()))
    }
}

impl Sink for Memory {
    fn definition(&self) -> String {
        "memory".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(Arc::new(self.store.clone()))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { self.open_output(opening) })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut outputs = self.outputs();
            let output = outputs
                .get_mut(source)
                .ok_or_else(|| Error::new(ErrorKind::Sink, format!("the source {source} was not opened")))?;
            output.annotator.append_batch(batch, &mut output.lines);
            output.touched = true;
            Ok(())
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async move {
            let mut states = Vec::new();
            for (source, output) in self.outputs().iter_mut().filter(|(_, output)| output.touched) {
                output.touched = false;
                output.committed = output.lines.len();
                states.push((source.as_str().into(), SinkState(output.committed.into())));
            }
            Ok(states)
        })
    }
}
