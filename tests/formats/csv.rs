//! CSV: what a table becomes, and what is no table.

use headwater::ErrorKind;
use headwater::error::Transience;
use headwater::page::{Csv, Format};
use headwater::paginate::Single;

use crate::{json, records};

#[test]
fn a_row_is_an_object_of_strings() {
    for (table, expected) in [
        (
            "id,name\n1,Ada\n2,\"Bob \"\"B\"\"\"\n",
            r#"[{"id":"1","name":"Ada"},{"id":"2","name":"Bob \"B\""}]"#,
        ),
        ("id,name\r\n1.10,\r\n", r#"[{"id":"1.10","name":""}]"#),
        ("id,name\n", "[]"),
        ("a,b\n\"1\n2\",\"x,y\"", r#"[{"a":"1\n2","b":"x,y"}]"#),
        ("\"a\"\"b\",\u{e9}\n1,\u{1F600}", "[{\"a\\\"b\":\"1\",\"\u{e9}\":\"\u{1F600}\"}]"),
        ("a,b\n\n1,2\n\r\n3,4\n\n", r#"[{"a":"1","b":"2"},{"a":"3","b":"4"}]"#),
        ("a,b\r1,2\r", r#"[{"a":"1","b":"2"}]"#),
        ("a,b\n\"\",\"x\n\"", r#"[{"a":"","b":"x\n"}]"#),
        (
            "a\n\u{1f}\u{1f}\n7\n\u{1f}\u{1f}",
            "[{\"a\":\"\\u001f\\u001f\"},{\"a\":\"7\"},{\"a\":\"\\u001f\\u001f\"}]",
        ),
        ("\u{FEFF}id,name\n1,x", r#"[{"id":"1","name":"x"}]"#),
    ] {
        assert_eq!(json(Format::csv(), table.to_owned()).unwrap(), expected, "{table:?}");
    }
    assert_eq!(json(Format::csv().delimiter(b';'), "a;b\n1;2,3").unwrap(), r#"[{"a":"1","b":"2,3"}]"#);
    assert_eq!(json(Format::csv().names(["a", "b"]), "1,2\n").unwrap(), r#"[{"a":"1","b":"2"}]"#);
    assert_eq!(json(Format::csv().names(["a"]), "").unwrap(), "[]", "a table without a header may be empty");
    assert_eq!(records(Format::csv(), "id\n1\n2", "").unwrap(), [r#"{"id":"1"}"#, r#"{"id":"2"}"#]);
}

#[test]
fn what_is_no_table_is_an_error_that_names_the_line() {
    for (table, expected) in [
        ("a,b\n1,2\n3\n", "the row at line 3 has 1 fields, and not 2"),
        ("a,b\n1,2\n\n1,2,3", "the row at line 4 has 3 fields, and not 2"),
        ("a,b\n\"1\n\n\",2\n3", "the row at line 5 has 1 fields, and not 2"),
        ("a,b\n1,\"2\n3,4\n", "a quoted field is not closed: the table ends too early"),
        ("a,b\n1,\"2\"\"", "a quoted field is not closed: the table ends too early"),
        ("a\n\"", "a quoted field is not closed: the table ends too early"),
        ("\"a", "a quoted field is not closed: the table ends too early"),
        ("a,\n1,2", "the header: column 2 has no name"),
        ("a,b,a\n", "the header: the name \"a\" is there twice"),
        ("{\"error\":\"quota\"}", "the answer is JSON where CSV was expected"),
        ("<!DOCTYPE html>\n<p>", "the answer is HTML where CSV was expected"),
    ] {
        let error = json(Format::csv(), table.to_owned()).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Format, expected), "{table:?}");
        assert!(error.is_transient());
    }
    let cut = json(Format::csv(), "a,b\n1,2\n3").unwrap_err();
    assert_eq!(cut.transience(), Transience::Once);
    assert_eq!(json(Format::csv(), " \n").unwrap_err().kind(), ErrorKind::Empty);
    assert_eq!(json(Format::csv(), &b"a\n\xE9"[..]).unwrap_err().kind(), ErrorKind::Encoding);
}

#[test]
fn a_message_is_told_from_a_table_by_the_columns_that_must_be_there() {
    for message in ["Too many requests", "Too many requests\n", "id,na"] {
        let error = json(Format::csv(), message).unwrap_err();
        assert_eq!(error.message(), "a header alone: it may be a message, or a table that was cut");
    }
    assert_eq!(json(Format::csv(), "id,name\r\n").unwrap(), "[]");
    assert_eq!(json(Format::csv().require(["id"]), "id").unwrap(), "[]");
    assert_eq!(json(Format::csv().names(["id"]), "\n").unwrap(), "[]");
    let error = json(Format::csv().require(["id"]), "Too many requests").unwrap_err();
    assert_eq!(error.message(), "the table has no column \"id\"");
    assert_eq!(json(Format::csv().require(["id"]), "id,x\n1,2").unwrap(), r#"[{"id":"1","x":"2"}]"#);
}

#[test]
fn options_that_cannot_be_meant_come_out_when_the_source_is_built() {
    let csv = Format::csv;
    let wrong: [Csv; 5] = [
        csv().delimiter(b'"'),
        csv().delimiter(0xE9),
        csv().names(["a", "a"]),
        csv().names(Vec::<String>::new()),
        csv().names(["a"]).require(["b"]),
    ];
    for csv in wrong {
        let source = headwater::Source::get("table", "https://api.example.com/t").paginate(Single);
        let error = source.format(csv.clone()).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{csv:?}");
    }
}
