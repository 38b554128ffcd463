//! A field with another name.

use std::borrow::Cow;
use std::collections::HashSet;

use super::tree::{DEEPEST, Rebuilt, Text, Tree, append_key, as_it_is, or_as_it_is};
use super::{Outcome, Step};
use crate::error::Result;
use crate::page::splice::{free, quoted};
use crate::records::object::{Field, fields, items};

/// See [`Transform::rename`](super::Transform::rename).
pub(super) struct Rename {
    tree: Tree,
    name: String,
    /// With quotes.
    key: String,
}

impl Rename {
    pub(super) fn new(tree: Tree, name: &str) -> Self {
        Self { tree, name: name.to_owned(), key: quoted(name) }
    }

    fn value(&self, value: &[u8], tree: &Tree, out: &mut Vec<u8>, depth: usize) -> bool {
        match value.first() {
            Some(b'{') => self.object(value, tree, out, depth),
            Some(b'[') if depth < DEEPEST => {
                let mut array = Rebuilt::begin(out, b'[');
                for item in items(value) {
                    array.part(|out| or_as_it_is(item, out, |out| self.value(item, tree, out, depth + 1)));
                }
                array.end(b']')
            }
            _ => false,
        }
    }

    fn object(&self, value: &[u8], tree: &Tree, out: &mut Vec<u8>, depth: usize) -> bool {
        // Of one that is in the way, if a field is renamed here. There may be a million of it.
        let mut other_key: Option<Option<String>> = None;
        let mut object = Rebuilt::begin(out, b'{');
        for field in fields(value) {
            let behind = tree.behind(&field);
            // A name that is the old one too stays where it is.
            let is_renamed = behind.is_some_and(Tree::is_end);
            if !is_renamed && field.is(&self.name) {
                let other_key = other_key.get_or_insert_with(|| self.other_key(value, tree));
                if let Some(key) = other_key {
                    object.part(|out| {
                        append_key(key.as_bytes(), out);
                        out.extend_from_slice(field.value);
                        true
                    });
                    continue;
                }
            }
            object.part(|out| match behind {
                Some(behind) if behind.is_end() => {
                    append_key(self.key.as_bytes(), out);
                    out.extend_from_slice(field.value);
                    !field.is(&self.name)
                }
                Some(behind) => or_as_it_is(field.text, out, |out| {
                    append_key(field.key, out);
                    self.value(field.value, behind, out, depth)
                }),
                None => as_it_is(field.text, out),
            });
        }
        object.end(b'}')
    }

    /// The key that a field of the new name gets, with quotes; `None` if no field of the object is renamed.
    fn other_key(&self, object: &[u8], tree: &Tree) -> Option<String> {
        let is_renamed = |field: &Field<'_>| tree.behind(field).is_some_and(Tree::is_end);
        fields(object).any(|field| is_renamed(&field)).then(|| {
            let taken: HashSet<Cow<'_, str>> = fields(object).filter_map(|field| field.name()).collect();
            quoted(&free(&self.name, |name| taken.contains(name)))
        })
    }
}

impl Step for Rename {
    fn definition(&self) -> String {
        format!("rename {} {:?}", self.tree, self.name)
    }

    fn may_concern(&self, text: &Text<'_>) -> bool {
        self.tree.may_begin_in(text)
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        Ok(Outcome::of(self.value(record, &self.tree, out, 0)))
    }
}
