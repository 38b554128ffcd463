//! Tables, trees and lines by chance, against plain readers; and bytes of no sense.

use fastrand::Rng;
use headwater::page::Format;
use serde_json::Value;

use crate::naive::{Tree, objects, read_table, table};
use crate::{MIB, json, page};

const ROUNDS: usize = 500;
const PIECES: [&str; 16] =
    ["a", "7", "1.10", " ", ",", "\"", "\n", "\r\n", "\u{e9}", "\u{1F600}", "&", "<", ">", "'", "\\", "x y"];

/// Calls a check in rounds, each with a seed of its own, which is printed.
pub(crate) fn rounds(check: impl Fn(&mut Rng)) {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let first = given.unwrap_or_else(|| fastrand::u64(..1 << 40));
    println!("HEADWATER_SEED={first}");
    for round in 0..ROUNDS as u64 {
        println!("HEADWATER_SEED={}", first + round);
        check(&mut Rng::with_seed(first + round));
    }
}

fn text(rng: &mut Rng) -> String {
    (0..rng.usize(..5)).map(|_| *rng.choice(&PIECES[..]).expect("a piece")).collect()
}

fn some_table(rng: &mut Rng) -> (Vec<Vec<String>>, String) {
    let columns = rng.usize(1..5);
    let header = (0..columns).map(|column| format!("{}{column}", text(rng).replace('\r', ""))).collect();
    let rows = (0..rng.usize(..8)).map(|_| (0..columns).map(|_| text(rng).replace('\r', "")).collect());
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
    let line_break = *rng.choice(&["\n", "\r\n"][..]).expect("one");
    let mut written = table(&rows, line_break, || rng.bool());
    if rng.bool() {
        written.truncate(written.trim_end_matches(['\r', '\n']).len());
    }
    (rows, written)
}

fn some_tree(rng: &mut Rng, depth: usize) -> Tree {
    let name =
        |rng: &mut Rng| (*rng.choice(&["a", "b", "x:c", "d-1", "\u{e9}"][..]).expect("a name")).to_owned();
    let mut attributes: Vec<(String, String)> = Vec::new();
    for _ in 0..rng.usize(..3) {
        let attribute = (name(rng), text(rng));
        if attributes.iter().all(|(known, _)| *known != attribute.0) {
            attributes.push(attribute);
        }
    }
    let children = if depth == 0 { 0 } else { rng.usize(..5) };
    let children = (0..children).map(|_| some_tree(rng, depth - 1)).collect();
    Tree { name: name(rng), attributes, children, text: text(rng) }
}

fn some_document(rng: &mut Rng) -> (Tree, String) {
    let tree = some_tree(rng, 4);
    let mut written = String::new();
    tree.write(&mut written, &mut || {
        ["", "\n  ", "<!-- <a> -->", "<?p x?>", "<![CDATA[ ]]>"][rng.usize(..5)]
    });
    (tree, written)
}

fn some_lines(rng: &mut Rng) -> (Vec<String>, String) {
    let values = ["{\"n\": 1.10}", "[1, 2]", "null", "1e999", "\"\\ud800\"", "\"\u{2028}\"", "{}"];
    let lines: Vec<String> =
        (0..rng.usize(..10)).map(|_| (*rng.choice(&values[..]).expect("one")).to_owned()).collect();
    let mut text = String::new();
    for line in &lines {
        text += line;
        for _ in 0..rng.usize(1..3) {
            text += rng.choice(&["\n", "\r\n", " \n"][..]).expect("one");
        }
    }
    (lines, text)
}

#[test]
fn a_table_gives_what_a_plain_reader_reads() {
    rounds(|rng| {
        let (rows, written) = some_table(rng);
        // So that it is known for a table without rows.
        let csv = Format::csv().require(rows[0].iter().take(1));
        let read = json(csv, written.clone()).unwrap_or_else(|error| panic!("{error}: {written:?}"));
        let read: Value = serde_json::from_str(&read).expect("JSON");
        assert_eq!(read, objects(&rows), "{written:?}");
        let plain = if rows.len() > 1 || !written.trim().is_empty() { read_table(&written) } else { rows };
        assert_eq!(read, objects(&plain), "{written:?}");
    });
}

#[test]
fn a_document_gives_what_the_mapping_says() {
    rounds(|rng| {
        let (tree, written) = some_document(rng);
        let read = json(Format::xml(), written.clone()).unwrap_or_else(|error| panic!("{error}: {written}"));
        let read: Value = serde_json::from_str(&read).expect("JSON");
        let mut expected = serde_json::Map::new();
        expected.insert(tree.name.clone(), tree.value());
        assert_eq!(read, Value::Object(expected), "{written}");
    });
}

#[test]
fn lines_give_what_the_array_of_them_gives() {
    rounds(|rng| {
        let (lines, written) = some_lines(rng);
        let array = format!("[{}]", lines.join(","));
        assert_eq!(json(Format::JsonLines, written).ok(), json(Format::Json, array).ok());
    });
}

#[test]
fn no_bytes_make_it_panic_or_give_what_is_no_json() {
    let formats =
        [Format::JsonLines, Format::csv().into(), Format::csv().names(["a", "b"]).into(), Format::xml()];
    rounds(|rng| {
        let mut body = match rng.u8(..4) {
            0 => some_table(rng).1.into_bytes(),
            1 => some_document(rng).1.into_bytes(),
            2 => some_lines(rng).1.into_bytes(),
            _ => (0..rng.usize(..200)).map(|_| rng.u8(..)).collect(),
        };
        for _ in 0..rng.usize(..6) {
            let at = rng.usize(..=body.len());
            match rng.u8(..5) {
                0 => body.truncate(at),
                1 => body.insert(at, rng.u8(..)),
                2 if at < body.len() => body[at] = *rng.choice(b"<>&\"'\n,{}[]/!-\0]").expect("one"),
                3 if at < body.len() => drop(body.remove(at)),
                _ => {
                    let piece = body[at..(at + rng.usize(..40)).min(body.len())].to_vec();
                    let to = rng.usize(..=body.len());
                    body.splice(to..to, piece);
                }
            }
        }
        for format in &formats {
            let cap = if rng.bool() { MIB } else { rng.usize(1..100) };
            let Ok(page) = page(format.clone(), body.clone(), cap) else { continue };
            assert!(page.body().len() <= cap, "{format:?}: {body:?}");
            let _: &serde_json::value::RawValue = serde_json::from_slice(page.body()).expect("JSON");
        }
    });
}
