//! How a run opens its outputs, writes to them and commits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};

use super::opening::{Place, State, has_any, place, remove_leftovers, unknown};
use super::output::Output;
use super::{OWN, Objects};
use crate::checkpoint::SinkState;
use crate::checkpoint::objects::{CommittedObject, Entry, Log, hold};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::sink::{Committed, Committing, Opening, unopened};

/// So many objects are completed at once.
const COMPLETED_AT_ONCE: usize = 8;

impl Objects {
    pub(super) fn log(&self) -> &Arc<Log> {
        &self.uploads.log
    }

    /// The entry by which the log is ours. With another checkpoint store nobody has taken it yet.
    async fn session(&mut self) -> Result<u64> {
        if let Some(session) = self.session {
            return Ok(session);
        }
        let holder = match self.log().holder() {
            Some(holder) => holder,
            None => {
                let term = self.log().look(|view| view.holder.as_ref().map_or(0, |last| last.term)).await?;
                hold(self.log(), term, Duration::ZERO).await?
            }
        };
        self.session = Some(holder.number);
        Ok(holder.number)
    }

    pub(super) async fn open_outputs(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        for opening in openings {
            if opening.source == OWN {
                return Err(Error::config(format!("a source cannot be called {OWN} here: the manifest is")));
            }
            if let Some(object) = self.outputs.remove(opening.source).and_then(|output| output.object) {
                object.abort().await;
            }
        }
        self.session().await?;
        let log = self.log().clone();
        let places = log.look(|view| {
            let find = |opening: &Opening<'_>| place(opening, view.outputs.get(opening.source), &log.place);
            openings.iter().map(find).collect::<Result<Vec<Place>>>()
        });
        let places = places.await??;
        for (opening, place) in openings.iter().zip(&places) {
            let is_first = matches!(opening.committed, Committed::Nothing) && !place.has_leftovers;
            if is_first && has_any(&log, opening.source).await? {
                return Err(unknown(&log.place, opening.source));
            }
        }
        let discarded: Vec<_> = places.iter().filter_map(|place| place.discarded.clone()).collect();
        if !discarded.is_empty() {
            append(&log, |entry| entry.discarded.clone_from(&discarded)).await?;
        }
        let mut leftovers = Vec::new();
        let mut states = Vec::with_capacity(places.len());
        for (opening, place) in openings.iter().zip(places) {
            if place.has_leftovers {
                leftovers.push(place.state.clone());
            }
            states.push(place.state.json()?);
            let output = Output {
                source: opening.source.into(),
                label: opening.label.to_owned(),
                folder: place.state.folder,
                number: place.state.objects,
                touched: false,
                object: None,
            };
            self.outputs.insert(opening.source.into(), output);
        }
        self.weigh();
        remove_leftovers(&log, leftovers).await;
        Ok(states)
    }

    /// Counts what is in memory anew.
    pub(super) fn weigh(&mut self) {
        self.gathered = 0;
        self.is_large = false;
        for output in self.outputs.values_mut() {
            self.gathered += output.gathered();
        }
    }

    pub(super) async fn take(&mut self, source: &str, batch: &Batch) -> Result<()> {
        let session = self.session().await?;
        let Some(output) = self.outputs.get_mut(source) else {
            return Err(unopened(source));
        };
        let before = output.gathered();
        output.write(batch, &self.uploads, session, self.compression).await?;
        self.gathered = (self.gathered + output.gathered()).saturating_sub(before);
        self.is_large |= output.size() >= self.object_size;
        Ok(())
    }

    pub(super) fn begin(&mut self) -> Result<Committing> {
        let mut states = Vec::new();
        let mut objects = Vec::new();
        for output in self.outputs.values_mut().filter(|output| output.touched) {
            output.touched = false;
            if let Some(object) = output.object.take() {
                objects.push((object, output.source.clone(), output.folder.clone(), output.number));
                output.number += 1;
            }
            let state = State {
                source: output.source.to_string(),
                folder: output.folder.clone(),
                objects: output.number,
            };
            states.push((output.source.clone(), state.json()?));
        }
        self.weigh();
        let log = self.log().clone();
        let has_checkpoints = self.has_checkpoints.load(Ordering::Acquire);
        Ok(Box::pin(async move {
            let complete = objects.into_iter().map(|(object, source, folder, number)| {
                let log = log.clone();
                async move { object.complete(source, folder, number, &log).await }
            });
            // In their order.
            let completed = stream::iter(complete).buffered(COMPLETED_AT_ONCE);
            let completed: Vec<CommittedObject> = completed.try_collect().await?;
            if has_checkpoints {
                log.wait_for_checkpoints(completed);
            } else if !completed.is_empty() {
                append(&log, |entry| entry.objects.clone_from(&completed)).await?;
            }
            Ok(states)
        }))
    }
}

/// Appends an entry without checkpoints, as who holds the log.
async fn append(log: &Log, fill: impl Fn(&mut Entry)) -> Result<()> {
    let Some(holder) = log.holder() else { return Err(log.overtaken()) };
    let appended = log.append(&holder.writer, |_, entry| {
        fill(entry);
        Ok(())
    });
    Ok(appended.await.map(drop)?)
}
