//! The sinks and the stores of databases are held to what every sink and every store promises.
#![cfg(unix)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use headwater::checkpoint::{CheckpointStore, PostgresStore, SqliteStore};
use headwater::prelude::*;
use headwater::schema::Schemas;
use headwater::sink::{Postgres, Sink, Sqlite};
use headwater::testing::sink_suite::{self, Fidelity, Place};
use headwater::testing::store_suite;
use support::postgres::Postgres as Server;

const KEY: Option<&str> = Some("id");

struct InSqlite {
    dir: tempfile::TempDir,
    key: Option<&'static str>,
    is_typed: bool,
}

impl InSqlite {
    fn new(key: Option<&'static str>) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), key, is_typed: false }
    }

    fn typed(key: Option<&'static str>) -> Self {
        Self { is_typed: true, ..Self::new(key) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("data.db")
    }
}

impl Place for InSqlite {
    fn sink(&self) -> Box<dyn Sink> {
        let sink = Sqlite::open(self.path()).key(self.key);
        Box::new(if self.is_typed { sink.schemas(Schemas::inferred()) } else { sink })
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        let record = if self.is_typed { ids_of(&connection, source) } else { "record".into() };
        if record.is_empty() {
            return Box::pin(ready(Ok(Vec::new())));
        }
        let mut query =
            connection.prepare(&format!("SELECT {record} FROM \"{source}\" ORDER BY rowid")).unwrap();
        let rows = query.query_map([], |row| row.get(0)).unwrap();
        Box::pin(ready(Ok(rows.collect::<rusqlite::Result<_>>().unwrap())))
    }

    fn fidelity(&self) -> Fidelity {
        if self.is_typed { Fidelity::Columns } else { Fidelity::Text }
    }

    fn key(&self) -> Option<&'static str> {
        self.key
    }
}

/// What gives a record with the `id` that is in a column, or in the one for what does not fit it; nothing if there is no table.
fn ids_of(connection: &rusqlite::Connection, table: &str) -> String {
    let sql = "SELECT name FROM pragma_table_info(?1) WHERE name LIKE 'id%'";
    let mut names = connection.prepare(sql).unwrap();
    let names: rusqlite::Result<Vec<String>> = names.query_map([table], |row| row.get(0)).unwrap().collect();
    match &names.unwrap()[..] {
        [] if connection.prepare(&format!("SELECT __run FROM \"{table}\"")).is_err() => String::new(),
        [] => "'{}'".into(),
        names => format!("json_object('id', coalesce({}, NULL))", names.join(", ")),
    }
}

#[tokio::test]
async fn appended_rows_in_sqlite_hold_it() {
    sink_suite::run(&InSqlite::new(None)).await;
}

#[tokio::test]
async fn typed_rows_in_sqlite_hold_it() {
    sink_suite::run(&InSqlite::typed(None)).await;
    holds_all_but(&InSqlite::typed(KEY), &WITHOUT_AN_ID).await;
}

/// The suite has records without an `id`, which a table with a key refuses.
const WITHOUT_AN_ID: [&str; 1] = ["records_of_every_kind_are_kept"];

async fn holds_all_but(place: &dyn Place, few: &[&str]) {
    let broken = sink_suite::check(place).await;
    let others: Vec<_> = broken.iter().filter(|broken| !few.contains(&broken.behaviour)).collect();
    assert!(others.is_empty(), "{others:#?}");
}

#[tokio::test]
async fn rows_by_key_in_sqlite_hold_it() {
    holds_all_but(&InSqlite::new(KEY), &WITHOUT_AN_ID).await;
}

struct InPostgres<'a> {
    server: &'a Server,
    schema: &'a str,
    key: Option<&'static str>,
    as_json: bool,
    is_typed: bool,
}

impl InPostgres<'_> {
    /// What gives a record with the `id` that is in a column, or in the one for what does not fit it; nothing if there is no table.
    async fn ids_of(&self, table: &str) -> String {
        let sql = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = '{}' AND table_name = '{table}' \
             AND (column_name LIKE 'id%' OR column_name = '__run')",
            self.schema
        );
        let names = self.server.rows(&sql).await;
        let ids: Vec<String> =
            names.iter().filter(|name| *name != "__run").map(|name| format!("to_jsonb({name})")).collect();
        match &names[..] {
            [] => String::new(),
            _ if ids.is_empty() => "'{}'::jsonb".into(),
            _ => format!("jsonb_build_object('id', coalesce({}))", ids.join(", ")),
        }
    }
}

