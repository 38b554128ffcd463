//! Nested fields as fields of the record.

use std::borrow::Cow;
use std::collections::HashMap;

use super::tree::{DEEPEST, Text, append_key};
use super::{Outcome, Step};
use crate::error::{Error, ErrorKind, Result};
use crate::page::splice::quoted;
use crate::records::object::{Field, fields};

/// The number behind the second field of a name.
const FIRST: u64 = 2;
/// So long may a record become, or twice as long as it was.
const LARGEST: usize = 64 * 1024 * 1024;

/// See [`Transform::flatten`](super::Transform::flatten).
pub(super) struct Flatten {
    separator: String,
    levels: usize,
}

impl Flatten {
    pub(super) fn new(separator: &str, levels: usize) -> Self {
        Self { separator: separator.to_owned(), levels: levels.min(DEEPEST) }
    }

    /// Appends the fields of an object whose name is `prefix`. Each may have to repeat a long name: an error if that comes to
    /// more than `most` bytes.
    fn object<'r>(
        &self,
        object: &'r [u8],
        prefix: &mut String,
        level: usize,
        names: &mut Names<'r>,
        out: &mut Vec<u8>,
        most: usize,
    ) -> Result<()> {
        for field in fields(object) {
            if level == 0 && !is_nested(&field) {
                comma(out);
                out.extend_from_slice(field.text);
                continue;
            }
            let before = prefix.len();
            if level > 0 {
                prefix.push_str(&self.separator);
            }
            prefix.push_str(&field.name().unwrap_or_default());
            if is_nested(&field) && level < self.levels {
                self.object(field.value, prefix, level + 1, names, out, most)?;
            } else {
                comma(out);
                append_key(quoted(&names.take(prefix)).as_bytes(), out);
                out.extend_from_slice(field.value);
            }
            prefix.truncate(before);
            // The names are kept, too.
            if out.len() > most {
                let what = format!("flattened, the record comes to more than {most} bytes");
                return Err(Error::new(ErrorKind::TooLarge, what).advice(
                    "its field names are long, and repeated for each field in it: drop that field before",
                ));
            }
        }
        Ok(())
    }
}

/// The names of a record's fields, and of each that was wanted again the next number.
#[derive(Debug, Default)]
struct Names<'r>(HashMap<Cow<'r, str>, u64>);

impl Names<'_> {
    /// The name, or the first of `name_2`, `name_3` … that is not taken; taken from now on.
    fn take(&mut self, name: &str) -> String {
        let Some(next) = self.0.get_mut(name) else {
            self.0.insert(name.to_owned().into(), FIRST);
            return name.to_owned();
        };
        let mut number = *next;
        let numbered = loop {
            let numbered = format!("{name}_{number}");
            number += 1;
            if !self.0.contains_key(numbered.as_str()) {
                break numbered;
            }
        };
        self.0.insert(name.to_owned().into(), number);
        self.0.insert(numbered.clone().into(), FIRST);
        numbered
    }
}

fn comma(out: &mut Vec<u8>) {
    if out.len() > 1 {
        out.push(b',');
    }
}

/// Whether there is anything to take out of it.
fn is_nested(field: &Field<'_>) -> bool {
    let inside = field.value.strip_prefix(b"{");
    inside.is_some_and(|inside| !inside.trim_ascii_start().starts_with(b"}")) && field.name().is_some()
}

impl Step for Flatten {
    fn definition(&self) -> String {
        format!("flatten {:?} {}", self.separator, self.levels)
    }

    fn may_concern(&self, text: &Text<'_>) -> bool {
        text.has_nested_objects()
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        if self.levels == 0 || !fields(record).any(|field| is_nested(&field)) {
            return Ok(Outcome::Same);
        }
        let own = fields(record).filter(|field| !is_nested(field));
        // Room for those of most records.
        let mut names = Names(HashMap::with_capacity(64));
        names.0.extend(own.filter_map(|field| Some((field.name()?, FIRST))));
        let most = LARGEST.max(2 * record.len());
        out.push(b'{');
        self.object(record, &mut String::new(), 0, &mut names, out, most)?;
        out.push(b'}');
        Ok(Outcome::Changed)
    }
}
