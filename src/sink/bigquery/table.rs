//! The table: made if it is not there, and given the columns that it has not.

use std::fmt;

use http::header::IF_MATCH;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{Call, Client};
use crate::error::{Error, ErrorKind, Result};
pub(super) use crate::schema::INGESTED_AT;

/// Others may change a table between a look and a change.
const MOST_ROUNDS: u32 = 8;

/// The names of a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Table {
    pub(super) project: String,
    pub(super) dataset: String,
    pub(super) table: String,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bigquery://{}.{}.{}", self.project, self.dataset, self.table)
    }
}

/// A column that the rows have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The types that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Bool,
    Int64,
    Float64,
    Numeric { precision: u8, scale: u8 },
    BigNumeric { precision: u8, scale: u8 },
    String,
    Timestamp,
    Date,
    Json,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOLEAN",
            Self::Int64 => "INTEGER",
            Self::Float64 => "FLOAT",
            Self::Numeric { .. } => "NUMERIC",
            Self::BigNumeric { .. } => "BIGNUMERIC",
            Self::String => "STRING",
            Self::Timestamp => "TIMESTAMP",
            Self::Date => "DATE",
            Self::Json => "JSON",
        }
    }

    /// Whether a column of a table takes these values without a change. Its type goes by the one name or the other.
    pub(super) fn fits(self, other: &str) -> bool {
        let same = |names: &[&str]| names.iter().any(|name| other.eq_ignore_ascii_case(name));
        match self {
            Self::Bool => same(&["BOOLEAN", "BOOL"]),
            Self::Int64 => same(&["INTEGER", "INT64"]),
            Self::Float64 => same(&["FLOAT", "FLOAT64"]),
            Self::Numeric { .. } => same(&["NUMERIC", "BIGNUMERIC"]),
            Self::String => same(&["STRING"]),
            _ => same(&[self.name()]),
        }
    }
}

impl Field {
    fn resource(&self) -> Value {
        let mut field = json!({"name": self.name, "type": self.kind.name(), "mode": "NULLABLE"});
        if let Kind::Numeric { precision, scale } | Kind::BigNumeric { precision, scale } = self.kind {
            field["precision"] = precision.to_string().into();
            field["scale"] = scale.to_string().into();
        }
        field
    }
}

/// How a table is laid out that is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) partition: Partition,
    pub(super) clustering: Vec<String>,
}

/// What the days are of that a table is divided into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Partition {
    /// `__ingested_at`: when the page came.
    #[default]
    Ingested,
    /// A column of timestamps or dates.
    Column(String),
    /// When the rows were loaded, in `_PARTITIONTIME`.
    Loaded,
    None,
}

impl Layout {
    fn resource(&self, table: &Table, fields: &[Field]) -> Value {
        let Table { project, dataset, table } = table;
        let mut resource = json!({
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
            "schema": {"fields": fields.iter().map(Field::resource).collect::<Vec<_>>()},
        });
        match &self.partition {
            Partition::Ingested => {
                resource["timePartitioning"] = json!({"type": "DAY", "field": INGESTED_AT});
            }
            Partition::Column(column) => {
                resource["timePartitioning"] = json!({"type": "DAY", "field": column})
            }
            Partition::Loaded => resource["timePartitioning"] = json!({"type": "DAY"}),
            Partition::None => {}
        }
        if !self.clustering.is_empty() {
            resource["clustering"] = json!({"fields": self.clustering});
        }
        resource
    }
}

/// Where the dataset is, for jobs are asked for by their place.
pub(super) async fn location(client: &Client, project: &str, dataset: &str) -> Result<Option<String>> {
    let call =
        Call::new(Method::GET, client.url(&["bigquery", "v2", "projects", project, "datasets", dataset]))?;
    let answer = client.json("show a dataset", &call, &[]).await?;
    let location = answer.as_ref().and_then(|answer| answer.get("location")?.as_str());
    Ok(location.map(str::to_owned))
}

