//! Only what is new: the mark of a source that grows, over many runs, on a paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater::incremental::Incremental;
use headwater::paginate::{Cursor, Offset};
use headwater::sink::Memory;
use headwater::testing::{Reply, Scripted};
use headwater::{ErrorKind, Pipeline, RetryPolicy, Source, SourceBuilder};
use serde_json::{Value, json};

const URL: &str = "https://api.example.com/events?since={since}&until={until}";

/// A list that grows, on the day before the scripted clock begins: each event with its second, in the order it is served.
#[derive(Clone, Default)]
struct Feed(Arc<Mutex<Vec<(u64, String)>>>);

fn time(second: u64) -> String {
    format!("2026-05-16T10:{:02}:{:02}Z", second / 60, second % 60)
}

impl Feed {
    fn add(&self, second: u64, id: &str) {
        self.0.lock().unwrap().push((second, id.to_owned()));
    }

    /// Serves what is not before `since`, two a page, in the order of their times.
    fn api(&self, newest_first: bool) -> Scripted {
        let feed = self.clone();
        Scripted::from_fn(move |request, _| {
            let query: BTreeMap<_, _> = request.url().query_pairs().into_owned().collect();
            let mut events = feed.0.lock().unwrap().clone();
            events.sort();
            if newest_first {
                events.reverse();
            }
            let offset: usize = query["offset"].parse().unwrap();
            let from = query.get("since").cloned().unwrap_or_default();
            let until = query.get("until").cloned().unwrap_or_else(|| "9".into());
            let found = events.iter().map(|(second, id)| (time(*second), id));
            let found = found.filter(|(at, _)| (newest_first || *at >= from) && *at < until);
            let page: Vec<Value> =
                found.map(|(at, id)| json!({"id": id, "at": at})).skip(offset).take(2).collect();
            Reply::json(json!({ "data": page }).to_string())
        })
    }
}

fn events(api: &Scripted, rules: Incremental) -> SourceBuilder {
    Source::get("events", URL)
        .transport(api.clone())
        .records("data")
        .paginate(Offset::new(2).without_limit_param())
        .retry(RetryPolicy::none())
        .incremental(rules)
}

async fn run(sink: &Memory, source: SourceBuilder) -> Result<u64, headwater::Error> {
    let source = source.build()?;
    let name = source.name().to_owned();
    let report =
        Pipeline::new().source(source).sink(sink.clone()).run().await.map_err(|failed| failed.error)?;
    Ok(report.source(&name).unwrap().records)
}

/// The ids in the sink, since it was last looked at or from the beginning.
fn ids(sink: &Memory, source: &str) -> Vec<String> {
    let lines = sink.lines(source);
    lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect()
}

fn by_time() -> Incremental {
    Incremental::by("at").key("id")
}

