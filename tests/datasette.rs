//! datasette (<https://datasette.io>): keyset tokens, over a garden in SQLite (`datasette/garden.sql`).
//!
//! `pip install datasette`, and have it on the path or in `HEADWATER_DATASETTE`.
//!
//! Noticed with datasette 0.65:
//! - The next page stands three times in an answer: as a token (`next`), as a link in the body (`next_url`), and in the
//!   `Link` header, in each shape. The links are absolute. At the end, `next` and `next_url` are `null`, and the header
//!   is not there.
//! - Rows are lists of values in the shape that is the default (`arrays`); `_shape=objects` makes them objects, and
//!   `_shape=array` makes the answer one list of them, so that only the header leads on.
//! - A token holds the value that is sorted by and the primary key, separated by commas, `$null` for null; what is not
//!   plain in a value is "tilde-encoded" (`~2C` for a comma).
//! - A page that is full is only followed by a token if there are more rows, so no page is empty.
//! - `_shape=array&_nl=on` gives lines of JSON, and the header leads on. CSV (`.csv`) has no links at all: a page looks
//!   like the whole, which only `_stream=on` is. Both come as `text/plain`.
//! - `_size` above `max_returned_rows` (1,000) is refused with 400, and not cut.
//! - A fault of the server: with `_sort_desc`, equal values and an index on the column, the first page has the rows of
//!   equal value in descending order of their keys, and the token goes on in ascending order. Rows are given twice, and
//!   others never. No client sees that from the pages, so the garden has no index.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use futures::TryStreamExt;
use headwater::Shutdown;
use headwater::page::Format;
use headwater::pages::{Fanout, Window};
use headwater::pipeline::Event;
use headwater::prelude::*;
use headwater::sink::Jsonl;
use serde_json::{Value, json};
use support::server::{Server, python};
use support::{assert_once_each, dropped, ids_of, records, server_program};

const ROWS: usize = 1_234;

struct Garden {
    server: Server,
    python: PathBuf,
}

impl Garden {
    /// Starts datasette over the garden; `None` if it is not installed.
    async fn start() -> Option<Self> {
        let datasette = server_program("datasette", "HEADWATER_DATASETTE", "pip install datasette")?;
        let python = python(&datasette);
        let sql = include_str!("datasette/garden.sql");
        let server = Server::start(|port, dir| {
            execute(&python, dir, sql);
            let mut command = Command::new(&datasette);
            command.arg("serve").arg(dir.join(FILE)).args(["--port", &port.to_string()]);
            command
        });
        Some(Self { server: server.await, python })
    }

    fn url(&self, path: &str) -> String {
        self.server.url(&format!("/garden/{path}"))
    }
}

const FILE: &str = "garden.db";

/// Runs SQL in the garden of a directory. Python has SQLite with it.
fn execute(python: &Path, dir: &Path, sql: &str) {
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let done = Command::new(python).args(["-c", script]).arg(dir.join(FILE)).arg(sql).status();
    assert!(done.expect("Python").success());
}

/// What is pulled: a name, a path, and the columns.
const LISTS: [(&str, &str, [&str; 3]); 4] = [
    ("by_key", "plants.json?", PLANTS),
    ("by_height", "plants.json?_sort=height", PLANTS),
    ("by_height_descending", "plants.json?_sort_desc=height", PLANTS),
    ("by_two_keys", "readings.json?", READINGS),
];
const PLANTS: [&str; 3] = ["id", "name", "height"];
const READINGS: [&str; 3] = ["station", "day", "value"];

/// A list in each way that leads from page to page.
fn sources(garden: &Garden, list: &str, path: &str) -> Vec<Source> {
    let source = |way: &str, shape: &str, rows: &str| {
        Source::get(format!("{list}_{way}"), garden.url(&format!("{path}{shape}"))).records(rows)
    };
    let sources = [
        source("url_arrays", "", "rows").paginate(NextUrl::body("next_url")),
        source("url_objects", "&_shape=objects", "rows").paginate(NextUrl::body("next_url")),
        source("token", "&_shape=objects", "rows").paginate(Cursor::body("next").into_query("_next")),
        source("link_arrays", "", "rows").paginate(LinkHeader::new()),
        source("link_array", "&_shape=array", "").paginate(LinkHeader::new()),
    ];
    sources.into_iter().map(|source| source.build().unwrap()).collect()
}

