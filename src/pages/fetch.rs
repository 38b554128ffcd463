//! The state that `unfold` turns into pages: one step asks for one page.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::ACCEPT;

use super::again;
use crate::error::{Error, ErrorKind, Result};
use crate::exchange::{Answered, Exchange, Meaning, Rule, Signals, Standing};
use crate::hints::Signal;
use crate::mark::{Mark, Validators};
use crate::page::selection::{Selected, Selection};
use crate::page::walk::Plan;
use crate::page::{Format, Page, not_json, utf8, without_bom};
use crate::paginate::guard::Guard;
use crate::paginate::{Answer, Paginate};
use crate::request::origin::Origins;
use crate::request::{Origin, Position, Request, TELLING};

/// A number below this has fewer digits than a credential that is known again has characters: it repeats none.
const SHORTER: u64 = 10_u64.pow(TELLING as u32 - 1);

/// A page that is being asked for, and the state behind it.
pub(super) type Step = BoxFuture<'static, Option<(Result<Page>, Box<Fetch>)>>;

/// The state that is unfolded into pages.
pub(super) struct Fetch {
    pub(super) exchange: Exchange,
    pub(super) template: Request,
    pub(super) paginator: Arc<dyn Paginate>,
    pub(super) source: Option<Arc<str>>,
    pub(super) records: Option<Result<Arc<Selection>>>,
    pub(super) plan: Option<Plan>,
    pub(super) allowed: Vec<Result<Origin>>,
    pub(super) signals: Vec<Signal>,
    pub(super) mark: Mark,
    pub(super) guard: Option<Guard>,
    /// Whether the server keeps the place, and whether this stream has asked for the first page.
    pub(super) scrolls: bool,
    pub(super) is_open: bool,
    pub(super) no_content_ends: bool,
    pub(super) format: Format,
    pub(super) conditional: bool,
    /// What was wrong with a part of it, for the first poll.
    pub(super) wrong: Option<Error>,
    /// The slice that it is, for errors.
    pub(super) slice: Option<Arc<str>>,
    /// How many pages are asked for at once; this stream asks for one of them.
    pub(super) lanes: usize,
}

impl Fetch {
    /// Reads the definition, once, before the first request.
    fn prepare(&mut self) -> Result<()> {
        if self.plan.is_some() {
            return Ok(());
        }
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        let records = match self.records.take() {
            Some(path) => Some(path?),
            None => None,
        };
        self.exchange.rules.iter().try_for_each(Rule::check)?;
        let mut origins = Origins::home(Origin::of(self.template.url())?);
        for origin in self.allowed.drain(..) {
            origins.allow(origin?)?;
        }
        self.exchange.origins = origins;
        self.exchange.signals = Signals::new(std::mem::take(&mut self.signals))?;
        self.format.check()?;
        let cap = self.exchange.transport.max_page_bytes();
        self.exchange.rules.read_in(&self.format, cap);
        self.exchange.signals.read_in(&self.format, cap);
        let routes = records.as_ref().map_or(&[][..], |selection| selection.routes());
        self.plan = Some(Plan::over(routes, &self.paginator.reads()?, self.format.shape()));
        self.records = records.map(Ok);
        if let (Some(guard), Some(next)) = (&mut self.guard, &self.mark.next) {
            guard.resume(&self.mark.trail, next);
        }
        Ok(())
    }

    /// Asks for the page at the mark, and moves the mark on if it comes.
    async fn page(&mut self) -> Result<Page> {
        self.prepare()?;
        if self.scrolls && !self.is_open && self.is_behind_first() {
            return Err(again::begun_before());
        }
        let position = self.mark.next.clone().unwrap_or_default();
        let _in_flight = self.exchange.meter.fetching();
        let page = self.ask(position).await?;
        self.mark = page.mark();
        self.is_open = true;
        Ok(page)
    }

    async fn ask(&mut self, position: Position) -> Result<Page> {
        let request = self.request(&position)?;
        let mut answered = self.send(&request, &position).await?;
        let Meaning::Instead(token) = &answered.meaning else {
            let page = self.read(position, &mut answered);
            return page.map_err(|error| self.placed(error, &request, &answered));
        };
        let instead = self.storable(Position::Cursor(token.clone()), &answered.url);
        let instead = instead.map_err(|error| self.placed(error, &request, &answered))?;
        let request = self.request(&instead)?;
        let mut answered = self.send(&request, &instead).await?;
        let page = match answered.meaning {
            Meaning::Instead(_) => Err(Error::new(
                ErrorKind::CursorExpired,
                "the position has expired, and so has the token that was given in its place",
            )),
            _ => self.read(instead, &mut answered),
        };
        page.map_err(|error| self.placed(error, &request, &answered))
    }

