//! From pages to records, and what is done to a record on its way.
//!
//! A [`Record`] is a slice of its page: between the socket and the file nothing is parsed into a value. A
//! [`Batch`] is all the records of one page with the [`Mark`](crate::Mark) behind them.

mod annotate;
mod batch;
mod flatten;
mod record;

use futures::stream::Map;
use futures::{Stream, StreamExt};
use serde::de::DeserializeOwned;

pub use annotate::Annotator;
pub use batch::{Batch, Batches};
pub use flatten::Records;
pub use record::Record;

use crate::error::Result;
use crate::page::JsonPath;
use crate::pages::Paged;

/// From pages to records, and from records to values.
pub trait RecordsExt: Stream + Sized {
    /// Flattens the pages into their records, found at a dotted path or a JSON Pointer ([`JsonPath`]).
    ///
    /// A page gives all its records or none. An error of the pages comes through and is the end; a path
    /// that cannot be read comes out as the first item.
    fn records(self, path: &str) -> Records<Self>
    where
        Self: Paged,
    {
        Records::over(self.batches(path))
    }

    /// Turns each page into a [`Batch`]: its records, found at a path, with the mark behind them. This is
    /// the stream to merge and to write: flattening comes last.
    fn batches(mut self, path: &str) -> Batches<Self>
    where
        Self: Paged,
    {
        let path = JsonPath::parse(path);
        if let Ok(path) = &path {
            self.select(path);
        }
        Batches::new(self, path)
    }

    /// Reads each record as a type of one's own. A record that is not of that type comes out as an error of
    /// kind `Record`, and the stream goes on.
    fn parse<T>(self) -> Map<Self, fn(Result<Record>) -> Result<T>>
    where
        Self: Stream<Item = Result<Record>>,
        T: DeserializeOwned,
    {
        self.map(|record| record?.parse())
    }

    /// Adds `__source` and `__ingested_at` to each record, by the rules of [`Annotator`].
    fn annotate(self, source: &str) -> impl Stream<Item = Result<Record>>
    where
        Self: Stream<Item = Result<Record>>,
    {
        let mut annotator = Annotator::new(source);
        self.map(move |record| {
            let record = record?;
            let mut line = Vec::with_capacity(record.as_bytes().len() + 96);
            annotator.append(&record, &mut line);
            // Without the line break.
            line.pop();
            Ok(Record::slice(line.into(), record.fetched_at()))
        })
    }
}

impl<S: Stream> RecordsExt for S {}
