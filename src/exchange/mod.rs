//! One page's exchange, above the transport: redirects within the allowed origins, credentials for the home origin only, and
//! errors that say where they happened without a secret in them. What an answer means is said by its status, or by the
//! [`Rule`]s that a source declares ([`When`] … [`means`](When::means) a [`Verdict`]).

mod body;
mod judge;
mod meaning;
mod rule;
mod signals;
mod status;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{Method, StatusCode};
use url::Url;

use crate::auth::Auth;
use crate::error::{Error, ErrorKind, Result};
use crate::hints::Hints;
use crate::meter::Meter;
use crate::request::origin::{Origins, Trust};
use crate::request::place::{self, Named};
use crate::request::redact::{self, Redactor};
use crate::request::{Request, Secret};
use crate::transport::{Response, Transport};
pub(crate) use judge::Rules;
pub(crate) use meaning::Meaning;
pub use rule::{Rule, Verdict, When};
pub(crate) use signals::Signals;
pub(crate) use status::START_AFRESH;

/// RFC 9110 §15.4 asks a client to detect loops; ten hops is what browsers and curl's users allow.
const MOST_REDIRECTS: usize = 10;
/// No honest link or cursor is longer; servers refuse URLs of a fraction of that.
const LONGEST_LINK: usize = 64 * 1024;
const EXCERPT_CHARS: usize = 200;
/// So much of a body is read for it.
const EXCERPT_BYTES: usize = 16 * 1024;

/// Credentials, as they are at the moment.
pub(crate) type Secrets = Arc<dyn Fn() -> Vec<Secret> + Send + Sync>;

/// Everything that stays the same from page to page.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) auth: Option<Arc<dyn Auth>>,
    pub(crate) origins: Origins,
    /// The credentials that stand in the template: in its query, and in headers with telling names.
    pub(crate) written: Vec<Named>,
    /// The credentials of other sources, the parents', which are not sent and must not be shown.
    pub(crate) hidden: Option<Secrets>,
    /// What answers mean where their status does not say.
    pub(crate) rules: Rules,
    pub(crate) meter: Meter,
    pub(crate) signals: Signals,
    /// The redirect that a wait was kept for.
    pub(crate) waited_for: Arc<Mutex<Option<Url>>>,
}

/// Where the page stands that is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// A position was sent, which the server may no longer know.
    pub(crate) has_position: bool,
    /// It lies behind the first page of the run.
    pub(crate) is_behind_first: bool,
}

/// An answer that can be gone on with, the URL that gave it, and its hints.
pub(crate) struct Answered {
    pub(crate) meaning: Meaning,
    pub(crate) response: Response,
    pub(crate) url: Url,
    pub(crate) hints: Hints,
}

impl Exchange {
    /// Sends a request, follows redirects, and takes a success or says what failed.
    pub(crate) async fn send(&self, request: &Request, standing: Standing) -> Result<Answered> {
        let mut acted = false;
        let answered = self.follow_all(request, standing, &mut acted).await;
        answered.map_err(|error| if acted { error.not_again() } else { error })
    }

