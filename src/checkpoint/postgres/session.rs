//! One connection, made when it is first needed and made again when it is lost.
//!
//! A transaction is held in memory until it is known to be over, and done again on a new connection if it was not. What it
//! writes is guarded: the count of commits of a run goes up by one with each. If the answer to a COMMIT was lost, the count says
//! whether it came about; if the server is still at it, the update of the count waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Client, Row};

use super::rows;
use super::settings::Settings;
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};

/// How much longer than the server a statement is waited for here.
const GRACE: Duration = Duration::from_secs(10);
/// Holds up whoever else makes or opens tables in a schema, until the transaction is over.
pub(crate) const ONE_AT_A_TIME: &str = "SELECT pg_advisory_xact_lock(1751478628, hashtext($1))";

/// What a commit writes.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    pub(crate) fences: Vec<Fence>,
    pub(crate) copies: Vec<Copied>,
}

/// A run that is open: only this opening may write, and each commit only once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Fence {
    pub(crate) run: i64,
    pub(crate) opened: i64,
    /// Which commit of the run this is.
    pub(crate) commit: i64,
}

/// Rows for a table.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) source: String,
    /// What comes first.
    pub(crate) first: Option<Arc<dyn Prepare>>,
    pub(crate) before: Vec<String>,
    /// A COPY in the binary format.
    pub(crate) copy: String,
    pub(crate) rows: Vec<Bytes>,
    pub(crate) behind: Vec<String>,
}

/// Prepares a table for its rows, in the transaction that is open. It is done again if the connection is lost.
pub(crate) trait Prepare: std::fmt::Debug + Send + Sync {
    fn prepare<'a>(&'a self, connection: &'a Connected) -> BoxFuture<'a, Result<()>>;
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) settings: Settings,
    connected: Mutex<Option<Connected>>,
    /// Whether it was reached once: what never answered is not asked again.
    was_reached: AtomicBool,
    /// What is written together with the next checkpoints.
    pub(crate) pending: Mutex<Option<Writes>>,
}

/// A connection, and the schema that is written to, in quotes.
pub(crate) struct Connected {
    client: Client,
    pub(crate) schema: String,
    /// As it is called.
    pub(crate) schema_name: String,
    limit: Duration,
    place: String,
    task: AbortHandle,
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connected").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        // Whatever it was at: the server undoes what it has not committed.
        self.task.abort();
    }
}

impl Session {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            connected: Mutex::new(None),
            was_reached: AtomicBool::new(false),
            pending: Mutex::new(None),
        }
    }

    /// Does something in a transaction, again if the connection is lost. It has to be such that it may be done twice.
    pub(crate) async fn in_transaction<T: Send>(
        &self,
        work: impl for<'a> Fn(&'a Connected) -> BoxFuture<'a, Result<T>> + Send + Sync,
    ) -> Result<T> {
        let start = Instant::now();
        let mut pause = Duration::from_millis(50);
        let mut connected = self.connected.lock().await;
        loop {
            let outcome = async {
                let connection = reached(&self.settings, &mut connected).await?;
                self.was_reached.store(true, Ordering::Relaxed);
                connection.run("BEGIN").await?;
                let done = work(connection).await?;
                connection.run("COMMIT").await?;
                Ok(done)
            };
            let outcome: Result<T> = outcome.await;
            let Err(error) = outcome else { return outcome };
            // The server undoes what it was at.
            *connected = None;
            let is_passing = error.is_transient() && self.was_reached.load(Ordering::Relaxed);
            if !is_passing || start.elapsed() + pause > self.settings.retry {
                return Err(error);
            }
            tracing::warn!(%error, "the connection to the database is made again");
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Writes rows and checkpoints, both or neither.
    pub(crate) async fn commit(&self, writes: Option<Writes>, checkpoints: Vec<Checkpoint>) -> Result<()> {
        let (writes, checkpoints) = (Arc::new(writes.unwrap_or_default()), Arc::new(checkpoints));
        self.in_transaction(|connection| {
            let (writes, checkpoints) = (writes.clone(), checkpoints.clone());
            Box::pin(async move {
                if !writes.fences.is_empty() && connection.pass(&writes.fences).await? {
                    tracing::info!("the commit whose answer was lost had come about");
                    return Ok(());
                }
                for copied in &writes.copies {
                    connection.copy(copied).await.map_err(|error| {
                        error.at(|context| context.source = Some(copied.source.as_str().into()))
                    })?;
                }
                rows::put(connection, &checkpoints).await
            })
        })
        .await
    }

    /// Gives the connection up.
    pub(crate) async fn close(&self) {
        *self.connected.lock().await = None;
        *self.pending.lock().await = None;
    }
}

/// The connection that is there, or a new one.
pub(super) async fn reached<'a>(
    settings: &Settings,
    connected: &'a mut Option<Connected>,
) -> Result<&'a Connected> {
    if connected.as_ref().is_none_or(|connection| connection.client.is_closed()) {
        *connected = Some(connect(settings).await?);
    }
    connected.as_ref().ok_or_else(|| Error::new(ErrorKind::Sink, "there is no connection"))
}

