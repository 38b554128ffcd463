//! One answer has it all.

use super::{Answer, Consistency, Paginate, foreign};
use crate::error::Result;
use crate::request::{Position, Request};

/// No paging: the template's one answer holds every record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Single;

impl Paginate for Single {
    fn request(&self, template: &Request, position: &Position) -> Result<Request> {
        match position {
            Position::Start => Ok(template.clone()),
            other => Err(foreign(other, "single-page")),
        }
    }

    fn next(&self, _: &Answer<'_>) -> Result<Option<Position>> {
        Ok(None)
    }

    fn binds(&self, _: &str) -> bool {
        false
    }

    fn consistency(&self) -> Consistency {
        Consistency::Stable
    }

    fn definition(&self) -> String {
        "single".into()
    }
}
