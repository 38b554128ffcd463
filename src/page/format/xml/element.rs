//! An element that is being read, and the JSON it turns into.

use std::collections::HashMap;

use super::super::text::too_large;
use super::{is_blank, not_in_format};
use crate::error::Result;

/// How much a child's or an attribute's name costs while its element is open, besides its text.
const FIELD_BYTES: usize = 128;
/// So many names are looked through one by one.
const FEW: usize = 16;

/// How much may be written and held.
pub(super) struct Room {
    cap: usize,
    used: usize,
}

impl Room {
    pub(super) fn new(cap: usize) -> Self {
        Self { cap, used: 0 }
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        self.used = self.used.saturating_add(bytes);
        if self.used > self.cap { Err(too_large(self.cap)) } else { Ok(()) }
    }

    fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }
}

pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    fields: Vec<Field>,
    /// Where the fields are, once there are many.
    index: HashMap<String, usize>,
}

/// An attribute, or all children of one name.
struct Field {
    name: String,
    /// The values so far, between commas.
    json: Vec<u8>,
    count: usize,
}

impl Element {
    pub(super) fn new(name: String) -> Self {
        Self { name, text: String::new(), fields: Vec::new(), index: HashMap::new() }
    }

    pub(super) fn attribute(&mut self, name: &str, value: &str, room: &mut Room) -> Result<()> {
        let json = quoted(value);
        room.take(json.len())?;
        let field = self.field(format!("@{name}"), room)?;
        if field.count > 0 {
            return Err(not_in_format(format!("the attribute {name:.100} is there twice")));
        }
        field.push(json);
        Ok(())
    }

    pub(super) fn child(&mut self, name: &str, json: Vec<u8>, room: &mut Room) -> Result<()> {
        room.take(1)?;
        self.field(name.to_owned(), room)?.push(json);
        Ok(())
    }

    fn field(&mut self, name: String, room: &mut Room) -> Result<&mut Field> {
        let found = if self.index.is_empty() {
            self.fields.iter().position(|field| field.name == name)
        } else {
            self.index.get(&name).copied()
        };
        let at = match found {
            Some(at) => at,
            None => {
                room.take(FIELD_BYTES + 2 * name.len())?;
                self.fields.push(Field { name: name.clone(), json: Vec::new(), count: 0 });
                if !self.index.is_empty() {
                    self.index.insert(name, self.fields.len() - 1);
                } else if self.fields.len() > FEW {
                    let names = self.fields.iter().map(|field| field.name.clone());
                    self.index = names.zip(0..).collect();
                }
                self.fields.len() - 1
            }
        };
        Ok(&mut self.fields[at])
    }

    /// The element as JSON; what it was made of is given back.
    pub(super) fn close(self, room: &mut Room) -> Result<Vec<u8>> {
        let text = if self.text.trim_matches(is_blank).is_empty() { None } else { Some(quoted(&self.text)) };
        if self.fields.is_empty() {
            let json = text.unwrap_or_else(|| b"null".to_vec());
            room.take(json.len())?;
            return Ok(json);
        }
        let mut json = Vec::with_capacity(self.fields.iter().map(|field| field.json.len() + 32).sum());
        for field in self.fields {
            room.give_back(FIELD_BYTES + 2 * field.name.len());
            room.take(field.name.len() + 4)?;
            json.push(if json.is_empty() { b'{' } else { b',' });
            json.append(&mut quoted(&field.name));
            json.push(b':');
            if field.count > 1 {
                json.push(b'[');
            }
            json.extend_from_slice(&field.json);
            if field.count > 1 {
                json.push(b']');
            }
        }
        if let Some(mut text) = text {
            room.take(text.len() + 9)?;
            json.extend_from_slice(b",\"#text\":");
            json.append(&mut text);
        }
        json.push(b'}');
        Ok(json)
    }
}

impl Field {
    fn push(&mut self, json: Vec<u8>) {
        self.count += 1;
        if self.count == 1 {
            self.json = json;
        } else {
            self.json.push(b',');
            self.json.extend_from_slice(&json);
        }
    }
}

fn quoted(text: &str) -> Vec<u8> {
    // A string always has a JSON form.
    serde_json::to_vec(text).unwrap_or_default()
}
