//! The settings of the client, and the clients made of them.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::Http;
use crate::error::{Error, Result};
use crate::page::MAX_PAGE_BYTES;
use crate::request::Secret;

/// Spans of a document are 32 bits wide.
const MOST_PAGE_BYTES: usize = u32::MAX as usize;
/// The same for HTTP/2 as hyper has for HTTP/1.1; its own limit of 16 KiB is less than some proxies send.
const HEADER_BYTES: u32 = 408 * 1024;

/// The settings of an [`Http`] client.
#[derive(Clone)]
#[must_use]
pub struct HttpBuilder {
    connect_timeout: Duration,
    read_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) max_page_bytes: usize,
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

#[derive(Clone)]
pub(super) struct Clients {
    pub(super) client: reqwest::Client,
    /// For this machine itself: no proxy stands in between. Only made where there are proxies.
    pub(super) direct: Option<reqwest::Client>,
}

impl Default for HttpBuilder {
    /// The same as [`Http::builder`].
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            timeout: Duration::from_secs(120),
            max_page_bytes: MAX_PAGE_BYTES,
            user_agent: concat!("headwater/", env!("CARGO_PKG_VERSION")).to_owned(),
            proxies: Proxies::Environment,
            roots: Vec::new(),
        }
    }
}

impl HttpBuilder {
    /// How long connecting may take, TLS included. The default is 10 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may be silent between two reads. The default is 30 s.
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// How long a whole request may take, body included; each redirect is one of its own. The default is 120 s.
    /// [`Request::timeout`](crate::Request::timeout) overrides it.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How large a page may be, in decoded bytes, below 4 GiB. A larger one fails with `TooLarge`. The default is
    /// 64 MiB.
    pub fn max_page_bytes(mut self, bytes: usize) -> Self {
        self.max_page_bytes = bytes.clamp(1, MOST_PAGE_BYTES);
        self
    }

    /// What the client calls itself. The default is `headwater/` and the version.
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
    /// let issues = headwater::Source::get("issues", "https://api.example.com/issues")
    ///     .transport(http.clone()) // a clone shares the connections: give one to each source
    ///     .records("")
    ///     .paginate(headwater::paginate::LinkHeader::new())
    ///     .build()?;
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
        Ok(Http::with(clients, self))
    }

    pub(super) fn clients(&self) -> Result<Clients> {
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

fn proxies_are_set() -> bool {
    let set =
        |name: &str| std::env::var_os(name).is_some() || std::env::var_os(name.to_uppercase()).is_some();
    ["http_proxy", "https_proxy", "all_proxy"].into_iter().any(set)
}
