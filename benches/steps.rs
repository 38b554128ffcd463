//! What the steps that change records cost, in memory, on one thread.
//!
//! Each contestant pulls pages from memory, changes their records, and writes them as annotated lines: `headwater` with the step,
//! `headwater` without any (the baseline of the cost), and `serde_json::Value` (the baseline of who would do it by hand: parse,
//! change the tree, serialise). They take turns; the medians of the rounds count. Before anything is measured, the lines of both
//! are compared.
//!
//! | goal | |
//! |---|---|
//! | a transform without steps, against none at all | at most 1.05 × the time |
//! | a step whose field no record has | at least 4 × as fast as `Value` |
//! | a step that changes every record | at least 2 × as fast as `Value` |
//!
//! ```text
//! cargo bench --bench steps
//! ```

mod arguments;
mod goals;
mod race;
mod sample;

use futures::StreamExt;
use futures::future::FutureExt;
use headwater::records::Transform;
use headwater::{Annotator, RecordsExt, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use arguments::Asked;
use goals::Goals;
use race::{ROUNDS, pages, pulled, race};
use sample::{EVENTS, ISSUES, Shape};

/// Works through one page; gives back its lines.
type Work = Box<dyn FnMut() -> Vec<u8>>;
/// The same change, to a tree.
type ByHand = fn(&mut Map<String, Value>);

/// What is done to each record.
struct Step {
    name: &'static str,
    shape: Shape,
    transform: fn() -> Transform,
    by_hand: ByHand,
    /// How many times as fast as by hand.
    goal: f64,
}

/// Fields of an event, as a program would read them.
#[derive(Deserialize, Serialize)]
struct Charge {
    id: u64,
    user: String,
    amount: f64,
}

fn steps() -> Vec<Step> {
    fn flatten(into: &mut Map<String, Value>, name: &str, value: Value) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (field, value) in fields {
                    flatten(into, &format!("{name}_{field}"), value);
                }
            }
            value => {
                into.insert(name.to_owned(), value);
            }
        }
    }
    let step = |name, shape, transform, by_hand, goal| Step { name, shape, transform, by_hand, goal };
    vec![
        step("drop what is not there", ISSUES, || Transform::new().drop_fields(["secret"]), |_| (), 4.0),
        step("drop what is not there", EVENTS, || Transform::new().drop_fields(["secret"]), |_| (), 4.0),
        step(
            "keep 4 fields",
            ISSUES,
            || Transform::new().keep(["id", "title", "state", "user.login"]),
            |record| {
                record.retain(|name, _| ["id", "title", "state", "user"].contains(&name.as_str()));
                if let Some(Value::Object(user)) = record.get_mut("user") {
                    user.retain(|name, _| name == "login");
                }
            },
            2.0,
        ),
        step(
            "keep 3 fields",
            EVENTS,
            || Transform::new().keep(["id", "user", "amount"]),
            |record| record.retain(|name, _| ["id", "user", "amount"].contains(&name.as_str())),
            2.0,
        ),
        step(
            "drop 2 fields",
            ISSUES,
            || Transform::new().drop_fields(["body", "reactions"]),
            |record| record.retain(|name, _| name != "body" && name != "reactions"),
            2.0,
        ),
        step(
            "rename a field",
            EVENTS,
            || Transform::new().rename("user", "customer"),
            |record| {
                // The others keep their order.
                let fields = std::mem::take(record);
                let renamed = |name: String| if name == "user" { "customer".into() } else { name };
                record.extend(fields.into_iter().map(|(name, value)| (renamed(name), value)));
            },
            2.0,
        ),
        step(
            "flatten",
            ISSUES,
            || Transform::new().flatten("_"),
            |record| {
                for (name, value) in std::mem::take(record) {
                    flatten(record, &name, value);
                }
            },
            2.0,
        ),
        step(
            "redact a field",
            EVENTS,
            || Transform::new().redact(["user"]),
            |record| {
                record["user"] = "***".into();
            },
            2.0,
        ),
    ]
}

