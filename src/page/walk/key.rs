//! The keys of a document, read without keeping them.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer};
use serde_json::value::RawValue;

use super::plan::Node;

/// Whether a key of an element is not the name of a child.
pub(super) fn is_about_element(key: &str) -> bool {
    key.starts_with("\"@") || key == "\"#text\""
}

/// The name that a key stands for. A key with a lone surrogate in it is allowed (RFC 8259 §8.2), and stands for
/// itself.
pub(super) fn decoded(raw: &str) -> Cow<'_, str> {
    let plain = &raw[1..raw.len() - 1];
    if plain.contains('\\') {
        serde_json::from_str(raw).map_or(Cow::Borrowed(raw), Cow::Owned)
    } else {
        Cow::Borrowed(plain)
    }
}

/// Reads a key without keeping it: the child that it names, if any, and its text.
pub(super) struct Key<'a>(pub(super) &'a [(String, Node)]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = (Option<usize>, &'de str);

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        // As it stands: read as bytes it could hold control characters, which JSON does not allow.
        let raw = <&RawValue as serde::Deserialize>::deserialize(key)?.get();
        let name = decoded(raw);
        Ok((self.0.iter().position(|(other, _)| *other == name), raw))
    }
}
