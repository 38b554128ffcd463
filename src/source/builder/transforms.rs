//! What is done to the records on their way.
//!
//! The steps are a part of the definition of the source, in the order in which they are given: a run that was broken off
//! does not go on with others. Cursors, incremental marks and the guards against circles read the records as they came.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SourceBuilder;
use crate::records::Transform;
use crate::request::Secret;

impl SourceBuilder {
    /// Keeps these fields, and drops all others; see [`Transform::keep`].
    ///
    /// ```
    /// use headwater::{Secret, Source, paginate::LinkHeader};
    ///
    /// let issues = Source::get("issues", "https://api.github.com/repos/rust-lang/rust/issues")
    ///     .records("")
    ///     .paginate(LinkHeader::new())
    ///     .keep(["id", "title", "user.login", "user.email"])
    ///     .mask(["user.email"], &Secret::new("a key of your own"))
    ///     .flatten("_")
    ///     .build()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn keep(self, fields: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.transformed(|steps| steps.keep(fields))
    }

    /// Drops these fields; see [`Transform::drop_fields`].
    pub fn drop_fields(self, fields: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.transformed(|steps| steps.drop_fields(fields))
    }

    /// Gives a field another name; see [`Transform::rename`].
    pub fn rename(self, field: &str, name: &str) -> Self {
        self.transformed(|steps| steps.rename(field, name))
    }

    /// Turns fields of nested objects into fields of the record; see [`Transform::flatten`].
    pub fn flatten(self, separator: &str) -> Self {
        self.transformed(|steps| steps.flatten(separator))
    }

    /// Replaces values by their keyed hash; see [`Transform::mask`].
    pub fn mask(self, fields: impl IntoIterator<Item = impl AsRef<str>>, key: &Secret) -> Self {
        self.transformed(|steps| steps.mask(fields, key))
    }

    /// Replaces values by `"***"`; see [`Transform::redact`].
    pub fn redact(self, fields: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.transformed(|steps| steps.redact(fields))
    }

    /// Reads each record as a type of one's own, and writes what the closure makes of it; see [`Transform::map`].
    pub fn map<T, U>(self, name: &str, map: impl Fn(T) -> Option<U> + Send + Sync + 'static) -> Self
    where
        T: DeserializeOwned + 'static,
        U: Serialize + 'static,
    {
        self.transformed(|steps| steps.map(name, map))
    }

    /// Does all the steps of a [`Transform`], behind those that were given before.
    pub fn transform(self, transform: Transform) -> Self {
        self.transformed(|steps| steps.then(transform))
    }

    fn transformed(mut self, add: impl FnOnce(Transform) -> Transform) -> Self {
        self.transform = add(std::mem::take(&mut self.transform));
        self
    }
}
