//! An object that is being written: uploaded in parts when it is large, completed by a commit.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::encode::Encode;
use crate::checkpoint::objects::{CommittedObject, Log, cause, timed};
use crate::error::{Error, ErrorKind, Result};

/// What the store is asked to do for all outputs together.
#[derive(Debug, Clone)]
pub(super) struct Uploads {
    pub(super) log: Arc<Log>,
    /// The size of a part.
    pub(super) part: usize,
    /// So many parts are on their way at once.
    pub(super) flights: Arc<Semaphore>,
}

/// Where an object is.
#[derive(Debug)]
pub(super) struct Place {
    /// Below the prefix.
    pub(super) name: String,
    pub(super) path: Path,
    pub(super) number: u64,
    pub(super) is_rejected: bool,
}

#[derive(Debug)]
pub(super) struct Object<E = Box<dyn Encode>> {
    pub(super) encoder: E,
    pub(super) rows: u64,
    pub(super) place: Place,
    upload: Option<Upload>,
    /// What was taken away to be uploaded.
    sent: u64,
}

/// Parts that are on their way, or have arrived. Those on their way are given up when it is dropped.
struct Upload {
    multipart: Box<dyn MultipartUpload>,
    parts: JoinSet<object_store::Result<()>>,
}

/// Without the client: of some, what is shown has a token in it.
impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}

impl<E: Encode + 'static> Object<E> {
    pub(super) fn new(place: Place, encoder: E) -> Self {
        Self { encoder, rows: 0, place, upload: None, sent: 0 }
    }

    /// The same, whatever it is written with.
    pub(super) fn any(self) -> Object {
        let Self { encoder, rows, place, upload, sent } = self;
        Object { encoder: Box::new(encoder), rows, place, upload, sent }
    }

    /// Ends it.
    pub(super) fn ended(self) -> Result<Object> {
        let Self { encoder, rows, place, upload, sent } = self;
        Ok(Object { encoder: Box::new(Box::new(encoder).finish()?), rows, place, upload, sent })
    }

    /// How much of it is in memory, and not on its way.
    pub(super) fn gathered(&mut self) -> usize {
        self.encoder.held() + self.encoder.ready().len()
    }

    /// How large it is until now.
    pub(super) fn size(&mut self) -> u64 {
        self.sent + self.gathered() as u64
    }

    /// Sends on their way what parts are ready, one behind the other.
    pub(super) async fn send(&mut self, uploads: &Uploads) -> Result<()> {
        while self.encoder.ready().len() >= uploads.part {
            self.send_part(uploads).await?;
        }
        Ok(())
    }

    async fn send_part(&mut self, uploads: &Uploads) -> Result<()> {
        let path = &self.place.path;
        if self.upload.is_none() {
            let begun = timed(uploads.log.store.put_multipart(path)).await;
            let multipart = begun.map_err(|error| unwritten(path, &error))?;
            self.upload = Some(Upload { multipart, parts: JoinSet::new() });
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.arrived(path).await?;
        let ready = self.encoder.ready();
        // Some stores want all parts but the last of one size.
        let rest = ready.split_off(uploads.part);
        let part = Bytes::from(std::mem::replace(ready, rest));
        self.sent += part.len() as u64;
        let Ok(flight) = uploads.flights.clone().acquire_owned().await else { return Ok(()) };
        let put = upload.multipart.put_part(PutPayload::from_bytes(part));
        upload.parts.spawn(async move {
            let _flight = flight;
            timed(put).await
        });
        Ok(())
    }

    /// Ends it, and puts what is left of it.
    pub(super) async fn complete(
        self,
        source: Arc<str>,
        folder: String,
        uploads: Uploads,
    ) -> Result<CommittedObject> {
        let ended = tokio::task::spawn_blocking(move || self.ended()).await;
        let mut ended =
            ended.map_err(|lost| Error::new(ErrorKind::Sink, "the object was not ended").because(lost))??;
        // The end of one with columns may be large.
        ended.send(&uploads).await?;
        let last = Bytes::from(std::mem::take(ended.encoder.ready()));
        let Object { rows, place: Place { name, path, number, .. }, upload, sent, .. } = ended;
        let bytes = sent + last.len() as u64;
        let e_tag = match upload {
            None => put(&*uploads.log.store, &path, last).await?,
            Some(mut upload) => {
                upload.arrived(&path).await?;
                let whole = async {
                    if !last.is_empty() {
                        upload.multipart.put_part(PutPayload::from_bytes(last)).await?;
                    }
                    upload.multipart.complete().await
                };
                timed(whole).await.map_err(|error| unwritten(&path, &error))?.e_tag
            }
        };
        Ok(CommittedObject { source: source.to_string(), folder, number, path: name, bytes, rows, e_tag })
    }

    /// Gives the parts up that were uploaded.
    pub(super) async fn abort(self) {
        let Some(mut upload) = self.upload else { return };
        upload.parts.shutdown().await;
        if let Err(error) = timed(upload.multipart.abort()).await {
            let (path, error) = (&self.place.path, cause(&error));
            tracing::debug!(%path, error, "parts of an object that does not count stay");
        }
    }
}

impl Upload {
    /// Waits for the part that is on its way.
    async fn arrived(&mut self, path: &Path) -> Result<()> {
        while let Some(part) = self.parts.join_next().await {
            let part = part.unwrap_or_else(|lost| {
                Err(StoreError::Generic { store: "headwater", source: Box::new(lost) })
            });
            part.map_err(|error| unwritten(path, &error))?;
        }
        Ok(())
    }
}

/// Puts an object as a whole. Nobody else gives one this name: if it is there, an answer was lost.
async fn put(store: &dyn ObjectStore, path: &Path, bytes: Bytes) -> Result<Option<String>> {
    let length = bytes.len() as u64;
    let options = PutOptions::from(PutMode::Create);
    match timed(store.put_opts(path, PutPayload::from_bytes(bytes), options)).await {
        Ok(done) => Ok(done.e_tag),
        Err(StoreError::AlreadyExists { .. }) => {
            let there = timed(store.head(path)).await.map_err(|error| unwritten(path, &error))?;
            if there.size != length {
                let what = format!("{path} is there already, and has {} bytes for {length}", there.size);
                return Err(Error::new(ErrorKind::Sink, what).advice("is another program writing here?"));
            }
            Ok(there.e_tag)
        }
        Err(error) => Err(unwritten(path, &error)),
    }
}

fn unwritten(path: &Path, error: &StoreError) -> Error {
    Error::new(ErrorKind::Sink, format!("{path} cannot be written")).because(cause(error))
}