impl Place for InPostgres<'_> {
    fn sink(&self) -> Box<dyn Sink> {
        let sink = Postgres::connect(self.server.url(None)).schema(self.schema).key(self.key);
        let sink = if self.is_typed { sink.schemas(Schemas::inferred()) } else { sink };
        Box::new(if self.as_json { sink.as_json() } else { sink })
    }

    fn committed<'a>(&'a self, source: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        async move {
            let order = if self.key.is_some() { "" } else { "ORDER BY __run, __commit, ctid" };
            let record = if self.is_typed { self.ids_of(source).await } else { "record".into() };
            if record.is_empty() {
                return Ok(Vec::new());
            }
            let sql = format!("SELECT {record} FROM {}.\"{source}\" {order}", self.schema);
            Ok(self.server.rows(&sql).await)
        }
        .boxed()
    }

    fn fidelity(&self) -> Fidelity {
        match self.as_json {
            _ if self.is_typed => Fidelity::Columns,
            true => Fidelity::Text,
            false => Fidelity::Values,
        }
    }

    fn key(&self) -> Option<&'static str> {
        self.key
    }
}

#[tokio::test]
async fn appended_rows_in_postgres_hold_it() {
    let Some(server) = Server::start(false).await else { return };
    sink_suite::run(&InPostgres {
        server: &server,
        schema: "json",
        key: None,
        as_json: true,
        is_typed: false,
    })
    .await;
    // jsonb takes no \u0000: that is refused, as `tests/postgres.rs` sees.
    let place = InPostgres { server: &server, schema: "jsonb", key: None, as_json: false, is_typed: false };
    holds_all_but(&place, &["records_of_every_kind_are_kept"]).await;
}

#[tokio::test]
async fn rows_by_key_in_postgres_hold_it() {
    let Some(server) = Server::start(false).await else { return };
    let place = InPostgres { server: &server, schema: "keyed", key: KEY, as_json: true, is_typed: false };
    holds_all_but(&place, &WITHOUT_AN_ID).await;
}

#[tokio::test]
async fn typed_rows_in_postgres_hold_it() {
    let Some(server) = Server::start(false).await else { return };
    let place = InPostgres { server: &server, schema: "typed", key: None, as_json: false, is_typed: true };
    sink_suite::run(&place).await;
    let place = InPostgres { schema: "typed_keyed", key: KEY, ..place };
    holds_all_but(&place, &WITHOUT_AN_ID).await;
}

struct SqliteCheckpoints(tempfile::TempDir);

impl store_suite::Place for SqliteCheckpoints {
    fn store(&self) -> Arc<dyn CheckpointStore> {
        Arc::new(SqliteStore::open(self.0.path().join("checkpoints.db")))
    }

    fn spoil<'a>(&'a self, source: &'a str) -> Option<BoxFuture<'a, ()>> {
        let connection = rusqlite::Connection::open(self.0.path().join("checkpoints.db")).unwrap();
        let sql =
            "UPDATE headwater_checkpoints SET checkpoint = replace(checkpoint, '1', '2') WHERE source = ?1";
        connection.execute(sql, [source]).unwrap();
        Some(Box::pin(ready(())))
    }
}

#[tokio::test]
async fn the_store_in_sqlite_holds_it() {
    store_suite::run(&SqliteCheckpoints(tempfile::tempdir().unwrap())).await;
}

struct PostgresCheckpoints(Server);

impl store_suite::Place for PostgresCheckpoints {
    fn store(&self) -> Arc<dyn CheckpointStore> {
        Arc::new(PostgresStore::connect(self.0.url(None)))
    }

    fn spoil<'a>(&'a self, source: &'a str) -> Option<BoxFuture<'a, ()>> {
        let sql = format!(
            "UPDATE headwater_checkpoints SET checkpoint = replace(checkpoint::text, '1', '2')::json \
             WHERE source = '{source}'"
        );
        Some(async move { drop(self.0.rows(&sql).await) }.boxed())
    }
}

#[tokio::test]
async fn the_store_in_postgres_holds_it() {
    let Some(server) = Server::start(false).await else { return };
    store_suite::run(&PostgresCheckpoints(server)).await;
}
