//! What a request carries: JSON, a form, a GraphQL query.

use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::redact::is_sensitive;
use super::{Request, Secret};
use crate::error::Result;

/// The body of a request, before it is written out.
#[derive(Clone, PartialEq)]
pub(super) enum Body {
    Json(Value),
    Form(Vec<(String, String)>),
}

impl Request {
    /// Makes a GraphQL request: a POST of `{"query": …, "variables": {}}` (GraphQL over HTTP, "Request"). It is taken
    /// for one that only reads, so it may be sent again after a failure; do not use it for a mutation.
    ///
    /// ```
    /// use headwater::Request;
    /// let query = "query($first: Int!, $after: String) { issues(first: $first, after: $after) { nodes { id } } }";
    /// let request = Request::graphql("https://api.example.com/graphql", query)?.variable("first", 50);
    /// assert_eq!(request.body().unwrap()["variables"]["first"], 50);
    /// # Ok::<(), headwater::Error>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Request::get`].
    pub fn graphql(url: impl AsRef<str>, query: impl Into<String>) -> Result<Self> {
        Ok(Self::post(url)?.json(json!({"query": query.into(), "variables": {}})).repeatable())
    }

    /// Sets a variable of a GraphQL request: the field of this name in `variables` of the JSON body.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<Value>) -> Self {
        let mut body = match self.body.take() {
            Some(Body::Json(Value::Object(fields))) => fields,
            _ => Map::new(),
        };
        let variables = body.entry("variables").or_insert_with(|| Value::Object(Map::new()));
        if !variables.is_object() {
            *variables = Value::Object(Map::new());
        }
        variables[name] = value.into();
        self.json(Value::Object(body))
    }

    /// Sets a JSON body, and `Content-Type: application/json` unless one was given.
    #[must_use]
    pub fn json(self, body: Value) -> Self {
        self.carrying(Body::Json(body), JSON)
    }

    /// Adds a field to a form, which is sent as `application/x-www-form-urlencoded`. It takes the place of a JSON body.
    #[must_use]
    pub fn form(mut self, name: &str, value: impl Into<String>) -> Self {
        let mut fields = self.take_form();
        fields.push((name.to_owned(), value.into()));
        self.carrying(Body::Form(fields), FORM)
    }

    /// Sets a field of the form, in the place of every other of its name.
    #[must_use]
    pub fn with_form(mut self, name: &str, value: impl Into<String>) -> Self {
        let mut fields = self.take_form();
        fields.retain(|(other, _)| other != name);
        fields.push((name.to_owned(), value.into()));
        self.carrying(Body::Form(fields), FORM)
    }

    fn take_form(&mut self) -> Vec<(String, String)> {
        match self.body.take() {
            Some(Body::Form(fields)) => fields,
            _ => Vec::new(),
        }
    }

    fn carrying(mut self, body: Body, kind: &'static str) -> Self {
        self.body = Some(body);
        // That of a body whose place this one takes goes with it; any other was given by hand.
        let is_of_other = self
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|known| known != kind && (known == FORM || known == JSON));
        if is_of_other || !self.headers.contains_key(CONTENT_TYPE) {
            self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        self
    }

    /// The JSON body; `None` if there is none, or the body is a form.
    pub fn body(&self) -> Option<&Value> {
        match &self.body {
            Some(Body::Json(body)) => Some(body),
            _ => None,
        }
    }

    /// The JSON body, to be changed.
    pub fn body_mut(&mut self) -> Option<&mut Value> {
        match &mut self.body {
            Some(Body::Json(body)) => Some(body),
            _ => None,
        }
    }

    /// The fields of the form, in order; empty if the body is no form.
    pub fn form_fields(&self) -> &[(String, String)] {
        match &self.body {
            Some(Body::Form(fields)) => fields,
            _ => &[],
        }
    }

    /// Whether it carries a body of any kind.
    pub fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// The body as it goes out; `None` if there is none. It always comes out the same, so it can be signed.
    pub fn encoded_body(&self) -> Option<String> {
        match self.body.as_ref()? {
            Body::Json(body) => Some(body.to_string()),
            Body::Form(fields) => Some(Serializer::new(String::new()).extend_pairs(fields).finish()),
        }
    }

    /// Keeps those fields of a form, or of the object that the JSON body is, whose name is chosen; a body of which
    /// nothing stays is none.
    pub(crate) fn keep_fields(&mut self, chosen: impl Fn(&str) -> bool) {
        let is_empty = match &mut self.body {
            Some(Body::Json(Value::Object(fields))) => {
                fields.retain(|name, _| chosen(name));
                fields.is_empty()
            }
            Some(Body::Form(fields)) => {
                fields.retain(|(name, _)| chosen(name));
                fields.is_empty()
            }
            Some(Body::Json(_)) | None => true,
        };
        if is_empty {
            // The header stays: it may have been set by hand, and a cursor may yet go into the body.
            self.body = None;
        }
    }

    /// Drops the body, and keeps what the headers say of its type.
    pub(crate) fn drop_body(&mut self) {
        self.body = None;
    }

    pub(crate) fn clear_body(&mut self) {
        self.body = None;
        self.headers.remove(CONTENT_TYPE);
    }

    /// The strings in the body that are credentials by the names of their fields.
    pub(crate) fn sensitive_body(&self) -> Vec<Secret> {
        fn gather(value: &Value, secrets: &mut Vec<Secret>) {
            match value {
                Value::Array(items) => items.iter().for_each(|item| gather(item, secrets)),
                Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                    Value::String(text) if is_sensitive(name) => secrets.push(Secret::new(text.as_str())),
                    other => gather(other, secrets),
                }),
                _ => {}
            }
        }
        let mut secrets = Vec::new();
        self.body().iter().for_each(|body| gather(body, &mut secrets));
        let named = self.form_fields().iter().filter(|(name, _)| is_sensitive(name));
        secrets.extend(named.map(|(_, value)| Secret::new(value.as_str())));
        secrets
    }

    /// What the body means, without the credentials in a form; `None` if there is none.
    pub(crate) fn body_definition(&self) -> Option<String> {
        match self.body.as_ref()? {
            Body::Json(body) => Some(body.to_string()),
            Body::Form(fields) => {
                let meant = fields.iter().map(|(name, value)| {
                    (name.as_str(), if is_sensitive(name) { "" } else { value.as_str() })
                });
                Some(Serializer::new(String::new()).extend_pairs(meant).finish())
            }
        }
    }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

