//! The columns of a table: those that are there, and those that are missing.

use futures::future::BoxFuture;

use crate::checkpoint::postgres::{Connected, ONE_AT_A_TIME, Prepare, quoted, value};
use crate::error::Result;
use crate::schema::{ColumnType, Schema};
use crate::sink::sql::typed::{kept, not_made_for, of_another_type};

/// Where the columns of typed rows are kept, and the records that were rejected.
const KEPT: &str = "CREATE TABLE IF NOT EXISTS {schema}.headwater_schemas (source text NOT NULL, \"table\" text NOT NULL, \
    columns text NOT NULL, PRIMARY KEY (source, \"table\")); \
    CREATE TABLE IF NOT EXISTS {schema}.headwater_rejected (record text NOT NULL, reason text NOT NULL, \"column\" text, \
    position text NOT NULL, page bigint NOT NULL, \"table\" text NOT NULL, __source text NOT NULL, \
    __ingested_at timestamptz NOT NULL, __run bigint NOT NULL, __commit bigint NOT NULL)";

/// A column that a table has.
#[derive(Debug)]
pub(super) struct Existing {
    name: String,
    kind: String,
    is_required: bool,
}

/// The columns of a table; none if it is not there.
pub(super) async fn existing(connection: &Connected, table: &str) -> Result<Vec<Existing>> {
    let sql = "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a \
        JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = connection.rows(sql, &[&connection.schema_name, &table]).await?;
    let column =
        |row| Ok(Existing { name: value(row, 0)?, kind: value(row, 1)?, is_required: value(row, 2)? });
    rows.iter().map(column).collect()
}

/// Makes what typed rows need beside their tables.
pub(super) async fn make_kept(connection: &Connected) -> Result<()> {
    connection.run(&KEPT.replace("{schema}", &connection.schema)).await
}

/// The columns that a source's rows in a table have, as text.
pub(super) async fn kept_columns(
    connection: &Connected,
    source: &str,
    table: &str,
) -> Result<Option<String>> {
    let schema = &connection.schema;
    let sql = format!("SELECT columns FROM {schema}.headwater_schemas WHERE source = $1 AND \"table\" = $2");
    let rows = connection.rows(&sql, &[&source, &table]).await?;
    rows.first().map(|row| value(row, 0)).transpose()
}

/// The sink's own columns of a table for rows of this kind. `json` is the type of `record`; without it they are typed.
pub(super) fn own(has_key: bool, json: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let mut columns: Vec<_> = json.map(|json| ("record", json)).into_iter().collect();
    columns.extend([
        ("__source", "text"),
        ("__ingested_at", "timestamp with time zone"),
        ("__run", "bigint"),
        if has_key { ("__key", "text") } else { ("__commit", "bigint") },
    ]);
    columns
}

/// Refuses a table of another mode, or one that was not made by us.
pub(super) fn check(there: &[Existing], path: &str, has_key: bool, json: Option<&'static str>) -> Result<()> {
    let has = |(name, kind): &(&str, &str)| {
        there.iter().any(|column| (column.name.as_str(), column.kind.as_str()) == (*name, *kind))
    };
    // A field may have that name, too: then it may be null.
    let has_records = there.iter().any(|column| column.name == "record" && column.is_required);
    if own(has_key, json).iter().all(has) && has_records == json.is_some() {
        return Ok(());
    }
    Err(not_made_for(path, has_key, json.unwrap_or("typed columns")))
}

/// The type of a column, as the server calls it.
pub(super) fn type_of(column_type: ColumnType, json: &str) -> String {
    match column_type {
        ColumnType::Bool => "boolean".into(),
        ColumnType::Int64 => "bigint".into(),
        ColumnType::Float64 => "double precision".into(),
        ColumnType::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
        ColumnType::Text => "text".into(),
        ColumnType::Timestamp => "timestamp with time zone".into(),
        ColumnType::Date => "date".into(),
        ColumnType::Json => json.into(),
    }
}