async fn connect(settings: &Settings) -> Result<Connected> {
    let reachable = settings.reachable()?;
    let place = settings.place();
    let timed_out =
        || Error::new(ErrorKind::Timeout, format!("{place} did not take a connection in time")).transient();
    let limit = settings.statement.saturating_add(GRACE);
    // The time-out of the connection string is that of a TCP connection; who takes one may still say nothing.
    let hosts = u32::try_from(reachable.config.get_hosts().len()).unwrap_or(1).max(1);
    let patience = reachable.config.get_connect_timeout().map_or(GRACE, |each| each.saturating_mul(hosts));
    let connecting =
        timeout(patience.saturating_add(GRACE / 2), reachable.config.connect(reachable.tls)).await;
    let connected = connecting.map_err(|_| timed_out())?.map_err(|error| failed(&place, error))?;
    let (client, connection) = connected;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the connection to the database has ended");
        }
    });
    let (schema, task) = (String::new(), task.abort_handle());
    let mut connected = Connected { client, schema_name: schema.clone(), schema, limit, place, task };
    let milliseconds = settings.statement.as_millis().min(i32::MAX as u128);
    // What was committed has to be on the disk, and a run that is frozen must not hold a transaction for ever.
    let session = format!(
        "SET statement_timeout = {milliseconds}; SET lock_timeout = '60s'; \
         SET idle_in_transaction_session_timeout = '60s'; SET client_min_messages = warning; \
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    );
    connected.run(&session).await?;
    let schema = match &settings.schema {
        Some(schema) => Some(schema.clone()),
        None => value(&connected.row("SELECT current_schema()::text", &[]).await?, 0)?,
    };
    let Some(schema) = schema else {
        return Err(Error::new(ErrorKind::Sink, "the search path of the database leads to no schema")
            .advice("name one: `schema(\"raw\")`"));
    };
    connected.schema = quoted(&schema)?;
    connected.schema_name = schema;
    set_up(&connected).await?;
    Ok(connected)
}

/// Makes what is missing of the schema and of our tables.
async fn set_up(connection: &Connected) -> Result<()> {
    let schema = &connection.schema;
    let count = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 \
        AND c.relname IN ('headwater_checkpoints', 'headwater_runs', 'headwater_lock')";
    let there = connection.row(count, &[&connection.schema_name]).await?;
    if value::<i64>(&there, 0)? == 3 {
        return Ok(());
    }
    connection.run("BEGIN").await?;
    connection.row(ONE_AT_A_TIME, &[&connection.schema_name]).await?;
    let exists = "SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)";
    if !value::<bool>(&connection.row(exists, &[&connection.schema_name]).await?, 0)? {
        connection.run(&format!("CREATE SCHEMA {schema}")).await?;
    }
    connection
        .run(&format!(
            "CREATE TABLE IF NOT EXISTS {schema}.headwater_checkpoints (source text PRIMARY KEY, \
             epoch bigint NOT NULL, saved_at text NOT NULL, header text NOT NULL, checkpoint json NOT NULL); \
             CREATE TABLE IF NOT EXISTS {schema}.headwater_runs (run bigint GENERATED ALWAYS AS IDENTITY \
             PRIMARY KEY, source text NOT NULL, \"table\" text NOT NULL, started_at timestamptz NOT NULL, \
             opened bigint NOT NULL, commits bigint NOT NULL); \
             CREATE INDEX IF NOT EXISTS headwater_runs_by_source ON {schema}.headwater_runs (source); \
             CREATE TABLE IF NOT EXISTS {schema}.headwater_lock (id integer PRIMARY KEY CHECK (id = 1), \
             term bigint NOT NULL, holder text NOT NULL); \
             INSERT INTO {schema}.headwater_lock VALUES (1, 0, '') ON CONFLICT DO NOTHING; COMMIT"
        ))
        .await
}

