//! One page's exchange: redirects within the allowed origins, credentials for the home origin only, and
//! errors that say where they happened without a secret in them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{Method, StatusCode};
use tokio::time::{Instant, sleep};
use url::Url;

use super::status;
use super::{Response, Transport};
use crate::auth::Auth;
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::meter::Meter;
use crate::request::origin::{Origins, Trust};
use crate::request::place::{self, PLACE};
use crate::request::redact::Redactor;
use crate::request::{Request, Secret, TELLING};

/// RFC 9110 §15.4 asks a client to detect loops; ten hops is what browsers and curl's users allow.
const MOST_REDIRECTS: usize = 10;
/// A longer wait than this is not sat out between two redirects.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const EXCERPT_CHARS: usize = 200;
/// So much of a body is read for it.
const EXCERPT_BYTES: usize = 16 * 1024;

/// Everything that stays the same from page to page.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) auth: Option<Arc<dyn Auth>>,
    pub(crate) origins: Origins,
    /// Credentials that stand in the template's query. Like those of `auth` they are taken out of next
    /// links, and put on again.
    pub(crate) query: Vec<(String, String)>,
    /// The credentials that stand in the template: in its query, and in headers with telling names.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) meter: Meter,
}

/// A successful answer, the URL that gave it, and its hints.
pub(crate) struct Answered {
    pub(crate) response: Response,
    pub(crate) url: Url,
    pub(crate) hints: Hints,
}

impl Exchange {
    /// Sends a request, follows redirects, and takes a success or says what failed.
    pub(crate) async fn send(&self, request: Request, resumable: bool) -> Result<Answered> {
        let mut acted = false;
        let answered = self.follow_all(request, resumable, &mut acted).await;
        answered.map_err(|error| if acted { error.not_again() } else { error })
    }

    /// Notes whether the server has acted on a request that must not be sent twice.
    async fn follow_all(&self, request: Request, resumable: bool, acted: &mut bool) -> Result<Answered> {
        let mut hop = request;
        let mut seen = HashSet::new();
        let mut away = false;
        // What the redirects say about the budget counts as well.
        let mut hints = Hints::default();
        loop {
            away |= self.leads_away(&mut hop).map_err(|error| self.place(error, &hop, None, hints))?;
            if let Some(wait) = hints.retry_after.filter(|wait| !wait.is_zero()) {
                self.pause(wait).await.map_err(|error| self.place(error, &hop, None, hints))?;
            }
            let response = self.hop(&hop, away).await?;
            hints = Hints::read(&response.headers, response.received_at).behind(hints);
            let failed = |error, hop: &Request| self.place(error, hop, Some(&response), hints);
            if !response.status.is_redirection() || response.status == StatusCode::NOT_MODIFIED {
                status::check(&response, &hints, resumable).map_err(|error| failed(error, &hop))?;
                return Ok(Answered { response, url: hop.url().clone(), hints });
            }
            // RFC 9110 §15.4.4: "see other" is where the outcome of what was done stands.
            *acted |= response.status == StatusCode::SEE_OTHER && !hop.is_repeatable();
            seen.insert(hop.url().clone());
            hop = self.follow(&hop, &response).map_err(|error| failed(error, &hop))?;
            let fault = match (seen.contains(hop.url()), seen.len() > MOST_REDIRECTS) {
                (true, _) => Some("redirects go round in a circle"),
                (false, true) => Some("too many redirects"),
                (false, false) => None,
            };
            if let Some(why) = fault {
                return Err(failed(Error::new(ErrorKind::Redirect, why), &hop));
            }
        }
    }

    /// Waits before a redirect is followed, where it says how long (RFC 9110 §10.2.3). A long wait is not for the
    /// middle of a request: it comes out as an error, and the policy decides.
    async fn pause(&self, wait: Duration) -> Result<()> {
        if wait > LONGEST_PAUSE {
            let what = "the server asks to wait before its redirect is followed";
            return Err(Error::new(ErrorKind::RateLimited, what).transient());
        }
        self.meter.wait_until(Instant::now() + wait);
        sleep(wait).await;
        self.meter.waited(wait);
        Ok(())
    }

