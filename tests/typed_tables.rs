//! Tables with typed columns, in each of the databases: values, columns that are added, contracts, names, and what is in them behind
//! runs that are broken off anywhere.

mod support;

use std::path::PathBuf;

use futures::future::{BoxFuture, ready};
use headwater::checkpoint::FileStore;
use headwater::error::ErrorKind;
use headwater::pipeline::RunError;
use headwater::prelude::*;
use headwater::schema::{ColumnType, Contract, Schema, Schemas};
use headwater::sink::{Postgres, Sink, Sqlite};
use headwater::testing::{MockApi, Paging, Reply, Resource, Scripted};
use support::dropped;
#[cfg(unix)]
use support::postgres::Postgres as Server;
use support::sql::{Failing, expected, expiring};

/// A database, with a sink for it that commits each page.
trait Database: Sync {
    fn sink(&self, table: &str, key: Option<&str>, schemas: Schemas) -> Box<dyn Sink>;

    /// The rows of a query, each as the text of its values.
    fn rows<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Vec<String>>;

    /// The names of a table's columns, with their types, in their order.
    fn columns<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Vec<String>>;

    /// How the types are called: of a boolean, a whole number, a double, a decimal, a text, a point in time, a date, JSON.
    fn types(&self) -> [&'static str; 8];
}

struct InSqlite(tempfile::TempDir);

impl InSqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data.db")
    }
}

impl Database for InSqlite {
    fn sink(&self, table: &str, key: Option<&str>, schemas: Schemas) -> Box<dyn Sink> {
        Box::new(Sqlite::open(self.path()).table(table).key(key).schemas(schemas).buffer(1))
    }

    fn rows<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Vec<String>> {
        Box::pin(ready(support::sql::rows(&self.path(), sql)))
    }

    fn columns<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Vec<String>> {
        let table = table.replace('\'', "''");
        Box::pin(async move {
            self.rows(&format!("SELECT name || ' ' || type FROM pragma_table_info('{table}')")).await
        })
    }

    fn types(&self) -> [&'static str; 8] {
        ["BOOLEAN", "INTEGER", "REAL", "TEXT", "TEXT", "TEXT", "TEXT", "TEXT"]
    }
}

#[cfg(unix)]
impl Database for Server {
    fn sink(&self, table: &str, key: Option<&str>, schemas: Schemas) -> Box<dyn Sink> {
        Box::new(Postgres::connect(self.url(None)).table(table).key(key).schemas(schemas).buffer(1))
    }

    fn rows<'a>(&'a self, sql: &'a str) -> BoxFuture<'a, Vec<String>> {
        Box::pin(Server::rows(self, sql))
    }

    fn columns<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Vec<String>> {
        let sql = format!(
            "SELECT attname || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute \
             WHERE attrelid = to_regclass(quote_ident('{}')) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            table.replace('\'', "''")
        );
        Box::pin(async move { Server::rows(self, &sql).await })
    }

    fn types(&self) -> [&'static str; 8] {
        let (time, decimal) = ("timestamp with time zone", "numeric(38,10)");
        ["boolean", "bigint", "double precision", decimal, "text", time, "date", "jsonb"]
    }
}

fn pages(bodies: &[String]) -> Scripted {
    let bodies = bodies.to_vec();
    Scripted::from_fn(move |request, _| {
        let url = request.url();
        let after = url.as_str().split("after=").nth(1).and_then(|after| after.parse::<usize>().ok());
        let at = after.unwrap_or(0);
        let next = if at + 1 < bodies.len() { format!(",\"next\":\"{}\"", at + 1) } else { String::new() };
        Reply::json(format!("{{\"data\":[{}]{next}}}", bodies[at]))
    })
}

fn source(name: &str, bodies: &[&str]) -> Source {
    let bodies: Vec<String> = bodies.iter().map(|body| (*body).to_owned()).collect();
    let paging = Cursor::body("next").into_query("after").missing_ends();
    let source = Source::get(name, "https://api.example.com/items").records("data").paginate(paging);
    source.transport(pages(&bodies)).build().unwrap()
}

async fn run(
    database: &dyn Database,
    name: &str,
    schemas: Schemas,
    bodies: &[&str],
) -> std::result::Result<headwater::Report, RunError> {
    let sink = database.sink("{source}", None, schemas);
    Pipeline::new().source(source(name, bodies)).sink(sink).run().await
}

