//! The requests behind the first, where they are not just the first with a cursor.

use std::fmt;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::request::redact::{MASK, Redactor};
use crate::request::{Request, remove_query};

/// How the requests behind the first differ from it, besides the cursor.
///
/// Method, credentials and headers stay those of the first request.
///
/// ```
/// use headwater::paginate::{Cursor, FollowUp};
/// // Dropbox: /list_folder, then /list_folder/continue with the cursor and nothing else
/// let files = Cursor::body("cursor")
///     .into_body("cursor")
///     .follow(FollowUp::at("/2/files/list_folder/continue").only())
///     .until_false("has_more");
/// // OAI-PMH: the verb and the token, and nothing else
/// let records = Cursor::body("OAI-PMH.ListRecords.resumptionToken")
///     .into_query("resumptionToken")
///     .follow(FollowUp::here().keep(["verb"]));
/// ```
#[derive(Clone, Default, PartialEq)]
#[must_use]
pub struct FollowUp {
    to: Option<String>,
    keep: Option<Vec<String>>,
    json: Option<Value>,
    query: Vec<(String, String)>,
}

impl FollowUp {
    /// Asks at the URL of the first request.
    pub fn here() -> Self {
        Self::default()
    }

    /// Asks at another path or URL, resolved against that of the first request. The query stays that of the first, unless
    /// this has one of its own. Another origin has to be allowed; see [`Pages::allow_origin`](crate::Pages::allow_origin).
    pub fn at(path: impl Into<String>) -> Self {
        Self { to: Some(path.into()), ..Self::default() }
    }

    /// Drops the query and the body of the first request: what goes along is the cursor alone.
    pub fn only(self) -> Self {
        self.keep(Vec::<String>::new())
    }

    /// Drops the query and the body of the first request but for these parameters, fields of the form, and fields of the
    /// JSON body.
    pub fn keep<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.keep = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sends another JSON body.
    pub fn json(mut self, body: impl Into<Value>) -> Self {
        self.json = Some(body.into());
        self
    }

    /// Sets a query parameter (CouchDB: `skip=1` behind the first page).
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Makes the request from the first one.
    pub(super) fn from(&self, first: &Request) -> Result<Request> {
        let mut request = first.clone();
        let mut url = first.url().clone();
        if let Some(to) = &self.to {
            let query = url.query().map(str::to_owned);
            url = url.join(to).map_err(|error| {
                Error::config(format!("the follow-up's address {to:?} cannot be read")).because(error)
            })?;
            url.set_fragment(None);
            if url.query().is_none() {
                url.set_query(query.as_deref());
            }
        }
        if let Some(keep) = &self.keep {
            let is_dropped = |name: &str| keep.iter().all(|kept| kept != name);
            let is_own = self.to.as_ref().is_some_and(|to| to.contains('?'));
            if !is_own {
                remove_query(&mut url, is_dropped);
            }
            request.keep_fields(|name| !is_dropped(name));
        }
        request = request.with_url(url)?;
        if let Some(body) = &self.json {
            request = request.json(body.clone());
        }
        Ok(self.query.iter().fold(request, |request, (name, value)| request.with_query(name, value)))
    }

    pub(super) fn definition(&self) -> String {
        let Self { to, keep, json, query } = self;
        let at = to.as_ref().map_or_else(|| " here".to_owned(), |to| format!(" at {to}"));
        let keep = keep.as_ref().map_or_else(String::new, |names| format!(" keeping {names:?}"));
        let json = json.as_ref().map_or_else(String::new, |body| format!(" with {body}"));
        let query: String = query.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        format!(", follow up{at}{keep}{json}{query}")
    }
}

// Like that of a request: names, and neither the body nor the values.
impl fmt::Debug for FollowUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.query.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("FollowUp")
            .field("to", &self.to.as_deref().map(|to| Redactor::default().text(to)))
            .field("keep", &self.keep)
            .field("json", &self.json.as_ref().map(|_| MASK))
            .field("query", &names)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn first() -> Request {
        let request = Request::post("https://h.example/v2/list?limit=5&verb=List").unwrap();
        request.header("X-Id", "1").unwrap().json(json!({"path": "/a", "limit": 5}))
    }

    fn made(follow: FollowUp) -> (String, Option<Value>) {
        let request = follow.from(&first()).unwrap();
        assert_eq!((request.method().as_str(), &request.headers()["x-id"]), ("POST", &"1".parse().unwrap()));
        (request.url().to_string(), request.body().cloned())
    }

    #[test]
    fn what_is_not_said_stays_as_it_was() {
        let same = Some(json!({"path": "/a", "limit": 5}));
        assert_eq!(
            made(FollowUp::here()),
            ("https://h.example/v2/list?limit=5&verb=List".into(), same.clone())
        );
        assert_eq!(
            made(FollowUp::at("list/continue")).0,
            "https://h.example/v2/list/continue?limit=5&verb=List"
        );
        assert_eq!(made(FollowUp::at("/next?a=1")), ("https://h.example/next?a=1".into(), same));
        let added = made(FollowUp::here().query("skip", "1")).0;
        assert_eq!(added, "https://h.example/v2/list?limit=5&verb=List&skip=1");
    }

    #[test]
    fn only_what_is_kept_goes_along() {
        assert_eq!(made(FollowUp::at("/more").only()), ("https://h.example/more".into(), None));
        let kept = made(FollowUp::here().keep(["verb", "limit"]));
        assert_eq!(kept, ("https://h.example/v2/list?limit=5&verb=List".into(), Some(json!({"limit": 5}))));
        let other = made(FollowUp::at("/scroll").only().json(json!({"scroll": "1m"})));
        assert_eq!(other, ("https://h.example/scroll".into(), Some(json!({"scroll": "1m"}))));
    }
}
