//! Typed rows that wait for a commit, by the columns that they have.

use std::sync::Arc;

use bytes::Bytes;

use super::columns::Grown;
use super::rows::{Rows, field, micros, null};
use super::values::{append, row_limit};
use crate::checkpoint::postgres::{Copied, quoted};
use crate::error::Result;
use crate::records::Batch;
use crate::schema::{Chunk, Conformer, Limits, Schema, Schemas};
use crate::sink::Opening;
use crate::sink::sql::Key;
use crate::sink::sql::typed::{Counts, go_on};

/// Two of the columns are ours (<https://www.postgresql.org/docs/current/limits.html>).
const MOST_COLUMNS: usize = 1_600 - 2;
/// `NAMEDATALEN`, without the byte at its end.
const MOST_NAME: usize = 63;
/// What the stack of a server takes by far: 2 MB by default (`max_stack_depth`).
const MOST_LEVELS: usize = 1_000;
/// Our own columns, and those that each table of PostgreSQL has.
const RESERVED: [&str; 10] =
    ["__run", "__row", "__commit", "__key", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// What is the same in all rows of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) source: &'a str,
    pub(super) label: &'a str,
    pub(super) table: &'a str,
    /// The table, and that of the rejected records, with their schema and in quotes.
    pub(super) path: &'a str,
    pub(super) rejected: &'a str,
    pub(super) run: i64,
    pub(super) commit: i64,
    /// The type of JSON.
    pub(super) json: &'static str,
}

/// The typed rows of a source.
#[derive(Debug)]
pub(super) struct Typed {
    conformer: Conformer,
    key: Option<Arc<Key>>,
    segments: Vec<Segment>,
    letters: Rows,
    scratch: Vec<u8>,
}

/// Rows of the same columns.
#[derive(Debug)]
struct Segment {
    schema: Schema,
    /// Whether the table may lack some of them.
    is_new: bool,
    rows: Rows,
}

impl Typed {
    pub(super) fn new(
        schemas: &Schemas,
        opening: &Opening<'_>,
        key: Option<Arc<Key>>,
        json: &'static str,
    ) -> Result<Self> {
        let limits = Limits::default().columns(MOST_COLUMNS).name_bytes(MOST_NAME).reserved(&RESERVED);
        let limits = limits.without_nul().json_depth(MOST_LEVELS).rows(row_limit);
        let limits = if json == "jsonb" { limits.jsonb() } else { limits.json_as_text() };
        let conformer = Conformer::new(schemas, opening.source, opening.label, limits)?;
        let (letters, scratch) = (Rows::default(), Vec::new());
        Ok(Self { conformer, key, segments: Vec::new(), letters, scratch })
    }

