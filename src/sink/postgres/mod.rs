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

mod columns;
mod output;
mod rows;
mod table;
mod typed;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;

use super::sql::Tables;
use super::sql::typed::Counts;
use super::{Guarantee, Opening, Sink, SinkStates, only, unopened};
use crate::checkpoint::postgres::{Session, Settings, Writes, apart};
use crate::checkpoint::{CheckpointStore, Lease, PostgresStore, SinkState};
use crate::error::{Error, Result};
use crate::records::Batch;
use crate::request::Secret;
use crate::schema::Schemas;
use output::Output;
use table::{State, Wanted};
use typed::Typed;

/// See [`Postgres::buffer`].
const BUFFER: usize = 16 * 1024 * 1024;

/// Rows in a PostgreSQL database: a table for each source, with the record as `jsonb`, or with [typed columns](Self::schemas).
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
    schemas: Option<Schemas>,
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
            schemas: None,
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

    /// Gives the tables the columns of these schemas in the place of `record`: declared, or inferred over the first records. New fields
    /// become new columns, in the transaction of the first rows that have them, unless the
    /// [contract](crate::schema::Contract) says otherwise.
    ///
    /// | type | column |
    /// |---|---|
    /// | `Bool`, `Int64`, `Float64` | `boolean`, `bigint`, `double precision` |
    /// | `Decimal` | `numeric` of its size |
    /// | `Timestamp`, `Date` | `timestamptz`, `date` |
    /// | `Text` | `text` |
    /// | `Json` | `jsonb`; `json` with [`as_json`](Self::as_json) |
    ///
    /// What PostgreSQL does not hold (`\u0000`, half a surrogate pair or a number beyond `numeric` in `jsonb`, JSON more than 1,000 levels
    /// deep, more values than a row of 8 kB has room for) does not fit, as any other value that does not. A record that is rejected
    /// is a row of the table `headwater_rejected`, as it came and with the reason, in the same transaction. A table is made with
    /// the first commit that knows its columns.
    ///
    /// ```no_run
    /// use headwater::{Secret, schema::Schemas, sink::Postgres};
    /// let sink = Postgres::connect(Secret::env("DATABASE_URL")?).schemas(Schemas::inferred()).key(["id"]);
    /// # Ok::<(), headwater::Error>(())
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
            let is_typed = self.schemas.is_some();
            wanted.push(Wanted::new(opening, name, key.is_some(), self.json(), is_typed)?);
            let key = key.map(Arc::new);
            let typed = |schemas| Typed::new(schemas, opening, key.clone(), self.json());
            keys.push((self.schemas.as_ref().map(typed).transpose()?, key));
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
        for ((opening, opened), (typed, key)) in openings.iter().zip(opened).zip(keys) {
            states.push(opened.state.written()?);
            let output = Output::new(opening, opened, key, typed, self.json())?;
            let before = self.outputs.insert(opening.source.into(), output);
            // Of a source that begins anew.
            self.gathered -= before.map_or(0, |output| output.bytes());
        }
        Ok(states)
    }

    async fn commit_rows(&mut self) -> Result<SinkStates> {
        let (mut writes, mut states) = (Writes::default(), Vec::new());
        for (source, output) in self.outputs.iter_mut().filter(|(_, output)| output.touched) {
            let state = output.commit(source, &mut writes);
            let of = |error: Error| error.at(|context| context.source = Some(source.clone()));
            states.push((source.clone(), state.map_err(of)?));
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

impl Sink for Postgres {
    fn definition(&self) -> String {
        self.tables.definition("postgres", self.schemas.is_some())
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
            let before = output.bytes();
            let taken = output.write(source, batch);
            self.gathered = (self.gathered + output.bytes()).saturating_sub(before);
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
        let state = State::read(state).ok()?;
        let typed = state.typed.map(|_| Counts::default());
        State { commits: 0, typed, ..state }.written().ok()
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

    fn rejected(&self, state: &SinkState) -> u64 {
        State::read(state).ok().and_then(|state| state.typed).map_or(0, |counts| counts.rejected)
    }
}
