//! Commits of files.

use std::sync::atomic::Ordering;

use super::output::failed;
use super::piece::{append_all, sync_all};
use super::{Files, Format};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Fs, blocking};
use crate::sink::Committing;

impl<F: Format> Files<F> {
    /// Refuses what must wait for the commit on its way.
    pub(super) fn is_free_to_commit(&self) -> Result<()> {
        if self.is_committing.load(Ordering::Acquire) {
            return Err(Error::new(
                ErrorKind::Sink,
                "the commit before is still on its way, or was broken off",
            ));
        }
        Ok(())
    }

    /// Appends what is buffered, and gives the sync of all that was written until now.
    pub(crate) async fn begin_commit(&mut self) -> Result<Committing> {
        self.is_free_to_commit()?;
        self.name_finished().await?;
        let mut pieces = Vec::new();
        for (source, files) in &mut self.sources {
            for (index, output) in files.outputs.iter_mut().enumerate().filter(|(_, output)| output.touched) {
                output.settle().await?;
                pieces.push(((source.clone(), index), output.piece(&self.spare)));
            }
        }
        self.gathered = 0;
        let pieces = self
            .work(move |fs| append_all(fs, &mut pieces).map(|()| pieces))
            .await
            .unwrap_or_else(|error| Err(failed(&self.dir, "cannot be written", error)))?;
        let mut states = Vec::with_capacity(pieces.len());
        let (mut written, mut ahead) = (Vec::with_capacity(pieces.len()), Vec::new());
        for ((source, index), piece) in pieces {
            let Some(files) = self.sources.get_mut(&source) else { continue };
            let Some(output) = files.outputs.get_mut(index) else { continue };
            output.arrived(piece);
            let (file, syncing) = output.take_in(source.clone())?;
            ahead.extend(syncing.map(|syncing| (written.len(), syncing)));
            written.push(file);
        }
        let limits = self.layout.limits;
        for files in self.sources.values_mut() {
            files.ended.clear();
        }
        for (source, files) in self.sources.iter_mut().filter(|(_, files)| files.touched) {
            files.touched = false;
            if let Some(namer) = &self.namer {
                files.take_finished(namer, source, limits);
            }
            states.push((source.clone(), files.state(self.namer.is_some())?));
        }
        let (states, ledgered) = match self.shared.is_some() {
            true => self.commit_shared(states)?,
            false => (states, None),
        };
        self.is_committing.store(true, Ordering::Release);
        let is_committing = self.is_committing.clone();
        let (fs, dir, lease) = (self.fs.clone(), self.place(), self.lease.clone());
        Ok(Box::pin(async move {
            let mut synced = Ok(());
            // All of them, behind a failure too: what is on its way holds the lease.
            for (index, syncing) in ahead {
                let outcome = syncing.wait().await.and_then(|outcome| outcome);
                synced = synced.and(outcome.map_err(|error| written[index].unsynced(error)));
            }
            synced?;
            let place = dir.clone();
            let sync = move |fs: &dyn Fs| {
                let _lease = lease;
                sync_all(fs, &place, &written)?;
                ledgered.map_or(Ok(()), |ledgered| ledgered.store(fs))
            };
            let synced = blocking(&fs, sync).await;
            synced.unwrap_or_else(|error| Err(failed(&dir, "cannot be synced", error)))?;
            is_committing.store(false, Ordering::Release);
            Ok(states)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::fs::Disk;
    use crate::page::Page;
    use crate::records::Batch;
    use crate::request::Position;
    use crate::sink::jsonl::Lines;
    use crate::sink::{Committed, Opening};

    #[tokio::test]
    async fn a_run_of_many_commits_takes_no_more_memory_for_its_lines_than_one_of_few() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Files::new(Lines, Arc::new(Disk), dir.path().to_owned());
        let lease = sink.checkpoints().lock().await.unwrap();
        let (committed, started_at) = (Committed::Nothing, SystemTime::UNIX_EPOCH);
        let opening = Opening { source: "s", label: "s", started_at, committed, lease: &lease };
        sink.open(opening).await.unwrap();
        let text = format!("[\"{}\"]", "x".repeat(sink.layout.buffer()));
        let page = Page::new(text, 1, Position::Start, None).unwrap();
        let batch = Batch::new(page, "").unwrap();
        let mut buffers = Vec::new();
        for pages in [1, 2, 3, 1, 1, 1, 2, 1, 1, 1, 1, 1] {
            for _ in 0..pages {
                sink.write("s", &batch).await.unwrap();
            }
            sink.begin_commit().await.unwrap().await.unwrap();
            buffers.push(sink.spare.count());
        }
        assert!(buffers.iter().all(|count| *count <= 2), "{buffers:?} buffers behind each commit");
    }
}
