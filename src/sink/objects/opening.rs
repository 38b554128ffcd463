//! Where the output of a source goes on, and what is left there that does not count.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::checkpoint::SinkState;
use crate::checkpoint::objects::{Discarded, Log, OutputAt, cause, timed};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::SchemaState;
use crate::sink::{Committed, Opening};

/// The folder of the objects with rejected records.
pub(super) const REJECTED: &str = "rejected";
/// So many folders are looked through at once.
const AT_ONCE: usize = 8;

/// What the checkpoint keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) source: String,
    pub(super) folder: String,
    /// How many objects of it were committed, with those of rejected records.
    pub(super) objects: u64,
    /// How many records of the run were rejected.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(super) rejected: u64,
    /// The columns, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<SchemaState>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

impl State {
    /// Where objects of this source are.
    pub(super) fn place(&self, is_rejected: bool) -> String {
        match is_rejected {
            true => format!("{REJECTED}/{}", self.source),
            false => self.source.clone(),
        }
    }

    pub(super) fn read(state: &SinkState) -> Result<Self> {
        serde_json::from_value(state.0.clone()).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, "what the checkpoint says of the objects cannot be read")
                .because(error)
        })
    }

    pub(super) fn json(&self) -> Result<SinkState> {
        serde_json::to_value(self).map(SinkState).map_err(|error| {
            Error::new(ErrorKind::Sink, "the state of an output has no JSON form").because(error)
        })
    }
}

/// Where an output goes on.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) state: State,
    /// What is in the manifest, and must not be.
    pub(super) discarded: Option<Discarded>,
    /// Whether there may be objects that do not count.
    pub(super) has_leftovers: bool,
}

/// Finds the place of an output, from what the manifest says of its source.
pub(super) fn place(opening: &Opening<'_>, known: Option<&OutputAt>, place: &str) -> Result<Place> {
    let source = opening.source;
    let of = |error: Error| error.at(|context| context.source = Some(source.into()));
    match opening.committed {
        Committed::Nothing if known.is_some() => Err(of(unknown(place, source))),
        Committed::Nothing | Committed::Finished(_) => {
            let folder = next_folder(opening.started_at, known.map(|known| known.folder.as_str()));
            // The columns go on, of whatever run.
            let last = opening.committed.state().and_then(|state| State::read(state).ok());
            let schema = last.and_then(|last| last.schema);
            Ok(Place {
                state: State { source: source.to_owned(), folder, objects: 0, rejected: 0, schema },
                discarded: None,
                has_leftovers: false,
            })
        }
        Committed::Unfinished(state) => {
            let state = State::read(state).map_err(of)?;
            if source_folder(&state.folder).is_none() || state.source != source {
                return Err(of(damaged(
                    place,
                    "the checkpoint names a folder that is not one of this source's".into(),
                )));
            }
            let there = known.filter(|known| known.folder == state.folder).map_or(0, |known| known.next);
            let is_old =
                known.is_some_and(|known| source_folder(&known.folder) > source_folder(&state.folder));
            if there < state.objects || is_old {
                let why = match is_old {
                    true => "the manifest has objects of a later run of this source".to_owned(),
                    false => {
                        format!("{} objects were committed, and the manifest has {there}", state.objects)
                    }
                };
                return Err(of(damaged(place, why)));
            }
            let discarded = (there > state.objects).then(|| Discarded {
                source: source.to_owned(),
                folder: state.folder.clone(),
                from: state.objects,
            });
            Ok(Place { state, discarded, has_leftovers: true })
        }
    }
}

pub(super) fn unknown(place: &str, source: &str) -> Error {
    let what = format!("{place} has objects of the source {source}, but no checkpoint that knows them");
    Error::new(ErrorKind::Checkpoint, what)
        .advice("restore the checkpoint, or move the objects away, or use another prefix")
}

fn damaged(place: &str, why: String) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{place}: {why}")).advice(
        "nothing was changed; restore what is missing, or use another prefix to pull this source afresh",
    )
}

/// The start of a run, with `-2` and so on behind it if a run of this source had begun then already, or later.
fn next_folder(started_at: SystemTime, last: Option<&str>) -> String {
    let started_at: DateTime<Utc> = started_at.into();
    let wanted = started_at.format("%Y%m%dT%H%M%SZ").to_string();
    match last.and_then(source_folder) {
        Some((time, count)) if time >= wanted.as_str() => format!("{time}-{}", count + 1),
        _ => wanted,
    }
}

/// The time and the count that the name of a folder says, in an order.
fn source_folder(name: &str) -> Option<(&str, u64)> {
    let (time, count) = name.split_once('-').unwrap_or((name, "1"));
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let count = count.parse().ok().filter(|count| *count < u64::MAX)?;
    (shape == "00000000T000000Z").then_some((time, count))
}

/// The number of an object, from its name: `000017-5.jsonl.gz`.
fn number_of(path: &Path) -> Option<u64> {
    let (number, rest) = path.filename()?.split_once('-')?;
    let (session, _) = rest.split_once('.')?;
    session.parse::<u64>().ok()?;
    number.parse().ok()
}

/// Whether there is any object in a folder.
pub(super) async fn has_any(log: &Log, folder: &str) -> Result<bool> {
    let folder = log.path(folder);
    let mut listed = log.store.list(Some(&folder));
    let first = timed(async { listed.next().await.transpose() }).await;
    let first = first.map_err(|error| {
        Error::new(ErrorKind::Sink, format!("{folder} cannot be listed")).because(cause(&error))
    })?;
    Ok(first.is_some())
}

/// Removes the objects of these folders from a number on. They are in no manifest, so it does not matter if one stays.
pub(super) async fn remove_leftovers(log: &Log, folders: Vec<(String, u64)>) {
    let remove = |(folder, from): (String, u64)| async move {
        let folder = log.path(&folder);
        let removed = async {
            let mut listed = log.store.list(Some(&folder));
            while let Some(object) = listed.try_next().await? {
                if number_of(&object.location).is_some_and(|number| number >= from) {
                    log.store.delete(&object.location).await?;
                }
            }
            Ok(())
        };
        if let Err(error) = timed(removed).await {
            tracing::debug!(%folder, error = cause(&error), "objects that do not count stay");
        }
    };
    stream::iter(folders).for_each_concurrent(AT_ONCE, remove).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_folder_is_behind_all_before_it_whatever_the_clock_says() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_779_012_000);
        for (last, expected) in [
            (None, "20260517T100000Z"),
            (Some("20260516T100000Z-7"), "20260517T100000Z"),
            (Some("20260517T100000Z"), "20260517T100000Z-2"),
            (Some("20260517T100000Z-9"), "20260517T100000Z-10"),
            (Some("20270101T000000Z"), "20270101T000000Z-2"),
        ] {
            let folder = next_folder(start, last);
            assert_eq!(folder, expected);
            assert!(last.is_none_or(|last| source_folder(last) < source_folder(&folder)));
        }
        for other in ["..", "20260517", "20260517T100000Z-x", "20260517T100000Z/../x"] {
            assert_eq!(source_folder(other), None, "{other}");
        }
    }
}
