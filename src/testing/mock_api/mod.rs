//! An HTTP server on a loopback port that speaks six pagination dialects.

mod body;
mod data;
mod dialect;
mod faults;
mod limit;
mod resource;
mod server;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fmt, io};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use faults::Faults;
pub use resource::{Paging, Resource};

use crate::request::Secret;
use limit::TokenBucket;
use server::{Served, Shared};

/// An HTTP/1.1 server on a free loopback port, with data that never change.
///
/// Each [`Resource`] is at `/{name}`, in the dialect of its [`Paging`]. Errors are JSON: 400 for a bad
/// parameter, 401 without the token, 404 for another path, 405 for another method than GET, 429 above the
/// rate limit. Dropping the server stops it and closes its connections.
///
/// ```
/// use futures::TryStreamExt;
/// use headwater::testing::{MockApi, Paging, Resource};
/// use headwater::{Http, Pages, RecordsExt, Request, paginate::Cursor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let api = MockApi::builder()
///     .resource(Resource::new("invoices", 250).paging(Paging::Cursor))
///     .start()
///     .await?;
/// let paging = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
/// let pages = Pages::new(Http::new()?, Request::get(api.url("/invoices"))?, paging);
/// let records: Vec<_> = pages.records("data").try_collect().await?;
/// assert_eq!(records.len(), 250);
/// assert_eq!(api.stats()["invoices"].requests, 3);
/// # Ok(())
/// # }
/// ```
pub struct MockApi {
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

/// The settings of a [`MockApi`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct MockApiBuilder {
    resources: Vec<Resource>,
    bearer: Option<Secret>,
    rate_limit: Option<(f64, u32)>,
    latency: Duration,
    port: u16,
}

/// What a [`MockApi`] has done for one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Requests that came in, whatever became of them.
    pub requests: u64,
    /// How often each status was sent. A body that was cut off counts as the 200 that it began with.
    pub statuses: BTreeMap<u16, u64>,
    /// Records in complete answers.
    pub records: u64,
    /// Bodies that were cut off.
    pub cut: u64,
}

impl MockApi {
    /// The settings: no resource, no credentials, no rate limit, no latency, a free port.
    pub fn builder() -> MockApiBuilder {
        MockApiBuilder::default()
    }

    /// The beginning of every URL: `http://127.0.0.1:40123`, without a slash behind.
    pub fn base_url(&self) -> &str {
        &self.shared.base
    }

    /// The absolute URL of a path: `url("/customers")`.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{}", self.shared.base, path.trim_start_matches('/'))
    }

    /// What was done for each resource, by its name, and for all other paths, by the empty name.
    pub fn stats(&self) -> BTreeMap<String, Traffic> {
        self.shared.stats()
    }

    /// The ids of all records of a resource, in the order they are served.
    ///
    /// # Panics
    /// If there is no resource of this name.
    pub fn ids(&self, name: &str) -> impl Iterator<Item = String> + use<> {
        match self.shared.resource(name) {
            Some(served) => served.resource.ids(),
            None => panic!("the mock API has no resource {name:?}"),
        }
    }

    /// Stops the server and waits until its port is free. Dropping it stops it soon after.
    pub async fn stop(mut self) {
        self.server.abort();
        // It was aborted: that is what this says.
        let _ = (&mut self.server).await;
    }
}

impl Drop for MockApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for MockApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockApi")
            .field("base_url", &self.shared.base)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl MockApiBuilder {
    /// Adds a resource.
    pub fn resource(mut self, resource: Resource) -> Self {
        self.resources.push(resource);
        self
    }

    /// Requires `Authorization: Bearer <token>`; every other request is answered with 401. The default is to
    /// require nothing.
    pub fn bearer(mut self, token: impl Into<Secret>) -> Self {
        self.bearer = Some(token.into());
        self
    }

    /// Limits the requests to all resources together, by a token bucket. Above it the answer is 429 with
    /// `Retry-After`; every answer has `X-RateLimit-Limit` (the burst), `-Remaining`, and `-Reset`: the
    /// seconds until there is one request more. Both times may have decimals (`0.2`). The default is no
    /// limit.
    pub fn rate_limit(mut self, per_second: f64, burst: u32) -> Self {
        self.rate_limit = Some((per_second, burst));
        self
    }

    /// Waits this long before every answer. The default is not at all.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Listens on a port of one's own choice, so that a server that was stopped can come back at the same
    /// place. The default, 0, is any free port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Renders the data, binds the port and starts to serve, on tasks of the runtime that this is called on.
    ///
    /// # Errors
    /// `InvalidInput` if a resource has a name that is not of ASCII letters, digits, `-` and `_`, or has the
    /// name of another; otherwise whatever keeps the port from being bound.
    pub async fn start(self) -> io::Result<MockApi> {
        let mut names: Vec<&str> = self.resources.iter().map(Resource::name).collect();
        names.sort_unstable();
        let plain = |name: &&str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !names.iter().all(plain) || names.windows(2).any(|pair| pair[0] == pair[1]) {
            let what = "each resource of a mock API needs a plain name of its own";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let resources = self.resources;
        let render = move || resources.into_iter().map(Served::new).collect();
        let resources = tokio::task::spawn_blocking(render).await.map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            base,
            resources,
            bearer: self.bearer,
            bucket: self
                .rate_limit
                .map(|(rate, burst)| Mutex::new(TokenBucket::new(rate, burst, Instant::now()))),
            latency: self.latency,
            elsewhere: Mutex::default(),
        });
        let server = tokio::spawn(server::run(listener, Arc::clone(&shared)));
        Ok(MockApi { shared, server })
    }
}