/// Whether a column of the one type takes all values of the other as they are.
fn takes(there: &str, rows: &str) -> bool {
    let size = |kind: &str| -> Option<(u32, u32)> {
        let (precision, scale) = kind.strip_prefix("numeric(")?.strip_suffix(')')?.split_once(',')?;
        Some((precision.parse().ok()?, scale.parse().ok()?))
    };
    there == rows
        || match (size(there), size(rows)) {
            (Some(there), Some(rows)) => {
                there.1 >= rows.1 && there.0.saturating_sub(there.1) >= rows.0.saturating_sub(rows.1)
            }
            (None, Some(_)) => there == "numeric",
            _ => false,
        }
}

/// Columns that a table must have before rows are copied into it.
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) source: String,
    pub(super) table: String,
    pub(super) has_key: bool,
    /// The type of JSON.
    pub(super) json: &'static str,
    pub(super) schema: Schema,
}

impl Prepare for Grown {
    fn prepare<'a>(&'a self, connection: &'a Connected) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.grow(connection))
    }
}

impl Grown {
    /// Makes the table, or adds to it what is missing, and keeps the columns.
    async fn grow(&self, connection: &Connected) -> Result<()> {
        // Nobody else adds a column of another type meanwhile.
        connection.row(ONE_AT_A_TIME, &[&connection.schema_name]).await?;
        let path = format!("{}.{}", connection.schema, quoted(&self.table)?);
        let there = existing(connection, &self.table).await?;
        let columns = self.schema.columns();
        if there.is_empty() {
            let mut all = Vec::with_capacity(columns.len() + 2);
            for column in columns {
                let required =
                    if column.field().is_none() && column.is_required() { " NOT NULL" } else { "" };
                let kind = type_of(column.column_type(), self.json);
                all.push(format!("{} {kind}{required}", quoted(column.name())?));
            }
            let ours = own(self.has_key, None);
            all.extend(ours[2..].iter().map(|(name, kind)| format!("{name} {kind} NOT NULL")));
            let key = if self.has_key { ", PRIMARY KEY (__source, __key)" } else { "" };
            connection.run(&format!("CREATE TABLE {path} ({}{key})", all.join(", "))).await?;
        } else {
            check(&there, &path, self.has_key, None)?;
            let mut missing = Vec::new();
            for column in columns {
                let kind = type_of(column.column_type(), self.json);
                match there.iter().find(|other| other.name == column.name()) {
                    None => missing.push(format!("ADD COLUMN {} {kind}", quoted(column.name())?)),
                    Some(other) if takes(&other.kind, &kind) => {}
                    Some(other) => return Err(of_another_type(&self.table, &other.name, &other.kind, &kind)),
                }
            }
            if !missing.is_empty() {
                connection.run(&format!("ALTER TABLE {path} {}", missing.join(", "))).await?;
            }
        }
        let sql = format!(
            "INSERT INTO {}.headwater_schemas (source, \"table\", columns) VALUES ($1, $2, $3) \
             ON CONFLICT (source, \"table\") DO UPDATE SET columns = excluded.columns",
            connection.schema
        );
        connection.execute(&sql, &[&self.source, &self.table, &kept(&self.schema)?]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_takes_rows_of_its_type_and_a_wider_decimal_those_of_a_narrower() {
        for (there, rows, expected) in [
            ("bigint", "bigint", true),
            ("bigint", "double precision", false),
            ("numeric", "numeric(38,2)", true),
            ("numeric(38,10)", "numeric(12,2)", true),
            ("numeric(38,10)", "numeric(38,2)", false),
            ("numeric(12,2)", "numeric(12,4)", false),
            ("numeric(12,2)", "bigint", false),
            ("jsonb", "json", false),
        ] {
            assert_eq!(takes(there, rows), expected, "{there}, {rows}");
        }
    }
}
