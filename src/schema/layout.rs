//! A schema with what is needed to find its columns fast.

use std::collections::HashMap;

use super::Schema;
use super::column::{Column, ColumnType, Content, INGESTED_AT, SOURCE};
use super::infer::Sample;
use super::names::Names;
use super::rules::Limits;

/// What stands behind the name of a column in that of the column with the values that do not fit it.
const MISFITS: &str = "__text";

#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) schema: Schema,
    by_field: HashMap<String, usize>,
    /// For each column, the one that has the values that do not fit it.
    misfits: Vec<Option<usize>>,
    names: Names,
}

impl Layout {
    pub(super) fn new(schema: Schema) -> Self {
        let mut layout = Self {
            schema: Schema { columns: Vec::with_capacity(schema.columns.len()) },
            by_field: HashMap::new(),
            misfits: Vec::new(),
            names: Names::default(),
        };
        schema.columns.into_iter().for_each(|column| layout.push(column));
        layout
    }

    /// How many columns there are.
    pub(super) fn len(&self) -> usize {
        self.schema.columns.len()
    }

    /// Adds a column at the end. Its name is known to be free.
    fn push(&mut self, column: Column) {
        let index = self.len();
        self.names.take(&column.name);
        if let Some(field) = column.field() {
            self.by_field.insert(field.to_owned(), index);
        }
        if let Content::MisfitsOf(of) = column.content
            && let Some(misfits) = self.misfits.get_mut(of)
        {
            *misfits = Some(index);
        }
        self.misfits.push(None);
        self.schema.columns.push(column);
    }

    /// Adds `__source` and `__ingested_at`.
    pub(super) fn add_ours(&mut self) {
        for (name, column_type, content) in [
            (SOURCE, ColumnType::Text, Content::Source),
            (INGESTED_AT, ColumnType::Timestamp, Content::IngestedAt),
        ] {
            self.push(Column { required: true, ..Column::new(name, column_type, content) });
        }
    }

    /// Makes the schema of a sample. Fields that have only nulls become columns of JSON, or none.
    pub(super) fn infer(&mut self, sample: &Sample, with_unknown: bool, limits: &Limits) {
        let unknown = with_unknown.then_some(ColumnType::Json);
        for (field, column_type) in sample.types() {
            if let Some(column_type) = column_type.or(unknown) {
                self.add_field(field, column_type, limits);
            }
        }
        self.add_ours();
    }

    /// Adds a nullable column for a field.
    pub(super) fn add_field(&mut self, field: &str, column_type: ColumnType, limits: &Limits) {
        let name = self.names.free(field, "", limits);
        let content = if name == field { Content::Named } else { Content::Field(field.to_owned()) };
        self.push(Column::new(name, column_type, content));
    }

    /// Adds a declared column, if its name is free.
    pub(super) fn add_declared(&mut self, column: &Column) -> bool {
        let is_free = self.names.is_free(&column.name);
        if is_free {
            self.push(column.clone());
        }
        is_free
    }

    /// Adds the column for the values that do not fit another one.
    pub(super) fn add_misfits(&mut self, of: usize, limits: &Limits) {
        let Some(column) = self.schema.columns.get(of) else { return };
        let name = self.names.free(&column.name, MISFITS, limits);
        self.push(Column::new(name, ColumnType::Text, Content::MisfitsOf(of)));
    }

    /// The column that takes the values that do not fit this one.
    pub(super) fn misfits_of(&self, column: usize) -> Option<usize> {
        self.misfits.get(column).copied().flatten()
    }

    /// The column of a field. Records of a source are alike: it most likely is the `expected` one.
    pub(super) fn column_of(&self, field: &str, expected: usize) -> Option<usize> {
        let is_it = |column: &Column| column.field() == Some(field);
        if self.schema.columns.get(expected).is_some_and(is_it) {
            return Some(expected);
        }
        self.by_field.get(field).copied()
    }
}
