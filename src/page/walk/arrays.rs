//! The arrays of a document, for an error message.

use super::key::decoded;
use super::scan::{Scanned, Scanner};
use crate::page::JsonPath;

const MOST: usize = 20;
const DEEPEST: usize = 6;
const LONGEST_KEY: usize = 256;

/// The paths that hold arrays, with their lengths, for an error message: the first twenty, six levels deep.
pub(crate) fn array_paths(body: &str) -> Vec<(JsonPath, usize)> {
    let mut seen = Vec::new();
    // What was seen up to a fault is still worth showing.
    let _ = look(&mut Scanner::new(body), JsonPath::default(), &mut seen);
    seen
}

fn look(text: &mut Scanner<'_>, path: JsonPath, seen: &mut Vec<(JsonPath, usize)>) -> Scanned<()> {
    match text.peek()? {
        _ if path.segments().len() > DEEPEST || seen.len() >= MOST => text.skip(),
        b'{' => {
            let mut more = text.enter(b'}')?;
            while more {
                let key = decoded(text.key()?);
                // Nobody names a path like that, and it would be copied for each key below it.
                match key.len() > LONGEST_KEY {
                    true => text.skip()?,
                    false => look(text, path.child(key.into_owned()), seen)?,
                }
                more = text.more(b'}')?;
            }
            Ok(())
        }
        b'[' => {
            let (mut length, mut more) = (0, text.enter(b']')?);
            while more {
                text.skip()?;
                length += 1;
                more = text.more(b']')?;
            }
            seen.push((path, length));
            Ok(())
        }
        _ => text.skip(),
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