    fn request(&self, position: &Position) -> Result<Request> {
        let mut request = self.paginator.request(&self.template, position)?;
        if let (Some(media), false) = (self.format.media_type(), request.headers().contains_key(ACCEPT)) {
            request = request.header(ACCEPT.as_str(), media)?;
        }
        let is_first = *position == self.mark.first();
        Ok(match &self.mark.validators {
            Some(validators) if self.conditional && is_first => validators.sent_with(request),
            _ => request,
        })
    }

    async fn send(&self, request: &Request, position: &Position) -> Result<Answered> {
        let standing = Standing {
            has_position: *position != Position::Start,
            // A run may begin with what the last one has kept.
            is_behind_first: *position != self.mark.first(),
        };
        let answered = self.exchange.send(request, standing).await;
        answered.map_err(|error| self.again(error, request))
    }

    /// Says where an error in an answer happened.
    fn placed(&self, error: Error, request: &Request, answered: &Answered) -> Error {
        let asked = request.clone().at_url(answered.url.clone());
        let error = self.exchange.place(error, &asked, Some(&answered.response), answered.hints);
        self.again(error, request)
    }

    /// Says of a failure whether the request may be sent again.
    fn again(&self, error: Error, request: &Request) -> Error {
        match request.is_repeatable() {
            _ if self.scrolls && self.is_behind_first() => again::lost(error),
            true => error,
            false => again::unrepeatable(error),
        }
    }

    fn is_behind_first(&self) -> bool {
        self.mark.next.as_ref().is_some_and(|next| *next != self.mark.first())
    }

    /// Turns an answer into a page: complete, valid, walked once. The page takes its headers.
    fn read(&mut self, position: Position, answered: &mut Answered) -> Result<Page> {
        let Answered { response, url, .. } = &*answered;
        if matches!(answered.meaning, Meaning::Unchanged) && position != self.mark.first() {
            let what = "a page behind the first has \"not changed\", and its records are not there";
            return Err(Error::new(ErrorKind::Truncated, what)
                .advice("leave `If-None-Match` and `If-Modified-Since` out of the request: `conditional()` asks by them for the first page only"));
        }
        if matches!(answered.meaning, Meaning::Nothing | Meaning::Unchanged) {
            // Nothing is new: the next run begins where this one did.
            let after = self.mark.began.clone();
            self.no_more(&position)?;
            return Ok(self.without_records(position, after, answered));
        }
        let body = without_bom(response.body.clone());
        if u32::try_from(body.len()).is_err() {
            return Err(Error::new(ErrorKind::TooLarge, "a page must be smaller than 4 GiB"));
        }
        if body.trim_ascii().is_empty() && (self.no_content_ends || !self.format.takes_nothing()) {
            self.empty()?;
            self.no_more(&position)?;
            return Ok(self.without_records(position, self.mark.began.clone(), answered));
        }
        let cap = self.exchange.transport.max_page_bytes();
        let body = self.format.read(body, cap)?;
        let text = utf8(&body)?;
        let outline = match &self.plan {
            Some(plan) => plan.walk(text),
            None => Plan::default().walk(text),
        };
        let outline = outline.map_err(|error| not_json(&body, error))?;
        let selected = match &self.records {
            Some(Ok(selection)) => Some(selection.take(outline.routes, text, self.format.shape(), cap)?),
            _ => None,
        };
        let answer = Answer {
            url,
            position: &position,
            status: response.status,
            headers: &response.headers,
            body: text,
            captures: &outline.captures,
            records: selected.as_ref(),
            rows_before: self.mark.rows,
            pages_before: self.mark.pages,
            shape: self.format.shape(),
        };
        let next = self.paginator.next(&answer)?;
        let next = next.map(|next| self.storable(next, url)).transpose()?;
        let after = match next {
            Some(_) => None,
            None => self.paginator.finish(&answer)?.map(|after| self.storable(after, url)).transpose()?,
        };
        let more = next.is_some() && self.paginator.says_more(&answer);
        let foreseen = match &next {
            Some(next) if self.lanes > 1 => self.paginator.foresee(&answer, next, self.lanes - 1),
            _ => Vec::new(),
        };
        // The last thing that can fail, and a failure here is for good: so it may change the guard.
        if let Some(guard) = &mut self.guard {
            let records = selected.as_ref().map_or(Cow::Borrowed(&[][..]), |selected| selected.all(&body));
            guard.follow(&records, selected.as_ref().map(Selected::rows), next.as_ref())?;
        }
        let mut page = self.made(body, position, (next, after), answered, selected);
        (page.foreseen, page.mark.more) = (foreseen, more);
        Ok(page)
    }

    /// Accepts an answer without a page as the end, unless the page before has said that there is more.
    fn no_more(&self, position: &Position) -> Result<()> {
        if !self.mark.more || *position == self.mark.first() {
            return Ok(());
        }
        let what = "the answer has no page, though the page before it says that there is more";
        Err(Error::new(ErrorKind::Truncated, what).once().advice(
            "nothing was skipped, and the checkpoint stays here: run it again; if the flag or the count cannot be relied on, \
             do not end the source by it",
        ))
    }

