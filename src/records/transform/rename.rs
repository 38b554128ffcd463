//! A field with another name.

use std::borrow::Cow;

use super::tree::{DEEPEST, Rebuilt, Tree, append_key, as_it_is, or_as_it_is};
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
        let is_renamed = |field: &Field<'_>| tree.behind(field).is_some_and(Tree::is_end);
        let is_here = tree.has_ends() && fields(value).any(|field| is_renamed(&field));
        // A name that is the old one too stays where it is.
        let is_in_the_way = |field: &Field<'_>| {
            is_here && !is_renamed(field) && field.name().is_some_and(|name| *name == *self.name)
        };
        let mut object = Rebuilt::begin(out, b'{');
        for field in fields(value) {
            object.part(|out| {
                if is_renamed(&field) {
                    append_key(self.key.as_bytes(), out);
                    out.extend_from_slice(field.value);
                    return field.name().is_none_or(|name| *name != *self.name);
                }
                if is_in_the_way(&field) {
                    let taken: Vec<Cow<'_, str>> = fields(value).filter_map(|field| field.name()).collect();
                    let name = free(&self.name, |name| taken.iter().any(|taken| taken == name));
                    append_key(quoted(&name).as_bytes(), out);
                    out.extend_from_slice(field.value);
                    return true;
                }
                match tree.behind(&field) {
                    Some(behind) => or_as_it_is(field.text, out, |out| {
                        append_key(field.key, out);
                        self.value(field.value, behind, out, depth)
                    }),
                    None => as_it_is(field.text, out),
                }
            });
        }
        object.end(b'}')
    }
}

impl Step for Rename {
    fn definition(&self) -> String {
        format!("rename {} {:?}", self.tree, self.name)
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        Ok(Outcome::of(self.value(record, &self.tree, out, 0)))
    }
}
