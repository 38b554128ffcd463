//! Records as values of one's own, and back.

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Outcome, Step, unreadable};
use crate::error::Result;

/// See [`Transform::map`](super::Transform::map).
struct Map<T, U, F> {
    name: String,
    map: F,
    skips: bool,
    types: PhantomData<fn(T) -> U>,
}

pub(super) fn boxed<T, U>(
    name: &str,
    map: impl Fn(T) -> Option<U> + Send + Sync + 'static,
    skips: bool,
) -> Arc<dyn Step>
where
    T: DeserializeOwned + 'static,
    U: Serialize + 'static,
{
    Arc::new(Map { name: name.to_owned(), map, skips, types: PhantomData })
}

impl<T, U, F> Step for Map<T, U, F>
where
    T: DeserializeOwned,
    U: Serialize,
    F: Fn(T) -> Option<U> + Send + Sync,
{
    fn definition(&self) -> String {
        format!("map {:?} {}", self.name, if self.skips { "or skip" } else { "all" })
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        let value: T = match serde_json::from_slice(record) {
            Ok(value) => value,
            Err(error) if self.skips => {
                let (map, line, column) = (&self.name, error.line(), error.column());
                tracing::warn!(map, line, column, "a record is left out: it is not of the type");
                return Ok(Outcome::Dropped);
            }
            // What serde says quotes the value that it did not like; the place is enough.
            Err(error) => {
                let (name, of) = (&self.name, type_name::<T>());
                let (line, column) = (error.line(), error.column());
                let what = format!(
                    "the map {name:?} asks for a {of}, and the record is none (line {line}, column {column})"
                );
                return Err(
                    unreadable(what).advice("widen the type, or leave such records out with `map_or_skip`")
                );
            }
        };
        let Some(value) = (self.map)(value) else { return Ok(Outcome::Dropped) };
        match serde_json::to_writer(&mut *out, &value) {
            Ok(()) => Ok(Outcome::Changed),
            Err(error) => {
                let what = format!("what the map {:?} makes of a record has no JSON form", self.name);
                Err(unreadable(what).because(error))
            }
        }
    }
}
