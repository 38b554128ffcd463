//! Columns: their names, their types, and what they hold.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of the column that says which source a row is from.
pub const SOURCE: &str = "__source";
/// The name of the column that says when the page of a row was complete.
pub const INGESTED_AT: &str = "__ingested_at";

/// What a column holds. Any column may hold a null, unless it is [required](Column::is_required).
///
/// | type | what fits |
/// |---|---|
/// | `Bool` | `true`, `false` |
/// | `Int64` | numbers whose value is whole and within 64 bits: `7`, `1.0`, `1e3`; not `1.5`, not 2⁶³ |
/// | `Float64` | numbers that a double gives back: its shortest text is the same decimal value. `0.1`; not `0.1234567890123456789`, not `1e400` |
/// | `Decimal` | numbers with at most `scale` digits behind the point and `precision - scale` before it; the same as a string, for money is often sent so |
/// | `Text` | strings; numbers and booleans, as their text |
/// | `Timestamp` | strings by RFC 3339, with an offset and at most microseconds; kept in UTC |
/// | `Date` | strings `2026-05-17` |
/// | `Json` | everything, as JSON text |
///
/// Nothing is rounded to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ColumnType {
    /// `true` or `false`.
    Bool,
    /// Whole numbers of 64 bits, signed.
    Int64,
    /// Doubles of IEEE 754.
    Float64,
    /// Decimal numbers of a fixed size.
    Decimal {
        /// How many digits there are, 1 to 76.
        precision: u8,
        /// How many of them stand behind the point.
        scale: u8,
    },
    /// Unicode text.
    Text,
    /// Points in time: UTC, microseconds.
    Timestamp,
    /// Days.
    Date,
    /// JSON text.
    Json,
}

impl ColumnType {
    /// The most digits that a decimal may have.
    pub const MOST_DIGITS: u8 = 76;
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Date => f.write_str("date"),
            Self::Json => f.write_str("json"),
        }
    }
}

/// Where the values of a column come from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// From the field of the same name.
    #[default]
    Named,
    /// From a field of another name.
    Field(String),
    /// The values that did not fit the column of this index, as text: a string as it is, anything else as JSON text.
    MisfitsOf(usize),
    /// The source.
    Source,
    /// When the page was complete.
    IngestedAt,
}

impl Content {
    fn is_named(&self) -> bool {
        *self == Self::Named
    }
}

/// A column of a [`Schema`](super::Schema).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) column_type: ColumnType,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) required: bool,
    #[serde(default, skip_serializing_if = "Content::is_named")]
    pub(super) content: Content,
}

impl Column {
    pub(super) fn new(name: impl Into<String>, column_type: ColumnType, content: Content) -> Self {
        Self { name: name.into(), column_type, required: false, content }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds.
    pub fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// Whether it never holds a null.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Where its values come from.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// The field of a record that it takes, if it takes one.
    pub fn field(&self) -> Option<&str> {
        match &self.content {
            Content::Named => Some(&self.name),
            Content::Field(field) => Some(field),
            _ => None,
        }
    }
}
