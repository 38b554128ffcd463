//! From a query to a page, in each dialect. Pure: no clock, no sockets.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::json;
use url::form_urlencoded;

use super::data::Table;
use super::{Paging, Resource};

/// A page in three pieces, of which the middle one is not copied.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) parts: [Bytes; 3],
    pub(super) records: u64,
    pub(super) link: Option<String>,
}

/// A bad parameter, as the JSON body of a 400.
pub(super) type Refusal = serde_json::Value;

struct Range {
    from: u64,
    to: u64,
    size: u64,
}

/// Renders the page that a query asks for. `url` is the absolute URL of the resource.
pub(super) fn page(resource: &Resource, table: &Table, url: &str, query: &str) -> Result<Rendered, Refusal> {
    let asked = Query { resource, query };
    let total = table.len();
    let mut link = None;
    let (range, head, tail) = match resource.dialect() {
        Paging::Offset => {
            let size = asked.size("limit")?;
            let range = range(asked.number("offset", 0, 0)?, size, total);
            (range, r#"{"data":["#.to_owned(), format!(r#"],"total":{total}}}"#))
        }
        Paging::Cursor => {
            let range = range(asked.starting_after()?, asked.size("limit")?, total);
            let more = range.to < total;
            (range, r#"{"object":"list","data":["#.to_owned(), format!(r#"],"has_more":{more}}}"#))
        }
        Paging::Token => {
            let range = range(asked.token()?, asked.size("page_size")?, total);
            let next = (range.to < total).then(|| token(resource, range.to));
            (range, r#"{"data":["#.to_owned(), format!(r#"],"next_page_token":{}}}"#, json!(next)))
        }
        Paging::Page => {
            let (number, range) = asked.numbered("per_page", total)?;
            let pages = total.div_ceil(range.size);
            (range, r#"{"items":["#.to_owned(), format!(r#"],"page":{number},"pages":{pages}}}"#))
        }
        Paging::NextUrl => {
            let (number, range) = asked.numbered("page_size", total)?;
            let next = (range.to < total).then(|| asked.url(url, "page_size", range.size, number + 1));
            let head = format!(r#"{{"count":{total},"next":{},"results":["#, json!(next));
            (range, head, "]}".to_owned())
        }
        Paging::Link => {
            let (number, range) = asked.numbered("per_page", total)?;
            link = asked.links(url, number, &range, total);
            (range, "[".to_owned(), "]".to_owned())
        }
    };
    let records = range.to.saturating_sub(range.from);
    Ok(Rendered { parts: [head.into(), table.slice(range.from, range.to), tail.into()], records, link })
}

fn range(from: u64, size: u64, total: u64) -> Range {
    Range { from, to: from.saturating_add(size).min(total), size }
}

struct Query<'a> {
    resource: &'a Resource,
    query: &'a str,
}

impl Query<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(other, _)| other == name).map(|(_, value)| value.into_owned())
    }

    fn number(&self, name: &str, default: u64, least: u64) -> Result<u64, Refusal> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| *number >= least);
        number.ok_or_else(|| refusal(name, format!("must be a whole number of at least {least}")))
    }

    fn size(&self, name: &str) -> Result<u64, Refusal> {
        let size = self.number(name, self.resource.default_size(), 1)?;
        Ok(size.min(self.resource.largest_size()))
    }

    fn numbered(&self, size: &str, total: u64) -> Result<(u64, Range), Refusal> {
        let number = self.number("page", 1, 1)?;
        let size = self.size(size)?;
        Ok((number, range((number - 1).saturating_mul(size), size, total)))
    }

    fn starting_after(&self) -> Result<u64, Refusal> {
        let Some(id) = self.text("starting_after") else { return Ok(0) };
        let number = self.resource.number(&id);
        number
            .ok_or_else(|| refusal("starting_after", format!("there is no {} {id:?}", self.resource.name())))
    }

    fn token(&self) -> Result<u64, Refusal> {
        let Some(text) = self.text("page_token") else { return Ok(0) };
        let known = || {
            let plain = URL_SAFE_NO_PAD.decode(&text).ok()?;
            let (name, from) = std::str::from_utf8(&plain).ok()?.rsplit_once(':')?;
            let from = from.parse().ok().filter(|from| *from < self.resource.len())?;
            (name == self.resource.name()).then_some(from)
        };
        known().ok_or_else(|| refusal("page_token", "is not a token of this list".to_owned()))
    }

    /// The URL of another page: what was asked for, with the page and the size put anew.
    fn url(&self, url: &str, size_name: &str, size: u64, page: u64) -> String {
        let kept = form_urlencoded::parse(self.query.as_bytes())
            .filter(|(name, _)| name != "page" && name != size_name);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .append_pair("page", &page.to_string())
            .append_pair(size_name, &size.to_string())
            .finish();
        format!("{url}?{query}")
    }

    fn links(&self, url: &str, number: u64, range: &Range, total: u64) -> Option<String> {
        let last = total.div_ceil(range.size).max(1);
        let link = |page: u64, rel: &str| {
            format!("<{}>; rel=\"{rel}\"", self.url(url, "per_page", range.size, page))
        };
        let mut links = Vec::new();
        if number > 1 {
            links.push(link((number - 1).min(last), "prev"));
        }
        if number < last {
            links.push(link(number + 1, "next"));
            links.push(link(last, "last"));
        }
        if number > 1 {
            links.push(link(1, "first"));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}

fn token(resource: &Resource, from: u64) -> String {
    URL_SAFE_NO_PAD.encode(format!("{}:{from}", resource.name()))
}

fn refusal(parameter: &str, why: String) -> Refusal {
    json!({"error": {"type": "invalid_request", "param": parameter, "message": format!("{parameter} {why}")}})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(paging: Paging, query: &str) -> Result<(String, Option<String>), Refusal> {
        let resource = Resource::new("things", 5).paging(paging).page_size(2);
        let rendered = page(&resource, &Table::render(&resource), "http://h/things", query)?;
        let body = rendered.parts.concat();
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let short = value.to_string();
        let whole = match resource.dialect().records_path() {
            "" => value.as_array().map(Vec::len),
            path => value[path].as_array().map(Vec::len),
        };
        assert_eq!(whole, Some(rendered.records as usize), "{short}");
        let mut rest = value;
        if let Some(fields) = rest.as_object_mut() {
            fields.remove(resource.dialect().records_path());
        } else {
            rest = json!({});
        }
        Ok((format!("{} {rest}", rendered.records), rendered.link))
    }

    fn told(paging: Paging, query: &str) -> String {
        get(paging, query).map_or_else(|refusal| refusal["error"]["param"].to_string(), |(told, _)| told)
    }

    #[test]
    fn each_dialect_says_what_it_promises() {
        for (paging, query, answer) in [
            (Paging::Offset, "", r#"2 {"total":5}"#),
            (Paging::Offset, "offset=4&limit=50", r#"1 {"total":5}"#),
            (Paging::Offset, "offset=5", r#"0 {"total":5}"#),
            (Paging::Page, "page=3", r#"1 {"page":3,"pages":3}"#),
            (Paging::Page, "page=4", r#"0 {"page":4,"pages":3}"#),
            (Paging::Cursor, "", r#"2 {"has_more":true,"object":"list"}"#),
            (Paging::Cursor, "starting_after=thi_00000003", r#"2 {"has_more":false,"object":"list"}"#),
            (Paging::Token, "", r#"2 {"next_page_token":"dGhpbmdzOjI"}"#),
            (Paging::Token, "page_token=dGhpbmdzOjQ", r#"1 {"next_page_token":null}"#),
            (Paging::NextUrl, "q=a+b", r#"2 {"count":5,"next":"http://h/things?q=a+b&page=2&page_size=2"}"#),
            (Paging::NextUrl, "page=3", r#"1 {"count":5,"next":null}"#),
        ] {
            assert_eq!(told(paging, query), answer, "{paging:?} {query}");
        }
    }

    #[test]
    fn links_are_those_that_github_sends() {
        let link = |query| get(Paging::Link, query).unwrap().1;
        assert_eq!(
            link("per_page=2").unwrap(),
            "<http://h/things?page=2&per_page=2>; rel=\"next\", <http://h/things?page=3&per_page=2>; rel=\"last\""
        );
        assert_eq!(
            link("page=3").unwrap(),
            "<http://h/things?page=2&per_page=2>; rel=\"prev\", <http://h/things?page=1&per_page=2>; rel=\"first\""
        );
        assert_eq!(link("per_page=100"), None);
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (paging, query, name) in [
            (Paging::Offset, "offset=-1", "offset"),
            (Paging::Offset, "limit=0", "limit"),
            (Paging::Page, "page=0", "page"),
            (Paging::Cursor, "starting_after=thi_00000006", "starting_after"),
            (Paging::Cursor, "starting_after=thi_3", "starting_after"),
            (Paging::Token, "page_token=dGhpbmdzOjk", "page_token"),
            (Paging::Token, "page_token=%FF", "page_token"),
        ] {
            assert_eq!(told(paging, query), format!("\"{name}\""), "{query}");
        }
    }
}
