//! The guard against sources that go round in a circle.
//!
//! Two faults are common on real servers: a position that comes again (a cursor that points to itself, or a
//! ring of any length), and one page under every position (a server that ignores the parameter). Both would
//! run for ever, or pass the same records on for ever. Under counted positions, which only grow, a ring is known by its pages.
//!
//! Memory is bounded. The hashes of the first million positions are kept, so a repetition among them is
//! found at once. Beyond that Brent's algorithm goes on with one remembered position: a ring of any length
//! is found after at most about three times its length. Of pages fewer are kept: a server that counts goes round by
//! beginning again, so its first pages are enough, and they are what takes memory in a list that is long. A rerun starts
//! with the last few hashes, which the mark carries ([`Trail`]), so that it does not walk once more round a ring that
//! stopped it.

use std::collections::HashSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, ErrorKind, Result, Trap};
use crate::mark::Trail;
use crate::request::Position;

const POSITIONS: usize = 1 << 20;
/// As many as fit into a table of 8,192 places, 72 KiB.
const PAGES: usize = 7 << 10;
const TRAIL: usize = 64;
/// So many pages without records may follow one another: a filter over a large table gives many (DynamoDB).
const EMPTY: u64 = 10_000;

/// Watches the positions and pages of one source.
#[derive(Debug)]
pub struct Guard {
    seen: Seen,
    /// The pages of a list whose positions are counted.
    pages: Seen,
    identical_pages: bool,
    repeated_positions: bool,
    /// How many of the last pages had no records, and how many may.
    empty: u64,
    most_empty: u64,
    trail: Trail,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            seen: Seen::of(POSITIONS),
            pages: Seen::of(PAGES),
            identical_pages: false,
            repeated_positions: false,
            empty: 0,
            most_empty: EMPTY,
            trail: Trail::default(),
        }
    }
}

impl Guard {
    /// Notes the position of the first page that is asked for, and what an earlier run remembers.
    pub(crate) fn resume(&mut self, trail: &Trail, first: &Position) {
        self.trail = trail.clone();
        self.seen.first.extend(self.trail.positions.iter().chain(&self.trail.trap));
        // It was noted when it was the next one: a run that is broken off at each page must not fill the trail with it.
        if self.trail.positions.last() != Some(&hash(first)) {
            self.note(first);
        }
    }

    /// The short memory, for the mark.
    pub(crate) fn trail(&self) -> Trail {
        self.trail.clone()
    }

    /// Accepts a page with these records, so many of them, and where it leads.
    pub(crate) fn follow(
        &mut self,
        records: &[u8],
        rows: Option<u64>,
        next: Option<&Position>,
    ) -> Result<()> {
        let counted = matches!(next, Some(Position::Offset(_) | Position::Page(_)));
        self.page(records, counted)?;
        let Some(next) = next else { return Ok(()) };
        rows.map_or(Ok(()), |rows| self.rows(rows))?;
        self.position(next)
    }

    /// Accepts the next position unless it was there before.
    pub(crate) fn position(&mut self, position: &Position) -> Result<()> {
        if !self.repeated_positions && self.note(position) {
            let what = format!("the next position ({position}) was there before");
            let trap = Trap { position: hash(position), within: Vec::new() };
            return Err(Error::new(ErrorKind::Cycle, what)
                .at(|context| context.trap = Some(trap))
                .advice("following it would go on for ever; if the API repeats positions on purpose, use `allow_repeats()`"));
        }
        Ok(())
    }

    /// Accepts pages that are the same as those before; positions are watched all the same.
    pub(crate) fn allow_identical_pages(&mut self) {
        self.identical_pages = true;
    }

    /// Accepts positions that were there before; pages are watched all the same.
    pub(crate) fn allow_repeated_positions(&mut self) {
        self.repeated_positions = true;
    }

    /// Sets how many pages without records may follow one another.
    pub(crate) fn allow_empty_pages(&mut self, most: u64) {
        self.most_empty = most;
    }

