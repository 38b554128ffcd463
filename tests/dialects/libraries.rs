//! Archives and encyclopedias.

use chrono::NaiveDate;
use headwater::Source;
use headwater::exchange::{Verdict, When};
use headwater::page::{Format, Select};
use headwater::pages::{Step, TimeFormat, Window};
use headwater::paginate::{Cursor, FollowUp};
use headwater::request::Target;
use headwater::testing::Reply;
use serde_json::{Map, Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, answer, bare, number_in, ok, serve};

pub(crate) fn rows() -> Vec<Row> {
    vec![oai_pmh(), mediawiki()]
}

fn xml(body: &str) -> Reply {
    let declaration = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
    Reply::status(200)
        .header("content-type", "text/xml; charset=UTF-8")
        .body(format!("{declaration}\n{body}"))
}

fn oai(what: &str) -> Reply {
    xml(&format!(
        r#"<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><responseDate>2026-05-17T10:00:00Z</responseDate>
<request>https://oaipmh.arxiv.org/oai</request>{what}</OAI-PMH>"#
    ))
}

/// A token in XML, sent back with the verb and nothing else; empty, or not there at all, at the end. 503 has `Retry-After`,
/// and errors come with 200, one of which says that there are no records (openarchives.org: OAI-PMH 2.0, §3.5 Flow Control,
/// §3.6 Error and Exception Conditions).
fn oai_pmh() -> Row {
    let token = || Cursor::body("OAI-PMH.ListRecords.resumptionToken.#text").missing_ends();
    let source = || {
        Source::get("preprints", "https://oaipmh.arxiv.org/oai")
            .query("verb", "ListRecords")
            .query("metadataPrefix", "oai_dc")
            .format(Format::xml())
            .records("OAI-PMH.ListRecords.record")
            .paginate(token().into_query("resumptionToken").follow(FollowUp::here().keep(["verb"])))
    };
    let of_days = source()
        .query("from", "{start}")
        .query("until", "{end}")
        .rule(When::any().body_contains("<error code=\"noRecordsMatch\"").means(Verdict::NoRecords))
        .window(
            Window::time("2025-10-01", "2026-05-01")
                .every(Step::months(1))
                .inclusive_end()
                .format(TimeFormat::Date),
        );
    let api = || {
        let limit = Limit::told(4, 25);
        serve(move |asked| list_records(asked, &limit))
    };
    let number = "metadata.oai_dc:dc.dc:identifier";
    Row::new(
        "OAI-PMH",
        [
            Way::new("C", api(), source()).number(number).named("all"),
            Way::new("C W", api(), of_days).number(number).named("by days"),
        ],
    )
}

