//! One API: the server that behaves as it does, the source that pulls it, and the judgement.

use std::collections::BTreeMap;

use futures::StreamExt;
use headwater::sink::Memory;
use headwater::testing::Scripted;
use headwater::{Mark, Pipeline, Source, SourceBuilder};
use serde_json::Value;

/// How many records stand behind each server.
pub(crate) const RECORDS: u64 = 1234;

/// An API, and each of its documented dialects.
pub(crate) struct Row {
    pub(crate) api: &'static str,
    pub(crate) ways: Vec<Way>,
}

impl Row {
    pub(crate) fn new(api: &'static str, ways: impl IntoIterator<Item = Way>) -> Self {
        Self { api, ways: ways.into_iter().collect() }
    }
}

/// One dialect: what answers, and the source by configuration alone.
pub(crate) struct Way {
    /// Empty if the API has only one.
    pub(crate) name: &'static str,
    /// N next link, C cursor, K key of a record, O offset, G page number, W window, F fan-out.
    pub(crate) primitive: &'static str,
    pub(crate) server: Scripted,
    pub(crate) source: SourceBuilder,
    /// The path, in a record, of its number: 0 to 1,233, each once.
    pub(crate) number: &'static str,
    /// What the server has to say at the end, if it kept count of what it must not see.
    pub(crate) check: Option<Box<dyn Fn() -> Result<(), String>>>,
    /// Reads the number of a record, where it stands in no one place.
    pub(crate) read: Option<fn(&Value) -> Option<u64>>,
    /// Whether a pipeline pulls it.
    pub(crate) in_a_run: bool,
    /// The same source, for a second run, which is the one that is judged.
    pub(crate) again: Option<SourceBuilder>,
    /// What each record has to have besides its number.
    pub(crate) has: Option<&'static str>,
}

/// What came of a pull.
pub(crate) struct Verdict {
    pub(crate) requests: usize,
    pub(crate) records: usize,
    /// `None` if each record came exactly once.
    pub(crate) fault: Option<String>,
}

impl Way {
    /// A dialect whose records have their number at `n`.
    pub(crate) fn new(primitive: &'static str, server: Scripted, source: SourceBuilder) -> Self {
        Self {
            name: "",
            primitive,
            server,
            source,
            number: "n",
            read: None,
            check: None,
            in_a_run: false,
            again: None,
            has: None,
        }
    }

    /// Tells several dialects of one API apart.
    pub(crate) fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Says where the number of a record stands.
    pub(crate) fn number(mut self, path: &'static str) -> Self {
        self.number = path;
        self
    }

    /// Says how the number of a record is read.
    pub(crate) fn numbered(mut self, read: fn(&Value) -> Option<u64>) -> Self {
        self.read = Some(read);
        self
    }

    /// Asks the server at the end whether it saw what it should.
    pub(crate) fn checked(mut self, check: impl Fn() -> Result<(), String> + 'static) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// Demands a field of each record.
    pub(crate) fn has(mut self, field: &'static str) -> Self {
        self.has = Some(field);
        self
    }

    /// Pulls it by a pipeline: what a source that begins anew had written is discarded there.
    pub(crate) fn in_a_run(mut self) -> Self {
        self.in_a_run = true;
        self
    }

    /// Pulls it by a pipeline, twice, and judges the second run.
    pub(crate) fn again(mut self, source: SourceBuilder) -> Self {
        self.again = Some(source);
        self
    }

    /// Pulls it, and judges.
    pub(crate) async fn pull(self) -> Verdict {
        let sources = [Some(self.source), self.again].into_iter().flatten();
        let sources: Result<Vec<Source>, _> =
            sources.map(|source| source.transport(self.server.clone()).build()).collect();
        let (records, mut fault) = match sources {
            Err(error) => (Vec::new(), Some(error.to_string())),
            Ok(mut sources) if sources.len() == 1 && !self.in_a_run => stream(sources.remove(0)).await,
            Ok(sources) => run(sources).await,
        };
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        for record in &records {
            let number = match self.read {
                Some(read) => serde_json::from_str(record).ok().and_then(|record| read(&record)),
                None => number(record, self.number),
            };
            match number {
                Some(number) => *seen.entry(number).or_default() += 1,
                None => fault = Some(format!("a record without its number: {record}")),
            }
            if self.has.is_some_and(|field| !record.contains(&format!("\"{field}\":"))) {
                fault = Some(format!("a record without {:?}: {record}", self.has));
            }
        }
        let missing = (0..RECORDS).filter(|number| !seen.contains_key(number)).count();
        let twice = seen.values().filter(|times| **times > 1).count();
        let strange = seen.keys().filter(|number| **number >= RECORDS).count();
        if fault.is_none() && missing + twice + strange > 0 {
            fault = Some(format!("{missing} missing, {twice} more than once, {strange} unknown"));
        }
        let checked = self.check.map_or(Ok(()), |check| check());
        let requests = self.server.requests().len();
        Verdict { requests, records: records.len(), fault: fault.or(checked.err()) }
    }
}

/// The records of a stream of batches, and its last error.
async fn stream(source: Source) -> (Vec<String>, Option<String>) {
    let (mut records, mut fault) = (Vec::new(), None);
    match source.batches(Mark::start()) {
        Err(error) => fault = Some(error.to_string()),
        Ok(mut batches) => {
            while let Some(batch) = batches.next().await {
                match batch {
                    Err(error) => fault = Some(error.to_string()),
                    Ok(batch) => records.extend(batch.records().map(|record| record.as_str().to_owned())),
                }
            }
        }
    }
    (records, fault)
}

/// The records that the last of these runs leaves in memory, and the first error.
async fn run(sources: Vec<Source>) -> (Vec<String>, Option<String>) {
    let sink = Memory::new();
    let mut records = Vec::new();
    for source in sources {
        let name = source.name().to_owned();
        let outcome = Pipeline::new().source(source).sink(sink.clone()).run().await;
        records = sink.lines(&name);
        if let Err(failed) = outcome {
            return (records, Some(failed.error.to_string()));
        }
    }
    (records, None)
}

fn number(record: &str, path: &str) -> Option<u64> {
    let record: Value = serde_json::from_str(record).ok()?;
    let value = if path.is_empty() {
        Some(&record)
    } else {
        path.split('.').try_fold(&record, |value, key| match key.parse::<usize>() {
            Ok(index) if value.is_array() => value.get(index),
            _ => value.get(key),
        })
    }?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
