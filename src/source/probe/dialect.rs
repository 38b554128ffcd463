//! Which dialect a first page speaks: what it looks like, and why. Pure.

use http::HeaderMap;
use serde_json::Value;
use url::Url;

use super::tree::{Leaf, leaves, path_of};

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
    fn new(paginator: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self { paginator: paginator.into(), evidence: evidence.into(), doubt: None }
    }

    fn doubt(mut self, doubt: impl Into<String>) -> Self {
        self.doubt = Some(doubt.into());
        self
    }
}

/// What is looked at.
pub(super) struct Seen<'a> {
    pub(super) url: &'a Url,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Value,
    /// The path of the records, and how many there are.
    pub(super) records: Option<(&'a str, usize)>,
    pub(super) last: Option<&'a Value>,
}

/// Tokens by the names that vendors give them, and the parameter that each is sent back as.
const TOKENS: [(&str, &str); 25] = [
    ("nextpagetoken", "pageToken"),
    ("next_page_token", "page_token"),
    ("next_cursor", "cursor"),
    ("nextcursor", "cursor"),
    ("next_token", "next_token"),
    ("nexttoken", "nextToken"),
    ("next_marker", "marker"),
    ("nextmarker", "marker"),
    ("endcursor", "after"),
    ("end_cursor", "after"),
    ("after_cursor", "after"),
    ("continuationtoken", "continuationToken"),
    ("continuation_token", "continuation_token"),
    ("nextcontinuationtoken", "continuation-token"),
    ("continue", "continue"),
    ("scroll_id", "scroll_id"),
    ("resumptiontoken", "resumptionToken"),
    ("bookmark", "bookmark"),
    ("lastevaluatedkey", "ExclusiveStartKey"),
    ("starting_after", "starting_after"),
    ("cursor", "cursor"),
    ("after", "after"),
    ("offset", "offset"),
    ("page_token", "page_token"),
    ("next", "cursor"),
];
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
const TOTALS: [&str; 11] = [
    "total",
    "total_count",
    "totalcount",
    "totalresults",
    "total_results",
    "total_items",
    "totalitems",
    "total_rows",
    "numfound",
    "totalsize",
    "count",
];
const PAGE_COUNTS: [&str; 5] = ["total_pages", "totalpages", "page_count", "pagecount", "pages"];

/// Everything that the page may speak, the surest first.
pub(super) fn proposals(seen: &Seen<'_>) -> Vec<Proposal> {
    let leaves = leaves(seen.body, seen.records.map(|(path, _)| path));
    let flag = flag(&leaves);
    let mut found = Vec::new();
    found.extend(link_header(seen.headers));
    found.extend(link_list(seen.body));
    found.extend(link_in_body(&leaves));
    found.extend(header_token(seen.headers));
    found.extend(token(&leaves, flag.as_ref()));
    found.extend(last_record(seen, flag.as_ref()));
    found.extend(counted(seen, &leaves, flag.as_ref()));
    if found.is_empty() {
        let none = "nothing in the headers or the body says where another page stands";
        found.push(Proposal::new("Single", none).doubt(
            "a list that is cut off looks the same: see whether the number of \
             records is a round one, and what the API's document says",
        ));
    }
    found
}

/// A flag, as it is written in Rust.
struct Flag {
    code: String,
    evidence: String,
    is_more: bool,
}