/// Records in XML, the token of the next of them, empty with the last. The token is an exclusive argument, and errors
/// come with 200.
fn list_records(asked: &Asked<'_>, limit: &Limit) -> Served {
    limit.pass(asked, |_| Reply::status(503).header("retry-after", "25").body("busy"))?;
    let error = |code: &str| oai(&format!("<error code=\"{code}\">no</error>"));
    if asked.query("verb") != Some("ListRecords") {
        return Err(error("badVerb"));
    }
    // Twelve records a day. What a token continues is written in it: the next record, and the one behind the last.
    let day = |name: &str| -> Result<Option<i64>, Reply> {
        let Some(text) = asked.query(name) else { return Ok(None) };
        let day = text.parse::<NaiveDate>().map_err(|_| error("badArgument"))?;
        Ok(Some((day - NaiveDate::from_ymd_opt(2026, 1, 1).unwrap_or_default()).num_days()))
    };
    let place = |day: i64| u64::try_from(day * 12).unwrap_or(0).min(RECORDS);
    let (first, end) = match asked.query("resumptionToken") {
        Some(_) if asked.request.url().query_pairs().count() > 2 => return Err(error("badArgument")),
        Some(at) => {
            let places = at.strip_prefix("6511260|").and_then(|places| places.split_once('|'));
            let places = places.and_then(|(at, end)| Some((at.parse().ok()?, end.parse().ok()?)));
            places.ok_or_else(|| error("badResumptionToken"))?
        }
        None if asked.query("metadataPrefix") == Some("oai_dc") => {
            (day("from")?.map_or(0, place), day("until")?.map_or(RECORDS, |day| place(day + 1)))
        }
        None => return Err(error("cannotDisseminateFormat")),
    };
    if first >= end {
        return Err(error("noRecordsMatch"));
    }
    let range = first..(first + 100).min(end);
    let next = if range.end < end { format!("6511260|{}|{end}", range.end) } else { String::new() };
    let is_whole = range.end == end && asked.query("resumptionToken").is_none();
    let records: String = range
        .map(|n| {
            format!(
                "<record><header><identifier>oai:arXiv.org:{n}</identifier></header><metadata>\
                 <oai_dc:dc xmlns:oai_dc=\"http://www.openarchives.org/OAI/2.0/oai_dc/\" \
                 xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><dc:identifier>{n}</dc:identifier>\
                 <dc:title>Streams &amp; sinks &lt;{n}&gt;</dc:title></oai_dc:dc></metadata></record>\n"
            )
        })
        .collect();
    // A list that is complete at once has none.
    let token =
        format!("<resumptionToken completeListSize=\"{end}\" cursor=\"{first}\">{next}</resumptionToken>");
    let token = if is_whole { String::new() } else { token };
    Ok(oai(&format!("<ListRecords>{records}{token}</ListRecords>")))
}

/// `continue`, an object that changes the first query for the next reply; its keys are others each time. A lag is an error
/// with 200 and `Retry-After` (mediawiki.org: API:Continue, Manual:Maxlag parameter).
///
/// Of a generator with properties each reply has all the pages of the batch, and the properties of some: the pages are
/// there many times, and their properties once. So what is pulled from such a query are the properties; who wants pages,
/// each once, asks for a list.
fn mediawiki() -> Row {
    let source = |name: &str| {
        Source::get(name, "https://en.wikipedia.org/w/api.php")
            .query("action", "query")
            .query("format", "json")
            .query("formatversion", "2")
            .query("maxlag", "5")
            .rule(When::any().body("error.code", "maxlag").means(Verdict::Wait))
            .rule(When::any().body_present("error").means(Verdict::Fail))
            .paginate(Cursor::body("continue").into_target(Target::merged()).missing_ends())
    };
    let lists = source("titles")
        .query("list", "allpages|allcategories")
        .query("aplimit", "100")
        .query("aclimit", "100")
        .records(Select::path("query.allpages").and("query.allcategories").optional());
    let properties = source("categories")
        .query("generator", "allpages")
        .query("gaplimit", "20")
        .query("prop", "categories")
        .query("cllimit", "50")
        .records(Select::path("query.pages.*.categories").optional());
    let (lag_of_lists, lag_of_properties) = (Limit::told(3, 5), Limit::told(5, 5));
    Row::new(
        "MediaWiki",
        [
            Way::new("C", serve(move |asked| two_lists(asked, &lag_of_lists)), lists).named("two lists"),
            Way::new("C", serve(move |asked| generator(asked, &lag_of_properties)), properties)
                .named("properties of a generator"),
        ],
    )
}

/// Which modules a query has done with: what stands behind `||` in `continue`.
fn done(asked: &Asked<'_>) -> Vec<String> {
    let text = asked.query("continue").unwrap_or_default();
    let done = text.split_once("||").map_or("", |(_, done)| done);
    done.split('|').filter(|module| !module.is_empty()).map(str::to_owned).collect()
}

