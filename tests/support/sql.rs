//! What the tests of databases share: lists of a few pages, and checkpoints that fail to be stored.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use headwater::checkpoint::{Checkpoint, CheckpointStore, Lease};
use headwater::error::{Error, ErrorKind};
use headwater::exchange::{Verdict, When};
use headwater::prelude::*;
use headwater::testing::{Reply, Resource, Scripted};

/// The seed of what is done by chance: told by `HEADWATER_SEED`, or printed.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    seed
}

/// Everything that a query of an SQLite database gives, each row as text.
#[cfg(feature = "sqlite")]
pub(crate) fn rows(database: &std::path::Path, sql: &str) -> Vec<String> {
    use rusqlite::types::Value;

    let connection = rusqlite::Connection::open(database).unwrap();
    let mut query = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = query.column_count();
    let text = |row: &rusqlite::Row<'_>| {
        let value = |index| {
            row.get::<_, Value>(index).map(|value| match value {
                Value::Null => "NULL".into(),
                Value::Integer(number) => number.to_string(),
                Value::Real(number) => format!("{number:?}"),
                Value::Text(text) => text,
                Value::Blob(_) => "blob".into(),
            })
        };
        (0..columns).map(value).collect::<rusqlite::Result<Vec<_>>>().map(|values| values.join("|"))
    };
    query.query_map([], text).unwrap().collect::<rusqlite::Result<_>>().unwrap()
}

pub(crate) fn pages(bodies: &[&'static str]) -> Scripted {
    Scripted::new(bodies.iter().map(|body| Reply::json(*body)).collect::<Vec<_>>())
}

pub(crate) fn scripted(name: &str, api: Scripted) -> Source {
    let paging = Cursor::body("next").into_query("after").missing_ends();
    let source = Source::get(name, "https://api.example.com/items").records("data").paginate(paging);
    source.transport(api).build().unwrap()
}

/// Three pages of two records, and a rerun that begins at the page that is asked for.
pub(crate) fn three_pages() -> Scripted {
    Scripted::from_fn(|request, _| {
        let at = |page: &str| request.url().as_str().contains(&format!("after={page}"));
        Reply::json(match () {
            () if at("1") => r#"{"data":[{"id":3},{"id":4}],"next":"2"}"#,
            () if at("2") => r#"{"data":[{"id":5},{"id":6}]}"#,
            () => r#"{"data":[{"id":1},{"id":2}],"next":"1"}"#,
        })
    })
}

/// A source of two pages, whose position expires behind the first one, once: it begins anew.
pub(crate) fn expiring(name: &str, expires: bool, first: &'static str, second: &'static str) -> Source {
    let asked = AtomicU64::new(0);
    let api = Scripted::from_fn(move |request, _| match asked.fetch_add(1, Ordering::Relaxed) {
        1 if expires => Reply::status(410),
        _ if request.url().as_str().contains("after=") => Reply::json(format!("{{\"data\":[{second}]}}")),
        _ => Reply::json(format!("{{\"data\":[{first}],\"next\":\"1\"}}")),
    });
    Source::get(name, "https://api.example.com/items")
        .records("data")
        .paginate(Cursor::body("next").into_query("after").missing_ends())
        .rule(When::status(410).means(Verdict::Expired))
        .restart_on_expiry()
        .transport(api)
        .build()
        .unwrap()
}

/// The ids of a mock API's records, as a table sorts them.
pub(crate) fn expected(name: &str, records: u64) -> Vec<String> {
    let mut ids: Vec<String> = Resource::new(name, records).ids().collect();
    ids.sort();
    ids
}

/// A store that fails at one save, behind it or before it.
#[derive(Debug)]
pub(crate) struct Failing<S> {
    store: S,
    saves: AtomicU64,
    fails_at: u64,
    stores_it: bool,
}

impl<S> Failing<S> {
    pub(crate) fn new(store: S, fails_at: u64, stores_it: bool) -> Self {
        Self { store, saves: AtomicU64::new(0), fails_at, stores_it }
    }
}

impl<S: CheckpointStore> CheckpointStore for Failing<S> {
    fn lock(&self) -> BoxFuture<'_, Result<Lease>> {
        self.store.lock()
    }

    fn load<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Option<Checkpoint>>> {
        self.store.load(source)
    }

    fn save<'a>(&'a self, lease: &'a Lease, checkpoints: &'a [Checkpoint]) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let fails = self.saves.fetch_add(1, Ordering::Relaxed) + 1 == self.fails_at;
            if !fails || self.stores_it {
                self.store.save(lease, checkpoints).await?;
            }
            match fails {
                true => Err(Error::new(ErrorKind::Checkpoint, "told to fail")),
                false => Ok(()),
            }
        })
    }
}
