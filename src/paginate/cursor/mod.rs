//! A token that is sent back: from the body, from a header, or from a record.

mod token;

use serde_json::Value;

use super::end::End;
use super::ends::{Done, Ends, More};
use super::follow_up::FollowUp;
use super::{Answer, Consistency, Paginate, foreign};
use crate::error::Result;
use crate::page::JsonPath;
use crate::request::{Position, Request, Target};
use token::{Found, From, Token};

/// Paging by a token: the server's own, or the key of a record (keyset paging).
///
/// A token is a string, a number (it keeps its digits, however many), an array or an object. `null`, `""` and `false` in
/// its place are the end, and `0` if [declared](Cursor::zero_ends); that it is missing altogether is an error unless
/// [`missing_ends`](Cursor::missing_ends) declares it. With a flag, the flag decides.
///
/// ```
/// use headwater::paginate::{Cursor, End};
/// use headwater::request::Target;
/// // Slack: "response_metadata.next_cursor" is "" on the last page
/// let slack = Cursor::body("response_metadata.next_cursor").into_query("cursor");
/// // Google: "nextPageToken" is left out on the last page
/// let google = Cursor::body("nextPageToken").into_query("pageToken").missing_ends();
/// // Stripe: the last object's id, while "has_more"
/// let stripe = Cursor::last_record("id").into_query("starting_after").until_false("has_more");
/// // DynamoDB: a whole object, into the body
/// let dynamo = Cursor::body("LastEvaluatedKey").into_body("ExclusiveStartKey").missing_ends();
/// // Crossref: "*" asks for the first page; there is always a token
/// let crossref = Cursor::body("message.next-cursor").first("*").until(End::short_page(1000));
/// // MediaWiki: each key of an object becomes a parameter
/// let wiki = Cursor::body("continue").into_target(Target::merged()).missing_ends();
/// // Azure Tables: two headers, two parameters
/// let azure = Cursor::header("x-ms-continuation-NextPartitionKey")
///     .into_query("NextPartitionKey")
///     .missing_ends()
///     .and(Cursor::header("x-ms-continuation-NextRowKey").into_query("NextRowKey").missing_ends());
/// // Elasticsearch: the sort values of the last hit, and the id of the point in time
/// let search = Cursor::last_record("sort")
///     .into_body("search_after")
///     .and(Cursor::body("pit_id").into_body("pit.id"));
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Cursor {
    token: Token,
    others: Vec<Token>,
    follow: Option<FollowUp>,
    ends: Ends,
}

#[allow(clippy::wrong_self_convention, reason = "reads as a sentence: a cursor from the body into the query")]
impl Cursor {
    /// Takes the token at a path of the body. It goes into the query as `cursor` unless said otherwise.
    pub fn body(path: impl Into<String>) -> Self {
        Self::new(From::Body(path.into()))
    }

    /// Takes the token out of a header (Coinbase's `CB-AFTER`). It goes into the query as `cursor` unless said
    /// otherwise. An empty one is the end.
    pub fn header(name: impl Into<String>) -> Self {
        Self::new(From::Header(name.into()))
    }

    /// Takes a field of the page's last record. It goes into the query as `cursor` unless said otherwise.
    /// Without a flag, a page without records is the end.
    pub fn last_record(path: impl Into<String>) -> Self {
        Self::new(From::LastRecord(path.into()))
    }

    /// Takes a field of the page's first record: for lists that are read backwards, each page in ascending order.
    pub fn first_record(path: impl Into<String>) -> Self {
        Self::new(From::FirstRecord(path.into()))
    }

    fn new(from: From) -> Self {
        Self { token: Token::new(from), others: Vec::new(), follow: None, ends: Ends::default() }
    }

    fn change(mut self, change: impl FnOnce(&mut Token)) -> Self {
        change(&mut self.token);
        self
    }

