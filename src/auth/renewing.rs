//! A token that has an end: fetched when it is needed, once for all who wait for it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use super::bearer::sensitive_header;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::request::{Request, Secret};

/// So long before its end a token is renewed, unless said otherwise.
pub(super) const EARLY: Duration = Duration::from_secs(60);
/// So many tokens that were replaced are still wiped from texts: an answer that repeats one may yet come in.
const EARLIER: usize = 8;

/// No server takes a header of more.
pub(super) const LONGEST: usize = 64 * 1024;

/// A token as it was handed out.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) access: Secret,
    /// How long it is valid; `None` if that was not said: then until it is refused.
    pub(super) lifetime: Option<Duration>,
}

/// Gets a token.
pub(super) type Fetch = dyn Fn() -> BoxFuture<'static, Result<Token>> + Send + Sync;

/// A fetch that is going on, for all who wait for it.
type Fetching = Shared<BoxFuture<'static, Result<Secret, Arc<Error>>>>;

/// The current token, and the header that it goes into.
///
/// The fetch runs on a task of its own: whoever waits for it may be dropped, and it is still seen through to its end,
/// so that a refresh token which was replaced on the way is not lost.
#[derive(Clone)]
pub(super) struct Renewing {
    inner: Arc<Inner>,
    header: HeaderName,
    prefix: &'static str,
}

struct Inner {
    fetch: Box<Fetch>,
    early: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    earlier: VecDeque<Secret>,
    fetching: Option<Fetching>,
}

struct Current {
    access: Secret,
    renew_at: Option<Instant>,
}

impl Renewing {
    pub(super) fn new(
        header: HeaderName,
        prefix: &'static str,
        early: Duration,
        fetch: impl Fn() -> BoxFuture<'static, Result<Token>> + Send + Sync + 'static,
    ) -> Self {
        let inner = Inner { fetch: Box::new(fetch), early, state: Mutex::default() };
        Self { inner: Arc::new(inner), header, prefix }
    }

    /// Puts a valid token on a request; fetches one first if need be.
    pub(super) async fn authorize(&self, request: &mut Request) -> Result<()> {
        let access = self.token().await?;
        let value = self.value(&access)?;
        request.headers_mut().insert(self.header.clone(), value);
        Ok(())
    }

    /// Sees to it that the token of a request which was refused is not used again.
    pub(super) fn refused(&self, request: &Request) {
        let mut state = self.inner.state();
        let Some(current) = &state.current else { return };
        let sent = request.headers().get(&self.header);
        // Another one may have brought a new token since this one was sent.
        if self.value(&current.access).is_ok_and(|value| sent == Some(&value)) {
            state.retire();
        }
    }

    /// The tokens that must be wiped from texts.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        let state = self.inner.state();
        state.current.iter().map(|current| &current.access).chain(&state.earlier).cloned().collect()
    }

    /// The token that goes along with each request.
    pub(super) fn current(&self) -> Option<Secret> {
        self.inner.state().current.as_ref().map(|current| current.access.clone())
    }

    fn value(&self, access: &Secret) -> Result<HeaderValue> {
        sensitive_header(&format!("{}{}", self.prefix, access.expose()), "the token that was handed out")
    }

    async fn token(&self) -> Result<Secret> {
        let fetching = {
            let mut state = self.inner.state();
            let is_due = |current: &Current| current.renew_at.is_some_and(|at| at <= Instant::now());
            match &state.current {
                Some(current) if !is_due(current) => return Ok(current.access.clone()),
                _ => state.fetching.get_or_insert_with(|| fetch(self.inner.clone())).clone(),
            }
        };
        fetching.await.map_err(|error| same(&error))
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is consistent between any two statements, so a poisoned lock is no reason to stop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn retire(&mut self) {
        if let Some(current) = self.current.take() {
            self.earlier.push_front(current.access);
            self.earlier.truncate(EARLIER);
        }
    }
}

fn fetch(inner: Arc<Inner>) -> Fetching {
    let fetching = inner.clone();
    let task = tokio::spawn(async move {
        let fetched = (inner.fetch)().await.and_then(usable);
        let mut state = inner.state();
        state.fetching = None;
        let Token { access, lifetime } = fetched.map_err(Arc::new)?;
        // A token that lives for less than that is renewed in the middle of its life.
        let use_for = lifetime.map(|life| life.saturating_sub(inner.early).max(life / 2));
        let renew_at = use_for.and_then(|time| Instant::now().checked_add(time));
        state.retire();
        state.current = Some(Current { access: access.clone(), renew_at });
        Ok(access)
    });
    let lost = move |_| {
        // With its runtime, or by a panic of a transport. The next one who asks begins anew.
        fetching.state().fetching = None;
        Err(Arc::new(Error::new(ErrorKind::Interrupted, "the task that gets a token was lost").transient()))
    };
    async move { task.await.unwrap_or_else(lost) }.boxed().shared()
}

/// Accepts a token of the characters that there are in tokens (RFC 6749, appendix A.12), and of a length that a
/// server takes.
fn usable(token: Token) -> Result<Token> {
    let access = token.access.expose();
    if access.len() <= LONGEST && access.bytes().all(|byte| matches!(byte, 0x20..=0x7E)) {
        return Ok(token);
    }
    let what = "the token that was handed out has a character in it that no token can have, or is too long";
    Err(Error::new(ErrorKind::Unauthorized, what))
}

/// The same error, for another who waited. Of its whereabouts only the waits count: what was asked for is another URL.
fn same(error: &Error) -> Error {
    error.copy().at(|context| *context = Context { hints: context.hints, ..Context::default() })
}

impl fmt::Debug for Renewing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewing").field("header", &self.header).finish_non_exhaustive()
    }
}
