//! A list that hands out a token at its end: the next run asks for what has changed since.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Answer, ChangeLink, Consistency, Paginate, foreign};
use crate::error::{Error, Result};
use crate::page::JsonPath;
use crate::request::{Position, Request};

/// The fields of a position of a run that began with a kept token: the token, and the page.
const KEPT: &str = "kept";
const PAGE: &str = "page";

/// Pages by one paginator, and keeps what another one finds on the last page: there the next run begins.
///
/// The first run pulls all there is. The run after a finished one begins with the kept token: its requests are made from
/// the one that the second paginator makes of the token. A run that was broken off goes on where it was, and keeps the
/// token that it began with.
///
/// ```
/// use headwater::paginate::{Cursor, Delta, End, FollowUp, NextUrl};
/// // Microsoft Graph: next links, and a delta link at the end
/// let graph = Delta::new(
///     NextUrl::body("/@odata.nextLink").missing_ends(),
///     NextUrl::body("/@odata.deltaLink"),
/// );
/// // Google Calendar: pageToken …, and nextSyncToken at the end
/// let calendar = Delta::new(
///     Cursor::body("nextPageToken").into_query("pageToken").missing_ends(),
///     Cursor::body("nextSyncToken").into_query("syncToken"),
/// );
/// // Dropbox: the cursor of the last page goes on being one
/// let cursor = || Cursor::body("cursor").into_body("cursor").follow(FollowUp::at("/2/files/list_folder/continue").only());
/// let dropbox = Delta::new(cursor().until_false("has_more"), cursor());
/// // CouchDB: _changes since the last sequence number
/// let since = || Cursor::body("last_seq").into_query("since");
/// let changes = Delta::new(since().until(End::empty_page()), since());
/// ```
///
/// When the server no longer knows the token (410), the run fails with `CursorExpired`.
#[derive(Debug, Clone)]
#[must_use]
pub struct Delta {
    pages: Arc<dyn Paginate>,
    kept: Arc<dyn Paginate>,
}

impl Delta {
    /// Takes how the API pages, and what is kept for the next run.
    pub fn new(pages: impl Paginate, kept: impl Paginate) -> Self {
        Self { pages: Arc::new(pages), kept: Arc::new(kept) }
    }

    fn pages_reads(&self) -> Result<usize> {
        self.pages.reads().map(|reads| reads.len())
    }
}

/// A position of a run that began with a kept token, taken apart; `None` if it is of another run.
fn apart(position: &Position) -> Result<Option<(Position, Position)>> {
    let Position::Json(Value::Object(fields)) = position else { return Ok(None) };
    let Some(kept) = fields.get(KEPT).filter(|_| fields.keys().all(|key| key == KEPT || key == PAGE)) else {
        return Ok(None);
    };
    let read = |value: &Value| {
        serde_json::from_value::<Position>(value.clone()).map_err(|_| foreign(position, "delta"))
    };
    let page = fields.get(PAGE).map_or(Ok(Position::Start), read)?;
    Ok(Some((read(kept)?, page)))
}

fn together(kept: &Position, page: Position) -> Result<Position> {
    let value = |position: &Position| {
        serde_json::to_value(position)
            .map_err(|error| Error::config("a position cannot be written").because(error))
    };
    let mut fields = Map::from_iter([(KEPT.to_owned(), value(kept)?)]);
    if page != Position::Start {
        fields.insert(PAGE.to_owned(), value(&page)?);
    }
    Ok(Position::Json(Value::Object(fields)))
}

