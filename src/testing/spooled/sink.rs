//! The sink, and what takes its segments.

use std::io::BufRead;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

use super::OUT;
use crate::checkpoint::{CheckpointStore, FileStore, SinkState};
use crate::error::Result;
use crate::fs::{Fs, OpenMode};
use crate::records::{Annotator, Batch};
use crate::sink::spool::{
    Before, Limits, Segment, Ship, Shipped, Spool, State, Taken, Wanted, failed, stem_of,
};
use crate::sink::{Committed, Committing, Guarantee, Opening, Sink, SinkStates};

/// Makes a file of a segment, in steps, each of which may be the last.
#[derive(Debug, Clone)]
pub(super) struct Copier {
    pub(super) fs: Arc<dyn Fs>,
    pub(super) takes: Duration,
    /// What was shipped, to see that it is always the same.
    pub(super) seen: Arc<Mutex<Vec<(String, u64, String)>>>,
}

impl Ship for Copier {
    fn ship(&self, segment: Segment) -> BoxFuture<'static, Result<Shipped>> {
        let copier = self.clone();
        Box::pin(async move {
            tokio::time::sleep(copier.takes).await;
            let number = segment.sealed.number;
            copier.seen.lock().unwrap().push((segment.stem.to_string(), number, segment.sealed.hash.clone()));
            copier.copy(&segment).map(|file| Shipped(file.into()))
        })
    }
}

impl Copier {
    fn copy(&self, segment: &Segment) -> Result<String> {
        let name = format!("{}-{:05}.lines", segment.stem, segment.sealed.number);
        let (dir, path) = (Path::new(OUT), Path::new(OUT).join(&name));
        let staged = dir.join(format!(".{name}"));
        let broken = |error| failed(&path, "cannot be made", error);
        if self.fs.names(dir).map_err(broken)?.contains(&name) {
            // Its name may not be durable yet.
            self.fs.sync_dir(dir).map_err(broken)?;
            return Ok(name);
        }
        let _ = self.fs.remove(&staged);
        let file = self.fs.open(&staged, OpenMode::New).map_err(broken)?;
        let (mut reader, mut rows) = (segment.open()?, 0);
        loop {
            let bytes = reader.fill_buf().map_err(|error| segment.unread(error))?;
            if bytes.is_empty() {
                break;
            }
            rows += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
            file.append(bytes).map_err(broken)?;
            let count = bytes.len();
            reader.consume(count);
        }
        assert_eq!(rows, segment.sealed.rows);
        file.sync().map_err(broken)?;
        segment.lease.check()?;
        self.fs.rename(&staged, &path).map_err(broken)?;
        self.fs.sync_dir(dir).map_err(broken)?;
        Ok(name)
    }
}

#[derive(Debug)]
pub(super) struct Spooled {
    fs: Arc<dyn Fs>,
    spool: Spool,
    pub(super) copier: Copier,
    lines: Vec<u8>,
}

impl Spooled {
    pub(super) fn new(fs: &Arc<dyn Fs>, limits: Limits, takes: Duration) -> Self {
        let copier = Copier { fs: fs.clone(), takes, seen: Arc::default() };
        let ship = Arc::new(copier.clone());
        let spool = Spool::new(fs.clone(), "/out/.headwater/spool", limits, 2, ship);
        Self { fs: fs.clone(), spool, copier, lines: Vec::new() }
    }
}

fn read(state: &SinkState) -> State {
    serde_json::from_value(state.0.clone()).unwrap()
}

fn shown(state: State) -> SinkState {
    SinkState(serde_json::to_value(state).unwrap())
}

impl Sink for Spooled {
    fn definition(&self) -> String {
        "spooled".into()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        Some(Arc::new(FileStore::on(self.fs.clone(), "/out/.headwater")))
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move {
            let before = match opening.committed {
                Committed::Nothing => Before::Nothing,
                Committed::Finished(_) => Before::Finished,
                Committed::Unfinished(state) => Before::Unfinished(Box::new(read(state))),
            };
            let wanted = Wanted { source: opening.source.into(), label: opening.label.into(), before };
            let names = self.fs.names(Path::new(OUT)).unwrap();
            let stems = names.iter().filter_map(|name| stem_of(name.strip_suffix(".lines")?));
            let taken = Taken { place: OUT.into(), stems: stems.map(str::to_owned).collect() };
            let opened = self.spool.open_all(vec![wanted], taken, opening.started_at, opening.lease);
            Ok(shown(opened.await?.pop().unwrap()))
        })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.lines.clear();
            Annotator::new(source).append_batch(batch, &mut self.lines);
            if self.spool.write(source, &self.lines, batch.len() as u64).await? {
                self.spool.seal(source, Value::Null).await?;
            }
            Ok(())
        })
    }

    fn is_full(&self) -> bool {
        self.spool.is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.spool.seal(source, Value::Null).await?;
            self.spool.finish(source)
        })
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(async {
            for source in self.spool.aged() {
                self.spool.seal(&source, Value::Null).await?;
            }
            let commit = self.spool.begin_commit().await?;
            Ok(Box::pin(async move {
                Ok(commit.await?.into_iter().map(|(source, state)| (source, shown(state))).collect())
            }) as Committing)
        })
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        read(state).emptied().map(shown)
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        read(state).is_settled()
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.spool.close())
    }
}
