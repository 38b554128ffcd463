//! Where refresh tokens are kept that a server replaces.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Disk, Fs, OpenMode, blocking};
use crate::request::Secret;

/// A place for the refresh token that has taken the place of a given one.
///
/// `given` is the token of the configuration: when a person grants a new one, what was kept for the old one no longer
/// counts.
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
}

/// A file that only its owner can read. It is replaced as a whole: written beside, synced, renamed.
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

fn save(fs: &dyn Fs, path: &Path, kept: &[u8]) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs.create_dir_all(dir)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    let mut file = fs.open(&beside, OpenMode::Private)?;
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
                failed(&self.path, "stored", error)
                    .advice("the server has replaced it: if it is lost, a person must grant a new one")
            })
        })
    }
}
