//! HTTP by `reqwest`: HTTP/1.1 and HTTP/2, TLS by rustls, gzip, timeouts on.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::header::{ACCEPT, CONTENT_ENCODING, HeaderMap, HeaderValue};
use url::{Host, Url};

use super::{Response, Transport};
use crate::error::{Error, ErrorKind, Result};
use crate::request::Request;

/// Spans of a document are 32 bits wide.
const MOST_PAGE_BYTES: usize = u32::MAX as usize;
/// Of the body of a failure, no more than this is kept: it is only for the error message and the rules.
const FAILURE_BYTES: usize = 64 * 1024;

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
#[derive(Debug, Clone)]
pub struct Http {
    client: reqwest::Client,
    /// For this machine itself: no proxy stands in between. Only made where there are proxies.
    direct: Option<reqwest::Client>,
    timeout: Duration,
    max_page_bytes: usize,
}

/// The settings of an [`Http`] client.
#[derive(Debug, Clone)]
#[must_use]
pub struct HttpBuilder {
    connect_timeout: Duration,
    read_timeout: Duration,
    timeout: Duration,
    max_page_bytes: usize,
    user_agent: String,
    proxy: bool,
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
        HttpBuilder {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(120),
            max_page_bytes: 64 * 1024 * 1024,
            user_agent: concat!("headwater/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxy: true,
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Response> {
        let client = self.direct.as_ref().filter(|_| is_loopback(request.url())).unwrap_or(&self.client);
        let mut outgoing = client
            .request(request.method().clone(), request.url().clone())
            .headers(request.headers().clone())
            .timeout(request.whole_timeout().unwrap_or(self.timeout));
        if !request.headers().contains_key(ACCEPT) {
            outgoing = outgoing.header(ACCEPT, HeaderValue::from_static("application/json"));
        }
        if let Some(body) = request.body() {
            outgoing = outgoing.body(body.to_string());
        }
        let mut incoming = outgoing.send().await.map_err(failure)?;
        let body = if incoming.status().is_success() {
            known_coding(incoming.headers())?;
            self.page_body(&mut incoming).await?
        } else {
            // Whatever it is coded in, the status and the headers say what to do.
            failure_body(&mut incoming).await
        };
        Ok(Response {
            status: incoming.status(),
            headers: std::mem::take(incoming.headers_mut()),
            body,
            received_at: SystemTime::now(),
        })
    }

    async fn page_body(&self, incoming: &mut reqwest::Response) -> Result<Bytes> {
        let too_large = || {
            Error::new(ErrorKind::TooLarge, format!("more than {} bytes in one page", self.max_page_bytes))
                .advice("ask for smaller pages, or raise `max_page_bytes`")
        };
        // The announced length is only trusted as far as it costs nothing.
        let announced = usize::try_from(incoming.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > self.max_page_bytes {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity(announced.min(1024 * 1024));
        while let Some(chunk) = incoming.chunk().await.map_err(failure)? {
            if body.len() + chunk.len() > self.max_page_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// Refuses a body that is still encoded. What was understood has been decoded, and its header is gone.
fn known_coding(headers: &HeaderMap) -> Result<()> {
    // Some servers put the charset here; the body is plain all the same.
    const PLAIN: [&str; 4] = ["", "identity", "none", "utf-8"];
    let codings =
        headers.get_all(CONTENT_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    for coding in codings.map(|coding| coding.trim().to_ascii_lowercase()) {
        if !PLAIN.contains(&coding.as_str()) {
            let what = format!("unknown content coding \"{}\"", coding.escape_debug());
            return Err(Error::new(ErrorKind::Encoding, what)
                .advice("gzip is understood; the server was asked for nothing else"));
        }
    }
    Ok(())
}

/// The beginning of a failure's body. That it breaks off does not matter: the status says enough.
async fn failure_body(incoming: &mut reqwest::Response) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(chunk)) = incoming.chunk().await {
        let room = FAILURE_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == FAILURE_BYTES {
            break;
        }
    }
    body.freeze()
}

impl Transport for Http {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        Box::pin(self.exchange(request))
    }
}

impl HttpBuilder {
    /// How long connecting may take, TLS included.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may be silent between two reads.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long a whole request may take, body included. [`Request::timeout`] overrides it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How large a page may be, in decoded bytes, below 4 GiB. A larger one fails with `TooLarge`.
    pub fn max_page_bytes(mut self, bytes: usize) -> Self {
        self.max_page_bytes = bytes.clamp(1, MOST_PAGE_BYTES);
        self
    }

    /// What the client calls itself.
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Does not use the proxies that the environment names (`HTTPS_PROXY` and its kin).
    pub fn no_proxy(mut self) -> Self {
        self.proxy = false;
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// `Config` if the user agent is not a header value, or TLS cannot be set up.
    pub fn build(self) -> Result<Http> {
        let client = self.make(self.proxy)?;
        let direct = if self.proxy && proxies_are_set() { Some(self.make(false)?) } else { None };
        Ok(Http { client, direct, timeout: self.timeout, max_page_bytes: self.max_page_bytes })
    }

    fn make(&self, proxy: bool) -> Result<reqwest::Client> {
        let client = self.client(proxy).build().or_else(|error| {
            if error.is_builder() && !self.user_agent.contains(|c: char| c.is_control()) {
                // A machine without a certificate store can still speak plain HTTP; on such a machine every
                // https request fails with "unknown issuer", which is the truth.
                tracing::warn!("no certificate store was found on this machine: https will not work");
                return self.client(proxy).tls_certs_only([]).build();
            }
            Err(error)
        });
        client.map_err(|error| Error::config("the HTTP client cannot be made").because(error.without_url()))
    }

    fn client(&self, proxy: bool) -> reqwest::ClientBuilder {
        let client = reqwest::Client::builder()
            .user_agent(self.user_agent.clone())
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false);
        if proxy { client } else { client.no_proxy() }
    }
}

/// A proxy elsewhere cannot reach this machine's loopback addresses (Go's `net/http` has the same rule).
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn proxies_are_set() -> bool {
    let set =
        |name: &str| std::env::var_os(name).is_some() || std::env::var_os(name.to_uppercase()).is_some();
    ["http_proxy", "https_proxy", "all_proxy"].into_iter().any(set)
}

/// Turns a failure of the client into an error, without its URL.
fn failure(error: reqwest::Error) -> Error {
    let error = error.without_url();
    sort(&error).because(error)
}

/// Sorts a failure by what it means for the next attempt.
fn sort(error: &reqwest::Error) -> Error {
    let causes = causes(error);
    let mentions =
        |words: &[&str]| causes.iter().any(|cause| words.iter().any(|word| cause.to_string().contains(word)));

    if error.is_timeout() {
        return Error::new(ErrorKind::Timeout, "no answer in time").transient();
    }
    // rustls says so in the error that it hides in an `io::Error`.
    if mentions(&["invalid peer certificate", "received fatal alert", "peer is incompatible"]) {
        return Error::new(ErrorKind::Tls, "the server's certificate or protocol was not accepted");
    }
    if error.is_connect() {
        if mentions(&["proxy authorization required"]) {
            return Error::new(ErrorKind::Connect, "the proxy wants credentials (407)");
        }
        return Error::new(ErrorKind::Connect, "could not connect").transient();
    }
    if error.is_builder() {
        return Error::config("the request cannot be sent");
    }
    let corrupt = causes
        .iter()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| matches!(cause.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput));
    if corrupt || mentions(&["gzip", "invalid chunk", "invalid HTTP", "invalid content-length"]) {
        return Error::new(ErrorKind::Encoding, "the answer is garbled").once();
    }
    Error::new(ErrorKind::Interrupted, "the answer is not complete").transient()
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause);
        next = cause.source();
    }
    causes
}
