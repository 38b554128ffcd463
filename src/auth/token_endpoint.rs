//! One request for a token, and the answer to it (RFC 6749 §5).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::renewing::{LONGEST, Token};
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::request::is_loopback;
use crate::request::redact::Redactor;
use crate::request::{Request, Secret};
use crate::transport::{Http, Response, Transport};

/// No honest answer is longer: it holds a few tokens.
const MOST_BYTES: usize = 1024 * 1024;
/// So much is shown of what the endpoint says went wrong.
const MOST_SHOWN: usize = 200;

/// Accepts a request that takes a secret out and brings a token back: only over https, or to this machine (RFC 6749
/// §3.2, RFC 6819 §4.3.3).
pub(super) fn endpoint(request: Request) -> Result<Request> {
    if request.url().scheme() == "https" || is_loopback(request.url()) {
        return Ok(request.repeatable().accepting("application/json"));
    }
    let host = request.url().host_str().unwrap_or_default();
    Err(Error::config(format!("tokens are only asked for over https (RFC 6749 §3.2), and {host} is not"))
        .advice("give its https URL; plain http is for this machine: localhost, 127.0.0.1, [::1]"))
}

/// The credentials that stand in a request for a token, as it was configured.
pub(super) fn written(request: &Request) -> Vec<Secret> {
    // A client may prove itself by an assertion (RFC 7523 §2.2).
    let asserted = request.form_fields().iter().filter(|(name, _)| name.ends_with("assertion"));
    let asserted = asserted.map(|(_, value)| Secret::from(value.as_str()));
    let query = request.sensitive_query().into_iter().map(|(_, value)| Secret::from(value));
    let body = request.sensitive_body().into_iter();
    body.chain(request.sensitive_headers()).chain(query).chain(asserted).collect()
}

/// How the endpoint is reached: a transport of one's own, or a client that is made when it is needed.
#[derive(Clone, Default)]
pub(super) struct Reached {
    own: Option<Arc<dyn Transport>>,
    made: Arc<OnceCell<Http>>,
}

impl Reached {
    pub(super) fn by(transport: impl Transport) -> Self {
        Self { own: Some(Arc::new(transport)), made: Arc::default() }
    }

    pub(super) async fn send(&self, request: &Request) -> Result<Response> {
        let response = match &self.own {
            Some(own) => own.send(request).await?,
            None => self.made.get_or_try_init(|| async { client() }).await?.send(request).await?,
        };
        if response.body.len() > MOST_BYTES {
            let what = format!("an answer of {} bytes, and it is to be a token", response.body.len());
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(response)
    }
}

fn client() -> Result<Http> {
    Http::builder().max_page_bytes(MOST_BYTES).build()
}

/// What a token endpoint hands out.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) token: Token,
    /// A refresh token in the place of the one that was used (RFC 6749 §6).
    pub(super) refresh: Option<Secret>,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Value,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Option<Value>,
    error_description: Option<Value>,
}

/// Asks for a token. `secrets` are wiped from what the endpoint says.
pub(super) async fn ask(reached: &Reached, request: &Request, secrets: &[Secret]) -> Result<Granted> {
    let host = request.url().host_str().unwrap_or_default().to_owned();
    let redactor = Redactor::new(secrets);
    let response = reached.send(request).await.map_err(|error| {
        let what = format!("no token from {host}: {}", redactor.text(error.message()));
        Error::new(error.kind(), what).with_transience(error.transience())
    })?;
    let hints = Hints::read(&response.headers, response.received_at);
    let granted = read(&response, &host, |text| redactor.text(text));
    granted
        .map_err(|error| error.at(|context| (context.hints, context.status) = (hints, Some(response.status))))
}

fn read(response: &Response, host: &str, wipe: impl Fn(&str) -> String) -> Result<Granted> {
    let said = || said(&response.body).map_or_else(String::new, |said| format!(" ({})", shown(&wipe(&said))));
    if !response.status.is_success() {
        let what = format!("no token from {host}: status {}{}", response.status, said());
        return Err(match response.status {
            StatusCode::TOO_MANY_REQUESTS => Error::new(ErrorKind::RateLimited, what).transient(),
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Error::new(ErrorKind::Status, what).transient()
            }
            _ => refused(what),
        });
    }
    // Nothing of the answer is quoted but what went wrong: it is made of secrets.
    let answer: Answer = serde_json::from_slice(&response.body)
        .map_err(|_| Error::new(ErrorKind::NotJson, format!("the answer of {host} is no token")).once())?;
    // Some say so with status 200 (Slack, GitHub).
    let access = answer
        .access_token
        .filter(|token| !token.is_empty())
        .ok_or_else(|| refused(format!("the answer of {host} has no access_token{}", said())))?;
    // RFC 6749 §7.1: a token of a type that is not understood must not be used. Vendors have names of their own for
    // bearer tokens; of these it is known that they are none (RFC 9449, RFC 8693 §2.2.1).
    let kind = answer.token_type.unwrap_or_default().to_ascii_lowercase();
    if matches!(kind.as_str(), "dpop" | "mac" | "pop" | "n_a") {
        return Err(Error::new(
            ErrorKind::Unauthorized,
            format!("the token of {host} is of the type {kind}"),
        )
        .advice("only bearer tokens (RFC 6750) can be used: ask the endpoint for one, or implement `Auth`"));
    }
    let seconds = match &answer.expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    // A token that is over at once would be none: who says 0 means that it has no end.
    let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let lifetime = lifetime.filter(|lifetime| !lifetime.is_zero());
    let refresh = answer.refresh_token.filter(|token| !token.is_empty());
    if refresh.as_ref().is_some_and(|token| token.len() > LONGEST) {
        return Err(refused(format!("the refresh token of {host} is too long to be one")));
    }
    let token = Token { access: access.into(), lifetime };
    Ok(Granted { token, refresh: refresh.map(Secret::from) })
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::Unauthorized, what)
        .advice("check the client id, its secret, the scope, and that what was granted is still valid")
}

/// What the endpoint says went wrong (RFC 6749 §5.2).
fn said(body: &[u8]) -> Option<String> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let parts = [refusal.error, refusal.error_description];
    let parts: Vec<String> = parts.into_iter().flatten().map(text).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// The beginning, on one line.
fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    text.chars().take(MOST_SHOWN).map(plain).collect()
}
