//! Paths into a JSON document: dotted, or as a JSON Pointer.

use std::fmt;

use crate::error::{Error, Result};

/// A path into a JSON document.
///
/// Three spellings:
/// - `""`: the document itself;
/// - `"data.items"`: dotted; a segment that meets an array is an index into it;
/// - `"/data/items"`: a JSON Pointer (RFC 6901), for keys with a dot in them (`/a.b`, `~1` for `/`, `~0`
///   for `~`).
///
/// ```
/// use headwater::JsonPath;
/// assert_eq!(JsonPath::parse("data.items")?, JsonPath::parse("/data/items")?);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct JsonPath(Vec<String>);

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// `Config` if a dotted path has an empty segment, or a pointer has a `~` that is not `~0` or `~1`.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Some(pointer) = text.strip_prefix('/') {
            return pointer
                .split('/')
                .map(|segment| unescape(segment, text))
                .collect::<Result<_>>()
                .map(Self);
        }
        if text.split('.').any(str::is_empty) {
            return Err(Error::config(format!("the path {text:?} has an empty segment"))
                .advice("write a key with a dot in it as a JSON Pointer: \"/a.b/items\""));
        }
        Ok(Self(text.split('.').map(str::to_owned).collect()))
    }

    /// The keys and indices from the document down.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// A path of these segments.
    pub(crate) fn of(segments: &[String]) -> Self {
        Self(segments.to_vec())
    }

    /// The path one level down.
    pub(crate) fn child(&self, segment: impl Into<String>) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.into());
        Self(segments)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |segment: &String| !segment.is_empty() && !segment.contains(['.', '/', '~']);
        if self.0.iter().all(plain) {
            return f.write_str(&self.0.join("."));
        }
        for segment in &self.0 {
            write!(f, "/{}", segment.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

fn unescape(segment: &str, whole: &str) -> Result<String> {
    let mut out = String::with_capacity(segment.len());
    let mut parts = segment.split('~');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.as_bytes().first() {
            Some(b'0') => out.push('~'),
            Some(b'1') => out.push('/'),
            _ => return Err(Error::config(format!("the JSON Pointer {whole:?} has a stray \"~\""))),
        }
        out.push_str(&part[1..]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_as_it_can_be_written() {
        for text in ["", "data", "data.items", "data.0.items", "/a.b/c", "/a~1b", "/a~0b", "/"] {
            assert_eq!(JsonPath::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(JsonPath::parse("/a~1b~0").unwrap().segments(), ["a/b~"]);
    }

    #[test]
    fn a_path_that_cannot_be_meant_is_refused() {
        for text in ["a..b", ".a", "a.", "/a~2"] {
            assert!(JsonPath::parse(text).is_err(), "{text}");
        }
    }
}
