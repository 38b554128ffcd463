//! Bodies that want to grow, to nest or to take for ever.

use std::time::{Duration, Instant};

use headwater::ErrorKind;
use headwater::page::Format;

use crate::{MIB, page, records};

#[track_caller]
fn kind(format: impl Into<Format>, body: String, cap: usize) -> Option<ErrorKind> {
    let begun = Instant::now();
    let result = page(format, body, cap);
    // Unoptimised and on a busy machine; the square of the number would be hours.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    if let Ok(page) = &result {
        assert!(page.body().len() <= cap);
    }
    result.err().map(|error| error.kind())
}

#[test]
fn entities_are_not_expanded() {
    let mut laughs = String::from("<!DOCTYPE l [<!ENTITY a0 \"ha\">");
    for level in 1..60 {
        laughs += &format!("<!ENTITY a{level} \"&a{0};&a{0};\">", level - 1);
    }
    laughs += "]><l>&a59;</l>";
    assert_eq!(kind(Format::xml(), laughs, MIB), Some(ErrorKind::Format));
    let outside = "<!DOCTYPE l [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><l>&x;</l>";
    assert_eq!(kind(Format::xml(), outside.to_owned(), MIB), Some(ErrorKind::Format));
    let parameter = "<!DOCTYPE l [<!ENTITY % x SYSTEM \"http://e.example/x.dtd\"> %x;]><l/>";
    assert_eq!(kind(Format::xml(), parameter.to_owned(), MIB), Some(ErrorKind::Format));
}

#[test]
fn the_cap_on_a_page_holds_for_what_a_body_turns_into() {
    let cap = MIB;
    for (format, body) in [
        // Each quote takes two bytes as JSON.
        (Format::xml(), format!("<a>{}</a>", "\"".repeat(cap - 10))),
        // An empty element takes more as `null`.
        (Format::xml(), format!("<a>{}</a>", "<b/>".repeat(cap / 4 - 10))),
        (Format::csv().into(), format!("{}\n{}", "n".repeat(1000), "1\n".repeat(100_000))),
        (Format::csv().into(), format!("a,b\n{}", "1,2\n".repeat(200_000))),
        (Format::JsonLines, format!("\"{}\"", "x".repeat(cap))),
    ] {
        assert_eq!(kind(format.clone(), body, cap), Some(ErrorKind::TooLarge), "{format:?}");
    }
    assert_eq!(kind(Format::xml(), format!("<a>{}</a>", "x".repeat(cap - 100)), cap), None);
}

#[test]
fn a_document_of_many_names_is_read_in_their_number_and_not_its_square() {
    let children: String = (0..200_000).map(|number| format!("<n{number}/>")).collect();
    assert_eq!(kind(Format::xml(), format!("<a>{children}</a>"), 64 * MIB), None);
    let attributes: String = (0..200_000).map(|number| format!(" n{number}='1'")).collect();
    assert_eq!(kind(Format::xml(), format!("<a{attributes}/>"), 64 * MIB), None);
    // What is held for each of them counts.
    let children: String = (0..20_000).map(|number| format!("<n{number}/>")).collect();
    assert_eq!(kind(Format::xml(), format!("<a>{children}</a>"), MIB), Some(ErrorKind::TooLarge));
    let columns: Vec<String> = (0..100_000).map(|number| format!("c{number}")).collect();
    assert_eq!(kind(Format::csv(), columns.join(",") + "\n", MIB), None);
}

#[test]
fn depth_costs_no_stack() {
    assert_eq!(kind(Format::xml(), "<a>".repeat(1_000_000), 64 * MIB), Some(ErrorKind::Format));
    for (depth, expected) in [(128, None), (129, Some(ErrorKind::Format))] {
        let deep = format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(kind(Format::xml(), deep, MIB), expected, "{depth}");
    }
    let lines = format!("{}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(kind(Format::JsonLines, lines, MIB), None);
}

#[test]
fn a_body_that_is_cut_at_any_byte_never_passes_for_a_shorter_one() {
    type Row = (&'static str, Format, &'static str, &'static str, fn(&str) -> bool);
    // A document of lines may end behind any of them: there the transport knows.
    let is_lines = |cut: &str| cut.trim_end().is_empty() || cut.trim_end().ends_with(['}', ']']);
    // A row that has all of its fields, and the last of them perhaps not whole, is the same.
    let is_table = |cut: &str| cut.starts_with("id,name,note\n");
    let rows: [Row; 5] = [
        ("JSON", Format::Json, "data", r#"{"data":[{"a":1},{"b":"x\n"},3,null,"é"],"n":12}"#, |_| false),
        ("an array", Format::Json, "", r#"[{"a":1},[{"b":"x"}]]"#, |_| false),
        ("JSON Lines", Format::JsonLines, "", "{\"a\":1}\n{\"b\":\"é\"}\r\n\n[1,2]\n", is_lines),
        ("XML", Format::xml(), "r.i", XML, |_| false),
        ("CSV", Format::csv().into(), "", "id,name,note\n1,\"A\nl\"\"x\",n\r\n2,Bé,n\n", is_table),
    ];
    for (name, format, path, body, may_end) in rows {
        let whole = records(format.clone(), body, path).unwrap();
        for at in 0..body.len() {
            let Ok(cut) = std::str::from_utf8(&body.as_bytes()[..at]) else {
                assert!(page(format.clone(), body.as_bytes()[..at].to_vec(), MIB).is_err(), "{name}, {at}");
                continue;
            };
            match records(format.clone(), cut, path) {
                Err(error) => {
                    assert!(error.is_transient() || error.kind() == ErrorKind::Empty, "{name}: {error}")
                }
                Ok(records) if records == whole => {}
                Ok(records) => assert!(may_end(cut), "{name}: {records:?} of {cut:?}"),
            }
        }
    }
}

const XML: &str =
    "<?xml version=\"1.0\"?>\n<r n=\"2\"><i a='1'>x</i><!-- c --><i><![CDATA[<y>]]></i><?pi x?><i/>é</r>\n";
