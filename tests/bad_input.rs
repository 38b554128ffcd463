//! Bad input gets an error that says what and where, and nothing that was committed is lost by it.

mod support;

use std::path::Path;
use std::time::Duration;

use headwater::error::ErrorKind;
use headwater::pipeline::{Outcome, RunError};
use headwater::prelude::*;
use headwater::sink::Jsonl;
use headwater::testing::{Reply, Scripted};
use support::{files, ids_in, ids_of};

const URL: &str = "https://api.example.com/items";

/// Three pages of two records; the second page is `second`.
fn three_pages(second: Reply) -> Scripted {
    let page = |first: u64, next: &str| {
        Reply::json(format!(r#"{{"data":[{{"id":{first}}},{{"id":{}}}],"next":{next}}}"#, first + 1))
    };
    Scripted::from_fn(move |request, _| match request.url().query() {
        None => page(1, "\"b\""),
        Some("cursor=b") => second.clone(),
        _ => page(5, "null"),
    })
}

fn good() -> Reply {
    Reply::json(r#"{"data":[{"id":3},{"id":4}],"next":"c"}"#)
}

fn source(api: &Scripted) -> Source {
    builder(api).build().unwrap()
}

fn builder(api: &Scripted) -> headwater::SourceBuilder {
    Source::get("items", URL)
        .records("data")
        .paginate(Cursor::body("next"))
        .retry(RetryPolicy::exponential().base(Duration::ZERO).max_attempts(3))
        .transport(api.clone())
}

async fn pull(api: &Scripted, out: &Path) -> Result<headwater::Report, RunError> {
    Pipeline::new().source(source(api)).sink(Jsonl::dir(out)).run().await
}

/// Pulls with a bad second page, then with a good one: the first is committed, and nothing is lost or twice.
async fn fails_and_goes_on(second: Reply, kind: ErrorKind, words: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let failure = pull(&three_pages(second), out.path()).await.unwrap_err();
    let text = failure.to_string();
    assert_eq!(failure.error.kind(), kind, "{text}");
    for word in
        ["items: page 2 (cursor \"b\")", "GET https://api.example.com/items?cursor=b"].iter().chain(words)
    {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    let report = failure.report.unwrap();
    assert_eq!(report.source("items").unwrap().outcome, Outcome::Failed);
    assert_eq!(report.source("items").unwrap().records, 2);
    assert_eq!(ids_of(out.path(), "items"), ["1", "2"]);
    let again = three_pages(good());
    let report = pull(&again, out.path()).await.unwrap();
    assert_eq!(report.records(), 6);
    assert_eq!(ids_of(out.path(), "items"), ["1", "2", "3", "4", "5", "6"]);
    assert_eq!(
        again.urls()[0],
        "https://api.example.com/items?cursor=b",
        "it goes on with the page that failed"
    );
}

#[tokio::test]
async fn html_with_status_200_is_retried_and_then_shown() {
    let login = Reply::status(200).html("<html><title>Sign in</title>\n</html>");
    fails_and_goes_on(
        login,
        ErrorKind::NotJson,
        &["HTML", "<title>Sign in</title>", "gave up after 3 attempts"],
    )
    .await;
}

#[tokio::test]
async fn truncated_json_is_asked_for_once_more_and_then_shown() {
    let cut = Reply::json(r#"{"data":[{"id":3},{"id"#);
    fails_and_goes_on(cut, ErrorKind::NotJson, &["ends too early (22 bytes)", "gave up after 2 attempts"])
        .await;
}

#[tokio::test]
async fn trailing_bytes_are_not_ignored() {
    let two = Reply::json(r#"{"data":[],"next":null}{"data":[]}"#);
    fails_and_goes_on(two, ErrorKind::NotJson, &["trailing characters"]).await;
}

#[tokio::test]
async fn invalid_utf8_names_the_byte() {
    let latin1 = Reply::json(&b"{\"data\":[\"caf\xE9\"],\"next\":null}"[..]);
    fails_and_goes_on(latin1, ErrorKind::Encoding, &["invalid UTF-8 at byte 13"]).await;
}

#[tokio::test]
async fn a_missing_record_path_lists_what_there_is() {
    let moved = Reply::json(r#"{"result":{"items":[1,2,3]},"next":null}"#);
    fails_and_goes_on(
        moved,
        ErrorKind::RecordPath,
        &["\"data\" is not in the answer", "\"result.items\" (3 items)"],
    )
    .await;
}

#[tokio::test]
async fn a_record_path_without_an_array_says_what_it_is() {
    let one = Reply::json(r#"{"data":{"id":3},"next":null}"#);
    fails_and_goes_on(one, ErrorKind::RecordPath, &["holds an object, not an array"]).await;
}

#[tokio::test]
async fn a_missing_cursor_is_not_the_end() {
    let silent = Reply::json(r#"{"data":[{"id":3}]}"#);
    fails_and_goes_on(
        silent,
        ErrorKind::Cursor,
        &["the cursor \"next\" is not in the answer", "missing_ends()"],
    )
    .await;
}

#[tokio::test]
async fn a_cursor_that_repeats_is_not_followed() {
    let circle = Reply::json(r#"{"data":[{"id":3}],"next":"b"}"#);
    fails_and_goes_on(circle, ErrorKind::Cycle, &["was there before"]).await;
}

#[tokio::test]
async fn the_same_page_again_is_not_taken() {
    // A server that ignores the cursor, and does not even have one on its second page.
    let same = Reply::json(r#"{"data":[{"id":1},{"id":2}],"next":"b"}"#);
    fails_and_goes_on(same, ErrorKind::Cycle, &["the same, byte for byte"]).await;
}

#[tokio::test]
async fn an_empty_body_is_not_the_end() {
    fails_and_goes_on(Reply::status(204), ErrorKind::Empty, &["no body", "no_content_ends()"]).await;
}

#[tokio::test]
async fn a_refused_request_shows_the_answer() {
    let refused = Reply::status(403).body(r#"{"message":"Must have admin rights"}"#);
    fails_and_goes_on(refused, ErrorKind::Status, &["status 403 Forbidden", "Must have admin rights"]).await;
}

#[test]
fn a_name_that_is_no_file_name_is_refused() {
    for name in ["../x", "a/b", "", "a\0b", ".hidden"] {
        let error = Source::get(name, URL).records("").paginate(Single).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("cannot be the name of a source"), "{error}");
    }
}

#[test]
fn a_header_with_a_line_break_is_refused() {
    let error = Source::get("items", URL).header("X-Tag", "a\r\nX-Evil: 1").build().unwrap_err();
    assert!(
        error.to_string().contains("items: invalid definition: the value of the header x-tag"),
        "{error}"
    );
    let error = Source::get("items", URL)
        .bearer("abc\r\nX-Evil: 1")
        .records("")
        .paginate(Single)
        .build()
        .unwrap_err();
    assert!(!error.to_string().contains("abc"), "{error}");
}

#[test]
fn what_was_left_out_is_asked_for() {
    let error = Source::get("items", URL).paginate(Single).build().unwrap_err();
    assert!(error.to_string().contains("where are the records?"), "{error}");
    let error = Source::get("items", URL).records("data").build().unwrap_err();
    assert!(error.to_string().contains("how does the API page?"), "{error}");
    let error = Source::get("items", "api.example.com").records("data").paginate(Single).build().unwrap_err();
    assert!(error.to_string().contains("absolute URL"), "{error}");
}

#[tokio::test]
async fn two_sources_of_one_name_are_refused() {
    let api = three_pages(good());
    let run = Pipeline::new().source(source(&api)).source(source(&api)).sink(headwater::sink::Memory::new());
    assert_eq!(run.run().await.unwrap_err().error.kind(), ErrorKind::Config);
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn an_output_folder_that_cannot_be_written_is_named() {
    let out = tempfile::tempdir().unwrap();
    let taken = out.path().join("taken");
    std::fs::write(&taken, "a file where the folder should be").unwrap();
    let api = three_pages(good());
    let failure = pull(&api, &taken).await.unwrap_err();
    assert!(failure.to_string().contains(&taken.display().to_string()), "{failure}");
    assert!(api.requests().is_empty(), "nothing is asked for that cannot be written");
}

#[tokio::test]
async fn two_runs_on_one_folder_the_second_is_told_who_the_first_is() {
    let out = tempfile::tempdir().unwrap();
    let slow = Scripted::from_fn(|_, _| {
        Reply::json(r#"{"data":[{"id":1}],"next":null}"#).delay(Duration::from_millis(300))
    });
    let first = tokio::spawn({
        let (slow, out) = (slow.clone(), out.path().to_owned());
        async move { pull(&slow, &out).await }
    });
    while slow.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = three_pages(good());
    let failure = pull(&second, out.path()).await.unwrap_err();
    assert_eq!(failure.error.kind(), ErrorKind::Locked);
    assert!(failure.to_string().contains(&format!("in use by process {}", std::process::id())), "{failure}");
    assert!(second.requests().is_empty());
    assert_eq!(first.await.unwrap().unwrap().records(), 1);
}

/// A folder in which a run was broken off after its first page.
async fn broken_off() -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    pull(&three_pages(Reply::status(404)), out.path()).await.unwrap_err();
    out
}

async fn refused(out: &Path, source: Source) -> RunError {
    let before = std::fs::read(&files(out, "items")[0]).ok();
    let failure = Pipeline::new().source(source).sink(Jsonl::dir(out)).run().await.unwrap_err();
    assert_eq!(std::fs::read(&files(out, "items")[0]).ok(), before, "the file was not touched");
    failure
}

#[tokio::test]
async fn a_checkpoint_that_is_garbage_is_not_start_from_zero() {
    let out = broken_off().await;
    let path = out.path().join(".headwater/items.1.checkpoint");
    let good_bytes = std::fs::read(&path).unwrap();
    for garbage in
        ["", "garbage\n", "headwater-checkpoint 2 0 0 0\n{}\n", &String::from_utf8_lossy(&good_bytes[..40])]
    {
        std::fs::write(&path, garbage).unwrap();
        let failure = refused(out.path(), source(&three_pages(good()))).await;
        assert_eq!(failure.error.kind(), ErrorKind::Checkpoint, "{garbage:?}");
        assert!(failure.to_string().contains("items.1.checkpoint"), "{failure}");
    }
    std::fs::write(&path, good_bytes).unwrap();
    assert_eq!(pull(&three_pages(good()), out.path()).await.unwrap().records(), 6);
}

#[tokio::test]
async fn data_without_its_checkpoint_is_not_start_from_zero() {
    let out = broken_off().await;
    std::fs::remove_file(out.path().join(".headwater/items.1.checkpoint")).unwrap();
    let failure = refused(out.path(), source(&three_pages(good()))).await;
    assert_eq!(failure.error.kind(), ErrorKind::Checkpoint);
    assert!(failure.to_string().contains("no checkpoint that knows them"), "{failure}");
}

#[tokio::test]
async fn a_changed_definition_is_refused_and_named_until_it_is_accepted() {
    let out = broken_off().await;
    let changed = || builder(&three_pages(good())).query("state", "open").build().unwrap();
    let failure = refused(out.path(), changed()).await;
    assert_eq!(failure.error.kind(), ErrorKind::DefinitionChanged);
    assert!(failure.to_string().contains("query state changed"), "{failure}");
    let accepted =
        Pipeline::new().source(changed()).sink(Jsonl::dir(out.path())).accept_changed_definitions();
    // It asks with "state=open&cursor=b", which the script takes for the last page.
    assert_eq!(accepted.run().await.unwrap().records(), 4);
}

#[tokio::test]
async fn every_part_of_the_request_belongs_to_the_definition() {
    let out = broken_off().await;
    let api = three_pages(good());
    let changed = [
        builder(&api).query("state", "open").query("state", "closed"),
        builder(&api).header("Stripe-Account", "acct_1"),
    ];
    for source in changed {
        let failure = refused(out.path(), source.build().unwrap()).await;
        assert_eq!(failure.error.kind(), ErrorKind::DefinitionChanged, "{failure}");
    }
    // Each of two values of one name counts.
    let pairs = [
        (builder(&api).header("X", "a").header("X", "b"), builder(&api).header("X", "c").header("X", "b")),
        (builder(&api).header("Stripe-Account", "acct_1"), builder(&api).header("Stripe-Account", "acct_2")),
    ];
    for (before, after) in pairs {
        let memory = headwater::sink::Memory::new();
        let broken = three_pages(Reply::status(404));
        let run = |source: headwater::SourceBuilder| {
            Pipeline::new()
                .source(source.transport(broken.clone()).build().unwrap())
                .sink(memory.clone())
                .run()
        };
        assert_eq!(run(before).await.unwrap_err().error.kind(), ErrorKind::Status);
        assert_eq!(run(after).await.unwrap_err().error.kind(), ErrorKind::DefinitionChanged);
    }
}

#[tokio::test]
async fn a_new_token_is_not_a_new_definition() {
    let out = tempfile::tempdir().unwrap();
    let with = |api: &Scripted, token: &str| {
        Pipeline::new().source(builder(api).bearer(token).build().unwrap()).sink(Jsonl::dir(out.path()))
    };
    with(&three_pages(Reply::status(401)), "old-token").run().await.unwrap_err();
    assert_eq!(with(&three_pages(good()), "new-token").run().await.unwrap().records(), 6);
}

#[tokio::test]
async fn a_data_file_that_was_changed_or_cut_is_refused() {
    let out = broken_off().await;
    let file = files(out.path(), "items").remove(0);
    let text = std::fs::read(&file).unwrap();
    let mut changed = text.clone();
    changed[3] ^= 1;
    for (damage, words) in [(&text[..10], "were committed"), (&changed[..], "it was changed")] {
        std::fs::write(&file, damage).unwrap();
        let failure = refused(out.path(), source(&three_pages(good()))).await;
        assert_eq!(failure.error.kind(), ErrorKind::Checkpoint);
        assert!(failure.to_string().contains(words), "{failure}");
    }
    std::fs::write(&file, text).unwrap();
    pull(&three_pages(good()), out.path()).await.unwrap();
    assert_eq!(ids_in(&file), ["1", "2", "3", "4", "5", "6"]);
}
