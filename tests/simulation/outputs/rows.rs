//! Rows in an SQLite database.

use std::path::Path;

use headwater::sink::Sqlite;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::super::listing::Listing;

const FILE: &str = "data.db";

pub(super) fn sink(folder: &Path, buffer: usize) -> Sqlite {
    Sqlite::open(folder.join(FILE)).buffer(buffer)
}

/// The rows of a source's run, which are the records as the server sent them.
pub(super) fn committed(folder: &Path, listing: &Listing, state: &Value) -> Result<String, String> {
    let run = state["run"].as_i64().ok_or("the state of the sink names no run")?;
    let read = || -> rusqlite::Result<Vec<(String, String, String)>> {
        let database = Connection::open_with_flags(folder.join(FILE), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let query = format!(
            "SELECT record, __source, __ingested_at FROM {} WHERE __run = ?1 ORDER BY __row",
            listing.name
        );
        let mut query = database.prepare(&query)?;
        query.query_map([run], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    };
    let mut lines = String::new();
    for (record, source, at) in read().map_err(|error| error.to_string())? {
        // Fields of its parent make it longer than it came.
        let line = format!("{},", record.strip_suffix('}').unwrap_or_default());
        let item = listing.items.iter().find(|item| item.wire == record || item.line == line);
        let item = item.ok_or_else(|| format!("{record} is no record of {}", listing.name))?;
        lines.push_str(&format!("{}\"__source\":\"{source}\",\"__ingested_at\":\"{at}\"}}\n", item.line));
    }
    Ok(lines)
}
