//! What the mock servers are made of: they read a request, refuse what the vendor refuses, hand out the records, and meet
//! their clients with a limit that is meant.

mod answer;
mod asked;
mod limit;
mod records;

use headwater::testing::{Reply, Scripted};

pub(crate) use answer::{Served, answer, demand, encoded, ok, refuse, require};
pub(crate) use asked::Asked;
pub(crate) use limit::{Limit, Minute};
pub(crate) use records::{PLACES, bare, day, iso, made, number_in, page, place, seconds, seen, slice, token};

use super::row::RECORDS;

/// A server that answers each request by itself. What is in the query twice is refused, but for lists (`ids[]`): a client
/// that adds a parameter where it should replace it gets no further.
///
/// The second request, if it is a POST, is lost behind the gateway. One that only reads has to be declared repeatable.
pub(crate) fn serve(answer: impl Fn(&Asked<'_>) -> Served + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request, nth| {
        let lost = request.method() == "POST" && nth == 2;
        if lost {
            Reply::status(502).html("<h1>Bad Gateway</h1>")
        } else {
            served(&Asked::of(request, nth), &answer)
        }
    })
}

/// A server that keeps the place itself, so that nothing may be asked for twice: here, nothing is lost.
pub(crate) fn serve_once(answer: impl Fn(&Asked<'_>) -> Served + Send + Sync + 'static) -> Scripted {
    Scripted::from_fn(move |request, nth| served(&Asked::of(request, nth), &answer))
}

fn served(asked: &Asked<'_>, answer: impl Fn(&Asked<'_>) -> Served) -> Reply {
    let served = match asked.twice() {
        Some(name) => Err(refuse(400, format!("the parameter {name} came twice"))),
        None => answer(asked),
    };
    served.unwrap_or_else(|refusal| refusal)
}
