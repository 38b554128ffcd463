//! The records of one page, and the mark behind them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use bytes::Bytes;
use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;
use serde_json::Value;

use super::Record;
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;
use crate::page::selection::Selection;
use crate::page::walk::Span;
use crate::page::{Page, Select};

/// The records of one page with the mark behind them: what travels from a source to a sink.
///
/// That both come together is the contract: a sink that has taken a batch has all the records before its
/// mark. An empty page is a batch too.
#[derive(Debug, Clone)]
pub struct Batch {
    // Boxed, for it is moved through many hands on its way to the sink.
    page: Box<Page>,
}

impl Batch {
    /// Finds the records of a page, unless that was done when it was fetched.
    ///
    /// # Errors
    /// `Config` if a path cannot be read, `RecordPath` if it is missing from the page or holds no array.
    pub fn new(page: Page, records: impl Into<Select>) -> Result<Self> {
        let mut page = page;
        page.select(&Arc::new(Selection::new(&records.into())?))?;
        Ok(Self { page: Box::new(page) })
    }

    /// The page.
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.spans().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.spans().is_empty()
    }

    /// The records, one by one.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let (text, at) = (self.text(), self.page.fetched_at);
        self.spans()
            .iter()
            .map(move |span| Record::slice(text.slice(span.start as usize..span.end as usize), at))
    }

    /// The text of the records, one by one, borrowed.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let text = self.text();
        self.spans().iter().map(|span| &text[span.start as usize..span.end as usize])
    }

    /// The text of the record of this index.
    pub(crate) fn slice(&self, index: usize) -> Option<&[u8]> {
        let span = self.spans().get(index)?;
        Some(&self.text()[span.start as usize..span.end as usize])
    }

    /// The record of this index.
    pub(crate) fn record(&self, index: usize) -> Option<Record> {
        let span = self.spans().get(index)?;
        Some(Record::slice(self.text().slice(span.start as usize..span.end as usize), self.page.fetched_at))
    }

    /// Adds fields to each record, as an object's last; see [`Fields`](crate::page::splice::Fields) for the rules.
    ///
    /// # Errors
    /// `TooLarge` if the records come to more than a page may have.
    #[allow(dead_code, reason = "a parent's fields are copied with it")]
    pub(crate) fn with_fields(mut self, fields: &[(String, Value)]) -> Result<Self> {
        self.page.add_fields(fields)?;
        Ok(self)
    }

    /// Some of its records, in their order, by their indices.
    pub(crate) fn only(&self, indices: &[usize]) -> Self {
        let mut page = self.page.clone();
        if let Some(selected) = &mut page.selected {
            selected.spans = indices.iter().filter_map(|index| selected.spans.get(*index).copied()).collect();
        }
        Self { page }
    }

    /// The first records of it, to which others are added.
    pub(super) fn edited(&self, first: usize) -> Edited {
        let mut edited =
            Edited { text: Vec::with_capacity(self.text().len()), spans: Vec::new(), cap: self.page.cap };
        for record in self.slices().take(first) {
            edited.append(record);
        }
        edited
    }

    /// The page with other records, which are [plain](Self::is_plain) or not known to be.
    pub(super) fn with_records(mut self, edited: Edited, is_plain: bool) -> Self {
        if let Some(selected) = &mut self.page.selected {
            (selected.spans, selected.text) = (edited.spans, Some(edited.text.into()));
            selected.plain = is_plain;
        }
        self
    }

    /// What the records are slices of.
    pub(super) fn text(&self) -> &Bytes {
        self.page.selected.as_ref().map_or(&self.page.body, |selected| selected.text(&self.page.body))
    }

    /// Whether it is known that each record stands on one line, and has no key that begins with two underscores or is
    /// written with an escape.
    pub(super) fn is_plain(&self) -> bool {
        self.page.selected.as_ref().is_some_and(|selected| selected.plain)
    }

    /// What stands behind the records.
    pub fn mark(&self) -> Mark {
        self.page.mark()
    }

    /// Whether it is the last one of its source in this run.
    pub fn is_last(&self) -> bool {
        self.page.mark.is_end()
    }

    /// When the page was complete (wall clock).
    pub fn fetched_at(&self) -> SystemTime {
        self.page.fetched_at
    }

    fn spans(&self) -> &[Span] {
        self.page.selected.as_ref().map_or(&[], |selected| &selected.spans)
    }
}

/// Records that were changed, in a text of their own.
#[derive(Debug)]
pub(super) struct Edited {
    text: Vec<u8>,
    spans: Vec<Span>,
    cap: usize,
}

