//! Checkpoint files of version 1, as they were written on the day that it was settled: readable for ever.

use std::path::Path;

use headwater::Position;
use headwater::checkpoint::{CheckpointStore, FileStore};
use headwater::error::ErrorKind;

fn golden() -> FileStore {
    FileStore::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"))
}

#[tokio::test]
async fn a_checkpoint_of_version_1_is_read() {
    let issues = golden().load("issues").await.unwrap().expect("it is there");
    assert_eq!((issues.records, issues.mark.pages, issues.epoch), (5700, 57, 1));
    assert_eq!(issues.mark.next, Some(Position::Url("/issues?page=58&per_page=100".into())));
    assert_eq!(issues.run, "20261123T192208Z-44e6e4a2");
    assert_eq!(issues.sink.0["file"], "issues_20261123T192208Z.jsonl");
    assert!(!issues.is_finished());
    let invoices = golden().load("invoices").await.unwrap().expect("it is there");
    assert_eq!(invoices.mark.next, Some(Position::Cursor("inv_00004500".into())));
}

#[tokio::test]
async fn every_flipped_bit_of_it_is_seen() {
    let bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/invoices.1.checkpoint"))
            .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::new(dir.path());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(dir.path().join("invoices.1.checkpoint"), flipped).unwrap();
        let error = store.load("invoices").await.expect_err("a flipped bit");
        assert_eq!(error.kind(), ErrorKind::Checkpoint, "bit {bit}");
    }
}
