//! A list whose positions expire in the middle, and which is another one then.

use headwater::paginate::Cursor;
use headwater::{Source, SourceBuilder};

use super::items::Item;
use super::listing::Listing;
use super::paging::Query;
use super::shapes::{Ask, Asked, At};

#[derive(Debug)]
pub(crate) struct Expiring {
    rows: usize,
    size: usize,
}

impl Expiring {
    pub(crate) fn random(random: &mut fastrand::Rng) -> (Self, Vec<Item>) {
        let rows = random.usize(0..40);
        let items = (0..rows).map(|row| Item::plain(random, row, "")).collect();
        (Self { rows, size: random.usize(1..6) }, items)
    }

    pub(crate) fn source(&self, listing: &Listing) -> SourceBuilder {
        Source::get(&listing.name, listing.url())
            .records("data")
            .paginate(Cursor::body("next").into_query("token"))
            .restart_on_expiry()
    }

    /// Each time others are missing.
    pub(crate) fn rows(&self, generation: usize) -> Vec<usize> {
        (0..self.rows).filter(|row| !(row + generation).is_multiple_of(5)).collect()
    }

    pub(crate) fn ask(&self, listing: &Listing, query: &Query, at: At) -> Option<Ask> {
        let (generation, from) = match query.get("token") {
            None => (at.generation, 0),
            Some(token) => {
                let (generation, from) = token.split_once('/')?;
                (generation.parse().ok()?, from.parse().ok()?)
            }
        };
        let rows = self.rows(generation);
        let to = (from + self.size).min(rows.len());
        let page = rows.get(from..to)?.to_vec();
        let next = if to < rows.len() { format!("\"{generation}/{to}\"") } else { "null".to_owned() };
        let answer = if generation == at.generation {
            Asked::Page { body: listing.page_of(&page, &format!("\"next\":{next}")), rows: page }
        } else {
            Asked::Expired
        };
        let key = format!("generation {generation} at {from}");
        Some(Ask::new("list", key, from == 0, answer))
    }
}
