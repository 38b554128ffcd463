//! A list that grows from run to run, of which each run pulls what is new.

use std::time::Duration;

use chrono::DateTime;
use headwater::incremental::Incremental;
use headwater::{Source, SourceBuilder};

use super::items::Item;
use super::listing::Listing;
use super::oracle::Invariant;
use super::paging::{Paging, Query};
use super::shapes::{Ask, Asked, At, Broken};

/// 2026-05-01T00:00:00Z.
const BEGINNING: i64 = 1_777_593_600;
const RUNS: usize = 5;

#[derive(Debug)]
pub(crate) struct Growth {
    /// Where each row stands, and in which run it is there first.
    rows: Vec<(i64, usize)>,
    times: bool,
    descending: bool,
    lookback: u32,
    exclusive: bool,
    keyed: bool,
    paging: Paging,
    size: usize,
    /// Where each run begins, and what is new in it.
    runs: Vec<(Option<i64>, Vec<usize>)>,
}

impl Growth {
    pub(crate) fn random(random: &mut fastrand::Rng) -> (Self, Vec<Item>) {
        let times = random.bool();
        let descending = random.u8(0..3) == 0;
        let exclusive = !descending && random.u8(0..4) == 0;
        let lookback = if exclusive || random.bool() { 0 } else { random.u32(1..20) };
        let paging = [Paging::Offset, Paging::Number, Paging::Token][random.usize(0..3)];
        let (mut rows, mut top) = (Vec::<(i64, usize)>::new(), 0_i64);
        for run in 0..RUNS {
            for _ in 0..random.usize(0..if run == 0 { 30 } else { 12 }) {
                let at = match random.u8(0..4) {
                    _ if run == 0 => random.i64(0..50),
                    _ if exclusive => top + random.i64(1..20),
                    // At the mark, or late.
                    0 => top,
                    1 => (top - random.i64(0..30)).max(0),
                    _ => top + random.i64(0..20),
                };
                rows.push((at, run));
            }
            top = rows.iter().map(|(at, _)| *at).max().unwrap_or(0);
        }
        let mut runs = Vec::new();
        let (mut taken, mut since) = (vec![false; rows.len()], None);
        for run in 0..RUNS {
            let is_old = |at: i64| since.is_some_and(|since| at < since || (exclusive && at == since));
            let new: Vec<usize> = (0..rows.len())
                .filter(|row| rows[*row].1 <= run && !taken[*row] && !is_old(rows[*row].0))
                .collect();
            let top = new.iter().map(|row| rows[*row].0).max().map(|top| top - i64::from(lookback));
            new.iter().for_each(|row| taken[*row] = true);
            runs.push((since, new));
            since = since.max(top);
        }
        let keyed = random.bool();
        let growth = Self {
            times,
            descending,
            lookback,
            exclusive,
            keyed,
            paging,
            runs,
            rows,
            size: random.usize(1..6),
        };
        let items = growth
            .rows
            .iter()
            .enumerate()
            .map(|(row, (at, _))| Item::plain(random, row, &format!("\"at\":{},", growth.shown(*at))));
        let items = items.collect();
        (growth, items)
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.descending { "incremental, newest first" } else { "incremental" }
    }

    fn shown(&self, at: i64) -> String {
        if !self.times {
            return at.to_string();
        }
        let time = DateTime::from_timestamp(BEGINNING + at, 0).expect("a time");
        format!("\"{}\"", time.format("%Y-%m-%dT%H:%M:%SZ"))
    }

    fn read(&self, text: &str) -> Option<i64> {
        if !self.times {
            return text.parse().ok();
        }
        Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp() - BEGINNING)
    }

    pub(crate) fn source(&self, listing: &Listing) -> SourceBuilder {
        let rules = Incremental::by("at");
        let rules = match self.times {
            true if self.lookback > 0 => rules.lookback(Duration::from_secs(self.lookback.into())),
            true => rules,
            false => rules.integer().lookback_by(self.lookback),
        };
        let rules = if self.keyed { rules.key("id") } else { rules };
        let rules = if self.descending { rules.descending() } else { rules };
        let rules = if self.exclusive { rules.exclusive() } else { rules };
        let source = Source::get(&listing.name, format!("{}?since={{since}}", listing.url()));
        self.paging.on(source.records("data")).incremental(rules)
    }

    pub(crate) fn expected(&self, run: usize) -> Vec<usize> {
        self.runs[run].1.clone()
    }

    pub(crate) fn ask(&self, listing: &Listing, query: &Query, at: At) -> Result<Option<Ask>, Broken> {
        let (since, new) = &self.runs[at.run];
        let asked = query.get("since");
        if asked.map(|text| self.read(text)) != since.map(Some) {
            let what = format!("{}: since {asked:?} is asked for, and not {since:?}", listing.name);
            return Err((Invariant::MarksAreOfFinishedRuns, what));
        }
        let is_there = |row: &usize| {
            let (place, born) = self.rows[*row];
            let old = since.is_some_and(|since| place < since || (self.exclusive && place == since));
            // Newest first comes all there is: where to end is not the server's business.
            born <= at.run && (self.descending || !old)
        };
        let mut rows: Vec<usize> = (0..self.rows.len()).filter(is_there).collect();
        rows.sort_by_key(|row| (self.rows[*row].0, *row));
        if self.descending {
            rows.reverse();
        }
        let ids: Vec<usize> = (0..rows.len()).collect();
        let Some(cut) = self.paging.cut(&ids, self.size, query, 1) else { return Ok(None) };
        let before = cut.from.checked_sub(1).map(|before| self.rows[rows[before]].0);
        if let Some((before, since)) = before.zip(*since).filter(|(before, since)| before < since) {
            let what =
                format!("{}: {before} lies before {since}, and the page after it is asked for", listing.name);
            return Err((Invariant::FewRequestsAgain, what));
        }
        let page = &rows[cut.from..cut.to];
        let body = listing.page_of(page, &cut.fields);
        let fresh = page.iter().copied().filter(|row| new.contains(row)).collect();
        let key = format!("page{}", cut.place);
        let answer = Asked::Page { rows: fresh, body };
        Ok(Some(Ask::new("list", key, cut.first, answer)))
    }

    pub(crate) fn longest_mark(&self) -> usize {
        2000 + 60 * self.rows.len()
    }
}
