//! From each record of one stream to requests of its own.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bind::{Bind, Binds, Joined, Reader, Watch};
use super::engine::{Fed, Feed};
use super::run::{Event, run};
use super::{Slice, Slices, made_by};
use crate::error::{Error, ErrorKind, Result};
use crate::mark::Mark;
use crate::page::Select;
use crate::page::selection::Selection;
use crate::pages::Paged;
use crate::request::slices::{Ahead, PARENTS, Parent, ParentsAhead, Pending, Piece, Progress};
use crate::request::{Bindings, Kept, Position, Request};

/// Requests for each record of a parent: the issues of each repository, the details of each id.
///
/// What is bound from the parent's record stands for `{name}` in the child's template: in its path, its query, its
/// headers or its body. Only the child's records are given out; a parent that is wanted too is a source of its own. The
/// parent may have a window, or a fan-out of its own; what was bound there can be used here as well.
///
/// ```no_run
/// use headwater::pages::Fanout;
/// use headwater::{Source, paginate::LinkHeader};
/// let repos = Source::get("repos", "https://api.github.com/orgs/rust-lang/repos")
///     .records("")
///     .paginate(LinkHeader::new());
/// let issues = Source::get("issues", "https://api.github.com/repos/{owner}/{repo}/issues")
///     .records("")
///     .paginate(LinkHeader::new())
///     .fanout(
///         Fanout::over(repos)
///             .bind("owner", "owner.login")
///             .bind("repo", "name")
///             .copy("full_name", "repo_name")
///             .concurrency(4),
///     )
///     .build()?;
/// # Ok::<(), headwater::Error>(())
/// ```
///
/// A parent is taken as often as the parent's list names it. Memory: the bindings of one page of parents, one page
/// of the parent's ahead, and a page for each child that is open.
#[derive(Debug, Clone)]
#[must_use = "a fan-out does nothing until it is given to a source"]
pub struct Fanout<P> {
    parent: P,
    binds: Binds,
    concurrency: usize,
}

impl<P> Fanout<P> {
    /// Takes the parent: a [`SourceBuilder`](crate::SourceBuilder) for `SourceBuilder::fanout`, or a closure that makes
    /// its page stream from a mark, for [`pages`](Fanout::pages).
    pub fn over(parent: P) -> Self {
        Self { parent, binds: Binds::default(), concurrency: 1 }
    }

    /// Binds a placeholder to a field of the parent's record: a string, a number or a boolean, at a dotted path; `""` is
    /// the record itself. A parent without it is an error of kind `Record`.
    ///
    /// What is bound stands in the checkpoint until the child is pulled. So it cannot be a credential: a field called
    /// `access_token`, `api_key`, `secret` and the like, or a value for an `Authorization` header, is an error of kind
    /// `Config`.
    pub fn bind(mut self, placeholder: impl Into<String>, field: impl Into<String>) -> Self {
        self.binds.binds.push(Bind { name: placeholder.into(), field: field.into(), joined: None });
        self
    }

    /// Binds a placeholder to the fields of up to `most` parents, joined by a separator: one request for many ids. Those
    /// that a page of the parent's has over wait for its next one. What else is bound is the same in one request.
    pub fn bind_joined(
        mut self,
        placeholder: impl Into<String>,
        field: impl Into<String>,
        most: usize,
        separator: impl Into<String>,
    ) -> Self {
        let joined = Some(Joined { most, separator: Some(separator.into()) });
        self.binds.binds.push(Bind { name: placeholder.into(), field: field.into(), joined });
        self
    }

    /// Binds a placeholder to the fields of up to `most` parents, as a list: a query parameter, or a field of a form, that
    /// is nothing but the placeholder is there once for each of them (Discourse's `post_ids[]`), and in a JSON body the
    /// list is an array. For the rest as [`bind_joined`](Self::bind_joined).
    pub fn bind_list(
        mut self,
        placeholder: impl Into<String>,
        field: impl Into<String>,
        most: usize,
    ) -> Self {
        let joined = Some(Joined { most, separator: None });
        self.binds.binds.push(Bind { name: placeholder.into(), field: field.into(), joined });
        self
    }

    /// Copies a field of the parent's record into each of the child's, under a name; `null` if the parent has none. A
    /// field of that name that the child has by itself is renamed `…_original`.
    pub fn copy(mut self, field: impl Into<String>, name: impl Into<String>) -> Self {
        self.binds.copies.push((field.into(), name.into()));
        self
    }

