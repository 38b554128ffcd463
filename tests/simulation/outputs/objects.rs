//! Objects in the memory of a store that outlives the processes.

use std::sync::Arc;

use headwater::sink::{Compression, Objects, objects};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;

use super::super::disk::at_rest;

const PREFIX: &str = "pulled/here";

pub(super) fn sink(store: &Arc<InMemory>, buffer: usize) -> Objects {
    Objects::on(store.clone(), PREFIX)
        .compress(Compression::none())
        .memory(buffer.max(500))
        .object_size(2_000)
        .part_size(400)
}

/// What the manifest names of a source's run.
pub(super) fn committed(store: &Arc<InMemory>, source: &str, state: &Value) -> Result<String, String> {
    let folder = state["folder"].as_str().ok_or("the state of the sink names no folder")?;
    let store: Arc<dyn ObjectStore> = store.clone();
    let named = at_rest(objects::committed(store.clone(), PREFIX)).map_err(|error| error.to_string())?;
    let own: Vec<_> = named.into_iter().filter(|one| one.source == source && one.folder == folder).collect();
    if Some(own.len() as u64) != state["objects"].as_u64() {
        return Err(format!("{source}: the manifest has {} objects, and the checkpoint {state}", own.len()));
    }
    let mut lines = String::new();
    for object in own {
        let path = format!("{PREFIX}/{}", object.path).into();
        let bytes =
            at_rest(async { store.get(&path).await?.bytes().await }).map_err(|error| error.to_string())?;
        lines.push_str(std::str::from_utf8(&bytes).map_err(|_| format!("{} is not text", object.path))?);
    }
    Ok(lines)
}
