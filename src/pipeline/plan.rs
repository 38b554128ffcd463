//! What each source has to do in this run, from what the checkpoints say.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use chrono::{DateTime, NaiveDateTime, Utc};

use crate::checkpoint::{Checkpoint, CheckpointStore, Definition, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;

/// The run that is about to begin, or to go on.
#[derive(Debug)]
pub(super) struct Plan {
    /// Which run: a new one, or the one that was broken off.
    pub(super) run: String,
    pub(super) started_at: SystemTime,
    pub(super) epoch: u64,
    /// One for each source, in order.
    pub(super) steps: Vec<Step>,
}

/// What a source has to do.
#[derive(Debug)]
pub(super) enum Step {
    /// It was never pulled.
    First,
    /// Its last run is finished, and a new one begins.
    Afresh(Checkpoint),
    /// It goes on.
    Resume(Checkpoint),
    /// It is finished in this run, but for what its sink has left to do.
    Settle(Checkpoint),
    /// It is finished in this run.
    Skip(Checkpoint),
}

/// Reads the checkpoints of all sources.
pub(super) async fn load(
    store: &dyn CheckpointStore,
    sources: &[(Arc<str>, Definition)],
) -> Result<Vec<Option<Checkpoint>>> {
    let names: Vec<&str> = sources.iter().map(|(name, _)| &**name).collect();
    let checkpoints = store.load_all(&names).await?;
    if checkpoints.len() != sources.len() {
        let what = format!("the store gave {} checkpoints for {} sources", checkpoints.len(), sources.len());
        return Err(Error::new(ErrorKind::Checkpoint, what));
    }
    Ok(checkpoints)
}

/// Decides.
pub(super) fn plan(
    checkpoints: Vec<Option<Checkpoint>>,
    term: u64,
    sources: &[(Arc<str>, Definition)],
    now: SystemTime,
    accept_changes: bool,
    is_settled: impl Fn(&SinkState) -> bool,
) -> Result<Plan> {
    let is_over = |checkpoint: &Checkpoint| checkpoint.is_finished() && is_settled(&checkpoint.sink);
    // A run that has any source unfinished was broken off. There may be several, of different sets of sources; the
    // newest goes on, and takes the sources of the others along.
    let broken_off: BTreeSet<String> = checkpoints
        .iter()
        .flatten()
        .filter(|checkpoint| !is_over(checkpoint))
        .map(|checkpoint| checkpoint.run.clone())
        .collect();
    let (run, started_at) = match broken_off.last().and_then(|run| Some((run.to_owned(), start_of(run)?))) {
        Some(known) => known,
        None => (name_of(now), now),
    };
    // Higher than any that a run of a lower term can give, whatever that one has seen before it was frozen.
    let known = checkpoints.iter().flatten().map(|checkpoint| checkpoint.epoch).max().unwrap_or(0);
    let epoch = known.max(term * EPOCHS_OF_A_TERM) + 1;
    let mut steps = Vec::new();
    for (checkpoint, (name, definition)) in checkpoints.into_iter().zip(sources) {
        steps.push(match checkpoint {
            None => Step::First,
            // It is finished, and belongs to a run that is over.
            Some(checkpoint) if checkpoint.is_finished() && !broken_off.contains(&checkpoint.run) => {
                Step::Afresh(kept_of(checkpoint, definition, accept_changes)?)
            }
            Some(checkpoint) => {
                let changes = checkpoint.definition.changes(definition);
                // Before the first page is through, nothing has been pulled that the new one would not fit.
                let begun = checkpoint.is_finished() || checkpoint.mark.pages > 0;
                if begun && !changes.is_empty() && !accept_changes {
                    return Err(changed(name, &changes, &checkpoint));
                }
                match begun {
                    _ if is_over(&checkpoint) => Step::Skip(checkpoint),
                    _ if checkpoint.is_finished() => Step::Settle(checkpoint),
                    true => Step::Resume(checkpoint),
                    // But it may have begun with what a run of the old one has kept.
                    false => Step::Resume(kept_of(checkpoint, definition, accept_changes)?),
                }
            }
        });
    }
    Ok(Plan { run, started_at, epoch, steps })
}

/// Which list it is that a source pulls; other parts say how.
fn is_of_the_list(part: &str) -> bool {
    let part = part.trim_start_matches("parent ");
    matches!(part, "method" | "origin" | "path" | "body" | "records" | "fan-out")
        || part.starts_with("query ")
}

/// What a finished run has kept for the next one, which must be of the same list: with the mark of another, what lies
/// below it would never come.
fn kept_of(mut last: Checkpoint, now: &Definition, accept_changes: bool) -> Result<Checkpoint> {
    let mut changes: Vec<&str> =
        last.definition.changes(now).into_iter().filter(|part| is_of_the_list(part)).collect();
    if changes.is_empty() && !last.definition.marks_differ(now) {
        return Ok(last);
    }
    if last.definition.marks_differ(now) {
        changes.push("the field of the mark, its key, `exclusive()`, or what the window counts");
    }
    // They are of one URL (RFC 9110 §8.8), and without them the page is asked for as a whole.
    last.mark.validators = None;
    let kept = if last.is_finished() { last.mark.next_run() } else { last.mark.anew() };
    if accept_changes || now.is_a_range() || kept == Mark::start() {
        return Ok(last);
    }
    let what = format!("{} changed, and a finished run has kept a mark for this one", changes.join(", "));
    let name = last.source.as_str().into();
    Err(Error::new(ErrorKind::DefinitionChanged, what)
        .advice("give the source another name, or use another folder: then it is pulled from the beginning; in code, `accept_changed_definitions()` goes on from the mark all the same")
        .at(|context| context.source = Some(name)))
}

/// More than there can be runs.
const EPOCHS_OF_A_TERM: u64 = 1 << 32;

impl Plan {
    /// The checkpoints of what goes on, and of what is left alone, as this run's: stored before any output is
    /// touched, so that nothing which an overtaken run stores later undoes what was read here.
    pub(super) fn claims(&self) -> Vec<Checkpoint> {
        let known = self.steps.iter().filter_map(|step| match step {
            Step::Resume(last) | Step::Settle(last) | Step::Skip(last) => Some(last),
            Step::First | Step::Afresh(_) => None,
        });
        known.map(|last| Checkpoint { run: self.run.clone(), epoch: self.epoch, ..last.clone() }).collect()
    }
}

fn changed(name: &str, changes: &[&str], checkpoint: &Checkpoint) -> Error {
    let what = format!(
        "{} changed since the run {} was broken off after {} records",
        changes.join(", "),
        checkpoint.run,
        checkpoint.records
    );
    Error::new(ErrorKind::DefinitionChanged, what)
        .advice("finish it with the old definition, or use another folder; in code, `accept_changed_definitions()` goes on all the same")
        .at(|context| context.source = Some(name.into()))
}

const TIME: &str = "%Y%m%dT%H%M%SZ";

/// `20260517T100000Z-5f3a9c21`: the start, and something to tell two of the same second apart.
fn name_of(start: SystemTime) -> String {
    let start: DateTime<Utc> = start.into();
    format!("{}-{:08x}", start.format(TIME), fastrand::u32(..))
}

fn start_of(run: &str) -> Option<SystemTime> {
    let (time, _) = run.split_once('-')?;
    Some(NaiveDateTime::parse_from_str(time, TIME).ok()?.and_utc().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Lease, MemoryStore, tests::sample};

    fn checkpoint(source: &str, run: &str, finished: bool) -> Checkpoint {
        let mut checkpoint = sample();
        (checkpoint.source, checkpoint.run) = (source.into(), run.into());
        checkpoint.mark = Mark::start();
        if finished {
            checkpoint.mark.next = None;
        }
        checkpoint
    }

    fn unsettled() -> SinkState {
        SinkState("unsettled".into())
    }

    async fn planned(
        store: &MemoryStore,
        term: u64,
        sources: &[(Arc<str>, Definition)],
        accept_changes: bool,
    ) -> Result<Plan> {
        let is_settled = |state: &SinkState| *state != unsettled();
        let checkpoints = load(store, sources).await?;
        plan(checkpoints, term, sources, SystemTime::UNIX_EPOCH, accept_changes, is_settled)
    }

    fn nobody() -> Lease {
        Lease::new(())
    }

    async fn steps(checkpoints: &[Checkpoint], sources: &[&str]) -> (String, Vec<String>) {
        let store = MemoryStore::new();
        for checkpoint in checkpoints {
            store.save(&nobody(), std::slice::from_ref(checkpoint)).await.unwrap();
        }
        let sources: Vec<_> = sources.iter().map(|name| ((*name).into(), sample().definition)).collect();
        let plan = planned(&store, 0, &sources, false).await.unwrap();
        let steps = plan.steps.iter().map(|step| match step {
            Step::First => "first",
            Step::Afresh(_) => "afresh",
            Step::Resume(_) => "resume",
            Step::Settle(_) => "settle",
            Step::Skip(_) => "skip",
        });
        (plan.run.clone(), steps.map(str::to_owned).collect())
    }

    const OLD: &str = "20260517T100000Z-00000001";
    const NEW: &str = "20260518T100000Z-00000002";

    #[tokio::test]
    async fn a_run_that_was_broken_off_goes_on() {
        let stored = [checkpoint("a", NEW, true), checkpoint("b", NEW, false), checkpoint("c", OLD, true)];
        let (run, steps) = steps(&stored, &["a", "b", "c", "d"]).await;
        assert_eq!(run, NEW);
        assert_eq!(steps, ["skip", "resume", "afresh", "first"]);
    }

    #[tokio::test]
    async fn of_several_that_were_broken_off_nothing_is_pulled_twice() {
        let stored = [checkpoint("a", OLD, true), checkpoint("b", OLD, false), checkpoint("c", NEW, false)];
        let (run, steps) = steps(&stored, &["a", "b", "c"]).await;
        assert_eq!(run, NEW);
        assert_eq!(steps, ["skip", "resume", "resume"]);
    }

    #[tokio::test]
    async fn after_a_finished_run_all_start_afresh() {
        let stored = [checkpoint("a", OLD, true), checkpoint("b", OLD, true)];
        let (run, steps) = steps(&stored, &["a", "b"]).await;
        assert!(run.starts_with("19700101T000000Z-"), "{run}");
        assert_eq!(steps, ["afresh", "afresh"]);
    }

    #[tokio::test]
    async fn a_run_is_not_over_while_its_sink_has_something_to_do() {
        let waiting = Checkpoint { sink: unsettled(), ..checkpoint("a", OLD, true) };
        let (run, steps) = steps(&[waiting, checkpoint("b", OLD, true)], &["a", "b", "c"]).await;
        assert_eq!(
            (run.as_str(), steps.as_slice()),
            (OLD, ["settle", "skip", "first"].map(str::to_owned).as_slice())
        );
    }

    #[tokio::test]
    async fn a_changed_definition_is_named() {
        let store = MemoryStore::new();
        let mut begun = checkpoint("a", OLD, false);
        begun.mark.pages = 1;
        store.save(&nobody(), &[begun]).await.unwrap();
        let sources = [("a".into(), sample().definition.with("records", "items").with("query limit", "5"))];
        let error = planned(&store, 0, &sources, false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DefinitionChanged);
        assert!(error.to_string().contains("query limit, records changed"), "{error}");
        planned(&store, 0, &sources, true).await.unwrap();
        // One that is finished while its run is not would be left alone with the old data.
        store.save(&nobody(), &[checkpoint("b", NEW, true), checkpoint("c", NEW, false)]).await.unwrap();
        let sources = [("b".into(), sources[0].1.clone()), ("c".into(), sample().definition)];
        let error = planned(&store, 0, &sources, false).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DefinitionChanged);
    }

    #[tokio::test]
    async fn an_epoch_is_above_all_of_a_lower_term() {
        let store = MemoryStore::new();
        store.save(&nobody(), &[checkpoint("a", OLD, true)]).await.unwrap();
        let sources = [("a".into(), sample().definition)];
        let epochs: Vec<u64> = futures::future::join_all([0, 1, 2].map(|term| {
            let (store, sources) = (&store, &sources);
            async move { planned(store, term, sources, false).await.unwrap().epoch }
        }))
        .await;
        assert_eq!(epochs, [sample().epoch + 1, (1 << 32) + 1, (2 << 32) + 1]);
    }

    #[tokio::test]
    async fn a_definition_that_never_got_a_page_may_be_mended() {
        let store = MemoryStore::new();
        store.save(&nobody(), &[checkpoint("a", OLD, false)]).await.unwrap();
        let sources = [("a".into(), sample().definition.with("records", "items"))];
        let plan = planned(&store, 0, &sources, false).await.unwrap();
        assert!(matches!(plan.steps[..], [Step::Resume(_)]));
    }
}
