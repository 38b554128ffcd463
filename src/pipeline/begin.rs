//! The beginning of a run: what each source has to do, its output, its checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::plan::{Step, plan};
use super::run::Run;
use super::state::State;
use super::{Event, Pipeline};
use crate::checkpoint::{CheckpointStore, Definition, Lease};
use crate::error::Result;
use crate::mark::Mark;
use crate::sink::{Committed, Opening, Sink};
use crate::source::{Merge, Shared, Source};

impl<'a> Run<'a> {
    /// Reads the checkpoints, opens the sink, claims every source under a new epoch, and starts them.
    pub(super) async fn begin(
        pipeline: Pipeline,
        sink: &'a mut dyn Sink,
        store: Arc<dyn CheckpointStore>,
        lease: Lease,
        sources: Vec<Source>,
    ) -> Result<(Self, Merge)> {
        let sink_definition = sink.definition();
        let definitions: Vec<(Arc<str>, Definition)> = sources
            .iter()
            .map(|source| (source.shared_name(), source.definition().clone().with("sink", &sink_definition)))
            .collect();
        let now = pipeline.started_at.unwrap_or_else(SystemTime::now);
        let plan = plan(&*store, lease.term(), &definitions, now, pipeline.accept_changes).await?;
        lease.looked_at().await?;
        store.save(&lease, &plan.claims()).await?;
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
        let mut begun = Vec::new();
        let mut first = Vec::new();
        for ((source, (name, definition)), step) in sources.into_iter().zip(definitions).zip(plan.steps) {
            let (committed, mark, records) = match &step {
                Step::First => (Committed::Nothing, Mark::start(), 0),
                Step::Afresh(last) => (Committed::Finished(&last.sink), last.mark.next_run(), 0),
                Step::Resume(last) => (Committed::Unfinished(&last.sink), last.mark.clone(), last.records),
                Step::Skip(last) => (Committed::Unfinished(&last.sink), last.mark.clone(), last.records),
            };
            let sink_state = match &step {
                // What is finished is not touched: its file may have been taken away since.
                Step::Skip(last) => last.sink.clone(),
                _ => {
                    run.sink
                        .open(Opening {
                            source: &name,
                            label: source.label(),
                            started_at: plan.started_at,
                            committed,
                            lease: &run.lease,
                        })
                        .await?
                }
            };
            let mut state = State::new(definition, source.consistency(), mark, records, sink_state);
            if let Step::Skip(_) = step {
                run.pipeline.tell(&Event::Skipped { source: &name, records });
                state.ended = Some(run.began);
            } else {
                first.push(state.checkpoint(&name, &run.id, run.epoch));
                begun.push(name.clone());
            }
            run.states.insert(name.clone(), state);
            run.sources.insert(name, source);
        }
        // Under the new epoch, and before anything is written: so no file is ever without a checkpoint that knows it, and
        // a run that was overtaken cannot commit any more.
        run.store.save(&run.lease, &first).await?;
        let mut started = Vec::new();
        for name in begun {
            let (Some(state), Some(source)) = (run.states.get_mut(&name), run.sources.get(&name)) else {
                continue;
            };
            run.pipeline.tell(&Event::Started { source: &name, resumed_records: state.records });
            let pulled = source.start(state.mark.clone(), &run.shared)?;
            state.meter = pulled.meter.clone();
            started.push((name, pulled));
        }
        let merge = Merge::start(started, run.pipeline.shutdown.gentle());
        Ok((run, merge))
    }
}
