//! Where refresh tokens are kept that a server replaces.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, Locked, OpenMode, blocking};
use crate::request::Secret;

/// A place for the refresh token that has taken the place of a given one.
///
/// `given` is the token of the configuration: when a person grants a new one, what was kept for the old one no longer
/// counts.
///
/// A server that replaces a refresh token takes the old one no more. So it is stored before the access token that came
/// with it is used; if that fails, the source ends with an error, the new token is kept in memory, and it is stored
/// before anything else when it is needed again. What no store can help against is a crash between the server's answer
/// and the end of [`save`](Self::save): a person must then grant a new token.
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The token that has taken the place of `given`, if any has.
    ///
    /// # Errors
    /// `Checkpoint` if there is one and it cannot be read.
    fn load<'a>(&'a self, given: &'a Secret) -> BoxFuture<'a, Result<Option<Secret>>>;

    /// Keeps a token, durable when it returns.
    ///
    /// # Errors
    /// `Checkpoint` if it cannot be kept.
    fn save<'a>(&'a self, given: &'a Secret, token: &'a Secret) -> BoxFuture<'a, Result<()>>;

    /// Keeps everybody else out, other processes too, from before the token is loaded until what has taken its place is
    /// stored: of two who use one token, the second is refused, and many servers then take back all of them (RFC 9700
    /// §4.14.2). It lasts until it is dropped. The default keeps nobody out.
    ///
    /// # Errors
    /// `Locked` if it is not to be had; `Checkpoint` if there is no place for it.
    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn fmt::Debug + Send + Sync>>> {
        Box::pin(async { Ok(Box::new(()) as Box<dyn fmt::Debug + Send + Sync>) })
    }
}

/// So long another process may take to get a token; its endpoint has two minutes.
const PATIENCE: Duration = Duration::from_secs(150);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A file that only its owner can read. It is replaced as a whole: written beside, synced, renamed. A lock file beside it
/// keeps other processes out while a token is exchanged; a folder that cannot be written is found out by it, before the
/// server replaces anything.
///
/// ```
/// use headwater::auth::{FileTokenStore, OAuth2};
/// # let dir = tempfile::tempdir().unwrap();
/// # let dir = dir.path();
/// let auth = OAuth2::refresh_token("https://login.example.com/token", "client", "s3cret", "r3fresh")?
///     .store(FileTokenStore::new(dir.join("example.token")));
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileTokenStore {
    path: PathBuf,
    fs: Arc<dyn Fs>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// A hash of the given token.
    given: String,
    refresh_token: String,
}

impl FileTokenStore {
    /// Keeps it in this file. Its folder is made if need be.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), fs: Arc::new(Disk) }
    }

    /// Keeps it on another file system.
    pub fn on(fs: Arc<dyn Fs>, path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), fs }
    }
}

fn hash(token: &Secret) -> String {
    format!("{:016x}", xxh3_64(token.expose().as_bytes()))
}

fn failed(path: &Path, what: &str, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("the refresh token in {} cannot be {what}", path.display()))
        .because(error)
}

fn load(fs: &dyn Fs, path: &Path, given: &str) -> Result<Option<String>> {
    let bytes = match fs.read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path, "read", error)),
    };
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|_| {
        Error::new(
            ErrorKind::Checkpoint,
            format!("{} holds no refresh token that can be read", path.display()),
        )
        .advice("grant a new one, and remove the file")
    })?;
    Ok((kept.given == given).then_some(kept.refresh_token))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn try_lock(fs: &dyn Fs, path: &Path) -> std::io::Result<Locked> {
    fs.create_dir_all(folder(path))?;
    fs.try_lock(&beside(path, ".lock"), &format!("process {}", std::process::id()))
}

fn save(fs: &dyn Fs, path: &Path, kept: &[u8]) -> std::io::Result<()> {
    let dir = folder(path);
    fs.create_dir_all(dir)?;
    let beside = beside(path, ".new");
    // One that is there already may be open to others.
    match fs.remove(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = fs.open(&beside, OpenMode::Private)?;
    file.append(kept)?;
    file.sync()?;
    fs.rename(&beside, path)?;
    fs.sync_dir(dir)
}

impl TokenStore for FileTokenStore {
    fn load<'a>(&'a self, given: &'a Secret) -> BoxFuture<'a, Result<Option<Secret>>> {
        let (path, given) = (self.path.clone(), hash(given));
        Box::pin(async move {
            let loaded = blocking(&self.fs, move |fs| load(fs, &path, &given)).await;
            let loaded = loaded.map_err(|error| failed(&self.path, "read", error))??;
            Ok(loaded.map(Secret::from))
        })
    }

    fn save<'a>(&'a self, given: &'a Secret, token: &'a Secret) -> BoxFuture<'a, Result<()>> {
        let kept = Kept { given: hash(given), refresh_token: token.expose().to_owned() };
        let path = self.path.clone();
        Box::pin(async move {
            let kept = serde_json::to_vec(&kept).map_err(std::io::Error::other);
            let saved = match kept {
                Ok(kept) => {
                    blocking(&self.fs, move |fs| save(fs, &path, &kept)).await.and_then(|saved| saved)
                }
                Err(error) => Err(error),
            };
            saved.map_err(|error| {
                // The one in memory is still good: asking again stores it.
                failed(&self.path, "stored", error)
                    .advice("the server has replaced it: if it is lost, a person must grant a new one")
                    .transient()
            })
        })
    }

    fn lock(&self) -> BoxFuture<'_, Result<Box<dyn fmt::Debug + Send + Sync>>> {
        Box::pin(async move {
            let begun = Instant::now();
            loop {
                let path = self.path.clone();
                let locked = blocking(&self.fs, move |fs| try_lock(fs, &path)).await;
                match locked.and_then(|locked| locked).map_err(|error| failed(&self.path, "locked", error))? {
                    Locked::Held(held) => return Ok(held),
                    Locked::Busy(_) if begun.elapsed() < PATIENCE => sleep(LOOK_AGAIN).await,
                    Locked::Busy(holder) => {
                        let what = format!("{} is in use by {}", self.path.display(), holder.escape_debug());
                        return Err(Error::new(ErrorKind::Locked, what).transient());
                    }
                }
            }
        })
    }
}
