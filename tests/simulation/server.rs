//! The virtual servers: a transport that answers as the world's APIs would, in virtual time.

use std::time::Duration;

use futures::future::BoxFuture;
use headwater::error::Transience;
use headwater::{Error, Request, Response, Transport};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::sleep;

use super::faults::{Fault, Reply};
use super::hub::{Hub, State};
use super::mutants::Mutant;
use super::oracle::{Invariant, Seen};
use super::waits::{FORMS, Form};
use super::world::{Api, wall};

/// A connection to the API of one source.
#[derive(Debug)]
pub(crate) struct Connection {
    hub: Hub,
    source: usize,
}

/// An answer on its way.
struct Answer {
    reply: Reply,
    /// What it says about waiting.
    wait: Option<Duration>,
    /// Whether it refuses because of that, and for nothing else.
    limit: bool,
    verdict: Verdict,
    /// How long it takes to arrive.
    takes: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Page,
    Redirect,
    Fault(Fault),
}

impl Connection {
    pub(crate) fn new(hub: Hub, source: usize) -> Self {
        Self { hub, source }
    }

    async fn exchange(&self, request: &Request) -> headwater::Result<Response> {
        let hop = request.url().query_pairs().find(|(name, _)| name == "hop");
        let hop = hop.map_or(0, |(_, hop)| hop.parse::<u32>().expect("a number"));
        let _in_flight = InFlight::new(&self.hub);
        let (page, takes) = self.hub.state().receive(self.source, request, hop);
        self.hub.step().await;
        sleep(takes).await;
        let answer = self.hub.state().answer(self.source, page, request, hop);
        sleep(answer.takes).await;
        self.hub.step().await;
        if self.hub.state().mutant == Some(Mutant::AnswersGetLost) && self.hub.state().one_in(20) {
            return std::future::pending().await;
        }
        let response = self.hub.state().arrive(self.source, page, answer);
        Mutant::look(&self.hub, response)
    }
}

impl Transport for Connection {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, headwater::Result<Response>> {
        if self.hub.state().mutant == Some(Mutant::TransportRetriesByItself) {
            return Box::pin(async move {
                let first = self.exchange(request).await?;
                if first.status.is_success() { Ok(first) } else { self.exchange(request).await }
            });
        }
        Box::pin(self.exchange(request))
    }
}

/// Counts the exchanges that are going on.
struct InFlight(Hub);