fn headwater(shape: &Shape, transform: Option<Transform>) -> Work {
    let batches = pulled(pages(shape)).batches("data");
    let mut batches = match transform {
        Some(transform) => batches.transform_batches(transform).boxed(),
        None => batches.boxed(),
    };
    let (mut annotator, mut lines) = (Annotator::new("bench"), Vec::new());
    Box::new(move || {
        let batch = batches.next().now_or_never().expect("memory is never late");
        let batch = batch.expect("there is always more").expect("the page is right");
        let mut out = std::mem::take(&mut lines);
        out.clear();
        annotator.append_batch(&batch, &mut out);
        out
    })
}

fn by_hand(shape: &Shape, change: ByHand) -> Work {
    let mut turns = pages(shape).into_iter().cycle();
    Box::new(move || {
        let body = turns.next().expect("a cycle");
        let mut page: Value = serde_json::from_slice(&body).expect("the page is right");
        let now = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Value::Array(records) = page["data"].take() else { panic!("no records") };
        let mut lines = Vec::new();
        for mut record in records {
            let fields = record.as_object_mut().expect("an object");
            change(fields);
            fields.insert("__source".into(), "bench".into());
            fields.insert("__ingested_at".into(), now.as_str().into());
            serde_json::to_writer(&mut lines, &record).expect("a Vec takes all");
            lines.push(b'\n');
        }
        lines
    })
}

/// Makes sure that both do the same.
fn compare(step: &Step) {
    let read = |lines: Vec<u8>| -> Vec<Value> {
        let lines = String::from_utf8(lines).expect("text");
        let read = |line: &str| {
            let mut record: Value = serde_json::from_str(line).expect("a line is JSON");
            assert!(record["__ingested_at"].take().is_string());
            record
        };
        lines.lines().map(read).collect()
    };
    let ours = read(headwater(&step.shape, Some((step.transform)()))());
    assert_eq!(ours.len() as u64, step.shape.records_per_page);
    assert_eq!(ours, read(by_hand(&step.shape, step.by_hand)()), "{}", step.name);
}

/// What has no counterpart that is done by hand in the same way: what it costs beside no step.
fn others() -> [(&'static str, Shape, Transform); 4] {
    let key = Secret::new("a key of the bench");
    let charge = |charge: Charge| Some(charge);
    [
        ("no steps", ISSUES, Transform::new()),
        ("no steps", EVENTS, Transform::new()),
        ("mask a field", EVENTS, Transform::new().mask(["user"], &key)),
        ("map by a type", EVENTS, Transform::new().map("charges", charge)),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let asked = arguments::asked();
    if asked == Asked::Nothing {
        return Ok(());
    }
    steps().iter().for_each(compare);
    let rounds = if asked == Asked::Test { 1 } else { ROUNDS };
    let mut goals = Goals::of("steps");
    println!(
        "{:<24}{:<10}{:>12}{:>18}{:>20}",
        "step", "page", "records/s", "× time of none", "× as fast as Value"
    );
    let row = |name: &str, shape: &Shape, own: f64, none: f64, value: Option<f64>| {
        let value = value.map_or_else(String::new, |value| format!("{:.2}", value / own));
        println!(
            "{name:<24}{:<10}{:>12.0}{:>18.2}{value:>20}",
            shape.name,
            shape.records_per_page as f64 / own,
            own / none
        );
    };
    for (name, shape, transform) in others() {
        let [own, none] = race([headwater(&shape, Some(transform)), headwater(&shape, None)], rounds);
        row(name, &shape, own, none, None);
        if name == "no steps" {
            goals.at_most(
                format!("{}: a transform without steps, time of none", shape.name),
                own / none,
                1.05,
                "x",
            );
        }
    }
    for step in steps() {
        let Step { name, shape, transform, by_hand: change, goal } = step;
        let contestants =
            [headwater(&shape, Some(transform())), headwater(&shape, None), by_hand(&shape, change)];
        let [own, none, value] = race(contestants, rounds);
        row(name, &shape, own, none, Some(value));
        goals.at_least(format!("{}: {name}, as fast as Value", shape.name), value / own, goal, "x");
    }
    if asked == Asked::Bench {
        goals.print();
        goals.keep()?;
    }
    Ok(())
}
