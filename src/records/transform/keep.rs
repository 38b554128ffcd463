//! Fields kept, and all others dropped.

use super::tree::{DEEPEST, Rebuilt, Tree, append_key, as_it_is, or_as_it_is};
use super::{Outcome, Step};
use crate::error::Result;
use crate::records::object::{fields, items};

/// See [`Transform::keep`](super::Transform::keep).
pub(super) struct Keep(pub(super) Tree);

impl Step for Keep {
    fn definition(&self) -> String {
        format!("keep {}", self.0)
    }

    fn keeps_keys(&self) -> bool {
        true
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        Ok(Outcome::of(keep(record, &self.0, out, 0)))
    }
}

/// Appends what is kept of an object or an array; `false`, and nothing appended, if all of it is.
fn keep(value: &[u8], tree: &Tree, out: &mut Vec<u8>, depth: usize) -> bool {
    if value.first() == Some(&b'{') {
        let mut object = Rebuilt::begin(out, b'{');
        for field in fields(value) {
            object.part(|out| match tree.behind(&field) {
                Some(behind) if behind.is_end() => as_it_is(field.text, out),
                Some(behind) if has_parts(field.value) => or_as_it_is(field.text, out, |out| {
                    append_key(field.key, out);
                    keep(field.value, behind, out, depth)
                }),
                _ => true,
            });
        }
        return object.end(b'}');
    }
    let mut array = Rebuilt::begin(out, b'[');
    for item in items(value) {
        let has_parts = has_parts(item) && depth < DEEPEST;
        array.part(|out| !has_parts || or_as_it_is(item, out, |out| keep(item, tree, out, depth + 1)));
    }
    array.end(b']')
}

fn has_parts(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'{' | b'['))
}