fn flag(leaves: &[Leaf<'_>]) -> Option<Flag> {
    leaves.iter().find_map(|leaf| {
        let value = leaf.value.as_bool()?;
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

fn is_url(text: &str) -> bool {
    text.starts_with("http://")
        || text.starts_with("https://")
        || text.starts_with('/')
        || text.starts_with('?')
}

fn link_in_body(leaves: &[Leaf<'_>]) -> Option<Proposal> {
    leaves.iter().find_map(|leaf| {
        let named = LINKS.contains(&leaf.name.as_str())
            || (leaf.name == "href" || leaf.name == "uri" || leaf.name == "path" || leaf.name == "link")
                && leaf.parent.as_deref() == Some("next");
        let path = &leaf.path;
        match leaf.value {
            Value::String(text) if named && is_url(text) => {
                let kind = if text.starts_with("http") { "a URL" } else { "a relative URL" };
                Some(
                    Proposal::new(format!("NextUrl::body({path:?})"), format!("`{path}` is {kind}"))
                        .doubt("if the API leaves it out on its last page, add `.missing_ends()`"),
                )
            }
            Value::Null if named && leaf.name != "next" => Some(Proposal::new(
                format!("NextUrl::body({path:?})"),
                format!("`{path}` is null: there is one page"),
            )),
            _ => None,
        }
    })
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

fn token(leaves: &[Leaf<'_>], flag: Option<&Flag>) -> Option<Proposal> {
    let (leaf, parameter) = TOKENS.iter().find_map(|(name, parameter)| {
        let is_token = |leaf: &&Leaf<'_>| {
            leaf.name == *name
                && matches!(leaf.value, Value::String(text) if !text.is_empty() && !is_url(text))
        };
        Some((leaves.iter().find(is_token)?, parameter))
    })?;
    let path = &leaf.path;
    let (stop, evidence) = match flag {
        Some(flag) => (flag.code.clone(), format!("`{path}` is a token, and {}", flag.evidence)),
        None => (String::new(), format!("`{path}` is a token")),
    };
    let doubt = match flag {
        Some(_) => format!("the name of the parameter, `{parameter}`, is a guess"),
        None => format!(
            "the name of the parameter, `{parameter}`, is a guess; if the API leaves the token out on its last page, add \
             `.missing_ends()`"
        ),
    };
    Some(
        Proposal::new(format!("Cursor::body({path:?}).into_query({parameter:?}){stop}"), evidence)
            .doubt(doubt),
    )
}

fn last_record(seen: &Seen<'_>, flag: Option<&Flag>) -> Option<Proposal> {
    let flag = flag.filter(|flag| flag.is_more)?;
    seen.last?.get("id")?;
    let code = format!("Cursor::last_record(\"id\").into_query(\"starting_after\"){}", flag.code);
    let evidence = format!("{}, and the records have an `id`", flag.evidence);
    Some(Proposal::new(code, evidence).doubt("the name of the parameter, `starting_after`, is a guess"))
}

fn counted(seen: &Seen<'_>, leaves: &[Leaf<'_>], flag: Option<&Flag>) -> Vec<Proposal> {
    let number = |names: &[&str]| {
        names.iter().find_map(|name| {
            let leaf = leaves.iter().find(|leaf| leaf.name == *name)?;
            let number = leaf.value.as_u64().or_else(|| leaf.value.as_str()?.parse().ok())?;
            Some((leaf.path.clone(), number))
        })
    };
    let asked = |names: &[&str]| {
        let mut pairs = seen.url.query_pairs();
        pairs
            .find(|(name, _)| names.contains(&name.to_ascii_lowercase().as_str()))
            .map(|(name, _)| name.into_owned())
    };
    let rows = seen.records.map_or(0, |(_, rows)| rows);
    let mut found = Vec::new();
    let doubt = "rows that are inserted or removed meanwhile shift the others";
    if let Some((path, pages)) = number(&PAGE_COUNTS) {
        let param = asked(&["page", "pagenumber", "page_number", "pagenum"]).unwrap_or_else(|| "page".into());
        let code = format!("PageNumber::new().param({param:?}).until_page_count({path:?})");
        found.push(Proposal::new(code, format!("`{path}` is {pages}")).doubt(doubt));
    }
    let start = number(&["startat", "start_index", "startindex", "offset", "start", "skip"]);
    if let Some((path, total)) = number(&TOTALS).filter(|(_, total)| *total >= rows as u64) {
        let param = asked(&["offset", "startat", "start", "skip", "$skip", "startindex"]);
        let (param, why) = match (param, start) {
            (Some(param), _) => (param, String::new()),
            (None, Some((start, _))) => (
                start.rsplit('.').next().unwrap_or("offset").to_owned(),
                format!(", and `{start}` is a number"),
            ),
            (None, None) => ("offset".to_owned(), String::new()),
        };
        let code = format!("Offset::new({}).offset_param({param:?}).until_total({path:?})", rows.max(1));
        found.push(
            Proposal::new(code, format!("`{path}` is {total}, and {rows} records came{why}")).doubt(doubt),
        );
    } else if let (Some(flag), Some((start, _))) = (flag, &start) {
        let param = start.rsplit('.').next().unwrap_or("offset");
        let code = format!("Offset::new({}).offset_param({param:?}){}", rows.max(1), flag.code);
        found.push(Proposal::new(code, format!("`{start}` is a number, and {}", flag.evidence)).doubt(doubt));
    }
    found
}
