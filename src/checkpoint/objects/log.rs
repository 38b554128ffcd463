//! The log of a prefix: numbered objects, each of which is put only where there is none yet.
//!
//! `{prefix}/_headwater/log/000000000017.json` is entry 17. Whoever puts it has seen all before it, for the put fails if it
//! is there already (`If-None-Match: *`): so the log has one order, and of two that append at the same time one learns that
//! it has lost. Entries are never changed or removed, so an answer that was lost is looked up: what stands there is either
//! ours, to the letter, or another's.
//!
//! `{prefix}/_headwater/folds/000000000064.json` is what the entries up to 64 come to. It is made from them alone, so it
//! does not matter who puts it or whether it is there: it only spares reading them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::Serialize;

use super::entry::{Change, Completed, Entry, Holder, View, committed, read_entry, read_fold};
use crate::error::{Error, ErrorKind, Result};

/// No call takes longer, whatever the store's own limits are.
const CALL: Duration = Duration::from_secs(300);
/// No part of the log is larger.
const LARGEST: u64 = 512 * 1024 * 1024;

/// A log, shared by the checkpoint store and the sink of a prefix.
pub(crate) struct Log {
    pub(crate) store: Arc<dyn ObjectStore>,
    prefix: String,
    /// For people.
    pub(crate) place: String,
    /// `None` until it was read.
    view: tokio::sync::Mutex<Option<View>>,
    session: Mutex<Session>,
}

/// Without the store: of some, what is shown has a token in it.
impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { prefix, place, .. } = self;
        f.debug_struct("Log").field("prefix", prefix).field("place", place).finish_non_exhaustive()
    }
}

/// What this process does with the log.
#[derive(Debug, Default)]
struct Session {
    /// As whom we append.
    holder: Option<Holder>,
    /// Objects that are whole, and count with the next checkpoints.
    waiting: Completed,
}

/// Why nothing was appended.
#[derive(Debug)]
pub(crate) enum Unappended {
    /// Another has appended first.
    Overtaken(Error),
    Failed(Error),
}

impl From<Error> for Unappended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Unappended> for Error {
    fn from(unappended: Unappended) -> Self {
        match unappended {
            Unappended::Overtaken(error) | Unappended::Failed(error) => error,
        }
    }
}