    /// The last page, without records.
    fn without_records(&self, position: Position, after: Option<Position>, answered: &mut Answered) -> Page {
        let selection = self.records.as_ref().and_then(|selection| selection.as_ref().ok()).cloned();
        let selected = selection.map(Selected::none);
        self.made(Bytes::from_static(b"[]"), position, (None, after), answered, selected)
    }

    fn made(
        &self,
        body: Bytes,
        position: Position,
        (next, after): (Option<Position>, Option<Position>),
        answered: &mut Answered,
        selected: Option<Selected>,
    ) -> Page {
        let Answered { response, url, hints, meaning } = answered;
        let rows = selected.as_ref().map_or(0, Selected::rows);
        let number = self.mark.pages + 1;
        let trail = self.guard.as_ref().map_or_else(|| self.mark.trail.clone(), Guard::trail);
        let began = self.mark.began.clone();
        let validators = match meaning {
            Meaning::Page if self.conditional && position == self.mark.first() => {
                Validators::of(&response.headers)
            }
            _ => self.mark.validators.clone(),
        };
        let rows = self.mark.rows + rows;
        let mark = Mark {
            next,
            pages: number,
            rows,
            began,
            after,
            validators,
            high: self.mark.high.clone(),
            more: false,
            trail,
        };
        Page {
            body,
            status: response.status,
            headers: std::mem::take(&mut response.headers),
            number,
            position,
            hints: *hints,
            fetched_at: response.received_at,
            host: url.host_str().unwrap_or_default().to_owned(),
            mark,
            selected,
            cap: self.exchange.transport.max_page_bytes(),
            shape: self.format.shape(),
            slice: None,
            foreseen: Vec::new(),
        }
    }

    fn empty(&self) -> Result<()> {
        if self.no_content_ends {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Empty, "the answer has no body")
            .advice("if the API ends its pages like this, say so with `no_content_ends()`"))
    }

    /// Makes a position fit to be stored: without credentials, in its links and elsewhere.
    fn storable(&self, next: Position, base: &url::Url) -> Result<Position> {
        if let Position::Offset(..SHORTER) | Position::Page(..SHORTER) = next {
            return Ok(next);
        }
        let next = self.paginator.with_links(next, &mut |link| self.storable_link(&link, base))?;
        let rest = self.paginator.with_links(next.clone(), &mut |_| Ok(String::new()))?.to_string();
        self.exchange.check_text(&rest, "")?;
        if self.exchange.repeats_a_credential(&rest) {
            return Err(repeated());
        }
        Ok(next)
    }

    /// The same of a link, which loses its origin if that is our own, so that a source whose address changes (a
    /// port-forward, a mock) goes on all the same.
    fn storable_link(&self, link: &str, base: &url::Url) -> Result<String> {
        let url = base.join(link).map_err(|error| {
            Error::new(ErrorKind::Cursor, "the link to the next page is not a URL").because(error)
        })?;
        let url = self.exchange.without_credentials(url, base)?;
        let is_home = Origin::of(&url).ok() == Origin::of(self.template.url()).ok();
        if self.exchange.repeats_a_credential(url.as_str()) {
            return Err(if is_home {
                repeated()
            } else {
                let what = "the server points to another origin, by a URL with a credential in it";
                Error::new(ErrorKind::Origin, what)
            });
        }
        // A path that begins with two slashes would read as a host.
        // (`Url::origin` would take `blob:https://…` for its inside.)
        let is_plain = !url.path().starts_with("//") && url.username().is_empty() && url.password().is_none();
        Ok(match is_home && is_plain {
            true => url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
            false => url.into(),
        })
    }

    /// One step of `unfold`: the next page, or what went wrong, and the state to go on with.
    pub(super) fn step(mut self: Box<Self>) -> Step {
        Box::pin(async move {
            self.mark.next.as_ref()?;
            let result = self.page().await.map_err(|error| self.name(error));
            if result.as_ref().is_err_and(|error| !error.is_transient()) {
                self.mark.next = None;
            }
            Some((result, self))
        })
    }

    fn name(&self, error: Error) -> Error {
        let redactor = self.exchange.redactor();
        let error = error.at(|context| {
            context.source = context.source.take().or_else(|| self.source.clone());
            context.slice = context.slice.take().or_else(|| self.slice.clone());
            context.page = Some(self.mark.pages + 1);
            context.position = self.mark.next.as_ref().map(ToString::to_string);
        });
        error.redacted(|text| redactor.text(text))
    }
}

fn repeated() -> Error {
    let what = "the next position repeats a credential where it cannot be kept out of the checkpoint";
    Error::new(ErrorKind::Cursor, what)
        .advice("ask the API for links without it, or put it where `Auth::sent` names it")
}
