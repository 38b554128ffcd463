//! Records with odd content, and the line that each must become.

use std::fmt::Write;

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// As the server sends it.
    pub(crate) wire: String,
    /// The line up to `"__source"`.
    pub(crate) line: String,
}

impl Item {
    fn same(wire: String) -> Self {
        let inside = wire.strip_suffix('}').unwrap_or_default();
        Self { line: format!("{inside},"), wire }
    }

    fn value(wire: String) -> Self {
        Self { line: format!("{{\"value\":{wire},"), wire }
    }

    fn with(wire: String, line: String) -> Self {
        Self { wire, line }
    }

    /// A record by chance. Each has its id in it, so that no two pages are alike; a `keyed` one has a field
    /// `id` to go on from.
    pub(crate) fn random(random: &mut fastrand::Rng, id: usize, keyed: bool, large: bool) -> Self {
        let pad = if large { 150_000 } else { 3000 };
        let kind = if large && random.bool() { 10 } else { random.u8(0..if keyed { 22 } else { 27 }) };
        match kind {
            0 => Self::same(format!(
                r#"{{"id":{id},"big":123456789012345678901234567890,"price":1.10,"huge":1e999,"zero":-0}}"#
            )),
            1 => Self::same(format!(
                r#"{{"text":"caf\u00e9 \/ \"{id}\" \ud83d\ude00 é","lone":"\ud800","id":{id}}}"#
            )),
            2 => Self::with(
                format!(r#"{{"__source":"web","id":{id}}}"#),
                format!(r#"{{"__source_original":"web","id":{id},"#),
            ),
            3 => Self::with(
                format!(r#"{{"\u005f_source":{{"x":1}},"id":{id},"__ingested_at":null}}"#),
                format!(r#"{{"__source_original":{{"x":1}},"id":{id},"__ingested_at_original":null,"#),
            ),
            4 => Self::same(format!(r#"{{"id":{id},"in":{{"__source":1}},"b":"__source","a":1,"a":2}}"#)),
            5 => Self::with(
                format!(r#"{{ "id" : {id} , "list" : [ ] }}"#),
                format!(r#"{{ "id" : {id} , "list" : [ ],"#),
            ),
            6..=9 => Self::pretty(random, id),
            10 => Self::same(format!(r#"{{"id":{id},"pad":"{}"}}"#, "x".repeat(random.usize(0..pad)))),
            11..=21 => Self::same(format!(r#"{{"id":{id},"n":{}}}"#, random.u64(..))),
            22 => Self::value(id.to_string()),
            23 => Self::value(format!(r#""item {id}""#)),
            24 => Self::with(format!("[{id},\r\n  {{}}]"), format!("{{\"value\":[{id},{{}}],")),
            25 => Self::value(format!("-{id}.50e+1")),
            _ => Self::value(format!("[[\"{id}\"]]")),
        }
    }

    /// An object of a shaped source, with these fields behind its id, which is that of its row.
    pub(crate) fn plain(random: &mut fastrand::Rng, row: usize, fields: &str) -> Self {
        let id = row + 1;
        let odd = match random.u8(0..5) {
            0 => r#""big":123456789012345678901234567890,"price":1.10"#.to_owned(),
            1 => r#""text":"caf\u00e9 \/ \ud83d\ude00 é","list":[ ]"#.to_owned(),
            _ => format!("\"n\":{}", random.u64(..)),
        };
        Self::same(format!(r#"{{"id":{id},{fields}{odd}}}"#))
    }

    /// The same with fields that come to it from elsewhere.
    pub(crate) fn with_copied(mut self, fields: &str) -> Self {
        self.line.push_str(fields);
        self
    }

    fn pretty(random: &mut fastrand::Rng, id: usize) -> Self {
        let (mut wire, mut line) = (format!("{{\n  \"id\": {id}"), format!("{{\"id\": {id}"));
        for field in 0..random.usize(0..4) {
            let _ = write!(wire, ",\n  \"f{field}\": [\n    1,\n    \"a\\nb\"\n  ]");
            let _ = write!(line, ",\"f{field}\": [1,\"a\\nb\"]");
        }
        wire.push_str("\n}");
        line.push(',');
        Self { wire, line }
    }
}
