//! Checkpoints in an SQLite database, and the connection that a sink shares with them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::format::{decode_parts, encode_parts};
use super::{Checkpoint, CheckpointStore, Lease, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, blocking};

/// So long is waited for another program that writes to the database.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS headwater_checkpoints (\
    source TEXT NOT NULL PRIMARY KEY, epoch INTEGER NOT NULL, saved_at TEXT NOT NULL, \
    header TEXT NOT NULL, checkpoint TEXT NOT NULL)";

/// Checkpoints in the table `headwater_checkpoints` of an SQLite database, for any sink: a row for each source, in which
/// `checkpoint` is JSON, and `header` has its checksum.
///
/// [`sink::Sqlite`](crate::sink::Sqlite) brings one along that stores them in the transaction of its rows; this one has
/// transactions of its own. The database is in WAL mode with `synchronous = FULL`: what was stored is there after a power loss.
///
/// `{database}.headwater/lock` keeps a second run out while the first lives, and
/// [`take_over`](CheckpointStore::take_over) works as it does for files. A run that was frozen in the middle of a transaction holds
/// the database as well: then the process has to be ended first.
///
/// ```no_run
/// use headwater::{Pipeline, checkpoint::SqliteStore, sink::Jsonl};
/// let pipeline = Pipeline::new().sink(Jsonl::dir("out")).checkpoints(SqliteStore::open("checkpoints.db"));
/// ```
#[derive(Debug, Clone)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Keeps the checkpoints in this database, which is made when it is first needed. Its folder must be there.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        Self { database: Database::new(path) }
    }

    /// Keeps them in a database whose transactions it ends.
    pub(crate) fn of(database: Database) -> Self {
        Self { database }
    }

    async fn take(&self, take: fn(&Arc<dyn Fs>, &Path, &str) -> Result<Lease>) -> Result<Lease> {
        let mut dir = self.database.path.as_os_str().to_owned();
        dir.push(".headwater");
        let disk: Arc<dyn Fs> = Arc::new(Disk);
        let fs = disk.clone();
        let locked = blocking(&disk, move |_| take(&fs, Path::new(&dir), &lock::holder())).await;
        locked.map_err(|error| Error::new(ErrorKind::Checkpoint, "the lock was lost").because(error))?
    }
}

/// One connection, opened when it is first needed. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    path: Arc<Path>,
    connection: Arc<Mutex<Option<Connection>>>,
}

/// The connection, for as long as a piece of work takes.
pub(crate) struct Opened<'a> {
    pub(crate) connection: &'a Connection,
    path: &'a Path,
}

impl Database {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into().into(), connection: Arc::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Does something where it may block. It goes on when this is dropped, so it holds the lease.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        lease: Option<Lease>,
        work: impl FnOnce(&Opened<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let database = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            // Dropped last: the connection may be closed here, and that writes.
            let _lease = lease;
            let database = database;
            let mut connection = database.connection.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = match &mut *connection {
                Some(connection) => connection,
                none => none.insert(open(&database.path)?),
            };
            work(&Opened { connection, path: &database.path })
        });
        let lost = |lost| Error::new(ErrorKind::Sink, "work on the database was lost").because(lost);
        task.await.unwrap_or_else(|error| Err(lost(error)))
    }

    /// Closes it. A transaction that is open is undone.
    pub(crate) async fn close(&self, lease: Option<Lease>) -> Result<()> {
        let connection = self.connection.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _lease = lease;
            drop(connection.lock().unwrap_or_else(PoisonError::into_inner).take());
        });
        task.await.map_err(|lost| Error::new(ErrorKind::Sink, "the database was not closed").because(lost))
    }
}

fn open(path: &Path) -> Result<Connection> {
    let unusable = |error| failed(path, ErrorKind::Sink, "cannot be opened", error);
    let connection = Connection::open(path).map_err(unusable)?;
    connection.busy_timeout(BUSY).map_err(unusable)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(|error| failed(path, ErrorKind::Sink, "cannot be put into WAL mode", error))?;
    if mode != "wal" {
        let what = format!("{} cannot be put into WAL mode, it stays in {mode}", path.display());
        return Err(Error::new(ErrorKind::Sink, what).advice("keep it on a local disk"));
    }
    // So that a commit is one after a power loss as well.
    connection.execute_batch("PRAGMA synchronous = FULL").map_err(unusable)?;
    connection
        .execute_batch(SCHEMA)
        .map_err(|error| failed(path, ErrorKind::Checkpoint, "takes no checkpoints", error))?;
    Ok(connection)
}

