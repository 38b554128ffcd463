//! Names in the request that stand for something: each must have a value.

use super::slices::Parts;
use crate::error::{Error, Result};
use crate::paginate::Paginate;
use crate::request::Request;

impl Parts {
    /// Refuses a request that would be sent with the name where the value belongs. A name that nobody knows stays as it
    /// is: braces may mean anything.
    pub(super) fn check_names(
        &self,
        template: &Request,
        paginator: &dyn Paginate,
        is_incremental: bool,
    ) -> Result<()> {
        let incremental: &[&str] = if is_incremental { &[] } else { &["since", "until"] };
        let of_incremental = incremental.iter().map(|name| (*name, "say `.incremental(…)`"));
        let of_window = ["start", "end", "key"].into_iter().map(|name| (name, "say `.window(…)`"));
        let free = of_incremental
            .chain(of_window)
            .find(|(name, _)| template.asks_for(name) && !self.binds(name) && !paginator.binds(name));
        let Some((name, say)) = free else { return Ok(()) };
        let what = format!("{{{name}}} stands in the request, and nothing gives it a value");
        Err(Error::config(what)
            .advice(format!("{say}, bind it in a fan-out, or name it by `Target::placeholder(\"{name}\")`")))
    }
}
