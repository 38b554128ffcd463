//! A request, as a server reads it.

use headwater::Request;
use headwater::testing::Reply;
use serde_json::Value;

use super::{demand, refuse};

static NULL: Value = Value::Null;

/// A request, as a server reads it.
pub(crate) struct Asked<'a> {
    pub(crate) request: &'a Request,
    /// Its number, from 1.
    pub(crate) nth: u64,
    query: Vec<(String, String)>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a Request, nth: u64) -> Self {
        let pairs = request.url().query_pairs();
        let query = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Self { request, nth, query }
    }

    /// A parameter that came twice, and is no list.
    pub(super) fn twice(&self) -> Option<&str> {
        let names = || self.query.iter().map(|(name, _)| name.as_str());
        let twice = names().enumerate().filter(|(at, name)| names().take(*at).any(|other| other == *name));
        twice.map(|(_, name)| name).find(|name| !name.ends_with("[]"))
    }

    /// Refuses another path, and another method.
    pub(crate) fn at(&self, method: &str, path: &str) -> Result<(), Reply> {
        demand(self.path() == path, 404, format!("there is no {}", self.path()))?;
        demand(self.request.method() == method, 405, format!("{method} only"))
    }

    pub(crate) fn path(&self) -> &str {
        self.request.url().path()
    }

    /// The query as it was written.
    pub(crate) fn text(&self) -> &str {
        self.request.url().query().unwrap_or_default()
    }

    /// A query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that is a list.
    pub(crate) fn queries<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        self.query.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Refuses a parameter that is missing or has another value.
    pub(crate) fn asks(&self, name: &str, value: &str) -> Result<(), Reply> {
        match self.query(name) {
            Some(other) if other == value => Ok(()),
            Some(other) => Err(refuse(400, format!("the parameter {name} is {other:?}, not {value:?}"))),
            None => Err(refuse(400, format!("the parameter {name} is missing"))),
        }
    }

    /// Refuses every parameter but these.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), Reply> {
        match self.query.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(refuse(400, format!("the parameter {name} is not allowed here"))),
            None => Ok(()),
        }
    }

    /// A whole number in the query, or what the vendor takes where there is none.
    pub(crate) fn number(&self, name: &str, default: u64) -> Result<u64, Reply> {
        let Some(text) = self.query(name) else { return Ok(default) };
        text.parse().map_err(|_| refuse(400, format!("the parameter {name} is no number: {text:?}")))
    }

    /// A size, refused above the most.
    pub(crate) fn size(&self, name: &str, default: u64, most: u64) -> Result<u64, Reply> {
        let size = self.number(name, default)?;
        demand((1..=most).contains(&size), 400, format!("{name} is {size}, and must be from 1 to {most}"))?;
        Ok(size)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Refuses a header that is missing or has another value.
    pub(crate) fn says(&self, name: &str, value: &str) -> Result<(), Reply> {
        let said = self.header(name);
        demand(said == Some(value), 400, format!("the header {name} is {said:?}, not {value:?}"))
    }

    /// Refuses credentials other than these in this header.
    pub(crate) fn credentials(&self, name: &str, value: &str) -> Result<(), Reply> {
        demand(self.header(name) == Some(value), 401, "these are no credentials of ours")
    }

    /// Refuses another `Authorization` than this.
    pub(crate) fn authorized(&self, value: &str) -> Result<(), Reply> {
        self.credentials("authorization", value)
    }

    /// A field of a form.
    pub(crate) fn form(&self, name: &str) -> Option<&str> {
        let fields = self.request.form_fields();
        fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value at a pointer into the JSON body; `null` if there is none.
    pub(crate) fn body(&self, pointer: &str) -> &Value {
        self.request.body().and_then(|body| body.pointer(pointer)).unwrap_or(&NULL)
    }

    /// Whether the JSON body has something at a pointer, be it `null`.
    pub(crate) fn has(&self, pointer: &str) -> bool {
        self.request.body().is_some_and(|body| body.pointer(pointer).is_some())
    }
}