impl Log {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: &str, place: String) -> Self {
        let prefix = prefix.trim_matches('/').to_owned();
        Self { store, prefix, place, view: tokio::sync::Mutex::default(), session: Mutex::default() }
    }

    /// The path of something below the prefix.
    pub(crate) fn path(&self, below: &str) -> Path {
        Path::from(format!("{}/{below}", self.prefix))
    }

    /// The path of something that belongs to the log.
    pub(crate) fn own(&self, below: &str) -> Path {
        self.path(&format!("_headwater/{below}"))
    }

    pub(crate) fn entry_path(&self, number: u64) -> Path {
        self.own(&format!("log/{number:012}.json"))
    }

    fn fold_path(&self, number: u64) -> Path {
        self.own(&format!("folds/{number:012}.json"))
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As whom this process appends.
    pub(crate) fn holder(&self) -> Option<Holder> {
        self.session().holder.clone()
    }

    pub(crate) fn set_holder(&self, holder: Option<Holder>) {
        let mut session = self.session();
        session.holder = holder;
        session.waiting = Completed::default();
    }

    /// Has these objects count with the next checkpoints that are stored.
    pub(crate) fn wait_for_checkpoints(&self, completed: Completed) {
        let waiting = &mut self.session().waiting;
        waiting.objects.extend(completed.objects);
        waiting.rejected.extend(completed.rejected);
    }

    pub(crate) fn waiting(&self) -> Completed {
        self.session().waiting.clone()
    }

    pub(crate) fn counted(&self, completed: &Completed) {
        let waiting = &mut self.session().waiting;
        waiting.objects.drain(..completed.objects.len().min(waiting.objects.len()));
        waiting.rejected.drain(..completed.rejected.len().min(waiting.rejected.len()));
    }

    /// Reads what is new, and does something with what the log says then.
    pub(crate) async fn look<T>(&self, with: impl FnOnce(&View) -> T) -> Result<T> {
        let mut view = self.view.lock().await;
        let view = self.refreshed(&mut view).await?;
        Ok(with(view))
    }

    /// Appends an entry, made from what stands before it. What this process has put there meanwhile is taken in, and the
    /// entry is made anew.
    pub(crate) async fn append(
        &self,
        writer: &str,
        make: impl Fn(&View, &mut Entry) -> Result<()>,
    ) -> Result<u64, Unappended> {
        let mut guard = self.view.lock().await;
        let view = match &mut *guard {
            // Nobody else appends while we hold it, and if somebody does the put tells.
            Some(view) if view.holder.as_ref().is_some_and(|holder| holder.writer == writer) => view,
            _ => self.refreshed(&mut guard).await?,
        };
        loop {
            let number = view.number + 1;
            let mut entry = Entry::new(number, writer);
            make(view, &mut entry)?;
            let path = self.entry_path(number);
            let bytes = json_of(&entry)?;
            let there = match self.create(&path, bytes.clone()).await {
                Ok(()) => entry,
                Err(StoreError::AlreadyExists { .. }) => {
                    let there = self.get(&path).await?.ok_or_else(|| self.lost(&path))?;
                    let there_entry = read_entry(&there, number).map_err(|why| unreadable(&path, why))?;
                    if there_entry.writer != writer {
                        return Err(Unappended::Overtaken(self.overtaken()));
                    }
                    if there != bytes {
                        view.apply(there_entry).map_err(|why| unreadable(&path, why))?;
                        continue;
                    }
                    // Ours: the answer was lost, not the entry.
                    there_entry
                }
                Err(error) => return Err(failed(&path, "cannot be written", &error).into()),
            };
            view.apply(there).map_err(|why| unreadable(&path, why))?;
            self.fold(view).await;
            return Ok(number);
        }
    }

    /// Folds what there is if that is due. It may fail, or have been done.
    async fn fold(&self, view: &mut View) {
        if !view.is_due() {
            return;
        }
        let path = self.fold_path(view.number);
        let bytes = view.fold().map_err(|why| unreadable(&path, why)).and_then(|fold| json_of(&fold));
        let Ok(bytes) = bytes else { return };
        match self.create(&path, bytes).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => view.folded(),
            Err(error) => tracing::warn!(%path, error = cause(&error), "the log was not folded"),
        }
    }

    async fn refreshed<'a>(&self, view: &'a mut Option<View>) -> Result<&'a mut View> {
        let view = match view {
            Some(view) => view,
            None => {
                let newest = self.folds().await?.last().copied();
                let read = match newest {
                    None => View::default(),
                    Some(number) => {
                        let path = self.fold_path(number);
                        let bytes = self.get(&path).await?.ok_or_else(|| self.lost(&path))?;
                        let fold = read_fold(&bytes, number);
                        fold.and_then(View::of).map_err(|why| unreadable(&path, why))?
                    }
                };
                view.insert(read)
            }
        };
        loop {
            let path = self.entry_path(view.number + 1);
            let Some(bytes) = self.get(&path).await? else { return Ok(view) };
            let entry = read_entry(&bytes, view.number + 1);
            entry.and_then(|entry| view.apply(entry)).map_err(|why| unreadable(&path, why))?;
        }
    }

    /// The numbers of the folds, in order.
    async fn folds(&self) -> Result<Vec<u64>> {
        let folder = self.own("folds");
        let listed = self.store.list(Some(&folder)).try_collect::<Vec<_>>();
        let listed = timed(listed).await.map_err(|error| failed(&folder, "cannot be listed", &error))?;
        let number = |path: &Path| path.filename()?.strip_suffix(".json")?.parse().ok();
        let mut numbers: Vec<u64> = listed.iter().filter_map(|object| number(&object.location)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// All objects that count.
    pub(crate) async fn committed(&self) -> Result<Completed> {
        let mut changes: Vec<Vec<Change>> = Vec::new();
        let tail = {
            let mut view = None;
            let view = self.refreshed(&mut view).await?.clone();
            let mut next = view.folded;
            while next > 0 {
                let path = self.fold_path(next);
                let bytes = self.get(&path).await?.ok_or_else(|| self.lost(&path))?;
                let fold = read_fold(&bytes, next).map_err(|why| unreadable(&path, why))?;
                next = fold.previous;
                changes.push(fold.changes);
            }
            view.into_changes()
        };
        changes.reverse();
        Ok(committed(changes.into_iter().flatten().chain(tail)))
    }

    /// Puts an object where there is none.
    pub(crate) async fn create(&self, path: &Path, bytes: Bytes) -> object_store::Result<()> {
        let options = PutOptions::from(PutMode::Create);
        timed(self.store.put_opts(path, PutPayload::from_bytes(bytes), options)).await.map(drop)
    }

    /// Reads an object of the log, if it is there.
    pub(crate) async fn get(&self, path: &Path) -> Result<Option<Bytes>> {
        let read = async {
            let found = self.store.get(path).await?;
            if found.meta.size > LARGEST {
                let source = format!("it has {} bytes", found.meta.size).into();
                return Err(StoreError::Generic { store: "log", source });
            }
            found.bytes().await
        };
        match timed(read).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(path, "cannot be read", &error)),
        }
    }

    pub(crate) fn overtaken(&self) -> Error {
        Error::new(ErrorKind::Locked, format!("another run has taken {} over", self.place))
            .advice("this run must not go on; the other one has the data")
    }

    fn lost(&self, path: &Path) -> Error {
        Error::new(ErrorKind::Checkpoint, format!("{path} is gone while it is read"))
            .advice("entries of the log are never removed by headwater; restore it, or use another prefix")
    }
}

fn json_of(value: &impl Serialize) -> Result<Bytes> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from)
        .map_err(|error| Error::new(ErrorKind::Checkpoint, "the log entry has no JSON form").because(error))
}

fn unreadable(path: &Path, why: String) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{path}: {why}")).advice(
        "nothing was changed; restore the object from a backup or an older version, or use another prefix",
    )
}

/// Waits for a call, but not for ever.
pub(crate) async fn timed<T>(call: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    let timed_out = |_| StoreError::Generic {
        store: "headwater",
        source: format!("no answer within {} s", CALL.as_secs()).into(),
    };
    tokio::time::timeout(CALL, call).await.map_err(timed_out)?
}

pub(crate) fn failed(path: &Path, what: &str, error: &StoreError) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("{path} {what}")).because(cause(error))
}

/// A text, of the addresses in which that which stands before an `@` is left out.
fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '?', '#', ' ', '"']).unwrap_or(part.len());
        shown.push_str("://");
        shown.push_str(part[..end].rfind('@').map_or(part, |at| &part[at + 1..]));
    }
    shown
}

/// What a store says of a failure, without what a server echoes of the signed request: that has the session token in it. Nor who
/// it was asked for, if an address says so: `http://user:password@host`.
pub(crate) fn cause(error: &StoreError) -> String {
    let text = without_users(&error.to_string());
    let end = ["<StringToSign", "<CanonicalRequest", "<AuthenticationErrorDetail"]
        .iter()
        .filter_map(|echo| text.find(echo))
        .min()
        .unwrap_or(text.len());
    let mut shown: String = text[..end].chars().take(600).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
