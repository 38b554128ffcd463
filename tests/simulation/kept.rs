//! A list that hands out a token at its end: the next run asks for what has changed since.

use headwater::paginate::{Cursor, Delta};
use headwater::{Source, SourceBuilder};

use super::items::Item;
use super::listing::Listing;
use super::oracle::Invariant;
use super::paging::Query;
use super::shapes::{Ask, Asked, At, Broken};

#[derive(Debug)]
pub(crate) struct Kept {
    /// In which run each row is new.
    born: Vec<usize>,
    size: usize,
}

impl Kept {
    pub(crate) fn random(random: &mut fastrand::Rng) -> (Self, Vec<Item>) {
        let rows = random.usize(0..30);
        let born = (0..rows).map(|_| random.usize(0..4)).collect();
        let items = (0..rows).map(|row| Item::plain(random, row, "")).collect();
        (Self { born, size: random.usize(1..5) }, items)
    }

    pub(crate) fn source(&self, listing: &Listing) -> SourceBuilder {
        Source::get(&listing.name, listing.url()).records("data").paginate(Delta::new(
            Cursor::body("next").into_query("token").missing_ends(),
            Cursor::body("sync").into_query("sync"),
        ))
    }

    pub(crate) fn expected(&self, run: usize) -> Vec<usize> {
        (0..self.born.len()).filter(|row| self.born[*row] == run).collect()
    }

    pub(crate) fn ask(&self, listing: &Listing, query: &Query, at: At) -> Result<Option<Ask>, Broken> {
        let sync = at.run.checked_sub(1).map(|last| format!("after run {last}"));
        if query.get("sync") != sync.as_deref() {
            let what = format!("{}: {:?} is asked for, and not {sync:?}", listing.name, query.get("sync"));
            return Err((Invariant::MarksAreOfFinishedRuns, what));
        }
        let token = query.get("token").map(|token| token.strip_prefix("t/").and_then(|at| at.parse().ok()));
        let from: usize = match token {
            None => 0,
            Some(None) => return Ok(None),
            Some(Some(from)) => from,
        };
        let rows = self.expected(at.run);
        let to = (from + self.size).min(rows.len());
        let Some(page) = rows.get(from..to).map(<[usize]>::to_vec) else { return Ok(None) };
        let fields = if to < rows.len() {
            format!("\"next\":\"t/{to}\"")
        } else {
            format!("\"sync\":\"after run {}\"", at.run)
        };
        let answer = Asked::Page { body: listing.page_of(&page, &fields), rows: page };
        let first = from == 0 && sync.is_none();
        Ok(Some(Ask::new("list", format!("at {from}"), first, answer)))
    }
}
