//! Records in memory: for tests and for small things.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;

use super::{Committed, Guarantee, Opening, Sink, SinkStates, unopened};
use crate::checkpoint::{CheckpointStore, MemoryStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::records::{Annotator, Batch};

/// Annotated lines in memory. A clone sees the same records, and brings the same checkpoints along.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    outputs: Arc<Mutex<BTreeMap<String, Output>>>,
    store: MemoryStore,
    /// What was opened by this one, and whether it was written to since the last commit.
    opened: BTreeMap<String, Opened>,
}

#[derive(Debug)]
struct Output {
    annotator: Annotator,
    lines: Vec<u8>,
    committed: usize,
    /// How often it was opened: only the last one may write.
    opened: u64,
}

#[derive(Debug, Clone, Copy)]
struct Opened {
    number: u64,
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

    fn open_output(&mut self, opening: Opening<'_>) -> Result<SinkState> {
        let mut outputs = self.outputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = outputs.get(opening.source);
        let known = before.map_or(0, |output| output.lines.len());
        let committed = match opening.committed {
            Committed::Unfinished(state) => state.0.as_u64().and_then(|length| usize::try_from(length).ok()),
            _ => Some(0),
        };
        let Some(committed) = committed.filter(|length| *length <= known) else {
            return Err(Error::new(ErrorKind::Checkpoint, "the committed records are not in this memory"));
        };
        let number = before.map_or(0, |output| output.opened) + 1;
        let mut lines = outputs.remove(opening.source).map(|output| output.lines).unwrap_or_default();
        lines.truncate(committed);
        let annotator = Annotator::new(opening.label);
        outputs.insert(opening.source.to_owned(), Output { annotator, lines, committed, opened: number });
        self.opened.insert(opening.source.to_owned(), Opened { number, touched: false });
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

    fn emptied(&self, _: &SinkState) -> Option<SinkState> {
        Some(SinkState(0.into()))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { self.open_output(opening) })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let mut outputs = self.outputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let (output, opened) = both(&mut outputs, &mut self.opened, source)?;
            output.annotator.append_batch(batch, &mut output.lines);
            opened.touched = true;
            Ok(())
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async move {
            let mut outputs = self.outputs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let touched = self.opened.iter().filter(|(_, opened)| opened.touched);
            let touched: Vec<String> = touched.map(|(source, _)| source.clone()).collect();
            let mut states = Vec::new();
            for source in touched {
                let (output, opened) = both(&mut outputs, &mut self.opened, &source)?;
                opened.touched = false;
                output.committed = output.lines.len();
                states.push((source.as_str().into(), SinkState(output.committed.into())));
            }
            Ok(states)
        })
    }
}

/// The output of a source, and how it was opened here, unless another run has opened it since.
fn both<'a>(
    outputs: &'a mut BTreeMap<String, Output>,
    opened: &'a mut BTreeMap<String, Opened>,
    source: &str,
) -> Result<(&'a mut Output, &'a mut Opened)> {
    let (Some(output), Some(opened)) = (outputs.get_mut(source), opened.get_mut(source)) else {
        return Err(unopened(source));
    };
    if output.opened != opened.number {
        return Err(Error::new(ErrorKind::Locked, "another run has opened this memory since"));
    }
    Ok((output, opened))
}
