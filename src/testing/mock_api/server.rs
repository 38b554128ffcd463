//! The sockets, and what stands between a request and its page: rate limit, token, path, method, faults.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{Method, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::body::PageBody;
use super::data::Table;
use super::faults::{Fault, Schedule};
use super::limit::{TokenBucket, Verdict, seconds};
use super::{Resource, Traffic, dialect};
use crate::request::Secret;

/// What all connections share.
pub(super) struct Shared {
    pub(super) base: String,
    pub(super) resources: Vec<Served>,
    pub(super) bearer: Option<Secret>,
    pub(super) bucket: Option<Mutex<TokenBucket>>,
    pub(super) latency: Duration,
    /// Requests for a path that no resource is at.
    pub(super) elsewhere: Mutex<Traffic>,
}

/// A resource that is being served.
pub(super) struct Served {
    pub(super) resource: Resource,
    table: Table,
    schedule: Mutex<Schedule>,
    traffic: Mutex<Traffic>,
}

/// An answer on its way, and what it counts as.
struct Reply {
    response: Response<PageBody>,
    records: u64,
    cut: bool,
}

/// Serves until it is dropped, and its connections with it.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve(socket, Arc::clone(&shared)));
                }
                // Out of file descriptors, say: some will be given back.
                Err(error) => {
                    tracing::debug!(%error, "the mock API could not accept a connection");
                    sleep(Duration::from_millis(10)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    // A page is written in one go: waiting for more of it would only add latency.
    let _ = socket.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            if !shared.latency.is_zero() {
                sleep(shared.latency).await;
            }
            Ok::<_, Infallible>(shared.answer(&request))
        }
    });
    // A client that goes away and a body that is cut off both end here.
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await {
        tracing::trace!(%error, "a connection to the mock API ended");
    }
}

impl Served {
    pub(super) fn new(resource: Resource) -> Self {
        let table = Table::render(&resource);
        Self { resource, table, schedule: Mutex::default(), traffic: Mutex::default() }
    }

    fn page(&self, base: &str, query: &str) -> Reply {
        let fault = lock(&self.schedule).next(self.resource.faulty());
        match fault {
            Some(Fault::TooManyRequests(wait)) => return too_many(wait),
            Some(Fault::Unavailable) => {
                return refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "try again later");
            }
            Some(Fault::CutBody) | None => {}
        }
        let url = format!("{base}/{}", self.resource.name());
        let page = match dialect::page(&self.resource, &self.table, &url, query) {
            Ok(page) => page,
            Err(refusal) => return json_body(StatusCode::BAD_REQUEST, &refusal),
        };
        let mut body = PageBody::new(page.parts);
        let cut = fault == Some(Fault::CutBody);
        if cut {
            body = body.cut();
        }
        let mut reply = Reply { response: Response::new(body), records: page.records, cut };
        reply.set(CONTENT_TYPE, "application/json");
        if let Some(link) = page.link {
            reply.set(LINK, &link);
        }
        reply
    }
}

impl Shared {
    pub(super) fn resource(&self, name: &str) -> Option<&Served> {
        self.resources.iter().find(|served| served.resource.name() == name)
    }

    pub(super) fn stats(&self) -> BTreeMap<String, Traffic> {
        let served = self.resources.iter().map(|served| (served.resource.name(), &served.traffic));
        let all = served.chain([("", &self.elsewhere)]);
        all.map(|(name, traffic)| (name.to_owned(), lock(traffic).clone())).collect()
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<PageBody> {
        let served = request.uri().path().strip_prefix('/').and_then(|name| self.resource(name));
        let verdict = self.bucket.as_ref().map(|bucket| lock(bucket).take(Instant::now()));
        let mut reply = self.decide(request, served, verdict);
        if let Some(verdict) = verdict {
            reply.set(HeaderName::from_static("x-ratelimit-limit"), &verdict.limit.to_string());
            reply.set(HeaderName::from_static("x-ratelimit-remaining"), &verdict.remaining.to_string());
            reply.set(HeaderName::from_static("x-ratelimit-reset"), &seconds(verdict.reset));
        }
        lock(served.map_or(&self.elsewhere, |served| &served.traffic)).count(&reply);
        reply.response
    }

    fn decide<B>(&self, request: &Request<B>, served: Option<&Served>, verdict: Option<Verdict>) -> Reply {
        if let Some(verdict) = verdict.filter(|verdict| !verdict.allowed) {
            return too_many(verdict.reset);
        }
        if !self.knows(request.headers()) {
            let mut reply =
                refuse(StatusCode::UNAUTHORIZED, "unauthorized", "a valid bearer token is needed");
            reply.set(WWW_AUTHENTICATE, "Bearer");
            return reply;
        }
        let Some(served) = served else {
            return refuse(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path");
        };
        if request.method() != Method::GET {
            let mut reply = refuse(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "only GET is");
            reply.set(ALLOW, "GET");
            return reply;
        }
        served.page(&self.base, request.uri().query().unwrap_or_default())
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.bearer else { return true };
        let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        // RFC 9110 §11.1: the scheme is case-insensitive.
        sent.and_then(|value| value.split_once(' '))
            .is_some_and(|(scheme, sent)| scheme.eq_ignore_ascii_case("bearer") && sent == token.expose())
    }
}

impl Reply {
    fn set(&mut self, name: HeaderName, value: &str) {
        // Everything here is made of ASCII: a URL is percent-encoded.
        if let Ok(value) = HeaderValue::from_str(value) {
            self.response.headers_mut().insert(name, value);
        }
    }
}

impl Traffic {
    fn count(&mut self, reply: &Reply) {
        self.requests += 1;
        *self.statuses.entry(reply.response.status().as_u16()).or_default() += 1;
        self.cut += u64::from(reply.cut);
        if !reply.cut {
            self.records += reply.records;
        }
    }
}

fn too_many(wait: Duration) -> Reply {
    let mut reply = refuse(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "slow down");
    reply.set(RETRY_AFTER, &seconds(wait));
    reply
}

fn refuse(status: StatusCode, kind: &str, message: &str) -> Reply {
    json_body(status, &json!({"error": {"type": kind, "message": message}}))
}

fn json_body(status: StatusCode, body: &serde_json::Value) -> Reply {
    let mut response = Response::new(PageBody::new([Bytes::from(body.to_string())]));
    *response.status_mut() = status;
    let mut reply = Reply { response, records: 0, cut: false };
    reply.set(CONTENT_TYPE, "application/json");
    reply
}

// The values are consistent between any two statements, so a poisoned lock is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
