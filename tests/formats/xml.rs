//! XML: what a document becomes, and what is no document.

use headwater::ErrorKind;
use headwater::page::Format;

use crate::{json, records};

#[test]
fn elements_attributes_and_text_become_json() {
    for (document, expected) in [
        ("<a/>", r##"{"a":null}"##),
        ("<a></a>", r##"{"a":null}"##),
        ("<a> \n </a>", r##"{"a":null}"##),
        ("<a>1.10</a>", r##"{"a":"1.10"}"##),
        ("<a> x </a>", r##"{"a":" x "}"##),
        ("<a b='1' c=\"2\"/>", r##"{"a":{"@b":"1","@c":"2"}}"##),
        ("<a b=''>t</a>", r##"{"a":{"@b":"","#text":"t"}}"##),
        ("<a><b>1</b><c/><b>2</b><b/></a>", r##"{"a":{"b":["1","2",null],"c":null}}"##),
        ("<a>x<b/>y\n<b/>z</a>", r##"{"a":{"b":[null,null],"#text":"xy\nz"}}"##),
        ("<a>\n  <b>1</b>\n</a>\n", r##"{"a":{"b":"1"}}"##),
        ("<a>1 &lt; 2 &amp;&#38; &quot;&apos;&gt;&#x1F600;</a>", "{\"a\":\"1 < 2 && \\\"'>\u{1F600}\"}"),
        ("<a b='&lt;&#10;\n\t&amp;'/>", r##"{"a":{"@b":"<\n  &"}}"##),
        ("<a><![CDATA[<b>&amp;</b>]]></a>", r##"{"a":"<b>&amp;</b>"}"##),
        ("<a>x<!-- <b/> -->y<?pi <b/> ?>z</a>", r##"{"a":"xyz"}"##),
        ("<a>1\r\n2\r3</a>", r##"{"a":"1\n2\n3"}"##),
        (
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE a SYSTEM \"a.dtd\">\n<a/>",
            r##"{"a":null}"##,
        ),
        (
            "<x:a xmlns:x='urn:x' xml:lang='en'><x:b/></x:a>",
            r##"{"x:a":{"@xmlns:x":"urn:x","@xml:lang":"en","x:b":null}}"##,
        ),
        ("\u{FEFF}<\u{e9}>\\</\u{e9}>", "{\"\u{e9}\":\"\\\\\"}"),
    ] {
        assert_eq!(json(Format::xml(), document.to_owned()).unwrap(), expected, "{document}");
    }
}

#[test]
fn what_is_no_document_is_an_error() {
    for document in [
        "x",
        "{\"a\":1}",
        "<a>",
        "<a><b></a></b>",
        "<a></a",
        "</a>",
        "<a/><b/>",
        "<a/>x",
        "x<a/>",
        "<a/>&amp;",
        "<a b/>",
        "<a b=1/>",
        "<a b='1' b='2'/>",
        "<a b='&no;'/>",
        "<a>&no;</a>",
        "<a>& </a>",
        "<a>&#0;</a>",
        "<a>&#1;</a>",
        "<a>\u{1}</a>",
        "<a>&#xFFFFFFFFF;</a>",
        "<a b='\u{FFFF}'/>",
        "<a><![CDATA[x</a>",
        "<a><!-- x</a>",
        "<1/>",
        "<a\"/>",
        "<!-- nothing -->",
        "<!DOCTYPE a [<!ENTITY x \"y\">]><a/>",
        "<!DOCTYPE html><html><body><p>Sign in</body></html>",
    ] {
        let error = json(Format::xml(), document.to_owned()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format, "{document}: {error}");
        assert!(error.is_transient(), "{document}");
    }
    let error = json(Format::xml(), "<a>\n<b>\n</c></a>").unwrap_err();
    assert!(error.message().contains("line 3"), "{error}");
    let error = json(Format::xml(), "<a>\n<b>").unwrap_err();
    assert_eq!(error.message(), "the document ends too early: <b> is open");
}

#[test]
fn another_encoding_is_refused() {
    let latin = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>caf\xE9</a>";
    assert_eq!(json(Format::xml(), &latin[..]).unwrap_err().kind(), ErrorKind::Encoding);
    let said = "<?xml version='1.0' encoding='UTF-16'?><a/>";
    let error = json(Format::xml(), said).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Encoding, "the document says that it is in \"UTF-16\"")
    );
}

#[test]
fn xml_from_a_json_api_stays_the_error_it_is() {
    assert_eq!(json(Format::Json, "<a/>").unwrap_err().kind(), ErrorKind::NotJson);
}

#[test]
fn a_text_in_the_place_of_the_parent_is_no_empty_list() {
    let found = |body| records(Format::xml(), body, "r.list.item").map_err(|error| error.kind());
    assert_eq!(found("<r><list/></r>"), Ok(vec![]));
    assert_eq!(found("<r><list total='0'> </list></r>"), Ok(vec![]));
    assert_eq!(found("<r><list>Service unavailable</list></r>"), Err(ErrorKind::RecordPath));
    assert_eq!(found("<r>Service unavailable</r>"), Err(ErrorKind::RecordPath));
}
