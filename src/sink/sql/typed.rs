//! What typed rows in the tables of all databases have in common.
//!
//! The columns of a source are kept in the database, in the transaction of the first rows that have them, and not in the
//! checkpoint: so a checkpoint that is older than the table, for it is in another store, goes on with the columns that are there.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::schema::{Conformer, Schema, SchemaState};

/// What a checkpoint keeps of typed rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sink) struct Counts {
    pub(in crate::sink) rejected: u64,
    #[serde(default)]
    pub(in crate::sink) nulled: u64,
}

impl Counts {
    pub(in crate::sink) fn of(conformer: &Conformer) -> Result<Self> {
        let state = conformer.state()?;
        Ok(Self { rejected: state.rejected(), nulled: state.nulled() })
    }
}

/// Goes on with the columns that the database has kept, as text.
pub(in crate::sink) fn go_on(
    conformer: &mut Conformer,
    kept: Option<&str>,
    counts: Option<Counts>,
) -> Result<()> {
    let schema: Option<Schema> = kept.map(serde_json::from_str).transpose().map_err(|error| {
        Error::new(ErrorKind::Checkpoint, "the columns in headwater_schemas cannot be read").because(error)
    })?;
    let Counts { rejected, nulled } = counts.unwrap_or_default();
    conformer.resume(&SchemaState::new(schema, rejected, nulled))
}

/// Columns as text, to be kept.
pub(in crate::sink) fn kept(schema: &Schema) -> Result<String> {
    serde_json::to_string(schema)
        .map_err(|error| Error::new(ErrorKind::Sink, "the columns cannot be written").because(error))
}

/// A column is there, and of another type than the rows have.
pub(in crate::sink) fn of_another_type(table: &str, column: &str, there: &str, rows: &str) -> Error {
    let what = format!(
        "the table {table:?} has a column {column:?} of the type {there:?}, and the rows have {rows:?}"
    );
    Error::new(ErrorKind::Sink, what).advice(
        "declare the column with the type that is there (`schemas`), or give the sink another `table`; sources that share a \
         table have the same types for the same fields",
    )
}

/// A table that is there was not made for this.
pub(in crate::sink) fn not_made_for(table: &str, has_key: bool, rows: &str) -> Error {
    let mode = if has_key { "a key" } else { "appended rows" };
    Error::new(ErrorKind::Sink, format!("the table {table} is there, and was not made for {mode} of {rows}"))
        .advice("give the sink another `table`, or rename the one that is there")
}
