//! Rows in an SQLite database, with their checkpoint in the same transaction.
//!
//! The order of things, which is what makes a crash harmless:
//!
//! - *open*: in one transaction the tables are made, the run gets its number or goes on under it, and what lies behind the
//!   committed row is deleted. Inside of it the lease is looked at: nobody else can write meanwhile, so a run that takes over later
//!   opens behind it. Each opening has a number, too.
//! - *write*: rows are gathered, up to a number of bytes. No transaction is open, so a run that is frozen holds nobody up.
//! - *commit*: a transaction begins with a look at the numbers: another opening, or a later run of the source, has taken over.
//!   It takes the rows. The store puts the checkpoints in, and ends it.
//!
//! With another store the rows are committed by themselves. Appended rows are numbered upwards and carry their run, so
//! what was committed behind the last checkpoint is known, and deleted by the next open; of rows with a key it is written again.

mod columns;
mod pending;
mod rows;
mod state;
mod table;
mod typed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;

use super::sql::{Key, Tables};
use super::{Guarantee, Opening, Sink, SinkStates, only, unopened};
use crate::checkpoint::sqlite::{Database, Opened};
use crate::checkpoint::{CheckpointStore, Lease, SinkState, SqliteStore};
use crate::error::Result;
use crate::records::Batch;
use crate::schema::Schemas;
use pending::Pending;
use state::State;
use table::{Table, Wanted};
use typed::Pages;

/// See [`Sqlite::buffer`].
const BUFFER: usize = 16 * 1024 * 1024;

/// Rows in an SQLite database: a table for each source, with the record as JSON text, or with [typed columns](Self::schemas).
///
/// | column | |
/// |---|---|
/// | `record` | the record as the server sent it: `record ->> 'name'` reads a field |
/// | `__source` | the name of the source |
/// | `__ingested_at` | when its page was complete, `2026-05-17T10:00:00Z` |
/// | `__run` | which run wrote it, a number; `headwater_runs` says when that began |
/// | `__row` | counts the rows upwards (without a key) |
/// | `__key` | the key, as JSON text (with one) |
///
/// Without a [key](Self::key) rows are appended: each run adds its own. With one, the row of a key is replaced by what comes
/// later, within a page too; a row whose record is no longer listed stays.
///
/// Exactly once: the rows of a commit and the checkpoints are one transaction, and the database keeps what it has committed (WAL,
/// `synchronous = FULL`). Checkpoints in another store are exactly once as well. Of a source that begins anew
/// (`restart_on_expiry`) the rows that the run has written are deleted.
///
/// ```no_run
/// use headwater::{Pipeline, sink::Sqlite};
/// let pipeline = Pipeline::new().sink(Sqlite::open("data.db").key(["id"]));
/// ```
#[derive(Debug)]
pub struct Sqlite {
    database: Database,
    tables: Tables,
    schemas: Option<Schemas>,
    outputs: BTreeMap<Arc<str>, Output>,
    /// Goes along with every piece of work.
    lease: Option<Lease>,
    /// Bytes in the rows of all sources, and how many of them fill the sink.
    gathered: usize,
    buffer: usize,
    /// Whether the store of this sink ends the transactions.
    is_ended_by_store: AtomicBool,
}

/// What a source writes.
#[derive(Debug)]
struct Output {
    table: Table,
    key: Option<Arc<Key>>,
    pending: Pending,
    touched: bool,
}

