//! A token that is sent back: from the body, or from the last record.

use serde_json::Value;

use super::stop::{Flag, More, contradiction};
use super::{Answer, Consistency, Paginate, RawJson, foreign, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::page::walk::Plan;
use crate::request::{Position, Request, Target};

/// Paging by a token: the server's own, or the key of the last record (keyset paging).
///
/// A number keeps its digits, however many. `null`, `""` and `false` in the place of a token from the body
/// are the end; that the token is missing altogether is an error unless [`missing_ends`](Cursor::missing_ends)
/// declares it. With a flag, the flag decides.
///
/// ```
/// use headwater::paginate::Cursor;
/// // Slack: "response_metadata.next_cursor" is "" on the last page
/// let slack = Cursor::body("response_metadata.next_cursor").into_query("cursor");
/// // Google: "nextPageToken" is left out on the last page
/// let google = Cursor::body("nextPageToken").into_query("pageToken").missing_ends();
/// // Stripe: the last object's id, while "has_more"
/// let stripe = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Cursor {
    from: From,
    into: Target,
    flag: Flag,
    missing_ends: bool,
}

#[derive(Debug, Clone)]
enum From {
    Body(String),
    LastRecord(String),
}

impl Cursor {
    /// Takes the token at a path of the body. It goes into the query as `cursor` unless said otherwise.
    pub fn body(path: impl std::convert::Into<String>) -> Self {
        Self::new(From::Body(path.into()))
    }

    /// Takes a field of the page's last record. It goes into the query as `cursor` unless said otherwise.
    /// Without a flag, a page without records is the end.
    pub fn last_record(path: impl std::convert::Into<String>) -> Self {
        Self::new(From::LastRecord(path.into()))
    }

    fn new(from: From) -> Self {
        Self { from, into: Target::query("cursor"), flag: Flag::default(), missing_ends: false }
    }

    /// Sends the token as this query parameter.
    #[allow(
        clippy::wrong_self_convention,
        reason = "reads as a sentence: a cursor from the body into the query"
    )]
    pub fn into_query(self, name: impl std::convert::Into<String>) -> Self {
        self.into_target(Target::query(name))
    }

    /// Sends the token at this path of the JSON body.
    #[allow(
        clippy::wrong_self_convention,
        reason = "reads as a sentence: a cursor from the body into the body"
    )]
    pub fn into_body(self, path: impl std::convert::Into<String>) -> Self {
        self.into_target(Target::body(path))
    }

    /// Sends the token to this place.
    #[allow(
        clippy::wrong_self_convention,
        reason = "reads as a sentence: a cursor from the body into the target"
    )]
    pub fn into_target(mut self, target: Target) -> Self {
        self.into = target;
        self
    }

    /// Ends when the flag at this path is false (`has_more`).
    pub fn until_false(mut self, path: &str) -> Self {
        self.flag = Flag::ends_when(path, false);
        self
    }

    /// Ends when the flag at this path is true (`done`).
    pub fn until_true(mut self, path: &str) -> Self {
        self.flag = Flag::ends_when(path, true);
        self
    }

    /// Declares that the API leaves the token out on its last page.
    pub fn missing_ends(mut self) -> Self {
        self.missing_ends = true;
        self
    }

    fn body_token(
        &self,
        answer: &Answer<'_>,
        index: usize,
        path: &str,
        more: More,
    ) -> Result<Option<Position>> {
        let Some(value) = answer.value(index) else {
            if more == More::Unknown && self.missing_ends {
                return Ok(None);
            }
            let error = missing("the cursor", path);
            return Err(if more == More::Yes {
                error
            } else {
                error.advice("if the API leaves it out on its last page, say so with `missing_ends()`")
            });
        };
        if value.is_null() || value.text() == "\"\"" || value.text() == "false" {
            return match more {
                More::Yes => {
                    Err(contradiction(format!("the cursor \"{path}\" is empty, though there is more")))
                }
                _ => Ok(None),
            };
        }
        self.token(value, path).map(Some)
    }

    fn token(&self, value: RawJson<'_>, path: &str) -> Result<Position> {
        // In a body a number stays a number, as far as it fits; in a query all is text.
        let number = value.text().parse::<i64>().ok().filter(|number| number.to_string() == value.text());
        if let (true, Some(number)) = (self.into.keeps_types(), number) {
            return Ok(Position::Json(number.into()));
        }
        match value.as_token() {
            Some(token) => Ok(Position::Cursor(token)),
            None => Err(Error::new(
                ErrorKind::Cursor,
                format!("the cursor \"{path}\" is {}, neither a string nor a number", value.kind()),
            )),
        }
    }

    fn record_token(&self, answer: &Answer<'_>, path: &str, more: More) -> Result<Option<Position>> {
        let Some(record) = answer.last_record()? else {
            return match more {
                More::Yes => Err(contradiction(
                    "a page without records, though there is more: no record to go on from",
                )),
                _ => Ok(None),
            };
        };
        let field = JsonPath::parse(path)?;
        let outline = Plan::new(None, std::slice::from_ref(&field)).walk(record.text()).map_err(|error| {
            Error::new(ErrorKind::Cursor, "the last record cannot be read").because(error)
        })?;
        let value = outline.captures[0].map(|span| RawJson(span.of(record.text())));
        let value = value.ok_or_else(|| {
            Error::new(ErrorKind::Cursor, format!("the last record has no field \"{path}\" to go on from"))
        })?;
        if value.text() == "\"\"" {
            // Sent back, it would ask for the first page again.
            let why = format!("the field \"{path}\" of the last record is empty: nothing to go on from");
            return Err(Error::new(ErrorKind::Cursor, why));
        }
        self.token(value, path).map(Some)
    }
}

