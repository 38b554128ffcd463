//! Records to different places, by what they say.

mod broken_sinks;

use std::collections::BTreeMap;

use broken_sinks::{Fault, Shelf};
use futures::future::BoxFuture;
use headwater::prelude::*;
use headwater::sink::{Jsonl, Memory, Route, Sink};
use headwater::testing::sink_suite::{self, Place};
use headwater::testing::{Reply, Scripted};

/// Records by the last digit of their number, two of which have an output of a shelf, one has a shelf of its own, and
/// another shelf has the rest.
struct Routed {
    tables: Shelf,
    own: Shelf,
    others: Shelf,
}

fn last_digit(record: &Record) -> Option<std::borrow::Cow<'_, str>> {
    let text = record.as_str();
    let number = text.split_once(r#""number":"#)?.1;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.get(digits.len().checked_sub(1)?..).map(Into::into)
}

impl Place for Routed {
    fn sink(&self) -> Box<dyn Sink> {
        Box::new(
            Route::choose("by the last digit", last_digit)
                .tables(self.tables.sink(), ["1", "2"])
                .into("3", self.own.sink())
                .others(self.others.sink()),
        )
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let mut lines = self.own.committed(source).await?;
            lines.extend(self.others.committed(source).await?);
            for part in ["1", "2"] {
                lines.extend(self.tables.committed(&format!("{source}.{part}")).await?);
            }
            Ok(lines)
        })
    }

    fn keeps_order(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_route_holds_what_its_sinks_hold() {
    let [tables, own, others] = [(); 3].map(|()| Shelf::new(Fault::Nothing));
    sink_suite::run(&Routed { tables, own, others }).await;
}

#[tokio::test]
async fn a_route_into_a_broken_sink_is_found() {
    for fault in [Fault::KeepsWhatWasNotCommitted, Fault::ForgetsTheStateOfOneSource, Fault::LosesTheLastPage]
    {
        let [own, others] = [(); 2].map(|()| Shelf::new(Fault::Nothing));
        let broken = sink_suite::check(&Routed { tables: Shelf::new(fault), own, others }).await;
        assert!(!broken.is_empty(), "{fault:?} is not seen");
    }
}

fn source(records: &str) -> Source {
    let api = Scripted::new([Reply::json(format!("[{records}]"))]);
    Source::get("events", "https://api.example.com/events")
        .records("")
        .paginate(Single)
        .transport(api)
        .build()
        .unwrap()
}

const EVENTS: &str = r#"{"a":{"kind":"new"},"n":1.50},{"a":{"kind":"old"},"n":2},{"a":{"kind":"n\u0065w"},"n":3},{"a":{"kind":7}},{"a":{"kind":null}}"#;

#[tokio::test]
async fn the_value_of_a_field_decides_and_order_and_digits_stay() {
    let (own, tables, others) = (Memory::new(), Memory::new(), Memory::new());
    let route = Route::by("a.kind")
        .into("new", own.clone())
        .tables(tables.clone(), ["old", "7"])
        .others(others.clone());
    let report = Pipeline::new().source(source(EVENTS)).sink(route).run().await.unwrap();
    assert_eq!(report.records(), 5);
    let begin = |memory: &Memory, name: &str| -> Vec<String> {
        memory.lines(name).iter().map(|line| line.split(",\"__").next().unwrap().to_owned()).collect()
    };
    assert_eq!(
        begin(&own, "events"),
        [r#"{"a":{"kind":"new"},"n":1.50"#, r#"{"a":{"kind":"n\u0065w"},"n":3"#]
    );
    assert_eq!(begin(&tables, "events.old"), [r#"{"a":{"kind":"old"},"n":2"#]);
    assert_eq!(begin(&tables, "events.7"), [r#"{"a":{"kind":7}"#]);
    assert_eq!(begin(&others, "events"), [r#"{"a":{"kind":null}"#]);
    assert!(tables.lines("events.7")[0].contains(r#""__source":"events","#), "it says the source");
}

#[tokio::test]
async fn a_record_without_an_output_ends_the_run_and_says_where_it_is() {
    let memory = Memory::new();
    let run =
        Pipeline::new().source(source(EVENTS)).sink(Route::by("a.kind").into("new", memory.clone())).run();
    let error = run.await.unwrap_err().error;
    assert_eq!(error.kind(), ErrorKind::Sink);
    let text = error.to_string();
    for part in ["events: page 1", "\"old\"", "the field \"a.kind\"", ".others("] {
        assert!(text.contains(part), "{text}");
    }
    assert!(memory.lines("events").is_empty());
    let run =
        Pipeline::new().source(source(r#"{"b":1}"#)).sink(Route::by("a.kind").into("new", memory)).run();
    let text = run.await.unwrap_err().error.to_string();
    assert!(text.contains("gives nothing for a record"), "{text}");
}

#[tokio::test]
async fn what_is_declared_wrong_is_refused_before_anything_is_opened() {
    let long: Vec<String> = (0..1001).map(|number| format!("v{number}")).collect();
    let route = |field: &str| Route::by(field);
    let wrong: BTreeMap<&str, Route> = [
        ("two outputs", route("a").into("x", Memory::new()).into("x", Memory::new())),
        ("one name", route("a").tables(Memory::new(), ["a/b", "a b"])),
        ("one name: upper", route("a").tables(Memory::new(), ["A", "a"])),
        ("all others", route("a").others(Memory::new()).others(Memory::new())),
        ("more than 1000", route("a").tables(Memory::new(), long)),
        ("without outputs", route("a")),
        ("empty segment", route("a..b").others(Memory::new())),
    ]
    .into();
    for (what, route) in wrong {
        let error = Pipeline::new().source(source("1")).sink(route).run().await.unwrap_err().error;
        assert_eq!(error.kind(), ErrorKind::Config, "{what}: {error}");
        assert!(error.to_string().contains(what.split(':').next().unwrap()), "{what}: {error}");
    }
}

#[tokio::test]
async fn each_table_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let route = Route::by("a.kind").tables(Jsonl::dir(dir.path()), ["new", "old"]).others(Memory::new());
    let report = Pipeline::new().source(source(EVENTS)).sink(route).run().await.unwrap();
    let output = report.source("events").unwrap().output.clone().unwrap();
    assert!(output.contains("events.new_") && output.contains("events.old_"), "{output}");
    let mut names: Vec<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".jsonl"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("events.new_"), "{names:?}");
}