impl Sqlite {
    /// Writes into this database, which is made if need be.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self {
            database: Database::new(path),
            tables: Tables::default(),
            schemas: None,
            outputs: BTreeMap::new(),
            lease: None,
            gathered: 0,
            buffer: BUFFER,
            is_ended_by_store: AtomicBool::new(false),
        }
    }

    /// Names the tables: `{source}` stands for the name of the source (default: that alone). Sources may share a table; the
    /// keys of rows are told apart by their source.
    #[must_use]
    pub fn table(mut self, template: impl Into<String>) -> Self {
        self.tables.template = template.into();
        self
    }

    /// Replaces the row that has the same values at these paths ([`JsonPath`](crate::JsonPath)): strings, numbers, booleans. A
    /// record without one of them ends the run. No paths: rows are appended.
    #[must_use]
    pub fn key<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.tables.set_key(paths.into_iter().map(Into::into).collect());
        self
    }

    /// The [key](Self::key) of one source, where it has another than the rest.
    #[must_use]
    pub fn key_of<P: Into<String>>(
        mut self,
        source: impl Into<String>,
        paths: impl IntoIterator<Item = P>,
    ) -> Self {
        self.tables.set_key_of(source.into(), paths.into_iter().map(Into::into).collect());
        self
    }

    /// Gives the tables the columns of these schemas in the place of `record`: declared, or inferred over the first records. New fields
    /// become new columns, in the transaction of the first rows that have them, unless the
    /// [contract](crate::schema::Contract) says otherwise.
    ///
    /// | type | column |
    /// |---|---|
    /// | `Bool` | `BOOLEAN`: 0, 1 |
    /// | `Int64` | `INTEGER` |
    /// | `Float64` | `REAL` |
    /// | `Decimal` | `TEXT`: its digits, for SQLite would make a double of it |
    /// | `Timestamp`, `Date` | `TEXT`: `2026-05-17T10:00:00Z`, `2026-05-17` |
    /// | `Text`, `Json` | `TEXT` |
    ///
    /// A record that does not fit is a row of the table `headwater_rejected`, as it came and with the reason, in the same transaction. A
    /// table is made when its columns are known: a source without records has none, unless they are declared.
    ///
    /// ```no_run
    /// use headwater::{schema::Schemas, sink::Sqlite};
    /// let sink = Sqlite::open("data.db").schemas(Schemas::inferred()).key(["id"]);
    /// ```
    #[must_use]
    pub fn schemas(mut self, schemas: Schemas) -> Self {
        self.schemas = Some(schemas);
        self
    }

    /// Commits when so many bytes of rows have gathered (default: 16 MiB), though it is not yet time.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    async fn open_outputs(&mut self, openings: Vec<Opening<'_>>) -> Result<Vec<SinkState>> {
        let Some(first) = openings.first() else { return Ok(Vec::new()) };
        let lease = first.lease.clone();
        let mut wanted = Vec::with_capacity(openings.len());
        let mut keys = Vec::with_capacity(openings.len());
        for opening in &openings {
            let key = self.tables.key_of(opening.source)?;
            let pages = self.schemas.as_ref().map(|schemas| Pages::new(schemas, opening)).transpose()?;
            let name = self.tables.name_of(opening.source);
            wanted.push(Wanted::new(opening, name, key.is_some(), pages)?);
            keys.push(key.map(Arc::new));
        }
        self.lease = Some(lease.clone());
        let held = lease.clone();
        let open = move |opened: &Opened<'_>| {
            let tables = opened.begin(|opened| {
                let tables = table::open_all(opened, wanted)?;
                held.check()?;
                Ok(tables)
            })?;
            opened.end()?;
            Ok(tables)
        };
        let tables = self.database.work(Some(lease), open).await?;
        let mut states = Vec::with_capacity(tables.len());
        for ((opening, (table, pages)), key) in openings.iter().zip(tables).zip(keys) {
            states.push(table.state()?);
            let output = Output { table, key, pending: Pending::new(pages), touched: false };
            let before = self.outputs.insert(opening.source.into(), output);
            // Of a source that begins anew.
            self.gathered -= before.map_or(0, |output| output.pending.bytes());
        }
        Ok(states)
    }

    async fn commit_rows(&mut self) -> Result<SinkStates> {
        let mut touched = Vec::new();
        for (source, output) in self.outputs.iter_mut().filter(|(_, output)| output.touched) {
            output.touched = false;
            let pending = std::mem::replace(&mut output.pending, Pending::new(None));
            touched.push((source.clone(), output.table.clone(), output.key.clone(), pending));
        }
        self.gathered = 0;
        let leaves_open = *self.is_ended_by_store.get_mut();
        let insert = move |opened: &Opened<'_>| {
            let inserted = opened.begin(|opened| {
                for (source, table, key, pending) in &mut touched {
                    let inserted = pending.insert(opened, table, key.as_deref());
                    inserted.map_err(|error| error.at(|context| context.source = Some(source.clone())))?;
                }
                Ok(touched)
            })?;
            if !leaves_open {
                opened.end()?;
            }
            Ok(inserted)
        };
        let inserted = self.database.work(self.lease.clone(), insert).await?;
        let mut states = Vec::with_capacity(inserted.len());
        for (source, table, _, pending) in inserted {
            states.push((source.clone(), table.state()?));
            if let Some(output) = self.outputs.get_mut(&source) {
                (output.table, output.pending) = (table, pending);
            }
        }
        Ok(states)
    }
}

