//! One source from many streams: windows, fan-outs and ceilings.

use std::sync::Arc;

use super::{BoxPages, Prepared, SourceBuilder};
use crate::auth::Auth;
use crate::checkpoint::{Definition, MARK};
use crate::error::{Error, Result};
use crate::exchange::Secrets;
use crate::mark::Mark;
use crate::page::JsonPath;
use crate::pages::{Fanout, Limit, Slice, Window, parent_of};
use crate::paginate::Consistency;
use crate::request::{Request, Secret, redact};
use crate::source::Shared;
use crate::transport::Transport;

/// How a source is put together from many streams; by default it is one.
#[derive(Default)]
pub(super) struct Parts {
    window: Option<Window>,
    fanout: Option<Box<Fanout<SourceBuilder>>>,
    ceiling: Option<u64>,
    total: Option<String>,
}

/// The same, after everything in it was looked at.
pub(super) struct Composition {
    window: Option<Window>,
    fanout: Option<(Prepared, Fanout<()>)>,
    /// Of each stream, where it is not the window's.
    pub(super) limit: Option<Limit>,
}

/// Makes the pages of one slice.
pub(super) type Make = Arc<dyn Fn(&Slice) -> BoxPages + Send + Sync>;

impl SourceBuilder {
    /// Pulls the source in slices of time, ids or keys: `{start}` and `{end}`, or `{key}`, stand in the request.
    pub fn window(mut self, window: Window) -> Self {
        self.parts.window = Some(window);
        self
    }

    /// Pulls the source once for each record of another one, from which values are bound in the request. A window of this
    /// source is then pulled for each of them. The other one needs no more than `get`, `records` and `paginate`: it has a
    /// limiter, retries and credentials of its own, and is not built; the transport is this one's, unless it has its own. Its
    /// records are not written.
    pub fn fanout(mut self, fanout: Fanout<SourceBuilder>) -> Self {
        self.parts.fanout = Some(Box::new(fanout));
        self
    }

    /// Declares how many records the source hands out, however many there are. With a window, a slice that reaches it is
    /// halved ([`Window::ceiling`]). Without one, it is an error of kind `Truncated` if there are more, by the
    /// total or because the page beyond is refused; so many or more at the end are a warning in the report.
    pub fn ceiling(mut self, rows: u64) -> Self {
        self.parts.ceiling = Some(rows);
        self
    }

    /// Says where a page says how many records there are, for the [`ceiling`](Self::ceiling).
    pub fn total_at(mut self, path: impl Into<String>) -> Self {
        self.parts.total = Some(path.into());
        self
    }
}

impl Parts {
    /// Whether something here, or further up, gives `{name}` a value.
    pub(super) fn binds(&self, name: &str) -> bool {
        let is_of_window = self.window.as_ref().is_some_and(|window| window.placeholders().contains(&name));
        is_of_window
            || self.fanout.as_ref().is_some_and(|fanout| {
                fanout.placeholders().any(|other| other == name) || fanout.parent().parts.binds(name)
            })
    }

    /// Looks at everything.
    pub(super) fn prepare(
        self,
        template: &Request,
        restarts_on_expiry: bool,
        transport: Option<&Arc<dyn Transport>>,
    ) -> Result<Composition> {
        let Self { window, fanout, ceiling, total } = self;
        let limit = match (ceiling, total) {
            (Some(rows), total) => {
                let total = total.as_deref().map(JsonPath::parse).transpose()?;
                Some(Limit { rows, total })
            }
            (None, None) => None,
            (None, Some(_)) => return Err(Error::config("`total_at` says nothing without a `ceiling`")),
        };
        let stands = |name: &str| match template.mentions(name) {
            true => Ok(()),
            false => Err(Error::config(format!(
                "{{{name}}} does not stand in the request: each part would be asked for the same"
            ))
            .advice(format!("put it where the API wants the value: `.query(\"…\", \"{{{name}}}\")`"))),
        };
        let (window, limit) = match window {
            Some(window) => {
                let window = window.or_ceiling(limit);
                window.check()?;
                if fanout.is_some() && window.continues() {
                    return Err(Error::config(
                        "a window for each parent cannot continue from its end: a parent that is new has nothing before it",
                    ));
                }
                window.placeholders().iter().try_for_each(|name| stands(name))?;
                (Some(window), None)
            }
            None => (None, limit),
        };
        let fanout = match fanout {
            Some(fanout) => {
                let (mut parent, fanout) = fanout.split();
                // Where the parents come from a fan-out, its children begin anew by themselves.
                parent.restart_on_expiry |= restarts_on_expiry;
                let fanout = fanout.asked_by(template.clone()).restarts_on_expiry(restarts_on_expiry);
                fanout.check()?;
                fanout.placeholders().try_for_each(stands)?;
                let name = parent.name.as_str().into();
                Some((parent.prepare(name, transport.cloned())?, fanout))
            }
            None => None,
        };
        Ok(Composition { window, fanout, limit })
    }
}

