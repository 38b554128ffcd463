//! The one error type: what went wrong, where, whether it may pass, and what to do next.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use http::StatusCode;

use crate::hints::Hints;

/// The result of everything in headwater that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
///
/// The kind is for programs to branch on; the text of the [`Error`] is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The definition of a request, a source or a pipeline does not make sense.
    Config,
    /// No connection: DNS, refused, unreachable, proxy.
    Connect,
    /// The TLS handshake failed: expired, wrong name, unknown authority.
    Tls,
    /// Connecting, reading or the whole request took longer than allowed.
    Timeout,
    /// The connection broke before the answer was complete.
    Interrupted,
    /// The answer is larger than the cap on a page.
    TooLarge,
    /// The bytes of the answer cannot be decoded: unknown or corrupt content coding, invalid UTF-8.
    Encoding,
    /// The server answered with a status that is not a success.
    Status,
    /// The server says that the credentials are missing or wrong (401).
    Unauthorized,
    /// The server limits the rate, and retrying within the caps did not help.
    RateLimited,
    /// The answer is not valid JSON (HTML with status 200, a truncated document, trailing bytes).
    NotJson,
    /// The answer is not in the format that was declared for its pages (CSV, XML): it ends too early, a row is too
    /// short, an element is not closed.
    Format,
    /// The answer is empty where a page was expected.
    Empty,
    /// The record path is missing from the page, or does not hold an array.
    RecordPath,
    /// The place where the next position should be is missing or has the wrong shape.
    Cursor,
    /// The server no longer knows the position that was asked for.
    CursorExpired,
    /// The same position, or the same page, came again: the server is going round in a circle.
    Cycle,
    /// The source says that there is more than it hands out.
    Truncated,
    /// A link or a redirect leads to an origin that was not allowed.
    Origin,
    /// A redirect that cannot be followed: a loop, too many hops, no `Location`.
    Redirect,
    /// A record cannot be turned into the type that was asked for.
    Record,
    /// The sink could not write or commit.
    Sink,
    /// The checkpoint cannot be read, written or trusted.
    Checkpoint,
    /// Another run holds the state that this one needs.
    Locked,
    /// The definition of the source is not the one that the checkpoint was made with.
    DefinitionChanged,
    /// The run was asked to stop before it had finished.
    Stopped,
}

impl ErrorKind {
    fn title(self) -> &'static str {
        match self {
            Self::Config => "invalid definition",
            Self::Connect => "no connection",
            Self::Tls => "TLS failed",
            Self::Timeout => "timed out",
            Self::Interrupted => "connection broke in mid-answer",
            Self::TooLarge => "answer too large",
            Self::Encoding => "undecodable answer",
            Self::Status => "unexpected status",
            Self::Unauthorized => "not authorized",
            Self::RateLimited => "rate limited",
            Self::NotJson => "not JSON",
            Self::Format => "not in the declared format",
            Self::Empty => "empty answer",
            Self::RecordPath => "records not found",
            Self::Cursor => "next position not found",
            Self::CursorExpired => "position expired",
            Self::Cycle => "going round in a circle",
            Self::Truncated => "truncated",
            Self::Origin => "other origin refused",
            Self::Redirect => "bad redirect",
            Self::Record => "unreadable record",
            Self::Sink => "sink failed",
            Self::Checkpoint => "checkpoint unusable",
            Self::Locked => "locked by another run",
            Self::DefinitionChanged => "definition changed",
            Self::Stopped => "stopped",
        }
    }
}

/// Whether asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transience {
    /// Asking again gives the same answer.
    Permanent,
    /// Worth asking once more, no more: a garbled answer, say.
    Once,
    /// Worth asking again, with back-off.
    Transient,
}

/// An error with its kind, its transience and its whereabouts.
///
/// Everything in it has been redacted: no credential appears in its `Display` or `Debug` form.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    transience: Transience,
    message: Cow<'static, str>,
    advice: Option<Cow<'static, str>>,
    context: Context,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// Where an [`Error`] happened. Every text in it is redacted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Context {
    /// The name of the source.
    pub source: Option<Arc<str>>,
    /// The slice of a window or a fan-out, by what was bound: `repo = "a/b", start = 0`.
    pub slice: Option<Arc<str>>,
    /// The number of the page within the run, from 1; of a slice, within the slice.
    pub page: Option<u64>,
    /// The position that was asked for, as text.
    pub position: Option<String>,
    /// The method and the redacted URL: `GET https://api.example.com/v1/items?key=***`.
    pub request: Option<String>,
    /// The host that was asked, for the retry budget.
    pub host: Option<String>,
    /// The status of the answer.
    pub status: Option<StatusCode>,
    /// The beginning of the body, with control characters escaped.
    pub excerpt: Option<String>,
    /// How many times the page was asked for before giving up.
    pub attempts: Option<u32>,
    /// How many bytes of the body had come when it failed, decoded. Of an answer that was read to its end, 0.
    pub received: u64,
    /// What the answer said about waiting.
    pub hints: Hints,
    /// The position that closed a circle, for the checkpoint.
    pub(crate) trap: Option<Trap>,
    /// Whether less would have to be asked for at once.
    pub(crate) is_too_many: bool,
    /// Whether it failed before the request was sent: without a token there is nothing to send.
    pub(crate) is_unsent: bool,
}

