//! What a source holds: its records, and the chain of pages that it is cut into.

use std::ops::Range;

use super::credentials::Credentials;
use super::dialects::Dialect;
use super::items::Item;
use super::shapes::Shape;

/// One list of an API. It never changes, so that what must arrive is known.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) name: String,
    pub(crate) api: usize,
    pub(crate) dialect: Dialect,
    pub(crate) items: Vec<Item>,
    /// The rows of each page, from the first to the one that is the end. Page sizes differ, as if the server
    /// clamped them.
    pub(crate) chain: Vec<Range<usize>>,
    /// The token of each page.
    pub(crate) tokens: Vec<String>,
    pub(crate) path: &'static str,
    pub(crate) prefetch: usize,
    /// Whether its page stream is composed by hand.
    pub(crate) by_hand: bool,
    /// Whether the last page, which is empty, has no body at all.
    pub(crate) no_content: bool,
    pub(crate) credentials: Credentials,
    /// Whether links to next pages lead to another host.
    pub(crate) elsewhere: bool,
    fields_first: bool,
    /// What it is, if it is no chain of pages. Then its items are those of the shape.
    pub(crate) shape: Option<Shape>,
}

impl Listing {
    pub(crate) fn random(random: &mut fastrand::Rng, number: usize, apis: usize, large: bool) -> Self {
        let dialect = Dialect::random(random);
        let keyed = matches!(dialect, Dialect::LastRecord { .. });
        let pages = if !large && random.u8(0..8) == 0 { random.usize(30..120) } else { random.usize(1..20) };
        let pages = if dialect == Dialect::Single { 1 } else { pages };
        let mut chain = Vec::new();
        let mut rows = 0;
        for _ in 0..pages {
            let gap = dialect.allows_gaps() && random.u8(0..5) == 0;
            let size = if gap { 0 } else { random.usize(1..6) };
            chain.push(rows..rows + size);
            rows += size;
        }
        if random.u8(0..12) == 0 {
            // Nothing at all.
            (chain, rows) = (std::iter::once(0..0).collect(), 0);
        } else if dialect.ends_empty() {
            chain.push(rows..rows);
        }
        let items = (1..=rows).map(|id| Item::random(random, id, keyed, large)).collect();
        let token = |page: usize| match dialect {
            Dialect::Token { number: true, .. } if number.is_multiple_of(2) => (page + 1).to_string(),
            Dialect::Token { number: true, .. } => format!("1234567890123456789012345{page:05}"),
            _ => format!("{page}=/+ \"é\"&%2F{}", page * 7),
        };
        let path = match random.u8(0..4) {
            0 if dialect.allows_bare() => "",
            0 | 1 => "data",
            2 => "data.items",
            _ => "/data/items",
        };
        let shaped = (!large && random.u8(0..5) < 2).then(|| Shape::random(random));
        let (shape, items) = match shaped {
            Some((shape, items)) => (Some(shape), items),
            None => (None, items),
        };
        let chained = shape.is_none();
        let by_hand = chained && matches!(dialect, Dialect::Link { .. }) && random.bool();
        Self {
            name: format!("s{number}"),
            api: random.usize(0..apis),
            dialect,
            items,
            tokens: (0..chain.len()).map(token).collect(),
            chain,
            path,
            no_content: chained && dialect.ends_empty() && random.bool(),
            credentials: Credentials::random(random),
            elsewhere: random.u8(0..4) == 0,
            by_hand,
            prefetch: if chained && !by_hand && random.u8(0..5) == 0 { random.usize(1..4) } else { 0 },
            fields_first: random.bool(),
            shape,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://api{}.example.com/v1/{}", self.api, self.name)
    }

    /// Whether its pages are written in the order in which they come in.
    pub(crate) fn is_in_order(&self) -> bool {
        !matches!(self.shape, Some(Shape::Parts(_) | Shape::Counted(_)))
    }

    /// Whether its rows are written in their order, whenever they come in.
    pub(crate) fn is_in_rows(&self) -> bool {
        matches!(self.shape, Some(Shape::Counted(_)))
    }

    /// Whether several runs are about it.
    pub(crate) fn grows(&self) -> bool {
        self.shape.as_ref().is_some_and(Shape::grows)
    }

    pub(crate) fn kind(&self) -> &'static str {
        match &self.shape {
            Some(shape) => shape.name(),
            None if self.by_hand => "link header, by hand",
            None => self.dialect.name(),
        }
    }

    /// Where links lead that do not lead home.
    pub(crate) fn url_elsewhere(&self) -> String {
        format!("https://cdn{}.example.net/v1/{}", self.api, self.name)
    }

    pub(crate) fn page_of_token(&self, token: &str) -> Option<usize> {
        self.tokens.iter().position(|other| other == token)
    }

    /// The document around a page's records.
    pub(crate) fn body(&self, page: usize, fields: &[String]) -> String {
        let records: Vec<&str> =
            self.items[self.chain[page].clone()].iter().map(|item| item.wire.as_str()).collect();
        let records = format!("[{}]", records.join(if self.fields_first { ",\n  " } else { "," }));
        let data = match self.path {
            "" => return records,
            "data" => format!("\"data\":{records}"),
            // `null` is no records.
            _ if records == "[]" => "\"data\":{\"items\":null}".to_owned(),
            _ => format!("\"data\":{{\"items\":{records}}}"),
        };
        let mut parts = fields.to_vec();
        parts.insert(if self.fields_first { parts.len() } else { 0 }, data);
        format!("{{{}}}", parts.join(","))
    }

    /// How many rows the first pages hold.
    pub(crate) fn rows_of(&self, pages: usize) -> usize {
        pages.checked_sub(1).map_or(0, |last| self.chain[last].end)
    }
}
