//! Folders by what records hold.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::finals::Shape;

/// Where records go that have no such value, as Hive has it.
const DEFAULT: &str = "__HIVE_DEFAULT_PARTITION__";
/// A file system allows 255 bytes for a folder with its `name=`.
const LONGEST: usize = 180;

/// Folders that files are put in, `name=value`, as Hive has them; DuckDB, Spark, Polars and pyarrow read the value back
/// as a column.
///
/// In a value, what no folder may be called everywhere is written `%2F`. Records without the value, with one that is
/// `null`, an object or an array, or with one of more than 180 bytes go to `name=__HIVE_DEFAULT_PARTITION__`.
///
/// ```
/// use headwater::sink::{Jsonl, Partition};
/// // out/source=orders/country=DE/orders_20260517T100000Z_00001.jsonl
/// let sink = Jsonl::dir("out").partition_by(Partition::source()).partition_by(Partition::field("customer.country"));
/// ```
#[derive(Debug, Clone)]
pub struct Partition {
    name: String,
    by: By,
}

#[derive(Debug, Clone)]
enum By {
    Source,
    Ingestion,
    Field { path: Vec<String>, is_date: bool },
}

impl Partition {
    /// One folder for each source: `source=orders`.
    pub fn source() -> Self {
        Self { name: "source".into(), by: By::Source }
    }

    /// One folder for each day (UTC) that records were fetched on: `date=2026-05-17`.
    pub fn date() -> Self {
        Self { name: "date".into(), by: By::Ingestion }
    }

    /// One folder for each value of a field, by its dotted path: `country=DE` for `customer.country`. For fields of few
    /// values: each has a file of its own.
    pub fn field(path: &str) -> Self {
        Self::by(path, false)
    }

    /// One folder for each day that a field holds, by its dotted path: `created_at=2026-05-17`. The day is what the value
    /// begins with, as it stands there.
    pub fn date_of(path: &str) -> Self {
        Self::by(path, true)
    }

    fn by(path: &str, is_date: bool) -> Self {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        Self { name: path.last().cloned().unwrap_or_default(), by: By::Field { path, is_date } }
    }

    /// Sets what stands before the `=`; by default the last part of the path, `date` or `source`.
    #[must_use]
    pub fn called(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    pub(super) fn is_by_source(&self) -> bool {
        matches!(self.by, By::Source)
    }

    pub(super) fn is_by_field(&self) -> bool {
        matches!(self.by, By::Field { .. })
    }

    /// The folder of a record.
    pub(super) fn folder(&self, source: &str, date: &str, record: &[u8]) -> String {
        let value: Option<Cow<'_, str>> = match &self.by {
            By::Source => Some(source.into()),
            By::Ingestion => Some(date.into()),
            By::Field { path, is_date: false } => value_at(record, path),
            By::Field { path, is_date: true } => value_at(record, path).and_then(day),
        };
        let value = value.filter(|value| !value.is_empty()).map(|value| escaped(&value));
        let value = value.filter(|value| value.len() <= LONGEST).unwrap_or_else(|| DEFAULT.to_owned());
        format!("{}={value}", self.shown_name())
    }

    fn shown_name(&self) -> String {
        escaped(&self.name).chars().take(64).collect()
    }

    /// What its folders are called, as far as the source says.
    pub(super) fn shape(&self, source: &str) -> Shape {
        match self.by {
            By::Source => Shape::default().and(&self.folder(source, "", b"")),
            _ => Shape::of_values(&self.shown_name()),
        }
    }
}

/// `2026-05-17`, if a value begins with one.
fn day(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let day = value.get(..10)?;
    let shape: String = day.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (shape == "0000-00-00").then(|| day.to_owned().into())
}

/// Hive escapes what is special to it, to a path or to a shell; everything else stays.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '}' | '[' | ']' | '^'
            | '<' | '>' | '|' => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// The value at a path of a record, as text: of a string what it says, of a number its digits.
fn value_at<'a>(record: &'a [u8], path: &[String]) -> Option<Cow<'a, str>> {
    let mut value: &RawValue = serde_json::from_slice(record).ok()?;
    for name in path {
        value = field_of(value, name)?;
    }
    match value.get().as_bytes().first()? {
        b'"' => serde_json::from_str(value.get()).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(value.get().into()),
    }
}

/// The value of a name in an object; of several, the last.
fn field_of<'a>(object: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    struct Field<'n>(&'n str);

    impl<'de> Visitor<'de> for Field<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<Cow<'de, str>>()? {
                if key == self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    serde_json::Deserializer::from_str(object.get()).deserialize_map(Field(name)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(partition: &Partition, record: &str) -> String {
        partition.folder("s", "2026-05-17", record.as_bytes())
    }

    #[test]
    fn no_value_leaves_its_folder() {
        let by = Partition::field("a.b");
        for (record, expected) in [
            (r#"{"a":{"b":"DE"}}"#, "b=DE"),
            (r#"{"a":{"b":"../../etc/passwd"}}"#, "b=..%2F..%2Fetc%2Fpasswd"),
            (r#"{"a":{"b":"..\\x\u0000:"}}"#, "b=..%5Cx%00%3A"),
            (r#"{"a":{"b":"50%=x"}}"#, "b=50%25%3Dx"),
            (r#"{"a":{"b":"Zürich"}}"#, "b=Zürich"),
            (r#"{"a":{"b":12345678901234567890.10}}"#, "b=12345678901234567890.10"),
            (r#"{"a":{"b":true,"b":false}}"#, "b=false"),
            (r#"{"a":{"\u0062":1}}"#, "b=1"),
            (r#"{"a":{"b":null}}"#, "b=__HIVE_DEFAULT_PARTITION__"),
            (r#"{"a":{"b":""}}"#, "b=__HIVE_DEFAULT_PARTITION__"),
            (r#"{"a":{"b":[1]}}"#, "b=__HIVE_DEFAULT_PARTITION__"),
            (r#"{"a":7}"#, "b=__HIVE_DEFAULT_PARTITION__"),
            ("7", "b=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(folder(&by, record), expected, "{record}");
        }
        let long = format!(r#"{{"a":{{"b":"{}"}}}}"#, "/".repeat(100));
        assert_eq!(folder(&by, &long), "b=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder(&Partition::field("x").called("../y"), r#"{"x":1}"#), "..%2Fy=1");
    }

    #[test]
    fn days_are_those_of_the_fetch_or_of_a_field() {
        assert_eq!(folder(&Partition::date(), "{}"), "date=2026-05-17");
        assert_eq!(folder(&Partition::source(), "{}"), "source=s");
        let by = Partition::date_of("at");
        assert_eq!(folder(&by, r#"{"at":"2025-01-02T03:04:05Z"}"#), "at=2025-01-02");
        assert_eq!(folder(&by, r#"{"at":"yesterday it was"}"#), "at=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(folder(&by, r#"{"at":1779012000}"#), "at=__HIVE_DEFAULT_PARTITION__");
    }
}