    /// Leaves out parents whose bound field is missing or `null`.
    pub fn skip_missing(mut self) -> Self {
        self.binds.skips_missing = true;
        self
    }

    /// Sets how many children are pulled at once. The default is 1; 0 counts as 1. A crash costs up to so many pages
    /// more.
    pub fn concurrency(mut self, children: usize) -> Self {
        self.concurrency = children;
        self
    }

    /// The names that stand for something in the child's template.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.binds.binds.iter().map(|bind| bind.name.as_str())
    }

    /// What it is made over.
    pub(crate) fn parent(&self) -> &P {
        &self.parent
    }

    /// What decides which requests are made.
    pub(crate) fn definition(&self) -> String {
        self.binds.definition()
    }

    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Result<()> {
        self.binds.clone().reader().map(|_| ())
    }

    /// Puts something in the place of the parent.
    pub(crate) fn map<Q>(self, change: impl FnOnce(P) -> Q) -> Fanout<Q> {
        Fanout { parent: change(self.parent), binds: self.binds, concurrency: self.concurrency }
    }

    /// Refuses values that repeat a credential.
    pub(crate) fn watched_by(mut self, repeats: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.binds.watch = Some(Watch(Arc::new(repeats)));
        self
    }

    /// Says what is asked for with what is bound.
    pub(crate) fn asked_by(mut self, template: Request) -> Self {
        self.binds.template = Some(Arc::new(template));
        self
    }

    /// Says whether a child begins anew when the token that it has kept has expired.
    pub(crate) fn restarts_on_expiry(mut self, restarts: bool) -> Self {
        self.binds.restarts_on_expiry = restarts;
        self
    }

    /// Whether one request is made for several parents.
    pub(crate) fn joins(&self) -> bool {
        self.binds.binds.iter().any(|bind| bind.joined.is_some())
    }

    /// Takes the parent out.
    pub(crate) fn split(self) -> (P, Fanout<()>) {
        let Self { parent, binds, concurrency } = self;
        (parent, Fanout { parent: (), binds, concurrency })
    }
}

impl<P> Fanout<P> {
    /// The pages of all children, as one stream, for a parent that is a closure. `records` is the path of the parent's
    /// records; `make` makes the pages of one child. A page without records stands for each page of the parent's.
    ///
    /// ```
    /// use futures::TryStreamExt;
    /// use headwater::pages::Fanout;
    /// use headwater::testing::{Reply, Scripted};
    /// use headwater::{Pages, RecordsExt, Request, paginate::Single};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> headwater::Result<()> {
    /// let api = Scripted::from_fn(|request, _| match request.url().path() {
    ///     "/users" => Reply::json(r#"[{"id":1},{"id":2}]"#),
    ///     _ => Reply::json(r#"[{"text":"hi"}]"#),
    /// });
    /// let users = Request::get("https://api.example.com/users")?;
    /// let posts = Request::get("https://api.example.com/users/{user}/posts")?;
    /// let (parent, child) = (api.clone(), api.clone());
    /// let records: Vec<_> = Fanout::over(move |mark| Pages::new(parent, users, Single).resume(mark))
    ///     .bind("user", "id")
    ///     .copy("id", "user")
    ///     .pages("", move |slice| Pages::new(child.clone(), posts.clone(), Single).within(slice))
    ///     .records("")
    ///     .try_collect()
    ///     .await?;
    /// assert_eq!(records[1].as_str(), r#"{"text":"hi","user":2}"#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn pages<S, C, F>(self, records: impl Into<Select>, make: F) -> Slices
    where
        P: FnOnce(Mark) -> S + Send + 'static,
        S: Paged + Send + 'static,
        C: Paged + Send + 'static,
        F: Fn(&Slice) -> C + Send + Sync + 'static,
    {
        let records = records.into();
        let Self { parent, binds, concurrency } = self;
        Slices::new(made_by(make), concurrency, move |opening| {
            let ahead = match opening.ahead {
                None => ParentsAhead { parent: Arc::new(Mark::start()), pending: Pending::default() },
                Some(Ahead::Parents(ahead)) => ahead.clone(),
                Some(Ahead::Range(_)) => return Err(Error::config("the position is one of a window")),
            };
            let reader = binds.reader()?;
            let selection = Arc::new(Selection::new(&records)?);
            let mut pages = parent((*ahead.parent).clone());
            pages.select(&records);
            pages.count_into(&opening.given.meter);
            let (sender, events) = mpsc::channel(1);
            let mut task = JoinSet::new();
            if !ahead.parent.is_end() {
                task.spawn(run(Box::pin(pages), sender, None, 0));
            }
            Ok((Box::new(FanoutFeed { ahead, reader, selection, events, _task: task }), None))
        })
    }
}

