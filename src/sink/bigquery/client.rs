//! The calls: credentials on each, no redirect followed, what may pass asked again, and errors that say what BigQuery said.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::refusal::{self, Refusal};
use crate::auth::Auth;
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::request::Request;
use crate::request::redact::Redactor;
use crate::retry::{Decision, RetryPolicy, Tries};
use crate::transport::{Http, Response, Transport};

/// A job or a table of 10,000 columns is smaller.
const MOST_ANSWER: usize = 16 * 1024 * 1024;
/// A part of a file on a slow line takes its time, and so does BigQuery when it takes the last one in.
const TIMEOUT: Duration = Duration::from_secs(300);

/// How BigQuery is reached. A clone shares the connections.
#[derive(Clone)]
pub(super) struct Client {
    http: Http,
    auth: Option<Arc<dyn Auth>>,
    home: Url,
    retry: RetryPolicy,
}

/// A request, and the bytes that go with it if they are not its own JSON.
#[derive(Debug, Clone)]
pub(super) struct Call {
    request: Request,
    body: Option<Bytes>,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Result<Self> {
        let mut request = Request::get(url.as_str())?.repeatable();
        request.set_method(method);
        Ok(Self { request, body: None })
    }

    pub(super) fn json(mut self, body: Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    pub(super) fn bytes(mut self, kind: &str, body: Bytes) -> Result<Self> {
        self.request = self.request.header(CONTENT_TYPE.as_str(), kind)?;
        self.body = Some(body);
        Ok(self)
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Result<Self> {
        self.request = self.request.header(name, value)?;
        Ok(self)
    }
}

impl Client {
    pub(super) fn new(home: Url, auth: Option<Arc<dyn Auth>>, retry: RetryPolicy) -> Result<Self> {
        let http =
            Http::builder().timeout(TIMEOUT).read_timeout(TIMEOUT).max_page_bytes(MOST_ANSWER).build()?;
        Ok(Self { http, auth, home, retry })
    }

    /// The URL of a resource: the segments are escaped.
    pub(super) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.home.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Accepts the URL of an upload that the server gave: of the home itself, or another of Google's for Google's.
    pub(super) fn session(&self, url: &HeaderValue) -> Result<Url> {
        let given = url.to_str().ok().and_then(|text| self.home.join(text).ok());
        let is_googles = |url: &Url| {
            url.scheme() == "https"
                && url.host_str().is_some_and(|host| host.ends_with(".googleapis.com"))
                && url.username().is_empty()
        };
        let is_ours = |url: &Url| {
            (url.origin() == self.home.origin() && url.username().is_empty())
                || (is_googles(url) && is_googles(&self.home))
        };
        given.filter(is_ours).ok_or_else(|| {
            Error::new(ErrorKind::Origin, "BigQuery names another server for an upload").advice(format!(
                "{} is not the API, or something stands in between",
                self.home.host_str().unwrap_or_default()
            ))
        })
    }

    /// Asks until there is an answer that is a success or has one of these statuses. What may pass is asked again by the policy.
    pub(super) async fn ask(&self, what: &str, call: &Call, accepted: &[StatusCode]) -> Result<Response> {
        let (mut tries, mut random) = (Tries::default(), self.retry.random());
        loop {
            let error = match self.once(what, call, accepted).await {
                Ok(response) => {
                    self.retry.answered(self.home.host_str().unwrap_or_default());
                    return Ok(response);
                }
                Err(error) => error,
            };
            match self.retry.decide(&mut tries, &error, random.f64()) {
                Decision::Retry(delay) => {
                    tracing::debug!(?delay, %error, "a call of BigQuery failed and is made again");
                    tokio::time::sleep(delay).await;
                }
                Decision::GiveUp(why) => {
                    return Err(self.retry.explain(why, tries, error, std::time::SystemTime::now()));
                }
            }
        }
    }

    /// The JSON of an answer.
    pub(super) async fn json(
        &self,
        what: &str,
        call: &Call,
        accepted: &[StatusCode],
    ) -> Result<Option<Value>> {
        let response = self.ask(what, call, accepted).await?;
        if !response.status.is_success() {
            return Ok(None);
        }
        let answer: Value = serde_json::from_slice(&response.body).map_err(|error| {
            Error::new(ErrorKind::NotJson, format!("BigQuery's answer to {what} cannot be read"))
                .because(error)
        })?;
        Ok(Some(answer))
    }

    /// One exchange, and a second one if the credentials were refused and there are others.
    pub(super) async fn once(&self, what: &str, call: &Call, accepted: &[StatusCode]) -> Result<Response> {
        let (mut response, sent) = self.send(what, call).await?;
        if response.status == StatusCode::UNAUTHORIZED
            && let Some(auth) = &self.auth
            && auth.renew(&sent).await?
        {
            response = self.send(what, call).await?.0;
        }
        if response.status.is_success() || accepted.contains(&response.status) {
            return Ok(response);
        }
        Err(self.refused(what, call, &response))
    }

    async fn send(&self, what: &str, call: &Call) -> Result<(Response, Request)> {
        let mut request = call.request.clone();
        if let Some(auth) = &self.auth {
            auth.authorize(&mut request).await.map_err(|error| self.wiped(error))?;
        }
        let sent = match &call.body {
            Some(body) => self.http.send_bytes(&request, body.clone()).await,
            None => self.http.send(&request).await,
        };
        let response = sent.map_err(|error| {
            let (kind, transience) = (error.kind(), error.transience());
            let error = Error::new(kind, format!("BigQuery was asked to {what}")).because(error);
            self.placed(error.with_transience(transience), call, None)
        })?;
        Ok((response, request))
    }

    fn refused(&self, what: &str, call: &Call, response: &Response) -> Error {
        let refusal = Refusal::read(&response.body);
        let status = response.status;
        let said = refusal.as_ref().map_or_else(String::new, |refusal| format!(": {}", refusal.text()));
        let reason = refusal.as_ref().map_or("", |refusal| refusal.reason.as_str());
        let kind = match status {
            StatusCode::UNAUTHORIZED => ErrorKind::Unauthorized,
            StatusCode::TOO_MANY_REQUESTS => ErrorKind::RateLimited,
            _ if refusal::is_rate(reason) => ErrorKind::RateLimited,
            _ if status.is_redirection() => ErrorKind::Redirect,
            _ => ErrorKind::Sink,
        };
        let error = Error::new(kind, format!("BigQuery refuses to {what}{said}"));
        let passes = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
            || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
            || (refusal::may_pass(reason) && !status.is_redirection());
        let error = if passes { error.transient() } else { error };
        let error = match refusal::advice(status, reason) {
            Some(advice) => error.advice(advice),
            None => error,
        };
        self.placed(error, call, Some(response))
    }

    fn placed(&self, error: Error, call: &Call, response: Option<&Response>) -> Error {
        let mut url = call.request.url().clone();
        // The id of an upload is as good as a key for it.
        url.set_query(None);
        let method = call.request.method();
        self.wiped(error.at(|context| {
            context.request = Some(format!("{method} {url}"));
            context.host = url.host_str().map(str::to_owned);
            if let Some(response) = response {
                context.status = Some(response.status);
                context.hints = Hints::read(&response.headers, response.received_at);
            }
        }))
    }

    fn wiped(&self, error: Error) -> Error {
        let secrets = self.auth.iter().flat_map(|auth| auth.secrets()).collect::<Vec<_>>();
        let redactor = Redactor::new(&secrets);
        error.redacted(|text| redactor.text(text))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("home", &self.home.as_str())
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}
