//! Sources that are more than one chain of pages: of many parts, growing from run to run, or expiring.

use std::collections::BTreeSet;
use std::time::Duration;

use headwater::checkpoint::Checkpoint;
use headwater::{Request, SourceBuilder};

use super::counted::Counted;
use super::expiring::Expiring;
use super::growth::Growth;
use super::items::Item;
use super::kept::Kept;
use super::listing::Listing;
use super::mutants::Mutant;
use super::oracle::Invariant;
use super::paging::{Cut, Query};
use super::parts::Parts;

#[derive(Debug)]
pub(crate) enum Shape {
    Parts(Parts),
    Growth(Growth),
    Kept(Kept),
    Expiring(Expiring),
    Counted(Counted),
}

/// When something is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At {
    /// How many runs were finished before.
    pub(crate) run: usize,
    pub(crate) life: u32,
    /// How often the positions of the source have expired.
    pub(crate) generation: usize,
    pub(crate) now: Duration,
    /// When the source asked first in this life.
    pub(crate) begun: Option<Duration>,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The stream of pages that it belongs to: each has retries of its own.
    pub(crate) lane: String,
    /// The list that it is a page of: that of one stream, or of several lanes.
    pub(crate) list: String,
    /// What tells the page from all others.
    pub(crate) key: String,
    /// Whether no position is asked for, which could have expired.
    pub(crate) first: bool,
    /// Whether the page is given out: not that of a slice which is too large.
    pub(crate) counts: bool,
    /// Which page of its list it is, from 0, where several are asked for at once.
    pub(crate) page: Option<usize>,
    /// Whether it lies behind the end.
    pub(crate) beyond: bool,
    /// Whether another stream may ask for it once more.
    pub(crate) again: bool,
    pub(crate) answer: Asked,
}

impl Ask {
    /// A page of a list that is asked for page by page.
    pub(crate) fn new(lane: impl Into<String>, key: String, first: bool, answer: Asked) -> Self {
        let lane = lane.into();
        let list = lane.clone();
        Self { lane, list, key, first, counts: true, page: None, beyond: false, again: false, answer }
    }
}

impl Ask {
    /// Makes it a page of a list so many pages of which are asked for at once.
    pub(crate) fn of(self, cut: &Cut, lanes: usize) -> Self {
        if lanes < 2 {
            return self;
        }
        let counts = self.counts && !cut.beyond;
        Self { lane: self.key.clone(), beyond: cut.beyond, counts, ..self }
    }
}

#[derive(Debug)]
pub(crate) enum Asked {
    /// What is new in a page, and the page.
    Page { rows: Vec<usize>, body: String },
    /// It lies beyond what the server hands out.
    Refused,
    /// Its position has expired.
    Expired,
}

/// What a request breaks that is not allowed.
pub(crate) type Broken = (Invariant, String);

/// Gives a source, and its parents, what the world has for it.
pub(crate) type Dress<'a> = &'a dyn Fn(SourceBuilder) -> SourceBuilder;

impl Shape {
    pub(crate) fn random(random: &mut fastrand::Rng) -> (Self, Vec<Item>) {
        match random.u8(0..14) {
            0..=4 => {
                let (parts, items) = Parts::random(random);
                (Self::Parts(parts), items)
            }
            5..=7 => {
                let (growth, items) = Growth::random(random);
                (Self::Growth(growth), items)
            }
            8 => {
                let (kept, items) = Kept::random(random);
                (Self::Kept(kept), items)
            }
            9 | 10 => {
                let (expiring, items) = Expiring::random(random);
                (Self::Expiring(expiring), items)
            }
            _ => {
                let (counted, items) = Counted::random(random);
                (Self::Counted(counted), items)
            }
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Parts(parts) => parts.name(),
            Self::Growth(growth) => growth.name(),
            Self::Kept(_) => "delta token",
            Self::Expiring(_) => "expiring positions",
            Self::Counted(counted) => counted.name(),
        }
    }

    /// Whether it is one that several runs are about.
    pub(crate) fn grows(&self) -> bool {
        matches!(self, Self::Growth(_) | Self::Kept(_))
    }

    pub(crate) fn counted(&self) -> Option<&Counted> {
        if let Self::Counted(counted) = self { Some(counted) } else { None }
    }

