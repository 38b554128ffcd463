//! Checkpoints in a PostgreSQL database, and the session that a sink shares with them.

mod lease;
mod rows;
mod session;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
pub(crate) use session::{Connected, Copied, Fence, ONE_AT_A_TIME, Prepare, Session, Writes, quoted, value};
pub(crate) use settings::Settings;

use super::{Checkpoint, CheckpointStore, Lease};
use crate::error::{Error, ErrorKind, Result};
use crate::request::Secret;

/// Checkpoints in the table `headwater_checkpoints` of a PostgreSQL database, for any sink: a row for each source, in which
/// `checkpoint` is JSON, and `header` has its checksum.
///
/// [`sink::Postgres`](crate::sink::Postgres) brings one along that stores them in the transaction of its rows; this one has
/// transactions of its own. An advisory lock, held on a connection of its own, keeps a second run out of the schema while the first
/// lives; [`take_over`](CheckpointStore::take_over) goes on without one that hangs.
///
/// ```no_run
/// use headwater::{Pipeline, Secret, checkpoint::PostgresStore, sink::Jsonl};
/// let store = PostgresStore::connect(Secret::env("DATABASE_URL")?);
/// let pipeline = Pipeline::new().sink(Jsonl::dir("out")).checkpoints(store);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PostgresStore {
    session: Arc<Session>,
}

impl PostgresStore {
    /// Keeps the checkpoints in this database: `postgres://user:password@host:5432/database`, with the parameters that
    /// [`sink::Postgres::connect`](crate::sink::Postgres::connect) takes. It is reached when it is first needed.
    pub fn connect(url: impl Into<Secret>) -> Self {
        Self::with(Settings::new(url.into()))
    }

    fn with(settings: Settings) -> Self {
        Self { session: Arc::new(Session::new(settings)) }
    }

    /// Keeps them in this schema, which is made if need be. The default is the first of the search path.
    #[must_use]
    pub fn schema(self, name: impl Into<String>) -> Self {
        Self::with(Settings { schema: Some(name.into()), ..self.session.settings.clone() })
    }

    /// Keeps them in a database whose pending rows they are stored with.
    pub(crate) fn of(session: Arc<Session>) -> Self {
        Self { session }
    }

    /// Gives up on a connection that was lost behind so much time (default: 60 s). Until then it is made again, with pauses
    /// that grow.
    #[must_use]
    pub fn retry_for(self, time: Duration) -> Self {
        Self::with(Settings { retry: time, ..self.session.settings.clone() })
    }
}

/// Does something on a task that goes on when this is dropped, and holds the lease for as long.
pub(crate) async fn apart<T: Send + 'static>(
    lease: Option<Lease>,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let task = tokio::spawn(async move {
        let _lease = lease;
        work.await
    });
    let lost = |lost| Error::new(ErrorKind::Sink, "work on the database was lost").because(lost);
    task.await.unwrap_or_else(|error| Err(lost(error)))
}

impl CheckpointStore for PostgresStore {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(lease::hold(self.session.settings.clone(), false))
    }

    fn take_over(&self) -> BoxFuture<'_, Result<Lease>> {
        Box::pin(lease::hold(self.session.settings.clone(), true))
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        Box::pin(async move { Ok(self.load_all(&[source]).await?.pop().flatten()) })
    }

    fn load_all<'a>(&'a self, sources: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Checkpoint>>>> {
        Box::pin(async move {
            let wanted: Arc<[String]> = sources.iter().map(|source| (*source).to_owned()).collect();
            let loaded = self.session.in_transaction(|connection| {
                let wanted = wanted.clone();
                Box::pin(async move {
                    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
                    rows::load(connection, &wanted, false).await
                })
            });
            let loaded = loaded.await?;
            Ok(sources.iter().map(|source| loaded.get(*source).cloned()).collect())
        })
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        let (session, checkpoints) = (self.session.clone(), checkpoints.to_vec());
        Box::pin(async move {
            let save = async move {
                let writes = session.pending.lock().await.take();
                session.commit(writes, checkpoints).await
            };
            apart(Some(lease.clone()), save).await?;
            // Behind the step that it guards: whoever takes over from here on reads what was stored.
            lease.looked_at().await
        })
    }
}