    /// Goes on with the columns that the database has kept.
    pub(super) fn go_on(&mut self, kept: Option<&str>, counts: Option<Counts>) -> Result<()> {
        go_on(&mut self.conformer, kept, counts)?;
        if let Some(schema) = self.conformer.schema() {
            // The table may not be there, or lack what was declared since.
            let segment = Segment { schema: schema.clone(), is_new: true, rows: Rows::default() };
            self.segments = vec![segment];
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> Result<Counts> {
        Counts::of(&self.conformer)
    }

    /// What they take, with the pages of a sample.
    pub(super) fn bytes(&self) -> usize {
        let rows: usize = self.segments.iter().map(|segment| segment.rows.bytes()).sum();
        rows + self.letters.bytes() + self.conformer.held_bytes()
    }

    /// Takes a page, or ends the sample.
    pub(super) fn push(&mut self, batch: Option<&Batch>, place: Place<'_>) -> Result<()> {
        let Self { conformer, key, segments, letters, scratch } = self;
        let mut chunks = match batch {
            Some(batch) => conformer.write(batch),
            None => conformer.settle(),
        };
        while let Some(chunk) = chunks.next_chunk()? {
            let is_new = !chunk.added().is_empty();
            if is_new || segments.is_empty() {
                let schema = chunk.schema().clone();
                segments.push(Segment { schema, is_new, rows: Rows::default() });
            }
            let Some(segment) = segments.last_mut() else { continue };
            push_rows(&chunk, key.as_deref(), place, scratch, &mut segment.rows)?;
            push_letters(&chunk, place, letters)?;
        }
        Ok(())
    }

    /// The statements that bring all of it into the tables.
    pub(super) fn copied(&mut self, place: Place<'_>, out: &mut Vec<Copied>) -> Result<()> {
        for mut segment in std::mem::take(&mut self.segments) {
            if segment.is_new || !segment.rows.is_empty() {
                let rows = segment.rows.take();
                out.push(copied(segment.schema, segment.is_new, self.key.is_some(), rows, place)?);
            }
        }
        if !self.letters.is_empty() {
            let copy = format!(
                "COPY {} (record, reason, \"column\", position, page, \"table\", __source, __ingested_at, __run, __commit) \
                 FROM STDIN (FORMAT binary)",
                place.rejected
            );
            let (source, rows) = (place.source.to_owned(), self.letters.take());
            out.push(Copied { source, first: None, before: Vec::new(), copy, rows, behind: Vec::new() });
        }
        Ok(())
    }
}

fn push_rows(
    chunk: &Chunk<'_>,
    key: Option<&Key>,
    place: Place<'_>,
    scratch: &mut Vec<u8>,
    rows: &mut Rows,
) -> Result<()> {
    let width = chunk.schema().len() + 2;
    let json: &[u8] = if place.json == "jsonb" { &[1] } else { &[] };
    for (row, at) in chunk.rows().zip(chunk.places()) {
        let number = rows.len();
        let out = rows.begin(width)?;
        for cell in row {
            append(cell, json, scratch, out)?;
        }
        match key {
            Some(key) => {
                scratch.clear();
                key.append_of(chunk.batch(), chunk.batch().slice(at).unwrap_or_default(), scratch)?;
                field(out, &[scratch])?;
                field(out, &[&number.to_be_bytes()])?;
            }
            None => {
                field(out, &[&place.run.to_be_bytes()])?;
                field(out, &[&place.commit.to_be_bytes()])?;
            }
        }
        rows.end();
    }
    Ok(())
}

fn push_letters(chunk: &Chunk<'_>, place: Place<'_>, letters: &mut Rows) -> Result<()> {
    let page = chunk.batch().page();
    let position = page.position.to_string();
    let number = i64::try_from(page.number).unwrap_or(i64::MAX);
    for rejected in chunk.rejected() {
        let out = letters.begin(10)?;
        field(out, &[rejected.record])?;
        text(out, &rejected.reason)?;
        match &rejected.column {
            Some(column) => text(out, column)?,
            None => null(out),
        }
        text(out, &position)?;
        field(out, &[&number.to_be_bytes()])?;
        text(out, place.table)?;
        text(out, place.label)?;
        field(out, &[&micros(page.fetched_at).to_be_bytes()])?;
        field(out, &[&place.run.to_be_bytes()])?;
        field(out, &[&place.commit.to_be_bytes()])?;
        letters.end();
    }
    Ok(())
}

/// The names of fields and positions may have what no text of the server has.
fn text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    match text.contains('\0') {
        true => field(out, &[text.replace('\0', "\u{fffd}").as_bytes()]),
        false => field(out, &[text.as_bytes()]),
    }
}

fn copied(schema: Schema, is_new: bool, has_key: bool, rows: Vec<Bytes>, place: Place<'_>) -> Result<Copied> {
    let Place { path, run, json, .. } = place;
    let columns = schema.columns();
    let names = columns.iter().map(|column| quoted(column.name())).collect::<Result<Vec<_>>>()?;
    let list = names.join(", ");
    let source = place.source.to_owned();
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    let copy = if has_key {
        // Of a run, so many columns are these columns.
        let staging = format!("headwater_{run}_{}", names.len());
        let types = columns.iter().map(|column| super::columns::type_of(column.column_type(), json));
        let all: Vec<String> = names.iter().zip(types).map(|(name, kind)| format!("{name} {kind}")).collect();
        before.push(format!(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {staging} ({}, __key text COLLATE \"C\", __row bigint) \
             ON COMMIT DELETE ROWS",
            all.join(", ")
        ));
        let kept = names.iter().filter(|name| *name != "\"__source\"");
        let set: String = kept.map(|name| format!(", {name} = excluded.{name}")).collect();
        behind.push(format!(
            "INSERT INTO {path} AS t ({list}, __key, __run) \
             SELECT DISTINCT ON (__key) {list}, __key, {run} FROM pg_temp.{staging} ORDER BY __key, __row DESC \
             ON CONFLICT (__source, __key) DO UPDATE SET __run = excluded.__run{set}"
        ));
        behind.push(format!("TRUNCATE pg_temp.{staging}"));
        format!("COPY pg_temp.{staging} ({list}, __key, __row) FROM STDIN (FORMAT binary)")
    } else {
        format!("COPY {path} ({list}, __run, __commit) FROM STDIN (FORMAT binary)")
    };
    let grown = Grown { source: source.clone(), table: place.table.to_owned(), has_key, json, schema };
    let first = is_new.then(|| Arc::new(grown) as _);
    Ok(Copied { source, first, before, copy, rows, behind })
}
