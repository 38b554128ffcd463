//! The URL of the next page, in the body.

use super::{Answer, Consistency, Paginate, foreign, missing};
use crate::error::{Error, ErrorKind, Result};
use crate::page::JsonPath;
use crate::request::{Position, Request};

/// Paging by a URL in the body: absolute, or relative to the page that it stands in.
///
/// The URL is the whole truth: none of the template's query is added to it. `null`, `""` and `false` are
/// the end; that it is missing altogether is an error unless declared.
///
/// ```
/// use headwater::paginate::NextUrl;
/// let django = NextUrl::body("next");
/// let odata = NextUrl::body("/@odata.nextLink").missing_ends();
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct NextUrl {
    path: String,
    missing_ends: bool,
}

impl NextUrl {
    /// Takes the URL at a path of the body.
    pub fn body(path: impl Into<String>) -> Self {
        Self { path: path.into(), missing_ends: false }
    }

    /// Declares that the API leaves the URL out on its last page.
    pub fn missing_ends(mut self) -> Self {
        self.missing_ends = true;
        self
    }
}

impl Paginate for NextUrl {
    fn reads(&self) -> Result<Vec<JsonPath>> {
        Ok(vec![JsonPath::parse(&self.path)?])
    }

    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        request_at(template, position)
    }

    fn next(&self, answer: &Answer<'_>) -> Result<Option<Position>> {
        let Some(value) = answer.value(0) else {
            if self.missing_ends {
                return Ok(None);
            }
            return Err(missing("the next URL", &self.path)
                .advice("if the API leaves it out on its last page, say so with `missing_ends()`"));
        };
        if value.is_null() || value.text() == "false" {
            return Ok(None);
        }
        if !value.text().starts_with('"') {
            let why = format!("the next URL \"{}\" is {}, not a string", self.path, value.kind());
            return Err(Error::new(ErrorKind::Cursor, why));
        }
        match value.as_token().as_deref() {
            // The URL standard drops blanks and control characters at the ends, and nothing else.
            Some(target) if target.trim_matches(|c| c <= ' ').is_empty() => Ok(None),
            Some(target) => resolve(answer, target).map(Some),
            None => {
                Err(Error::new(ErrorKind::Cursor, format!("the next URL \"{}\" cannot be read", self.path)))
            }
        }
    }

    fn consistency(&self) -> Consistency {
        Consistency::Stable
    }

    fn definition(&self) -> String {
        format!("next url {}{}", self.path, if self.missing_ends { " missing ends" } else { "" })
    }
}

/// The request for a page whose position is a URL.
pub(super) fn request_at(template: &Request, position: &Position) -> Result<Request> {
    match position {
        Position::Start => Ok(template.clone()),
        Position::Url(url) => {
            let url = template
                .url()
                .join(url)
                .map_err(|error| Error::config("the URL of the position cannot be read").because(error))?;
            Ok(template.clone().at_url(url))
        }
        other => Err(foreign(other, "next-link")),
    }
}

/// Resolves a link against the page that it stands in (RFC 3986 §5).
pub(super) fn resolve(answer: &Answer<'_>, target: &str) -> Result<Position> {
    let mut url = answer.url().join(target).map_err(|error| {
        Error::new(ErrorKind::Cursor, "the link to the next page is not a URL").because(error)
    })?;
    url.set_fragment(None);
    Ok(Position::Url(url.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paginate::testing::page;

    #[test]
    fn every_kind_of_reference_is_resolved() {
        let next = NextUrl::body("next");
        for (target, resolved) in [
            ("https://api.example.com/v2?x=1#f", "https://api.example.com/v2?x=1"),
            ("/v1/items?page=2", "https://api.example.com/v1/items?page=2"),
            ("?page=2", "https://api.example.com/v1/items?page=2"),
            ("more", "https://api.example.com/v1/more"),
            ("//other.example/x", "https://other.example/x"),
        ] {
            let position = page(Position::Start, format!(r#"{{"next":"{target}"}}"#)).to(&next).unwrap();
            assert_eq!(position, Some(Position::Url(resolved.into())), "{target}");
        }
    }

    #[test]
    fn the_end_is_null_or_empty_and_never_missing() {
        let next = NextUrl::body("next");
        assert_eq!(page(Position::Start, r#"{"next":null}"#).to(&next).unwrap(), None);
        assert_eq!(page(Position::Start, r#"{"next":""}"#).to(&next).unwrap(), None);
        assert!(page(Position::Start, "{}").to(&next).is_err());
        assert_eq!(page(Position::Start, "{}").to(&next.clone().missing_ends()).unwrap(), None);
        assert!(page(Position::Start, r#"{"next":7}"#).to(&next).is_err());
        assert!(page(Position::Start, r#"{"next":"https://["}"#).to(&next).is_err());
    }
}