/// The columns that fields have.
async fn fields(database: &dyn Database, table: &str) -> Vec<String> {
    let mut columns = database.columns(table).await;
    columns.retain(|column| !column.starts_with("__"));
    columns
}

async fn values_keep_their_digits_or_are_rejected(database: &dyn Database) {
    let schema = Schema::builder()
        .required("id", ColumnType::Int64)
        .column("b", ColumnType::Bool)
        .column("i", ColumnType::Int64)
        .column("f", ColumnType::Float64)
        .column("d", ColumnType::Decimal { precision: 38, scale: 10 })
        .column("t", ColumnType::Text)
        .column("at", ColumnType::Timestamp)
        .column("day", ColumnType::Date)
        .column("j", ColumnType::Json)
        .build()
        .unwrap();
    let fit = [
        r#"{"id":1,"b":true,"i":9223372036854775807,"f":1.7976931348623157e308,"d":9999999999999999999999999999.9999999999}"#,
        r#"{"id":2,"b":false,"i":-9223372036854775808,"f":5e-324,"d":"-0.0000000001","t":"é\n|\"'\\😀"}"#,
        r#"{"id":3,"at":"0001-01-01T00:00:00Z","day":"0001-01-01","i":9007199254740993}"#,
        r#"{"id":4,"at":"9999-12-31T23:59:59.999999Z","day":"9999-12-31","f":-0.1}"#,
        r#"{"id":5,"at":"2026-05-17T12:00:00+02:00","j":{"a":[1.5,"x"]},"d":10000}"#,
        r#"{"id":6,"t":"","j":"text","d":1e-10}"#,
    ];
    let unfit = [
        r#"{"id":7,"i":9223372036854775808}"#,
        r#"{"id":7,"f":9007199254740993}"#,
        r#"{"id":7,"f":1e400}"#,
        r#"{"id":7,"f":"Infinity"}"#,
        r#"{"id":7,"f":"NaN"}"#,
        r#"{"id":7,"at":"infinity"}"#,
        r#"{"id":7,"day":"-infinity"}"#,
        r#"{"id":7,"day":"epoch"}"#,
        r#"{"id":7,"d":0.00000000001}"#,
        r#"{"id":7,"d":10000000000000000000000000000}"#,
        r#"{"id":7,"t":"\ud800"}"#,
        r#"{"id":7,"b":"true"}"#,
        r#"{"b":true}"#,
        "7",
    ];
    let schemas = Schemas::inferred().declare("values", schema).contract(Contract::Reject);
    let body = [&fit[..], &unfit[..]].concat().join(",");
    let report = run(database, "values", schemas, &[&body]).await.unwrap();
    let of = report.source("values").unwrap();
    assert_eq!((of.written, of.rejected), (6, 14), "{report}");
    let [b, i, f, d, t, at, day, j] = database.types();
    let names = ["b", "i", "f", "d", "t", "at", "day", "j"].iter().zip([b, i, f, d, t, at, day, j]);
    let expected: Vec<String> = names.map(|(name, kind)| format!("{name} {kind}")).collect();
    assert_eq!(fields(database, "values").await[1..], expected);
    let text = |name: &str| format!("SELECT {name} FROM \"values\" WHERE {name} IS NOT NULL ORDER BY id");
    let all = async |name: &str| database.rows(&text(name)).await;
    assert_eq!(all("i").await, ["9223372036854775807", "-9223372036854775808", "9007199254740993"]);
    let floats: Vec<f64> = all("f").await.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(floats, [f64::MAX, 5e-324, -0.1]);
    let decimals: Vec<String> = all("d").await.iter().map(|text| plain(text)).collect();
    let expected = ["9999999999999999999999999999.9999999999", "-0.0000000001", "10000", "0.0000000001"];
    assert_eq!(decimals, expected);
    assert_eq!(all("t").await, ["é\n|\"'\\😀", ""]);
    assert_eq!(all("day").await, ["0001-01-01", "9999-12-31"]);
    let times: Vec<String> =
        all("at").await.iter().map(|text| text.replace(' ', "T").replace("+00", "Z")).collect();
    assert_eq!(times, ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-05-17T10:00:00Z"]);
    let nested: Vec<String> = all("j").await.iter().map(|text| text.replace(' ', "")).collect();
    assert_eq!(nested, [r#"{"a":[1.5,"x"]}"#, "\"text\""]);
    let rejected = database.rows("SELECT record FROM headwater_rejected WHERE __source = 'values'").await;
    assert_eq!(rejected, unfit, "byte for byte");
    let told = database
        .rows("SELECT reason, \"column\", position, page, \"table\", __run FROM headwater_rejected WHERE record LIKE '%1e400%'")
        .await;
    assert_eq!(told, ["a double does not hold all its digits|f|start|1|values|1"]);
}

/// A decimal without the zeros at its end.
fn plain(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

/// Pages of which each asks for something new of the table; with a record that is rejected in each.
const GROWING: [&str; 4] = [
    r#"{"id":1,"v":1},{"id":2}"#,
    r#"{"id":3,"v":2.5,"new":"a"},{"id":"x"}"#,
    r#"{"id":4,"v":3,"new":{"b":1}},{"v":1},{"id":5,"later":"2026-05-17"}"#,
    r#"{"id":6,"v":"text"}"#,
];

fn growing() -> Schemas {
    let ids = Schema::builder().required("id", ColumnType::Int64).build().unwrap();
    Schemas::inferred().declare("grows", ids)
}

async fn assert_grown(database: &dyn Database, table: &str) {
    let ids = database.rows(&format!("SELECT id FROM \"{table}\" ORDER BY 1")).await;
    assert_eq!(ids, ["1", "2", "3", "4", "5", "6"], "{table}");
    let rejected = "SELECT record FROM headwater_rejected WHERE \"table\" = ";
    let rejected = database.rows(&format!("{rejected} '{table}' ORDER BY 1")).await;
    assert_eq!(rejected, [r#"{"id":"x"}"#, r#"{"v":1}"#], "{table}");
    // Whichever column a value is in, it is there.
    let new =
        format!("SELECT CAST(\"new\" AS text), new__text FROM \"{table}\" WHERE id IN (3, 4) ORDER BY id");
    let new = match fields(database, table).await.iter().any(|column| column.starts_with("new__text ")) {
        true => database.rows(&new).await,
        false => database.rows(&new.replace("new__text", "NULL")).await,
    };
    let shown = new.concat();
    assert!(shown.contains('a') && shown.contains("b\":"), "{table}: {new:?}");
}

async fn columns_are_added_for_what_is_new(database: &dyn Database) {
    let report = run(database, "grows", growing(), &GROWING).await.unwrap();
    let of = report.source("grows").unwrap();
    assert_eq!((of.written, of.rejected), (6, 2), "{report}");
    assert_grown(database, "grows").await;
    let [_, int, _, _, text, _, date, _] = database.types();
    let columns = fields(database, "grows").await;
    let expected =
        [("id", int), ("v", int), ("v__text", text), ("new", text), ("new__text", text), ("later", date)];
    assert_eq!(columns, expected.map(|(name, kind)| format!("{name} {kind}")));
    let odd = "SELECT id, v, v__text FROM \"grows\" WHERE v__text IS NOT NULL ORDER BY id";
    assert_eq!(database.rows(odd).await, ["3|NULL|2.5", "6|NULL|text"]);

    // A new run goes on with the columns that are there: it infers nothing of them again.
    run(database, "grows", growing(), &[r#"{"id":7,"v":0.25,"later":"soon"}"#]).await.unwrap();
    let row = "SELECT id, v, v__text, later, later__text FROM \"grows\" WHERE id = 7";
    assert_eq!(database.rows(row).await, ["7|NULL|0.25|NULL|soon"]);
}

async fn with_checkpoints_elsewhere_a_run_that_fails_at_any_leaves_all_once(database: &dyn Database) {
    for key in [None, Some("id")] {
        for (fails_at, stores_it) in (1..=5).flat_map(|at| [(at, false), (at, true)]) {
            let dir = tempfile::tempdir().unwrap();
            let table = format!("e_{}_{fails_at}_{stores_it}", key.is_some());
            let pipeline = |fails_at| {
                let store = FileStore::new(dir.path().join("checkpoints"));
                let store = Failing::new(store, fails_at, stores_it);
                let sink = database.sink(&table, key, growing());
                Pipeline::new().source(source("grows", &GROWING)).sink(sink).checkpoints(store)
            };
            pipeline(fails_at).run().await.unwrap_err();
            // What was stored with the last one is a run that is over: another would be a new one.
            if (fails_at, stores_it) != (5, true) {
                let report = pipeline(0).run().await.unwrap();
                let of = report.source("grows").unwrap();
                assert_eq!(of.written + of.rejected, 8, "{table}: {report}");
                assert_eq!(of.rejected, 2, "{table}: {report}");
            }
            assert_grown(database, &table).await;
        }
    }
}

async fn columns_that_were_inferred_before_a_checkpoint_was_lost_stay(database: &dyn Database) {
    // The first commit makes `v` a whole number, and its checkpoint is lost. Of what is listed by then a double would be inferred.
    let dir = tempfile::tempdir().unwrap();
    let pipeline = |fails_at, pages: &[&str]| {
        let store = FileStore::new(dir.path().join("checkpoints"));
        let store = Failing::new(store, fails_at, false);
        let sink = database.sink("{source}", None, Schemas::inferred());
        Pipeline::new().source(source("lost", pages)).sink(sink).checkpoints(store)
    };
    pipeline(2, &[r#"{"id":1,"v":1}"#]).run().await.unwrap_err();
    pipeline(0, &[r#"{"id":1,"v":0.5}"#, r#"{"id":2,"v":7}"#]).run().await.unwrap();
    let rows = database.rows("SELECT id, v, v__text FROM lost ORDER BY id").await;
    assert_eq!(rows, ["1|NULL|0.5", "2|7|NULL"]);
}

async fn contracts_hold(database: &dyn Database) {
    let schema =
        || Schema::builder().required("id", ColumnType::Int64).column("v", ColumnType::Bool).build().unwrap();
    let odd = [r#"{"id":1,"v":true},{"id":2,"v":"yes"},{"id":3,"more":1},{"id":null}"#];
    let schemas = |name: &str, contract| Schemas::inferred().declare(name, schema()).contract(contract);
    let failed = run(database, "freezes", schemas("freezes", Contract::Freeze), &odd).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Record);
    assert!(failed.error.to_string().contains("\"v\""), "{failed}");
    // The table may not be there either.
    if !database.columns("freezes").await.is_empty() {
        assert_eq!(
            database.rows("SELECT count(*) FROM freezes").await,
            ["0"],
            "nothing of the page is there"
        );
    }

    let report = run(database, "rejects", schemas("rejects", Contract::Reject), &odd).await.unwrap();
    let of = report.source("rejects").unwrap();
    assert_eq!((of.written, of.rejected), (1, 3));
    assert!(report.to_string().contains("3 records were rejected"), "{report}");
    assert_eq!(database.rows("SELECT id FROM rejects").await, ["1"]);

    run(database, "nulls", schemas("nulls", Contract::Null), &odd).await.unwrap();
    assert_eq!(database.rows("SELECT id, v IS NULL FROM nulls ORDER BY 1").await.len(), 3);
    assert_eq!(fields(database, "nulls").await.len(), 2, "no column is added");
    let rejected = "SELECT \"table\", count(*) FROM headwater_rejected GROUP BY 1 ORDER BY 1";
    assert_eq!(database.rows(rejected).await, ["nulls|1", "rejects|3"]);
}

async fn whatever_a_field_is_called_it_is_one_column(database: &dyn Database) {
    let long = "x".repeat(63);
    let (first, second) = (format!("{long}1"), format!("{long}2"));
    let wide = "é".repeat(100);
    let too_long = "n".repeat(300);
    let names = [
        "\\\"; DROP TABLE names; --",
        "'",
        "select",
        "Größe 表",
        "__source",
        "__ingested_at",
        "__Run",
        "__row",
        "__commit",
        "__key",
        "record",
        "rowid",
        "ctid",
        "xmin",
        "id",
        "ID",
        "Id",
        "",
        " ",
        "a\\u0000b",
        "a\\nb",
        "?1",
        "$1",
        "%s",
        &first,
        &second,
        &wide,
    ];
    let body = |value: &str| {
        let fields: Vec<String> =
            names.iter().enumerate().map(|(at, name)| format!("\"{name}\":\"{value}{at}\"")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let long = format!("{{\"{too_long}\":1}}");
    let pages = [body("a"), body("b"), long.clone()];
    let pages: Vec<&str> = pages.iter().map(|page| &**page).collect();
    let report = run(database, "names", Schemas::inferred(), &pages).await.unwrap();
    assert_eq!(report.rejected(), 1, "a name that is too long");
    let columns = database.columns("names").await;
    let mut names_there: Vec<String> = Vec::new();
    for column in &columns {
        let name = column.split_at(column.rfind(' ').unwrap()).0;
        // Types of two and three words.
        let name =
            name.trim_end_matches(" with time").trim_end_matches(" timestamp").trim_end_matches(" double");
        names_there.push(name.to_owned());
    }
    let is_ours =
        |name: &String| ["__source", "__ingested_at", "__run", "__row", "__commit"].contains(&&**name);
    let theirs: Vec<&String> = names_there.iter().filter(|name| !is_ours(name)).collect();
    assert_eq!(theirs.len(), names.len(), "{theirs:?}");
    for value in ["a", "b"] {
        let list: Vec<String> =
            theirs.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        let sql = format!("SELECT {} FROM names WHERE \"select\" = '{value}2'", list.join(", "));
        let expected: Vec<String> = (0..names.len()).map(|at| format!("{value}{at}")).collect();
        assert_eq!(database.rows(&sql).await, [expected.join("|")]);
    }
    let rejected = "SELECT record FROM headwater_rejected WHERE \"table\" = 'names'";
    assert_eq!(database.rows(rejected).await, [long]);
    assert_eq!(database.rows("SELECT DISTINCT __source FROM names").await, ["names"]);
}

async fn of_a_key_the_last_record_stays_with_the_columns_that_it_has(database: &dyn Database) {
    let upsert = async |bodies: &[&str]| {
        let sink = database.sink("all", Some("id"), Schemas::inferred());
        let sources = [source("s", bodies), source("t", &[r#"{"id":1,"v":"other"}"#])];
        Pipeline::new().sources(sources).sink(sink).run().await.unwrap()
    };
    upsert(&[r#"{"id":1,"v":"a","w":1},{"id":2,"v":"b"},{"id":1,"v":"c"}"#, r#"{"id":2,"x":true}"#]).await;
    let all = "SELECT __source, id, v, w, CASE WHEN x THEN 1 END FROM \"all\" ORDER BY 1, 2";
    assert_eq!(database.rows(all).await, ["s|1|c|NULL|NULL", "s|2|NULL|NULL|1", "t|1|other|NULL|NULL"]);
    upsert(&[r#"{"id":2,"v":"d","w":5},{"id":"2","v":"as text"}"#]).await;
    let keys = "SELECT __key, v, id__text FROM \"all\" WHERE __source = 's' ORDER BY 1";
    assert_eq!(database.rows(keys).await, ["\"2\"|as text|2", "1|c|NULL", "2|d|NULL"]);
}

async fn sources_share_a_table_where_their_types_agree(database: &dyn Database) {
    let sources = || [source("s", &[r#"{"id":1,"a":"x"}"#]), source("t", &[r#"{"id":2,"b":true}"#])];
    let sink = database.sink("shared", None, Schemas::inferred());
    Pipeline::new().sources(sources()).sink(sink).run().await.unwrap();
    let rows = "SELECT __source, id, a, CASE WHEN b THEN 1 END FROM shared ORDER BY 1";
    assert_eq!(database.rows(rows).await, ["s|1|x|NULL", "t|2|NULL|1"]);

    let odd = source("u", &[r#"{"id":3,"a":7}"#]);
    let sink = database.sink("shared", None, Schemas::inferred());
    let failed = Pipeline::new().source(odd).sink(sink).run().await.unwrap_err();
    let text = failed.error.to_string();
    assert!(text.contains("\"a\"") && text.contains("shared") && text.contains("schemas"), "{text}");
    assert_eq!(database.rows("SELECT count(*) FROM shared").await, ["2"], "nothing of the commit is there");
}

async fn a_source_that_begins_anew_leaves_nothing_of_what_it_rejected_before(database: &dyn Database) {
    let source = expiring("anew", true, r#"{"id":1},{"id":"x"}"#, r#"{"id":3},{"id":"y"}"#);
    let ids = Schema::builder().required("id", ColumnType::Int64).build().unwrap();
    let sink = database.sink("{source}", None, Schemas::inferred().declare("anew", ids));
    let report = Pipeline::new().source(source).sink(sink).run().await.unwrap();
    assert_eq!(report.rejected(), 2, "{report}");
    assert_eq!(database.rows("SELECT id FROM anew ORDER BY 1").await, ["1", "3"]);
    let rejected = "SELECT record FROM headwater_rejected WHERE \"table\" = 'anew' ORDER BY 1";
    assert_eq!(database.rows(rejected).await, [r#"{"id":"x"}"#, r#"{"id":"y"}"#]);
}

async fn a_run_that_is_dropped_goes_on(database: &dyn Database) {
    let list = Resource::new("items", 3_000).paging(Paging::Offset);
    let latency = std::time::Duration::from_millis(2);
    let api = MockApi::builder().resource(list).latency(latency).start().await.unwrap();
    dropped::in_the_middle(20, || {
        let source = Source::get("items", api.url("/items")).records("data");
        let source = source.paginate(Offset::new(50).until_total("total")).build().unwrap();
        Pipeline::new().source(source).sink(database.sink("{source}", None, Schemas::inferred()))
    })
    .await;
    assert_eq!(database.rows("SELECT id FROM items ORDER BY 1").await, expected("items", 3_000));
}

async fn a_table_that_is_not_ours_is_left_alone(database: &dyn Database) {
    database.rows("CREATE TABLE theirs (id integer, record text)").await;
    let failed = run(database, "theirs", Schemas::inferred(), &[r#"{"id":1}"#]).await.unwrap_err();
    assert!(failed.error.to_string().contains("is there"), "{failed}");
    run(database, "without", Schemas::inferred(), &[""]).await.unwrap();
    assert!(database.columns("without").await.is_empty(), "there are no columns yet");
}

/// What the types of PostgreSQL do not hold, though the schema's do, is no error in the middle of a COPY.
#[cfg(unix)]
#[tokio::test]
async fn what_postgres_cannot_hold_does_not_fit() {
    let Some(server) = Server::start(false).await else { return };
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let (deep, deeper) = (nested(1_000), nested(1_001));
    let values = [
        ("nul", r#"{"a":"\u0000"}"#, false),
        ("half", r#"{"a":"\ud800"}"#, false),
        ("key", r#"{"\u0000":1}"#, false),
        ("number", r#"{"a":1e131072}"#, false),
        ("most", r#"{"a":[1e131071,-1e-16383,"\ud83d\ude00","\\u0000"]}"#, true),
        ("deep", &deep, true),
        ("deeper", &deeper, false),
    ];
    let records: Vec<String> =
        values.iter().map(|(name, value, _)| format!("{{\"id\":\"{name}\",\"j\":{value}}}")).collect();
    let schema =
        Schema::builder().required("id", ColumnType::Text).column("j", ColumnType::Json).build().unwrap();
    let schemas = || Schemas::inferred().declare("evolves", schema.clone()).declare("exact", schema.clone());
    let report = run(&server, "evolves", schemas(), &[&records.join(",")]).await.unwrap();
    assert_eq!(report.rejected(), 0, "{report}");
    let fit = server.rows("SELECT id FROM evolves WHERE j IS NOT NULL ORDER BY id").await;
    assert_eq!(fit, ["deep", "most"]);
    for (name, value, _) in values.iter().filter(|(_, _, fits)| !fits) {
        let sql = format!("SELECT j__text FROM evolves WHERE id = '{name}'");
        assert_eq!(server.rows(&sql).await, [*value], "as it came");
    }

    // `json` keeps all of it, but for its depth.
    let sink = Postgres::connect(server.url(None)).schemas(schemas()).as_json();
    Pipeline::new().source(source("exact", &[&records.join(",")])).sink(sink).run().await.unwrap();
    let fit = server.rows("SELECT id FROM exact WHERE j IS NULL").await;
    assert_eq!(fit, ["deeper"]);
    let odd = server.rows("SELECT j FROM exact WHERE id = 'half'").await;
    assert_eq!(odd, [r#"{"a":"\ud800"}"#]);

    // Text, times at the ends of their calendar, and rows that no page of 8 kB holds.
    let wide = |fields: usize, value: &str| {
        let fields: Vec<String> = (0..fields).map(|at| format!("\"c{at}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    };
    let long = format!("\"{}\"", "é".repeat(3_000));
    let ends = [
        r#"{"t":"a\u0000b"}"#,
        r#"{"at":"0000-01-01T00:00:00Z"}"#,
        r#"{"at":"0000-01-01T00:00:00+00:01"}"#,
        r#"{"at":"9999-12-31T23:59:59-23:59"}"#,
    ];
    let report = run(&server, "ends", Schemas::inferred(), &[&ends.join(",")]).await.unwrap();
    assert_eq!(report.rejected(), 0, "{report}");
    for (name, records, written) in [
        ("texts", vec![wide(320, &long), wide(340, &long)], 1),
        ("numbers", vec![wide(900, "1"), wide(1_100, "1"), wide(1_700, "1"), wide(1_700, "null")], 2),
    ] {
        let schemas = Schemas::inferred().most_columns(5_000);
        let report = run(&server, name, schemas, &[&records.join(",")]).await.unwrap();
        let of = report.source(name).unwrap();
        assert_eq!((of.written, of.written + of.rejected), (written, records.len() as u64), "{report}");
        assert_eq!(server.rows(&format!("SELECT count(*) FROM {name}")).await, [written.to_string()]);
    }
    let text =
        server.rows("SELECT coalesce(t, t__text) FROM ends WHERE t IS NOT NULL OR t__text IS NOT NULL").await;
    assert_eq!(text, [r#""a\u0000b""#]);
    let years = server.rows("SELECT extract(year FROM at) FROM ends WHERE at IS NOT NULL ORDER BY at").await;
    assert_eq!(years, ["-2", "-1", "10000"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_column_of_another_type_is_an_error_and_a_wider_decimal_is_none() {
    let Some(server) = Server::start(false).await else { return };
    let schema =
        Schema::builder().column("d", ColumnType::Decimal { precision: 12, scale: 2 }).build().unwrap();
    let schemas = || Schemas::inferred().declare("s", schema.clone());
    run(&server, "s", schemas(), &[r#"{"d":1.25}"#]).await.unwrap();
    server.rows("ALTER TABLE s ALTER d TYPE numeric").await;
    run(&server, "s", schemas(), &[r#"{"d":2.25}"#]).await.unwrap();
    server.rows("ALTER TABLE s ALTER d TYPE text").await;
    let failed = run(&server, "s", schemas(), &[r#"{"d":3.25}"#]).await.unwrap_err();
    let text = failed.error.to_string();
    assert!(text.contains("\"d\"") && text.contains("numeric(12,2)") && text.contains("text"), "{text}");
    assert_eq!(server.rows("SELECT d FROM s ORDER BY 1").await, ["1.25", "2.25"]);
}

/// All of it, in a database each.
macro_rules! all {
    ($($name:ident),* $(,)?) => {
        mod in_sqlite {
            use super::*;

            $(
                #[tokio::test]
                async fn $name() {
                    super::$name(&InSqlite::new()).await;
                }
            )*
        }

        #[cfg(unix)]
        mod in_postgres {
            use super::*;

            $(
                #[tokio::test]
                async fn $name() {
                    let Some(server) = Server::start(false).await else { return };
                    super::$name(&server).await;
                }
            )*
        }
    };
}

all!(
    values_keep_their_digits_or_are_rejected,
    columns_are_added_for_what_is_new,
    with_checkpoints_elsewhere_a_run_that_fails_at_any_leaves_all_once,
    columns_that_were_inferred_before_a_checkpoint_was_lost_stay,
    contracts_hold,
    whatever_a_field_is_called_it_is_one_column,
    of_a_key_the_last_record_stays_with_the_columns_that_it_has,
    sources_share_a_table_where_their_types_agree,
    a_source_that_begins_anew_leaves_nothing_of_what_it_rejected_before,
    a_run_that_is_dropped_goes_on,
    a_table_that_is_not_ours_is_left_alone,
);
