//! Who may append to the log of a prefix.
//!
//! To take the lock is to append an entry that says so. From then on whatever an earlier holder appends comes to nothing:
//! the number that it wants is taken. That alone keeps two runs apart, whenever one of them wakes. The rest only serves
//! a good error: a lock that was given up is free at once, and one whose holder was killed is free when it has been silent
//! for its time. While a holder lives it puts a small object again and again. No clock is compared with another
//! machine's: how old that object is says the store, of two objects of its own, or we watch for as long.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use object_store::{ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::{Hold, Lease};
use super::entry::{Entry, Holder, View};
use super::log::{Log, Unappended, cause, failed, timed};
use crate::error::{Error, ErrorKind, Result};

/// A look that takes longer fails.
const LOOK: Duration = Duration::from_secs(60);

/// A log that is ours.
#[derive(Debug)]
pub(super) struct Held {
    log: Arc<Log>,
    holder: Holder,
    beats: JoinHandle<()>,
    runtime: Handle,
}

impl Hold for Held {
    fn term(&self) -> u64 {
        self.holder.term
    }

    fn blocks(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        let (log, writer) = (self.log.clone(), self.holder.writer.clone());
        let (tell, told) = mpsc::channel();
        // Whoever looks may be on a runtime, where nothing can be waited for.
        self.runtime.spawn(async move {
            let is_ours = |view: &View| view.holder.as_ref().is_some_and(|holder| holder.writer == writer);
            let _ = tell.send(log.look(is_ours).await.and_then(|ours| match ours {
                true => Ok(()),
                false => Err(log.overtaken()),
            }));
        });
        told.recv_timeout(LOOK).unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Checkpoint, format!("{} does not answer", self.log.place)))
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beats.abort();
        let (log, holder) = (self.log.clone(), self.holder.clone());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { release(&log, &holder).await });
        }
    }
}

fn beat_of(log: &Log, holder: &Holder) -> object_store::path::Path {
    log.own(&format!("beats/{:012}", holder.number))
}

/// Gives the lock up, if it is still ours.
pub(crate) async fn release(log: &Log, holder: &Holder) {
    let released = Holder { is_released: true, ..holder.clone() };
    let appended = log.append(&holder.writer, |view, entry| match &view.holder {
        Some(held) if held.writer == holder.writer && !held.is_released => {
            entry.holder = Some(released.clone());
            Ok(())
        }
        _ => Err(Error::new(ErrorKind::Locked, "it was given up")),
    });
    match appended.await {
        Ok(_) if holder.silence_millis > 0 => {
            // Nobody looks at it any more.
            let _ = timed(log.store.delete(&beat_of(log, holder))).await;
        }
        Ok(_) => {}
        Err(error) => {
            let error = Error::from(error);
            tracing::debug!(%error, "the lock was not given up; it is free when its time is over");
        }
    }
    if log.holder().is_some_and(|now| now.writer == holder.writer) {
        log.set_holder(None);
    }
}

/// Appends that we hold the log from here on.
pub(crate) async fn hold(log: &Log, term: u64, silence: Duration) -> Result<Holder, Unappended> {
    let holder = Holder {
        number: 0,
        writer: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
        term,
        name: name(),
        silence_millis: u64::try_from(silence.as_millis()).unwrap_or(u64::MAX),
        is_released: false,
    };
    let with_number = |number| Holder { number, ..holder.clone() };
    let append = |_: &View, entry: &mut Entry| {
        entry.holder = Some(with_number(entry.number));
        Ok(())
    };
    let number = log.append(&holder.writer, append).await?;
    let holder = with_number(number);
    log.set_holder(Some(holder.clone()));
    Ok(holder)
}

fn name() -> String {
    let host = std::env::var("HOSTNAME").or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let host: String = host.unwrap_or_default().trim().chars().take(64).collect();
    let since = chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ");
    let on = if host.is_empty() { String::new() } else { format!(" on {host}") };
    format!("process {}{on} since {since}", std::process::id())
}

