//! Records to different places, by what they say.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::outputs::Outputs;
use super::{Committing, Guarantee, Opening, Sink, SinkStates, only};
use crate::checkpoint::{CheckpointStore, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::records::{Batch, Record, object};

/// More outputs than this for each source are refused.
const MOST: usize = 1000;

/// Sends each record to one of its outputs: by the value of a field, or as a closure says.
///
/// ```no_run
/// use headwater::{Pipeline, sink::{Jsonl, Route}};
/// // out/issues.bug_….jsonl, out/issues.feature_….jsonl, and all else in other/issues_….jsonl
/// let route = Route::by("kind").tables(Jsonl::dir("out"), ["bug", "feature"]).others(Jsonl::dir("other"));
/// let pipeline = Pipeline::new().sink(route);
/// ```
///
/// The outputs are declared: each is opened, and its first state stored, before anything is written. So whatever
/// the inner sinks guarantee holds for each output. A record that none is declared for ends the run with an error that
/// names the value, unless there is an output for all [others](Self::others). In all outputs of one source the records have
/// the order of the source, and `__source` says its name.
///
/// The checkpoints, and the pace, are decided as by a [`Tee`](super::Tee).
#[derive(Debug)]
#[must_use]
pub struct Route {
    chooser: Chooser,
    routes: BTreeMap<String, usize>,
    others: Option<usize>,
    outputs: Outputs,
    wrong: Option<String>,
}

enum Chooser {
    Field(Option<JsonPath>, String),
    Closure(String, Box<Choose>),
}

type Choose = dyn for<'a> Fn(&'a Record) -> Option<Cow<'a, str>> + Send + Sync;

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.definition())
    }
}

impl Chooser {
    fn definition(&self) -> String {
        match self {
            Self::Field(_, field) => format!("the field {field:?}"),
            Self::Closure(name, _) => format!("the closure {name:?}"),
        }
    }

    /// What decides about a record. A string counts by what it says, a number and a boolean as they are written.
    fn choose(&self, record: &Record, value: &mut String) -> bool {
        let chosen = match self {
            Self::Field(path, _) => {
                let found =
                    path.as_ref().and_then(|path| object::value_at(record.as_bytes(), path.segments()));
                found.and_then(|found| match found.first() {
                    Some(b'"') => object::text_of(found),
                    Some(b'{' | b'[' | b'n') | None => None,
                    Some(_) => std::str::from_utf8(found).ok().map(Cow::Borrowed),
                })
            }
            Self::Closure(_, choose) => choose(record),
        };
        value.clear();
        value.push_str(chosen.as_deref().unwrap_or_default());
        chosen.is_some()
    }
}

impl Route {
    /// Decides by the value of a field, at a dotted path or a JSON Pointer.
    pub fn by(field: &str) -> Self {
        let path = JsonPath::parse(field);
        let wrong = path.as_ref().err().map(ToString::to_string);
        Self { wrong, ..Self::with(Chooser::Field(path.ok(), field.to_owned())) }
    }