/// The rows of a table, as lists of values.
fn rows(columns: [&str; 3]) -> Vec<String> {
    let plant = |n: usize| json!([n, format!("plant \"{n}\" – ½ 💧"), (n % 8 != 7).then_some(n % 8)]);
    let reading = |n: usize| json!([format!("a,b/~ %2C&+é#{}", n % 5), n / 5, n as f64 / 8.0]);
    let row = |n| if columns == PLANTS { plant(n + 1) } else { reading(n) };
    (0..ROWS).map(|n| row(n).to_string()).collect()
}

/// A source's file has each row once, as it is in the table.
fn assert_complete(out: &Path, source: &str, columns: [&str; 3]) {
    let list = |record: Value| match &record["value"] {
        Value::Array(_) => record["value"].to_string(),
        _ => Value::from_iter(columns.map(|column| record[column].clone())).to_string(),
    };
    let got: Vec<_> =
        records(out, source).into_iter().map(|record| json!({ source: list(record) })).collect();
    assert_once_each(&got, source, &rows(columns));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_of_each_list_comes_once_in_each_way_of_leading_on() {
    let (Some(garden), out) = (Garden::start().await, tempfile::tempdir().unwrap()) else { return };
    for (list, path, columns) in LISTS {
        let sources = sources(&garden, list, path);
        let report = Pipeline::new().sources(sources).sink(Jsonl::dir(out.path())).run().await.unwrap();
        for source in &report.sources {
            assert_complete(out.path(), &source.source, columns);
            assert_eq!((source.pages, source.counts.requests), (13, 13), "{report}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_dropped_between_equal_values_goes_on_with_each_row_once() {
    let (Some(garden), out) = (Garden::start().await, tempfile::tempdir().unwrap()) else { return };
    let sources = || LISTS.into_iter().flat_map(|(list, path, _)| sources(&garden, list, path));
    let pipeline = || Pipeline::new().sources(sources()).sink(Jsonl::dir(out.path()));
    let report = dropped::in_the_middle(130, pipeline).await;
    for (list, path, columns) in LISTS {
        for source in self::sources(&garden, list, path) {
            assert_complete(out.path(), source.name(), columns);
        }
    }
    let requests: u64 = report.sources.iter().map(|source| source.counts.requests).sum();
    // 130 of 260 were written; those behind the last commit, and one more of each source, were not kept.
    assert!(requests < 260, "{report}");
}

/// The tables in slices: by ranges of keys, in ranges that are halved until they are small enough, and by station.
fn slices(garden: &Garden) -> Vec<Source> {
    let source = |name: &str, path: &str| {
        Source::get(name, garden.url(path))
            .query("_shape", "objects")
            .records("rows")
            .paginate(NextUrl::body("next_url"))
    };
    let ids = Window::ids(1..ROWS as i64 + 1).concurrency(3);
    let halved = ids.clone().ceiling(150).total_at("filtered_table_rows_count");
    let plants = "plants.json?id__gte={start}&id__lt={end}";
    let stations = source("stations", "stations.json?_size=2");
    let by_station = Fanout::over(stations).bind("station", "name").concurrency(2);
    let sources = [
        source("ranges", plants).window(ids.every(250)),
        source("halves", plants).window(halved),
        source("stations", "readings.json?station={station}").fanout(by_station),
    ];
    sources.into_iter().map(|source| source.build().unwrap()).collect()
}

fn assert_slices_complete(out: &Path) {
    for (source, columns) in [("ranges", PLANTS), ("halves", PLANTS), ("stations", READINGS)] {
        assert_complete(out, source, columns);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_comes_once_in_slices_and_for_each_row_of_another_table() {
    let (Some(garden), out) = (Garden::start().await, tempfile::tempdir().unwrap()) else { return };
    let report = Pipeline::new().sources(slices(&garden)).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_slices_complete(out.path());
    let requests = |name: &str| report.source(name).unwrap().counts.requests;
    // Four ranges of three pages, and one of 234 rows. The halves: 1 + 2 + 4 + 8 first pages have a total above
    // 150, and 16 ranges of 77 or 78 rows have one page each. Five stations of 247 or 246 rows, on three pages.
    assert_eq!((requests("ranges"), requests("halves"), requests("stations")), (15, 31, 18), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_that_are_dropped_in_the_middle_go_on_with_each_row_once() {
    let (Some(garden), out) = (Garden::start().await, tempfile::tempdir().unwrap()) else { return };
    let pipeline = || Pipeline::new().sources(slices(&garden)).sink(Jsonl::dir(out.path()));
    let report = dropped::in_the_middle(20, pipeline).await;
    assert_slices_complete(out.path());
    let requests: u64 = report.sources.iter().map(|source| source.counts.requests).sum();
    assert!(requests < 64, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_probe_finds_rows_and_links_in_each_shape() {
    let Some(garden) = Garden::start().await else { return };
    for (path, rows) in
        [("plants.json", "rows"), ("plants.json?_shape=objects", "rows"), ("plants.json?_shape=array", "")]
    {
        let probe = Source::probe(garden.url(path)).await.unwrap();
        assert_eq!(probe.records[0], (rows.to_owned(), 100), "{probe}");
        let paginators: Vec<_> = probe.dialects.iter().map(|dialect| dialect.paginator.as_str()).collect();
        assert_eq!(paginators[0], "LinkHeader::new()", "{probe}");
        assert_eq!(paginators.contains(&r#"NextUrl::body("next_url")"#), rows == "rows", "{probe}");
    }
}

/// The tables as lines of JSON, led on by the header, and whole, as CSV.
fn texts(garden: &Garden) -> Vec<Source> {
    let source = |name: &str, path: &str| Source::get(name, garden.url(path));
    let sources = [
        source("lines", "plants.json?_shape=array&_nl=on")
            .format(Format::JsonLines)
            .records("")
            .paginate(LinkHeader::new()),
        source("table", "readings.csv?_stream=on").format(Format::csv()).records("").paginate(Single),
    ];
    sources.into_iter().map(|source| source.build().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_comes_once_as_a_line_of_json_and_as_a_row_of_csv() {
    let (Some(garden), out) = (Garden::start().await, tempfile::tempdir().unwrap()) else { return };
    let report = Pipeline::new().sources(texts(&garden)).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_complete(out.path(), "lines", PLANTS);
    assert_eq!(report.source("lines").unwrap().pages, 13, "{report}");
    // In CSV all is text.
    let field = |record: &Value, name: &str| record[name].as_str().map(str::to_owned).unwrap();
    let got: Vec<_> = records(out.path(), "table")
        .iter()
        .map(|record| json!({"row": READINGS.map(|name| field(record, name)).join("|")}))
        .collect();
    let row = |n: usize| format!("a,b/~ %2C&+é#{}|{}|{:?}", n % 5, n / 5, n as f64 / 8.0);
    assert_once_each(&got, "row", &(0..ROWS).map(row).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_while_they_are_read_shift_nothing() {
    let (Some(garden), out) = (Garden::start().await, tempfile::tempdir().unwrap()) else { return };
    let plants = || {
        let url = garden.url("plants.json?_shape=objects");
        Source::get("plants", url).records("rows").paginate(NextUrl::body("next_url")).build().unwrap()
    };
    let (shutdown, sink) = (Shutdown::new(), || Jsonl::dir(out.path()));
    let stop = shutdown.clone();
    let run = Pipeline::new().source(plants()).sink(sink()).shutdown(shutdown);
    let run = run.observe(move |event| {
        if matches!(event, Event::Page { records: 400, .. }) {
            stop.finish_pages();
        }
    });
    let report = run.run().await.unwrap_err().report.unwrap();
    assert!((400..1_000).contains(&report.records()), "it stopped in the middle: {report}");
    // Of what was read, some goes; something comes that belongs before it. Of what is ahead, one row goes and one comes.
    let change = "delete from plants where id between 10 and 150 or id = 1000; \
                  insert into plants values (-1, 'before', 0), (0, 'before', 0), (2000, 'behind', 0);";
    execute(&garden.python, garden.server.dir(), change);
    Pipeline::new().source(plants()).sink(sink()).run().await.unwrap();
    let expected = (1..=1_234).filter(|id| *id != 1_000).chain([2_000]).map(|id| id.to_string());
    assert_eq!(ids_of(out.path(), "plants"), expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_is_refused_is_an_error_that_says_so() {
    let Some(garden) = Garden::start().await else { return };
    let first = Request::get(garden.url("plants.json?_size=1001")).unwrap();
    let pages = Pages::new(Http::new().unwrap(), first, NextUrl::body("next_url"));
    let error = pages.records("rows").try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status, "{error}");
    assert!(error.to_string().contains("400"), "{error}");
    assert!(format!("{error:?}").contains("_size must be <= 1000"), "{error:?}");
}
