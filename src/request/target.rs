//! Where a paginator puts a value into a request.

use std::fmt;

use http::Method;
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::plain_value::text_of;
use super::redact::is_sensitive_header;
use super::{Bindings, JsonPath, Request};
use crate::error::{Error, ErrorKind, Result};

/// The place in a request where a cursor, an offset, a number or a size goes.
///
/// A name alone is a query parameter.
///
/// ```
/// use headwater::request::Target;
/// use headwater::paginate::Cursor;
/// // {"page": {"after": "…"}} in the body of the request
/// let search = Cursor::body("next").into_target(Target::body("page.after"));
/// // https://api.example.com/items/{after}
/// let path = Cursor::body("next").into_target(Target::placeholder("after"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Target {
    place: Place,
    as_string: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Query(String),
    Body(String),
    Form(String),
    Header(String),
    Placeholder(String),
    Merged,
}

impl Target {
    /// A query parameter; the value is percent-encoded, and takes the place of every other of its name.
    pub fn query(name: impl Into<String>) -> Self {
        Self::new(Place::Query(name.into()))
    }

    /// A path in the JSON body, dotted or a JSON Pointer; the objects on the way are made.
    pub fn body(path: impl Into<String>) -> Self {
        Self::new(Place::Body(path.into()))
    }

    /// A field of the form.
    pub fn form(name: impl Into<String>) -> Self {
        Self::new(Place::Form(name.into()))
    }

    /// A header. A value that no header can have is an error.
    pub fn header(name: impl Into<String>) -> Self {
        Self::new(Place::Header(name.into()))
    }

    /// The placeholder `{name}` in the path, the query, a header or the body; see [`Request::fill`].
    pub fn placeholder(name: impl Into<String>) -> Self {
        Self::new(Place::Placeholder(name.into()))
    }

    /// The query as a whole: the value is an object, and each of its keys is set as a parameter (MediaWiki's
    /// `continue`).
    pub fn merged() -> Self {
        Self::new(Place::Merged)
    }

    fn new(place: Place) -> Self {
        Self { place, as_string: false }
    }

    /// Sends a number as a string, where there is a difference: in a JSON body.
    pub fn as_string(mut self) -> Self {
        self.as_string = true;
        self
    }

    /// Whether a number stays a number, and an array an array.
    pub(crate) fn keeps_types(&self) -> bool {
        matches!(self.place, Place::Body(_) | Place::Merged) && !self.as_string
    }

    /// Whether a value that is not just a text can go there.
    pub(crate) fn takes(&self, value: &Value) -> bool {
        match (&self.place, value) {
            (Place::Body(_) | Place::Placeholder(_), _) => true,
            (Place::Merged, value) => value.is_object(),
            (_, value) => !value.is_array() && !value.is_object(),
        }
    }

    /// Puts a value in its place.
    ///
    /// # Errors
    /// `Cursor` if the value cannot stand there; `Config` if the body has no room for it.
    pub fn put(&self, request: Request, value: &Value) -> Result<Request> {
        match &self.place {
            Place::Query(name) => Ok(request.with_query(name, text_of(value))),
            Place::Form(name) => Ok(request.with_form(name, text_of(value))),
            Place::Header(name) => with_header(request, name, &text_of(value)),
            Place::Placeholder(name) => request.fill(&Bindings::new().with(name, self.typed(value))),
            Place::Merged => match value {
                Value::Object(fields) => Ok(fields
                    .iter()
                    .filter(|(_, value)| !value.is_null())
                    .fold(request, |request, (name, value)| request.with_query(name, text_of(value)))),
                other => {
                    Err(Error::new(ErrorKind::Cursor, format!("{} is not an object to merge", kind(other))))
                }
            },
            Place::Body(path) => {
                let mut request = request;
                let mut body = request.body_mut().map_or_else(empty, std::mem::take);
                set(&mut body, &JsonPath::parse(path)?, self.typed(value))?;
                Ok(request.json(body))
            }
        }
    }

    /// Leaves the place empty: a placeholder is not sent as it is written.
    ///
    /// # Errors
    /// `Config` if a placeholder stands where it cannot be left out.
    pub fn leave(&self, request: Request) -> Result<Request> {
        match &self.place {
            Place::Placeholder(name) => request.fill(&Bindings::new().declare(name)),
            _ => Ok(request),
        }
    }