/// Takes the lock: one that is free, one whose holder is silent, or any.
pub(super) async fn lock(log: &Arc<Log>, silence: Duration, take_over: bool) -> Result<Lease> {
    let mut watched: Option<Watched> = None;
    loop {
        let held = log.look(|view| view.holder.clone()).await?;
        let term = match &held {
            None => 0,
            Some(holder) if holder.is_released => holder.term,
            Some(holder) if take_over => {
                tracing::warn!(place = log.place, holder = holder.name, "takes the log over");
                holder.term + 1
            }
            Some(holder) => {
                let is_other = watched.as_ref().is_some_and(|watched| watched.writer != holder.writer);
                if is_other || !is_silent(log, holder, &mut watched).await? {
                    return Err(busy(log, &holder.name));
                }
                match &watched {
                    Some(watched) if !watched.is_over => {
                        tokio::time::sleep(watched.pause).await;
                        continue;
                    }
                    _ => holder.term + 1,
                }
            }
        };
        match hold(log, term, silence).await {
            Ok(holder) => return Ok(Lease::new(held_by(log, holder, silence))),
            // Whoever was quicker is a run in good health, or has just given it up.
            Err(Unappended::Overtaken(_)) => {
                let now = log.look(|view| view.holder.clone()).await?.filter(|holder| !holder.is_released);
                match now {
                    // It has only stored something.
                    Some(quicker) if take_over && held.is_some_and(|held| held.writer == quicker.writer) => {}
                    Some(quicker) => return Err(busy(log, &quicker.name)),
                    None => {}
                }
            }
            Err(Unappended::Failed(error)) => return Err(error),
        }
    }
}

fn held_by(log: &Arc<Log>, holder: Holder, silence: Duration) -> Held {
    let beats = {
        let (log, path) = (log.clone(), beat_of(log, &holder));
        tokio::spawn(async move {
            for beat in 0_u64.. {
                let put = log.store.put(&path, PutPayload::from(beat.to_string().into_bytes()));
                if let Err(error) = timed(put).await {
                    tracing::debug!(error = cause(&error), "no sign of life was given");
                }
                tokio::time::sleep(silence / 4).await;
            }
        })
    };
    Held { log: log.clone(), holder, beats, runtime: Handle::current() }
}

/// A holder that may be dead.
struct Watched {
    writer: String,
    beat: Option<Vec<u8>>,
    since: Instant,
    pause: Duration,
    is_over: bool,
}

/// Whether a holder has given no sign of life while we watched; `is_over` if that was long enough.
async fn is_silent(log: &Log, holder: &Holder, watched: &mut Option<Watched>) -> Result<bool> {
    let silence = Duration::from_millis(holder.silence_millis);
    let beat = log.get(&beat_of(log, holder)).await?.map(|bytes| bytes.to_vec());
    match watched {
        Some(watched) => {
            if watched.beat.is_none() && beat.is_some() {
                // The first one may have been on its way when its process was killed.
                (watched.beat, watched.since) = (beat.clone(), Instant::now());
            }
            watched.is_over = watched.since.elapsed() >= silence;
            Ok(watched.beat == beat)
        }
        None => {
            let is_over = silence.is_zero() || age(log, holder).await? > silence + Duration::from_secs(2);
            let pause = (silence / 20).max(Duration::from_millis(5));
            let (writer, since) = (holder.writer.clone(), Instant::now());
            *watched = Some(Watched { writer, beat, since, pause, is_over });
            Ok(true)
        }
    }
}

/// How old the last sign of life is, by the store's own clock.
async fn age(log: &Log, holder: &Holder) -> Result<Duration> {
    let probe = log.own(&format!("beats/probe-{:016x}", fastrand::u64(..)));
    let unreadable = |error| failed(&probe, "cannot be used to read the store's clock", &error);
    timed(log.store.put(&probe, PutPayload::from_static(b"?"))).await.map_err(unreadable)?;
    let now = timed(log.store.head(&probe)).await.map_err(unreadable)?.last_modified;
    let _ = timed(log.store.delete(&probe)).await;
    let last = match timed(log.store.head(&beat_of(log, holder))).await {
        Ok(beat) => beat,
        Err(object_store::Error::NotFound { .. }) => {
            let entry = log.entry_path(holder.number);
            timed(log.store.head(&entry)).await.map_err(|error| failed(&entry, "cannot be read", &error))?
        }
        Err(error) => return Err(unreadable(error)),
    };
    Ok((now - last.last_modified).to_std().unwrap_or_default())
}

fn busy(log: &Log, holder: &str) -> Error {
    let what = format!("{} is in use by {}", log.place, holder.escape_debug());
    Error::new(ErrorKind::Locked, what).advice(
        "wait for it to end, or use another prefix; if it hangs, `Pipeline::take_over` goes on without it",
    )
}
