//! Rows 42 to 45: the answers are fine, but where do they lead?

use headwater::prelude::*;

use super::pull::Pull;
use super::table::{Table, want};
use crate::fault_server::{Ask, Reply, Server};

pub(crate) async fn rows(table: &mut Table) {
    cycles(table).await;
    identical(table).await;
    uneven(table).await;
    clamped(table).await;
}

/// A page of one record and a cursor.
fn page(id: usize, next: Option<usize>) -> Reply {
    let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
    Reply::json(format!(r#"{{"data":[{{"id":{id}}}],"next":{next}}}"#))
}

fn number(ask: &Ask, name: &str) -> usize {
    ask.query(name).and_then(|value| value.parse().ok()).unwrap_or(0)
}

async fn cycles(table: &mut Table) {
    for length in 1..=5 {
        // The start, then cursors 1 to `length`, then 1 again; other records each time.
        let server = Server::start(move |ask| page(ask.nth, Some(number(ask, "cursor") % length + 1))).await;
        let pulled = Pull::get(server.url("/")).run().await;
        // The page that closes the circle is withheld.
        let plural = if length == 1 {
            "1 page, 1 record".to_owned()
        } else {
            format!("{length} pages, {length} records")
        };
        let want = want(format!("Cycle after {plural}"), length + 1).bytes(30 * (length as u64 + 1));
        table.line(
            42,
            &format!("cursors in a circle of {length}"),
            &server,
            &pulled,
            want.says(&["was there before"]),
        );
    }
}

async fn identical(table: &mut Table) {
    let same = |ask: &Ask| {
        let next = if ask.nth < 5 { format!("\"{}\"", ask.nth) } else { "null".to_owned() };
        Reply::json(format!(r#"{{"data":[{{"id":1}}],"next":{next}}}"#))
    };
    let server = Server::start(same).await;
    let pulled = Pull::get(server.url("/")).run().await;
    let want_cycle = want("Cycle after 1 page, 1 record", 2).bytes(60).says(&["the same, byte for byte"]);
    table.line(43, "the same page under a new cursor", &server, &pulled, want_cycle);
    let server = Server::start(same).await;
    let url = server.url("/");
    let pulled = Pull::with(move |http| {
        Pages::new(http, Request::get(url).expect("a URL"), Cursor::body("next")).allow_repeats()
    });
    let want = want("5 pages, 5 records", 5).bytes(4 * 30 + 31);
    table.line(43, "the same, with `allow_repeats()`: no fault", &server, &pulled.run().await, want);
}

async fn uneven(table: &mut Table) {
    let server = Server::start(|ask| match number(ask, "cursor") {
        0 => page(1, Some(1)),
        1 | 2 => Reply::json(format!(r#"{{"data":[],"next":"{}"}}"#, number(ask, "cursor") + 1)),
        _ => page(4, None),
    })
    .await;
    let pulled = Pull::get(server.url("/")).run().await;
    let want_pages = want("4 pages, 2 records", 4).bytes(30 + 2 * 22 + 31);
    table.line(44, "two empty pages with a cursor: no fault", &server, &pulled, want_pages);

    // Of three rows, one comes; the total grows while it is read.
    let server = Server::start(|ask| {
        let (offset, total) = (number(ask, "offset"), 6 + ask.nth.min(3));
        let end = if ask.nth == 2 { offset + 1 } else { (offset + 3).min(total) };
        let rows: Vec<String> = (offset..end).map(|id| format!("{{\"id\":{id}}}")).collect();
        Reply::json(format!(r#"{{"data":[{}],"total":{total}}}"#, rows.join(",")))
    })
    .await;
    let url = server.url("/");
    let pulled = Pull::with(move |http| {
        Pages::new(http, Request::get(url).expect("a URL"), Offset::new(3).until_total("total"))
    })
    .run()
    .await;
    let want_rows = want("4 pages, 9 records", 4).bytes_in(100..=200);
    table.line(44, "a short page, a total that grows: no fault", &server, &pulled, want_rows);
    let expected: Vec<String> = (0..9).map(|id| format!("{{\"id\":{id}}}")).collect();
    table.check(44, pulled.records == expected, &format!("the records are {:?}", pulled.records));

    let server = Server::start(|_| Reply::json(r#"{"data":[],"total":9}"#)).await;
    let url = server.url("/");
    let pulled = Pull::with(move |http| {
        Pages::new(http, Request::get(url).expect("a URL"), Offset::new(3).until_total("total"))
    })
    .run()
    .await;
    let want = want("Truncated", 2).bytes(42);
    table.line(44, "no rows, though the total says nine", &server, &pulled, want);
}

async fn clamped(table: &mut Table) {
    let server = Server::start(|ask| {
        let offset = number(ask, "offset");
        let rows: Vec<String> = (offset..(offset + 2).min(5)).map(|id| format!("{{\"id\":{id}}}")).collect();
        Reply::json(format!(r#"{{"data":[{}]}}"#, rows.join(",")))
    })
    .await;
    let url = server.url("/");
    let pulled =
        Pull::with(move |http| Pages::new(http, Request::get(url).expect("a URL"), Offset::new(100)))
            .run()
            .await;
    let want = want("4 pages, 5 records", 4).bytes(2 * 28 + 19 + 11);
    table.line(45, "two rows where 100 were asked for: no fault", &server, &pulled, want);
    let offsets: Vec<usize> = server.asks().iter().map(|ask| number(ask, "offset")).collect();
    table.check(45, offsets == [0, 2, 4, 5], &format!("offsets {offsets:?}"));
}
