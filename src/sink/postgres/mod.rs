//! Rows in a PostgreSQL database, with their checkpoint in the same transaction.
//!
//! The order of things, which is what makes a crash harmless:
//!
//! - *open*: in one transaction the tables are made, the run gets its number or goes on under it, and what lies behind the
//!   committed state is deleted. Inside of it the lease is looked at: tables are opened one run at a time, so one that takes over
//!   later opens behind it. Each opening has a number, too.
//! - *write*: rows are gathered in the form in which they are sent, up to a number of bytes. No transaction is open.
//! - *commit*: the rows are handed over to the session. The store's save sends them and the checkpoints in one transaction, which
//!   begins by counting the commits of the run up by one: if another has opened it since, nothing is counted. A connection that
//!   is lost is made again, and the count says whether the transaction came about; if not, it is done again.
//!
//! With another store the rows are a transaction by themselves. Appended rows carry the number of their commit, so what was
//! committed behind the last checkpoint is known, and deleted by the next open; of rows with a key it is written again.

mod rows;
mod table;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;

use super::sql::{Key, Tables};
use super::{Guarantee, Opening, Sink, SinkStates, only, unopened};
use crate::checkpoint::postgres::{Copied, Fence, Session, Settings, Writes, apart};
use crate::checkpoint::{CheckpointStore, Lease, PostgresStore, SinkState};
use crate::error::Result;
use crate::records::Batch;
use crate::request::Secret;
use rows::{Constants, Rows};
use table::{Opened, State, Wanted};

/// See [`Postgres::buffer`].
const BUFFER: usize = 16 * 1024 * 1024;

/// Rows in a PostgreSQL database: a table for each source, with the record as `jsonb`.
///
/// | column | type | |
/// |---|---|---|
/// | `record` | `jsonb` | the record: `record ->> 'name'` reads a field |
/// | `__source` | `text` | the name of the source |
/// | `__ingested_at` | `timestamptz` | when its page was complete |
/// | `__run` | `bigint` | which run wrote it; `headwater_runs` says when that began |
/// | `__commit` | `bigint` | which commit of the run (without a key) |
/// | `__key` | `text` | the key, as JSON text (with one) |
///
/// Without a [key](Self::key) rows are appended: each run adds its own. With one, the row of a key is replaced by what comes
/// later, within a page too; a row whose record is no longer listed stays.
///
/// Exactly once: the rows of a commit and the checkpoints are one transaction, and a connection that is lost while the server
/// commits is made again to see what has become of it. Checkpoints in another store are exactly once as well. Of a source that
/// begins anew (`restart_on_expiry`) the rows that the run has written are deleted.
///
/// ```no_run
/// use headwater::{Pipeline, Secret, sink::Postgres};
/// let pipeline = Pipeline::new().sink(Postgres::connect(Secret::env("DATABASE_URL")?).key(["id"]));
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug)]
pub struct Postgres {
    settings: Settings,
    session: Arc<Session>,
    tables: Tables,
    /// Whether `record` is of the type `jsonb`, and not `json`.
    is_binary: bool,
    outputs: BTreeMap<Arc<str>, Output>,
    lease: Option<Lease>,
    /// Bytes in the rows of all sources, and how many of them fill the sink.
    gathered: usize,
    buffer: usize,
    /// Whether the store of this sink writes the rows with its checkpoints.
    is_ended_by_store: AtomicBool,
}

/// What a source writes.
#[derive(Debug)]
struct Output {
    opened: Opened,
    label: String,
    key: Option<Key>,
    rows: Rows,
    touched: bool,
}