    /// Accepts so many records on a page that goes on, unless too many pages before had none either: a server may give
    /// new positions for ever.
    pub(crate) fn rows(&mut self, rows: u64) -> Result<()> {
        self.empty = if rows == 0 { self.empty + 1 } else { 0 };
        if self.empty <= self.most_empty {
            return Ok(());
        }
        let what = format!(
            "more than {} pages in a row have no records, and each leads to another",
            self.most_empty
        );
        Err(Error::new(ErrorKind::Cycle, what)
            .advice("a run goes on from here; if the API has so many, say `allow_empty_pages(most)`"))
    }

    /// Accepts a page unless it has records, and they are the same, byte for byte, as those of the page
    /// before. What stands around them does not count: it may have a time or a request id in it.
    ///
    /// Where positions are counted, none ever comes again, so a server that goes round shows by its pages: there they are
    /// compared with those of the run.
    pub(crate) fn page(&mut self, records: &[u8], counted: bool) -> Result<()> {
        if records.is_empty() || self.identical_pages {
            return Ok(());
        }
        let seen = (records.len(), xxh3_64(records));
        let is_next = self.trail.page.replace(seen) == Some(seen);
        let is_one_of_all = counted && self.pages.note(seen.1);
        if is_next || is_one_of_all {
            let which = if is_next { "the one before" } else { "an earlier one" };
            let what = format!("the records of this page are the same, byte for byte, as those of {which}");
            return Err(Error::new(ErrorKind::Cycle, what).advice(
                "the server seems to ignore the position; check the paginator's parameter names, \
                 or use `allow_identical_pages()` if they are right",
            ));
        }
        Ok(())
    }

    /// Notes a position; true if it was there before.
    fn note(&mut self, position: &Position) -> bool {
        // Counted positions grow at every step, so they need no memory.
        if matches!(position, Position::Offset(_) | Position::Page(_)) {
            return false;
        }
        let hash = hash(position);
        let positions = &mut self.trail.positions;
        if positions.len() == TRAIL {
            positions.remove(0);
        }
        positions.push(hash);
        self.seen.note(hash)
    }
}

/// Hashes in the order in which they come: the first ones are all kept, of the others one.
#[derive(Debug)]
struct Seen {
    first: HashSet<u64>,
    most: usize,
    anchor: Option<u64>,
    steps: u64,
    lap: u64,
}

impl Seen {
    fn of(most: usize) -> Self {
        Self { first: HashSet::new(), most, anchor: None, steps: 0, lap: 1 }
    }

    /// Notes the next one; true if it was there before.
    fn note(&mut self, hash: u64) -> bool {
        if self.first.len() < self.most {
            !self.first.insert(hash)
        } else {
            self.first.contains(&hash) || self.brent(hash)
        }
    }

    fn brent(&mut self, hash: u64) -> bool {
        if self.anchor == Some(hash) {
            return true;
        }
        self.steps += 1;
        if self.anchor.is_none() || self.steps == self.lap {
            self.anchor = Some(hash);
            self.steps = 0;
            self.lap = self.lap.saturating_mul(2);
        }
        false
    }
}

