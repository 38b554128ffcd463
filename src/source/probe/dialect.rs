//! Which dialect a first page speaks: what it looks like, and why. Pure.

use super::asked::{Asked, Param};
use super::counted::counted;
use super::token::{last_record, search_after, token};
use super::tree::{Leaf, leaves, path_of};
use http::HeaderMap;
use serde_json::Value;

/// A dialect that a page may speak, the surest first.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Proposal {
    /// The paginator, as it is written in Rust.
    pub paginator: String,
    /// What was seen that speaks for it.
    pub evidence: String,
    /// What should be known before it is relied on.
    pub doubt: Option<String>,
}

impl Proposal {
    pub(super) fn new(paginator: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { paginator: paginator.into(), evidence: evidence.into(), doubt: None }
    }

    pub(super) fn doubt(mut self, doubt: impl Into<String>) -> Self {
        let doubt = doubt.into();
        self.doubt = Some(match self.doubt {
            Some(before) => format!("{before}; {doubt}"),
            None => doubt,
        });
        self
    }
}

/// How much speaks for a proposal, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The next page is named: a link, a token.
    Live,
    /// Something counts, and says that there is more.
    Counted,
    /// A flag says that there is more, and the rest is a guess.
    Guessed,
    /// A link or a token has its place, and nothing stands there.
    Ended,
    /// Something counts, and says that this is all.
    CountedOut,
    GuessedOut,
    /// The request asked for a page, and the answer says nothing.
    Asked,
    Single,
}

pub(super) const WAS_LAST: &str = "this was the last page, and what one before it looks like was not seen";

/// What is looked at.
pub(super) struct Seen<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Value,
    /// The path of the records, and how many there are.
    pub(super) records: Option<(&'a str, usize)>,
    pub(super) last: Option<&'a Value>,
    /// The parameter of the size, as it was sent or as the answer repeats it.
    pub(super) size: Option<&'a Param>,
}

/// URLs of the next page by their names.
const LINKS: [&str; 12] = [
    "next",
    "next_url",
    "nexturl",
    "next_page_url",
    "nextpageurl",
    "next_page",
    "nextlink",
    "@odata.nextlink",
    "odata.nextlink",
    "nextrecordsurl",
    "next_uri",
    "after_url",
];
/// Flags that fall at the end, and flags that rise there.
const MORE: [&str; 8] =
    ["has_more", "hasmore", "has_next", "hasnext", "hasnextpage", "has_next_page", "more", "istruncated"];
const LAST: [&str; 7] = ["is_last", "islast", "islastpage", "last_page", "last", "done", "end_of_stream"];

/// Everything that the page may speak, the surest first.
pub(super) fn proposals(seen: &Seen<'_>) -> Vec<Proposal> {
    let leaves = leaves(seen.body, seen.records.map(|(path, _)| path));
    let flag = flag(&leaves);
    let live = |proposal| (Rank::Live, proposal);
    let mut found = Vec::new();
    found.extend(link_header(seen.headers).map(live));
    found.extend(link_list(seen.body).map(live));
    found.extend(link_in_body(&leaves));
    found.extend(header_token(seen.headers).map(live));
    found.extend(search_after(seen, &leaves));
    found.extend(token(seen, &leaves, flag.as_ref()));
    found.extend(last_record(seen, flag.as_ref()));
    found.extend(counted(seen, &leaves, flag.as_ref()));
    if found.iter().all(|(rank, _)| *rank > Rank::Guessed) {
        found.push((Rank::Single, single(seen, found.is_empty())));
    }
    // Stable: of the same rank, the first that was looked for.
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, proposal)| proposal).collect()
}

fn single(seen: &Seen<'_>, is_alone: bool) -> Proposal {
    let rows = seen.records.map_or(0, |(_, rows)| rows as u64);
    let evidence = match is_alone {
        true => "nothing in the headers or the body says where another page stands",
        false => "nothing says that there is another page",
    };
    let asked = seen.asked.size().and_then(|size| size.value);
    Proposal::new("Single", evidence).doubt(match asked.filter(|asked| *asked > 0 && rows >= *asked) {
        Some(asked) => {
            format!("the page is as full as was asked for ({asked}): it may well have been cut off")
        }
        None => "a list that is cut off looks the same: see whether the number of \
                 records is a round one, and what the API's document says"
            .to_owned(),
    })
}

/// A flag, as it is written in Rust.
pub(super) struct Flag {
    pub(super) code: String,
    pub(super) evidence: String,
    pub(super) is_more: bool,
}

