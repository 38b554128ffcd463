//! Records changed on their way: fields kept, dropped, renamed, flattened, masked, and values mapped by types of one's own.
//!
//! A [`Transform`] is a list of steps, each of which reads the text of a record and writes another: nothing is parsed into
//! a value but by [`map`](Transform::map). What a step does not concern stays byte for byte, digits of numbers and order of
//! keys; of an object in which something changes, the blanks between its fields go. A page of which no record changes goes
//! through as it is.

mod drop;
mod flatten;
mod keep;
mod map;
mod mask;
mod rename;
mod stream;
mod tree;

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use stream::{Transformed, TransformedBatches};
use tree::{Text, Tree};

use super::{Batch, Record};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::request::Secret;

/// What is done to each record on its way: steps in the order in which they are given.
///
/// Paths are dotted, or JSON Pointers ([`JsonPath`]), and go into every item of an array: `items.price` is the
/// price of each item. What is not there is not missed. What is no object has no fields, and goes through as it is.
///
/// ```
/// use headwater::records::Transform;
/// use headwater::Record;
///
/// let transform = Transform::new().drop_fields(["node_id"]).rename("user.login", "name").flatten("_");
/// let record = Record::new(r#"{"id":1.50,"node_id":"x","user":{"login":"ada"}}"#, std::time::SystemTime::now())?;
/// let record = transform.apply(record)?.unwrap();
/// assert_eq!(record.as_str(), r#"{"id":1.50,"user_name":"ada"}"#);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Transform {
    steps: Vec<Arc<dyn Step>>,
    wrong: Option<String>,
}

/// One step.
trait Step: Send + Sync {
    /// What it does, for the definition in the checkpoint. It holds no secret.
    fn definition(&self) -> String;

    /// Whether it is for what is no object, too.
    fn takes_all(&self) -> bool {
        false
    }

    /// Whether it may change a record, or one of many, in this text. Where it is sure that it does not, it is not asked.
    fn may_concern(&self, text: &Text<'_>) -> bool {
        let _ = text;
        true
    }

    /// Whether all keys of what it writes were keys of the record before, on lines as they were.
    fn keeps_keys(&self) -> bool {
        false
    }

    /// Writes what becomes of a record, if anything does.
    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome>;
}

/// What a step makes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Same,
    Changed,
    Dropped,
}

impl Outcome {
    fn of(is_changed: bool) -> Self {
        if is_changed { Self::Changed } else { Self::Same }
    }
}

/// Room for what becomes of a record, used again for the next.
#[derive(Debug, Default)]
struct Scratch {
    text: Vec<u8>,
    next: Vec<u8>,
}

impl Transform {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps these fields, and drops all others. Of a field on the way to one of them only that part stays; an item of an array
    /// that has no fields, and what is no object, goes.
    pub fn keep(self, fields: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.tree(fields, keep::Keep)
    }

    /// Drops these fields, and keeps all others.
    pub fn drop_fields(self, fields: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.tree(fields, drop::Drop)
    }

    /// Gives a field another name where it stands: `rename("user.login", "name")` makes `user.name` of it. A field that has
    /// the new name already is kept as `name_original`.
    pub fn rename(self, field: &str, name: &str) -> Self {
        let name = name.to_owned();
        self.tree([field], move |tree| rename::Rename::new(tree, &name))
    }

    /// Turns fields of nested objects into fields of the record: `{"user":{"name":1}}` into `{"user_name":1}` with the
    /// separator `_`, over 32 levels at most. Arrays, and objects without fields, stay as they are. A field keeps its name if it has it already
    /// without being flattened; of names that come twice otherwise, the later gets `_2`, `_3` ….
    pub fn flatten(self, separator: &str) -> Self {
        self.flatten_to(separator, usize::MAX)
    }

    /// The same, over so many levels: what lies deeper stays an object.
    pub fn flatten_to(mut self, separator: &str, levels: usize) -> Self {
        self.steps.push(Arc::new(flatten::Flatten::new(separator, levels)));
        self
    }

    /// Replaces the values of these fields by their HMAC-SHA256 (RFC 2104) under a key, as 64 hexadecimal digits: who has
    /// not the key cannot tell the value, or try values out, and the same value comes out the same, so that tables can still
    /// be joined. Of a string, what it says is hashed, without escapes; of anything else, its text. `null` stays.
    ///
    /// The key is no part of the definition: a source that goes on with another key has both in its records.
    pub fn mask(self, fields: impl IntoIterator<Item = impl AsRef<str>>, key: &Secret) -> Self {
        let key = mask::Key::new(key);
        self.tree(fields, move |tree| mask::Mask::new(tree, Some(key)))
    }

    /// Replaces the values of these fields by `"***"`. `null` stays.
    pub fn redact(self, fields: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.tree(fields, |tree| mask::Mask::new(tree, None))
    }