impl Sink for Sqlite {
    fn definition(&self) -> String {
        self.tables.definition("sqlite", self.schemas.is_some())
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.is_ended_by_store.store(true, Ordering::Relaxed);
        Some(Arc::new(SqliteStore::of(self.database.clone())))
    }

    fn is_transactional(&self) -> bool {
        true
    }

    fn open<'a>(&'a mut self, opening: Opening<'a>) -> BoxFuture<'a, Result<SinkState>> {
        Box::pin(async move { only(self.open_outputs(vec![opening]).await?) })
    }

    fn open_all<'a>(&'a mut self, openings: Vec<Opening<'a>>) -> BoxFuture<'a, Result<Vec<SinkState>>> {
        Box::pin(self.open_outputs(openings))
    }

    fn write<'a>(&'a mut self, source: &'a str, batch: &'a Batch) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let output = self.outputs.get_mut(source).ok_or_else(|| unopened(source))?;
            let before = output.pending.bytes();
            let taken = output.pending.push(batch, output.key.as_deref());
            output.touched = true;
            self.gathered += output.pending.bytes() - before;
            taken.map_err(|error| error.at(|context| context.source = Some(source.into())))
        })
    }

    fn is_full(&self) -> bool {
        self.gathered >= self.buffer
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<SinkStates>> {
        Box::pin(self.commit_rows())
    }

    fn emptied(&self, state: &SinkState) -> Option<SinkState> {
        State::read(state).ok()?.emptied().ok()
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.outputs.clear();
            self.gathered = 0;
            self.database.close(self.lease.take()).await
        })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        let state = State::read(state).ok()?;
        Some(format!("{}, table {}", self.database.path().display(), state.table))
    }

    fn rejected(&self, state: &SinkState) -> u64 {
        State::read(state).ok().and_then(|state| state.typed).map_or(0, |typed| typed.counts.rejected)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::checkpoint::Hold;
    use crate::error::{Error, ErrorKind};
    use crate::page::Page;
    use crate::request::Position;
    use crate::sink::Committed;

    fn opening<'a>(committed: Committed<'a>, lease: &'a Lease) -> Opening<'a> {
        Opening { source: "s", label: "s", started_at: SystemTime::UNIX_EPOCH, committed, lease }
    }

    fn batch() -> Batch {
        Batch::new(Page::new(r#"[{"id":1},{"id":2}]"#, 1, Position::Start, None).unwrap(), "").unwrap()
    }

    #[tokio::test]
    async fn who_opened_a_table_before_another_did_writes_no_more_whatever_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lease) = (dir.path().join("data.db"), Lease::new(()));
        let mut frozen = Sqlite::open(&path);
        let state = frozen.open(opening(Committed::Nothing, &lease)).await.unwrap();
        frozen.write("s", &batch()).await.unwrap();
        let mut second = Sqlite::open(&path);
        second.open(opening(Committed::Unfinished(&state), &lease)).await.unwrap();
        second.write("s", &batch()).await.unwrap();
        assert_eq!(frozen.commit().await.unwrap_err().kind(), ErrorKind::Locked);
        let (_, last) = second.commit().await.unwrap().remove(0);
        // Nor behind a run that came later.
        let mut third = Sqlite::open(&path);
        third.open(opening(Committed::Finished(&last), &lease)).await.unwrap();
        second.write("s", &batch()).await.unwrap();
        assert_eq!(second.commit().await.unwrap_err().kind(), ErrorKind::Locked);
    }

    #[derive(Debug)]
    struct Over;

    impl Hold for Over {
        fn check(&self) -> Result<()> {
            Err(Error::new(ErrorKind::Locked, "taken over"))
        }
    }

    #[tokio::test]
    async fn who_was_taken_over_deletes_nothing_when_it_opens() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lease) = (dir.path().join("data.db"), Lease::new(()));
        let mut sink = Sqlite::open(&path);
        let state = sink.open(opening(Committed::Nothing, &lease)).await.unwrap();
        sink.write("s", &batch()).await.unwrap();
        sink.commit().await.unwrap();
        let over = Lease::new(Over);
        let mut frozen = Sqlite::open(&path);
        let opened = frozen.open(opening(Committed::Unfinished(&state), &over)).await;
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::Locked);
        sink.write("s", &batch()).await.unwrap();
        sink.commit().await.unwrap();
        let count = |opened: &Opened<'_>| {
            Ok(opened.connection.query_row("SELECT count(*) FROM s", [], |row| row.get(0)).unwrap())
        };
        let rows: i64 = sink.database.work(None, count).await.unwrap();
        assert_eq!(rows, 4);
    }
}