    /// Decides by a closure, which gives the name of an output; `None` is for the [others](Self::others). `definition` stands
    /// for the closure in the checkpoint: change it when the meaning of the closure changes.
    ///
    /// ```
    /// use headwater::{Record, sink::{Memory, Route}};
    /// let (small, large) = (Memory::new(), Memory::new());
    /// let route = Route::choose("by length", |record: &Record| {
    ///     Some(if record.as_bytes().len() < 1000 { "small" } else { "large" }.into())
    /// })
    /// .into("small", small.clone())
    /// .into("large", large.clone());
    /// ```
    pub fn choose(
        definition: &str,
        choose: impl for<'a> Fn(&'a Record) -> Option<Cow<'a, str>> + Send + Sync + 'static,
    ) -> Self {
        Self::with(Chooser::Closure(definition.to_owned(), Box::new(choose)))
    }

    fn with(chooser: Chooser) -> Self {
        Self { chooser, routes: BTreeMap::new(), others: None, outputs: Outputs::default(), wrong: None }
    }

    /// Sends the records of one value into a sink of their own, under the name of the source.
    pub fn into(mut self, value: impl Into<String>, sink: impl Sink + 'static) -> Self {
        let sink = self.outputs.add_sink(Box::new(sink));
        let output = self.outputs.add_output(sink, None);
        self.route(value.into(), output)
    }

    /// Sends the records of each of these values into an output of one sink, as a source of the name `{source}.{value}`: a
    /// file, or a table. What cannot be in a name is written `_`.
    pub fn tables(
        mut self,
        sink: impl Sink + 'static,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let sink = self.outputs.add_sink(Box::new(sink));
        let mut names = BTreeMap::new();
        for value in values {
            let value = value.into();
            let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
            let part: String = value.chars().map(fits).take(64).collect();
            // Some file systems do not tell upper from lower case.
            if let Some(other) = names.insert(part.to_ascii_lowercase(), value.clone()) {
                self.wrong
                    .get_or_insert(format!("the outputs of {other:?} and {value:?} would have one name"));
            }
            let output = self.outputs.add_output(sink, Some(part));
            self = self.route(value, output);
        }
        self
    }

    /// Sends all other records into a sink, under the name of the source.
    pub fn others(mut self, sink: impl Sink + 'static) -> Self {
        let sink = self.outputs.add_sink(Box::new(sink));
        let output = self.outputs.add_output(sink, None);
        if self.others.replace(output).is_some() {
            self.wrong.get_or_insert("there are two outputs for all others".to_owned());
        }
        self
    }

    fn route(mut self, value: String, output: usize) -> Self {
        if self.outputs.len() > MOST {
            self.wrong.get_or_insert(format!("there are more than {MOST} outputs"));
        }
        if let Some(wrong) =
            self.routes.insert(value.clone(), output).map(|_| format!("{value:?} has two outputs"))
        {
            self.wrong.get_or_insert(wrong);
        }
        self
    }

    /// Says what is wrong with the declaration, before anything is opened.
    fn check(&self) -> Result<()> {
        match &self.wrong {
            None if self.outputs.len() == 0 => {
                Err(Error::config("a route without outputs")
                    .advice("say where the records go with `.into(…)`"))
            }
            None => Ok(()),
            Some(wrong) => Err(Error::config(format!("the route cannot be: {wrong}"))),
        }
    }

    async fn send(&mut self, source: &str, batch: &Batch) -> Result<()> {
        self.outputs.touch(source);
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); self.outputs.len()];
        let mut value = String::new();
        for (index, record) in batch.records().enumerate() {
            let is_named = self.chooser.choose(&record, &mut value);
            let known = if is_named { self.routes.get(&value).copied() } else { None };
            match known.or(self.others) {
                Some(output) => parts[output].push(index),
                None => return Err(self.unrouted(is_named.then_some(&*value), source, batch, &record)),
            }
        }
        let is_last = batch.is_last();
        for (output, part) in parts.iter().enumerate() {
            if part.len() == batch.len() && !part.is_empty() {
                self.outputs.write(output, source, batch).await?;
            } else if !part.is_empty() || is_last {
                // Behind the last page each output is told that it was the last.
                self.outputs.write(output, source, &batch.only(part)).await?;
            }
        }
        Ok(())
    }

    fn unrouted(&self, value: Option<&str>, source: &str, batch: &Batch, record: &Record) -> Error {
        let chooser = self.chooser.definition();
        let what = match value {
            Some(value) => format!("no output is declared for {value:?}, which {chooser} gives"),
            None => format!("{chooser} gives nothing for a record, and no output is declared for all others"),
        };
        let page = batch.page();
        Error::new(ErrorKind::Sink, what)
            .advice("declare one with `.into(…)` or `.tables(…)`, or one for all `.others(…)`")
            .at(|context| {
                context.source = Some(source.into());
                context.page = Some(page.number);
                context.position = Some(page.position.to_string());
                context.excerpt =
                    Some(record.as_str().chars().take(120).collect::<String>().escape_debug().to_string());
            })
    }
}

impl Sink for Route {
    fn definition(&self) -> String {
        let routes: Vec<String> =
            self.routes.iter().map(|(value, output)| format!("{value:?} {output}")).collect();
        let (chooser, outputs) = (self.chooser.definition(), self.outputs.definition());
        format!("route by {chooser}: {}, others {:?}, {outputs}", routes.join(", "), self.others)
    }

    fn guarantee(&self) -> Guarantee {
        self.outputs.guarantee()
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.outputs.checkpoints()
    }

    fn is_transactional(&self) -> bool {
        self.outputs.is_transactional()
    }

    fn commit_every(&self) -> Option<Duration> {
        self.outputs.commit_every()
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { only(self.open_all(vec![opening]).await?) })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(async move {
            self.check()?;
            self.outputs.open_all(&openings).await
        })
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.send(source, batch))
    }

    fn is_full(&self) -> bool {
        self.outputs.is_full()
    }

    fn finish<'a>(&'a mut self, source: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.outputs.finish(source))
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(async { self.outputs.begin_commit().await?.await })
    }

    fn begin_commit(&mut self) -> BoxFuture<'_, Result<Committing>> {
        Box::pin(self.outputs.begin_commit())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        self.outputs.emptied(state)
    }

    fn is_settled(&self, state: &SinkState) -> bool {
        self.outputs.is_settled(state)
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.outputs.close())
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        self.outputs.location(state)
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        self.outputs.each(state).map(|(sink, state)| sink.rejected(&state)).sum()
    }
}
