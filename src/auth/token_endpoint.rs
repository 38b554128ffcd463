//! One request for a token, and the answer to it (RFC 6749 §5).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::renewing::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::request::redact::Redactor;
use crate::request::{Request, Secret};
use crate::transport::{Http, Response, Transport};

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
        match &self.own {
            Some(own) => own.send(request).await,
            None => self.made.get_or_try_init(|| async { Http::new() }).await?.send(request).await,
        }
    }
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
    #[serde(default)]
    expires_in: Value,
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Option<Value>,
    error_description: Option<String>,
}

/// Asks for a token. `secrets` are wiped from what the endpoint says.
pub(super) async fn ask(reached: &Reached, request: &Request, secrets: &[Secret]) -> Result<Granted> {
    let host = request.url().host_str().unwrap_or_default().to_owned();
    let response = reached.send(request).await.map_err(|error| {
        let what = format!("no token from {host}: {}", error.message());
        Error::new(error.kind(), what).with_transience(error.transience())
    })?;
    let hints = Hints::read(&response.headers, response.received_at);
    let redactor = Redactor::new(secrets);
    let granted = read(&response, &host, |text| redactor.text(text));
    granted
        .map_err(|error| error.at(|context| (context.hints, context.status) = (hints, Some(response.status))))
}

fn read(response: &Response, host: &str, wipe: impl Fn(&str) -> String) -> Result<Granted> {
    if !response.status.is_success() {
        let said = serde_json::from_slice::<Refusal>(&response.body).ok();
        let said = said.and_then(|refusal| {
            let code =
                refusal.error.map(|code| code.as_str().map_or_else(|| code.to_string(), str::to_owned));
            let parts: Vec<String> = code.into_iter().chain(refusal.error_description).collect();
            (!parts.is_empty()).then(|| format!(" ({:.200})", wipe(&parts.join(": "))))
        });
        let what = format!("no token from {host}: status {}{}", response.status, said.unwrap_or_default());
        return Err(match response.status {
            StatusCode::TOO_MANY_REQUESTS => Error::new(ErrorKind::RateLimited, what).transient(),
            status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
                Error::new(ErrorKind::Status, what).transient()
            }
            _ => Error::new(ErrorKind::Unauthorized, what).advice(
                "check the client id, its secret, the scope, and that what was granted is still valid",
            ),
        });
    }
    // Nothing of the answer is quoted: it is made of secrets.
    let answer: Answer = serde_json::from_slice(&response.body)
        .map_err(|_| Error::new(ErrorKind::NotJson, format!("the answer of {host} is no token")).once())?;
    let access = answer.access_token.filter(|token| !token.is_empty()).ok_or_else(|| {
        Error::new(ErrorKind::Unauthorized, format!("the answer of {host} has no access_token"))
    })?;
    let seconds = match &answer.expires_in {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok(Granted {
        token: Token { access: access.into(), lifetime },
        refresh: answer.refresh_token.filter(|token| !token.is_empty()).map(Secret::from),
    })
}