/// What must not be walked into again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trap {
    pub(crate) position: u64,
    /// The slices around it, the outermost first.
    pub(crate) within: Vec<u64>,
}

impl Error {
    /// Makes a permanent error of a kind, with a text for people.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            transience: Transience::Permanent,
            message: message.into(),
            advice: None,
            context: Context::default(),
            cause: None,
        }))
    }

    /// Says that asking again, with back-off, may help.
    #[must_use]
    pub fn transient(self) -> Self {
        self.with_transience(Transience::Transient)
    }

    /// Says that asking once more may help.
    #[must_use]
    pub fn once(self) -> Self {
        self.with_transience(Transience::Once)
    }

    /// Sets whether asking again may help.
    #[must_use]
    pub fn with_transience(mut self, transience: Transience) -> Self {
        self.0.transience = transience;
        self
    }

    /// Adds what to do next, as a full clause.
    #[must_use]
    pub fn advice(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        self.0.advice = Some(advice.into());
        self
    }

    /// Adds the error underneath. Its text is shown: it must not hold a secret.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Changes the whereabouts.
    #[must_use]
    pub fn at(mut self, change: impl FnOnce(&mut Context)) -> Self {
        change(&mut self.0.context);
        self
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether asking again may help, and how often.
    pub fn transience(&self) -> Transience {
        self.0.transience
    }

    /// Whether asking for the same page again may help.
    pub fn is_transient(&self) -> bool {
        self.0.transience != Transience::Permanent
    }

    /// Where it happened.
    pub fn context(&self) -> &Context {
        &self.0.context
    }

    /// What the answer said about waiting and about the budget that is left.
    pub fn hints(&self) -> &Hints {
        &self.0.context.hints
    }

    /// The text alone, without the whereabouts.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, where something is known to help.
    pub fn help(&self) -> Option<&str> {
        self.0.advice.as_deref()
    }

    /// Wipes every text in it: a paginator may have quoted a position, a way to log in what it was told.
    pub(crate) fn redacted(mut self, wipe: impl Fn(&str) -> String) -> Self {
        let inner = &mut *self.0;
        inner.message = wipe(&inner.message).into();
        inner.advice = inner.advice.take().map(|advice| wipe(&advice).into());
        inner.cause = inner.cause.take().map(|cause| {
            let text = chain(&*cause);
            let wiped = wipe(&text);
            if wiped == text { cause } else { wiped.into() }
        });
        let Context { position, request, host, excerpt, .. } = &mut inner.context;
        for text in [position, request, host, excerpt] {
            *text = text.take().map(|text| wipe(&text));
        }
        inner.context.slice = inner.context.slice.take().map(|slice| wipe(&slice).into());
        self
    }

    /// The same error for another who waited, with the causes as text.
    pub(crate) fn copy(&self) -> Self {
        let Inner { kind, transience, message, advice, context, cause } = &*self.0;
        let (message, advice, context) = (message.clone(), advice.clone(), context.clone());
        let cause = cause.as_ref().map(|cause| chain(&**cause).into());
        Self(Box::new(Inner { kind: *kind, transience: *transience, message, advice, context, cause }))
    }

    /// Says of a failure that may pass that the request must not be sent again all the same.
    pub(crate) fn not_again(self) -> Self {
        if !self.is_transient() {
            return self;
        }
        self.with_transience(Transience::Permanent)
            .advice("if this request only reads, declare it `repeatable()` and it will be retried")
    }

    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }
}

/// The text of an error and of those underneath.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, message, advice, context, cause, .. } = &*self.0;
        if let Some(source) = &context.source {
            write!(f, "{source}: ")?;
        }
        if let Some(slice) = &context.slice {
            write!(f, "slice {slice}: ")?;
        }
        if let Some(page) = context.page {
            write!(f, "page {page}")?;
            if let Some(position) = &context.position {
                write!(f, " ({position})")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {message}", kind.title())?;
        if let Some(cause) = cause {
            write!(f, ": {}", chain(&**cause))?;
        }
        if let Some(request) = &context.request {
            write!(f, "; {request}")?;
        }
        if let Some(status) = context.status {
            write!(f, "; status {status}")?;
        }
        if let Some(excerpt) = &context.excerpt {
            write!(f, "; body starts with \"{excerpt}\"")?;
        }
        if let Some(attempts) = context.attempts {
            write!(f, "; gave up after {attempts} attempt{}", if attempts == 1 { "" } else { "s" })?;
        }
        if let Some(advice) = advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

// The same as `Display`: it is what a person sees when `main` returns an error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    // The causes are part of the text, so that one line says everything.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_where_and_what_to_do() {
        let error = Error::new(ErrorKind::RecordPath, "\"items\" is not in the answer")
            .advice("use `records(\"data\")`")
            .at(|context| {
                context.source = Some("shop".into());
                context.page = Some(3);
                context.position = Some("offset 200".into());
                context.request = Some("GET https://shop.example/orders?key=***".into());
                context.excerpt = Some("{}".into());
            });
        assert_eq!(
            error.to_string(),
            "shop: page 3 (offset 200): records not found: \"items\" is not in the answer; \
             GET https://shop.example/orders?key=***; body starts with \"{}\"; use `records(\"data\")`"
        );
        assert!(!error.is_transient());
    }
}
