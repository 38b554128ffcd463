//! Who may use a schema: an advisory lock for each term, of which the highest counts.
//!
//! A run holds the lock of its term on a connection of its own. The server gives it up when that ends, however it ends. To go
//! on without a run that hangs, another raises the term, and holds the lock of that. As with folders, each look at the term is
//! behind the step that it guards.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

use super::session::{Connected, Session, value};
use super::settings::Settings;
use crate::checkpoint::{Hold, Lease, lock};
use crate::error::{Error, ErrorKind, Result};

/// So long a lock is waited for: the server may not have seen yet that a process has ended.
const LINGERS: Duration = Duration::from_secs(3);
/// No look takes longer.
const LOOK: Duration = Duration::from_secs(120);

/// A schema that is ours for a term. The connection lives on a thread of its own, so that it can be asked from anywhere, and
/// ends when this is dropped.
#[derive(Debug)]
struct SchemaLock {
    term: i64,
    asked: UnboundedSender<Sender<Result<()>>>,
}

impl Hold for SchemaLock {
    fn term(&self) -> u64 {
        self.term.unsigned_abs()
    }

    fn blocks(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        let (told, heard) = channel();
        let unseen = || Error::new(ErrorKind::Checkpoint, "the lock in the database was not looked at");
        self.asked.send(told).map_err(|_| unseen())?;
        heard.recv_timeout(LOOK).unwrap_or_else(|error| Err(unseen().because(error)))
    }
}

/// Takes the lock on a thread of its own, and holds it there.
pub(super) async fn hold(settings: Settings, takes_over: bool) -> Result<Lease> {
    let (taken, lease) = oneshot::channel();
    let held = async move {
        let session = Session::new(settings);
        let term = if takes_over { take_over(&session).await } else { lock(&session).await };
        let (asked, mut asks) = unbounded_channel();
        let lock = term.map(|term| SchemaLock { term, asked });
        let term = lock.as_ref().map_or(0, |lock| lock.term);
        // Whoever wanted it may be gone; then so is the lock.
        if taken.send(lock.map(Lease::new)).is_err() {
            return;
        }
        while let Some(told) = asks.recv().await {
            let told: Sender<Result<()>> = told;
            let _ = told.send(look(&session, term).await);
        }
    };
    let lost = |what: &'static str| Error::new(ErrorKind::Checkpoint, what);
    std::thread::Builder::new()
        .name("headwater-lock".into())
        .spawn(move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(held),
            Err(error) => tracing::error!(%error, "there is no thread for the lock"),
        })
        .map_err(|error| lost("there is no thread for the lock").because(error))?;
    lease.await.map_err(|error| lost("the lock was lost").because(error))?
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

/// Whether the term is still ours. A session that was lost has lost the lock: it is taken again, if nobody else has it. The
/// server may not have seen yet that the old one has ended.
async fn look(session: &Session, term: i64) -> Result<()> {
    let start = Instant::now();
    loop {
        let (is_held, newest) = session
            .in_transaction(move |connection| {
                Box::pin(async move { Ok((try_lock(connection, term).await?, term_of(connection).await?.0)) })
            })
            .await?;
        if is_held && newest <= term {
            return Ok(());
        }
        if newest > term || start.elapsed() >= LINGERS {
            let what = format!("another run has taken {} over", session.settings.place());
            return Err(Error::new(ErrorKind::Locked, what)
                .advice("this run must not go on; the other one has the data"));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn busy(session: &Session, holder: &str) -> Error {
    let holder = if holder.is_empty() { "another run".into() } else { holder.escape_debug().to_string() };
    Error::new(ErrorKind::Locked, format!("{} is in use by {holder}", session.settings.place())).advice(
        "wait for it to end, or use another schema; if it hangs, `Pipeline::take_over` goes on without it",
    )
}

/// Takes the lock that counts, or says who has it.
async fn lock(session: &Session) -> Result<i64> {
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
            Ok(term) => return Ok(term),
            Err(holder) if start.elapsed() >= LINGERS => return Err(busy(session, &holder)),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Takes the lock of the next term if the one that counts is held.
async fn take_over(session: &Session) -> Result<i64> {
    match lock(session).await {
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
    let term = raised.ok_or_else(|| busy(session, "a run that has just taken it over"))?;
    tracing::warn!(term, "took the checkpoints over from another run");
    Ok(term)
}