impl Paginate for Cursor {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        self.into.check()?;
        let from = match &self.from {
            From::Body(path) => Some(JsonPath::parse(path)?),
            From::LastRecord(path) => {
                JsonPath::parse(path)?;
                None
            }
        };
        Ok(self.flag.path()?.into_iter().chain(from).collect())
    }

    fn needs_records(&self) -> bool {
        matches!(self.from, From::LastRecord(_))
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        let token = match position {
            Position::Start => return self.into.leave(template.clone()),
            Position::Cursor(token) => Value::String(token.clone()),
            Position::Json(token @ Value::Number(_)) => token.clone(),
            other => return Err(foreign(other, "cursor")),
        };
        self.into.put(template.clone(), &token)
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let more = self.flag.read(answer, 0)?;
        if more == More::No {
            return Ok(None);
        }
        match &self.from {
            From::Body(path) => self.body_token(answer, usize::from(more != More::Unknown), path, more),
            From::LastRecord(path) => self.record_token(answer, path, more),
        }
    }

    fn consistency(&self) -> Consistency {
        Consistency::Stable
    }

    fn definition(&self) -> String {
        let missing = if self.missing_ends { " missing ends" } else { "" };
        format!("cursor from {:?} into {:?}{}{missing}", self.from, self.into, self.flag.definition())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paginate::testing::{page, query_of};

    fn cursor(text: &str) -> Option<Position> {
        Some(Position::Cursor(text.into()))
    }

    #[test]
    fn the_token_of_the_body_is_sent_back() {
        let slack = Cursor::body("meta.next").into_query("after");
        assert_eq!(
            page(Position::Start, r#"{"data":[],"meta":{"next":"a\"=/"}}"#).to(&slack).unwrap(),
            cursor("a\"=/")
        );
        assert_eq!(query_of(&slack, &Position::Cursor("a\"=/&".into())), "q=x&after=a%22%3D%2F%26");
        assert_eq!(query_of(&slack, &Position::Start), "q=x");
        let long = r#"{"data":[],"meta":{"next":123456789012345678901234567890}}"#;
        assert_eq!(page(Position::Start, long).to(&slack).unwrap(), cursor("123456789012345678901234567890"));
        for end in ["null", "\"\"", "false"] {
            assert_eq!(
                page(Position::Start, format!(r#"{{"meta":{{"next":{end}}}}}"#)).to(&slack).unwrap(),
                None
            );
        }
    }

    #[test]
    fn a_missing_token_is_an_error_unless_declared() {
        let gone = || page(Position::Start, r#"{"data":[1]}"#);
        assert_eq!(gone().to(&Cursor::body("next")).unwrap_err().kind(), ErrorKind::Cursor);
        assert_eq!(gone().to(&Cursor::body("next").missing_ends()).unwrap(), None);
        let wrong = page(Position::Start, r#"{"next":{"id":1}}"#).to(&Cursor::body("next")).unwrap_err();
        assert!(wrong.to_string().contains("an object"), "{wrong}");
    }

    #[test]
    fn the_flag_decides_about_the_end() {
        let stripe = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
        let more = |text: &str| page(Position::Start, text).to(&stripe);
        assert_eq!(more(r#"{"data":[{"id":"a"},{"id":"b"}],"has_more":true}"#).unwrap(), cursor("b"));
        assert_eq!(more(r#"{"data":[{"id":"a"}],"has_more":false}"#).unwrap(), None);
        assert_eq!(more(r#"{"data":[{"id":"a"}]}"#).unwrap_err().kind(), ErrorKind::Cursor);
        assert_eq!(more(r#"{"data":[],"has_more":true}"#).unwrap_err().kind(), ErrorKind::Truncated);
        assert_eq!(more(r#"{"data":[{"x":1}],"has_more":true}"#).unwrap_err().kind(), ErrorKind::Cursor);
        let notion = Cursor::body("next").until_false("has_more");
        let lost = page(Position::Start, r#"{"next":null,"has_more":true}"#).to(&notion).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Truncated);
    }

    #[test]
    fn a_token_goes_into_the_body() {
        let template =
            Request::post("https://h.example").unwrap().json(serde_json::json!({"page": {"size": 5}}));
        let next = Cursor::body("next").into_body("page.after");
        let request = next.request(&template, &Position::Cursor("t".into())).unwrap();
        assert_eq!(request.body().unwrap(), &serde_json::json!({"page": {"size": 5, "after": "t"}}));
        let position = page(Position::Start, r#"{"next":42}"#).to(&next).unwrap().unwrap();
        let request = next.request(&template, &position).unwrap();
        assert_eq!(request.body().unwrap(), &serde_json::json!({"page": {"size": 5, "after": 42}}));
    }
}
