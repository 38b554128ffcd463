//! The output of a source: its records into objects.

use std::sync::Arc;

use super::encode::Lines;
use super::object::{Object, Place, Uploads};
use super::opening::State;
#[cfg(feature = "parquet")]
use super::rows::Table;
use crate::checkpoint::SinkState;
use crate::checkpoint::objects::Log;
use crate::error::{Error, ErrorKind, Result};
use crate::records::Batch;
use crate::sink::files::Compression;

/// The output of one source.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) label: String,
    /// What the checkpoint keeps; of objects, how many were begun.
    pub(super) state: State,
    pub(super) session: u64,
    pub(super) compression: Compression,
    pub(super) log: Arc<Log>,
    /// Whether something was written since the last commit, be it an empty page.
    pub(super) touched: bool,
    /// Records, or letters of those that were rejected.
    pub(super) lines: Option<Object<Lines>>,
    /// Objects of this commit that nothing comes to any more.
    pub(super) ended: Vec<Object>,
    #[cfg(feature = "parquet")]
    pub(super) table: Option<Table>,
}

impl Output {
    /// Takes the records of a page, and uploads what parts are ready. Gives itself back, unless the work was lost.
    pub(super) async fn write(mut self, batch: &Batch, uploads: &Uploads) -> Result<(Self, Result<()>)> {
        self.touched = true;
        if batch.is_empty() {
            return Ok((self, Ok(())));
        }
        let batch = batch.clone();
        match self.is_plain() {
            true => {
                let written = self.append(&batch);
                self.sent(written, uploads).await
            }
            false => self.worked(move |output| output.append(&batch), uploads).await,
        }
    }

    /// Writes what is held back.
    pub(super) async fn settle(self, uploads: &Uploads) -> Result<(Self, Result<()>)> {
        match self.is_plain() {
            true => Ok((self, Ok(()))),
            false => self.worked(Self::settle_rows, uploads).await,
        }
    }

    /// Does what may take a while where it holds up nobody.
    async fn worked(
        mut self,
        work: impl FnOnce(&mut Self) -> Result<()> + Send + 'static,
        uploads: &Uploads,
    ) -> Result<(Self, Result<()>)> {
        let work = tokio::task::spawn_blocking(move || {
            let worked = work(&mut self);
            (self, worked)
        });
        let lost = |lost| Error::new(ErrorKind::Sink, "the records were not encoded").because(lost);
        let (output, worked) = work.await.map_err(lost)?;
        output.sent(worked, uploads).await
    }

    async fn sent(mut self, worked: Result<()>, uploads: &Uploads) -> Result<(Self, Result<()>)> {
        let sent = match worked {
            Ok(()) => self.send(uploads).await,
            Err(error) => Err(error),
        };
        Ok((self, sent))
    }

    async fn send(&mut self, uploads: &Uploads) -> Result<()> {
        #[cfg(feature = "parquet")]
        if let Some(object) = self.table.as_mut().and_then(|table| table.object.as_mut()) {
            object.send(uploads).await?;
        }
        if let Some(object) = &mut self.lines {
            object.send(uploads).await?;
        }
        for object in &mut self.ended {
            object.send(uploads).await?;
        }
        Ok(())
    }

    /// Whether nothing of it takes long.
    fn is_plain(&self) -> bool {
        #[cfg(feature = "parquet")]
        if self.table.is_some() {
            return false;
        }
        self.compression.is_none()
    }

    fn append(&mut self, batch: &Batch) -> Result<()> {
        #[cfg(feature = "parquet")]
        if let Some(mut table) = self.table.take() {
            let written = table.write(batch, self);
            self.table = Some(table);
            return written;
        }
        self.append_lines(batch, false)
    }

    fn settle_rows(&mut self) -> Result<()> {
        #[cfg(feature = "parquet")]
        if let Some(mut table) = self.table.take() {
            let settled = table.settle(self);
            self.table = Some(table);
            return settled;
        }
        Ok(())
    }

    /// Writes records as they are.
    pub(super) fn append_lines(&mut self, batch: &Batch, is_rejected: bool) -> Result<()> {
        let mut object = match self.lines.take() {
            Some(object) => object,
            None => {
                let place = self.place(&format!("jsonl{}", self.compression.suffix()), is_rejected);
                Object::new(place, Lines::new(&self.label, self.compression)?)
            }
        };
        let appended = object.encoder.append(batch);
        object.rows += batch.len() as u64;
        self.lines = Some(object);
        appended
    }

    /// The place of the next object.
    pub(super) fn place(&mut self, extension: &str, is_rejected: bool) -> Place {
        let State { folder, objects, .. } = &self.state;
        let (number, session) = (*objects, self.session);
        let source = self.state.place(is_rejected);
        let name = format!("{source}/{folder}/{number:06}-{session}.{extension}");
        self.state.objects += 1;
        Place { path: self.log.path(&name), name, number, is_rejected }
    }

    /// Takes the objects out that a commit completes, in the order in which they were begun.
    pub(super) fn objects(&mut self) -> Vec<Object> {
        let mut objects = std::mem::take(&mut self.ended);
        objects.extend(self.lines.take().map(Object::any));
        #[cfg(feature = "parquet")]
        objects.extend(self.table.as_mut().and_then(|table| table.object.take()).map(Object::any));
        objects.sort_by_key(|object| object.place.number);
        objects
    }

    /// What the checkpoint keeps, as it is now.
    pub(super) fn told(&mut self) -> Result<SinkState> {
        #[cfg(feature = "parquet")]
        if let Some(table) = &self.table {
            self.state.schema = Some(table.state()?);
        }
        self.state.json()
    }

    /// How much of it is in memory, and not on its way.
    pub(super) fn gathered(&mut self) -> usize {
        let gathered = self.lines.as_mut().map_or(0, Object::gathered);
        #[cfg(feature = "parquet")]
        let gathered = gathered + self.table.as_mut().map_or(0, Table::gathered);
        gathered + self.ended.iter_mut().map(Object::gathered).sum::<usize>()
    }

    /// How large its largest object is until now.
    pub(super) fn size(&mut self) -> u64 {
        let size = self.lines.as_mut().map_or(0, Object::size);
        #[cfg(feature = "parquet")]
        let size = size.max(self.table.as_mut().map_or(0, Table::size));
        size
    }

    /// Gives up what was begun.
    pub(super) async fn abort(mut self) {
        for object in self.objects() {
            object.abort().await;
        }
    }
}
