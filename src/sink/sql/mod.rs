//! What tables of all databases have in common: their names, and the keys of their rows.

pub(super) mod typed;

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::page::walk::Plan;
use crate::records::Batch;

/// Stands for the name of the source in the name of a table.
const SOURCE: &str = "{source}";

/// Which table a source has, and by what its rows are told apart.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub(super) template: String,
    key: Vec<String>,
    /// Of sources that have another than the rest.
    keys: BTreeMap<String, Vec<String>>,
}

impl Default for Tables {
    fn default() -> Self {
        Self { template: SOURCE.into(), key: Vec::new(), keys: BTreeMap::new() }
    }
}

impl Tables {
    pub(super) fn set_key(&mut self, key: Vec<String>) {
        self.key = key;
    }

    pub(super) fn set_key_of(&mut self, source: String, key: Vec<String>) {
        self.keys.insert(source, key);
    }

    /// The name of a source's table.
    pub(super) fn name_of(&self, source: &str) -> String {
        self.template.replace(SOURCE, source)
    }

    /// The key of a source's rows; `None` if they are appended.
    pub(super) fn key_of(&self, source: &str) -> Result<Option<Key>> {
        Key::new(self.keys.get(source).unwrap_or(&self.key))
    }

    /// What must not change while a run goes on.
    pub(super) fn definition(&self, database: &str, is_typed: bool) -> String {
        let mode = |key: &[String]| match key {
            [] => "append".to_owned(),
            key => format!("upsert by {key:?}"),
        };
        let of = |(source, key): (&String, &Vec<String>)| format!(", {source:?}: {}", mode(key));
        let keys: String = self.keys.iter().map(of).collect();
        let typed = if is_typed { ", typed" } else { "" };
        format!("{database}{typed}, {}{keys}", mode(&self.key))
    }
}

/// The fields by which the rows of a table are told apart.
#[derive(Debug)]
pub(super) struct Key {
    names: Vec<String>,
    plan: Plan,
}

impl Key {
    fn new(names: &[String]) -> Result<Option<Self>> {
        if names.is_empty() {
            return Ok(None);
        }
        let paths: Vec<JsonPath> = names.iter().map(|name| JsonPath::parse(name)).collect::<Result<_>>()?;
        Ok(Some(Self { names: names.to_vec(), plan: Plan::new(&paths) }))
    }

    /// Appends the key of a record of a page, as [`append`](Self::append) does; an error says which page it is.
    pub(super) fn append_of(&self, batch: &Batch, record: &[u8], out: &mut Vec<u8>) -> Result<()> {
        self.append(record, out).map_err(|error| {
            let page = batch.page();
            error.at(|context| {
                context.page = Some(page.number);
                context.position = Some(page.position.to_string());
            })
        })
    }

    /// Appends the key of a record, as JSON text: the value, or the array of them if there are several.
    ///
    /// Two keys are the same if their texts are; the escapes in strings are undone before, so that one way to write a string is
    /// left. A number keeps its digits: what a double cannot tell apart is told apart here.
    ///
    /// # Errors
    /// `Record` if one is missing, `null`, an object or an array. No value is quoted.
    fn append(&self, record: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let unusable = |what: String| {
            Error::new(ErrorKind::Record, what)
                .advice("give the sink a key that each record has, or none: then rows are appended")
        };
        let text = std::str::from_utf8(record).map_err(|_| unusable("a record is not text".into()))?;
        // A record is valid JSON: what remains is a field that is there twice.
        let twice = |_| unusable(format!("a field of the key {:?} stands twice in a record", self.names));
        let outline = self.plan.walk(text).map_err(twice)?;
        let is_one = self.names.len() == 1;
        if !is_one {
            out.push(b'[');
        }
        for (index, (name, span)) in self.names.iter().zip(outline.captures).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let value = span.map_or("", |span| span.of(text));
            match value.as_bytes() {
                [] | [b'n', ..] => {
                    return Err(unusable(format!("a record has nothing at its key {name:?}")));
                }
                [b'{' | b'[', ..] => {
                    return Err(unusable(format!("a record has an object or an array at its key {name:?}")));
                }
                [b'"', ..] if value.contains('\\') => match serde_json::from_str::<String>(value) {
                    Ok(string) => out.extend_from_slice(&serde_json::to_vec(&string).unwrap_or_default()),
                    // Half a surrogate pair: no other way to write it has a string.
                    Err(_) => out.extend_from_slice(value.as_bytes()),
                },
                value => out.extend_from_slice(value),
            }
        }
        if !is_one {
            out.push(b']');
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(names: &[&str], record: &str) -> Result<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut out = Vec::new();
        Key::new(&names)?.unwrap().append(record.as_bytes(), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn keys_are_equal_only_if_the_values_are() {
        assert_eq!(key(&["id"], r#"{"id": 18446744073709551617}"#).unwrap(), "18446744073709551617");
        assert_eq!(key(&["id"], r#"{"id":"1"}"#).unwrap(), "\"1\"", "a text is no number");
        assert_eq!(key(&["id"], r#"{"id":"\u0061\/"}"#).unwrap(), key(&["id"], r#"{"id":"a/"}"#).unwrap());
        assert_eq!(key(&["a.b", "c"], r#"{"c":true,"a":{"b":"x,y"}}"#).unwrap(), r#"["x,y",true]"#);
        assert_eq!(key(&["id"], r#"{"id":"\ud800"}"#).unwrap(), r#""\ud800""#);
    }

    #[test]
    fn a_record_without_its_key_is_an_error_that_does_not_quote_it() {
        for record in [
            "{}",
            r#"{"id":null,"x":"secret"}"#,
            r#"{"id":["secret"]}"#,
            "7",
            r#"{"id":{}}"#,
            r#"{"id":"secret","id":1}"#,
        ] {
            let error = key(&["id"], record).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Record, "{record}");
            assert!(error.to_string().contains("\"id\"") && !error.to_string().contains("secret"), "{error}");
        }
    }
}