impl Edited {
    fn append(&mut self, record: &[u8]) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(record);
        self.spans.push(Span { start, end: self.text.len() as u32 });
    }

    /// Adds a record.
    ///
    /// # Errors
    /// `TooLarge` if the records come to more than a page may have.
    pub(super) fn push(&mut self, record: &[u8]) -> Result<()> {
        let cap = self.cap.min(u32::MAX as usize);
        if self.text.len() + record.len() > cap {
            let what = format!("with what is made of them, the records come to more than {cap} bytes");
            return Err(Error::new(ErrorKind::TooLarge, what)
                .advice("ask for smaller pages, or raise `max_page_bytes`"));
        }
        self.append(record);
        Ok(())
    }
}

/// The stream of [`RecordsExt::batches`](super::RecordsExt::batches).
#[pin_project]
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Batches<S> {
    #[pin]
    pages: S,
    /// The error of a path that cannot be read waits here for the first poll.
    selection: Result<Arc<Selection>>,
    ended: bool,
}

impl<S> Batches<S> {
    pub(super) fn new(pages: S, records: &Select) -> Self {
        let selection = Selection::new(records).map(Arc::new);
        Self { pages, selection, ended: false }
    }
}

impl<S: Stream<Item = Result<Page>>> Stream for Batches<S> {
    type Item = Result<Batch>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.project();
        if *this.ended {
            return Poll::Ready(None);
        }
        let selection = match this.selection {
            Ok(selection) => selection,
            Err(error) => {
                *this.ended = true;
                let error = std::mem::replace(error, Error::config("the record path cannot be read"));
                return Poll::Ready(Some(Err(error)));
            }
        };
        let batch = match ready!(this.pages.poll_next(cx)) {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(mut page)) => Some(match page.select(selection) {
                Ok(()) => Ok(Batch { page: Box::new(page) }),
                Err(error) => Err(error.at(|context| {
                    context.page = Some(page.number);
                    context.position = Some(page.position.to_string());
                })),
            }),
        };
        // An error that comes through here was not retried below: it is the end.
        *this.ended = !matches!(batch, Some(Ok(_)));
        Poll::Ready(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        if self.ended { (0, Some(0)) } else { self.pages.size_hint() }
    }
}

impl<S: Stream<Item = Result<Page>>> FusedStream for Batches<S> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::ErrorKind;
    use crate::request::Position;

    #[test]
    fn a_batch_takes_fields_and_stays_a_batch() {
        let body = r#"{"data":[{"id":1},{"id":2,"repo":"own"},7]}"#;
        let page = Page::new(body, 1, Position::Start, None).unwrap();
        let batch = Batch::new(page, "data").unwrap();
        let fields = [("repo".to_owned(), json!("a/b")), ("stars".to_owned(), json!(3))];
        let batch = batch.with_fields(&fields).unwrap();
        let expected = [
            r#"{"id":1,"repo":"a/b","stars":3}"#,
            r#"{"id":2,"repo_original":"own","repo":"a/b","stars":3}"#,
            r#"{"value":7,"repo":"a/b","stars":3}"#,
        ];
        let records: Vec<_> = batch.records().map(|record| record.as_str().to_owned()).collect();
        assert_eq!(records, expected);
        assert_eq!(batch.slices().collect::<Vec<_>>(), expected.map(str::as_bytes));
        assert_eq!(batch.page().text(), body);
        // Once more, one level down.
        let batch = batch.with_fields(&[("org".to_owned(), json!(null))]).unwrap();
        assert_eq!(batch.record(0).unwrap().as_str(), r#"{"id":1,"repo":"a/b","stars":3,"org":null}"#);
        let mut lines = Vec::new();
        crate::records::Annotator::new("s").append_batch(&batch, &mut lines);
        assert!(lines.starts_with(br#"{"id":1,"repo":"a/b","stars":3,"org":null,"__source":"s""#));
        // Fields like those that a line is given.
        let batch = batch.with_fields(&[("__source".to_owned(), json!("x"))]).unwrap();
        lines.clear();
        crate::records::Annotator::new("s").append_batch(&batch, &mut lines);
        assert!(lines.starts_with(
            br#"{"id":1,"repo":"a/b","stars":3,"org":null,"__source_original":"x","__source":"s""#
        ));
    }

    #[test]
    fn fields_do_not_make_a_page_larger_than_a_page_may_be() {
        let mut page = Page::new("[1,2,3]", 1, Position::Start, None).unwrap();
        page.cap = 60;
        let batch = Batch::new(page, "").unwrap();
        let long = [("a".to_owned(), json!("x".repeat(20)))];
        assert_eq!(batch.clone().with_fields(&long).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(batch.with_fields(&[("a".to_owned(), json!(1))]).unwrap().len(), 3);
    }
}
