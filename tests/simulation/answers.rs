//! What the virtual servers answer: pages, redirects and faults, with what they say about waiting.

use std::fmt;
use std::time::Duration;

use headwater::error::Transience;
use headwater::{Error, Request, Response};
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::dialects::Page;
use super::faults::{Fault, Reply};
use super::hub::State;
use super::lanes::Lane;
use super::oracle::{Invariant, Seen};
use super::shapes::{Ask, Asked, At, Shape};
use super::waits::{FORMS, Form, Told};
use super::world::Api;

/// What a request asks for.
#[derive(Debug, Default)]
pub(crate) struct Want {
    /// The stream of pages that it belongs to.
    pub(crate) lane: String,
    pub(crate) page: usize,
    /// Of a shaped source.
    pub(crate) ask: Option<Ask>,
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ask {
            Some(ask) => f.write_str(&ask.key),
            None => write!(f, "page {}", self.page),
        }
    }
}

impl Want {
    /// Whether a position is asked for that can expire.
    fn is_resumable(&self) -> bool {
        self.ask.as_ref().map_or(self.page > 0, |ask| !ask.first)
    }
}

/// An answer on its way.
pub(crate) struct Answer {
    reply: Reply,
    /// What it says about waiting.
    wait: Option<Duration>,
    /// How many requests it says remain, and for how long.
    left: Option<(u64, Duration)>,
    /// Whether it refuses because of that, and for nothing else.
    limit: bool,
    verdict: Verdict,
    /// How long it takes to arrive.
    pub(crate) takes: Duration,
}

#[derive(Debug, Clone, Copy)]
enum Verdict {
    Page,
    Redirect,
    /// What lies beyond a ceiling is refused.
    Beyond,
    Fault(Fault),
}

impl State {
    /// A request is sent: which page it wants, and how long it takes to the server.
    pub(crate) fn receive(&mut self, source: usize, request: &Request, hop: u32) -> (Want, Duration) {
        let (world, now) = (self.world.clone(), self.now());
        let listing = &world.listings[source];
        self.note(format_args!("s{source} {} {}", request.method(), request.url()));
        let want = self.want(source, request).unwrap_or_else(|(invariant, what)| {
            self.oracle.violated(invariant, what);
            Want::default()
        });
        if let Err(why) = listing.credentials.check(listing, request) {
            self.oracle.violated(Invariant::CredentialsStayHome, why);
        }
        self.oracle.sources[source].requests += 1;
        self.tally.requests += 1;
        if hop == 0 {
            self.oracle.sent(&world, source, &want, now);
        } else {
            self.tally.hops += 1;
        }
        let latency = world.apis[listing.api].latency;
        (want, Duration::from_millis(self.random.u64(0..=latency)))
    }

    pub(crate) fn at(&self, source: usize) -> At {
        let view = &self.oracle.sources[source];
        At {
            run: self.oracle.run,
            life: self.life,
            generation: view.generation,
            now: self.now(),
            begun: view.begun,
        }
    }

    fn want(&self, source: usize, request: &Request) -> Result<Want, (Invariant, String)> {
        let listing = &self.world.listings[source];
        if let Some(shape) = &listing.shape {
            let ask = shape.ask(listing, request, self.at(source))?;
            return Ok(Want { lane: ask.lane.clone(), page: 0, ask: Some(ask) });
        }
        let none = || {
            (Invariant::ExactlyOnce, format!("there is no page at {} {}", request.method(), request.url()))
        };
        let page = listing.dialect.page_of(listing, request).ok_or_else(none)?;
        Ok(Want { page, ..Want::default() })
    }

