//! How one request becomes one answer.
//!
//! A [`Transport`] does exactly one exchange: no redirects, no retries, no credentials of its own. What is
//! above it (`exchange/`) follows redirects inside the allowed origins and puts the credentials on each
//! hop; retrying is the work of the stream adapters.

mod body;
mod buffers;
mod builder;
mod coding;
mod failure;
mod http;

use std::fmt;
use std::time::SystemTime;

use ::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;
use futures::future::BoxFuture;

pub use builder::HttpBuilder;
pub use http::Http;

use crate::error::Result;
use crate::page::MAX_PAGE_BYTES;
use crate::request::Request;

/// One complete answer. `Debug` shows neither the body nor the values of the headers.
#[derive(Clone)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, decoded.
    pub body: Bytes,
    /// When the answer was complete (wall clock).
    pub received_at: SystemTime,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Sends one request and reads one answer to its end.
///
/// Implement it to put something else in the place of HTTP: a fake for tests, a recording, another client.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request as it is and reads the whole answer, whatever its status. A redirect is an answer.
    /// Dropping the future abandons the exchange.
    ///
    /// # Errors
    /// `Connect`, `Tls`, `Timeout`, `Interrupted`, `TooLarge` or `Encoding`, with their transience and with the
    /// bytes that had come (`Context::received`); never an error for a status. An error must not quote the URL or a header.
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>>;

    /// How large a page may be, in bytes, whatever it is turned into and whatever is added to its records. The
    /// default is 64 MiB.
    fn max_page_bytes(&self) -> usize {
        MAX_PAGE_BYTES
    }
}

impl<T: Transport + ?Sized> Transport for std::sync::Arc<T> {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        (**self).send(request)
    }

    fn max_page_bytes(&self) -> usize {
        (**self).max_page_bytes()
    }
}
