//! Who may use a schema: an advisory lock for each term, of which the highest counts.
//!
//! A run holds the lock of its term on a connection of its own. The server gives it up when that ends, however it ends. To go
//! on without a run that hangs, another raises the term, and holds the lock of that. As with folders, each look at the term is
//! behind the step that it guards.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

use super::session::{Connected, Session, value};
use crate::checkpoint::{Hold, Lease, lock};
use crate::error::{Error, ErrorKind, Result};

/// So long a lock is waited for: the server may not have seen yet that a process has ended.
const LINGERS: Duration = Duration::from_secs(3);
/// No look takes longer.
const LOOK: Duration = Duration::from_secs(120);

/// A schema that is ours for a term.
#[derive(Debug)]
struct SchemaLock {
    session: Arc<Session>,
    term: i64,
    runtime: Handle,
}

impl Hold for SchemaLock {
    fn term(&self) -> u64 {
        self.term.unsigned_abs()
    }

    fn blocks(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        let (session, term) = (self.session.clone(), self.term);
        let (told, heard) = std::sync::mpsc::channel();
        self.runtime.spawn(async move {
            let _ = told.send(look(&session, term).await);
        });
        heard.recv_timeout(LOOK).unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Checkpoint, "the lock in the database was not looked at")
                .because(error))
        })
    }
}

/// The two numbers of the lock of a term.
fn key(connection: &Connected, term: i64) -> (i32, i32) {
    let hash = xxh3_64(format!("headwater lock {}", connection.schema_name).as_bytes());
    ((hash >> 32) as u32 as i32, (hash as u32).wrapping_add(term as u32) as i32)
}

async fn term_of(connection: &Connected) -> Result<(i64, String)> {
    let sql = format!("SELECT term, holder FROM {}.headwater_lock", connection.schema);
    let row = connection.row(&sql, &[]).await?;
    Ok((value(&row, 0)?, value(&row, 1)?))
}

async fn try_lock(connection: &Connected, term: i64) -> Result<bool> {
    let (one, two) = key(connection, term);
    // A session that has it already takes it once more, which is no different: all of it goes with the session.
    let row = connection.row("SELECT pg_try_advisory_lock($1, $2)", &[&one, &two]).await?;
    value(&row, 0)
}

/// Whether the term is still ours. A session that was lost has lost the lock: it is taken again, if nobody else has it.
async fn look(session: &Session, term: i64) -> Result<()> {
    let ours = session
        .in_transaction(move |connection| {
            Box::pin(async move {
                let is_held = try_lock(connection, term).await?;
                Ok(is_held && term_of(connection).await?.0 <= term)
            })
        })
        .await?;
    if ours {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Locked, format!("another run has taken {} over", session.settings.place()))
        .advice("this run must not go on; the other one has the data"))
}

fn held(session: Arc<Session>, term: i64) -> Lease {
    Lease::new(SchemaLock { session, term, runtime: Handle::current() })
}

fn busy(session: &Session, holder: &str) -> Error {
    let holder = if holder.is_empty() { "another run".into() } else { holder.escape_debug().to_string() };
    Error::new(ErrorKind::Locked, format!("{} is in use by {holder}", session.settings.place())).advice(
        "wait for it to end, or use another schema; if it hangs, `Pipeline::take_over` goes on without it",
    )
}

/// Takes the lock that counts, or says who has it.
pub(super) async fn lock(session: Arc<Session>) -> Result<Lease> {
    let start = Instant::now();
    loop {
        let taken = session
            .in_transaction(|connection| {
                Box::pin(async move {
                    let (term, holder) = term_of(connection).await?;
                    if !try_lock(connection, term).await? {
                        return Ok(Err(holder));
                    }
                    let sql = format!(
                        "UPDATE {}.headwater_lock SET holder = $1 WHERE term = $2",
                        connection.schema
                    );
                    let is_newest = connection.execute(&sql, &[&lock::holder(), &term]).await? == 1;
                    Ok(if is_newest { Ok(term) } else { Err("a run that has just taken it over".into()) })
                })
            })
            .await?;
        match taken {
            Ok(term) => return Ok(held(session, term)),
            Err(holder) if start.elapsed() >= LINGERS => return Err(busy(&session, &holder)),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Takes the lock of the next term if the one that counts is held.
pub(super) async fn take_over(session: Arc<Session>) -> Result<Lease> {
    match lock(session.clone()).await {
        Err(error) if error.kind() == ErrorKind::Locked => {}
        free => return free,
    }
    let raised = session
        .in_transaction(|connection| {
            Box::pin(async move {
                let (term, _) = term_of(connection).await?;
                let sql = format!(
                    "UPDATE {}.headwater_lock SET term = term + 1, holder = $1 WHERE term = $2",
                    connection.schema
                );
                let is_raised = connection.execute(&sql, &[&lock::holder(), &term]).await? == 1;
                Ok((is_raised && try_lock(connection, term + 1).await?).then_some(term + 1))
            })
        })
        .await?;
    // Whoever was quicker is a run in good health.
    let term = raised.ok_or_else(|| busy(&session, "a run that has just taken it over"))?;
    tracing::warn!(term, "took the checkpoints over from another run");
    Ok(held(session, term))
}