    /// The server makes its answer.
    pub(crate) fn answer(&mut self, source: usize, want: &Want, request: &Request, hop: u32) -> Answer {
        let (world, now) = (self.world.clone(), self.now());
        let listing = &world.listings[source];
        let api = &world.apis[listing.api];
        let mut takes = Duration::from_millis(self.random.u64(0..=api.latency));
        let mut budget = if self.faults { self.spend(listing.api, now) } else { None };
        let over = budget.is_some_and(|(left, _)| left.is_none());
        let page = want.page;
        let (wire, natural) = self.serve(source, want);
        let verdict = match self.fault(api, now) {
            // Where an empty answer is the end, it is no fault that could be seen.
            Some(Fault::Empty) if listing.no_content => Verdict::Page,
            Some(fault) => Verdict::Fault(fault),
            None if over => Verdict::Fault(Fault::Status(429)),
            None if hop < 3 && self.chance(api.redirects) => Verdict::Redirect,
            None => natural,
        };
        let (mut wait, mut remaining) = (None, None);
        let mut reply = match verdict {
            Verdict::Fault(fault) => {
                if fault == Fault::ReadTimeout {
                    takes += Duration::from_secs(30);
                }
                fault.reply(&wire.body, request.url().as_str())
            }
            Verdict::Redirect => {
                let location = format!("{}", request.clone().with_query("hop", (hop + 1).to_string()).url());
                let all = [301, 302, 303, 307, 308];
                let status = all[self.random.usize(if request.body().is_some() { 3..5 } else { 0..5 })];
                Reply::Answer { status, headers: vec![("location", location)], body: Vec::new() }
            }
            Verdict::Beyond => {
                let body = br#"{"message":"Only the first results are available"}"#.to_vec();
                Reply::Answer { status: 422, headers: Vec::new(), body }
            }
            Verdict::Page => {
                let headers = wire.link.map(|link| ("link", link)).into_iter().collect();
                let mark = if self.one_in(10) { "\u{feff}" } else { "" };
                let body = format!("{mark}{}", wire.body).into_bytes();
                let ends = listing.no_content && page + 1 == listing.chain.len();
                let (status, body) = if ends { (204, Vec::new()) } else { (200, body) };
                Reply::Answer { status, headers, body }
            }
        };
        if let Reply::Answer { status, headers, .. } = &mut reply {
            let told = match verdict {
                Verdict::Fault(Fault::Told(_, form, wait)) => Some(self.tell(form, wait, api, takes)),
                // A good answer may ask for a pause, too.
                Verdict::Page if self.faults && self.chance(api.slow_downs) => {
                    let form = FORMS[self.random.usize(0..FORMS.len())];
                    let wait = Duration::from_millis(self.random.u64(1..60_000));
                    Some(self.tell(form, wait, api, takes))
                }
                _ => None,
            };
            if let Some(told) = told {
                let counts = told.headers.iter().any(|(name, _)| name.contains("ratelimit"));
                remaining = counts.then_some((0, told.wait));
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
                let told = self.tell(form[usize::from(style)], reset, api, takes);
                let is_count = |name: &str| name.ends_with("-remaining");
                let with = |(name, value)| (name, if is_count(name) { left.to_string() } else { value });
                headers.extend(told.headers.into_iter().map(with));
                wait = (left == 0).then_some(told.wait);
                remaining = Some((left, told.wait));
            }
        }
        if let (Verdict::Page, None) = (verdict, &want.ask) {
            let view = &mut self.oracle.sources[source];
            if page < view.ever_served {
                self.tally.repeated += 1;
            }
            view.served = page + 1;
            view.ever_served = view.ever_served.max(page + 1);
        }
        let limit = wait.is_some_and(|wait| !wait.is_zero()) && is_limit(&reply);
        Answer { reply, wait, left: remaining, limit, verdict, takes }
    }