fn lagging(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    // Without an action there is help, and without a format the answer is for people to read.
    let is_query = asked.query("action") == Some("query");
    if !is_query || asked.query("format") != Some("json") {
        return Err(Reply::status(200).html("<!DOCTYPE html><title>MediaWiki API help</title>"));
    }
    limit.pass(asked, |_| {
        let error =
            json!({"error": {"code": "maxlag", "info": "Waiting for db1: 6 seconds lagged", "lag": 6}});
        answer(200, error).header("retry-after", "5").header("x-database-lag", "6")
    })
}

fn wiki_error(code: &str) -> Reply {
    answer(200, json!({"error": {"code": code, "info": "The query cannot be made."}}))
}

/// Two lists in one query. Each reply says in `continue` how the first query is to be changed for the next: a list that
/// is at its end has no key any more, and is not asked for again only if its name is sent back.
fn two_lists(asked: &Asked<'_>, limit: &Limit) -> Served {
    lagging(asked, limit)?;
    if asked.query("list") != Some("allpages|allcategories") {
        return Err(wiki_error("unknown_list"));
    }
    let finished = done(asked);
    let mut query = Map::new();
    let (mut more, mut ended) = (Map::new(), Vec::new());
    for (list, prefix, numbers) in [("allpages", "ap", 0..800), ("allcategories", "ac", 800..RECORDS)] {
        if finished.iter().any(|done| done == list) {
            ended.push(list);
            continue;
        }
        let size = asked.number(&format!("{prefix}limit"), 10)?.min(500);
        let next = asked.query(&format!("{prefix}continue")).map(|next| number_in(Some(next), "Title_"));
        let first = next.transpose()?.unwrap_or(numbers.start);
        let end = (first + size).min(numbers.end);
        query.insert(list.to_owned(), bare(first..end).into());
        if end < numbers.end {
            more.insert(format!("{prefix}continue"), json!(format!("Title_{end}")));
        } else {
            ended.push(list);
        }
    }
    if more.is_empty() {
        return ok(json!({"batchcomplete": true, "query": query}));
    }
    more.insert("continue".into(), json!(format!("-||{}", ended.join("|"))));
    ok(json!({"continue": more, "query": query}))
}

/// Pages that a generator finds, twenty at a time, and the categories of them, fifty at a time: each reply has all
/// twenty pages and some of their categories, until the batch is complete.
fn generator(asked: &Asked<'_>, limit: &Limit) -> Served {
    lagging(asked, limit)?;
    if asked.query("generator") != Some("allpages") {
        return Err(wiki_error("badgenerator"));
    }
    // Page p has the categories 10p to 10p + 9; every fourth behind the first few is a page without any.
    let batch = number_in(asked.query("gapcontinue"), "Page_")?;
    let (pages, categories) = (asked.number("gaplimit", 10)?, asked.number("cllimit", 10)?);
    let end = (batch + pages) * 10;
    let first = number_in(asked.query("clcontinue"), "Cat_")?.max(batch * 10);
    let shown = first..(first + categories).min(end).min(RECORDS);
    let found: Vec<Value> = (batch..batch + pages)
        .take_while(|page| page * 10 < RECORDS)
        .map(|page| {
            let own = (page * 10).max(shown.start)..(page * 10 + 10).min(shown.end);
            let mut found = json!({"pageid": page, "ns": 0, "title": format!("Page {page}")});
            if !own.is_empty() && asked.query("prop") == Some("categories") {
                found["categories"] = bare(own).into();
            }
            found
        })
        .collect();
    let query = json!({ "pages": found });
    if shown.end < end.min(RECORDS) {
        let mut more = json!({"clcontinue": format!("Cat_{}", shown.end), "continue": "||"});
        if batch > 0 {
            more["gapcontinue"] = json!(format!("Page_{batch}"));
        }
        return ok(json!({"continue": more, "query": query}));
    }
    let mut body = json!({"batchcomplete": true, "query": query});
    if end < RECORDS {
        body["continue"] =
            json!({"gapcontinue": format!("Page_{}", batch + pages), "continue": "gapcontinue||"});
    }
    ok(body)
}