    /// Notes whether the server has acted on a request that must not be sent twice.
    async fn follow_all(&self, request: &Request, standing: Standing, acted: &mut bool) -> Result<Answered> {
        let mut hop = Cow::Borrowed(request);
        let mut seen = HashSet::new();
        let mut away = false;
        // What the redirects say about the budget counts as well.
        let mut hints = Hints::default();
        loop {
            away |= self.leads_away(&mut hop).map_err(|error| self.place(error, &hop, None, hints))?;
            let response = self.hop(&hop, away, standing).await?;
            hints = self.signals.read(&response).behind(hints);
            let failed = |error, hop: &Request| self.place(error, hop, Some(&response), hints);
            if !response.status.is_redirection() || response.status == StatusCode::NOT_MODIFIED {
                // Once: a rule may have to walk the body.
                let rule = self.rules.judge(&response, standing.is_behind_first);
                hints.retry_after = hints.retry_after.max(rule.and_then(Rule::least_wait));
                let failed = |error, hop: &Request| self.place(error, hop, Some(&response), hints);
                let meaning = self.meaning(&hop, &response, &hints, standing, rule);
                let meaning = meaning.map_err(|error| failed(error, &hop))?;
                return Ok(Answered { meaning, response, url: hop.url().clone(), hints });
            }
            // RFC 9110 §15.4.4: "see other" is where the outcome of what was done stands.
            *acted |= response.status == StatusCode::SEE_OTHER && !hop.is_repeatable();
            if !*acted && self.must_wait(hop.url(), &hints) {
                let what = "the server asks to wait before its redirect is followed";
                return Err(failed(Error::new(ErrorKind::RateLimited, what).transient(), &hop));
            }
            seen.insert(hop.url().clone());
            hop = Cow::Owned(self.follow(&hop, &response).map_err(|error| failed(error, &hop))?);
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

    /// Whether a redirect asks for a wait (RFC 9110 §10.2.3) that was not kept yet. It is left to the policy, which
    /// asks again when it is over; then the redirect is followed, whatever it says.
    fn must_wait(&self, url: &Url, hints: &Hints) -> bool {
        let mut waited = self.waited_for.lock().unwrap_or_else(PoisonError::into_inner);
        if hints.retry_after.is_none_or(|wait| wait.is_zero()) || waited.as_ref() == Some(url) {
            *waited = None;
            return false;
        }
        *waited = Some(url.clone());
        true
    }

    /// Whether a request leads to another origin, which was allowed. If so, it loses all that is nobody's business
    /// there, and for good: a redirect that leads back home from there is followed as a stranger's (Fetch §4.4 does
    /// the same with `Authorization`).
    fn leads_away(&self, hop: &mut Cow<'_, Request>) -> Result<bool> {
        if self.origins.check(hop.url())? == Trust::Home {
            return Ok(false);
        }
        let refuse = |why| Err(Error::new(ErrorKind::Origin, why));
        if hop.has_body() {
            return refuse(
                "the server points to another origin, and the request has a body that may be secret",
            );
        }
        let mut url = hop.url().clone();
        // The server's links have been through this. What a paginator adds has not.
        place::take_out(&mut url, &self.sent(), false);
        if let Some(query) = url.query().map(str::to_owned) {
            let is_place = |pair: &&str| pair.split_once('=').is_some_and(|(_, value)| place::is_word(value));
            let kept: Vec<&str> = query.split('&').filter(|pair| !is_place(pair)).collect();
            let kept = kept.join("&");
            url.set_query((!kept.is_empty()).then_some(&kept));
        }
        if !place::words(url.as_str()).is_empty() || self.repeats_a_credential(url.as_str()) {
            return refuse("the server points to another origin, by a URL with a credential in it");
        }
        let hop = hop.to_mut();
        *hop.url_mut() = url;
        // Any header of the template may be a key.
        let kept: Vec<_> = [ACCEPT, CONTENT_TYPE]
            .into_iter()
            .filter_map(|name| Some((name.clone(), hop.headers().get(&name)?.clone())))
            .collect();
        *hop.headers_mut() = kept.into_iter().collect();
        Ok(true)
    }

    /// Sends one request. If the credentials are refused, and can be renewed, it is sent once more: a server that does
    /// not let us in has done nothing.
    async fn hop(&self, hop: &Request, away: bool, standing: Standing) -> Result<Response> {
        let (response, sent) = self.once(hop, away).await?;
        let Some(auth) = self.auth.as_ref().filter(|_| !away && self.is_refused(&response, standing)) else {
            return Ok(response);
        };
        let renewed = auth.renew(&sent).await;
        let place = |error: Error| {
            let hints = *error.hints();
            self.place(error, hop, Some(&response), hints)
        };
        if !renewed.map_err(place)? {
            return Ok(response);
        }
        self.once(hop, away).await.map(|(response, _)| response)
    }

    /// One exchange, and the request as it was sent.
    async fn once<'r>(&self, hop: &'r Request, away: bool) -> Result<(Response, Cow<'r, Request>)> {
        // A token endpoint, too, says how long to wait.
        let place = |error: Error| {
            let hints = *error.hints();
            self.place(error, hop, None, hints)
        };
        let mut outgoing = Cow::Borrowed(hop);
        if !away {
            if let Some(auth) = &self.auth {
                // First, for it may bring credentials that are to be put in.
                let authorized = auth.authorize(outgoing.to_mut()).await;
                let unsent = |error: Error| error.at(|context| context.is_unsent = true);
                authorized.map_err(|error| place(unsent(error)))?;
            }
            if place::has_word(outgoing.url().as_str()) {
                place::put_in(outgoing.to_mut().url_mut(), &self.sent());
            }
        }
        self.meter.request();
        let response = self.transport.send(&outgoing).await.map_err(|error| {
            self.meter.received(error.context().received);
            place(error)
        })?;
        self.meter.received(response.body.len() as u64);
        Ok((response, outgoing))
    }

    // RFC 9110 §15.4: 303 turns into a GET, 307 and 308 keep the method, 301 and 302 keep it for GET.
    fn follow(&self, hop: &Request, response: &Response) -> Result<Request> {
        let location = response.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| hop.url().join(location).ok());
        let Some(mut target) = target else {
            return Err(Error::new(ErrorKind::Redirect, "a redirect without a readable Location"));
        };
        target.set_fragment(None);
        let mut next = hop.clone().at_url(self.without_credentials(target, hop.url())?);
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

    /// Takes credentials out of a URL that the server gave on a page at `base`: parameters that `auth` sets anew go,
    /// anything else gets a place.
    pub(crate) fn without_credentials(&self, mut url: Url, base: &Url) -> Result<Url> {
        self.check_text(url.as_str(), base.as_str())?;
        let names: HashSet<String> = self.auth.iter().flat_map(|auth| auth.query_parameters()).collect();
        if !names.is_empty() {
            crate::request::remove_query(&mut url, |name| names.contains(name));
        }
        let is_home = matches!(self.origins.check(&url), Ok(Trust::Home));
        place::take_out(&mut url, &self.sent(), is_home);
        Ok(url)
    }

    /// Accepts a text that the server gave, unless it is no honest link or cursor: longer than any, or with a word in
    /// it that stands for a credential, and did not come from what was asked.
    pub(crate) fn check_text(&self, text: &str, asked: &str) -> Result<()> {
        let refuse = |why: String| Err(Error::new(ErrorKind::Cursor, why));
        if text.len() > LONGEST_LINK {
            return refuse(format!("a link or cursor of {} bytes", text.len()));
        }
        if place::has_word(text) && !place::words(text).is_subset(&place::words(asked)) {
            return refuse("the server writes a word that stands for a credential".into());
        }
        Ok(())
    }

    /// Whether a credential that is long enough not to stand there by chance is in a text, in whatever spelling.
    pub(crate) fn repeats_a_credential(&self, text: &str) -> bool {
        redact::repeats(text, || self.all_secrets())
    }

    /// The credentials that go to the home origin with each request.
    fn sent(&self) -> Vec<Named> {
        let given = self.auth.iter().flat_map(|auth| auth.sent());
        given.map(|(name, secret)| (name.to_owned(), secret)).chain(self.written.iter().cloned()).collect()
    }

    /// Wipes every credential that there is by now. Made when there is something to wipe, for a token may have come,
    /// or may have been replaced, since the last time.
    pub(crate) fn redactor(&self) -> Redactor {
        Redactor::new(&self.all_secrets())
    }

    fn all_secrets(&self) -> Vec<Secret> {
        let given = self.auth.iter().flat_map(|auth| auth.secrets());
        let hidden = self.hidden.iter().flat_map(|secrets| secrets());
        given.chain(self.written.iter().map(|(_, secret)| secret.clone())).chain(hidden).collect()
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