    /// Whether a request leads to another origin, which was allowed. If so, it loses all that is nobody's business
    /// there, and for good: a redirect that leads back home from there is followed as a stranger's (Fetch §4.4 does
    /// the same with `Authorization`).
    fn leads_away(&self, hop: &mut Request) -> Result<bool> {
        if self.origins.check(hop.url())? == Trust::Home {
            return Ok(false);
        }
        let refuse = |why| Err(Error::new(ErrorKind::Origin, why));
        if hop.body().is_some() {
            return refuse(
                "the server points to another origin, and the request has a body that may be secret",
            );
        }
        let mut url = hop.url().clone();
        if let Some(query) = hop.url().query() {
            let kept: Vec<&str> =
                query.split('&').filter(|pair| !pair.ends_with(&format!("={PLACE}"))).collect();
            let kept = kept.join("&");
            url.set_query((!kept.is_empty()).then_some(&kept));
        }
        let telling = self.all_secrets().into_iter().filter(|secret| secret.expose().len() >= TELLING);
        let telling = Redactor::new(&telling.collect::<Vec<_>>());
        if url.as_str().contains(PLACE) || telling.finds(url.as_str()) {
            return refuse("the server points to another origin, by a URL with a credential in it");
        }
        *hop = hop.clone().at_url(url);
        // Any header of the template may be a key.
        let kept: Vec<_> = [ACCEPT, CONTENT_TYPE]
            .into_iter()
            .filter_map(|name| Some((name.clone(), hop.headers().get(&name)?.clone())))
            .collect();
        *hop.headers_mut() = kept.into_iter().collect();
        Ok(true)
    }

    async fn hop(&self, hop: &Request, away: bool) -> Result<Response> {
        let place = |error| self.place(error, hop, None, Hints::default());
        let mut outgoing = hop.clone();
        if !away {
            outgoing = self.with_query(outgoing);
            if let Some(auth) = &self.auth {
                auth.authorize(&mut outgoing).await.map_err(place)?;
            }
        }
        self.meter.request();
        let response = self.transport.send(&outgoing).await.map_err(|error| {
            self.meter.received(error.context().received);
            place(error)
        })?;
        self.meter.received(response.body.len() as u64);
        Ok(response)
    }

