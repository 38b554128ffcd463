//! What offsets and page numbers have in common.

use crate::error::{Error, Result};
use crate::request::{Request, Target};

/// Says what is wrong with the places of the number and of the others, in requests of this template.
pub(super) fn check<'t>(
    template: &Request,
    number: &Target,
    start: u64,
    mut targets: impl Iterator<Item = &'t Target> + Clone,
) -> Result<()> {
    Target::check_distinct(targets.clone())?;
    begins_elsewhere(template, number, start)?;
    targets.try_for_each(|target| target.check_in(template))
}

/// Refuses a number in the URL that is not where paging begins: it would be replaced without a word.
fn begins_elsewhere(template: &Request, target: &Target, start: u64) -> Result<()> {
    let Some(name) = target.query_name() else { return Ok(()) };
    let given = template.url().query_pairs().find(|(other, _)| other == name);
    match given.and_then(|(_, value)| value.parse::<u64>().ok()) {
        Some(number) if number != start => {
            let what = format!("the URL says {name}={number}, and paging begins at {start}");
            Err(Error::config(what).advice(format!("say `.start({number})`, or leave it out of the URL")))
        }
        _ => Ok(()),
    }
}

pub(super) fn no_rows() -> Error {
    Error::config("pages of 0 rows are asked for").advice(
        "give a size; if the API takes 0 for \"all of it\", say so in its query, with `paginate(Single)`",
    )
}

/// A part of the fingerprint: the name of a query parameter, or where else.
pub(super) fn place(target: &Target) -> String {
    target.query_name().map_or_else(|| format!("{target:?}"), str::to_owned)
}
