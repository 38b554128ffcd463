//! From batches to rows: what a typed sink has for each of its sources.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::chunk::Chunk;
use super::infer::Sample;
use super::layout::Layout;
use super::row::Rows;
use super::rules::{Limits, Rules, Schemas};
use super::{Cell, Content, Schema};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;

/// The most bytes of a field's name: the schema is a part of each checkpoint.
pub(super) const FIELD_BYTES: usize = 256;

/// Turns the batches of one source into rows, new columns and rejected records.
///
/// Where the schema is inferred, the first batches are held until the sample is complete; [`settle`](Self::settle) ends
/// it, and must be called before a commit and at the end of the source.
///
/// ```
/// use headwater::schema::{Conformer, Limits, Schemas};
/// # use headwater::{Batch, Page, Position};
/// # let page = Page::new(r#"[{"id": 1}, {"id": 2, "name": "b"}]"#, 1, Position::Start, None)?;
/// # let batch = Batch::new(page, "")?;
///
/// let mut conformer = Conformer::new(&Schemas::inferred(), "users", "users", Limits::default())?;
/// assert!(conformer.write(&batch).next_chunk()?.is_none(), "the sample is not complete");
///
/// let mut chunks = conformer.settle();
/// while let Some(chunk) = chunks.next_chunk()? {
///     for column in chunk.added_columns() {
///         println!("ADD COLUMN {} {}", column.name(), column.column_type());
///     }
///     for row in chunk.rows() {
///         println!("{row:?}");
///     }
/// }
/// let state = conformer.state()?; // a part of the sink's state
/// assert_eq!(state.schema().unwrap().len(), 4);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug)]
pub struct Conformer {
    pub(super) source: Arc<str>,
    label: Arc<str>,
    pub(super) rules: Rules,
    pub(super) limits: Limits,
    /// None while the sample is gathered.
    layout: Option<Layout>,
    held: Vec<Batch>,
    held_bytes: usize,
    /// So many columns the sink has heard of.
    told: usize,
    rejected: u64,
    nulled: u64,
    /// Whether the log knows that values are left out.
    has_warned: bool,
}

/// What a checkpoint keeps of a [`Conformer`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaState {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Schema>,
    #[serde(default)]
    rejected: u64,
    #[serde(default)]
    nulled: u64,
}

impl SchemaState {
    /// Of columns that are kept elsewhere.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn new(schema: Option<Schema>, rejected: u64, nulled: u64) -> Self {
        Self { schema, rejected, nulled }
    }

    /// The columns that the rows written until then have; `None` if there were none.
    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    /// How many records of the run were rejected.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// How many values of the run were left out, or became null, by [`Contract::Null`](super::Contract::Null).
    pub fn nulled(&self) -> u64 {
        self.nulled
    }
}

impl Conformer {
    /// Begins with a source. `label` is what `__source` says.
    ///
    /// # Errors
    /// `Config` if the sink cannot hold the columns that are declared.
    pub fn new(
        schemas: &Schemas,
        source: impl Into<Arc<str>>,
        label: impl Into<Arc<str>>,
        limits: Limits,
    ) -> Result<Self> {
        let (source, label) = (source.into(), label.into());
        let mut rules = schemas.rules(&source);
        rules.most_columns = rules.most_columns.min(limits.columns).max(3);
        if let Some(schema) = &rules.declared {
            check(schema, rules.most_columns, &limits)
                .map_err(|error| error.at(|context| context.source = Some(source.clone())))?;
        }
        let layout = rules.declared.clone().map(Layout::new);
        let (held, held_bytes, told) = (Vec::new(), 0, 0);
        let (rejected, nulled, has_warned) = (0, 0, false);
        Ok(Self {
            source,
            label,
            rules,
            limits,
            layout,
            held,
            held_bytes,
            told,
            rejected,
            nulled,
            has_warned,
        })
    }

