//! The object that a source is at: gathered, uploaded in parts when it is large, completed by a commit.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::encode::{Encode, Lines};
use crate::checkpoint::objects::{CommittedObject, Log, cause, timed};
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;
use crate::sink::files::Compression;

/// What the store is asked to do for all outputs together.
#[derive(Debug, Clone)]
pub(super) struct Uploads {
    pub(super) log: Arc<Log>,
    /// The size of a part.
    pub(super) part: usize,
    /// So many parts are on their way at once.
    pub(super) flights: Arc<Semaphore>,
}

/// The output of one source.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) source: Arc<str>,
    pub(super) label: String,
    pub(super) folder: String,
    /// The number of the object that it is at.
    pub(super) number: u64,
    /// Whether something was written since the last commit, be it an empty page.
    pub(super) touched: bool,
    pub(super) object: Option<Object>,
}

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Object {
    encoder: Box<dyn Encode>,
    rows: u64,
    upload: Option<Upload>,
    /// What was taken away to be uploaded.
    sent: u64,
    name: String,
    path: Path,
}

/// Parts that are on their way, or have arrived. Those on their way are given up when it is dropped.
#[derive(Debug)]
struct Upload {
    multipart: Box<dyn MultipartUpload>,
    parts: JoinSet<object_store::Result<()>>,
}

impl Output {
    /// Writes the records of a page.
    pub(super) async fn write(
        &mut self,
        batch: &Batch,
        uploads: &Uploads,
        session: u64,
        compression: Compression,
    ) -> Result<()> {
        self.touched = true;
        if batch.is_empty() {
            return Ok(());
        }
        let mut object = match self.object.take() {
            Some(object) => object,
            None => {
                let suffix = compression.suffix();
                let name =
                    format!("{}/{}/{:06}-{session}.jsonl{suffix}", self.source, self.folder, self.number);
                let path = uploads.log.path(&name);
                let encoder = Box::new(Lines::new(&self.label, compression)?);
                Object { encoder, rows: 0, upload: None, sent: 0, name, path }
            }
        };
        if compression.is_none() {
            object.encoder.append(batch)?;
        } else {
            // It may take a while.
            let batch = batch.clone();
            let work = tokio::task::spawn_blocking(move || {
                let appended = object.encoder.append(&batch);
                (object, appended)
            });
            let (back, appended) = work
                .await
                .map_err(|lost| Error::new(ErrorKind::Sink, "the lines were not compressed").because(lost))?;
            object = back;
            appended?;
        }
        object.rows += batch.len() as u64;
        while object.encoder.ready().len() >= uploads.part {
            object.send(uploads).await?;
        }
        self.object = Some(object);
        Ok(())
    }

    /// How much of it is in memory, and not on its way.
    pub(super) fn gathered(&mut self) -> usize {
        self.object.as_mut().map_or(0, |object| object.encoder.ready().len())
    }

    /// How large the object is until now.
    pub(super) fn size(&mut self) -> u64 {
        self.object.as_mut().map_or(0, |object| object.sent + object.encoder.ready().len() as u64)
    }
}

impl Object {
    /// Sends one part on its way, when the one before has arrived.
    async fn send(&mut self, uploads: &Uploads) -> Result<()> {
        if self.upload.is_none() {
            let begun = timed(uploads.log.store.put_multipart(&self.path)).await;
            let multipart = begun.map_err(|error| unwritten(&self.path, &error))?;
            self.upload = Some(Upload { multipart, parts: JoinSet::new() });
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        upload.arrived(&self.path).await?;
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

    /// Ends the object, and puts what is left of it.
    pub(super) async fn complete(
        self,
        source: Arc<str>,
        folder: String,
        number: u64,
        log: &Log,
    ) -> Result<CommittedObject> {
        let Self { encoder, rows, upload, sent, name, path } = self;
        let ended = tokio::task::spawn_blocking(move || encoder.finish()).await;
        let last =
            ended.map_err(|lost| Error::new(ErrorKind::Sink, "the object was not ended").because(lost))??;
        let last = Bytes::from(last);
        let bytes = sent + last.len() as u64;
        let e_tag = match upload {
            None => put(&*log.store, &path, last).await?,
            Some(mut upload) => {
                upload.arrived(&path).await?;
                let whole = async {
                    upload.multipart.put_part(PutPayload::from_bytes(last)).await?;
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
            tracing::debug!(path = %self.path, error = cause(&error), "parts of an object that does not count stay");
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
