//! JSON text that is being written, up to a cap.

use std::io;

use bytes::Bytes;

use crate::error::{Error, ErrorKind, Result};

/// JSON text with a cap on its bytes.
#[derive(Debug)]
pub(super) struct JsonText {
    text: Vec<u8>,
    cap: usize,
}

impl JsonText {
    pub(super) fn new(cap: usize) -> Self {
        Self { text: Vec::new(), cap: cap.min(u32::MAX as usize) }
    }

    /// Appends text as it is.
    pub(super) fn raw(&mut self, text: &[u8]) -> Result<()> {
        if self.text.len() + text.len() > self.cap {
            return Err(too_large(self.cap));
        }
        self.text.extend_from_slice(text);
        Ok(())
    }

    /// Appends a string, with its quotes and escapes.
    #[cfg(any(feature = "csv", feature = "xml"))]
    pub(super) fn string(&mut self, text: &str) -> Result<()> {
        let cap = self.cap;
        serde_json::to_writer(self, text).map_err(|_| too_large(cap))
    }

    #[cfg(any(feature = "csv", feature = "xml"))]
    pub(super) fn cap(&self) -> usize {
        self.cap
    }

    pub(super) fn done(self) -> Bytes {
        self.text.into()
    }
}

impl io::Write for JsonText {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        // An error ends the writing of a string as soon as there is no more room.
        self.raw(text).map(|()| text.len()).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn too_large(cap: usize) -> Error {
    Error::new(ErrorKind::TooLarge, format!("as JSON the page comes to more than {cap} bytes"))
        .advice("ask for smaller pages, or raise `max_page_bytes`")
}
