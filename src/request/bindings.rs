//! The values that are put into a template later, by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plain_value::text_of;
use super::redact::{MASK, is_sensitive};
use crate::error::{Error, Result};

/// The values for the placeholders of a template, by name.
///
/// ```
/// use headwater::Request;
/// use headwater::request::Bindings;
/// let template = Request::get("https://api.example.com/repos/{repo}/issues")?.query("since", "{since}");
/// let request = template.fill(&Bindings::new().with("repo", "rust-lang/rust").declare("since"))?;
/// assert_eq!(request.url().as_str(), "https://api.example.com/repos/rust-lang%2Frust/issues");
/// # Ok::<(), headwater::Error>(())
/// ```
///
/// `Debug` does not show the values of telling names.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bindings(BTreeMap<String, Value>);

impl Bindings {
    /// Has no names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Binds a name to a value. `null` is no value.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.insert(name, value);
        self
    }

    /// Declares a name that has no value, unless it has one.
    #[must_use]
    pub fn declare(mut self, name: impl Into<String>) -> Self {
        self.0.entry(name.into()).or_insert(Value::Null);
        self
    }

    /// Binds a name to a value, in the place of the one that it had.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    /// The value of a name; `None` if it has none.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Whether there is no name in it, declared or bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, declared or bound, with their values; `null` where there is none.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The same, with the values as a person may see them: not those of telling names. `key` is the name of a slice of a
    /// window of keys.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        let is_hidden = |name: &str| is_sensitive(name) && name != "key";
        self.iter().map(move |(name, value)| {
            (name, if is_hidden(name) { MASK.to_owned() } else { value.to_string() })
        })
    }

    /// Fills a text. `None` if it consists of a name without a value.
    pub(super) fn text<'t>(
        &self,
        text: &'t str,
        encoded: bool,
        spell: impl Fn(&str) -> String,
    ) -> Result<Option<Cow<'t, str>>> {
        let Some(mut found) = self.next(text, encoded) else { return Ok(Some(Cow::Borrowed(text))) };
        if found.before.is_empty() && found.after.is_empty() && found.value.is_null() {
            return Ok(None);
        }
        let mut filled = String::with_capacity(text.len());
        loop {
            filled.push_str(found.before);
            filled.push_str(&spell(&found.text()?));
            match self.next(found.after, encoded) {
                Some(next) => found = next,
                None => {
                    filled.push_str(found.after);
                    return Ok(Some(Cow::Owned(filled)));
                }
            }
        }
    }

    /// The items of the list that a text consists of.
    pub(super) fn list(&self, text: &str, encoded: bool) -> Option<&[Value]> {
        let found = self.next(text, encoded)?;
        let items =
            if found.before.is_empty() && found.after.is_empty() { found.value.as_array() } else { None };
        items.map(Vec::as_slice)
    }

    /// The next placeholder of a known name, with what stands before and behind it.
    pub(super) fn next<'t>(&self, text: &'t str, encoded: bool) -> Option<Found<'t, '_>> {
        let mut from = 0;
        loop {
            let (close, after) = brace(text, from..text.len(), '}', encoded)?;
            // The innermost pair counts.
            if let Some((open, inside)) = brace(text, from..close, '{', encoded) {
                let name = match encoded {
                    true => percent_decode_str(&text[inside..close]).decode_utf8_lossy(),
                    false => Cow::Borrowed(&text[inside..close]),
                };
                if let Some((name, value)) = self.0.get_key_value(&*name) {
                    return Some(Found { before: &text[..open], name, value, after: &text[after..] });
                }
            }
            from = after;
        }
    }

    /// A name that stands for something, in a value that is none: filled in, it would be taken for a part of the template.
    pub(crate) fn name_in_a_value(&self, stands: impl Fn(&str) -> bool) -> Option<(&str, String)> {
        self.iter().find_map(|(name, value)| {
            let text = text_of(value);
            let names = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
            let found = names.map(|(inner, _)| inner).find(|inner| stands(inner))?.to_owned();
            Some((name, found))
        })
    }

    /// Fills the strings of a document; false if the document itself is a name without a value.
    pub(super) fn fill(&self, value: &mut Value) -> Result<bool> {
        match value {
            Value::String(text) => {
                if let Some(whole) = self.next(text, false)
                    && whole.before.is_empty()
                    && whole.after.is_empty()
                {
                    let bound = whole.value.clone();
                    let is_there = !bound.is_null();
                    *value = bound;
                    return Ok(is_there);
                }
                if let Some(Cow::Owned(filled)) = self.text(text, false, str::to_owned)? {
                    *text = filled;
                }
            }
            Value::Array(items) => {
                for mut item in std::mem::take(items) {
                    if self.fill(&mut item)? {
                        items.push(item);
                    }
                }
            }
            Value::Object(fields) => {
                // A GraphQL document is full of braces, and has variables of its own.
                let is_graphql = fields.get("variables").is_some_and(Value::is_object);
                for (name, mut field) in std::mem::take(fields) {
                    let is_document = is_graphql && name == "query" && field.is_string();
                    if is_document || self.fill(&mut field)? {
                        fields.insert(name, field);
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// A placeholder in a text.
pub(super) struct Found<'t, 'b> {
    before: &'t str,
    name: &'b str,
    value: &'b Value,
    after: &'t str,
}

impl Found<'_, '_> {
    fn text(&self) -> Result<String> {
        match self.value {
            Value::Null => Err(Error::config(format!(
                "{{{}}} stands in the middle of a text, and has no value",
                self.name
            ))
            .advice("give it a first value, or a parameter of its own, which is left out then")),
            value => Ok(text_of(value)),
        }
    }
}

/// The first closing brace of a part of a text, or the last opening one: where it begins, and where it ends.
fn brace(text: &str, mut part: Range<usize>, brace: char, encoded: bool) -> Option<(usize, usize)> {
    let (hex, bytes) = (if brace == '{' { b'b' } else { b'd' }, text.as_bytes());
    let at = |at: usize| match bytes.get(at..)? {
        [byte, ..] if *byte == brace as u8 => Some((at, at + 1)),
        [b'%', b'7', digit, ..] if encoded && digit.eq_ignore_ascii_case(&hex) => Some((at, at + 3)),
        _ => None,
    };
    if brace == '{' { part.rev().find_map(at) } else { part.find_map(at) }
}

impl fmt::Debug for Bindings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}
