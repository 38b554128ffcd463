//! A database in memory, whose rows and checkpoints are one transaction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, ready};
use headwater::Annotator;
use headwater::checkpoint::{Checkpoint, CheckpointStore, Lease, MemoryStore, SinkState};
use headwater::prelude::*;
use headwater::sink::{Guarantee, Opening, Sink, SinkStates};

type Rows = Vec<(String, String)>;

/// What outlives the sinks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    rows: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    /// The rows of the transaction that is open.
    open: Arc<Mutex<Option<Rows>>>,
    store: MemoryStore,
    /// What was done, in order.
    pub(crate) calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Ledger {
    pub(crate) fn sink(&self) -> LedgerSink {
        let (annotators, buffered, touched) = Default::default();
        LedgerSink { ledger: self.clone(), annotators, buffered, touched, is_asked: AtomicBool::new(false) }
    }

    pub(crate) fn rows(&self, source: &str) -> Vec<String> {
        self.rows.lock().unwrap().get(source).cloned().unwrap_or_default()
    }

    fn end(&self) {
        for (source, row) in self.open.lock().unwrap().take().unwrap_or_default() {
            self.rows.lock().unwrap().entry(source).or_default().push(row);
        }
    }
}

#[derive(Debug)]
pub(crate) struct LedgerSink {
    ledger: Ledger,
    annotators: BTreeMap<String, Annotator>,
    buffered: Rows,
    touched: Vec<String>,
    /// Whether its store is used.
    is_asked: AtomicBool,
}

impl Sink for LedgerSink {
    fn definition(&self) -> String {
        "a ledger".into()
    }

    fn guarantee(&self) -> Guarantee {
        if self.is_asked.load(Ordering::SeqCst) { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce }
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.is_asked.store(true, Ordering::SeqCst);
        Some(Arc::new(self.ledger.clone()))
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        // A new connection: the transaction of the one before was rolled back.
        *self.ledger.open.lock().unwrap() = None;
        self.annotators.insert(opening.source.to_owned(), Annotator::new(opening.label));
        Box::pin(ready(Ok(SinkState::default())))
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        assert!(self.ledger.open.lock().unwrap().is_none(), "written to while a transaction is open");
        let mut lines = Vec::new();
        self.annotators.get_mut(source).unwrap().append_batch(batch, &mut lines);
        let lines = String::from_utf8(lines).unwrap();
        self.buffered.extend(lines.lines().map(|line| (source.to_owned(), line.to_owned())));
        self.touched.push(source.to_owned());
        Box::pin(ready(Ok(())))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        self.ledger.calls.lock().unwrap().push("transaction");
        *self.ledger.open.lock().unwrap() = Some(std::mem::take(&mut self.buffered));
        if !self.is_asked.load(Ordering::SeqCst) {
            self.ledger.end();
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort();
        touched.dedup();
        let states = touched.into_iter().map(|source| (source.into(), SinkState::default()));
        Box::pin(ready(Ok(states.collect())))
    }
}

impl CheckpointStore for Ledger {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        self.store.lock()
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        self.store.load(source)
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.store.save(lease, checkpoints).await?;
            self.calls.lock().unwrap().push("stored");
            self.end();
            Ok(())
        })
    }
}