fn hash(position: &Position) -> u64 {
    xxh3_64(position.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps_until_found(guard: &mut Guard, tail: u64, ring: u64) -> u64 {
        (0..100_000)
            .find(|step| {
                let at = if *step < tail { *step } else { tail + (*step - tail) % ring };
                guard.position(&Position::Cursor(at.to_string())).is_err()
            })
            .unwrap()
    }

    #[test]
    fn a_repetition_is_found_at_once() {
        for ring in [1, 2, 3, 1000] {
            assert_eq!(steps_until_found(&mut Guard::default(), 5, ring), 5 + ring);
        }
    }

    #[test]
    fn a_ring_beyond_the_memory_is_found_within_three_lengths() {
        for ring in [1, 2, 7, 1000, 4097] {
            let mut guard = Guard { seen: Seen::of(10), ..Guard::default() };
            let found = steps_until_found(&mut guard, 100, ring);
            assert!(found <= 100 + 3 * ring.max(100), "ring {ring} found at {found}");
            assert_eq!(guard.seen.first.len(), 10);
        }
    }

    #[test]
    fn a_server_that_counts_and_begins_again_is_found_at_once_however_long_its_list_is() {
        let mut guard = Guard { pages: Seen::of(10), ..Guard::default() };
        let mut page = |number: u64| guard.page(&number.to_le_bytes(), true);
        (0..100_000).try_for_each(&mut page).unwrap();
        assert_eq!(page(0).unwrap_err().kind(), ErrorKind::Cycle);
        assert_eq!(guard.pages.first.len(), 10);
    }

    #[test]
    fn a_server_that_counts_and_goes_round_elsewhere_is_found_within_three_lengths() {
        for (tail, ring) in [(100, 2), (100, 1000), (5000, 37)] {
            let mut guard = Guard { pages: Seen::of(10), ..Guard::default() };
            let at = |step: u64| if step < tail { step } else { tail + (step - tail) % ring };
            let found =
                (0..100_000).find(|step| guard.page(&at(*step).to_le_bytes(), true).is_err()).unwrap();
            assert!(found <= tail + 3 * ring.max(tail), "ring {ring} behind {tail} found at {found}");
        }
    }

    #[test]
    fn a_rerun_does_not_walk_round_again() {
        let at = |name: &str| Position::Cursor(name.into());
        let mut guard = Guard::default();
        guard.resume(&Trail::default(), &Position::Start);
        guard.position(&at("a")).unwrap();
        let trail = guard.trail();
        guard.position(&at("b")).unwrap();
        guard.position(&at("a")).unwrap_err();
        // The page at "a" was the last that was committed, so the rerun starts with the one at "b".
        let mut rerun = Guard::default();
        rerun.resume(&trail, &at("b"));
        assert_eq!(rerun.position(&at("a")).unwrap_err().kind(), ErrorKind::Cycle);
    }

    #[test]
    fn a_run_that_is_broken_off_at_each_page_remembers_as_many_positions_as_one_that_is_not() {
        let at = |number: usize| Position::Cursor(number.to_string());
        let mut trail = Trail::default();
        for number in 0..TRAIL {
            let mut guard = Guard::default();
            guard.resume(&trail, &at(number));
            guard.position(&at(number + 1)).unwrap();
            trail = guard.trail();
        }
        let mut rerun = Guard::default();
        rerun.resume(&trail, &at(TRAIL));
        assert_eq!(trail.positions.len(), TRAIL);
        assert!((1..TRAIL).all(|number| rerun.seen.first.contains(&hash(&at(number)))));
    }

    #[test]
    fn identical_pages_may_be_allowed_and_positions_are_watched_all_the_same() {
        let mut guard = Guard::default();
        guard.allow_identical_pages();
        guard.page(b"1", false).unwrap();
        guard.page(b"1", false).unwrap();
        guard.position(&Position::Cursor("a".into())).unwrap();
        guard.position(&Position::Cursor("a".into())).unwrap_err();
    }

    #[test]
    fn the_same_page_twice_is_found_and_empty_pages_are_not() {
        let mut guard = Guard::default();
        guard.page(b"1", false).unwrap();
        guard.page(b"", false).unwrap();
        guard.page(b"", false).unwrap();
        guard.page(b"2", false).unwrap();
        let mut rerun = Guard::default();
        rerun.resume(&guard.trail(), &Position::Start);
        assert_eq!(rerun.page(b"2", false).unwrap_err().kind(), ErrorKind::Cycle);
        assert_eq!(guard.page(b"2", false).unwrap_err().kind(), ErrorKind::Cycle);
    }
}
