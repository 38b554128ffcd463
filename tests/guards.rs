//! Servers that misbehave: each is either read to its real end, every record once, or ends with an error that says so.
//! None goes on for ever, and none is taken for finished when it is not.

use std::collections::BTreeSet;

use futures::StreamExt;
use headwater::error::ErrorKind;
use headwater::page::Select;
use headwater::paginate::{Cursor, End, LinkHeader, NextUrl, Offset, PageNumber, Paginate};
use headwater::request::Target;
use headwater::testing::{Reply, Scripted};
use headwater::{Pages, RecordsExt, Request};
use serde_json::{Value, json};

const ITEMS: &str = "https://api.example.com/items";

/// What came out of a stream: the numbers of the records, and how it ended.
struct Came {
    numbers: Vec<u64>,
    ended: Result<(), ErrorKind>,
    requests: usize,
}

/// Pulls a list to its end; no server here needs more than a few hundred requests.
async fn pull(api: Scripted, paginator: impl Paginate) -> Came {
    pull_from(api, Request::post(ITEMS).unwrap(), paginator).await
}

async fn pull_from(api: Scripted, first: Request, paginator: impl Paginate) -> Came {
    let mut records = Pages::new(api.clone(), first, paginator).records("data").take(10_000);
    let (mut numbers, mut ended) = (Vec::new(), Ok(()));
    while let Some(record) = records.next().await {
        match record {
            Ok(record) => numbers.push(record.as_str().parse().unwrap()),
            Err(error) => ended = Err(error.kind()),
        }
    }
    let requests = api.requests().len();
    assert!(requests < 1000, "it goes on for ever");
    let once: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(once.len(), numbers.len(), "a record came twice: {numbers:?}");
    Came { numbers, ended, requests }
}

fn parameter(request: &Request, name: &str) -> Option<u64> {
    let found = request.url().query_pairs().find(|(other, _)| other == name);
    found.and_then(|(_, value)| value.parse().ok())
}

/// The page behind page `at`, where the last of a tail of three leads into a ring.
fn behind(at: u64, ring: u64) -> u64 {
    const TAIL: u64 = 3;
    if at + 1 < TAIL + ring { at + 1 } else { TAIL }
}

#[tokio::test]
async fn a_ring_of_any_length_is_an_error_before_a_record_comes_twice() {
    for ring in 1..=10 {
        let page = move |at: u64, next: Value| {
            Reply::json(json!({"data": [at], "next": next, "more": true}).to_string())
        };
        let by_query = move |next: fn(u64) -> Value| {
            Scripted::from_fn(move |request, _| {
                let at = parameter(request, "cursor").unwrap_or(0);
                page(at, next(behind(at, ring)))
            })
        };
        let by_body = Scripted::from_fn(move |request, _| {
            let after = request.body().map_or(0, |body| body["after"]["n"].as_u64().unwrap());
            page(after, json!({"n": behind(after, ring)}))
        });
        let by_both = Scripted::from_fn(move |request, _| {
            let at = parameter(request, "a").unwrap_or(0);
            assert_eq!(parameter(request, "b").unwrap_or(0), at);
            let next = behind(at, ring).to_string();
            page(at, json!(next)).header("x-b", &next)
        });
        let by_link = Scripted::from_fn(move |request, _| {
            let at = parameter(request, "cursor").unwrap_or(0);
            let link = format!("<?cursor={}>; rel=next", behind(at, ring));
            page(at, Value::Null).header("link", &link)
        });
        let by_request = Scripted::from_fn(move |request, _| {
            let at = request.body().map_or(0, |body| body["n"].as_u64().unwrap());
            let next = json!({"href": ITEMS, "method": "POST", "body": {"n": behind(at, ring)}});
            page(at, next)
        });
        let several = Cursor::body("next").into_query("a").and(Cursor::header("x-b").into_query("b"));
        for came in [
            pull(by_query(|next| json!(next.to_string())), Cursor::body("next").until_false("more")).await,
            pull(by_query(|next| json!(format!("?cursor={next}"))), NextUrl::body("next")).await,
            pull(by_body, Cursor::body("next").into_body("after")).await,
            pull(by_both, several).await,
            pull(by_link, LinkHeader::new()).await,
            pull(by_request, NextUrl::request("next")).await,
        ] {
            assert_eq!(came.ended, Err(ErrorKind::Cycle), "ring {ring}");
            assert_eq!(came.requests as u64, 3 + ring, "ring {ring}");
        }
    }
}

