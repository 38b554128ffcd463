//! The arrays of a document, for an error message.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::page::JsonPath;

const MOST: usize = 20;
const DEEPEST: usize = 6;
const LONGEST_KEY: usize = 256;

/// The paths that hold arrays, with their lengths, for an error message: the first twenty, six levels deep.
pub(crate) fn array_paths(body: &str) -> Vec<(JsonPath, usize)> {
    let mut seen = Vec::new();
    let look = Look { path: JsonPath::default(), seen: &mut seen };
    // What was seen up to a fault is still worth showing.
    let _ = look.deserialize(&mut serde_json::Deserializer::from_str(body));
    seen
}

struct Look<'a> {
    path: JsonPath,
    seen: &'a mut Vec<(JsonPath, usize)>,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        if self.path.segments().len() > DEEPEST || self.seen.len() >= MOST {
            return serde::Deserialize::deserialize(document).map(|_: IgnoredAny| ());
        }
        document.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON document")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            // Nobody names a path like that, and it would be copied for each key below it.
            if key.len() > LONGEST_KEY {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value_seed(Look { path: self.path.child(key), seen: self.seen })?;
        }
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut length = 0;
        while seq.next_element::<IgnoredAny>()?.is_some() {
            length += 1;
        }
        self.seen.push((self.path, length));
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_listed_with_their_lengths() {
        let seen = array_paths(r#"{"data":{"items":[1,2]},"a.b":[],"n":1}"#);
        let seen: Vec<_> = seen.iter().map(|(path, length)| format!("{path} {length}")).collect();
        assert_eq!(seen, ["data.items 2", "/a.b 0"]);
    }
}
