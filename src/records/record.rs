//! One record: a slice of the page that it came in.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};

/// One record, as the bytes that the server sent: numbers keep their digits, keys their order.
///
/// It shares the memory of its page, so cloning costs nothing, and keeping one keeps the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    bytes: Bytes,
    fetched_at: SystemTime,
}

impl Record {
    /// Takes a JSON value as text, for a record of one's own.
    ///
    /// # Errors
    /// `Record` if the bytes are not one JSON value in UTF-8.
    pub fn new(json: impl Into<Bytes>, fetched_at: SystemTime) -> Result<Self> {
        let bytes: Bytes = json.into();
        let raw: &serde_json::value::RawValue = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(ErrorKind::Record, "a record must be one JSON value").because(error)
        })?;
        let bytes = bytes.slice_ref(raw.get().as_bytes());
        Ok(Self { bytes, fetched_at })
    }

    /// A slice of a page, which has been validated.
    pub(crate) fn slice(bytes: Bytes, fetched_at: SystemTime) -> Self {
        Self { bytes, fetched_at }
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        // It was cut out of valid UTF-8 at the ends of a JSON value.
        std::str::from_utf8(&self.bytes).unwrap_or_default()
    }

    /// The JSON text as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The JSON text as shared bytes.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// When the page of this record was complete (wall clock).
    pub fn fetched_at(&self) -> SystemTime {
        self.fetched_at
    }

    /// Reads the record as a type of one's own; it may borrow from the record.
    ///
    /// ```
    /// use headwater::Record;
    /// #[derive(serde::Deserialize)]
    /// struct Issue<'a> { title: &'a str }
    ///
    /// let record = Record::new(r#"{"title":"leak","number":7}"#, std::time::SystemTime::now())?;
    /// assert_eq!(record.parse::<Issue>()?.title, "leak");
    /// # Ok::<(), headwater::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Record` if the record is not of that type. The values of the record are not quoted.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| {
            // What serde says quotes the value that it did not like; the place is enough.
            let what = format!(
                "the record is not a {} (line {}, column {})",
                std::any::type_name::<T>(),
                error.line(),
                error.column()
            );
            Error::new(ErrorKind::Record, what)
        })
    }
}
