//! Several sinks that are committed as one: what a [`Tee`](super::Tee) and a [`Route`](super::Route) have in common.
//!
//! The state of a source is the list of the states of its outputs. A sink gives the states of the outputs that were
//! written; the others' are known from before. The checkpoints are those of one sink: of the first whose rows and checkpoints
//! are one transaction, or else of the first that has any. Its transaction is open until the checkpoints are stored, so its
//! commit comes last, when all others are durable. The others are committed at the same time, while more is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::future::{join_all, ready};
use serde_json::Value;

use super::{COMMIT_EVERY, Committed, Committing, Guarantee, Opening, Sink, SinkStates};
use crate::checkpoint::{CheckpointStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;

/// The outputs of every source.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    sinks: Vec<Box<dyn Sink>>,
    outputs: Vec<Output>,
    /// Whose store is used, once it was asked for.
    store_of: OnceLock<usize>,
    known: Arc<Mutex<Known>>,
    /// The sources that a batch came for since the last commit began.
    touched: BTreeSet<Arc<str>>,
}

/// One output: a sink, and what stands behind the name of the source there.
#[derive(Debug)]
struct Output {
    sink: usize,
    part: Option<String>,
}

#[derive(Debug, Default)]
struct Known {
    states: BTreeMap<Arc<str>, Vec<SinkState>>,
    /// Which source and output it is that a sink knows by a name.
    names: Vec<Names>,
}

/// Sources and their outputs, by the names under which a sink knows them.
type Names = BTreeMap<Arc<str>, (Arc<str>, usize)>;

impl Known {
    /// Takes in what a sink has committed, and gives the sources that it was for.
    fn take(&mut self, sink: usize, states: SinkStates) -> BTreeSet<Arc<str>> {
        let mut sources = BTreeSet::new();
        for (name, state) in states {
            let Some((source, output)) = self.names.get(sink).and_then(|names| names.get(&name)) else {
                continue;
            };
            if let Some(place) = self.states.get_mut(source).and_then(|states| states.get_mut(*output)) {
                *place = state;
                sources.insert(source.clone());
            }
        }
        sources
    }

