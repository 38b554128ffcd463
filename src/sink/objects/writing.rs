//! How a run opens its outputs, writes to them and commits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{BoxFuture, ready};
use futures::{StreamExt, TryFutureExt, TryStreamExt, stream};

use super::opening::{Place, REJECTED, State, has_any, place, remove_leftovers, unknown};
use super::output::Output;
use super::{OWN, Objects};
use crate::checkpoint::SinkState;
use crate::checkpoint::objects::{CommittedObject, Completed, Entry, Log, hold};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::sink::{Committed, Committing, Opening, unopened};

/// So many objects are completed at once.
const COMPLETED_AT_ONCE: usize = 8;

/// An object that is completed, and whether it has rejected records.
type Completing = BoxFuture<'static, Result<(bool, CommittedObject)>>;

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
            if opening.source == REJECTED && self.has_rejected() {
                let what = format!("a source cannot be called {REJECTED} here: records that do not fit are");
                return Err(Error::config(what));
            }
            if let Some(output) = self.outputs.remove(opening.source) {
                output.abort().await;
            }
        }
        let session = self.session().await?;
        let log = self.log().clone();
        let places = log.look(|view| {
            let find = |opening: &Opening<'_>| place(opening, view.outputs.get(opening.source), &log.place);
            openings.iter().map(find).collect::<Result<Vec<Place>>>()
        });
        let places = places.await??;
        let mut outputs = Vec::with_capacity(places.len());
        for (opening, place) in openings.iter().zip(&places) {
            let is_first = matches!(opening.committed, Committed::Nothing) && !place.has_leftovers;
            for folder in self.folders(&place.state).filter(|_| is_first) {
                if has_any(&log, &folder).await? {
                    return Err(unknown(&log.place, opening.source));
                }
            }
            outputs.push(Output {
                label: opening.label.to_owned(),
                state: place.state.clone(),
                session,
                compression: self.compression,
                log: log.clone(),
                touched: false,
                lines: None,
                ended: Vec::new(),
                #[cfg(feature = "parquet")]
                table: self.tables.as_ref().map(|tables| tables.table(opening, &place.state)).transpose()?,
            });
        }
        let discarded: Vec<_> = places.iter().filter_map(|place| place.discarded.clone()).collect();
        if !discarded.is_empty() {
            append(&log, |entry| entry.discarded.clone_from(&discarded)).await?;
        }
        let mut leftovers = Vec::new();
        for state in places.iter().filter(|place| place.has_leftovers).map(|place| &place.state) {
            let of_run = |folder: String| (format!("{folder}/{}", state.folder), state.objects);
            leftovers.extend(self.folders(state).map(of_run));
        }
        let mut states = Vec::with_capacity(outputs.len());
        for (opening, mut output) in openings.iter().zip(outputs) {
            states.push(output.told()?);
            self.outputs.insert(opening.source.into(), output);
        }
        self.weigh();
        remove_leftovers(&log, leftovers).await;
        Ok(states)
    }

    /// Whether records can be rejected.
    fn has_rejected(&self) -> bool {
        #[cfg(feature = "parquet")]
        return self.tables.is_some();
        #[cfg(not(feature = "parquet"))]
        false
    }

    /// Where there may be objects of a source.
    fn folders(&self, state: &State) -> impl Iterator<Item = String> + use<> {
        let rejected = self.has_rejected().then(|| state.place(true));
        [state.place(false)].into_iter().chain(rejected)
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
        let Some((name, mut output)) = self.outputs.remove_entry(source) else {
            return Err(unopened(source));
        };
        let before = output.gathered();
        let (mut output, written) = output.write(batch, &self.uploads).await?;
        self.gathered = (self.gathered + output.gathered()).saturating_sub(before);
        self.is_large |= output.size() >= self.object_size;
        self.outputs.insert(name, output);
        written
    }

    pub(super) async fn begin(&mut self) -> Result<Committing> {
        let touched = self.outputs.iter().filter(|(_, output)| output.touched);
        let touched: Vec<Arc<str>> = touched.map(|(source, _)| source.clone()).collect();
        let mut states = Vec::with_capacity(touched.len());
        let mut objects = Vec::new();
        for source in touched {
            let Some(output) = self.outputs.remove(&source) else { continue };
            let (mut output, settled) = output.settle(&self.uploads).await?;
            let told = settled.and_then(|()| output.told());
            if told.is_ok() {
                output.touched = false;
                let folder = output.state.folder.clone();
                for object in output.objects() {
                    let (is_rejected, uploads) = (object.place.is_rejected, self.uploads.clone());
                    let complete = object.complete(source.clone(), folder.clone(), uploads);
                    objects
                        .push(Box::pin(complete.map_ok(move |object| (is_rejected, object))) as Completing);
                }
            }
            self.outputs.insert(source.clone(), output);
            states.push((source, told?));
        }
        self.weigh();
        let log = self.log().clone();
        let has_checkpoints = self.has_checkpoints.load(Ordering::Acquire);
        Ok(Box::pin(async move {
            // In their order.
            let done = stream::iter(objects).buffered(COMPLETED_AT_ONCE);
            let mut completed = Completed::default();
            let sorted = done.try_for_each(|(is_rejected, object)| {
                match is_rejected {
                    true => completed.rejected.push(object),
                    false => completed.objects.push(object),
                }
                ready(Ok::<_, Error>(()))
            });
            sorted.await?;
            if has_checkpoints {
                log.wait_for_checkpoints(completed);
            } else if completed.len() > 0 {
                append(&log, |entry| entry.add(&completed)).await?;
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