impl Composition {
    /// Refuses what the slices of a window cannot keep: the next run has others. The children of a fan-out each keep a
    /// mark of their own.
    pub(super) fn check(&self, is_conditional: bool, is_incremental: bool) -> Result<()> {
        if is_incremental && self.fanout.as_ref().is_some_and(|(_, fanout)| fanout.joins()) {
            // With one parent more, all that come behind it are asked for in other company.
            let what = "requests for several parents keep no mark: they cannot be incremental";
            return Err(Error::config(what).advice("bind one parent for each request, with `bind`"));
        }
        if self.window.is_none() {
            return Ok(());
        }
        let refuse = |what| {
            Err(Error::config(what)
                .advice("a window may `continue_from_end()`, and be pulled in slices that are new"))
        };
        if is_conditional {
            return refuse(
                "a source in slices has no first page that could be unchanged: it cannot be conditional",
            );
        }
        // Slices are pulled at different times: what comes late in the first is below the highest value of the last.
        if is_incremental {
            return refuse("the slices of a source never share one mark: it cannot be incremental");
        }
        Ok(())
    }

    /// Adds what decides which records come.
    pub(super) fn define(&self, mut definition: Definition) -> Definition {
        if let Some(window) = &self.window {
            definition = definition.with("window", window.definition());
            if let Some(mark) = window.mark_definition() {
                definition = definition.with(MARK, mark);
            }
        }
        if let Some((parent, fanout)) = &self.fanout {
            definition =
                definition.with("fan-out", fanout.definition()).with_all("parent", &parent.definition);
        }
        definition
    }

    /// That of the weakest part.
    pub(super) fn consistency(&self, own: Consistency) -> Consistency {
        self.fanout.as_ref().map_or(own, |(parent, _)| own.weaker(parent.consistency))
    }

    /// The credentials of the parents.
    pub(super) fn hidden(&self) -> Option<Secrets> {
        self.fanout.as_ref().map(|(parent, _)| parent.secrets.clone())
    }

    /// The credentials of all its parts.
    pub(super) fn secrets(&self, auth: Option<Arc<dyn Auth>>, template: &Request) -> Secrets {
        let mut written: Vec<Secret> =
            template.sensitive_headers().chain(template.sensitive_body()).collect();
        written.extend(template.sensitive_query().into_iter().map(|(_, value)| Secret::from(value)));
        let parent = self.hidden();
        Arc::new(move || {
            let parents = parent.iter().flat_map(|secrets| secrets());
            auth.iter()
                .flat_map(|auth| auth.secrets())
                .chain(written.iter().cloned())
                .chain(parents)
                .collect()
        })
    }

    /// Opens the stream at a mark.
    pub(super) fn open(&self, make: Make, mark: Mark, secrets: Secrets, shared: &Shared) -> Result<BoxPages> {
        let (window, fanout) = (self.window.clone(), &self.fanout);
        let Some((parent, fanout)) = fanout else {
            return Ok(match window {
                None => make(&Slice::whole(mark)),
                Some(window) => Box::new(window.pages(move |slice| make(slice)).resume(mark)),
            });
        };
        let pages = (parent.open)(parent_of(&mark), shared)?;
        let repeats = move |text: &str| redact::repeats(text, || secrets());
        let fanout = fanout.clone().map(|()| move |_| pages).watched_by(repeats);
        let child = move |slice: &Slice| -> BoxPages {
            let make = make.clone();
            match &window {
                None => make(slice),
                Some(window) => Box::new(window.pages(move |slice| make(slice)).within(slice)),
            }
        };
        Ok(Box::new(fanout.pages(&parent.records, child).resume(mark)))
    }
}