    /// Goes on where a run was broken off.
    ///
    /// # Errors
    /// `DefinitionChanged` if a declared column was another one then.
    pub fn resume(&mut self, state: &SchemaState) -> Result<()> {
        self.follow(state)?;
        (self.rejected, self.nulled) = (state.rejected, state.nulled);
        Ok(())
    }

    /// Takes over the columns of a run that is finished.
    ///
    /// # Errors
    /// As for [`resume`](Self::resume).
    pub fn follow(&mut self, state: &SchemaState) -> Result<()> {
        let Some(known) = &state.schema else { return Ok(()) };
        let mut layout = Layout::new(known.clone());
        for column in self.rules.declared.iter().flat_map(|schema| &schema.columns) {
            let is_same = match known.column(&column.name) {
                Some(before) => before == column,
                // What is there already has nothing in it.
                None => !column.required && layout.add_declared(column),
            };
            if !is_same {
                let what = format!("the column {:?} is declared otherwise than it was written", column.name);
                return Err(Error::new(ErrorKind::DefinitionChanged, what)
                    .advice("declare it as it was, or write into another place; columns that may hold nulls can be added")
                    .at(|context| context.source = Some(self.source.clone())));
            }
        }
        (self.told, self.layout) = (known.len(), Some(layout));
        Ok(())
    }

    /// The columns, unless the sample is still gathered.
    pub fn schema(&self) -> Option<&Schema> {
        self.layout.as_ref().map(|layout| &layout.schema)
    }

    /// How many records were rejected in this run.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Takes a batch, and gives what is ready. While the sample is gathered, that is nothing.
    pub fn write<'a>(&'a mut self, batch: &'a Batch) -> Chunks<'a> {
        if self.layout.is_some() {
            return Chunks { conformer: self, batches: [Cow::Borrowed(batch)].into(), at: 0 };
        }
        if !self.hold(batch) {
            return Chunks { conformer: self, batches: VecDeque::new(), at: 0 };
        }
        self.settle()
    }