impl Postgres {
    /// Writes into this database: `postgres://user:password@host:5432/database`. It is reached when the run begins.
    ///
    /// `sslmode` is `disable`, `prefer` (the default: TLS if the server has it), `require` or `verify-full`. Unlike libpq, the
    /// certificate is checked wherever TLS is used, by the system's roots or those in `sslrootcert=FILE`; `require` and `verify-full`
    /// are the same. Other parameters are those of [tokio-postgres](https://docs.rs/tokio-postgres), `connect_timeout` among them
    /// (default: 10 s).
    pub fn connect(url: impl Into<Secret>) -> Self {
        let settings = Settings::new(url.into());
        Self {
            session: Arc::new(Session::new(settings.clone())),
            settings,
            tables: Tables::default(),
            is_binary: true,
            outputs: BTreeMap::new(),
            lease: None,
            gathered: 0,
            buffer: BUFFER,
            is_ended_by_store: AtomicBool::new(false),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        self.session = Arc::new(Session::new(self.settings.clone()));
        self
    }

    /// Writes into this schema, which is made if need be. The default is the first of the search path.
    #[must_use]
    pub fn schema(self, name: impl Into<String>) -> Self {
        self.with(|settings| settings.schema = Some(name.into()))
    }

    /// Has the server break off a statement that takes longer (default: 5 minutes).
    #[must_use]
    pub fn statement_timeout(self, time: Duration) -> Self {
        self.with(|settings| settings.statement = time)
    }

    /// Gives up on a connection that was lost behind so much time (default: 60 s). Until then it is made again, with pauses
    /// that grow.
    #[must_use]
    pub fn retry_for(self, time: Duration) -> Self {
        self.with(|settings| settings.retry = time)
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

    /// Makes `record` a `json` and not a `jsonb`: records stay as they came, byte for byte.
    ///
    /// `jsonb` keeps one of several fields of the same name, and no order of fields; records with `\u0000`, with half a surrogate
    /// pair or with a number beyond the digits of `numeric` do not fit in it, and end the run.
    #[must_use]
    pub fn as_json(mut self) -> Self {
        self.is_binary = false;
        self
    }

    /// Commits when so many bytes of rows have gathered (default: 16 MiB), though it is not yet time.
    #[must_use]
    pub fn buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    fn json(&self) -> &'static str {
        if self.is_binary { "jsonb" } else { "json" }
    }

    async fn open_outputs(&mut self, openings: Vec<Opening<'_>>) -> Result<Vec<SinkState>> {
        let Some(first) = openings.first() else { return Ok(Vec::new()) };
        let lease = first.lease.clone();
        let mut wanted = Vec::with_capacity(openings.len());
        let mut keys = Vec::with_capacity(openings.len());
        for opening in &openings {
            let key = self.tables.key_of(opening.source)?;
            let name = self.tables.name_of(opening.source);
            wanted.push(Wanted::new(opening, name, key.is_some(), self.json())?);
            keys.push(key);
        }
        self.lease = Some(lease.clone());
        let (session, wanted, held) = (self.session.clone(), Arc::new(wanted), lease.clone());
        let open = async move {
            let opened = session.in_transaction(|connection| {
                let (wanted, held) = (wanted.clone(), held.clone());
                Box::pin(async move { table::open_all(connection, &wanted, &held).await })
            });
            opened.await
        };
        let opened = apart(Some(lease), open).await?;
        let mut states = Vec::with_capacity(opened.len());
        for ((opening, opened), key) in openings.iter().zip(opened).zip(keys) {
            states.push(opened.state.written()?);
            let label = opening.label.to_owned();
            let output = Output { opened, label, key, rows: Rows::default(), touched: false };
            let before = self.outputs.insert(opening.source.into(), output);
            // Of a source that begins anew.
            self.gathered -= before.map_or(0, |output| output.rows.bytes());
        }
        Ok(states)
    }

    async fn commit_rows(&mut self) -> Result<SinkStates> {
        let json = self.json();
        let (mut writes, mut states) = (Writes::default(), Vec::new());
        for (source, output) in self.outputs.iter_mut().filter(|(_, output)| output.touched) {
            output.touched = false;
            let state = &mut output.opened.state;
            state.commits += 1;
            writes.fences.push(Fence { run: state.run, opened: output.opened.opened, commit: state.commits });
            states.push((source.clone(), state.written()?));
            if !output.rows.is_empty() {
                writes.copies.push(output.copied(source, json));
            }
        }
        self.gathered = 0;
        if *self.is_ended_by_store.get_mut() {
            *self.session.pending.lock().await = Some(writes);
        } else {
            let session = self.session.clone();
            let commit = async move { session.commit(Some(writes), Vec::new()).await };
            apart(self.lease.clone(), commit).await?;
        }
        Ok(states)
    }
}

impl Output {
    /// The statements that bring the rows into the table.
    fn copied(&mut self, source: &str, json: &str) -> Copied {
        let (path, run, rows) = (&self.opened.path, self.opened.state.run, self.rows.take());
        let source = source.to_owned();
        if self.key.is_none() {
            let copy = format!(
                "COPY {path} (record, __source, __ingested_at, __run, __commit) FROM STDIN (FORMAT binary)"
            );
            return Copied { source, before: Vec::new(), copy, rows, behind: Vec::new() };
        }
        let staging = format!("pg_temp.headwater_{json}");
        let label = self.label.replace('\'', "''");
        let before = vec![format!(
            "CREATE TEMPORARY TABLE IF NOT EXISTS headwater_{json} \
             (n bigint, key text COLLATE \"C\", record {json}, at timestamptz) ON COMMIT DELETE ROWS"
        )];
        let copy = format!("COPY {staging} (n, key, record, at) FROM STDIN (FORMAT binary)");
        let behind = vec![
            format!(
                "INSERT INTO {path} AS t (__key, record, __source, __ingested_at, __run) \
                 SELECT DISTINCT ON (key) key, record, '{label}', at, {run} FROM {staging} ORDER BY key, n DESC \
                 ON CONFLICT (__source, __key) DO UPDATE SET record = excluded.record, \
                 __ingested_at = excluded.__ingested_at, __run = excluded.__run"
            ),
            format!("TRUNCATE {staging}"),
        ];
        Copied { source, before, copy, rows, behind }
    }
}

impl Sink for Postgres {
    fn definition(&self) -> String {
        self.tables.definition("postgres", false)
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    fn checkpoints(&self) -> Option<Arc<dyn CheckpointStore>> {
        self.is_ended_by_store.store(true, Ordering::Relaxed);
        Some(Arc::new(PostgresStore::of(self.session.clone())))
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
            let before = output.rows.bytes();
            let state = &output.opened.state;
            let (run, commit, is_binary) = (state.run, state.commits + 1, self.is_binary);
            let constants = Constants { label: &output.label, run, commit, is_binary };
            let taken = output.rows.push(batch, output.key.as_ref(), constants);
            output.touched = true;
            self.gathered += output.rows.bytes() - before;
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
        State { commits: 0, ..State::read(state).ok()? }.written().ok()
    }

    fn close(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            self.outputs.clear();
            (self.gathered, self.lease) = (0, None);
            self.session.close().await;
            Ok(())
        })
    }

    fn location(&self, state: &SinkState) -> Option<String> {
        Some(format!("{}, table {}", self.settings.place(), State::read(state).ok()?.table))
    }
}