    // RFC 9110 §15.4: 303 turns into a GET, 307 and 308 keep the method, 301 and 302 keep it for GET.
    fn follow(&self, hop: &Request, response: &Response) -> Result<Request> {
        let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| hop.url().join(location).ok());
        let Some(mut target) = target else {
            return Err(Error::new(ErrorKind::Redirect, "a redirect without a readable Location"));
        };
        target.set_fragment(None);
        let mut next = hop.clone().at_url(self.without_credentials(target));
        match response.status.as_u16() {
            303 => {
                next.set_method(Method::GET);
                next.clear_body();
            }
            301 | 302 if !matches!(*hop.method(), Method::GET | Method::HEAD) => {
                return Err(Error::new(ErrorKind::Redirect, "a redirect that would turn a POST into a GET"));
            }
            301 | 302 | 307 | 308 => {}
            _ => return Err(Error::new(ErrorKind::Redirect, "not a redirect that can be followed")),
        }
        Ok(next)
    }

    /// Takes credentials out of a URL that came from the server: those of `auth`, and any parameter whose value
    /// is one (Meta's links repeat the bearer token). Of a hand-written one its place stays, so that it can be
    /// put on again just where the server had it; a parameter of that name with another value is the server's
    /// own.
    pub(crate) fn without_credentials(&self, mut url: Url) -> Url {
        // A plus may stand for a blank.
        let plain = |text: &str| text.replace('+', " ");
        let given: Vec<Secret> = self.auth.iter().flat_map(|auth| auth.secrets()).collect();
        let secrets: Vec<String> = given.iter().map(|secret| plain(secret.expose())).collect();
        let mut names: Vec<String> = self.auth.iter().flat_map(|auth| auth.query_parameters()).collect();
        let by_hand =
            |name: &str, value: &str| self.query.iter().any(|(other, known)| other == name && known == value);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        for (name, value) in &pairs {
            if !value.is_empty() && secrets.contains(&plain(value)) && !by_hand(name, value) {
                names.push(name.clone());
            }
        }
        if !names.is_empty() {
            crate::request::remove_query(&mut url, |name| names.iter().any(|other| other == name));
        }
        if let Some(query) = url.query().filter(|_| !self.query.is_empty()) {
            let kept: Vec<String> = query.split('&').map(|pair| self.with_place(pair)).collect();
            let kept = kept.join("&");
            url.set_query(Some(&kept));
        }
        let is_home = matches!(self.origins.check(&url), Ok(Trust::Home));
        place::take_out(&mut url, &given, is_home);
        url
    }

    /// A pair of a query, or its name and a place for its value if it is a hand-written credential.
    fn with_place(&self, pair: &str) -> String {
        let decoded = url::form_urlencoded::parse(pair.as_bytes()).into_owned().next();
        match decoded.filter(|pair| self.query.contains(pair)) {
            Some(_) => format!("{}={PLACE}", pair.split('=').next().unwrap_or_default()),
            None => pair.to_owned(),
        }
    }

    /// Puts the credentials back into their places.
    fn with_query(&self, request: Request) -> Request {
        let mut url = request.url().clone();
        place::put_in(&mut url, || self.auth.iter().flat_map(|auth| auth.secrets()).collect());
        let request = request.at_url(url);
        let Some(query) = request.url().query().filter(|query| query.contains(PLACE)) else { return request };
        let mut used = HashMap::new();
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| {
                let Some(name) = pair.strip_suffix(PLACE).and_then(|name| name.strip_suffix('=')) else {
                    return pair.to_owned();
                };
                let plain =
                    url::form_urlencoded::parse(name.as_bytes()).into_owned().next().unwrap_or_default().0;
                // Of several of one name, one after the other.
                let index = used.entry(plain.clone()).and_modify(|index| *index += 1).or_insert(0_usize);
                let value = self.query.iter().filter(|(other, _)| *other == plain).nth(*index);
                let value = value.map(|(_, value)| value.as_str()).unwrap_or_default();
                format!(
                    "{name}={}",
                    url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>()
                )
            })
            .collect();
        let mut url = request.url().clone();
        url.set_query(Some(&pairs.join("&")));
        request.at_url(url)
    }

    /// Wipes every credential that there is by now. Made when there is something to wipe, for a token may have come,
    /// or may have been replaced, since the last time.
    pub(crate) fn redactor(&self) -> Redactor {
        Redactor::new(&self.all_secrets())
    }

    fn all_secrets(&self) -> Vec<Secret> {
        let given = self.auth.iter().flat_map(|auth| auth.secrets());
        given.chain(self.secrets.iter().cloned()).collect()
    }

    /// Says where an error happened.
    pub(crate) fn place(
        &self,
        error: Error,
        hop: &Request,
        response: Option<&Response>,
        hints: Hints,
    ) -> Error {
        let redactor = self.redactor();
        error.at(|context| {
            context.request = Some(hop.describe(&redactor));
            context.host = hop.url().host_str().map(str::to_owned);
            context.hints = hints;
            if let Some(response) = response {
                context.status = Some(response.status);
                context.excerpt = excerpt(&response.body, &redactor);
            }
        })
    }
}

/// The beginning of a body, redacted, on one line, without control characters.
fn excerpt(body: &[u8], redactor: &Redactor) -> Option<String> {
    // Redacted before it is cut.
    let read = &body[..body.len().min(EXCERPT_BYTES)];
    let text = redactor.beginning(String::from_utf8_lossy(read).trim(), read.len() == body.len());
    if text.is_empty() {
        return None;
    }
    let shown = |c: char| if c.is_control() { c.escape_default().collect() } else { c.to_string() };
    let mut excerpt: String = text.chars().take(EXCERPT_CHARS).map(shown).collect();
    if text.chars().nth(EXCERPT_CHARS).is_some() {
        excerpt.push('…');
    }
    Some(excerpt)
}