fn flag(leaves: &[Leaf<'_>]) -> Option<Flag> {
    leaves.iter().find_map(|leaf| {
        let value = leaf.flag()?;
        let evidence = format!("`{}` is {value}", leaf.path);
        let path = &leaf.path;
        if MORE.contains(&leaf.name.as_str()) {
            return Some(Flag { code: format!(".until_false({path:?})"), evidence, is_more: value });
        }
        LAST.contains(&leaf.name.as_str()).then(|| Flag {
            code: format!(".until_true({path:?})"),
            evidence,
            is_more: !value,
        })
    })
}

fn link_header(headers: &HeaderMap) -> Option<Proposal> {
    let lines = headers.get_all("link").iter().filter_map(|value| value.to_str().ok());
    let lines: Vec<&str> = lines.collect();
    let line = lines.iter().find(|line| line.to_ascii_lowercase().contains("rel"))?;
    if line.contains("results=") {
        let evidence = "a `Link` header whose links have a parameter `results`";
        return Some(Proposal::new("LinkHeader::new().until_param(\"results\", \"false\")", evidence));
    }
    let has_next = lines.iter().any(|line| line.to_ascii_lowercase().contains("next"));
    let evidence = if has_next {
        "a `Link` header with rel=\"next\""
    } else {
        "a `Link` header, without rel=\"next\" here"
    };
    Some(Proposal::new("LinkHeader::new()", evidence))
}

/// `"links": [{"rel": "next", "href": …}]`.
fn link_list(body: &Value) -> Option<Proposal> {
    let fields = body.as_object()?;
    fields.iter().find_map(|(name, value)| {
        let items = value.as_array()?;
        let relation = |item: &Value| {
            let relation = item.get("rel").or_else(|| item.get("relation"))?;
            Some(relation.as_str()?.to_owned())
        };
        let is_list = !items.is_empty() && items.iter().all(|item| relation(item).is_some());
        if !is_list {
            return None;
        }
        let next = items.iter().find(|item| relation(item).as_deref() == Some("next"));
        let path = path_of(&[name.as_str()]);
        let has_method = next.is_some_and(|next| next.get("method").is_some());
        let whole = if has_method { ".as_request()" } else { "" };
        let evidence = match next {
            Some(_) => format!("`{path}` is a list of links, one of them with rel=\"next\""),
            None => format!("`{path}` is a list of links, none of them with rel=\"next\" here"),
        };
        Some(Proposal::new(format!("NextUrl::links({path:?}){whole}"), evidence))
    })
}

pub(super) fn is_url(text: &str) -> bool {
    text.starts_with("http://")
        || text.starts_with("https://")
        || text.starts_with('/')
        || text.starts_with('?')
}

fn link_in_body(leaves: &[Leaf<'_>]) -> Option<(Rank, Proposal)> {
    let is_named = |leaf: &&Leaf<'_>| {
        LINKS.contains(&leaf.name.as_str())
            || ["href", "uri", "path", "link"].contains(&leaf.name.as_str())
                && leaf.parent.as_deref() == Some("next")
    };
    let url = |leaf: &&Leaf<'_>| leaf.value.as_str().is_some_and(is_url);
    if let Some(leaf) = leaves.iter().filter(is_named).find(url) {
        let path = &leaf.path;
        let is_whole = leaf.value.as_str().is_some_and(|text| text.starts_with("http"));
        let kind = if is_whole { "a URL" } else { "a relative URL" };
        let proposal = Proposal::new(format!("NextUrl::body({path:?})"), format!("`{path}` is {kind}"))
            .doubt("if the API leaves it out on its last page, add `.missing_ends()`");
        return Some((Rank::Live, proposal));
    }
    let is_end = |leaf: &&Leaf<'_>| leaf.value.is_null() || leaf.value.as_str() == Some("");
    let leaf = leaves.iter().filter(is_named).find(is_end)?;
    let path = &leaf.path;
    let what = if leaf.value.is_null() { "null" } else { "empty" };
    let evidence = format!("`{path}` is {what}: there is no other page");
    let mut proposal = Proposal::new(format!("NextUrl::body({path:?})"), evidence).doubt(WAS_LAST);
    if ["next", "next_page"].contains(&leaf.name.as_str()) {
        let parameter = if leaf.name == "next" { "cursor" } else { "page" };
        proposal = proposal.doubt(format!(
            "where it is a token and no URL: `Cursor::body({path:?}).into_query({parameter:?})`"
        ));
    }
    Some((Rank::Ended, proposal))
}

fn header_token(headers: &HeaderMap) -> Option<Proposal> {
    if headers.contains_key("next-page") {
        return Some(Proposal::new("NextUrl::header(\"Next-Page\")", "a header `Next-Page`"));
    }
    if headers.contains_key("cb-after") {
        let code = "Cursor::header(\"CB-AFTER\").into_query(\"after\").missing_ends()";
        return Some(Proposal::new(code, "a header `CB-AFTER`"));
    }
    headers.contains_key("x-next-page").then(|| {
        Proposal::new("Cursor::header(\"X-Next-Page\").into_query(\"page\")", "a header `X-Next-Page`")
    })
}
