//! Checkpoint files: any bytes are an error, or exactly the checkpoint that they are the file of.

use std::path::Path;
use std::sync::Arc;

use headwater::checkpoint::{Checkpoint, CheckpointStore, Definition, FileStore, Lease};
use headwater::error::ErrorKind;
use headwater::fs::{Fs, OpenMode};
use headwater::testing::CrashFs;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

/// `m` and triples of a place (two bytes) and a byte: a good file, changed there. `s` and a JSON text: sealed with a
/// header that fits. Anything else: the file itself.
pub(crate) fn fuzz(data: &[u8]) {
    match data.split_first() {
        Some((b'm', edits)) => changed(edits),
        Some((b's', json)) => sealed(json),
        _ => file(data),
    }
}

/// Any bytes.
pub(crate) fn file(bytes: &[u8]) {
    match load(bytes) {
        Ok(checkpoint) => {
            let (header, json) = split(bytes).expect("a header, and JSON on one line");
            assert_eq!(header, header_of(&checkpoint.definition, json), "the header is that of the JSON");
            assert_eq!(checkpoint, serde_json::from_slice::<Checkpoint>(json).expect("it was read"));
            let again = saved(&checkpoint);
            assert_eq!(load(&again).expect("what was written is read"), checkpoint);
        }
        Err(kind) => assert_eq!(kind, ErrorKind::Checkpoint),
    }
}

/// A JSON text behind a header that fits.
pub(crate) fn sealed(json: &[u8]) {
    let definition = serde_json::from_slice::<Value>(json)
        .ok()
        .and_then(|value| serde_json::from_value::<Definition>(value.get("definition")?.clone()).ok());
    let header = header_of(&definition.unwrap_or_default(), json);
    file(&[header.as_slice(), json, b"\n"].concat());
}

/// A good file with some bytes changed.
pub(crate) fn changed(edits: &[u8]) {
    let good = saved(&sample());
    let mut bytes = good.clone();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[at] = edit[2];
    }
    let loaded = load(&bytes);
    if bytes == good {
        assert_eq!(loaded, Ok(sample()));
    } else {
        assert_eq!(loaded, Err(ErrorKind::Checkpoint), "a change that is not seen");
    }
    // And cut, wherever the last edit says.
    let length = edits.last().map_or(0, |last| usize::from(*last) * good.len() / 256);
    assert_eq!(load(&good[..length]), Err(ErrorKind::Checkpoint));
}

pub(crate) fn sample() -> Checkpoint {
    let definition = Definition::new().with("path", "/items").with("records", "data");
    serde_json::from_value(json!({
        "source": "items", "run": "20260517T100000Z-5f3a9c21", "epoch": 1,
        "mark": {"next": {"cursor": "é\"\\\u{1F600}"}, "pages": 7, "trail": {"page": [10, 7], "positions": [1, 2]}},
        "records": 700, "sink": {"file": "items.jsonl", "length": 81_234}, "definition": definition,
        "saved_at": "2026-05-17T10:00:07Z",
    }))
    .expect("the fields of a checkpoint")
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    Some((&bytes[..end], bytes[end..].strip_suffix(b"\n")?))
}

/// Version 1 of the format, as it is documented.
fn header_of(definition: &Definition, json: &[u8]) -> Vec<u8> {
    format!("headwater-checkpoint 1 {} {:016x} {}\n", definition.fingerprint(), xxh3_64(json), json.len())
        .into_bytes()
}

pub(crate) fn load(bytes: &[u8]) -> Result<Checkpoint, ErrorKind> {
    let fs = CrashFs::new();
    let file = fs.open(Path::new("state/items.1.checkpoint"), OpenMode::New).expect("a file in memory");
    file.append(bytes).expect("a write in memory");
    let store = FileStore::on(Arc::new(fs.clone()), "state");
    let loaded = futures::executor::block_on(store.load("items")).map_err(|error| error.kind());
    assert_eq!(fs.image().read("state/items.1.checkpoint"), Some(bytes), "it is not touched");
    loaded.map(|checkpoint| checkpoint.expect("the file is there"))
}

pub(crate) fn saved(checkpoint: &Checkpoint) -> Vec<u8> {
    let fs = CrashFs::new();
    let store = FileStore::on(Arc::new(fs.clone()), "state");
    fs.create_dir_all(Path::new("state")).expect("a folder in memory");
    futures::executor::block_on(store.save(&Lease::new(()), std::slice::from_ref(checkpoint)))
        .expect("it can be written");
    let image = fs.image();
    image.read("state/items.1.checkpoint").expect("it was written").to_vec()
}
