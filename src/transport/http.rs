//! HTTP by `reqwest`: HTTP/1.1 and HTTP/2, TLS by rustls, gzip, timeouts on.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use http::StatusCode;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderValue};
use url::{Host, Url};

use super::failure::failure;
use super::{Response, Transport, body};
use crate::error::{Error, Result};
use crate::request::{Request, Secret};

/// Spans of a document are 32 bits wide.
const MOST_PAGE_BYTES: usize = u32::MAX as usize;
/// The same for HTTP/2 as hyper has for HTTP/1.1; its own limit of 16 KiB is less than some proxies send.
const HEADER_BYTES: u32 = 408 * 1024;

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
}

#[derive(Clone)]
struct Clients {
    client: reqwest::Client,
    /// For this machine itself: no proxy stands in between. Only made where there are proxies.
    direct: Option<reqwest::Client>,
}

/// The settings of an [`Http`] client.
#[derive(Clone)]
#[must_use]
pub struct HttpBuilder {
    connect_timeout: Duration,
    read_timeout: Duration,
    timeout: Duration,
    max_page_bytes: usize,
    user_agent: String,
    proxies: Proxies,
    /// In PEM.
    roots: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Proxies {
    Environment,
    None,
    /// Secret, for the URL of a proxy may hold a password.
    One(Secret),
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
            proxies: Proxies::Environment,
            roots: Vec::new(),
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Response> {
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
        if let Some(body) = request.body() {
            outgoing = outgoing.body(body.to_string());
        }
        let mut incoming = outgoing.send().await.map_err(failure)?;
        let body = if incoming.status().is_success() {
            body::page(&mut incoming, self.settings.max_page_bytes).await?
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

    /// Uses this proxy for everything but loopback addresses: `http://[user:password@]host:port`. The proxies
    /// of the environment (`HTTPS_PROXY`, `NO_PROXY` and their kin) no longer count. The default is those of
    /// the environment.
    ///
    /// An https URL goes through the proxy in a tunnel (CONNECT), so the proxy sees the host and nothing else;
    /// an http URL is readable for it, credentials included. The user name and the password are for the proxy
    /// only; they are in no error and no `Debug` form. A URL that cannot be used comes out of
    /// [`build`](Self::build), as `Config`.
    ///
    /// ```
    /// use headwater::Http;
    /// let http = Http::builder().proxy("http://proxy.corp.example:3128").build()?;
    /// # Ok::<(), headwater::Error>(())
    /// ```
    pub fn proxy(mut self, url: impl Into<Secret>) -> Self {
        self.proxies = Proxies::One(url.into());
        self
    }

    /// Uses no proxy, not even one that the environment names (`HTTPS_PROXY` and its kin).
    pub fn no_proxy(mut self) -> Self {
        self.proxies = Proxies::None;
        self
    }

    /// Trusts these certification authorities too, besides those that the machine trusts: one or more
    /// certificates in PEM. For APIs behind a company's own authority, or a proxy that opens TLS. Each call adds
    /// to those before it; the default is none.
    ///
    /// What is not a certificate comes out of [`build`](Self::build), as `Config`.
    ///
    /// ```no_run
    /// use headwater::Http;
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let http = Http::builder().root_certificate(std::fs::read("corporate-ca.pem")?).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    /// `Config` if the user agent is not a header value, the proxy is not an http or https URL, a root
    /// certificate cannot be read, or TLS cannot be set up.
    pub fn build(self) -> Result<Http> {
        let clients = self.clients()?;
        Ok(Http { clients: Arc::new(RwLock::new(clients)), settings: Arc::new(self) })
    }

    fn clients(&self) -> Result<Clients> {
        let proxied = match self.proxies {
            Proxies::Environment => proxies_are_set(),
            Proxies::None => false,
            Proxies::One(_) => true,
        };
        let direct = if proxied { Some(self.make(&Proxies::None)?) } else { None };
        Ok(Clients { client: self.make(&self.proxies)?, direct })
    }

    fn make(&self, proxies: &Proxies) -> Result<reqwest::Client> {
        let roots = self.roots()?;
        let mut client = self.client(proxies)?.tls_certs_merge(roots.clone()).build();
        if client.as_ref().is_err_and(reqwest::Error::is_builder)
            && !self.user_agent.contains(char::is_control)
        {
            // A machine without a certificate store can still speak plain HTTP; on such a machine every https
            // request fails with "unknown issuer", which is the truth, unless its authority was given.
            tracing::warn!("no certificate store was found on this machine");
            client = self.client(proxies)?.tls_certs_only(roots).build();
        }
        client.map_err(|error| Error::config("the HTTP client cannot be made").because(error.without_url()))
    }

    fn client(&self, proxies: &Proxies) -> Result<reqwest::ClientBuilder> {
        let client = reqwest::Client::builder()
            .user_agent(self.user_agent.clone())
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http2_max_header_list_size(HEADER_BYTES);
        Ok(match proxies {
            Proxies::Environment => client,
            Proxies::None => client.no_proxy(),
            Proxies::One(url) => client.proxy(proxy(url)?),
        })
    }

    fn roots(&self) -> Result<Vec<reqwest::Certificate>> {
        let mut roots = Vec::new();
        for pem in &self.roots {
            let found = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
            if found.is_empty() {
                return Err(Error::config("a root certificate cannot be read")
                    .advice("it must be in PEM: -----BEGIN CERTIFICATE-----"));
            }
            roots.extend(found);
        }
        Ok(roots)
    }
}

fn proxy(url: &Secret) -> Result<reqwest::Proxy> {
    // Neither the URL nor what is wrong with it is quoted: there may be a password in it.
    let unusable = || Error::config("the proxy is not an http or https URL");
    let url = Url::parse(url.expose()).map_err(|_| unusable())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(unusable());
    }
    reqwest::Proxy::all(url).map_err(|_| unusable())
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpBuilder")
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("timeout", &self.timeout)
            .field("max_page_bytes", &self.max_page_bytes)
            .field("user_agent", &self.user_agent)
            .field("proxies", &self.proxies)
            .field("root_certificates", &self.roots.len())
            .finish()
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
