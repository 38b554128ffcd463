//! JSON as RFC 8259 has it: files that must be accepted, files that must be rejected, and files about which the RFC
//! leaves the choice, with the choice that was made.
//!
//! A file's name begins with the section that it is about. (RFC 8259 §9 lets a parser accept more than JSON; this one
//! does not: what is no JSON text is rejected.)

mod adversarial_input;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::UNIX_EPOCH;

use adversarial_input::grammar::Document;
use futures::StreamExt;
use headwater::error::ErrorKind;
use headwater::paginate::Single;
use headwater::testing::{Reply, Scripted};
use headwater::{Annotator, Batch, JsonPath, Page, Pages, Position, Record, Request};

/// What the RFC leaves to whoever reads, by the beginning of the files' names: accepted or not, and why.
const CHOICES: [(&str, bool, &str); 7] = [
    (
        "s4_same_key",
        true,
        "§4: the names SHOULD be unique; a record is passed on as it came, both keys and all",
    ),
    (
        "s6_",
        true,
        "§6: a reader may limit range and precision; the digits are passed on, and never become a number",
    ),
    ("s8.1_bom", true, "§8.1: a reader may ignore a byte-order mark; one is dropped"),
    (
        "s8.2_half_in_a_key",
        true,
        "§8.2: half a surrogate pair is within the grammar; no key of ours is like it",
    ),
    ("s8.2_half_as_a_scalar", true, "§8.2: half a surrogate pair is within the grammar"),
    ("s8.2_half_", true, "§8.2: half a surrogate pair is within the grammar; the escapes are passed on"),
    ("s9_deep", true, "§9: a reader may limit the depth; this one walks without recursion"),
];

fn files(folder: &str) -> BTreeMap<String, Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rfc8259").join(folder);
    let entries = std::fs::read_dir(dir).expect("the folder").map(|entry| entry.expect("an entry").path());
    let named = entries.map(|path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read(path).expect("a file"))
    });
    named.collect()
}

/// Whether a body is taken as a page: by hand, and out of a stream.
fn is_accepted(body: &[u8]) -> bool {
    let by_hand = Page::new(body.to_vec(), 1, Position::Start, None);
    if let Err(error) = &by_hand {
        assert!(matches!(error.kind(), ErrorKind::NotJson | ErrorKind::Encoding), "{error}");
    }
    let api = Scripted::new([Reply::json(body.to_vec())]);
    let first = Request::get("https://api.example.com/items").expect("a URL");
    let pages = Pages::new(api, first, Single).take(1).collect::<Vec<_>>();
    let streamed = futures::executor::block_on(pages).remove(0);
    if let Err(error) = &streamed {
        assert!(
            matches!(error.kind(), ErrorKind::NotJson | ErrorKind::Encoding | ErrorKind::Empty),
            "{error}"
        );
    }
    assert_eq!(by_hand.is_ok(), streamed.is_ok());
    by_hand.is_ok()
}

/// Whether a text is taken as a record within a page, and comes out as it went in, in one line.
fn is_accepted_as_a_record(text: &[u8]) -> bool {
    let body = [b"{\"n\":0,\"data\":[1, ", text, b" ,2],\"z\":[]}"].concat();
    let Ok(page) = Page::new(body, 1, Position::Start, None) else { return false };
    let path = JsonPath::parse("data").expect("a path");
    let Ok(batch) = Batch::new(page, &path) else { return false };
    let records: Vec<&[u8]> = batch.slices().collect();
    // A text like `1,2` would be two.
    if records.len() != 3 {
        return false;
    }
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let start = text.iter().take_while(|byte| blank(byte)).count();
    let end = text.iter().rev().take_while(|byte| blank(byte)).count();
    assert_eq!(records[1], &text[start..text.len() - end], "every byte of it");
    let record = Record::new(text.to_vec(), UNIX_EPOCH).expect("a record by hand is no different");
    let mut line = Vec::new();
    Annotator::new("rfc8259").append(&record, &mut line);
    assert_eq!(line.pop(), Some(b'\n'));
    assert!(!line.contains(&b'\n') && Document::read(&line).is_some(), "one line of JSON");
    true
}

#[test]
fn what_is_json_is_accepted_as_a_page_and_as_a_record() {
    let files = files("accept");
    assert!(files.len() >= 80, "{} files", files.len());
    for (name, text) in &files {
        assert!(Document::read(text).is_some(), "{name} is no JSON by the grammar");
        assert!(is_accepted(text), "{name} is rejected");
        assert!(is_accepted_as_a_record(text), "{name} is rejected as a record");
    }
    println!("{} files that are JSON, all accepted", files.len());
}

#[test]
fn what_is_no_json_is_rejected_as_a_page_and_as_a_record() {
    let files = files("reject");
    assert!(files.len() >= 150, "{} files", files.len());
    for (name, text) in &files {
        assert!(Document::read(text).is_none(), "{name} is JSON by the grammar");
        assert!(!is_accepted(text), "{name} is accepted");
        assert!(!is_accepted_as_a_record(text), "{name} is accepted as a record");
    }
    println!("{} files that are no JSON, all rejected", files.len());
}

#[test]
fn where_the_rfc_leaves_the_choice_it_is_as_declared() {
    let files = files("either");
    let mut counts = [0; CHOICES.len()];
    for (name, text) in &files {
        let choice = CHOICES.iter().position(|(start, ..)| name.starts_with(start));
        let choice = choice.unwrap_or_else(|| panic!("no choice was made about {name}"));
        counts[choice] += 1;
        let (_, accepted, why) = CHOICES[choice];
        assert_eq!(is_accepted(text), accepted, "{name}: {why}");
        // A mark belongs to a whole text, and not to a value in it.
        let marked = name.starts_with("s8.1_bom");
        assert_eq!(is_accepted_as_a_record(text), accepted && !marked, "{name}: {why}");
    }
    for ((start, accepted, why), count) in CHOICES.iter().zip(counts) {
        assert!(count > 0, "no file is about {start}");
        println!("{count:>3} files {start:<24}{} {why}", if *accepted { "accepted" } else { "rejected" });
    }
    assert!(files.len() >= 20, "{} files", files.len());
}

/// Too large for a file.
#[test]
fn a_million_levels_are_accepted_if_they_are_closed() {
    let open = "[{\"a\":".repeat(500_000);
    let close = "}]".repeat(500_000);
    assert!(is_accepted(format!("{open}1{close}").as_bytes()));
    assert!(!is_accepted(format!("{open}1{}", &close[1..]).as_bytes()));
    assert!(!is_accepted(open.as_bytes()));
}