#[tokio::test(start_paused = true)]
async fn each_run_takes_what_is_new_and_nothing_at_the_boundary_twice() {
    let (feed, sink) = (Feed::default(), Memory::new());
    let api = feed.api(false);
    for id in ["a", "b", "c"] {
        feed.add(10, id);
    }
    assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 3);
    assert!(!api.urls()[0].contains("since"), "the first run has no mark: {}", api.urls()[0]);
    feed.add(10, "d");
    feed.add(20, "e");
    assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 2);
    assert_eq!(ids(&sink, "events"), ["d", "e"], "a run has an output of its own");
    assert!(api.urls().last().unwrap().contains("since=2026-05-16T10%3A00%3A10Z"), "{:?}", api.urls());
    assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 0);
    feed.add(20, "f");
    assert_eq!(
        run(&sink, events(&api, by_time())).await.unwrap(),
        1,
        "a run without records keeps what is known"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_key_the_whole_record_tells_it_apart() {
    let (feed, sink) = (Feed::default(), Memory::new());
    let api = feed.api(false);
    feed.add(10, "a");
    assert_eq!(run(&sink, events(&api, Incremental::by("at"))).await.unwrap(), 1);
    feed.add(10, "b");
    assert_eq!(run(&sink, events(&api, Incremental::by("at"))).await.unwrap(), 1);
    assert_eq!(ids(&sink, "events"), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn late_records_come_with_a_lookback_each_once() {
    let (feed, sink) = (Feed::default(), Memory::new());
    let api = feed.api(false);
    let rules = || by_time().lookback(Duration::from_secs(30));
    for second in [10, 40, 50] {
        feed.add(second, &format!("at {second}"));
    }
    assert_eq!(run(&sink, events(&api, rules())).await.unwrap(), 3);
    feed.add(30, "late");
    feed.add(5, "too late");
    assert_eq!(run(&sink, events(&api, rules())).await.unwrap(), 1);
    assert_eq!(ids(&sink, "events"), ["late"]);
    assert!(api.urls().last().unwrap().contains("since=2026-05-16T10%3A00%3A20Z"), "{:?}", api.urls());
    assert_eq!(run(&sink, events(&api, rules())).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_newest_first_list_is_left_at_the_mark() {
    let (feed, sink) = (Feed::default(), Memory::new());
    let api = feed.api(true);
    for second in 0..40 {
        feed.add(second, &format!("at {second}"));
    }
    let rules = || by_time().descending();
    assert_eq!(run(&sink, events(&api, rules())).await.unwrap(), 40);
    let before = api.urls().len();
    for second in 40..43 {
        feed.add(second, &format!("at {second}"));
    }
    assert_eq!(run(&sink, events(&api, rules())).await.unwrap(), 3);
    assert_eq!(api.urls().len() - before, 3, "42 41, 40 39, 38 37: there it ends");
    let ascending = feed.api(false);
    let error = run(&Memory::new(), events(&ascending, rules())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_broken_off_anywhere_goes_on_with_the_same_mark() {
    for broken_at in 1..8 {
        let (feed, sink) = (Feed::default(), Memory::new());
        for second in 0..5 {
            feed.add(second, &format!("old {second}"));
        }
        run(&sink, events(&feed.api(false), by_time())).await.unwrap();
        for second in 4..15 {
            feed.add(second, &format!("new {second}"));
        }
        let good = feed.api(false);
        let broken = {
            let good = feed.clone().api(false);
            let count = Mutex::new(0);
            Scripted::from_fn(move |request, number| {
                *count.lock().unwrap() += 1;
                if number == broken_at {
                    Reply::status(400)
                } else {
                    futures::executor::block_on(answer(&good, request))
                }
            })
        };
        run(&sink, events(&broken, by_time())).await.unwrap_err();
        run(&sink, events(&good, by_time())).await.unwrap();
        let mut found = ids(&sink, "events");
        found.sort();
        let mut expected: Vec<String> = (4..15).map(|second| format!("new {second}")).collect();
        expected.sort();
        assert_eq!(found, expected, "broken at request {broken_at}");
        let asked = good.urls();
        assert!(asked[0].contains("since=2026-05-16T10%3A00%3A04Z"), "the mark has not moved: {}", asked[0]);
    }
}

async fn answer(api: &Scripted, request: &headwater::Request) -> Reply {
    use headwater::Transport;
    let response = api.send(request).await.unwrap();
    Reply::status(response.status.as_u16()).body(response.body)
}

#[tokio::test(start_paused = true)]
async fn a_backfill_leaves_the_live_mark_alone() {
    let (feed, sink) = (Feed::default(), Memory::new());
    let api = feed.api(false);
    for second in 0..20 {
        feed.add(second, &format!("at {second}"));
    }
    let live = || events(&api, by_time().since(time(15)));
    assert_eq!(run(&sink, live()).await.unwrap(), 5);
    assert_eq!(run(&sink, live().backfill(time(3), time(7))).await.unwrap(), 4);
    assert_eq!(ids(&sink, "events.backfill"), ["at 3", "at 4", "at 5", "at 6"]);
    assert!(sink.lines("events.backfill")[0].contains(r#""__source":"events""#));
    assert_eq!(run(&sink, live().backfill(time(0), time(3))).await.unwrap(), 3, "another range");
    feed.add(21, "at 21");
    assert_eq!(run(&sink, live()).await.unwrap(), 1, "the live one goes on where it was");
}

#[tokio::test(start_paused = true)]
async fn a_record_without_the_field_is_an_error_unless_declared() {
    let sink = Memory::new();
    let api = || {
        Scripted::from_fn(|_, number| {
            Reply::json(if number == 1 {
                r#"{"data":[{"id":"a","at":"2026-01-01"},{"id":"b","at":null}]}"#
            } else {
                r#"{"data":[]}"#
            })
        })
    };
    let error = run(&sink, events(&api(), by_time())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Record);
    assert!(
        error.to_string().contains("events: page 1 (start)") && error.to_string().contains("pass_missing"),
        "{error}"
    );
    assert_eq!(run(&Memory::new(), events(&api(), by_time().pass_missing())).await.unwrap(), 2);
    let strange = Scripted::new([Reply::json(r#"{"data":[{"id":"a","at":"soon"}]}"#)]);
    let error = run(&Memory::new(), events(&strange, by_time())).await.unwrap_err();
    assert!(error.to_string().contains("is not a time"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_meant_is_refused() {
    let api = Scripted::new([]);
    for rules in [
        Incremental::by("at").since("soon"),
        Incremental::by("at").string().lookback(Duration::from_secs(1)),
        Incremental::by("a..b"),
        Incremental::by("n").integer().since("x"),
    ] {
        assert_eq!(events(&api, rules).build().unwrap_err().kind(), ErrorKind::Config);
    }
    let unbound = Source::get("unbound", URL).records("").paginate(Offset::new(1)).build().unwrap_err();
    assert!(unbound.to_string().contains("{since}"), "sent as it stands, it would be no filter: {unbound}");
    let plain = Source::get("plain", "https://h.example/").records("").paginate(Offset::new(1));
    assert_eq!(plain.backfill(1, 2).build().unwrap_err().kind(), ErrorKind::Config);
}

/// The events of each of three shops, which are listed first.
fn shops(feeds: &[Feed]) -> (Scripted, impl Fn() -> SourceBuilder + use<>) {
    let feeds: Vec<Scripted> = feeds.iter().map(|feed| feed.api(false)).collect();
    let api = Scripted::from_fn(move |request, _| {
        let path = request.url().path().to_owned();
        match path.strip_prefix("/shops/") {
            None => Reply::json(r#"[{"id":0,"name":"a"},{"id":1,"name":"b"},{"id":2,"name":"c"}]"#),
            Some(rest) => {
                let shop: usize = rest.split('/').next().unwrap().parse().unwrap();
                futures::executor::block_on(answer(&feeds[shop], request))
            }
        }
    });
    let asked = api.clone();
    let source = move || {
        use headwater::pages::Fanout;
        use headwater::paginate::Single;
        let shops = Source::get("shops", "https://api.example.com/shops")
            .transport(asked.clone())
            .records("")
            .paginate(Single);
        Source::get("events", "https://api.example.com/shops/{shop}/events?since={since}")
            .transport(asked.clone())
            .records("data")
            .paginate(Offset::new(2).without_limit_param())
            .retry(RetryPolicy::none())
            .incremental(by_time())
            .fanout(Fanout::over(shops).bind("shop", "id").copy("name", "shop").concurrency(2))
    };
    (api, source)
}

#[tokio::test(start_paused = true)]
async fn each_part_of_a_source_has_a_mark_of_its_own() {
    let feeds = [Feed::default(), Feed::default(), Feed::default()];
    let sink = Memory::new();
    let (api, source) = shops(&feeds);
    // The first shop is far ahead of the others.
    for (shop, seconds) in [(0, 100..105), (1, 10..13), (2, 0..0)] {
        seconds.for_each(|second| feeds[shop].add(second, &format!("{shop}-{second}")));
    }
    assert_eq!(run(&sink, source()).await.unwrap(), 8);
    let before = api.urls().len();
    feeds[0].add(104, "0-tie");
    feeds[1].add(12, "1-tie");
    feeds[1].add(20, "1-20");
    feeds[2].add(1, "2-1");
    assert_eq!(run(&sink, source()).await.unwrap(), 4, "what is new in one is old for another's mark");
    let mut found = ids(&sink, "events");
    found.sort();
    assert_eq!(found, ["0-tie", "1-20", "1-tie", "2-1"]);
    let firsts: Vec<String> =
        api.urls()[before..].iter().filter(|url| url.contains("offset=0")).cloned().collect();
    let since = |shop: &str| firsts.iter().find(|url| url.contains(&format!("/shops/{shop}/"))).unwrap();
    assert!(since("0").contains("since=2026-05-16T10%3A01%3A44Z"), "{firsts:?}");
    assert!(since("1").contains("since=2026-05-16T10%3A00%3A12Z"), "{firsts:?}");
    assert!(!since("2").contains("since"), "it had none yet: {firsts:?}");
    assert_eq!(run(&sink, source()).await.unwrap(), 0, "and the marks go on from run to run");
}

#[tokio::test(start_paused = true)]
async fn a_run_over_parts_that_is_broken_off_anywhere_keeps_each_mark() {
    for broken_at in 1..12 {
        let feeds = [Feed::default(), Feed::default(), Feed::default()];
        let sink = Memory::new();
        let (_, source) = shops(&feeds);
        for (shop, feed) in feeds.iter().enumerate() {
            (0..5).for_each(|second| feed.add(second, &format!("{shop}-old-{second}")));
        }
        run(&sink, source()).await.unwrap();
        for (shop, feed) in feeds.iter().enumerate() {
            (4..8).for_each(|second| feed.add(second, &format!("{shop}-new-{second}")));
        }
        let (good, source) = shops(&feeds);
        let broken = Scripted::from_fn(move |request, number| {
            if number == broken_at {
                Reply::status(400)
            } else {
                futures::executor::block_on(answer(&good, request))
            }
        });
        run(&sink, source().transport(broken)).await.unwrap_err();
        run(&sink, source()).await.unwrap();
        let mut found = ids(&sink, "events");
        found.sort();
        let expected: Vec<String> =
            (0..3).flat_map(|shop| (4..8).map(move |second| format!("{shop}-new-{second}"))).collect();
        assert_eq!(found, expected, "broken at request {broken_at}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_behind_the_page_that_is_read_comes_with_the_next_run() {
    // By id, not by time. While the second page is asked for, "a" changes, and after it "c", which is still to be read.
    let page = |items: &str| Reply::json(format!(r#"{{"data":[{items}]}}"#)).delay(Duration::from_secs(10));
    let (old_a, b) =
        (r#"{"id":"a","at":"2026-05-17T09:00:02Z"}"#, r#"{"id":"b","at":"2026-05-17T09:00:01Z"}"#);
    let (new_a, c) =
        (r#"{"id":"a","at":"2026-05-17T10:00:15Z"}"#, r#"{"id":"c","at":"2026-05-17T10:00:18Z"}"#);
    let first = [page(&format!("{old_a},{b}")), page(c), page("")];
    let second = [page(&format!("{new_a},{c}")), page("")];
    let third = [page(&format!("{new_a},{c}")), page("")];
    let api = Scripted::new(first.into_iter().chain(second).chain(third));
    let sink = Memory::new();
    assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 3);
    assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 1);
    assert_eq!(ids(&sink, "events"), ["a"], "and what is known does not come again");
    let asked = api.urls();
    assert!(asked[3].contains("since=2026-05-17T10%3A00%3A00Z"), "from when the run began: {}", asked[3]);
    assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 0);
    assert!(api.urls()[5].contains("since=2026-05-17T10%3A00%3A18Z"), "a list in order: {}", api.urls()[5]);
}

#[tokio::test(start_paused = true)]
async fn one_record_from_a_wrong_clock_hides_nothing_whatever_the_servers_clock_says() {
    for date in [
        None,
        Some("Sun, 17 May 2026 10:00:00 GMT"),
        Some("Thu, 01 Jan 1970 00:00:00 GMT"),
        Some("Fri, 01 Jan 2100 00:00:00 GMT"),
    ] {
        let page = move |items: &str| {
            let page = Reply::json(format!(r#"{{"data":[{items}]}}"#)).delay(Duration::from_secs(10));
            date.map_or_else(|| page.clone(), |date| page.clone().header("date", date))
        };
        let wrong = r#"{"id":"wrong","at":"2099-01-01T00:00:00Z"}"#;
        let (a, b) =
            (r#"{"id":"a","at":"2026-05-17T09:59:00Z"}"#, r#"{"id":"b","at":"2026-05-17T10:00:15Z"}"#);
        let api = Scripted::new([
            page(&format!("{a},{wrong}")),
            page(""),
            page(&format!("{b},{wrong}")),
            page(""),
            page(&format!("{b},{wrong}")),
            page(""),
        ]);
        let sink = Memory::new();
        assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 2);
        assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 1, "{date:?}");
        assert_eq!(ids(&sink, "events"), ["b"]);
        let second = &api.urls()[2];
        assert!(second.contains("since=2026-05-17T"), "{date:?}: {second}");
        assert_eq!(run(&sink, events(&api, by_time())).await.unwrap(), 0, "{date:?}");
    }
}

/// A list that changes while it is read, by a server with a clock: each change has the time at which it happened, but for
/// those of a wrong clock.
struct Changing {
    random: fastrand::Rng,
    /// When a record changed last, in milliseconds, and all that it ever was.
    rows: BTreeMap<u64, i64>,
    versions: Vec<(u64, i64)>,
    coarse: bool,
}

impl Changing {
    fn change(&mut self, now: i64) {
        let id = self.random.u64(0..12);
        let now = if self.coarse { now.div_euclid(1000) * 1000 } else { now };
        // What has changed twice within what its time can say cannot be told apart.
        let is_new = !self.versions.contains(&(id, now));
        let at =
            if self.random.u8(0..25) == 0 { 4_070_908_800_000 + self.random.i64(0..9) * 1000 } else { now };
        if is_new && !self.versions.contains(&(id, at)) {
            self.rows.insert(id, at);
            self.versions.push((id, at));
        }
    }
}

#[test]
fn of_a_list_that_changes_while_it_is_read_the_last_state_comes_and_no_state_twice() {
    let seed = std::env::var("HEADWATER_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("HEADWATER_SEED={seed}");
    let worlds = std::env::var("HEADWATER_WORLDS").ok().and_then(|worlds| worlds.parse().ok()).unwrap_or(150);
    for world in 0..worlds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(changing_world(seed.wrapping_add(world)));
    }
}

async fn changing_world(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (order, exclusive, coarse) = (random.usize(0..3), random.bool(), random.bool());
    // By how much the server's clock is ahead of ours.
    let ahead = [0, 0, 3_600_000, -3_600_000][random.usize(0..4)];
    let says_date = ahead != 0 || random.bool();
    let slow = if random.bool() { 1500 } else { 20 };
    let quiet = Arc::new(Mutex::new(false));
    let rows = BTreeMap::new();
    let list = Changing { random: random.fork(), rows, versions: Vec::new(), coarse };
    let list = Arc::new(Mutex::new(list));
    let (start, served, is_quiet) = (tokio::time::Instant::now(), list.clone(), quiet.clone());
    let shown = move |millis: i64| {
        let time = chrono::DateTime::from_timestamp_millis(millis).unwrap();
        let form = if coarse { chrono::SecondsFormat::Secs } else { chrono::SecondsFormat::Millis };
        time.to_rfc3339_opts(form, true)
    };
    let api = Scripted::from_fn(move |request, _| {
        let mut list = served.lock().unwrap();
        let query: BTreeMap<_, _> = request.url().query_pairs().into_owned().collect();
        let now = 1_779_012_000_000 + ahead + i64::try_from(start.elapsed().as_millis()).unwrap();
        if !*is_quiet.lock().unwrap() {
            (0..list.random.usize(0..4)).for_each(|_| list.change(now));
            if list.random.u8(0..12) == 0 {
                return Reply::status(403);
            }
        }
        let since = query.get("since").map(|text| chrono::DateTime::parse_from_rfc3339(text).unwrap());
        let since = since.map_or(0, |time| time.timestamp_millis());
        let place = |(id, at): (&u64, &i64)| match order {
            0 => (*at, *id),
            1 => (-*at, *id),
            _ => (0, *id),
        };
        let mut found: Vec<_> =
            list.rows.iter().filter(|(_, at)| **at > since - i64::from(!exclusive)).collect();
        found.sort_by_key(|row| place(*row));
        let after: Option<(i64, u64)> = query.get("after").map(|text| serde_json::from_str(text).unwrap());
        found.retain(|row| after.is_none_or(|after| place(*row) > after));
        let page: Vec<Value> =
            found.iter().take(3).map(|(id, at)| json!({"id": id, "at": shown(**at)})).collect();
        let next = found.get(2).filter(|_| found.len() > 3).map(|row| json!(place(*row)).to_string());
        let date = std::time::UNIX_EPOCH + Duration::from_millis(now as u64);
        let delay = Duration::from_millis(list.random.u64(1..slow));
        // What changes while the answer is on its way is not in it.
        let reply = Reply::json(json!({"data": page, "next": next}).to_string()).delay(delay);
        if says_date { reply.header("date", &httpdate::fmt_http_date(date)) } else { reply }
    });
    let rules = by_time();
    let rules = if exclusive { rules.exclusive() } else { rules };
    let rules = if order == 1 { rules.descending() } else { rules };
    let sink = Memory::new();
    let mut taken: Vec<(u64, String)> = Vec::new();
    for number in 0..12 {
        *quiet.lock().unwrap() = number >= 10;
        let source = || {
            let source =
                Source::get("s", "https://h.example/?since={since}").transport(api.clone()).records("data");
            let source = source.paginate(Cursor::body("next").into_query("after")).retry(RetryPolicy::none());
            source.incremental(rules.clone())
        };
        // One that is broken off goes on.
        while let Err(error) = run(&sink, source()).await {
            assert_eq!(error.kind(), ErrorKind::Status, "HEADWATER_SEED={seed}: {error}");
            tokio::time::sleep(Duration::from_millis(random.u64(0..5_000))).await;
        }
        for line in sink.lines("s") {
            let line: Value = serde_json::from_str(&line).unwrap();
            taken.push((line["id"].as_u64().unwrap(), line["at"].as_str().unwrap().to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(random.u64(0..20_000))).await;
    }
    let list = list.lock().unwrap();
    let why =
        format!("HEADWATER_SEED={seed} order {order} exclusive {exclusive} coarse {coarse} ahead {ahead}");
    for (id, at) in &list.rows {
        assert!(taken.contains(&(*id, shown(*at))), "{id} of {} is lost: {why}", shown(*at));
    }
    let mut once = taken.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), taken.len(), "one came twice: {why}");
}