#[cfg(test)]
mod tests {
    use super::*;

    fn post() -> Request {
        Request::post("https://h.example/search").unwrap()
    }

    #[test]
    fn a_form_is_encoded_and_says_so() {
        let request = post().form("q", "a b&c=ä").form("tag", "1").form("tag", "2");
        assert_eq!(request.encoded_body().unwrap(), "q=a+b%26c%3D%C3%A4&tag=1&tag=2");
        assert_eq!(request.headers()["content-type"], FORM);
        assert_eq!(request.body(), None);
        let request = request.with_form("tag", "3");
        assert_eq!(request.encoded_body().unwrap(), "q=a+b%26c%3D%C3%A4&tag=3");
    }

    #[test]
    fn a_type_of_ones_own_is_kept() {
        let request = post().header("Content-Type", "application/x-amz-json-1.1").unwrap().json(json!({}));
        assert_eq!(request.headers()["content-type"], "application/x-amz-json-1.1");
    }

    #[test]
    fn a_body_that_takes_the_place_of_another_says_what_it_is() {
        let form = post().json(json!({"q": 1})).form("q", "1");
        assert_eq!(form.headers()["content-type"], FORM);
        assert_eq!(form.json(json!({})).headers()["content-type"], JSON);
    }

    #[test]
    fn graphql_has_its_query_and_variables() {
        let request = Request::graphql("https://h.example/graphql", "query { a }").unwrap();
        let request = request.variable("first", 5).variable("filter", json!({"x": [1]}));
        let expected = json!({"query": "query { a }", "variables": {"first": 5, "filter": {"x": [1]}}});
        assert_eq!(request.body(), Some(&expected));
        assert!(request.is_repeatable());
    }

    #[test]
    fn a_credential_in_a_form_is_known_and_not_part_of_the_meaning() {
        let request = post().form("token", "abcdef").form("q", "x");
        assert_eq!(request.sensitive_body().len(), 1);
        assert_eq!(request.body_definition().unwrap(), "token=&q=x");
        assert!(!format!("{request:?}").contains("abcdef"));
    }
}
