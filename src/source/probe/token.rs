//! Tokens that are sent back: of the answer, or of its last record. Pure.

use serde_json::Value;

use super::dialect::{Flag, Proposal, Rank, Seen, WAS_LAST, is_url};
use super::tree::Leaf;

/// Tokens by the names that vendors give them, and the parameter that each is sent back as.
const TOKENS: [(&str, &str); 30] = [
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
    ("next_page", "page"),
    ("nextpage", "page"),
    ("next_offset", "offset"),
    ("nextoffset", "offset"),
    ("next-cursor", "cursor"),
    ("cursor", "cursor"),
    ("after", "after"),
    ("offset", "offset"),
    ("page_token", "page_token"),
    ("next", "cursor"),
];
/// Empty or null, these may just as well repeat what was asked, or be a link.
const UNCLEAR: [&str; 7] =
    ["next", "next_page", "nextpage", "offset", "page_token", "starting_after", "continue"];

fn is_token(leaf: &Leaf<'_>) -> bool {
    match leaf.value {
        Value::String(text) => !text.is_empty() && !is_url(text),
        // A plain `offset` is where this page stands.
        Value::Number(number) => leaf.name.starts_with("next") && number.as_u64().is_some_and(|n| n > 0),
        Value::Object(fields) => !fields.is_empty(),
        _ => false,
    }
}

fn is_end(leaf: &Leaf<'_>) -> bool {
    let is_empty = leaf.value.is_null() || leaf.value.as_str() == Some("");
    is_empty && !UNCLEAR.contains(&leaf.name.as_str())
}

pub(super) fn token(seen: &Seen<'_>, leaves: &[Leaf<'_>], flag: Option<&Flag>) -> Option<(Rank, Proposal)> {
    let find = |is: fn(&Leaf<'_>) -> bool| {
        TOKENS.iter().find_map(|(name, parameter)| {
            Some((leaves.iter().find(|leaf| leaf.name == *name && is(leaf))?, *parameter))
        })
    };
    let (leaf, parameter, is_live) = match find(is_token) {
        Some((leaf, parameter)) => (leaf, parameter, true),
        None => find(is_end).map(|(leaf, parameter)| (leaf, parameter, false))?,
    };
    let path = &leaf.path;
    let what = match leaf.value {
        Value::Null => "null",
        Value::String(text) if text.is_empty() => "empty",
        Value::Object(_) => "an object",
        _ => "a token",
    };
    let stop = flag.map_or("", |flag| flag.code.as_str());
    let evidence = match flag {
        Some(flag) => format!("`{path}` is {what}, and {}", flag.evidence),
        None => format!("`{path}` is {what}"),
    };
    // DynamoDB and MediaWiki leave their objects out on the last page.
    if leaf.value.is_object() {
        let (place, ends) = match leaf.name.as_str() {
            "continue" => (".into_target(Target::merged())", ".missing_ends()"),
            "lastevaluatedkey" => (".into_body(\"ExclusiveStartKey\")", ".missing_ends()"),
            _ => return None,
        };
        return Some((
            Rank::Live,
            Proposal::new(format!("Cursor::body({path:?}){place}{stop}{ends}"), evidence),
        ));
    }
    let param = seen.asked.named(parameter);
    let code = format!("Cursor::body({path:?}){}{stop}", param.cursor());
    let mut proposal = Proposal::new(code, evidence);
    let rank = match is_live {
        true => Rank::Live,
        false => {
            proposal = proposal.doubt(WAS_LAST);
            Rank::Ended
        }
    };
    if seen.asked.find(&[parameter.to_ascii_lowercase().as_str()]).is_none() {
        proposal = proposal.doubt(format!("the name of the parameter, `{}`, is a guess", param.name()));
    }
    if is_live && flag.is_none() {
        proposal = proposal.doubt("if the API leaves the token out on its last page, add `.missing_ends()`");
    }
    Some((rank, proposal))
}

/// The last record's key, guessed from a flag and an `id`.
pub(super) fn last_record(seen: &Seen<'_>, flag: Option<&Flag>) -> Option<(Rank, Proposal)> {
    let flag = flag?;
    seen.last?.get("id")?;
    let param = seen.asked.named("starting_after");
    let code = format!("Cursor::last_record(\"id\"){}{}", param.cursor(), flag.code);
    let evidence = format!("{}, and the records have an `id`", flag.evidence);
    let proposal = Proposal::new(code, evidence);
    let guess = format!("the name of the parameter, `{}`, is a guess", param.name());
    Some(match flag.is_more {
        true => (Rank::Guessed, proposal.doubt(guess)),
        false => (Rank::GuessedOut, proposal.doubt(WAS_LAST).doubt(guess)),
    })
}

/// Elasticsearch and OpenSearch: the sort values of the last hit.
pub(super) fn search_after(seen: &Seen<'_>, leaves: &[Leaf<'_>]) -> Option<(Rank, Proposal)> {
    let (path, _) = seen.records?;
    let is_hit = path.ends_with("hits.hits") && seen.last?.get("sort")?.is_array();
    if !is_hit {
        return None;
    }
    let pit = match leaves.iter().any(|leaf| leaf.path == "pit_id" && leaf.value.is_string()) {
        true => ".and(Cursor::body(\"pit_id\").into_body(\"pit.id\"))",
        false => "",
    };
    let code = format!("Cursor::last_record(\"sort\").into_body(\"search_after\"){pit}");
    let mut proposal = Proposal::new(code, "the hits have their `sort` values");
    if !seen.asked.has_body() {
        proposal = proposal.doubt("it goes into a JSON body: ask by POST, with a `sort` in the body");
    }
    Some((Rank::Live, proposal.doubt("the `sort` needs a field that tells all records apart")))
}