fn failed(path: &Path, kind: ErrorKind, what: &str, error: rusqlite::Error) -> Error {
    let path = path.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let what = format!("another program has been writing to {path} for {} s", BUSY.as_secs());
            Error::new(ErrorKind::Locked, what).because(error).advice("wait for it to end, or end it")
        }
        _ => Error::new(kind, format!("{path} {what}")).because(error),
    }
}

impl Opened<'_> {
    /// Says which database it is that has failed, and at what.
    pub(crate) fn failed(&self, kind: ErrorKind, what: &str, error: rusqlite::Error) -> Error {
        failed(self.path, kind, what, error)
    }

    /// Does something in a transaction, which is left open for whoever ends it. Behind an error it is undone.
    pub(crate) fn begin<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        // With the right to write from the beginning: what is read is not changed by another meanwhile.
        let began = self.connection.execute_batch("BEGIN IMMEDIATE");
        began.map_err(|error| self.failed(ErrorKind::Sink, "cannot be written to", error))?;
        work(self).inspect_err(|_| self.undo())
    }

    /// Ends the transaction. It is not tried again: behind a failed sync nothing is known.
    pub(crate) fn end(&self) -> Result<()> {
        self.connection.execute_batch("COMMIT").map_err(|error| {
            self.undo();
            self.failed(ErrorKind::Sink, "did not commit", error)
        })
    }

    fn undo(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::debug!(%error, "a transaction was not undone; closing the database undoes it");
        }
    }

    fn load(&self, source: &str) -> Result<Option<Checkpoint>> {
        let unusable = |why: &str| {
            Error::new(ErrorKind::Checkpoint, format!("{}, headwater_checkpoints: {why}", self.path.display()))
                .advice("nothing was changed; restore the database from a backup, or delete the row and the source's rows to start afresh")
                .at(|context| context.source = Some(source.into()))
        };
        let sql = "SELECT epoch, header, checkpoint FROM headwater_checkpoints WHERE source = ?1";
        let row = self.connection.query_row(sql, [source], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        });
        let row = row.optional().map_err(|error| unusable("it cannot be read").because(error))?;
        let Some((epoch, header, json)) = row else { return Ok(None) };
        let checkpoint = decode_parts(&header, &json).map_err(|why| unusable(&why))?;
        if checkpoint.source != source || i64::try_from(checkpoint.epoch) != Ok(epoch) {
            let why = format!("it is of {:?}, epoch {}", checkpoint.source, checkpoint.epoch);
            return Err(unusable(&why));
        }
        Ok(Some(checkpoint))
    }

    /// Puts checkpoints into the transaction that is open.
    fn put(&self, checkpoints: &[Checkpoint]) -> Result<()> {
        for next in checkpoints {
            if let Some(last) = self.load(&next.source)? {
                last.check_successor(next)?;
            }
            let unwritten =
                || Error::new(ErrorKind::Checkpoint, "a checkpoint has no form that can be stored");
            let (header, json) = encode_parts(next).map_err(|error| unwritten().because(error))?;
            let epoch = i64::try_from(next.epoch).map_err(|error| unwritten().because(error))?;
            let sql = "INSERT INTO headwater_checkpoints (source, epoch, saved_at, header, checkpoint) \
                VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (source) DO UPDATE SET epoch = excluded.epoch, \
                saved_at = excluded.saved_at, header = excluded.header, checkpoint = excluded.checkpoint";
            self.connection
                .execute(sql, params![next.source, epoch, next.saved_at, header, json])
                .map_err(|error| self.failed(ErrorKind::Checkpoint, "did not take a checkpoint", error))?;
        }
        Ok(())
    }
}

impl CheckpointStore for SqliteStore {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(self.take(lock::lock))
    }

    fn take_over(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(self.take(lock::take_over))
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        let source = source.to_owned();
        Box::pin(self.database.work(None, move |opened| opened.load(&source)))
    }

    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
        Box::pin(
            self.database
                .work(None, move |opened| sources.iter().map(|source| opened.load(source)).collect()),
        )
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        let (held, checkpoints) = (lease.clone(), checkpoints.to_vec());
        let save = move |opened: &Opened<'_>| {
            let put = |opened: &Opened<'_>| opened.put(&checkpoints);
            match opened.connection.is_autocommit() {
                true => opened.begin(put)?,
                // The rows are in it already.
                false => put(opened).inspect_err(|_| opened.undo())?,
            }
            opened.end()?;
            // Behind the step that it guards: whoever takes over from here on reads what was stored.
            held.check()
        };
        Box::pin(self.database.work(Some(lease.clone()), save))
    }
}