/// Where the parent of a fan-out goes on.
pub(crate) fn parent_of(mark: &Mark) -> Mark {
    match &mark.next {
        Some(Position::Slices(progress)) => match &progress.ahead {
            Ahead::Parents(ahead) => (*ahead.parent).clone(),
            Ahead::Range(_) => Mark::start(),
        },
        _ => Mark::start(),
    }
}

/// The parents that have not begun.
struct FanoutFeed {
    ahead: ParentsAhead,
    reader: Reader,
    selection: Arc<Selection>,
    events: mpsc::Receiver<Event>,
    /// Ends the parent's task when it is dropped.
    _task: JoinSet<()>,
}

impl FanoutFeed {
    /// Takes up to as many as go into one request.
    fn next(&mut self) -> Option<Arc<Parent>> {
        let count = self.reader.next(self.ahead.pending.left(), self.ahead.parent.is_end())?;
        let parent = self.reader.join(&self.ahead.pending.left()[..count]);
        self.ahead.pending.begin(count);
        Some(parent)
    }

    /// The next page of the parent's.
    fn arrived(&mut self, event: Option<Event>) -> Result<Fed> {
        let mut page = match event {
            Some(Event::Page(page)) => *page,
            Some(Event::Failed(error)) => return Err(error),
            Some(Event::Full(_) | Event::Ended) => {
                let what = "the stream of the parents ended before its last page";
                return Err(Error::new(ErrorKind::Truncated, what));
            }
            None => {
                return Err(Error::new(
                    ErrorKind::Stopped,
                    "the task of the parents ended before its stream did",
                ));
            }
        };
        let number = page.number;
        let place = |error: Error| error.at(|context| context.page = context.page.or(Some(number)));
        page.select(&self.selection).map_err(place)?;
        let new = self.reader.parents(&page).map_err(place)?;
        let left = self.ahead.pending.left().iter().cloned();
        let pending = Pending::of(left.chain(new));
        self.ahead = ParentsAhead { parent: Arc::new(page.mark()), pending };
        Ok(Fed::Page(page))
    }
}

impl Feed for FanoutFeed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fed>> {
        if let Some(parent) = self.next() {
            return Poll::Ready(Ok(Fed::Slice(Piece::Parent(parent))));
        }
        if self.ahead.parent.is_end() {
            return Poll::Ready(Ok(Fed::Done));
        }
        let event = ready!(self.events.poll_recv(cx));
        Poll::Ready(self.arrived(event).map_err(|error| {
            error.at(|context| {
                if let Some(trap) = &mut context.trap {
                    trap.within.insert(0, PARENTS);
                }
            })
        }))
    }

    fn ahead(&self) -> Ahead {
        Ahead::Parents(self.ahead.clone())
    }

    fn is_done(&self) -> bool {
        self.ahead.pending.is_empty() && self.ahead.parent.is_end()
    }

    fn bindings(&self, slice: &Piece) -> Result<Bindings> {
        match slice {
            Piece::Parent(parent) => Ok(parent.bindings.clone()),
            Piece::Range(..) => Err(Error::config("the position is one of a window, and this is a fan-out")),
        }
    }

    fn halve(&mut self, _: &Piece) -> Result<()> {
        // A child's ceiling is its own.
        Err(Error::new(ErrorKind::Truncated, "a child cannot be halved"))
    }

    fn restarts_on_expiry(&self) -> bool {
        self.reader.restarts_on_expiry()
    }

    fn lasting_key(&self, slice: &Piece) -> Option<u64> {
        slice.lasting_key(|name| self.reader.is_asked_for(name))
    }

    fn after(&self, kept: &Kept) -> Option<Position> {
        let parent = self.ahead.parent.next_run();
        if parent == Mark::start() && kept.is_empty() {
            return None;
        }
        let ahead = ParentsAhead { parent: Arc::new(parent), pending: Pending::default() };
        let (ahead, kept) = (Ahead::Parents(ahead), kept.settled());
        Some(Position::Slices(Arc::new(Progress { ahead, open: Vec::new(), kept })))
    }
}