    /// Reads each record as a type of one's own, and writes what the closure makes of it; `None` leaves the record out.
    /// A record that is not of that type is an error, which ends the source. `name` stands for the closure in the
    /// checkpoint: change it when the meaning of the closure changes.
    ///
    /// ```
    /// use headwater::records::Transform;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Deserialize)]
    /// struct Issue { id: u64, title: String }
    /// #[derive(Serialize)]
    /// struct Row { id: u64, length: usize }
    ///
    /// let rows = Transform::new().map("long titles", |issue: Issue| {
    ///     (issue.title.len() > 20).then_some(Row { id: issue.id, length: issue.title.len() })
    /// });
    /// ```
    pub fn map<T, U>(mut self, name: &str, map: impl Fn(T) -> Option<U> + Send + Sync + 'static) -> Self
    where
        T: DeserializeOwned + 'static,
        U: Serialize + 'static,
    {
        self.steps.push(map::boxed(name, map, false));
        self
    }

    /// The same, which leaves out a record that is not of the type, and says so in the log.
    pub fn map_or_skip<T, U>(
        mut self,
        name: &str,
        map: impl Fn(T) -> Option<U> + Send + Sync + 'static,
    ) -> Self
    where
        T: DeserializeOwned + 'static,
        U: Serialize + 'static,
    {
        self.steps.push(map::boxed(name, map, true));
        self
    }

    /// Adds the steps of another one behind these.
    pub fn then(mut self, other: Self) -> Self {
        self.steps.extend(other.steps);
        self.wrong = self.wrong.or(other.wrong);
        self
    }

    /// Changes one record; `None` if it is left out.
    ///
    /// # Errors
    /// `Config` if a path cannot be read, `Record` if the record is not of the type that a [`map`](Self::map) asks for.
    pub fn apply(&self, record: Record) -> Result<Option<Record>> {
        self.check()?;
        let mut scratch = Scratch::default();
        Ok(match self.run(record.as_bytes(), false, &mut scratch)? {
            Outcome::Same => Some(record),
            Outcome::Changed => Some(Record::slice(scratch.text.into(), record.fetched_at())),
            Outcome::Dropped => None,
        })
    }

    fn tree<S: Step + 'static>(
        mut self,
        fields: impl IntoIterator<Item = impl AsRef<str>>,
        step: impl FnOnce(Tree) -> S,
    ) -> Self {
        let mut tree = Tree::default();
        for field in fields {
            let path = JsonPath::parse(field.as_ref());
            match path {
                Ok(path) if !path.segments().is_empty() => tree.insert(path.segments()),
                Ok(_) => _ = self.wrong.get_or_insert("the empty path is the record, and no field".into()),
                Err(error) => _ = self.wrong.get_or_insert(error.message().to_owned()),
            }
        }
        self.steps.push(Arc::new(step(tree)));
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    pub(crate) fn definition(&self) -> String {
        self.steps.iter().map(|step| format!("{}\n", step.definition())).collect()
    }

    /// Says what is wrong with a path.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.wrong {
            None => Ok(()),
            Some(wrong) => Err(Error::config(format!("a transformation cannot be: {wrong}"))),
        }
    }

    /// Leaves in `scratch` what becomes of a record that changes. `is_plain` says that no key of it has an escape.
    fn run(&self, record: &[u8], is_plain: bool, scratch: &mut Scratch) -> Result<Outcome> {
        let mut is_changed = false;
        for step in &self.steps {
            scratch.next.clear();
            let text = if is_changed { &scratch.text } else { record };
            if text.first() != Some(&b'{') && !step.takes_all() {
                continue;
            }
            // What a step has written may have any key.
            if !step.may_concern(&Text::new(text, is_plain && !is_changed)) {
                continue;
            }
            // As it is here: what is masked or dropped by now is not shown.
            match step.apply(text, &mut scratch.next).map_err(|error| showing(error, text))? {
                Outcome::Same => {}
                Outcome::Changed => {
                    std::mem::swap(&mut scratch.text, &mut scratch.next);
                    is_changed = true;
                }
                Outcome::Dropped => return Ok(Outcome::Dropped),
            }
        }
        Ok(Outcome::of(is_changed))
    }

    /// Changes the records of a page.
    fn batch(&self, batch: Batch, scratch: &mut Scratch) -> Result<Batch> {
        let is_plain = batch.is_plain();
        let text = Text::new(batch.text(), is_plain);
        if !self.steps.iter().any(|step| step.may_concern(&text)) {
            return Ok(batch);
        }
        let mut edited = None;
        for (index, record) in batch.slices().enumerate() {
            let outcome = self.run(record, is_plain, scratch).map_err(|error| at(error, &batch))?;
            if edited.is_none() && outcome == Outcome::Same {
                continue;
            }
            let edited = edited.get_or_insert_with(|| batch.edited(index));
            match outcome {
                Outcome::Same => edited.push(record)?,
                Outcome::Changed => edited.push(&scratch.text)?,
                Outcome::Dropped => {}
            }
        }
        Ok(match edited {
            None => batch,
            Some(edited) => {
                let is_plain = is_plain && self.steps.iter().all(|step| step.keeps_keys());
                batch.with_records(edited, is_plain)
            }
        })
    }
}

/// Where it happened.
fn at(error: Error, batch: &Batch) -> Error {
    let page = batch.page();
    error.at(|context| {
        context.page = Some(page.number);
        context.position = Some(page.position.to_string());
    })
}

fn showing(error: Error, record: &[u8]) -> Error {
    let excerpt: String = String::from_utf8_lossy(record).chars().take(120).collect();
    error.at(|context| context.excerpt = Some(excerpt.escape_debug().to_string()))
}

fn unreadable(what: String) -> Error {
    Error::new(ErrorKind::Record, what)
}

impl fmt::Debug for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| step.definition())).finish()
    }
}