    /// Finds what can be found wrong before there is a value.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.place {
            Place::Body(path) => JsonPath::parse(path).map(drop),
            Place::Header(name) => header_name(name).map(drop),
            _ => Ok(()),
        }
    }

    /// Says why what a paginator sends cannot go there in a request like this.
    pub(crate) fn check_in(&self, template: &Request) -> Result<()> {
        let what = match &self.place {
            Place::Body(path) if !template.form_fields().is_empty() => {
                format!(
                    "what the paginator sends goes to \"{path}\" of a JSON body, and the request has a form"
                )
            }
            Place::Form(name) if template.body().is_some() => {
                format!(
                    "what the paginator sends goes to the field \"{name}\" of a form, and the request has a JSON body"
                )
            }
            Place::Body(name) | Place::Form(name)
                if matches!(*template.method(), Method::GET | Method::HEAD) && !template.has_body() =>
            {
                return Err(Error::config(format!(
                    "what the paginator sends goes to \"{name}\" of the body, and the request is a {} without one",
                    template.method()
                ))
                .advice("ask by POST, or put it into the query; where an API takes a body along with GET, set it: `.json(json!({}))`"));
            }
            Place::Placeholder(name) if !template.mentions(name) => {
                return Err(Error::config(format!(
                    "{{{name}}} does not stand in the request, and the paginator would put its value there"
                ))
                .advice(format!("put it where the API wants the value: `.query(\"…\", \"{{{name}}}\")`")));
            }
            // Whether the body has room for it.
            Place::Body(_) => return self.put(template.clone(), &0.into()).map(drop),
            _ => return Ok(()),
        };
        Err(Error::config(what)
            .advice("a request has one body: `into_form` belongs to a form, `into_body` to JSON"))
    }

    /// Refuses two values for one place: the second would take that of the first.
    pub(crate) fn check_distinct<'a>(targets: impl Iterator<Item = &'a Self>) -> Result<()> {
        let mut places: Vec<&Place> = Vec::new();
        for Self { place, .. } in targets {
            if *place != Place::Merged && places.contains(&place) {
                let (Place::Query(name)
                | Place::Body(name)
                | Place::Form(name)
                | Place::Header(name)
                | Place::Placeholder(name)) = place
                else {
                    continue;
                };
                return Err(Error::config(format!("two values of the paginator go to \"{name}\""))
                    .advice("give each a place of its own"));
            }
            places.push(place);
        }
        Ok(())
    }

    /// Whether it is the placeholder of this name.
    pub(crate) fn fills(&self, name: &str) -> bool {
        matches!(&self.place, Place::Placeholder(own) if own == name)
    }

    fn typed(&self, value: &Value) -> Value {
        match value {
            Value::Number(number) if self.as_string => Value::String(number.to_string()),
            other => other.clone(),
        }
    }

    /// The name of a plain query parameter.
    pub(crate) fn query_name(&self) -> Option<&str> {
        match &self.place {
            Place::Query(name) if !self.as_string => Some(name),
            _ => None,
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn empty() -> Value {
    Value::Object(Default::default())
}

fn header_name(name: &str) -> Result<HeaderName> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::config(format!("{name:?} is not a header name")))
}

/// Sets a header, in the place of every other of its name.
pub(super) fn with_header(mut request: Request, name: &str, value: &str) -> Result<Request> {
    let name = header_name(name)?;
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        let what = format!("the value for the header {name} has a character in it that no header can have");
        Error::new(ErrorKind::Cursor, what)
    })?;
    value.set_sensitive(is_sensitive_header(name.as_str()));
    request.headers.insert(name, value);
    Ok(request)
}

/// Sets a value in a document, making the objects on the way.
fn set(document: &mut Value, path: &JsonPath, value: Value) -> Result<()> {
    let mut place = document;
    for segment in path.segments() {
        if place.is_null() {
            *place = empty();
        }
        let no_object =
            || Error::config(format!("the body has no object at \"{path}\" to put the position into"));
        place = match place {
            Value::Object(fields) => fields.entry(segment.as_str()).or_insert(Value::Null),
            Value::Array(items) => {
                let index: usize = segment.parse().map_err(|_| no_object())?;
                items.get_mut(index).ok_or_else(no_object)?
            }
            _ => return Err(no_object()),
        };
    }
    *place = value;
    Ok(())
}

impl From<&str> for Target {
    fn from(name: &str) -> Self {
        Self::query(name)
    }
}

impl From<String> for Target {
    fn from(name: String) -> Self {
        Self::query(name)
    }
}

// A part of the fingerprint: it must stay as it is.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", self.place, if self.as_string { " as string" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn get() -> Request {
        Request::get("https://h.example/a/{after}?x=1").unwrap()
    }

    #[test]
    fn each_place_takes_the_value_in_its_own_way() {
        let token = json!("a+/= \"");
        let query = Target::from("after").put(get(), &token).unwrap();
        assert_eq!(query.url().query(), Some("x=1&after=a%2B%2F%3D+%22"));
        let path = Target::placeholder("after").put(get(), &token).unwrap();
        assert_eq!(path.url().path(), "/a/a%2B%2F%3D%20%22");
        let header = Target::header("X-After").put(get(), &token).unwrap();
        assert_eq!(header.headers()["x-after"], "a+/= \"");
        let form = Target::form("after").put(get(), &token).unwrap();
        assert_eq!(form.form_fields(), [("after".to_owned(), "a+/= \"".to_owned())]);
        let body = Target::body("page.after").put(get(), &json!(7)).unwrap();
        assert_eq!(body.body(), Some(&json!({"page": {"after": 7}})));
        let string = Target::body("page.after").as_string().put(get(), &json!(7)).unwrap();
        assert_eq!(string.body(), Some(&json!({"page": {"after": "7"}})));
        let merged = Target::merged().put(get(), &json!({"x": 2, "y": "b|c"})).unwrap();
        assert_eq!(merged.url().query(), Some("x=2&y=b%7Cc"));
    }

    #[test]
    fn what_no_header_can_have_is_an_error() {
        for evil in ["a\r\nX: 1", "\u{0}", "\u{7f}"] {
            let error = Target::header("X-After").put(get(), &json!(evil)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cursor);
        }
        assert!(Target::header("X After").check().is_err());
    }

    #[test]
    fn a_body_that_has_no_room_is_an_error() {
        let request = || Request::post("https://h.example").unwrap().json(json!({"list": [1], "n": 1}));
        assert!(Target::body("n.after").put(request(), &json!(1)).is_err());
        assert!(Target::body("list.7").put(request(), &json!(1)).is_err());
        let set = Target::body("list.0").put(request(), &json!(2)).unwrap();
        assert_eq!(set.body(), Some(&json!({"list": [2], "n": 1})));
    }
}
