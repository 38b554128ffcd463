//! What the mock servers are made of: they read a request, refuse what the vendor refuses, hand out the records, and meet
//! their clients with a limit that is meant.

mod answer;
mod asked;
mod limit;
mod records;

use headwater::testing::Scripted;

pub(crate) use answer::{Served, answer, demand, encoded, ok, refuse, require};
pub(crate) use asked::Asked;
pub(crate) use limit::{Limit, Minute};
pub(crate) use records::{PLACES, bare, day, iso, made, number_in, page, place, seconds, seen, slice, token};

use super::row::RECORDS;

/// A server that answers each request by itself. What is in the query twice is refused, but for lists (`ids[]`): a client
/// that adds a parameter where it should replace it gets no further.
pub(crate) fn serve(answer: impl Fn(&Asked<'_>) -> Served + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request, nth| {
        let asked = Asked::of(request, nth);
        let served = match asked.twice() {
            Some(name) => Err(refuse(400, format!("the parameter {name} came twice"))),
            None => answer(&asked),
        };
        served.unwrap_or_else(|refusal| refusal)
    })
}