    pub(crate) fn expires(&self) -> bool {
        matches!(self, Self::Expiring(_))
    }

    pub(crate) fn source(
        &self,
        listing: &Listing,
        dress: Dress<'_>,
        mutant: Option<Mutant>,
    ) -> SourceBuilder {
        match self {
            Self::Parts(parts) => parts.source(listing, dress, mutant),
            Self::Growth(growth) => dress(growth.source(listing)),
            Self::Kept(kept) => dress(kept.source(listing)),
            Self::Expiring(expiring) => dress(expiring.source(listing)),
            Self::Counted(counted) => dress(counted.source(listing, mutant)),
        }
    }

    /// What a request asks for, or what it should not have asked.
    pub(crate) fn ask(&self, listing: &Listing, request: &Request, at: At) -> Result<Ask, Broken> {
        let query = Query::of(request);
        let none = || (Invariant::ExactlyOnce, format!("there is no page at {}", request.url()));
        match self {
            Self::Parts(parts) => parts.ask(listing, request, &query, at).ok_or_else(none),
            Self::Growth(growth) => growth.ask(listing, &query, at)?.ok_or_else(none),
            Self::Kept(kept) => kept.ask(listing, &query, at)?.ok_or_else(none),
            Self::Expiring(expiring) => expiring.ask(listing, &query, at).ok_or_else(none),
            Self::Counted(counted) => counted.ask(listing, &query, at).ok_or_else(none),
        }
    }

    /// The rows that a finished run has; of a list that grows meanwhile, all that it may have.
    fn expected(&self, listing: &Listing, at: At) -> Vec<usize> {
        match self {
            Self::Parts(_) => (0..listing.items.len()).collect(),
            Self::Growth(growth) => growth.expected(at.run),
            Self::Kept(kept) => kept.expected(at.run),
            Self::Expiring(expiring) => expiring.rows(at.generation),
            Self::Counted(counted) => counted.expected(at),
        }
    }

    /// What is wrong with the rows that are durable, beside their being there twice.
    pub(crate) fn check(
        &self,
        listing: &Listing,
        checkpoint: &Checkpoint,
        rows: &BTreeSet<usize>,
        at: At,
    ) -> Result<(), String> {
        if let Self::Counted(counted) = self {
            return counted.check(checkpoint, rows, at);
        }
        if !checkpoint.is_finished() {
            return Ok(());
        }
        let expected: BTreeSet<usize> = self.expected(listing, at).into_iter().collect();
        if expected == *rows {
            return Ok(());
        }
        let (lost, more) = (expected.difference(rows).count(), rows.difference(&expected).count());
        Err(format!("finished: {lost} records are lost, {more} do not belong there"))
    }

    /// Whether several pages of a list are asked for at once.
    pub(crate) fn has_lanes(&self) -> bool {
        match self {
            Self::Parts(parts) => parts.has_lanes(),
            Self::Counted(_) => true,
            _ => false,
        }
    }

    /// How many pages may have come that the sink has not got.
    pub(crate) fn ahead(&self) -> usize {
        match self {
            Self::Parts(parts) => parts.ahead(),
            Self::Counted(counted) => 1 + counted.lanes,
            _ => 1,
        }
    }

    /// What is wrong with the size of a mark, as JSON.
    pub(crate) fn check_mark(&self, mark: &str) -> Result<(), String> {
        let most = match self {
            Self::Parts(parts) => return parts.check_mark(mark),
            Self::Growth(growth) => growth.longest_mark(),
            Self::Kept(_) | Self::Expiring(_) => 1000,
            // With the hashes of its last 64 positions.
            Self::Counted(_) => 400 + 64 * 21,
        };
        if mark.len() <= most { Ok(()) } else { Err(format!("{} bytes, and not at most {most}", mark.len())) }
    }
}

impl Listing {
    /// A page of these rows, with what stands beside them.
    pub(crate) fn page_of(&self, rows: &[usize], fields: &str) -> String {
        let records: Vec<&str> = rows.iter().map(|row| self.items[*row].wire.as_str()).collect();
        format!("{{\"data\":[{}],{fields}}}", records.join(","))
    }
}
