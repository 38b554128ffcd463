//! Nested fields as fields of the record.

use std::collections::HashSet;

use super::tree::{DEEPEST, append_key};
use super::{Outcome, Step};
use crate::error::Result;
use crate::page::splice::quoted;
use crate::records::object::{Field, fields};

/// See [`Transform::flatten`](super::Transform::flatten).
pub(super) struct Flatten {
    separator: String,
    levels: usize,
}

impl Flatten {
    pub(super) fn new(separator: &str, levels: usize) -> Self {
        Self { separator: separator.to_owned(), levels: levels.min(DEEPEST) }
    }

    fn object(
        &self,
        object: &[u8],
        prefix: &str,
        level: usize,
        taken: &mut HashSet<String>,
        out: &mut Vec<u8>,
    ) {
        for field in fields(object) {
            if level == 0 && !is_nested(&field) {
                comma(out);
                out.extend_from_slice(field.text);
                continue;
            }
            let name = field.name().unwrap_or_default();
            let name =
                if level == 0 { name.into_owned() } else { format!("{prefix}{}{name}", self.separator) };
            if is_nested(&field) && level < self.levels {
                self.object(field.value, &name, level + 1, taken, out);
                continue;
            }
            comma(out);
            append_key(quoted(&free(name, taken)).as_bytes(), out);
            out.extend_from_slice(field.value);
        }
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

/// The name, or the first of `name_2`, `name_3` … that is not taken; taken from now on.
fn free(name: String, taken: &mut HashSet<String>) -> String {
    if taken.insert(name.clone()) {
        return name;
    }
    let numbered = (2_u64..).map(|number| format!("{name}_{number}")).find(|name| !taken.contains(name));
    let name = numbered.unwrap_or(name);
    taken.insert(name.clone());
    name
}

impl Step for Flatten {
    fn definition(&self) -> String {
        format!("flatten {:?} {}", self.separator, self.levels)
    }

    fn apply(&self, record: &[u8], out: &mut Vec<u8>) -> Result<Outcome> {
        if self.levels == 0 || !fields(record).any(|field| is_nested(&field)) {
            return Ok(Outcome::Same);
        }
        let own = fields(record).filter(|field| !is_nested(field));
        let mut taken = own.filter_map(|field| field.name().map(|name| name.into_owned())).collect();
        out.push(b'{');
        self.object(record, "", 0, &mut taken, out);
        out.push(b'}');
        Ok(Outcome::Changed)
    }
}