impl Connected {
    /// Executes statements that give nothing.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        self.within(self.client.batch_execute(sql)).await
    }

    pub(crate) async fn execute(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<u64> {
        self.within(self.client.execute(sql, values)).await
    }

    pub(crate) async fn rows(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.within(self.client.query(sql, values)).await
    }

    pub(crate) async fn row(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        self.within(self.client.query_one(sql, values)).await
    }

    async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>> + Send,
    ) -> Result<T> {
        match timeout(self.limit, work).await {
            Ok(done) => done.map_err(|error| failed(&self.place, error)),
            Err(_) => {
                Err(Error::new(ErrorKind::Timeout, format!("{} does not answer", self.place)).transient())
            }
        }
    }

    /// Takes the numbers of these commits. True if they were taken before, by this very commit.
    async fn pass(&self, fences: &[Fence]) -> Result<bool> {
        let of = |part: fn(&Fence) -> i64| fences.iter().map(part).collect::<Vec<i64>>();
        let (runs, opened, commits) =
            (of(|fence| fence.run), of(|fence| fence.opened), of(|fence| fence.commit));
        let schema = &self.schema;
        let sql = format!(
            "UPDATE {schema}.headwater_runs r SET commits = f.n FROM \
             unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS f(run, opened, n) \
             WHERE r.run = f.run AND r.opened = f.opened AND r.commits = f.n - 1"
        );
        let taken = self.execute(&sql, &[&runs, &opened, &commits]).await?;
        if taken == fences.len() as u64 {
            return Ok(false);
        }
        let sql = format!(
            "SELECT count(*) FROM {schema}.headwater_runs r JOIN \
             unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS f(run, opened, n) \
             ON r.run = f.run AND r.opened = f.opened AND r.commits = f.n"
        );
        let row = self.row(&sql, &[&runs, &opened, &commits]).await?;
        if taken == 0 && usize::try_from(value::<i64>(&row, 0)?) == Ok(fences.len()) {
            return Ok(true);
        }
        Err(Error::new(ErrorKind::Locked, "another run has opened the tables since")
            .advice("this run must not go on; the other one has the data"))
    }

    async fn copy(&self, copied: &Copied) -> Result<()> {
        if let Some(first) = &copied.first {
            first.prepare(self).await?;
        }
        for sql in &copied.before {
            self.run(sql).await?;
        }
        let sink = self.within(self.client.copy_in::<_, Bytes>(&copied.copy)).await?;
        let mut sink = std::pin::pin!(sink);
        for rows in &copied.rows {
            self.within(sink.send(rows.clone())).await?;
        }
        self.within(sink.finish()).await?;
        for sql in &copied.behind {
            self.run(sql).await?;
        }
        Ok(())
    }
}

/// A value of a row. A table of ours that another has made may have others.
pub(crate) fn value<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index)
        .map_err(|error| Error::new(ErrorKind::Sink, "the database gives no such value").because(error))
}

/// A name in quotes. The server would cut a long one, and two that begin alike would be one.
pub(crate) fn quoted(name: &str) -> Result<String> {
    if name.is_empty() || name.contains('\0') || name.len() > 63 {
        return Err(Error::config(format!("{name:?} cannot be the name of a table or a schema"))
            .advice("PostgreSQL takes names of 1 to 63 bytes, without a NUL"));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// What a server says, without the values that it quotes.
fn failed(place: &str, error: tokio_postgres::Error) -> Error {
    let Some(told) = error.as_db_error() else {
        // The connection: broken, refused, or a handshake that failed.
        return Error::new(ErrorKind::Sink, format!("{place} cannot be reached")).because(error).transient();
    };
    let code = told.code().code();
    let detail = told.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
    if code.starts_with("22") {
        // "COPY orders, line 12, column …": the twelfth row of this commit. The rest quotes it.
        let copied = told.where_().and_then(|at| at.lines().find(|line| line.starts_with("COPY ")));
        let line = copied.and_then(|line| line.split(", ").find_map(|part| part.strip_prefix("line ")));
        let which = line.map_or_else(String::new, |line| {
            format!(" (row {} of the commit)", line.split(':').next().unwrap_or_default())
        });
        let what = format!("{place} does not take a record{which}: {}{detail}", told.message());
        return Error::new(ErrorKind::Record, what).advice(
            "jsonb has no \\u0000, no half surrogate pairs and no numbers beyond its digits; `as_json()` keeps records as \
             they came (a table that is there wants `ALTER TABLE … ALTER record TYPE json` first), and typed columns \
             (`schemas`) with the contract `Reject` keep such a record aside and go on",
        );
    }
    let error = Error::new(ErrorKind::Sink, format!("{place}: {} [{code}]", told.message()));
    let is_passing = ["08", "57P", "40", "53"].iter().any(|class| code.starts_with(class))
        || [&SqlState::LOCK_NOT_AVAILABLE, &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT]
            .contains(&told.code());
    match is_passing {
        true => error.transient(),
        false => match told.hint() {
            Some(hint) => error.advice(hint.to_owned()),
            None => error,
        },
    }
}