    /// The page as it would be, and what becomes of it if nothing goes wrong.
    fn serve(&mut self, source: usize, want: &Want) -> (Page, Verdict) {
        let world = self.world.clone();
        let listing = &world.listings[source];
        let Some(ask) = &want.ask else {
            let page = if listing.shape.is_some() {
                Page::default()
            } else {
                listing.dialect.page(listing, want.page)
            };
            return (page, Verdict::Page);
        };
        let page = |body: &str| Page { body: body.to_owned(), link: None };
        match &ask.answer {
            Asked::Refused => (page("{}"), Verdict::Beyond),
            Asked::Expired => (page("{}"), Verdict::Fault(Fault::CursorExpired)),
            Asked::Page { body, .. } => {
                let expires = listing.shape.as_ref().is_some_and(|shape| shape.expires());
                if expires && !ask.first && self.faults && self.one_in(15) {
                    self.oracle.sources[source].generation += 1;
                    return (page(body), Verdict::Fault(Fault::CursorExpired));
                }
                (page(body), Verdict::Page)
            }
        }
    }

    /// A wait as the server writes it, by a clock of its own.
    fn tell(&self, form: Form, wait: Duration, api: &Api, takes: Duration) -> Told {
        let here = self.wall();
        // Without the server's time in the answer the date is taken as it is, so it had better be right.
        let stamped = if form == Form::BareDate { here } else { api.clock(self.now()) };
        form.tell(wait, stamped, here + takes)
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
    pub(crate) fn arrive(
        &mut self,
        source: usize,
        want: &Want,
        answer: Answer,
    ) -> headwater::Result<Response> {
        let (world, now) = (self.world.clone(), self.now());
        let view = &mut self.oracle.sources[source];
        match answer.verdict {
            Verdict::Page => {
                let lane = view.lane(&want.lane);
                *lane = Lane { poll: lane.poll, told_until: lane.told_until, ..Lane::default() };
                match &want.ask {
                    Some(ask) => {
                        let before = view.pieces.repeated;
                        view.pieces.arrived(ask);
                        self.tally.repeated += view.pieces.repeated - before;
                    }
                    None => view.arrived = want.page + 1,
                }
                self.tally.pages += 1;
            }
            Verdict::Beyond => want.ask.iter().for_each(|ask| view.pieces.refused(ask)),
            Verdict::Fault(fault) => {
                let told = answer.wait.is_some_and(|wait| !wait.is_zero());
                let expires = world.listings[source].shape.as_ref().is_some_and(Shape::expires);
                view.expired |= expires && matches!(fault, Fault::CursorExpired);
                let lane = view.lane(&want.lane);
                lane.fault = Some(Seen { fault, resumable: want.is_resumable(), told });
                lane.after_failure = true;
                lane.garbled = fault.is_garbled();
                if !answer.limit {
                    lane.failures += 1;
                }
                // It may stand for the end of what the server hands out.
                if let Some(ask) = want.ask.as_ref().filter(|ask| fault.is_refusal() && !ask.first) {
                    view.pieces.refused(ask);
                }
                self.tally.fault(fault.name());
            }
            Verdict::Redirect => {}
        }
        if let Some(wait) = answer.wait.filter(|wait| !wait.is_zero()) {
            let failed = matches!(answer.verdict, Verdict::Fault(_));
            self.oracle.told(&world, (source, &want.lane), wait, failed, now);
            self.tally.waits += 1;
            self.note(format_args!("s{source} {want}: wait {wait:?}"));
        }
        if !matches!(answer.verdict, Verdict::Redirect) {
            self.oracle.answered(&world, source, &want.lane, answer.left, now);
        }
        match answer.reply {
            Reply::Answer { status, headers, body } => {
                self.oracle.sources[source].bytes += body.len() as u64;
                self.note(format_args!("s{source} {want}: {status}, {} bytes, {:?}", body.len(), headers));
                let mut map = HeaderMap::new();
                for (name, value) in headers {
                    let value = HeaderValue::from_str(&value).expect("a header value");
                    map.append(HeaderName::from_static(name), value);
                }
                let status = http::StatusCode::from_u16(status).expect("a status");
                Ok(Response { status, headers: map, body: body.into(), received_at: self.wall() })
            }
            Reply::Failure { kind, transience } => {
                self.note(format_args!("s{source} {want}: {kind:?}"));
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