    /// Ends the sample, if one is gathered, and gives the rows of what was held. Without a record there is no
    /// schema: then the sample goes on.
    pub fn settle(&mut self) -> Chunks<'_> {
        let batches = self.end_sample().into_iter().map(Cow::Owned).collect();
        Chunks { conformer: self, batches, at: 0 }
    }

    /// Adds a batch to the sample, and says whether that is complete.
    pub(crate) fn hold(&mut self, batch: &Batch) -> bool {
        if !batch.is_empty() {
            self.held_bytes = self.held_bytes.saturating_add(batch.page().text().len());
            self.held.push(batch.clone());
        }
        let records: usize = self.held.iter().map(Batch::len).sum();
        records >= self.rules.sample_records || self.held_bytes >= self.rules.sample_bytes
    }

    /// How many bytes of pages are held.
    #[cfg(any(feature = "csv", all(feature = "objects", feature = "parquet"), feature = "postgres"))]
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Makes the schema of what is held, and hands that out.
    pub(crate) fn end_sample(&mut self) -> Vec<Batch> {
        if self.layout.is_none() && !self.held.is_empty() {
            let mut sample = Sample::default();
            let most = self.rules.most_columns - 2;
            for record in self.held.iter().flat_map(Batch::slices) {
                let record = std::str::from_utf8(record).unwrap_or_default();
                sample.see_record(record, self.rules.times, most, FIELD_BYTES);
            }
            let mut layout = Layout::new(Schema { columns: Vec::new() });
            layout.infer(&sample, self.rules.contract != super::Contract::Evolve, &self.limits);
            self.layout = Some(layout);
        }
        self.held_bytes = 0;
        std::mem::take(&mut self.held)
    }

    /// What to keep of it, as it is now.
    ///
    /// # Errors
    /// `Sink` if batches are held: [`settle`](Self::settle) must come first.
    pub fn state(&self) -> Result<SchemaState> {
        if !self.held.is_empty() {
            return Err(Error::new(ErrorKind::Sink, "the sample was not settled before the commit")
                .at(|context| context.source = Some(self.source.clone())));
        }
        let told = |layout: &Layout| Schema { columns: layout.schema.columns[..self.told].to_vec() };
        let schema = self.layout.as_ref().filter(|_| self.told > 0).map(told);
        Ok(SchemaState { schema, rejected: self.rejected, nulled: self.nulled })
    }

    /// The rows of some records of a batch, as many as one chunk takes. If the schema has columns that were not told yet,
    /// and `may_grow` says that they cannot be told now, there are none.
    pub(crate) fn rows<'a>(
        &'a mut self,
        batch: &'a Batch,
        records: Range<usize>,
        may_grow: bool,
    ) -> Result<Option<Chunk<'a>>> {
        let Some(layout) = &mut self.layout else {
            return Err(Error::new(ErrorKind::Sink, "there are rows without a schema"));
        };
        let mut rows = Rows::new(&self.source, &self.rules, &self.limits, batch);
        // Once is enough, unless there are new columns.
        while let Some(wanted) = rows.conform(layout, records.clone())? {
            wanted.add_to(layout, &self.limits);
        }
        let width = layout.len();
        if self.told < width && !may_grow {
            return Ok(None);
        }
        let Rows { mut cells, rejected, nulled, end, .. } = rows;
        let ours = layout.schema.columns.iter().position(|column| column.content == Content::Source);
        if let Some(index) = ours {
            for row in cells.chunks_exact_mut(width) {
                row[index] = Cell::Text(Cow::Borrowed(&self.label));
            }
        }
        let added = std::mem::replace(&mut self.told, width)..width;
        self.rejected += rejected.len() as u64;
        if nulled > 0 && !std::mem::replace(&mut self.has_warned, true) {
            let page = batch.page().number;
            tracing::warn!(source = %self.source, page, "values are left out, for they have no column or do not fit theirs");
        }
        self.nulled += nulled;
        let records = records.start..end;
        Ok(Some(Chunk { batch, records, schema: &layout.schema, added, cells, rejected }))
    }
}

/// Whether a declared schema can be held.
fn check(schema: &Schema, most: usize, limits: &Limits) -> Result<()> {
    if schema.len() > most {
        return Err(Error::config(format!("{} columns are declared; {most} are allowed", schema.len()))
            .advice("declare fewer, or raise `Schemas::most_columns` if the sink can hold more"));
    }
    for column in &schema.columns {
        let field = column.field().map_or(0, str::len);
        let mut names = super::names::Names::default();
        let is_ours = column.field().is_none();
        if !is_ours && (field > FIELD_BYTES || names.free(&column.name, "", limits) != column.name) {
            let what = format!("the sink cannot have a column called {:?}", column.name);
            return Err(
                Error::config(what).advice("give it a shorter, plainer name, with `from_field` behind it")
            );
        }
    }
    Ok(())
}

/// The rows of batches, chunk by chunk, so that a page of any size takes little memory.
#[derive(Debug)]
#[must_use = "what is not taken is lost"]
pub struct Chunks<'a> {
    conformer: &'a mut Conformer,
    batches: VecDeque<Cow<'a, Batch>>,
    at: usize,
}

impl Chunks<'_> {
    /// The next rows; `None` if there are no more. They must all be taken.
    ///
    /// # Errors
    /// `Record` if a record does not fit, and the contract is [`Freeze`](super::Contract::Freeze).
    pub fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>> {
        while self.batches.front().is_some_and(|batch| self.at >= batch.len()) {
            self.batches.pop_front();
            self.at = 0;
        }
        let Some(batch) = self.batches.front() else { return Ok(None) };
        let chunk = self.conformer.rows(batch, self.at..batch.len(), true)?;
        if let Some(chunk) = &chunk {
            self.at = chunk.records.end;
        }
        Ok(chunk)
    }
}