impl InFlight {
    fn new(hub: &Hub) -> Self {
        hub.state().in_flight += 1;
        Self(hub.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

impl State {
    /// A request is sent: which page it wants, and how long it takes to the server.
    fn receive(&mut self, source: usize, request: &Request, hop: u32) -> (usize, Duration) {
        let (world, now) = (self.world.clone(), self.now());
        let listing = &world.listings[source];
        let (method, url) = (request.method(), request.url());
        self.note(format_args!("s{source} {method} {url}"));
        let page = listing.dialect.page_of(listing, request);
        if page.is_none() {
            self.oracle.violated(Invariant::ExactlyOnce, format!("there is no page at {method} {url}"));
        }
        let page = page.unwrap_or(0);
        self.oracle.sources[source].requests += 1;
        self.tally.requests += 1;
        if hop == 0 {
            self.oracle.sent(&world, source, page, now);
        } else {
            self.tally.hops += 1;
        }
        let latency = world.apis[listing.api].latency;
        (page, Duration::from_millis(self.random.u64(0..=latency)))
    }

    /// The server makes its answer.
    fn answer(&mut self, source: usize, page: usize, request: &Request, hop: u32) -> Answer {
        let (world, now) = (self.world.clone(), self.now());
        let listing = &world.listings[source];
        let api = &world.apis[listing.api];
        let mut takes = Duration::from_millis(self.random.u64(0..=api.latency));
        let mut budget = if self.faults { self.spend(listing.api, now) } else { None };
        let over = budget.is_some_and(|(left, _)| left.is_none());
        let wire = listing.dialect.page(listing, page);
        let (stamped, arrives) = (wall(now), wall(now + takes));
        let verdict = match self.fault(api, now) {
            Some(fault) => Verdict::Fault(fault),
            None if over => Verdict::Fault(Fault::Status(429)),
            None if hop < 3 && self.chance(api.redirects) => Verdict::Redirect,
            None => Verdict::Page,
        };
        let mut wait = None;
        let mut reply = match verdict {
            Verdict::Fault(fault) => {
                if fault == Fault::ReadTimeout {
                    takes += Duration::from_secs(30);
                }
                fault.reply(&wire.body, request.url().as_str())
            }
            Verdict::Redirect => {
                let location = format!("{}", request.clone().with_query("hop", (hop + 1).to_string()).url());
                let status = if request.body().is_some() { [307, 308] } else { [302, 308] };
                let status = status[self.random.usize(0..2)];
                Reply::Answer { status, headers: vec![("location", location)], body: Vec::new() }
            }
            Verdict::Page => {
                let headers = wire.link.map(|link| ("link", link)).into_iter().collect();
                let mark = if self.one_in(10) { "\u{feff}" } else { "" };
                Reply::Answer { status: 200, headers, body: format!("{mark}{}", wire.body).into_bytes() }
            }
        };
        if let Reply::Answer { status, headers, .. } = &mut reply {
            let told = match verdict {
                Verdict::Fault(Fault::Told(_, form, wait)) => Some(form.tell(wait, stamped, arrives)),
                // A good answer may ask for a pause, too.
                Verdict::Page if self.faults && self.chance(api.slow_downs) => {
                    let form = FORMS[self.random.usize(0..FORMS.len())];
                    Some(form.tell(Duration::from_millis(self.random.u64(1..60_000)), stamped, arrives))
                }
                _ => None,
            };
            if let Some(told) = told {
                headers.extend(told.headers);
                wait = Some(told.wait);
                budget = None;
            }
            // A redirect says nothing: it is a part of the poll, which goes on all the same.
            let speaks = !matches!(status, 301..=303 | 307 | 308);
            if let Some((left, reset)) = budget.filter(|_| speaks) {
                let left = left.unwrap_or(0);
                let style = api.window.map_or(0, |window| window.style);
                let form = [Form::ResetSeconds, Form::ResetEpoch, Form::RateLimitSplit, Form::ResetIso];
                let told = form[usize::from(style)].tell(reset, stamped, arrives);
                let is_count = |name: &str| name.ends_with("-remaining");
                let with = |(name, value)| (name, if is_count(name) { left.to_string() } else { value });
                headers.extend(told.headers.into_iter().map(with));
                wait = (left == 0).then_some(told.wait);
            }
        }
        if let Verdict::Page = verdict {
            let view = &mut self.oracle.sources[source];
            if page < view.ever_served {
                self.tally.repeated += 1;
            }
            view.served = page + 1;
            view.ever_served = view.ever_served.max(page + 1);
        }
        let limit = wait.is_some_and(|wait| !wait.is_zero()) && is_limit(&reply);
        Answer { reply, wait, limit, verdict, takes }
    }

    /// Takes one request off the server's budget: how many are left, if it was one of those, and the reset.
    fn spend(&mut self, api: usize, now: Duration) -> Option<(Option<u64>, Duration)> {
        let window = self.world.apis[api].window?;
        let period = window.period.as_nanos();
        let number = now.as_nanos() / period;
        if self.windows[api].0 != number {
            self.windows[api] = (number, 0);
        }
        self.windows[api].1 += 1;
        let reset = u64::try_from((number + 1) * period - now.as_nanos()).expect("a short time");
        Some((window.requests.checked_sub(self.windows[api].1), Duration::from_nanos(reset)))
    }

    fn fault(&mut self, api: &Api, now: Duration) -> Option<Fault> {
        if !self.faults {
            return None;
        }
        let outage = api.outages.iter().find(|(from, to, _)| (*from..*to).contains(&now));
        match outage {
            Some((.., fault)) => Some(*fault),
            None if self.chance(api.passing) => Some(Fault::passing(&mut self.random, api.longest_wait)),
            None if self.chance(api.lasting) => Some(Fault::lasting(&mut self.random)),
            None => None,
        }
    }

    /// The answer is there.
    fn arrive(&mut self, source: usize, page: usize, answer: Answer) -> headwater::Result<Response> {
        let (world, now) = (self.world.clone(), self.now());
        let view = &mut self.oracle.sources[source];
        match answer.verdict {
            Verdict::Page => {
                (view.arrived, view.fault) = (page + 1, None);
                (view.failures, view.garbled) = (0, false);
                self.tally.pages += 1;
            }
            Verdict::Fault(fault) => {
                let told = answer.wait.is_some_and(|wait| !wait.is_zero());
                view.fault = Some(Seen { fault, resumable: page > 0, told });
                view.after_failure = true;
                view.garbled = fault.is_garbled();
                if !answer.limit {
                    view.failures += 1;
                }
                self.tally.fault(fault.name());
            }
            Verdict::Redirect => {}
        }
        if let Some(wait) = answer.wait.filter(|wait| !wait.is_zero()) {
            let failed = matches!(answer.verdict, Verdict::Fault(_));
            self.oracle.told(&world, source, wait, failed, now);
            self.tally.waits += 1;
            self.note(format_args!("s{source} page {page}: wait {wait:?}"));
        }
        match answer.reply {
            Reply::Answer { status, headers, body } => {
                self.oracle.sources[source].bytes += body.len() as u64;
                self.note(format_args!(
                    "s{source} page {page}: {status}, {} bytes, {:?}",
                    body.len(),
                    headers
                ));
                let mut map = HeaderMap::new();
                for (name, value) in headers {
                    let value = HeaderValue::from_str(&value).expect("a header value");
                    map.append(HeaderName::from_static(name), value);
                }
                let status = http::StatusCode::from_u16(status).expect("a status");
                Ok(Response { status, headers: map, body: body.into(), received_at: wall(now) })
            }
            Reply::Failure { kind, transience } => {
                self.note(format_args!("s{source} page {page}: {kind:?}"));
                let passing = transience != Transience::Permanent;
                let what = if passing { "the line broke" } else { "the line is broken for good" };
                Err(Error::new(kind, what).with_transience(transience))
            }
        }
    }
}

/// A limit says so by its status, or fails and says when to come back.
fn is_limit(reply: &Reply) -> bool {
    match reply {
        Reply::Answer { status: 403 | 429, .. } => true,
        Reply::Answer { status, headers, .. } => {
            *status >= 400 && headers.iter().any(|(name, _)| name.contains("retry-after"))
        }
        Reply::Failure { .. } => false,
    }
}
