//! What the body of a page is written in.
//!
//! A format turns the body into JSON text before the one walk over it. So all else stays as it is: paths, cursors,
//! flags and totals are found in every format in the same way, and a record is always JSON.

#[cfg(feature = "csv")]
mod csv;
mod lines;
mod text;
#[cfg(feature = "xml")]
mod xml;

use bytes::Bytes;

#[cfg(feature = "csv")]
pub use self::csv::Csv;
use super::walk::Shape;
use super::{Select, utf8};
use crate::error::Result;
#[cfg(any(feature = "csv", feature = "xml"))]
use crate::error::{Error, ErrorKind};
use text::JsonText;

/// What the body of a page is written in, whatever its `Content-Type` says.
///
/// | format | the body | the page that the record path and the paginator see |
/// |---|---|---|
/// | `Json` | one JSON document | the same |
/// | `JsonLines` | one JSON value on each line; empty lines do not count | the array of them: record path `""` |
/// | [`Format::csv()`] | a table, its names in the first row | an array of objects, all values strings: record path `""` |
/// | [`Format::xml()`] | one XML document | see below |
///
/// XML becomes JSON by the usual mapping: an element is an object, with its attributes as `@name`, its children by name, and
/// its text as `#text`; an element with text alone is a string, and one with nothing is `null`; of a child that
/// repeats, an array. Names stay as written, with their prefix; all values are strings; comments and
/// processing instructions are dropped. Text that is white space alone is dropped, too, all other text stays as it is. Between
/// children of different names the order is lost, and pieces of text between children become one `#text`. At a record path a single
/// element is an array of one, and none is none if its parent is there. A path to `#text` finds the text of an element
/// with attributes and of one without.
///
/// ```
/// use headwater::page::Format;
/// use headwater::{Source, paginate::PageNumber};
///
/// let exports = Source::get("exports", "https://api.example.com/export.ndjson")
///     .format(Format::JsonLines)
///     .records("")
///     .paginate(PageNumber::new())
///     .build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
///
/// The cap on the bytes of a page ([`HttpBuilder::max_page_bytes`](crate::transport::HttpBuilder::max_page_bytes)) counts for the JSON text as well. A body that is not in the format is an
/// error of kind `Format` (`NotJson` for the JSON formats), and is asked for once more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON document (RFC 8259).
    #[default]
    Json,
    /// One JSON value on each line (JSON Lines, NDJSON). A body without lines is a page without records.
    JsonLines,
    /// Comma-separated values (RFC 4180).
    #[cfg(feature = "csv")]
    #[cfg_attr(docsrs, doc(cfg(feature = "csv")))]
    Csv(Csv),
    /// One XML 1.0 document, in UTF-8. What a DTD says is not read, and entities of its own are an error.
    #[cfg(feature = "xml")]
    #[cfg_attr(docsrs, doc(cfg(feature = "xml")))]
    Xml,
}

impl Format {
    /// Comma-separated values, with the names in the first row.
    #[cfg(feature = "csv")]
    #[cfg_attr(docsrs, doc(cfg(feature = "csv")))]
    pub fn csv() -> Csv {
        Csv::new()
    }

    /// XML.
    #[cfg(feature = "xml")]
    #[cfg_attr(docsrs, doc(cfg(feature = "xml")))]
    pub fn xml() -> Self {
        Self::Xml
    }

    /// Says what is wrong with it before anything is asked for.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            #[cfg(feature = "csv")]
            Self::Csv(csv) => csv.check(),
            _ => Ok(()),
        }
    }

    /// Turns a body without a byte-order mark into JSON text of at most `cap` bytes.
    pub(crate) fn read(&self, body: Bytes, cap: usize) -> Result<Bytes> {
        if *self == Self::Json {
            return Ok(body);
        }
        let text = utf8(&body)?;
        let mut json = JsonText::new(cap);
        match self {
            Self::Json => {}
            Self::JsonLines => lines::read(text, &mut json)?,
            #[cfg(feature = "csv")]
            Self::Csv(csv) => csv.read(text, &mut json)?,
            #[cfg(feature = "xml")]
            Self::Xml => xml::read(text, &mut json)?,
        }
        Ok(json.done())
    }

    pub(crate) fn shape(&self) -> Shape {
        match self {
            #[cfg(feature = "xml")]
            Self::Xml => Shape::Elements,
            _ => Shape::Json,
        }
    }

    /// Whether a body of nothing is a page: one without records.
    pub(crate) fn takes_nothing(&self) -> bool {
        match self {
            Self::JsonLines => true,
            #[cfg(feature = "csv")]
            Self::Csv(csv) => csv.is_named(),
            _ => false,
        }
    }

    /// What to ask the server for; `None` if the transport does.
    pub(crate) fn media_type(&self) -> Option<&'static str> {
        match self {
            Self::Json => None,
            Self::JsonLines => {
                Some("application/x-ndjson, application/jsonl, application/json;q=0.5, */*;q=0.1")
            }
            #[cfg(feature = "csv")]
            Self::Csv(_) => Some("text/csv, */*;q=0.1"),
            #[cfg(feature = "xml")]
            Self::Xml => Some("application/xml, text/xml;q=0.9, */*;q=0.1"),
        }
    }

    /// The meaning as a text that only changes when the meaning does; `None` for JSON, which needs no word.
    pub(crate) fn definition(&self) -> Option<String> {
        match self {
            Self::Json => None,
            Self::JsonLines => Some("json lines".to_owned()),
            #[cfg(feature = "csv")]
            Self::Csv(csv) => Some(csv.definition()),
            #[cfg(feature = "xml")]
            Self::Xml => Some("xml".to_owned()),
        }
    }

    /// Where the records are if nobody says so: in a table, nowhere else.
    pub(crate) fn select(&self) -> Option<Select> {
        match self {
            Self::JsonLines => Some(Select::path("")),
            #[cfg(feature = "csv")]
            Self::Csv(_) => Some(Select::path("")),
            _ => None,
        }
    }
}

/// Says why a body is not in its format. Asking once more may help, as with broken JSON.
#[cfg(any(feature = "csv", feature = "xml"))]
fn not_in_format(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Format, what).once()
}

/// Refuses the page of a proxy or a login form, which may well be read as something else.
#[cfg(any(feature = "csv", feature = "xml"))]
fn refuse_html(text: &str, expected: &str) -> Result<()> {
    let start = text.trim_start().as_bytes();
    let is_html = [&b"<!doctype html"[..], b"<html"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)));
    if !is_html {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Format, format!("the answer is HTML where {expected} was expected"))
        .transient()
        .advice("login pages and proxies answer like this: check the URL and the credentials"))
}
