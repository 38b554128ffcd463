//! The keys of a document.

use std::borrow::Cow;

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
