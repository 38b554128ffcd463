//! Annotating: any record becomes one line, which is the record and two fields.

use std::collections::HashSet;
use std::time::UNIX_EPOCH;

use headwater::{Annotator, Batch, JsonPath, Page, Position, Record};

use super::grammar::{Document, Kind, decoded, tokens};
use super::lines;

const FIELDS: [&str; 2] = ["__source", "__ingested_at"];

/// The name of the source, and the record.
pub(crate) fn fuzz(data: &[u8]) {
    let ([source], record) = lines(data);
    check(&source, record);
}

pub(crate) fn check(source: &str, text: &[u8]) {
    let record = Record::new(text.to_vec(), UNIX_EPOCH);
    let document = Document::read(text);
    assert_eq!(record.is_ok(), document.is_some(), "a record is any JSON text");
    let (Ok(record), Some(document)) = (record, document) else { return };
    let own = document.bytes(document.root());
    assert_eq!(record.as_bytes(), own, "the record without the blanks around it");

    let mut line = Vec::new();
    Annotator::new(source).append(&record, &mut line);
    assert_eq!(line, through_a_page(source, own), "alone and in a page a record becomes the same line");
    assert_eq!(line.pop(), Some(b'\n'));
    assert!(!line.iter().any(|byte| matches!(byte, b'\n' | b'\r')), "one record, one line");

    let made = Document::read(&line).expect("a line is JSON");
    let Kind::Object(fields) = &made.root().kind else { panic!("a line is an object") };
    let (fields, ours) = fields.split_at(fields.len() - 2);
    let value = |index: usize| decoded(made.bytes(made.node(ours[index].1)));
    assert_eq!(made.part(&ours[0].0), b"\"__source\"");
    assert_eq!(value(0).as_deref(), Some(source));
    assert_eq!(made.part(&ours[1].0), b"\"__ingested_at\"");
    assert_eq!(value(1).as_deref(), Some("1970-01-01T00:00:00Z"));

    let Kind::Object(before) = &document.root().kind else {
        assert_eq!(fields.len(), 1);
        assert_eq!(made.part(&fields[0].0), b"\"value\"");
        assert_eq!(tokens(made.bytes(made.node(fields[0].1))), tokens(own));
        return;
    };
    assert_eq!(fields.len(), before.len());
    let names: HashSet<String> = before.iter().filter_map(|(key, _)| decoded(document.part(key))).collect();
    for ((key, value), (key_before, value_before)) in fields.iter().zip(before) {
        assert_eq!(
            tokens(made.bytes(made.node(*value))),
            tokens(document.bytes(document.node(*value_before))),
            "every value stays as it is"
        );
        let (name, before) = (made.part(key), document.part(key_before));
        match decoded(before).filter(|before| FIELDS.contains(&before.as_str())) {
            // Renamed to the first of such names that is free.
            Some(mut free) => {
                while names.contains(&free) {
                    free.push_str("_original");
                }
                assert_eq!(name, format!("\"{free}\"").as_bytes());
            }
            None => assert_eq!(name, before),
        }
    }
    // Without line breaks, and without fields of ours, nothing at all changes.
    let plain = !own.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    if plain && !FIELDS.iter().any(|field| names.contains(*field)) {
        assert!(line.starts_with(own[..own.len() - 1].trim_ascii_end()));
    }
}

/// The line of a record that stands in a page with others.
fn through_a_page(source: &str, record: &[u8]) -> Vec<u8> {
    let others = [&b"{\"__source\":\n1}"[..], b"\r7"];
    let body = [b"[", others[0], b" ,", record, b",", others[1], b"]"].concat();
    let page = Page::new(body, 1, Position::Start, None).expect("it is JSON");
    let batch = Batch::new(page, JsonPath::default()).expect("it is an array");
    let alone = |record: &[u8]| {
        let mut line = Vec::new();
        let record = Record::new(record.to_vec(), batch.fetched_at()).expect("it is JSON");
        Annotator::new(source).append(&record, &mut line);
        line.len()
    };
    let mut lines = Vec::new();
    Annotator::new(source).append_batch(&batch, &mut lines);
    lines.truncate(lines.len() - alone(others[1]));
    let mut line = lines.split_off(alone(others[0]));
    // The page has another time.
    let end = line.len() - "1970-01-01T00:00:00Z\"}\n".len();
    line.truncate(end);
    line.extend_from_slice(b"1970-01-01T00:00:00Z\"}\n");
    line
}
