//! What a walk has seen.

/// A range of bytes in a page. Pages are capped below 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start: start as u32, end: end as u32 }
    }

    pub(crate) fn of(self, body: &str) -> &str {
        &body[self.start as usize..self.end as usize]
    }
}

/// What was found at the end of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Null,
    Array(Vec<Span>),
    Object,
    /// What kind of value it is.
    Scalar(&'static str),
}

/// One end of a route: several, where it leads through every item of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) found: Found,
    /// Where it stands; only known if it was wanted whole.
    pub(crate) span: Option<Span>,
    /// The key of the last map on the way.
    pub(crate) key: Option<Span>,
    /// Whether it is known of each item that it stands on one line, and has no key that begins with two underscores or is
    /// written with an escape.
    pub(crate) plain: bool,
}

/// Where a route has led.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traced {
    pub(crate) matches: Vec<Match>,
    /// Whether it led anywhere: to its end, or to something with items of which there are none.
    pub(crate) arrived: bool,
    /// In how many items it led nowhere.
    pub(crate) lost: u64,
    /// Whether something with items was met at its place.
    pub(super) met: bool,
    /// What it found where something with items or values was expected.
    pub(crate) wrong: Option<&'static str>,
}

/// What one walk has seen.
#[derive(Debug)]
pub(crate) struct Outline {
    /// One for each route.
    pub(crate) routes: Vec<Traced>,
    /// One for each path asked for; `None` where the path leads nowhere.
    pub(crate) captures: Vec<Option<Span>>,
}