    fn state(&self, source: &str) -> SinkState {
        let states = self.states.get(source).into_iter().flatten();
        SinkState(Value::Array(states.map(|state| state.0.clone()).collect()))
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outputs {
    pub(super) fn add_sink(&mut self, sink: Box<dyn Sink>) -> usize {
        self.sinks.push(sink);
        lock(&self.known).names.push(BTreeMap::new());
        self.sinks.len() - 1
    }

    pub(super) fn add_output(&mut self, sink: usize, part: Option<String>) -> usize {
        self.outputs.push(Output { sink, part });
        self.outputs.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.outputs.len()
    }

    /// The definitions of the sinks, each in brackets.
    pub(super) fn definition(&self) -> String {
        let sinks: Vec<String> = self.sinks.iter().map(|sink| format!("[{}]", sink.definition())).collect();
        sinks.join(" ")
    }

    /// The weakest of all.
    pub(super) fn guarantee(&self) -> Guarantee {
        let weakest = self.sinks.iter().map(Sink::guarantee).find(|one| *one != Guarantee::ExactlyOnce);
        weakest.unwrap_or(Guarantee::ExactlyOnce)
    }

    pub(super) fn is_transactional(&self) -> bool {
        self.sinks.iter().any(Sink::is_transactional)
    }

    /// The store of one of them. The others are not asked for theirs, so they know that it is not used.
    pub(super) fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        let transactional = (0..self.sinks.len()).filter(|index| self.sinks[*index].is_transactional());
        for index in transactional.chain(0..self.sinks.len()) {
            if let Some(store) = self.sinks[index].checkpoints() {
                return (*self.store_of.get_or_init(|| index) == index).then_some(store);
            }
        }
        None
    }

    /// Which sink is committed last.
    fn last(&self) -> Option<usize> {
        self.store_of.get().copied().filter(|index| self.sinks[*index].is_transactional())
    }

    /// The shortest pace. One without a wish has the usual one.
    pub(super) fn commit_every(&self) -> Option<Duration> {
        let paces: Vec<Option<Duration>> = self.sinks.iter().map(Sink::commit_every).collect();
        paces
            .iter()
            .any(Option::is_some)
            .then(|| paces.iter().map(|pace| pace.unwrap_or(COMMIT_EVERY)).min())?
    }

    pub(super) fn is_full(&self) -> bool {
        self.sinks.iter().any(Sink::is_full)
    }

    fn name(&self, source: &str, output: &Output) -> Arc<str> {
        output.part.as_ref().map_or_else(|| source.into(), |part| format!("{source}.{part}").into())
    }

    /// The states of the outputs of a source, from its state.
    fn split(&self, state: &SinkState) -> Option<Vec<SinkState>> {
        let states = state.0.as_array().filter(|states| states.len() == self.outputs.len())?;
        Some(states.iter().cloned().map(SinkState).collect())
    }

    pub(super) async fn open_all(&mut self, openings: &[Opening<'_>]) -> Result<Vec<SinkState>> {
        let mut before = Vec::with_capacity(openings.len());
        for opening in openings {
            before.push(match opening.committed {
                Committed::Nothing => None,
                Committed::Finished(state) | Committed::Unfinished(state) => {
                    let states = self.split(state).ok_or_else(|| of_another_number(opening.source))?;
                    Some(states)
                }
            });
            self.register(opening.source)?;
        }
        for sink in 0..self.sinks.len() {
            let mut wanted = Vec::new();
            for (source, opening) in openings.iter().enumerate() {
                for (number, output) in
                    self.outputs.iter().enumerate().filter(|(_, output)| output.sink == sink)
                {
                    wanted.push((source, number, self.name(opening.source, output)));
                }
            }
            let inner = wanted.iter().map(|(source, number, name)| {
                let opening = &openings[*source];
                let state = before[*source].as_ref().map(|states| &states[*number]);
                let committed = match (opening.committed, state) {
                    (Committed::Finished(_), Some(state)) => Committed::Finished(state),
                    (Committed::Unfinished(_), Some(state)) => Committed::Unfinished(state),
                    _ => Committed::Nothing,
                };
                Opening { source: name, committed, ..*opening }
            });
            let inner: Vec<Opening<'_>> = inner.collect();
            let opened = self.sinks[sink].open_all(inner).await?;
            if opened.len() != wanted.len() {
                let what =
                    format!("{} states came for {} outputs that were opened", opened.len(), wanted.len());
                return Err(Error::new(ErrorKind::Sink, what));
            }
            let mut known = lock(&self.known);
            for ((source, number, _), state) in wanted.iter().zip(opened) {
                if let Some(states) = known.states.get_mut(openings[*source].source) {
                    states[*number] = state;
                }
            }
        }
        let known = lock(&self.known);
        Ok(openings.iter().map(|opening| known.state(opening.source)).collect())
    }

    /// Notes under which names its sinks know a source.
    fn register(&self, source: &str) -> Result<()> {
        let source: Arc<str> = source.into();
        let mut known = lock(&self.known);
        for (number, output) in self.outputs.iter().enumerate() {
            let name = self.name(&source, output);
            let other = known.names[output.sink].insert(name.clone(), (source.clone(), number));
            if other.is_some_and(|other| other != (source.clone(), number)) {
                let what = format!("two outputs are named {name:?}");
                return Err(Error::config(what).advice("give one of the sources another name"));
            }
        }
        known.states.insert(source, vec![SinkState::default(); self.outputs.len()]);
        Ok(())
    }

    /// Notes that a batch has come.
    pub(super) fn touch(&mut self, source: &str) {
        if !self.touched.contains(source) {
            self.touched.insert(source.into());
        }
    }

    pub(super) async fn write(&mut self, output: usize, source: &str, batch: &Batch) -> Result<()> {
        let name = self.name(source, &self.outputs[output]);
        self.sinks[self.outputs[output].sink].write(&name, batch).await
    }

    pub(super) async fn write_to_all(&mut self, source: &str, batch: &Batch) -> Result<()> {
        self.touch(source);
        for output in 0..self.outputs.len() {
            self.write(output, source, batch).await?;
        }
        Ok(())
    }

    pub(super) async fn finish(&mut self, source: &str) -> Result<()> {
        for output in 0..self.outputs.len() {
            let name = self.name(source, &self.outputs[output]);
            self.sinks[self.outputs[output].sink].finish(&name).await?;
        }
        Ok(())
    }

    pub(super) async fn begin_commit(&mut self) -> Result<Committing> {
        let last = self.last();
        let mut sources = std::mem::take(&mut self.touched);
        let others = self.sinks.iter_mut().enumerate().filter(|(sink, _)| Some(*sink) != last);
        let begun = join_all(others.map(|(sink, one)| async move { (sink, one.begin_commit().await) })).await;
        let mut committing = Vec::with_capacity(begun.len());
        for (sink, begun) in begun {
            committing.push((sink, begun?));
        }
        let known = self.known.clone();
        let durable = async move {
            let ended =
                committing.into_iter().map(|(sink, committing)| async move { (sink, committing.await) });
            // All of them, behind a failure too: what is on its way holds the lease.
            for (sink, states) in join_all(ended).await {
                sources.extend(lock(&known).take(sink, states?));
            }
            Ok::<_, Error>(sources)
        };
        let known = self.known.clone();
        let Some(last) = last else {
            return Ok(Box::pin(async move { Ok(states_of(&known, &durable.await?)) }));
        };
        let mut sources = durable.await?;
        let states = self.sinks[last].begin_commit().await?.await?;
        sources.extend(lock(&known).take(last, states));
        Ok(Box::pin(ready(Ok(states_of(&known, &sources)))))
    }

    pub(super) fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        let emptied = self.each(state).map(|(sink, state)| sink.emptied(&state).map(|state| state.0));
        let emptied: Option<Vec<Value>> = emptied.collect();
        emptied
            .filter(|states| states.len() == self.outputs.len())
            .map(|states| SinkState(Value::Array(states)))
    }

    /// The sink of each output, with its state.
    pub(super) fn each(&self, state: &SinkState) -> impl Iterator<Item = (&dyn Sink, SinkState)> {
        let states = self.split(state).unwrap_or_default();
        self.outputs.iter().map(|output| &*self.sinks[output.sink]).zip(states)
    }

    pub(super) fn is_settled(&self, state: &SinkState) -> bool {
        self.each(state).all(|(sink, state)| sink.is_settled(&state))
    }

    pub(super) fn location(&self, state: &SinkState) -> Option<String> {
        let places: Vec<String> =
            self.each(state).filter_map(|(sink, state)| sink.location(&state)).collect();
        (!places.is_empty()).then(|| places.join(", "))
    }

    /// Closes all of them, also behind a failure.
    pub(super) async fn close(&mut self) -> Result<()> {
        let mut closed = Ok(());
        for sink in &mut self.sinks {
            closed = closed.and(sink.close().await);
        }
        closed
    }
}

fn states_of(known: &Mutex<Known>, sources: &BTreeSet<Arc<str>>) -> SinkStates {
    let known = lock(known);
    sources.iter().map(|source| (source.clone(), known.state(source))).collect()
}

fn of_another_number(source: &str) -> Error {
    let source = source.into();
    Error::new(ErrorKind::Checkpoint, "the committed state is not one of as many outputs as there are now")
        .advice("use the sinks that the checkpoint was made with, or another folder")
        .at(|context| context.source = Some(source))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use futures::future::BoxFuture;

    use super::*;
    use crate::page::Page;
    use crate::request::Position;
    use crate::sink::{Memory, Route, Stdout, Tee};

    /// Notes of each page for which output it came, how many records it had, and whether it was the last.
    #[derive(Debug, Default)]
    struct Noted {
        pages: Arc<Mutex<Vec<(String, usize, bool)>>>,
        is_unsettled: bool,
    }

    impl Sink for Noted {
        fn definition(&self) -> String {
            "notes".into()
        }
        fn guarantee(&self) -> Guarantee {
            Guarantee::ExactlyOnce
        }
        fn open<'a>(&'a mut self, _: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
            Box::pin(ready(Ok(SinkState::default())))
        }
        fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
            self.pages.lock().unwrap().push((source.to_owned(), batch.len(), batch.is_last()));
            Box::pin(ready(Ok(())))
        }
        fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
            Box::pin(ready(Ok(Vec::new())))
        }
        fn is_settled(&self, _: &SinkState) -> bool {
            !self.is_unsettled
        }
    }

    async fn opened(sink: &mut dyn Sink) -> SinkState {
        let lease = crate::checkpoint::Lease::new(());
        let (started_at, committed) = (SystemTime::UNIX_EPOCH, Committed::Nothing);
        sink.open(Opening { source: "s", label: "s", started_at, committed, lease: &lease }).await.unwrap()
    }

    #[tokio::test]
    async fn a_source_begins_anew_only_if_all_sinks_can_discard_what_it_wrote() {
        let nowhere = || Stdout::on(std::io::sink());
        let mut both = Tee::new(Memory::new(), Memory::new());
        let state = opened(&mut both).await;
        assert!(both.emptied(&state).is_some());
        for mut one in [Tee::new(Memory::new(), nowhere()), Tee::new(nowhere(), Memory::new())] {
            let state = opened(&mut one).await;
            assert!(one.emptied(&state).is_none());
        }
    }

    #[tokio::test]
    async fn a_source_is_settled_when_it_is_in_all_sinks() {
        for (first, second) in [(false, false), (true, false), (false, true)] {
            let noted = |is_unsettled| Noted { is_unsettled, ..Noted::default() };
            let mut tee = Tee::new(noted(first), noted(second));
            let state = opened(&mut tee).await;
            assert_eq!(tee.is_settled(&state), !first && !second);
        }
    }

    #[tokio::test]
    async fn each_output_is_told_of_the_last_page_whether_it_has_a_record_of_it_or_not() {
        let (tables, others) = (Noted::default(), Noted::default());
        let (of_tables, of_others) = (tables.pages.clone(), others.pages.clone());
        let mut route = Route::by("k").tables(tables, ["a", "b"]).others(others);
        opened(&mut route).await;
        for next in [Some(Position::Offset(1)), None] {
            let page = Page::new(r#"[{"k":"a"},{"k":"a"}]"#, 1, Position::Start, next).unwrap();
            route.write("s", &Batch::new(page, "").unwrap()).await.unwrap();
        }
        let page = |source: &str, records, is_last| (source.to_owned(), records, is_last);
        assert_eq!(
            *of_tables.lock().unwrap(),
            [page("s.a", 2, false), page("s.a", 2, true), page("s.b", 0, true)]
        );
        assert_eq!(*of_others.lock().unwrap(), [page("s", 0, true)]);
    }
}
