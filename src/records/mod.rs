//! From pages to records, and what is done to a record on its way.
//!
//! A [`Record`] is a slice of its page: between the socket and the file nothing is parsed into a value. A
//! [`Batch`] is all the records of one page with the [`Mark`](crate::Mark) behind them.

mod annotate;
mod batch;
mod flatten;
pub(crate) mod object;
mod parse;
mod record;
mod transform;

use futures::Stream;
use serde::de::DeserializeOwned;

pub use annotate::{Annotate, Annotator};
pub use batch::{Batch, Batches};
pub use flatten::Records;
pub use parse::Parse;
pub use record::Record;
pub use transform::{Transform, Transformed, TransformedBatches};

use crate::error::Result;
use crate::page::Select;
use crate::pages::Paged;

/// From pages to records, and from records to values.
pub trait RecordsExt: Stream + Sized {
    /// Flattens the pages into their records, found at a dotted path or a JSON Pointer
    /// ([`JsonPath`](crate::JsonPath)), or as a [`Select`] says.
    ///
    /// A page gives all its records or none. An error of the pages comes through and is the end; a path
    /// that cannot be read comes out as the first item.
    fn records(self, records: impl Into<Select>) -> Records<Self>
    where
        Self: Paged,
    {
        Records::over(self.batches(records))
    }

    /// Turns each page into a [`Batch`]: its records, found at a path, with the mark behind them. This is
    /// the stream to merge and to write: flattening comes last.
    fn batches(mut self, records: impl Into<Select>) -> Batches<Self>
    where
        Self: Paged,
    {
        let records = records.into();
        self.select(&records);
        Batches::new(self, &records)
    }

    /// Reads each record as a type of one's own. A record that is not of that type comes out as an error of
    /// kind `Record`, and the stream goes on.
    fn parse<T>(self) -> Parse<Self, T>
    where
        Self: Stream<Item = Result<Record>>,
        T: DeserializeOwned,
    {
        Parse::new(self)
    }

    /// Adds `__source` and `__ingested_at` to each record, by the rules of [`Annotator`].
    ///
    /// Each record is copied; to write a file, [`Annotator::append_batch`] is cheaper.
    fn annotate(self, source: &str) -> Annotate<Self>
    where
        Self: Stream<Item = Result<Record>>,
    {
        Annotate::new(self, source)
    }

    /// Changes each record by the steps of a [`Transform`]. A record for which that fails comes out as an error, and the
    /// stream goes on.
    fn transform(self, transform: Transform) -> Transformed<Self>
    where
        Self: Stream<Item = Result<Record>>,
    {
        Transformed::new(self, transform)
    }

    /// Changes the records of each page by the steps of a [`Transform`]. A page of which no record changes is passed on as it
    /// is; an error is the end.
    ///
    /// ```
    /// use futures::{TryStreamExt, stream};
    /// use headwater::records::{Batch, Transform};
    /// use headwater::{Page, Position, RecordsExt};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> headwater::Result<()> {
    /// let page = Page::new(r#"[{"id":1,"mail":"a@b"},{"id":2}]"#, 1, Position::Start, None)?;
    /// let batches = stream::iter([Batch::new(page, "")]).transform_batches(Transform::new().redact(["mail"]));
    /// let batches: Vec<_> = batches.try_collect().await?;
    /// assert_eq!(batches[0].slices().next().unwrap(), br#"{"id":1,"mail":"***"}"#);
    /// # Ok(())
    /// # }
    /// ```
    fn transform_batches(self, transform: Transform) -> TransformedBatches<Self>
    where
        Self: Stream<Item = Result<Batch>>,
    {
        TransformedBatches::new(self, transform)
    }
}

impl<S: Stream> RecordsExt for S {}