/// Sees to it that the table is there and has these columns. Others may do the same at the same time.
pub(super) async fn ensure(client: &Client, table: &Table, layout: &Layout, fields: &[Field]) -> Result<()> {
    let Table { project, dataset, table: name } = table;
    let tables = client.url(&["bigquery", "v2", "projects", project, "datasets", dataset, "tables"]);
    let place = client.url(&["bigquery", "v2", "projects", project, "datasets", dataset, "tables", name]);
    for _ in 0..MOST_ROUNDS {
        let look = Call::new(Method::GET, place.clone())?;
        let Some(known) = client.json("show a table", &look, &[StatusCode::NOT_FOUND]).await? else {
            let make = Call::new(Method::POST, tables.clone())?.json(layout.resource(table, fields));
            // 409: another one has made it. What it has is looked at in the next round.
            if client.json("make a table", &make, &[StatusCode::CONFLICT]).await?.is_some() {
                return Ok(());
            }
            continue;
        };
        let mut columns =
            known.pointer("/schema/fields").and_then(Value::as_array).cloned().unwrap_or_default();
        let missing = missing(table, &columns, fields)?;
        if missing.is_empty() {
            return Ok(());
        }
        columns.extend(missing.iter().map(|field| field.resource()));
        let etag = known.get("etag").and_then(Value::as_str).unwrap_or("*");
        let change = Call::new(Method::PATCH, place.clone())?
            .json(json!({"schema": {"fields": columns}}))
            .header(IF_MATCH.as_str(), etag)?;
        // Of a lost answer the next round sees whether the columns are there; of one that came too late, too (412).
        client.json("add columns to a table", &change, &[StatusCode::PRECONDITION_FAILED]).await?;
    }
    let what = format!("{table} is changed by others all the time");
    Err(Error::new(ErrorKind::Sink, what).advice("let one program at a time add columns to it"))
}

/// The columns that a table has not.
fn missing<'f>(table: &Table, columns: &[Value], fields: &'f [Field]) -> Result<Vec<&'f Field>> {
    let text =
        |column: &Value, key: &str| column.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut missing = Vec::new();
    for field in fields {
        // Names of columns are the same in whatever case.
        let known =
            columns.iter().find(|column| text(column, "name").to_lowercase() == field.name.to_lowercase());
        let Some(known) = known else {
            missing.push(field);
            continue;
        };
        let (kind, mode) = (text(known, "type"), text(known, "mode"));
        if !field.kind.fits(&kind) || mode.eq_ignore_ascii_case("REPEATED") {
            let what = format!(
                "the column {:?} of {table} is {kind} {mode}, and the rows have {}",
                field.name,
                field.kind.name()
            );
            return Err(Error::new(ErrorKind::Sink, what).advice(
                "declare the column with the type of the table, or load into another table (`table`)",
            ));
        }
    }
    Ok(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table { project: "p".into(), dataset: "d".into(), table: "t".into() }
    }

    #[test]
    fn a_column_is_known_by_its_name_in_any_case_and_must_have_its_type() {
        let fields = |kind| [Field { name: "Id".into(), kind }];
        let known = |kind: &str, mode: &str| vec![json!({"name": "ID", "type": kind, "mode": mode})];
        let int = fields(Kind::Int64);
        assert!(missing(&table(), &known("INT64", "REQUIRED"), &int).unwrap().is_empty());
        assert_eq!(missing(&table(), &[], &int).unwrap().len(), 1);
        for known in [known("STRING", "NULLABLE"), known("INTEGER", "REPEATED")] {
            let error = missing(&table(), &known, &int).unwrap_err();
            assert!(error.to_string().contains("\"Id\" of bigquery://p.d.t"), "{error}");
        }
        let numeric = fields(Kind::Numeric { precision: 10, scale: 2 });
        assert!(missing(&table(), &known("BIGNUMERIC", ""), &numeric).unwrap().is_empty());
        assert_eq!(numeric[0].resource()["scale"], "2");
    }
}
