//! XML 1.0 by the usual mapping to JSON; see [`Format`](super::Format) for it.
//!
//! What a hostile document could do is bounded: nothing is expanded but the five entities and character references, so
//! the text cannot grow by reference; elements are nested no deeper than [`DEEPEST`]; and what is
//! made of the document, with what is held while it is made, stays within the cap on the bytes of a page.

mod element;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesDecl, BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use self::element::{Element, Room};
use super::text::JsonText;
use super::{not_in_format, refuse_html};
use crate::error::{Error, ErrorKind, Result};

/// No answer of an API is nested deeper; each level costs a copy of what is in it.
const DEEPEST: usize = 128;

/// Turns a document into an object with one field: its root.
pub(super) fn read(text: &str, json: &mut JsonText) -> Result<()> {
    refuse_html(text, "XML")?;
    let mut tree = Tree { open: Vec::new(), root: None, room: Room::new(json.cap()) };
    let mut reader = Reader::from_str(text);
    let at = |position: u64| {
        let before = text.as_bytes().get(..usize::try_from(position).unwrap_or(usize::MAX));
        1 + before.unwrap_or(text.as_bytes()).iter().filter(|byte| **byte == b'\n').count()
    };
    loop {
        let event = match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(event) => event,
            Err(error) => {
                let line = at(reader.error_position());
                return Err(not_in_format(format!("the answer is no XML at line {line}")).because(error));
            }
        };
        let taken = tree.take(&event);
        taken.map_err(|error| match error.kind() {
            ErrorKind::Format => {
                not_in_format(format!("{} at line {}", error.message(), at(reader.buffer_position())))
            }
            _ => error,
        })?;
    }
    match (tree.open.last(), tree.root) {
        (Some(element), _) => {
            Err(not_in_format(format!("the document ends too early: <{:.100}> is open", element.name)))
        }
        (None, None) => Err(not_in_format("the answer is no XML: it has no element")),
        (None, Some((name, root))) => {
            json.raw(b"{")?;
            json.string(&name)?;
            json.raw(b":")?;
            json.raw(&root)?;
            json.raw(b"}")
        }
    }
}

/// What has been read of a document.
struct Tree {
    open: Vec<Element>,
    root: Option<(String, Vec<u8>)>,
    room: Room,
}

impl Tree {
    fn take(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Start(start) => self.start(start),
            Event::Empty(start) => {
                self.start(start)?;
                self.end()
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(&text.xml10_content()),
            Event::CData(text) => self.text(&text.xml10_content()),
            Event::GeneralRef(reference) => {
                let unknown = || not_in_format(format!("the entity &{:.100}; is not known", &**reference));
                if let Some(text) = resolve_predefined_entity(reference) {
                    return self.text(text);
                }
                let character = reference.resolve_char_ref().map_err(|_| unknown())?.ok_or_else(unknown)?;
                self.text(character.encode_utf8(&mut [0; 4]))
            }
            Event::Decl(declaration) => declared(declaration),
            Event::DocType(doctype) if doctype.contains("<!ENTITY") => {
                Err(not_in_format("the document declares entities of its own, which are not read"))
            }
            Event::DocType(_) | Event::Comment(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<()> {
        if self.open.len() >= DEEPEST {
            return Err(not_in_format(format!("elements are nested more than {DEEPEST} deep")));
        }
        if self.open.is_empty() && self.root.is_some() {
            return Err(not_in_format("there is a second root element"));
        }
        let mut element = Element::new(checked_name(start.name().0)?.to_owned());
        // Doubles are found where they are put.
        let mut attributes = start.attributes();
        for attribute in attributes.with_checks(false) {
            let unreadable = || not_in_format("an attribute cannot be read");
            let attribute = attribute.map_err(|_| unreadable())?;
            let name = checked_name(attribute.key.0)?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|_| unreadable())?;
            element.attribute(name, legal(&value)?, &mut self.room)?;
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(element) = self.open.pop() else {
            return Err(not_in_format("an element ends that has not begun"));
        };
        let name = element.name.clone();
        let json = element.close(&mut self.room)?;
        match self.open.last_mut() {
            Some(parent) => parent.child(&name, json, &mut self.room),
            None => {
                self.root = Some((name, json));
                Ok(())
            }
        }
    }

    fn text(&mut self, text: &str) -> Result<()> {
        let text = legal(text)?;
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim_matches(is_blank).is_empty() => {}
            None => return Err(not_in_format("there is text outside of the root element")),
        }
        Ok(())
    }
}

/// The name of an element or an attribute (XML §2.3). Beyond ASCII nearly everything is allowed.
fn checked_name(name: &str) -> Result<&str> {
    let begins = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':' | 0x80..);
    let goes_on = |byte: u8| begins(byte) || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    match name.as_bytes() {
        [first, rest @ ..] if begins(*first) && rest.iter().all(|byte| goes_on(*byte)) => Ok(name),
        _ => Err(not_in_format(format!("{:.100?} is no name", name))),
    }
}

/// Characters that a document may hold (XML §2.2).
fn legal(text: &str) -> Result<&str> {
    let is_illegal = |character: char| matches!(character, '\0'..='\x08' | '\x0B' | '\x0C' | '\x0E'..='\x1F' | '\u{FFFE}' | '\u{FFFF}');
    match text.chars().find(|character| is_illegal(*character)) {
        None => Ok(text),
        Some(character) => Err(not_in_format(format!("{character:?} is no character of XML"))),
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// The body has been read as UTF-8, so it must be that, or ASCII.
fn declared(declaration: &BytesDecl<'_>) -> Result<()> {
    let Some(encoding) = declaration.encoding() else { return Ok(()) };
    let encoding = encoding.map_err(|_| not_in_format("the XML declaration cannot be read"))?;
    if ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let what = format!("the document says that it is in {encoding:.40?}");
    Err(Error::new(ErrorKind::Encoding, what).advice("XML is read in UTF-8; ask the API for that charset"))
}
