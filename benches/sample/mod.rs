//! The pages that both benchmarks pull: the same on every machine and in every run.

// Each benchmark uses a part of it.
#![allow(dead_code, reason = "each bench uses its part")]

use std::io::Write;

/// How a page and its records look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) records_per_page: u64,
    render: fn(&mut Vec<u8>, u64),
}

/// 100 records of about 1.2 KB: an issue as an issue tracker lists it.
pub(crate) const ISSUES: Shape = Shape { name: "issues", records_per_page: 100, render: issue };

/// The same, but one record of the page speaks of `__init__`, as an issue may well do: it could be a field
/// called `__source` until somebody looks closer.
pub(crate) const UNDERSCORES: Shape =
    Shape { name: "underscores", records_per_page: 100, render: underscores };

/// 1,000 records of about 110 bytes: a row of events.
pub(crate) const EVENTS: Shape = Shape { name: "events", records_per_page: 1000, render: event };

/// 100 of those a page, as many APIs give.
pub(crate) const FEW: Shape = Shape { name: "few", records_per_page: 100, render: event };

/// 300 records of about 370 bytes, hardly two of them alike: chat messages, with texts of any length, fields that may be
/// missing, lists of any length.
pub(crate) const MESSAGES: Shape = Shape { name: "messages", records_per_page: 300, render: message };

/// A page of 62 MiB, just below the most that a page may have by default.
pub(crate) const LARGE: Shape = Shape { name: "large", records_per_page: 57_000, render: issue };

/// All of them.
pub(crate) const ALL: [Shape; 6] = [ISSUES, UNDERSCORES, EVENTS, FEW, MESSAGES, LARGE];

impl Shape {
    /// The page of this number, from 1, of so many: `{"data":[…],"page":1,"has_more":true}`.
    pub(crate) fn page(&self, number: u64, pages: u64) -> Vec<u8> {
        let mut page = Vec::from(br#"{"data":["#);
        let first = (number - 1) * self.records_per_page + 1;
        for id in first..first + self.records_per_page {
            if id > first {
                page.push(b',');
            }
            (self.render)(&mut page, id);
        }
        let more = number < pages;
        write!(page, r#"],"page":{number},"has_more":{more}}}"#).expect("a Vec takes all");
        page
    }
}

const WORDS: &str = "The pool keeps a connection after the server has closed it, so the first request after \
                     a quiet minute fails with \\\"connection reset\\\".\\r\\n\\r\\nSteps: start the client, \
                     wait for 61 s, send again. Expected: a new connection. Größe: 3 µs.\\r\\n\\r\\nIt does not \
                     happen with the pool switched off, nor with a server that sends \\\"Connection: close\\\"; a \
                     trace is attached.\\r\\n";

fn issue(out: &mut Vec<u8>, id: u64) {
    about(out, id, "");
}

fn underscores(out: &mut Vec<u8>, id: u64) {
    about(out, id, if id % 100 == 50 { "in `__init__`: " } else { "" });
}

fn about(out: &mut Vec<u8>, id: u64, what: &str) {
    let (user, minute, second, votes) = (id * 7919 % 99_991, id / 60 % 60, id % 60, id * 31 % 97);
    write!(
        out,
        r#"{{"id":{id},"node_id":"I_kwDOAAAA{id:08}","url":"https://api.example.com/repos/acme/river/issues/{id}","html_url":"https://example.com/acme/river/issues/{id}","number":{id},"title":"Stale connection {id} is used again","user":{{"login":"user{user}","id":{user},"avatar_url":"https://avatars.example.com/u/{user}?v=4","type":"User","site_admin":false}},"labels":[{{"id":{},"name":"bug","color":"d73a4a","default":true}},{{"id":{},"name":"area: pool","color":"0e8a16","default":false}}],"state":"open","locked":false,"assignee":null,"milestone":null,"comments":{votes},"created_at":"2026-01-17T10:{minute:02}:{second:02}Z","updated_at":"2026-05-17T11:{minute:02}:{second:02}Z","closed_at":null,"author_association":"NONE","reactions":{{"total_count":{votes},"+1":{votes},"-1":0,"heart":0}},"score":{}.5,"body":"{what}{WORDS}"}}"#,
        id % 11,
        id % 13,
        id % 17,
    )
    .expect("a Vec takes all");
}

fn event(out: &mut Vec<u8>, id: u64) {
    let (user, second, cents) = (id * 7919 % 99_991, id % 60, id * 31 % 97);
    write!(
        out,
        r#"{{"id":{},"type":"charge","user":"u{user:05}","amount":{}.{cents:02},"at":"2026-05-17T10:00:{second:02}Z","ok":true,"tag":null}}"#,
        1_000_000 + id,
        10 + id % 90,
    )
    .expect("a Vec takes all");
}

fn message(out: &mut Vec<u8>, id: u64) {
    // One number after another that looks like chance, and is the same each time.
    let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut upto = move |most: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 20) % most
    };
    let words: Vec<&str> = WORDS.split(' ').collect();
    let [name, title, body] = [3, 6, 50].map(|most| {
        let length = upto(most) as usize + 1;
        let start = upto((words.len() - length) as u64) as usize;
        words[start..start + length].join(" ")
    });
    let mut add = |part: std::fmt::Arguments<'_>| out.write_fmt(part).expect("a Vec takes all");
    add(format_args!(r#"{{"id":{id},"author":"#));
    match upto(5) {
        0 => add(format_args!("null")),
        _ => add(format_args!(r#"{{"name":"{name}","bot":{}}}"#, upto(2) == 0)),
    }
    add(format_args!(r#","text":"{body}""#));
    if upto(3) > 0 {
        add(format_args!(r#","title":"{title}""#));
    }
    if upto(4) == 0 {
        add(format_args!(r#","edited_at":{}.{}"#, 1_768_600_000 + upto(9_000_000), upto(1_000_000)));
    }
    add(format_args!(r#","tags":["#));
    for tag in 0..upto(4) {
        add(format_args!(
            r#"{}{{"id":{},"name":"tag-{}"}}"#,
            if tag > 0 { "," } else { "" },
            upto(50),
            upto(1_000)
        ));
    }
    let most = upto(2_000) + 1;
    add(format_args!(r#"],"replies":{},"pinned":{}}}"#, upto(most), upto(9) == 0));
}