impl Paginate for Delta {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        Ok(self.pages.reads()?.into_iter().chain(self.kept.reads()?).collect())
    }

    fn needs_records(&self) -> bool {
        self.pages.needs_records() || self.kept.needs_records()
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        match apart(position)? {
            None => self.pages.request(template, position),
            Some((kept, page)) => self.pages.request(&self.kept.request(template, &kept)?, &page),
        }
    }

    fn says_more(&self, answer: &Answer<'_>) -> bool {
        self.pages.says_more(answer)
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let captures = &answer.captures[..self.pages_reads()?.min(answer.captures.len())];
        match apart(answer.position)? {
            None => self.pages.next(&Answer { captures, ..*answer }),
            Some((kept, page)) => {
                let next = self.pages.next(&Answer { captures, position: &page, ..*answer })?;
                next.map(|next| together(&kept, next)).transpose()
            }
        }
    }

    fn finish(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let captures = answer.captures.get(self.pages_reads()?..).unwrap_or_default();
        let position = apart(answer.position)?.map(|(_, page)| page);
        let position = position.as_ref().unwrap_or(answer.position);
        let kept = self.kept.next(&Answer { captures, position, ..*answer })?;
        kept.map(|kept| together(&kept, Position::Start)).transpose()
    }

    fn with_links(&self, position: Position, change: &mut ChangeLink<'_>) -> Result<Position> {
        match apart(&position)? {
            None => self.pages.with_links(position, change),
            Some((kept, page)) => {
                let kept = self.kept.with_links(kept, change)?;
                together(&kept, self.pages.with_links(page, change)?)
            }
        }
    }

    fn check(&self, template: &Request) -> Result<()> {
        self.pages.check(template)?;
        self.kept.check(template)
    }

    fn binds(&self, name: &str) -> bool {
        self.pages.binds(name) || self.kept.binds(name)
    }

    fn consistency(&self) -> Consistency {
        self.pages.consistency()
    }

    fn definition(&self) -> String {
        format!("{}; keeping {}", self.pages.definition(), self.kept.definition())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::paginate::testing::{page, query_of};
    use crate::paginate::{Cursor, NextUrl, Offset};

    fn calendar() -> Delta {
        Delta::new(
            Cursor::body("nextPageToken").into_query("pageToken").missing_ends(),
            Cursor::body("nextSyncToken").into_query("syncToken"),
        )
    }

    fn kept(text: &str) -> Position {
        together(&Position::Cursor("s1".into()), Position::Start).map_or(Position::Start, |position| {
            assert_eq!(position.to_string(), text);
            position
        })
    }

    #[test]
    fn a_run_that_begins_with_a_token_sends_it_with_each_page() {
        let began = kept(r#"{"kept":{"cursor":"s1"}}"#);
        assert_eq!(query_of(&calendar(), &began), "q=x&syncToken=s1");
        let next = page(began, r#"{"nextPageToken":"p2"}"#).to(&calendar()).unwrap().unwrap();
        assert_eq!(query_of(&calendar(), &next), "q=x&syncToken=s1&pageToken=p2");
        assert_eq!(page(next, r#"{"nextSyncToken":"s2"}"#).to(&calendar()).unwrap(), None);
    }

    #[test]
    fn the_first_run_has_the_positions_of_its_paginator() {
        let next = page(Position::Start, r#"{"nextPageToken":"p2"}"#).to(&calendar()).unwrap();
        assert_eq!(next, Some(Position::Cursor("p2".into())));
        let counted = Delta::new(Offset::new(2), NextUrl::body("delta"));
        let next = page(Position::Offset(2), r#"{"data":[1,2]}"#).to(&counted).unwrap();
        assert_eq!(next, Some(Position::Offset(4)));
    }

    #[test]
    fn a_token_that_is_promised_and_missing_is_an_error() {
        let shown = page(Position::Start, r#"{"data":[]}"#);
        assert_eq!(shown.finish(&calendar()).unwrap_err().kind(), ErrorKind::Cursor);
        let shown = page(Position::Start, r#"{"nextSyncToken":"s1"}"#);
        assert_eq!(shown.finish(&calendar()).unwrap(), Some(kept(r#"{"kept":{"cursor":"s1"}}"#)));
    }

    #[test]
    fn links_are_found_wherever_they_are() {
        let graph = Delta::new(NextUrl::body("next"), NextUrl::body("delta"));
        let both = together(&Position::Url("a".into()), Position::Url("b".into())).unwrap();
        let changed = graph.with_links(both, &mut |url| Ok(format!("/{url}"))).unwrap();
        assert_eq!(changed.to_string(), r#"{"kept":{"url":"/a"},"page":{"url":"/b"}}"#);
    }
}
