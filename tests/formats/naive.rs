//! Readers and writers that know nothing of the library: the slow and plain way.

use serde_json::{Map, Value, json};

/// A table as text: fields in quotes where they must be, and where `quote` says so.
pub(crate) fn table(rows: &[Vec<String>], line_break: &str, mut quote: impl FnMut() -> bool) -> String {
    let mut text = String::new();
    for row in rows {
        for (index, field) in row.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            // A row of one empty field would be an empty line.
            if quote() || field.contains([',', '"', '\n', '\r']) || (row.len() == 1 && field.is_empty()) {
                text += &format!("\"{}\"", field.replace('"', "\"\""));
            } else {
                text += field;
            }
        }
        text += line_break;
    }
    text
}

/// Reads a table by RFC 4180, character by character.
pub(crate) fn read_table(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut any) = (false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => {
                quoted = !quoted;
                any = true;
            }
            _ if quoted => field.push(character),
            ',' => {
                row.push(std::mem::take(&mut field));
                any = true;
            }
            '\r' => {}
            '\n' => {
                if any || !field.is_empty() {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
                any = false;
            }
            _ => field.push(character),
        }
    }
    if any || !field.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

/// The rows as the objects they stand for.
pub(crate) fn objects(rows: &[Vec<String>]) -> Value {
    let Some((header, rows)) = rows.split_first() else { return json!([]) };
    let object = |row: &Vec<String>| -> Value {
        header.iter().cloned().zip(row.iter().cloned().map(Value::from)).collect::<Map<_, _>>().into()
    };
    rows.iter().map(object).collect::<Vec<_>>().into()
}

/// An element.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Tree>,
    /// Before the children, if there are any.
    pub(crate) text: String,
}

impl Tree {
    /// As a document, with what must be escaped escaped, and between its elements what `between` gives.
    pub(crate) fn write(&self, out: &mut String, between: &mut impl FnMut() -> &'static str) {
        out.push('<');
        *out += &self.name;
        for (name, value) in &self.attributes {
            *out += &format!(" {name}=\"{}\"", escaped(value).replace('\n', "&#10;").replace('\t', "&#x9;"));
        }
        if self.children.is_empty() && self.text.is_empty() {
            *out += "/>";
            return;
        }
        out.push('>');
        *out += &escaped(&self.text);
        for child in &self.children {
            // Where there is text, blanks would be a part of it.
            *out += if self.text.trim().is_empty() { between() } else { "<!-- x -->" };
            child.write(out, between);
        }
        *out += &format!("</{}>", self.name);
    }

    /// As the usual mapping has it.
    pub(crate) fn value(&self) -> Value {
        let text = (!self.text.trim().is_empty()).then(|| Value::from(self.text.clone()));
        if self.attributes.is_empty() && self.children.is_empty() {
            return text.unwrap_or(Value::Null);
        }
        let mut object = Map::new();
        for (name, value) in &self.attributes {
            object.insert(format!("@{name}"), value.clone().into());
        }
        for child in &self.children {
            if object.contains_key(&child.name) {
                continue;
            }
            let same: Vec<Value> =
                self.children.iter().filter(|other| other.name == child.name).map(Tree::value).collect();
            let value = if same.len() == 1 { same[0].clone() } else { same.into() };
            object.insert(child.name.clone(), value);
        }
        if let Some(text) = text {
            object.insert("#text".to_owned(), text);
        }
        object.into()
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\r', "&#13;")
}
