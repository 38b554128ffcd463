//! From records to typed rows: columns, how they are found, and what happens to what does not fit.
//!
//! A typed sink, a table or a CSV file, needs columns. They are declared, or inferred over a sample: the first 1,000 records,
//! never the first alone. A column is a top-level field of the records; what is nested stays JSON text.
//!
//! - [`Schema`]: the columns in their order. It only ever grows, at its end, and is kept in the checkpoint.
//! - [`Schemas`]: what a user tells a sink: declared schemas, and a [`Contract`] for each source.
//! - [`Conformer`]: what a sink uses for each source: batches in, [`Chunk`]s of rows, new columns and rejected records out.
//!
//! **A number is never changed.** One that its column does not hold, digit by digit, does not fit: 2⁶³, 1e400,
//! 0.1234567890123456789 as a double. [`ColumnType`] says what fits; [`Contract`] what then happens.
//!
//! `__source` and `__ingested_at` are columns like the others. They stand behind the fields that were known at first; fields that appear
//! later stand behind them. A record's own field of such a name is the column `__source_original`. A record that is no object is
//! taken as `{"value": …}`. Of a key that comes twice, the last value counts.
//!
//! Everything here is pure: no I/O, no clock.

mod cell;
mod chunk;
mod column;
mod conform;
mod fields;
mod infer;
mod jsonb;
mod layout;
mod names;
mod number;
mod row;
mod rules;
mod time;

use serde::{Deserialize, Serialize};

pub use cell::Cell;
pub use chunk::{Chunk, Rejected};
pub use column::{Column, ColumnType, Content, INGESTED_AT, SOURCE};
pub use conform::{Chunks, Conformer, SchemaState};
pub use rules::{Contract, Limits, Schemas};

use crate::error::{Error, Result};

/// The columns of a table, in their order.
///
/// It serialises to a short JSON form, for the checkpoint and for files of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    columns: Vec<Column>,
}

impl Schema {
    /// Declares a schema.
    ///
    /// ```
    /// use headwater::schema::{ColumnType, Schema};
    /// let schema = Schema::builder()
    ///     .required("id", ColumnType::Int64)
    ///     .column("name", ColumnType::Text)
    ///     .build()?;
    /// let names: Vec<_> = schema.columns().iter().map(|column| column.name()).collect();
    /// assert_eq!(names, ["id", "name", "__source", "__ingested_at"]);
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn builder() -> SchemaBuilder {
        SchemaBuilder { columns: Vec::new() }
    }

    /// Infers a schema from records, as JSON text. A field that has only nulls becomes no column.
    ///
    /// ```
    /// use headwater::schema::{ColumnType, Schema};
    /// let schema = Schema::infer([r#"{"id": 1, "score": 1}"#, r#"{"id": 2, "score": 1.5, "tags": []}"#]);
    /// assert_eq!(schema.column("score").unwrap().column_type(), ColumnType::Float64);
    /// assert_eq!(schema.column("tags").unwrap().column_type(), ColumnType::Json);
    /// ```
    pub fn infer<'a>(records: impl IntoIterator<Item = &'a str>) -> Self {
        let mut sample = infer::Sample::default();
        for record in records {
            sample.see_record(record.trim_ascii(), true, usize::MAX, usize::MAX);
        }
        let mut layout = layout::Layout::new(Self { columns: Vec::new() });
        layout.infer(&sample, false, &Limits::default());
        layout.schema
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Where the column of this name stands.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// Declares a [`Schema`], column by column.
#[derive(Debug, Clone)]
#[must_use]
pub struct SchemaBuilder {
    columns: Vec<Column>,
}

impl SchemaBuilder {
    /// Adds a column for the field of this name, which may hold nulls.
    pub fn column(mut self, name: impl Into<String>, column_type: ColumnType) -> Self {
        self.columns.push(Column::new(name, column_type, Content::Named));
        self
    }

    /// Adds a column for the field of this name, which holds no nulls.
    pub fn required(mut self, name: impl Into<String>, column_type: ColumnType) -> Self {
        self.columns.push(Column { required: true, ..Column::new(name, column_type, Content::Named) });
        self
    }

    /// Takes the values of the column that was added last from a field of another name.
    pub fn from_field(mut self, field: impl Into<String>) -> Self {
        if let Some(column) = self.columns.last_mut() {
            column.content = Content::Field(field.into());
        }
        self
    }

    /// Checks it, and adds `__source` and `__ingested_at`.
    ///
    /// # Errors
    /// `Config` if a name is empty, taken (in another case, too) or one of those two; if two columns have the same field; if a
    /// decimal has no digits, more than 76, or fewer than stand behind its point.
    pub fn build(self) -> Result<Schema> {
        let mut names = names::Names::default();
        let mut fields = std::collections::HashSet::new();
        for column in &self.columns {
            let name = &column.name;
            if name.is_empty() || [SOURCE, INGESTED_AT].iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
                return Err(Error::config(format!("a column cannot be called {name:?}"))
                    .advice("`__source` and `__ingested_at` are added to each schema"));
            }
            if !names.take(name) || !fields.insert(column.field()) {
                return Err(Error::config(format!("the column {name:?} is declared twice, or its field is")));
            }
            if let ColumnType::Decimal { precision, scale } = column.column_type
                && (precision == 0 || precision > ColumnType::MOST_DIGITS || scale > precision)
            {
                let what = format!("the column {name:?} cannot be a {}", column.column_type);
                return Err(
                    Error::config(what).advice("1 to 76 digits, of which some may stand behind the point")
                );
            }
        }
        let mut layout = layout::Layout::new(Schema { columns: self.columns });
        layout.add_ours();
        Ok(layout.schema)
    }
}