    /// Looks at this path of the body too, if there is nothing at the ones before: where the first answer has another
    /// shape than those behind it (Monday's `items_page` and `next_items_page`).
    pub fn or_body(self, path: impl Into<String>) -> Self {
        self.change(|token| token.or.push(path.into()))
    }

    /// Sends the token as this query parameter.
    pub fn into_query(self, name: impl Into<String>) -> Self {
        self.into_target(Target::query(name))
    }

    /// Sends the token at this path of the JSON body.
    pub fn into_body(self, path: impl Into<String>) -> Self {
        self.into_target(Target::body(path))
    }

    /// Sends the token as this field of the form.
    pub fn into_form(self, name: impl Into<String>) -> Self {
        self.into_target(Target::form(name))
    }

    /// Sends the token in this header.
    pub fn into_header(self, name: impl Into<String>) -> Self {
        self.into_target(Target::header(name))
    }

    /// Sends the token to this place.
    pub fn into_target(self, target: Target) -> Self {
        self.change(|token| token.into = target)
    }

    /// Adds to the token, which must be a whole number (Binance: `fromId` is the last id and one).
    pub fn plus(self, number: i64) -> Self {
        self.change(|token| token.plus = Some(number))
    }

    /// Sends the token as JSON: a string in quotes, an array in brackets (CouchDB's `startkey`).
    pub fn json_encoded(self) -> Self {
        self.change(|token| token.json_encoded = true)
    }

    /// Sends this in the place of the token when the first page is asked for: `"*"` (Crossref, OpenAlex), or `""`
    /// (SCIM, RFC 9865). It is sent as it is, never [`json_encoded`](Cursor::json_encoded).
    pub fn first(self, value: impl Into<Value>) -> Self {
        self.change(|token| token.first = Some(value.into()))
    }

    /// Sends another value along with this one. This one decides about the end; the other must be there with it, unless
    /// it has `missing_ends()`, and then it is left out. Ends and follow-ups of the other count for both.
    pub fn and(mut self, other: Self) -> Self {
        self.others.push(other.token);
        self.others.extend(other.others);
        self.follow = self.follow.or(other.follow);
        self.ends.extend(other.ends);
        self
    }

    /// Makes the requests behind the first in another way.
    pub fn follow(mut self, follow: FollowUp) -> Self {
        self.follow = Some(follow);
        self
    }

    /// Ends for this reason, too.
    pub fn until(mut self, end: End) -> Self {
        self.ends.push(end);
        self
    }

    /// Ends when the flag at this path is false (`has_more`).
    pub fn until_false(self, path: &str) -> Self {
        self.until(End::when_false(path))
    }

    /// Ends when the flag at this path is true (`done`).
    pub fn until_true(self, path: &str) -> Self {
        self.until(End::when_true(path))
    }

    /// Declares that the API leaves the token out on its last page.
    pub fn missing_ends(self) -> Self {
        self.change(|token| token.missing_ends = true)
    }

    /// Declares that the API sends 0 for a token on its last page.
    pub fn zero_ends(self) -> Self {
        self.change(|token| token.zero_ends = true)
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        std::iter::once(&self.token).chain(&self.others)
    }

    /// The value that decides; `None` at the end.
    fn leading(&self, answer: &Answer<'_>, more: More) -> Result<Option<Value>> {
        let place = self.token.place();
        match self.token.find(answer, self.ends.captures())? {
            Found::Value(value) => Ok(Some(value)),
            Found::Nothing => more.deny(&format!("the cursor \"{place}\" is empty")).map(|()| None),
            Found::NoRecord => more.deny("a page without records to go on from").map(|()| None),
            Found::Missing if more == More::Yes => Err(self.token.required()),
            Found::Missing if self.token.missing_ends => {
                more.deny(&format!("the cursor \"{place}\" is not there")).map(|()| None)
            }
            Found::Missing => Err(self
                .token
                .required()
                .advice("if the API leaves it out on its last page, say so with `missing_ends()`")),
        }
    }

