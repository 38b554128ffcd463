//! The beginning of a run: what each source has to do, its output, its checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::plan::{Plan, Step, load, plan};
use super::run::Run;
use super::state::State;
use super::{Event, Pipeline};
use crate::checkpoint::{CheckpointStore, Definition, Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;
use crate::sink::{Committed, Opening, Sink};
use crate::source::{Merge, Shared, Source};

impl<'a> Run<'a> {
    /// Reads the checkpoints, opens the sink, starts the sources, and claims each of them under a new epoch.
    pub(super) async fn begin(
        pipeline: Pipeline,
        sink: &'a mut dyn Sink,
        store: Arc<dyn CheckpointStore>,
        lease: Lease,
        mut sources: Vec<Source>,
    ) -> Result<(Self, Merge)> {
        let sink_definition = sink.definition();
        let definitions: Vec<(Arc<str>, Definition)> = sources
            .iter_mut()
            .map(|source| (source.shared_name(), source.take_definition().with("sink", &sink_definition)))
            .collect();
        let now = pipeline.started_at.unwrap_or_else(SystemTime::now);
        let checkpoints = load(&*store, &definitions).await?;
        let is_settled = |state: &SinkState| sink.is_settled(state);
        let plan = plan(checkpoints, lease.term(), &definitions, now, pipeline.accept_changes, is_settled)?;
        lease.looked_at().await?;
        let claims = plan.claims();
        if !claims.is_empty() {
            store.save(&lease, &claims).await?;
        }
        let opened = open(&plan, &definitions, &sources, sink, &lease).await?;
        let mut run = Self {
            pipeline,
            sink,
            store,
            lease,
            id: plan.run,
            epoch: plan.epoch,
            began: Instant::now(),
            order: definitions.iter().map(|(name, _)| name.clone()).collect(),
            states: BTreeMap::new(),
            sources: BTreeMap::new(),
            shared: Shared::new(),
            started_at: plan.started_at,
            dirty: false,
            stopping: false,
        };
        let mut opened = opened.into_iter();
        let mut begun = Vec::new();
        let mut first = Vec::new();
        for ((source, (name, definition)), step) in sources.into_iter().zip(definitions).zip(plan.steps) {
            let (mark, records) = match &step {
                Step::First => (Mark::start(), 0),
                Step::Afresh(last) => (last.mark.next_run(), 0),
                Step::Resume(last) | Step::Settle(last) | Step::Skip(last) => {
                    (last.mark.clone(), last.records)
                }
            };
            let is_settled = !matches!(step, Step::Settle(_));
            let is_left_alone = matches!(step, Step::Skip(_) | Step::Settle(_));
            let sink_state = match step {
                Step::Skip(last) => last.sink,
                _ => opened.next().ok_or_else(unopened)?,
            };
            let mut state = State::new(definition, source.consistency(), mark, records, sink_state);
            if is_left_alone {
                run.pipeline.tell(&Event::Skipped { source: &name, records });
                state.ended = Some(run.began);
                if !is_settled {
                    (state.is_settling, state.dirty, run.dirty) = (true, true, true);
                    first.push(state.checkpoint(&name, &run.id, run.epoch));
                }
            } else {
                first.push(state.checkpoint(&name, &run.id, run.epoch));
                begun.push((name.clone(), source));
            }
            run.states.insert(name, Box::new(state));
        }
        let mut started = Vec::with_capacity(begun.len());
        for (name, source) in begun {
            let Some(state) = run.states.get_mut(&name) else { continue };
            run.pipeline.tell(&Event::Started { source: &name, resumed_records: state.records });
            let pulled = source.start(state.mark.clone(), &run.shared)?;
            state.meter = pulled.meter.clone();
            started.push((name.clone(), pulled));
            if source.restarts_on_expiry() {
                run.sources.insert(name, source);
            }
        }
        // The first pages are asked for while the disk works.
        let merge = Merge::start(started, run.pipeline.shutdown.gentle());
        // Under the new epoch, and before anything is written: so no file is ever without a checkpoint that knows it, and
        // a run that was overtaken cannot commit any more.
        run.store.save(&run.lease, &first).await?;
        Ok((run, merge))
    }
}

/// Opens the outputs of the sources that have something to do, and gives their states in that order. What is finished
/// is not touched: its file may have been taken away since.
async fn open(
    plan: &Plan,
    definitions: &[(Arc<str>, Definition)],
    sources: &[Source],
    sink: &mut dyn Sink,
    lease: &Lease,
) -> Result<Vec<SinkState>> {
    let mut openings = Vec::with_capacity(sources.len());
    for ((source, (name, _)), step) in sources.iter().zip(definitions).zip(&plan.steps) {
        let committed = match step {
            Step::First => Committed::Nothing,
            Step::Afresh(last) => Committed::Finished(&last.sink),
            Step::Resume(last) | Step::Settle(last) => Committed::Unfinished(&last.sink),
            Step::Skip(_) => continue,
        };
        let (label, started_at) = (source.label(), plan.started_at);
        openings.push(Opening { source: name, label, started_at, committed, lease });
    }
    let wanted = openings.len();
    let opened = sink.open_all(openings).await?;
    if opened.len() == wanted { Ok(opened) } else { Err(unopened()) }
}

fn unopened() -> Error {
    Error::new(ErrorKind::Sink, "the sink did not give a state for each source that it was to open")
}
