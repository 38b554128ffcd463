//! A transport that answers from a script.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::error::{Error, ErrorKind, Result, Transience};
use crate::request::Request;
use crate::transport::{Response, Transport};

/// 2026-05-17T10:00:00Z, the wall time at which every script begins.
const BEGIN: Duration = Duration::from_secs(1_779_012_000);

/// A transport that answers from a script and remembers what it was asked.
///
/// It sees each request as it would go out: with credentials, and each redirect as a request of its own. It
/// runs on tokio's clock, so on a paused clock all times are exact; the wall time of its answers is
/// 2026-05-17T10:00:00Z plus the time since it was made. A clone is the same script.
///
/// A request beyond the end of the script gets a permanent error.
///
/// ```
/// use futures::StreamExt;
/// use headwater::testing::{Reply, Scripted};
/// use headwater::{Pages, Request, paginate::NextUrl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> headwater::Result<()> {
/// let api = Scripted::new([
///     Reply::json(r#"{"data":[1,2],"next":"/items?page=2"}"#),
///     Reply::json(r#"{"data":[3],"next":null}"#),
/// ]);
/// let first = Request::get("https://api.example.com/items")?;
/// let pages: Vec<_> = Pages::new(api.clone(), first, NextUrl::body("next")).collect().await;
/// assert_eq!(pages.len(), 2);
/// assert_eq!(api.urls(), ["https://api.example.com/items", "https://api.example.com/items?page=2"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Scripted(Arc<State>);

struct State {
    begun: Instant,
    script: Script,
    seen: Mutex<Vec<Seen>>,
}

enum Script {
    List(Mutex<VecDeque<Reply>>),
    Answers(Box<Answers>),
}

type Answers = dyn Fn(&Request, u64) -> Reply + Send + Sync;

/// A request that a [`Scripted`] transport was asked to send, credentials and all.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Seen {
    /// When it was sent, since the script was made.
    pub at: Duration,
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The JSON body.
    pub body: Option<Value>,
    /// The fields of the form, if the body is one.
    pub form: Vec<(String, String)>,
}

impl Scripted {
    /// Answers with these replies, one after the other.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::with(Script::List(Mutex::new(replies.into_iter().collect())))
    }

    /// Answers with what the closure makes of a request and its number, from 1.
    pub fn from_fn(answer: impl Fn(&Request, u64) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(Script::Answers(Box::new(answer)))
    }

    fn with(script: Script) -> Self {
        Self(Arc::new(State { begun: Instant::now(), script, seen: Mutex::default() }))
    }

    /// Every request so far, in the order they were sent.
    pub fn requests(&self) -> Vec<Seen> {
        lock(&self.0.seen).clone()
    }

    /// The URL of every request so far.
    pub fn urls(&self) -> Vec<String> {
        lock(&self.0.seen).iter().map(|seen| seen.url.clone()).collect()
    }

    /// When each request was sent, since the script was made.
    pub fn times(&self) -> Vec<Duration> {
        lock(&self.0.seen).iter().map(|seen| seen.at).collect()
    }

    async fn answer(&self, request: &Request) -> Result<Response> {
        let number = {
            let mut seen = lock(&self.0.seen);
            seen.push(Seen {
                at: self.0.begun.elapsed(),
                method: request.method().clone(),
                url: request.url().to_string(),
                headers: request.headers().clone(),
                body: request.body().cloned(),
                form: request.form_fields().to_vec(),
            });
            seen.len() as u64
        };
        let reply = match &self.0.script {
            Script::List(replies) => lock(replies).pop_front(),
            Script::Answers(answer) => Some(answer(request, number)),
        };
        let Some(reply) = reply else {
            let what = format!("the script has no reply for request {number}");
            return Err(Error::new(ErrorKind::Connect, what));
        };
        if !reply.delay.is_zero() {
            sleep(reply.delay).await;
        }
        match reply.outcome {
            Outcome::Answer { status, headers, body } => {
                Ok(Response { status, headers, body, received_at: self.now() })
            }
            Outcome::Failure { kind, transience } => {
                Err(Error::new(kind, "the script says so").with_transience(transience))
            }
        }
    }

    fn now(&self) -> SystemTime {
        UNIX_EPOCH + BEGIN + self.0.begun.elapsed()
    }
}

impl Transport for Scripted {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Response>> {
        Box::pin(self.answer(request))
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = match &self.0.script {
            Script::List(replies) => Some(lock(replies).len()),
            Script::Answers(_) => None,
        };
        f.debug_struct("Scripted")
            .field("requests", &lock(&self.0.seen).len())
            .field("replies_left", &left)
            .finish()
    }
}

impl Seen {
    /// The value of a header; `None` if it was not sent or is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// One answer, or one failure, of a script.
///
/// ```
/// use std::time::Duration;
/// use headwater::ErrorKind;
/// use headwater::testing::Reply;
///
/// Reply::json(r#"{"data":[]}"#).delay(Duration::from_millis(200));
/// Reply::status(429).header("retry-after", "120");
/// Reply::error(ErrorKind::Interrupted).transient();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Reply {
    outcome: Outcome,
    delay: Duration,
}

#[derive(Debug, Clone)]
enum Outcome {
    Answer { status: StatusCode, headers: HeaderMap, body: Bytes },
    Failure { kind: ErrorKind, transience: Transience },
}

impl Reply {
    /// Answers 200 with a JSON body. The body is not checked, so that it may be broken.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::status(200).header("content-type", "application/json").body(body)
    }

    /// Answers with a status and no body.
    ///
    /// # Panics
    /// If it is not in 100..1000.
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status has three digits");
        let outcome = Outcome::Answer { status, headers: HeaderMap::new(), body: Bytes::new() };
        Self { outcome, delay: Duration::ZERO }
    }

    /// Answers 302 to another place.
    ///
    /// # Panics
    /// If the location is not a header value.
    pub fn redirect(location: &str) -> Self {
        Self::status(302).header("location", location)
    }

    /// Fails with an error of this kind, for good unless said otherwise.
    pub fn error(kind: ErrorKind) -> Self {
        let outcome = Outcome::Failure { kind, transience: Transience::Permanent };
        Self { outcome, delay: Duration::ZERO }
    }

    /// Adds a header to an answer; a failure stays as it is.
    ///
    /// # Panics
    /// If the name or the value cannot be in a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Outcome::Answer { headers, .. } = &mut self.outcome {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        }
        self
    }

    /// Sets the body of an answer; a failure stays as it is.
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        if let Outcome::Answer { body, .. } = &mut self.outcome {
            *body = bytes.into();
        }
        self
    }

    /// Answers with an HTML page, as a proxy or a login form does.
    pub fn html(self, page: impl Into<Bytes>) -> Self {
        let mut reply = self.body(page);
        if let Outcome::Answer { headers, .. } = &mut reply.outcome {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        }
        reply
    }

    /// Says of a failure that asking again may help; an answer stays as it is.
    pub fn transient(self) -> Self {
        self.with_transience(Transience::Transient)
    }

    /// Says of a failure that asking once more may help; an answer stays as it is.
    pub fn once(self) -> Self {
        self.with_transience(Transience::Once)
    }

    fn with_transience(mut self, passing: Transience) -> Self {
        if let Outcome::Failure { transience, .. } = &mut self.outcome {
            *transience = passing;
        }
        self
    }

    /// Comes only after this time.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

// The lists are consistent between any two statements, so a poisoned lock is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
