//! How a list of a shaped source is cut into pages.

use std::collections::BTreeMap;

use headwater::paginate::{Cursor, Offset, PageNumber};
use headwater::{Request, SourceBuilder};

/// The parameters of a request, without what belongs to the world around it.
#[derive(Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn of(request: &Request) -> Self {
        let pairs = request.url().query_pairs().into_owned();
        Self(pairs.filter(|(name, _)| name != "hop" && name != "key").collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paging {
    Offset,
    Number,
    Token,
    /// After the last one's id: what comes new in front of it is not seen.
    After,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// What tells it from the other pages of its list.
    pub(crate) place: String,
    pub(crate) first: bool,
    /// The place that was asked for.
    pub(crate) asked: usize,
    /// Whether it lies behind the end.
    pub(crate) beyond: bool,
    /// What stands beside the records.
    pub(crate) fields: String,
}

impl Paging {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        [Self::Offset, Self::Number, Self::Token, Self::After][random.usize(0..4)]
    }

    /// Whether several pages can be asked for at once.
    pub(crate) fn has_lanes(self) -> bool {
        matches!(self, Self::Offset | Self::Number)
    }

    pub(crate) fn on(self, source: SourceBuilder) -> SourceBuilder {
        match self {
            Self::Offset => source.paginate(Offset::new(100).without_limit_param().until_false("more")),
            Self::Number => source.paginate(PageNumber::new().until_false("more")),
            Self::Token => source.paginate(Cursor::body("next").into_query("token")),
            Self::After => source.paginate(Cursor::last_record("id").into_query("after").until_false("more")),
        }
    }

    /// The page of a list with these ids, which rise, that is asked for; `None` if there is none. Behind the end there are
    /// empty ones for a client that may ask for several at once.
    pub(crate) fn cut(self, ids: &[usize], size: usize, query: &Query, lanes: usize) -> Option<Cut> {
        let token = query.get(match self {
            Self::Offset => "offset",
            Self::Number => "page",
            Self::Token => "token",
            Self::After => "after",
        });
        let from = match (self, token) {
            (Self::Offset, Some(offset)) => offset.parse().ok()?,
            (Self::Number, Some(page)) => page.parse::<usize>().ok()?.checked_sub(1)? * size,
            (Self::Offset | Self::Number, None) => return None,
            (Self::Token | Self::After, None) => 0,
            (Self::Token, Some(token)) => token.strip_prefix("t/")?.parse().ok()?,
            (Self::After, Some(id)) => {
                let id: usize = id.parse().ok()?;
                ids.iter().position(|other| *other > id)?
            }
        };
        let aligned = self == Self::After || from.is_multiple_of(size);
        let beyond = from >= ids.len() && from > 0;
        if !aligned || (beyond && lanes < 2) {
            return None;
        }
        let (asked, from) = (from, from.min(ids.len()));
        let to = (from + size).min(ids.len());
        let more = to < ids.len();
        let fields = match (self, more) {
            (Self::Token, true) => format!("\"next\":\"t/{to}\""),
            (Self::Token, false) => "\"next\":null".to_owned(),
            _ => format!("\"more\":{more}"),
        };
        let place = token.map_or_else(String::new, |token| format!(" at {token}"));
        Some(Cut { from, to, place, first: asked == 0, asked, beyond, fields })
    }
}