    /// The values that go along; `null` for one that may be left out.
    fn following(&self, answer: &Answer<'_>) -> Result<Vec<Value>> {
        let mut index = self.ends.captures() + self.token.captures();
        let mut values = Vec::new();
        for token in &self.others {
            values.push(match token.find(answer, index)? {
                Found::Value(value) => value,
                Found::Nothing => Value::Null,
                _ if token.missing_ends => Value::Null,
                _ => {
                    let advice =
                        "if the API leaves it out where there is nothing, say so with `missing_ends()`";
                    return Err(token.required().advice(advice));
                }
            });
            index += token.captures();
        }
        Ok(values)
    }
}

impl Paginate for Cursor {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        let mut reads = self.ends.reads()?;
        for token in self.tokens() {
            reads.extend(token.reads()?);
        }
        Ok(reads)
    }

    fn needs_records(&self) -> bool {
        self.ends.needs_records() || self.tokens().any(Token::needs_records)
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        let values = match position {
            Position::Start => {
                return self.tokens().try_fold(template.clone(), |request, token| token.begin(request));
            }
            Position::Cursor(token) => vec![Value::from(token.as_str())],
            Position::Json(Value::Array(values)) if !self.others.is_empty() => values.clone(),
            Position::Json(value) if self.others.is_empty() => vec![value.clone()],
            other => return Err(foreign(other, "cursor")),
        };
        let takes = |token: &Token, value| token.json_encoded || token.into.takes(value);
        if values.len() > self.others.len() + 1 || !self.tokens().zip(&values).all(|(t, v)| takes(t, v)) {
            return Err(foreign(position, "cursor"));
        }
        let request = match &self.follow {
            Some(follow) => follow.from(template)?,
            None => template.clone(),
        };
        let values = values.iter().chain(std::iter::repeat(&Value::Null));
        self.tokens().zip(values).try_fold(request, |request, (token, value)| match value {
            Value::Null => token.into.leave(request),
            value => token.put(request, value),
        })
    }

    fn says_more(&self, answer: &Answer<'_>) -> bool {
        self.ends.judge(answer, Done::counted(answer)).is_ok_and(More::is_claimed)
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let more = self.ends.judge(answer, Done::counted(answer))?;
        if more == More::No {
            return Ok(None);
        }
        let Some(value) = self.leading(answer, more)? else { return Ok(None) };
        let others = self.following(answer)?;
        let next = match value {
            value if !others.is_empty() => {
                Position::Json(Value::Array(std::iter::once(value).chain(others).collect()))
            }
            Value::String(token) => Position::Cursor(token),
            value => Position::Json(value),
        };
        Ok(Some(next).filter(|next| !self.ends.is_repeated(answer, next)))
    }

    fn check(&self, template: &Request) -> Result<()> {
        Target::check_distinct(self.tokens().map(|token| &token.into))?;
        let behind = self.follow.as_ref().map(|follow| follow.from(template)).transpose()?;
        self.tokens().try_for_each(|token| match &behind {
            // The first request may have what those behind it do not need, and the other way round.
            Some(behind) => token.into.check_in(behind).or_else(|_| token.into.check_in(template)),
            None => token.into.check_in(template),
        })
    }

    fn binds(&self, name: &str) -> bool {
        self.tokens().any(|token| token.into.fills(name))
    }

    fn consistency(&self) -> Consistency {
        Consistency::Stable
    }

    fn definition(&self) -> String {
        let Token { from, into, .. } = &self.token;
        let (ends, options) = (self.ends.definition(None), self.token.options());
        let others: String = self
            .others
            .iter()
            .map(|token| format!(", and from {:?} into {:?}{}", token.from, token.into, token.options()))
            .collect();
        let follow = self.follow.as_ref().map_or_else(String::new, FollowUp::definition);
        format!("cursor from {from:?} into {into:?}{ends}{options}{others}{follow}")
    }
}

#[cfg(test)]
mod tests;
