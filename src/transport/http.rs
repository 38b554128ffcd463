//! HTTP by `reqwest`: HTTP/1.1 and HTTP/2, TLS by rustls, gzip, timeouts on.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use futures::future::BoxFuture;
use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};
use url::Url;

use super::buffers::Buffers;
use super::builder::{Clients, HttpBuilder};
use super::failure::failure;
use super::{Response, Transport, body};
use crate::error::Result;
use crate::request::{Request, is_loopback};

/// The HTTP client. A clone shares the connections.
///
/// Redirects and retries are not its business, and it puts no credentials on anything.
///
/// ```
/// use std::time::Duration;
/// use headwater::Http;
/// let http = Http::builder().timeout(Duration::from_secs(60)).user_agent("acme-etl/1.0").build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Clone)]
pub struct Http {
    clients: Arc<RwLock<Clients>>,
    settings: Arc<HttpBuilder>,
    buffers: Buffers,
}

impl Http {
    /// A client with the defaults of [`Http::builder`].
    ///
    /// # Errors
    /// As for [`HttpBuilder::build`].
    pub fn new() -> Result<Self> {
        Self::builder().build()
    }

    /// The settings, with their defaults: 10 s to connect, 30 s between two reads, 120 s for a whole
    /// request, 64 MiB a page, proxies from the environment (never for loopback addresses).
    pub fn builder() -> HttpBuilder {
        HttpBuilder::default()
    }

    pub(super) fn with(clients: Clients, settings: HttpBuilder) -> Self {
        Self {
            clients: Arc::new(RwLock::new(clients)),
            settings: Arc::new(settings),
            buffers: Buffers::default(),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Response> {
        self.carrying(request, request.encoded_body().map(reqwest::Body::from)).await
    }

    /// Sends bytes in the place of a body that a request has of its own.
    #[cfg(feature = "bigquery")]
    pub(crate) async fn send_bytes(&self, request: &Request, body: bytes::Bytes) -> Result<Response> {
        self.carrying(request, Some(body.into())).await
    }

    async fn carrying(&self, request: &Request, body: Option<reqwest::Body>) -> Result<Response> {
        let mut outgoing = self
            .client_for(request.url())
            .request(request.method().clone(), request.url().clone())
            .headers(request.headers().clone())
            .timeout(request.whole_timeout().unwrap_or(self.settings.timeout));
        if !request.headers().contains_key(ACCEPT) {
            outgoing = outgoing.header(ACCEPT, HeaderValue::from_static("application/json"));
        }
        if !request.headers().contains_key(ACCEPT_ENCODING) {
            outgoing = outgoing.header(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(body) = body {
            outgoing = outgoing.body(body);
        }
        let mut incoming = outgoing.send().await.map_err(failure)?;
        let body = if incoming.status().is_success() {
            body::page(&mut incoming, self.settings.max_page_bytes, &self.buffers).await?
        } else {
            // Whatever it is coded in, the status and the headers say what to do.
            body::beginning(&mut incoming).await
        };
        if incoming.status() == StatusCode::MISDIRECTED_REQUEST {
            self.leave_connections();
        }
        Ok(Response {
            status: incoming.status(),
            headers: std::mem::take(incoming.headers_mut()),
            body,
            received_at: SystemTime::now(),
        })
    }

    /// A proxy elsewhere cannot reach this machine's loopback addresses (Go's `net/http` has the same rule).
    fn client_for(&self, url: &Url) -> reqwest::Client {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        clients.direct.as_ref().filter(|_| is_loopback(url)).unwrap_or(&clients.client).clone()
    }

    /// Takes new connections from now on. RFC 9110 §15.5.20: after a 421 the request may be sent again, but
    /// over another connection, and the client would take the same one out of its pool. What is on its way
    /// keeps its own.
    fn leave_connections(&self) {
        match self.settings.clients() {
            Ok(new) => *self.clients.write().unwrap_or_else(PoisonError::into_inner) = new,
            Err(error) => tracing::warn!(%error, "no new connection can be had after a 421"),
        }
    }
}

impl Transport for Http {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        Box::pin(self.exchange(request))
    }

    fn max_page_bytes(&self) -> usize {
        self.settings.max_page_bytes
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("settings", &self.settings).finish_non_exhaustive()
    }
}
