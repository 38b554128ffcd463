//! Values that nobody is to see.

use aws_lc_rs::hmac;

use super::tree::{Text, Tree, append_key, as_it_is, edit};
use super::{Outcome, Step};
use crate::error::Result;
use crate::records::object::{Field, text_of};
use crate::request::Secret;

/// A key of HMAC-SHA256.
pub(super) struct Key(hmac::Key);

impl Key {
    pub(super) fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()))
    }

    fn append(&self, value: &[u8], out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let said = text_of(value);
        let tag = hmac::sign(&self.0, said.as_ref().map_or(value, |said| said.as_bytes()));
        out.push(b'"');
        for byte in tag.as_ref() {
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        out.push(b'"');
    }
}

/// See [`Transform::mask`](super::Transform::mask) and [`Transform::redact`](super::Transform::redact).
pub(super) struct Mask {
    tree: Tree,
    key: Option<Key>,
}

impl Mask {
    pub(super) fn new(tree: Tree, key: Option<Key>) -> Self {
        Self { tree, key }
    }

    fn field(&self, field: &Field<'_>, out: &mut Vec<u8>) -> bool {
        if field.value == b"null" {
            return as_it_is(field.text, out);
        }
        append_key(field.key, out);
        self.value(field.value, out);
        true
    }

    fn value(&self, value: &[u8], out: &mut Vec<u8>) {
        match &self.key {
            Some(key) => key.append(value, out),
            None => out.extend_from_slice(b"\"***\""),
        }
    }
}

impl Step for Mask {
    fn definition(&self) -> String {
        format!("{} {}", if self.key.is_some() { "mask" } else { "redact" }, self.tree)
    }

    fn may_concern(&self, text: &Text<'_>) -> bool {
        self.tree.may_begin_in(text)
    }

    fn keeps_keys(&self) -> bool {
        true
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        let at_end = |field: &Field<'_>, out: &mut Vec<u8>| self.field(field, out);
        let too_deep = |value: &[u8], out: &mut Vec<u8>| self.value(value, out);
        Ok(Outcome::of(edit(record, &self.tree, out, &at_end, &too_deep)))
    }
}
