//! The lines that rows with columns were.

use super::super::listing::Listing;

/// What a row with columns says of where it is from.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: Option<String>,
    pub(super) source: String,
    pub(super) at: String,
}

pub(super) fn of_csv(file: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::Reader::from_reader(file.as_bytes());
    let columns = reader.headers().map_err(|error| error.to_string())?.clone();
    let place = |name: &str| columns.iter().position(|column| column == name);
    let rows = reader.records().map(|record| {
        let record = record.map_err(|error| error.to_string())?;
        let cell =
            |name: &str| place(name).and_then(|place| record.get(place)).unwrap_or_default().to_owned();
        let id = Some(cell("id")).filter(|id| !id.is_empty());
        Ok(Row { id, source: cell("__source"), at: cell("__ingested_at") })
    });
    rows.collect()
}

#[cfg(feature = "parquet")]
pub(super) fn of_parquet(bytes: &[u8]) -> Result<Vec<Row>, String> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    let bytes = bytes::Bytes::copy_from_slice(bytes);
    let reader = SerializedFileReader::new(bytes).map_err(|error| error.to_string())?;
    let rows = reader.get_row_iter(None).map_err(|error| error.to_string())?.map(|row| {
        let row = row.map_err(|error| error.to_string())?;
        let cell = |name: &str| match row.get_column_iter().find(|(column, _)| *column == name) {
            None | Some((_, Field::Null)) => None,
            Some((_, Field::Str(text))) => Some(text.clone()),
            Some((_, Field::TimestampMicros(time))) => {
                let time = chrono::DateTime::from_timestamp_micros(*time)?;
                Some(time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
            }
            Some((_, other)) => Some(other.to_string()),
        };
        let missing = || "a row does not say where it is from".to_owned();
        Ok(Row {
            id: cell("id"),
            source: cell("__source").ok_or_else(missing)?,
            at: cell("__ingested_at").ok_or_else(missing)?,
        })
    });
    rows.collect()
}

/// The lines that these rows were before they had columns. A row without an id is the value that stands in its place.
pub(super) fn lines_of(listing: &Listing, rows: &[Row]) -> Result<String, String> {
    let mut lines = String::new();
    for (number, row) in rows.iter().enumerate() {
        let (name, at) = (&row.source, &row.at);
        let item = match &row.id {
            Some(id) => id.parse::<usize>().ok().and_then(|id| listing.items.get(id.checked_sub(1)?)),
            None => listing.items.get(number).filter(|item| !item.wire.starts_with('{')),
        };
        let item = item.ok_or_else(|| format!("{row:?} is no record of {}", listing.name))?;
        lines.push_str(&format!("{}\"__source\":\"{name}\",\"__ingested_at\":\"{at}\"}}\n", item.line));
    }
    Ok(lines)
}
