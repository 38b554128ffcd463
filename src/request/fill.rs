//! `{name}` in a template, filled.

use std::borrow::Cow;

use http::header::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::body::Body;
use super::plain_value::text_of;
use super::{Bindings, Request};
use crate::error::{Error, ErrorKind, Result};

/// All but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Request {
    /// Puts values where `{name}` stands for them: in the path and the values of the query (there also written
    /// `%7Bname%7D`), in headers, in the strings of a JSON body, and in a form. A name that the bindings do not know
    /// stays as it is.
    ///
    /// Each value is encoded for its place. A string of a JSON body that is nothing but `{name}` becomes the value with
    /// its type. A parameter, or a field of a form, that is nothing but the name of a list is there once for each of its
    /// items. Where a name without a value is all of a parameter, a header or a field, that is left out. The
    /// document of a GraphQL request is left alone: it has variables.
    ///
    /// # Errors
    /// `Config` if a name in the path or in the middle of a text has no value; `Cursor` if a value cannot stand where it
    /// would go: in a path an empty one, `.` or `..`, in a header a control character.
    pub fn fill(mut self, bindings: &Bindings) -> Result<Self> {
        if bindings.is_empty() {
            return Ok(self);
        }
        self.fill_path(bindings)?;
        self.fill_query(bindings)?;
        self.fill_headers(bindings)?;
        match &mut self.body {
            Some(Body::Json(body)) => {
                bindings.fill(body)?;
            }
            Some(Body::Form(fields)) => {
                for (name, value) in std::mem::take(fields) {
                    if let Some(items) = bindings.list(&value, false) {
                        fields.extend(items.iter().map(|item| (name.clone(), text_of(item))));
                    } else if let Some(filled) = bindings.text(&value, false, str::to_owned)? {
                        fields.push((name, filled.into_owned()));
                    }
                }
            }
            None => {}
        }
        Ok(self)
    }

    /// Whether a name stands in it for something.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        let probe = Bindings::new().with(name, "x");
        // Where it cannot be filled it stands.
        self.clone().fill(&probe).map_or(true, |filled| {
            filled.url != self.url || filled.headers != self.headers || filled.body != self.body
        })
    }

    /// The same, but not in double braces: those are some other template's (Mustache in Elasticsearch's search templates).
    pub(crate) fn asks_for(&self, name: &str) -> bool {
        const PROBE: &str = "value-that-stands-nowhere-else";
        let probe = Bindings::new().with(name, PROBE);
        let Ok(filled) = self.clone().fill(&probe) else { return true };
        let url = percent_decode_str(filled.url.as_str()).decode_utf8_lossy().into_owned();
        let headers =
            filled.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let body = match &filled.body {
            Some(Body::Json(body)) => vec![body.to_string()],
            Some(Body::Form(fields)) => fields.iter().map(|(_, value)| value.clone()).collect(),
            None => Vec::new(),
        };
        let braced = format!("{{{PROBE}}}");
        let mut texts = std::iter::once(url).chain(headers).chain(body);
        texts.any(|text| text.matches(PROBE).count() > text.matches(&braced).count())
    }

    fn fill_path(&mut self, bindings: &Bindings) -> Result<()> {
        let mut segments = Vec::new();
        let mut is_changed = false;
        for segment in self.url.path().split('/') {
            if bindings.next(segment, true).is_none() {
                segments.push(segment.to_owned());
                continue;
            }
            let spell = |value: &str| utf8_percent_encode(value, RESERVED).to_string();
            let filled = bindings.text(segment, true, spell)?;
            let filled = filled.ok_or_else(|| {
                Error::config(format!(
                    "{} in the path has no value",
                    percent_decode_str(segment).decode_utf8_lossy()
                ))
            })?;
            // Any of them would make it another path.
            if matches!(&*filled, "" | "." | "..") {
                let what = format!("the value \"{filled}\" cannot be a part of the path");
                return Err(Error::new(ErrorKind::Cursor, what));
            }
            segments.push(filled.into_owned());
            is_changed = true;
        }
        if is_changed {
            self.url.set_path(&segments.join("/"));
        }
        Ok(())
    }

    fn fill_query(&mut self, bindings: &Bindings) -> Result<()> {
        let Some(query) = self.url.query() else { return Ok(()) };
        let mut pairs = Vec::new();
        let spell = |value: &str| utf8_percent_encode(value, RESERVED).to_string();
        for pair in query.split('&') {
            let Some((name, value)) = pair.split_once('=') else {
                pairs.push(pair.to_owned());
                continue;
            };
            if let Some(items) = bindings.list(value, true) {
                pairs.extend(items.iter().map(|item| format!("{name}={}", spell(&text_of(item)))));
            } else if let Some(filled) = bindings.text(value, true, spell)? {
                pairs.push(format!("{name}={filled}"));
            }
        }
        let filled = pairs.join("&");
        if filled != query {
            self.url.set_query((!filled.is_empty()).then_some(&filled));
        }
        Ok(())
    }

    fn fill_headers(&mut self, bindings: &Bindings) -> Result<()> {
        let mut headers = http::HeaderMap::with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            let Ok(text) = value.to_str() else {
                headers.append(name, value.clone());
                continue;
            };
            match bindings.text(text, false, str::to_owned)? {
                None => {}
                Some(Cow::Borrowed(_)) => {
                    headers.append(name, value.clone());
                }
                Some(Cow::Owned(filled)) => {
                    let mut filled = HeaderValue::from_str(&filled).map_err(|_| {
                        let what = format!(
                            "a value for the header {name} has a character in it that no header can have"
                        );
                        Error::new(ErrorKind::Cursor, what)
                    })?;
                    filled.set_sensitive(value.is_sensitive());
                    headers.append(name, filled);
                }
            }
        }
        self.headers = headers;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bindings() -> Bindings {
        Bindings::new().with("id", "a/b ü").with("n", 7).declare("none")
    }

    #[test]
    fn each_place_is_filled_in_its_own_way() {
        let request =
            Request::post("https://h.example/x/{id}/y-%7bn%7D/{other}?q={id}&raw=%7Bother%7D&gone={none}")
                .unwrap()
                .query("more", "n={n}")
                .header("X-Id", "n={n}")
                .unwrap()
                .header("X-None", "{none}")
                .unwrap()
                .json(
                    json!({"n": "{n}", "text": "n is {n} {x}", "gone": "{none}", "list": ["{none}", "{id}"]}),
                );
        let filled = request.fill(&bindings()).unwrap();
        assert_eq!(filled.url().path(), "/x/a%2Fb%20%C3%BC/y-7/%7Bother%7D");
        assert_eq!(filled.url().query(), Some("q=a%2Fb%20%C3%BC&raw=%7Bother%7D&more=n%3D7"));
        assert_eq!(filled.headers()["x-id"], "n=7");
        assert!(!filled.headers().contains_key("x-none"));
        assert_eq!(filled.body(), Some(&json!({"n": 7, "text": "n is 7 {x}", "list": ["a/b ü"]})));
        let form = Request::post("https://h.example/").unwrap().form("a", "{n}").form("b", "{none}");
        assert_eq!(form.fill(&bindings()).unwrap().encoded_body().unwrap(), "a=7");
    }

    #[test]
    fn a_parameter_is_there_once_for_each_item_of_a_list() {
        let bindings = Bindings::new().with("ids", json!([1, "a&b"]));
        let get = Request::get("https://h.example/?x=1")
            .unwrap()
            .query("post_ids[]", "{ids}")
            .query("all", "{ids}!");
        let get = get.fill(&bindings).unwrap();
        let query = "x=1&post_ids%5B%5D=1&post_ids%5B%5D=a%26b&all=%5B1%2C%22a%26b%22%5D%21";
        assert_eq!(get.url().query(), Some(query));
        let post = Request::post("https://h.example/").unwrap();
        let form = post.clone().form("id", "{ids}").fill(&bindings).unwrap();
        assert_eq!(form.encoded_body().unwrap(), "id=1&id=a%26b");
        let body = post.json(json!({"ids": "{ids}"})).fill(&bindings).unwrap();
        assert_eq!(body.body(), Some(&json!({"ids": [1, "a&b"]})));
    }

    #[test]
    fn a_path_cannot_be_made_another() {
        for (path, value) in [("a/{v}/b", ".."), ("a/{v}/b", "."), ("a/.{v}/b", "."), ("a/{v}", "")] {
            let request = Request::get(format!("https://h.example/{path}")).unwrap();
            let error = request.fill(&Bindings::new().with("v", value)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cursor, "{path} {value}");
        }
        for value in ["../../x", "%2e%2e", "a?b#c", "\\..\\"] {
            let request = Request::get("https://h.example/a/{v}/b").unwrap();
            let filled = request.fill(&Bindings::new().with("v", value)).unwrap();
            let segments: Vec<_> = filled.url().path().split('/').collect();
            assert_eq!(segments.len(), 4, "{}", filled.url());
            assert_eq!(percent_decode_str(segments[2]).decode_utf8_lossy(), value);
        }
    }

    #[test]
    fn a_name_without_a_value_is_an_error_where_it_cannot_be_left_out() {
        let fill = |request: Request| request.fill(&bindings()).unwrap_err().kind();
        assert_eq!(fill(Request::get("https://h.example/{none}").unwrap()), ErrorKind::Config);
        assert_eq!(fill(Request::get("https://h.example/?q=after:{none}").unwrap()), ErrorKind::Config);
        let header = Request::get("https://h.example/").unwrap().header("X-Id", "a{id}").unwrap();
        assert_eq!(header.fill(&Bindings::new().with("id", "\r\n")).unwrap_err().kind(), ErrorKind::Cursor);
    }

    #[test]
    fn a_value_is_not_filled_again_and_other_braces_stay() {
        let request = Request::get("https://h.example/").unwrap().query("q", "{a}{b} {{a}} {}{");
        let filled = request.fill(&Bindings::new().with("a", "{b}").with("b", "{a}")).unwrap();
        let values: Vec<_> = filled.url().query_pairs().map(|(_, value)| value.into_owned()).collect();
        assert_eq!(values, ["{b}{a} {{b}} {}{"]);
    }

    #[test]
    fn the_document_of_graphql_is_left_alone() {
        let request = Request::graphql("https://h.example/", "{ items {n} }").unwrap().variable("n", "{n}");
        let filled = request.fill(&bindings()).unwrap();
        assert_eq!(filled.body(), Some(&json!({"query": "{ items {n} }", "variables": {"n": 7}})));
    }
}