#[tokio::test]
async fn identical_pages_are_an_error_unless_they_are_allowed() {
    let ignores = || {
        Scripted::from_fn(|_, nth| {
            let body = json!({"data": [1, 2], "next": nth.to_string(), "time": nth, "more": nth < 5});
            Reply::json(body.to_string())
        })
    };
    for came in [
        pull(ignores(), PageNumber::new().until_false("more")).await,
        pull(ignores(), Offset::new(2).until_false("more")).await,
        pull(ignores(), Cursor::body("next")).await,
        pull(ignores(), Cursor::body("next").into_body("a.b").until_false("more")).await,
    ] {
        assert_eq!((came.numbers.len(), came.ended, came.requests), (2, Err(ErrorKind::Cycle), 2));
    }
    let pages = Pages::new(ignores(), Request::get(ITEMS).unwrap(), PageNumber::new().until_false("more"));
    let all: Vec<_> = pages.allow_identical_pages().records("data").collect().await;
    assert!(all.len() == 10 && all.iter().all(Result::is_ok));
    // Positions are watched all the same.
    let circle = Scripted::from_fn(|_, _| Reply::json(r#"{"data":[1],"next":"a"}"#));
    let pages = Pages::new(circle, Request::get(ITEMS).unwrap(), Cursor::body("next"));
    let all: Vec<_> = pages.allow_identical_pages().records("data").collect().await;
    assert_eq!(all.last().unwrap().as_ref().unwrap_err().kind(), ErrorKind::Cycle);
}

/// Rows from an offset on, of a list of `total`, at most `most` at a time.
fn rows(total: u64, offset: u64, most: u64) -> Vec<u64> {
    (offset..total.min(offset + most)).collect()
}

#[tokio::test]
async fn a_size_that_is_clamped_loses_no_row() {
    for most in [1, 7, 99, 100] {
        let clamps = || {
            Scripted::from_fn(move |request, _| {
                let offset = parameter(request, "offset").unwrap_or(0);
                let size = parameter(request, "limit").unwrap_or(100).min(most);
                let data = rows(250, offset, size);
                Reply::json(json!({"data": data, "total": 250, "more": offset + size < 250}).to_string())
            })
        };
        for came in [
            pull(clamps(), Offset::new(100)).await,
            pull(clamps(), Offset::new(100).until_total("total")).await,
            pull(clamps(), Offset::new(100).until_false("more")).await,
        ] {
            assert_eq!((came.numbers.len(), came.ended), (250, Ok(())), "clamped to {most}");
        }
    }
}

#[tokio::test]
async fn a_total_that_changes_between_pages_is_believed_as_it_is() {
    fn list(total: impl Fn(u64) -> u64 + Send + Sync + 'static, there: u64) -> Scripted {
        Scripted::from_fn(move |request, nth| {
            let offset = parameter(request, "offset").unwrap_or(0);
            Reply::json(json!({"data": rows(there, offset, 10), "total": total(nth)}).to_string())
        })
    }
    let until = || Offset::new(10).until_total("total");
    // Rows come in behind while it is read: they are pulled, too.
    let grows = pull(list(|nth| if nth < 3 { 30 } else { 45 }, 45), until()).await;
    assert_eq!((grows.numbers.len(), grows.ended), (45, Ok(())));
    // Rows go: what is there is pulled, and no more is waited for.
    let shrinks = pull(list(|nth| if nth < 3 { 60 } else { 25 }, 25), until()).await;
    assert_eq!((shrinks.numbers.len(), shrinks.ended), (25, Ok(())));
    // It is less than what comes with it: whatever it counts, it is not the end.
    for total in [0, 5, 25] {
        let total = move |nth| if nth < 3 { 60 } else { total };
        let below = pull(list(total, 60), until()).await;
        assert_eq!((below.numbers.len(), below.ended), (20, Err(ErrorKind::Truncated)));
    }
    // Nothing at all, behind what has come: that the list has been emptied just now is less likely than that the server has
    // failed to look.
    let failed = Scripted::from_fn(|request, nth| {
        let there = if nth == 3 { 0 } else { 35 };
        let data = rows(there, parameter(request, "offset").unwrap_or(0), 10);
        Reply::json(json!({ "data": data, "total": there }).to_string())
    });
    let nothing = pull(failed.clone(), until()).await;
    assert_eq!((nothing.numbers.len(), nothing.ended), (20, Err(ErrorKind::Truncated)));
    let none_of_none = pull(list(|_| 0, 0), until()).await;
    assert_eq!((none_of_none.numbers.len(), none_of_none.ended), (0, Ok(())));
    let pages = Scripted::from_fn(|request, _| {
        let number = parameter(request, "page").unwrap();
        Reply::json(json!({"data": rows(60, 10 * (number - 1), 10), "pages": 3 - number}).to_string())
    });
    let below = pull(pages, PageNumber::new().until_page_count("pages")).await;
    assert_eq!((below.numbers.len(), below.ended), (10, Err(ErrorKind::Truncated)));
    // A cursor's list may have become shorter than what has come of it.
    let shorter = Scripted::new([
        Reply::json(r#"{"data":[1,2,3],"next":"a","total":4}"#),
        Reply::json(r#"{"data":[4],"next":"b","total":1}"#),
    ]);
    let shorter = pull(shorter, Cursor::body("next").until(End::total("total"))).await;
    assert_eq!((shorter.numbers.len(), shorter.ended), (4, Ok(())));
    // It promises more than there is.
    let lies = pull(list(|_| 60, 25), until()).await;
    assert_eq!((lies.numbers.len(), lies.ended), (25, Err(ErrorKind::Truncated)));
    // It runs ahead for ever.
    let ahead = pull(list(|nth| 10 * nth + 10, 45), until()).await;
    assert_eq!((ahead.numbers.len(), ahead.ended), (45, Err(ErrorKind::Truncated)));
    // The same counts for pages, and for a cursor that stops early.
    let pages = Scripted::from_fn(|request, _| {
        let number = parameter(request, "page").unwrap();
        Reply::json(json!({"data": rows(25, 10 * (number - 1), 10), "pages": 6, "total": 60}).to_string())
    });
    let lies = pull(pages.clone(), PageNumber::new().until_page_count("pages")).await;
    assert_eq!((lies.numbers.len(), lies.ended), (25, Err(ErrorKind::Truncated)));
    let lies = pull(pages, PageNumber::new().until(End::total("total"))).await;
    assert_eq!(lies.ended, Err(ErrorKind::Truncated));
    let stops = Scripted::new([
        Reply::json(r#"{"data":[1],"next":"a","total":3}"#),
        Reply::json(r#"{"data":[2],"next":null,"total":3}"#),
    ]);
    let stops = pull(stops, Cursor::body("next").until(End::total("total"))).await;
    assert_eq!((stops.numbers.len(), stops.ended), (1, Err(ErrorKind::Truncated)));
}

#[tokio::test]
async fn a_flag_that_never_falls_is_an_error() {
    let list = || {
        Scripted::from_fn(|request, _| {
            let offset = parameter(request, "offset").or(parameter(request, "cursor")).unwrap_or(0);
            let from = parameter(request, "page").map_or(offset, |number| 10 * (number - 1));
            let data = rows(25, from, 10);
            let last = data.last().map(|last| last + 1);
            Reply::json(json!({"data": data, "more": true, "done": "false", "next": last}).to_string())
        })
    };
    for came in [
        pull(list(), Offset::new(10).until_false("more")).await,
        pull(list(), PageNumber::new().until_true("done")).await,
        pull(list(), Cursor::body("next").until_false("more")).await,
    ] {
        assert_eq!((came.numbers.len(), came.ended), (25, Err(ErrorKind::Truncated)));
    }
    let keyed = Scripted::from_fn(|request, _| {
        let from = parameter(request, "after").map_or(0, |last| last + 1);
        Reply::json(json!({"data": rows(25, from, 10), "more": true}).to_string())
    });
    let came = pull(keyed, Cursor::last_record("").into_query("after").until_false("more")).await;
    assert_eq!((came.numbers.len(), came.ended), (25, Err(ErrorKind::Truncated)));
    // json-server: past the end comes the last page again.
    let again = Scripted::from_fn(|request, _| {
        let number = parameter(request, "page").unwrap().min(3);
        Reply::json(json!({"data": rows(25, 10 * (number - 1), 10), "more": true}).to_string())
    });
    let came = pull(again, PageNumber::new().until_false("more")).await;
    assert_eq!((came.numbers.len(), came.ended), (25, Err(ErrorKind::Cycle)));
}

#[tokio::test]
async fn no_position_though_there_is_more_is_never_the_end() {
    let second = |last: &str| {
        let first = r#"{"data":[1],"next":"a","links":[{"rel":"next","href":"?a"}],"more":true}"#;
        Scripted::new([Reply::json(first), Reply::json(last.to_owned())])
    };
    for empty in ["null", "\"\"", "false"] {
        let body = format!(r#"{{"data":[2],"next":{empty},"more":true}}"#);
        for came in [
            pull(second(&body), Cursor::body("next").until_false("more")).await,
            pull(second(&body), Cursor::body("next").missing_ends().into_body("x").until_false("more")).await,
            pull(second(&body), NextUrl::body("next").until(End::when_false("more"))).await,
        ] {
            assert_eq!((came.numbers, came.ended), (vec![1], Err(ErrorKind::Truncated)), "{body}");
        }
    }
    let gone = r#"{"data":[2],"links":[],"more":true}"#;
    let came = pull(second(gone), NextUrl::links("links").until(End::when_false("more"))).await;
    assert_eq!((came.numbers, came.ended), (vec![1], Err(ErrorKind::Truncated)));
    let came = pull(second(gone), Cursor::body("next").missing_ends().until_false("more")).await;
    assert_eq!((came.numbers, came.ended), (vec![1], Err(ErrorKind::Cursor)));
    // And with neither a flag nor a token, what is promised is missing.
    let came = pull(second(r#"{"data":[2]}"#), Cursor::body("next")).await;
    assert_eq!((came.numbers, came.ended), (vec![1], Err(ErrorKind::Cursor)));
}

#[tokio::test]
async fn more_pages_than_are_handed_out_are_an_error_behind_the_last() {
    let list = |total: u64| {
        Scripted::from_fn(move |request, _| {
            let number = parameter(request, "page").unwrap();
            assert!(number <= 3, "the API answers 400 then");
            let data = rows(total, 10 * (number - 1), 10);
            Reply::json(json!({"data": data, "pages": total.div_ceil(10)}).to_string())
        })
    };
    let counted = || PageNumber::new().most_pages(3).until_page_count("pages");
    let came = pull(list(30), counted()).await;
    assert_eq!((came.numbers.len(), came.ended), (30, Ok(())));
    let came = pull(list(31), counted()).await;
    assert_eq!((came.numbers.len(), came.ended), (30, Err(ErrorKind::Truncated)));
}

#[tokio::test]
async fn a_token_that_no_header_can_have_is_an_error() {
    let api = Scripted::from_fn(|_, _| Reply::json(r#"{"data":[1],"next":"a\r\nX-Evil: 1"}"#));
    let came = pull(api, Cursor::body("next").into_target(Target::header("X-After"))).await;
    assert_eq!((came.numbers, came.ended, came.requests), (vec![1], Err(ErrorKind::Cursor), 1));
}

#[tokio::test(start_paused = true)]
async fn empty_pages_that_always_lead_to_another_come_to_an_end() {
    let endless =
        || Scripted::from_fn(|_, number| Reply::json(format!(r#"{{"data":[],"next":"t{number}"}}"#)));
    let pages = |api: &Scripted| Pages::new(api.clone(), Request::get(ITEMS).unwrap(), Cursor::body("next"));
    for (most, requests) in [(None, 10_001), (Some(3), 4)] {
        let api = endless();
        let pages = match most {
            None => pages(&api),
            Some(most) => pages(&api).allow_empty_pages(most),
        };
        let ended: Vec<_> = pages.records("data").collect().await;
        assert_eq!(ended.len(), 1);
        assert_eq!(ended[0].as_ref().unwrap_err().kind(), ErrorKind::Cycle);
        assert_eq!(api.requests().len(), requests);
    }
    // Also where a token may come again: a scroll that is over.
    let scroll = Scripted::from_fn(|_, _| Reply::json(r#"{"data":[],"next":"same"}"#));
    let ended: Vec<_> = pages(&scroll).allow_repeats().records("data").take(20_000).collect().await;
    assert_eq!((ended.len(), scroll.requests().len()), (1, 10_001));
    assert_eq!(ended[0].as_ref().unwrap_err().kind(), ErrorKind::Cycle);
    // A page with a record between them starts the count anew, and the last page may be one more.
    let api = Scripted::from_fn(|_, number| {
        let (data, next) =
            (if number % 4 == 0 { "[1]" } else { "[]" }, if number < 12 { "\"t\"" } else { "null" });
        let next = next.replace('t', &format!("t{number}"));
        Reply::json(format!(r#"{{"data":{data},"next":{next},"n":{number}}}"#))
    });
    let records: Vec<_> =
        pages(&api).allow_identical_pages().allow_empty_pages(3).records("data").collect().await;
    assert!(records.iter().all(Result::is_ok), "{records:?}");
    assert_eq!(records.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_counter_that_cannot_grow_any_further_is_an_error() {
    for near in 0..3 {
        let start = u64::MAX - near;
        let api = || Scripted::from_fn(|_, number| Reply::json(format!(r#"{{"data":[{number}]}}"#)));
        for came in [
            pull(api(), Offset::new(1).start(start)).await,
            pull(api(), PageNumber::new().start(start)).await,
        ] {
            assert_eq!((came.numbers.len() as u64, came.ended), (near, Err(ErrorKind::Cursor)), "{start}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_left_out_do_not_end_a_list_that_goes_on_from_its_rows() {
    // Every seventh of 60 is one of ours; a page has three rows, and often none of ours.
    let row = |id: u64| json!({"id": id, "kind": if id.is_multiple_of(7) { "a" } else { "b" }});
    let api = |is_backwards: bool| {
        Scripted::from_fn(move |request, _| {
            let rows: Vec<Value> = match (parameter(request, "after"), is_backwards) {
                (after, false) => (after.map_or(0, |after| after + 1)..60).take(3).map(row).collect(),
                // Read from the end, each page in ascending order.
                (before, true) => {
                    let end = before.unwrap_or(60);
                    (end.saturating_sub(3)..end).map(row).collect()
                }
            };
            Reply::json(json!({"data": rows}).to_string())
        })
    };
    let pull = async |api: Scripted, select: Select, paginator: Cursor| {
        let request = Request::get(ITEMS).unwrap();
        let records = Pages::new(api, request, paginator.into_query("after")).records(select);
        let records: Vec<_> = records.take(1000).collect().await;
        let ended = records.last().and_then(|last| last.as_ref().err().map(headwater::Error::kind));
        let ids = records
            .iter()
            .flatten()
            .map(|record| serde_json::from_str::<Value>(record.as_str()).unwrap()["id"].as_u64().unwrap());
        (ids.collect::<BTreeSet<u64>>(), ended)
    };
    let ours = || Select::path("data").only("kind", "a");
    let expected = (0..60_u64).filter(|id| id.is_multiple_of(7)).collect::<BTreeSet<u64>>();
    for select in [ours(), ours().key_as("list")] {
        let came = pull(api(false), select.clone(), Cursor::last_record("id")).await;
        assert_eq!(came, (expected.clone(), None));
        let came = pull(api(true), select, Cursor::first_record("id")).await;
        assert_eq!(came, (expected.clone(), None));
    }
    // A page of nothing but `null` is not without rows, and there is nothing to go on from.
    let nulls =
        Scripted::new([Reply::json(r#"{"data":[{"id":1},null]}"#), Reply::json(r#"{"data":[null,null]}"#)]);
    let came = pull(nulls, Select::path("data").skip_null(), Cursor::last_record("id")).await;
    assert_eq!(came, (BTreeSet::from([1]), Some(ErrorKind::Cursor)));
}

/// Counted positions never come again; the pages do.
#[tokio::test(start_paused = true)]
async fn a_server_whose_pages_go_round_under_growing_numbers_comes_to_an_end() {
    for ring in 1..=10 {
        let api = || {
            Scripted::from_fn(move |_, number| {
                Reply::json(format!(r#"{{"data":[{}],"n":{number}}}"#, (number - 1) % ring))
            })
        };
        for came in [pull(api(), PageNumber::new()).await, pull(api(), Offset::new(1)).await] {
            assert_eq!(came.ended, Err(ErrorKind::Cycle), "a ring of {ring}");
            assert_eq!((came.numbers.len() as u64, came.requests as u64), (ring, ring + 1));
        }
    }
}

/// A list that counts its pages from 0, asked for from 1.
#[tokio::test(start_paused = true)]
async fn a_page_count_that_is_completed_by_an_empty_page_is_an_error() {
    let api = || {
        Scripted::from_fn(|request, _| {
            let page = parameter(request, "page").unwrap_or(0);
            let rows: Vec<u64> = (page * 2..(page * 2 + 2).min(6)).collect();
            Reply::json(json!({"data": rows, "pages": 3}).to_string())
        })
    };
    let wrong = pull(api(), PageNumber::new().until_page_count("pages")).await;
    assert_eq!(wrong.ended, Err(ErrorKind::Truncated));
    let right = pull(api(), PageNumber::new().start(0).until_page_count("pages")).await;
    assert_eq!((right.numbers.len(), right.ended), (6, Ok(())));
}
