//! Adversarial input: what holds for every input, tried with inputs of no sense at all.
//!
//! The checks are in `adversarial_input/`, and the fuzzers in `fuzz/` run the same. Here they meet bytes from
//! proptest, the seeds of the fuzzers, and every input that once failed. `PROPTEST_CASES` sets how many inputs are
//! made, `PROPTEST_RNG_SEED` which. Inputs that make sense are in `properties.rs`.

mod adversarial_input;

use std::path::{Path, PathBuf};

use adversarial_input::{
    TARGETS, annotate, checkpoint, cursor, hints, link_header, next_url, page_walk, redact,
};
use proptest::prelude::*;

/// Inputs by hand, by the name of the fuzzer that starts with them.
fn inputs(folder: &str, target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/adversarial_input").join(folder).join(target);
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

#[test]
fn what_once_failed_and_every_seed_passes() {
    for (target, check) in TARGETS {
        let (seeds, once_failed) = (inputs("seeds", target), inputs("regressions", target));
        assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
        println!("{target}: {} seeds, {} inputs that once failed", seeds.len(), once_failed.len());
        for file in seeds.iter().chain(&once_failed) {
            let bytes = std::fs::read(file).expect("a file");
            let outcome = std::panic::catch_unwind(|| check(&bytes));
            assert!(outcome.is_ok(), "{target} fails with {}", file.display());
        }
    }
}

/// Pieces of JSON, put together as chance has it: nearly valid, more often than bytes are.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 40] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\n",
        "\t",
        "\r",
        "\"a\"",
        "\"a\":",
        "\"data\":[",
        "\"\\u0061\":",
        "\"\\ud800\"",
        "null",
        "true",
        "false",
        "0",
        "-0",
        "01",
        "1.5",
        "1.",
        "1e9",
        "1e999",
        "-",
        "\"",
        "\\",
        "\"\\\"\"",
        "\"\\x\"",
        "\"\u{0}\"",
        "é",
        "\u{FEFF}",
        "{}",
        "[]",
        "{\"a\":{\"b\":[1,2]}}",
        "[[[[",
        "]]]]",
        "nul",
        "/",
    ];
    prop::collection::vec(0..PIECES.len(), 0..24)
        .prop_map(|pieces| pieces.into_iter().map(|piece| PIECES[piece]).collect::<String>().into_bytes())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..64), nearly_json()]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof!["[a-b0-1]{0,1}(\\.[a-b0-1]){0,2}", "(/[a-b0-1~]{0,2}){0,3}", Just("data".to_owned())]
}

proptest! {
    #[test]
    fn any_bytes_are_walked(body in bytes(), records in path(), captures in prop::collection::vec(path(), 0..3)) {
        page_walk::check(&body, &records, &captures.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn any_record_is_one_line(source in "\\PC{0,8}", record in bytes()) {
        annotate::check(&source, &record);
    }

    #[test]
    fn any_link_header_is_read(lines in prop::collection::vec(prop_oneof![
        "[<>;,=\" a-z\\\\/?]{0,40}",
        "(<[a-z/:.?]{0,8}>(; ?(rel|anchor|title)=\"?(next|prev|/x|a,b){0,2}\"?){0,3},? ?){0,3}",
    ], 0..3)) {
        link_header::check(&lines.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn any_hint_is_bounded(
        setting in "(0|-1|0\\.5|1e9|NaN|7) (0|1|50|4294967295) (0|1|900|18446744073709551615) [0-9]{1,10}",
        headers in prop::collection::vec((0..32_usize, prop_oneof![
            "[ -~]{0,40}",
            "[0-9]{1,20}/[0-9]{1,20}",
            "[0-9]{0,20}(\\.[0-9]{1,3})?(ms|s|m|h|d)",
            "api-usage=[0-9]{1,20}/[0-9]{1,20}",
            "total=[0-9]{1,9}; remaining=[0-9]; resets=[0-9]{1,20}",
            "\\{\"(call_count|acc_id_util_pct|reset_time_duration)\":[0-9]{1,20}(e[0-9]{1,3})?\\}",
            "\\{\"1\":\\[\\{\"estimated_time_to_regain_access\":[0-9]{1,20}(e[0-9]{1,3})?\\}\\]\\}",
            "20[0-9]{2}-0[0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:00)?(Z|\\+0000)",
            "-?[0-9]{1,22}(\\.[0-9]{1,9})?",
            "(Sun|Mon), [0-3][0-9] (Jan|May|Dec) [0-9]{4} [0-2][0-9]:00:00 GMT",
            "\"[a-z]\";r=[0-9]{1,3};t=[0-9]{1,12}",
            "limit=10, remaining=0, reset=[0-9]{1,20}",
        ]), 0..4),
    ) {
        const NAMES: [&str; 32] = [
            "backoff", "x-retry-after", "x-rate-limit-limit", "x-rate-limit-interval", "x-amzn-ratelimit-limit",
            "x-shopify-shop-api-call-limit", "sforce-limit-info", "zendesk-ratelimit-x", "x-app-usage", "x-ad-account-usage",
            "x-business-use-case-usage", "x-ratelimit-remaining-usd", "x-ratelimit-cost-usd", "x-complexity",
            "x-ratelimit-complexity-remaining", "x-ratelimit-complexity-reset", "x-ratelimit-credits-used",
            "x-ratelimit-reset-after", "x-rate-limit-requests-left", "x-rate-limit-time-reset-ms",
            "retry-after", "retry-after-ms", "x-ms-retry-after-ms", "ratelimit", "ratelimit-policy", "ratelimit-remaining",
            "ratelimit-reset", "x-ratelimit-remaining", "x-ratelimit-reset", "x-ratelimit-limit", "x-rate-limit-reset", "date",
        ];
        let headers = headers.into_iter().map(|(name, value)| format!("\n{}: {value}", NAMES[name]));
        hints::fuzz(headers.fold(setting, |input, header| input + &header).as_bytes());
    }

    #[test]
    fn any_bytes_are_no_checkpoint(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        checkpoint::file(&bytes);
    }

    #[test]
    fn any_json_under_a_good_header_is_read_or_refused(json in bytes()) {
        checkpoint::sealed(&json);
    }

    #[test]
    fn any_change_of_a_checkpoint_is_seen(edits in prop::collection::vec(any::<u8>(), 3..13)) {
        checkpoint::changed(&edits);
    }

    #[test]
    fn any_link_stays_home(home in 0..5_usize, link in prop_oneof![
        "(https?:)?[/\\\\@:.?#a-z0-9\\[\\]%-]{0,24}",
        "[ \t\n]?(https?|HTTPS|ftp|data|javascript|)(:|)(//|/\\\\|\\\\\\\\|/|///|)(api|files|evil|user:pw@api|api@evil)?\\.?example\\.com(:443|:8443|:|\\.|)(/v1|\\?page=2|#f|)",
        "\\PC{0,16}",
    ]) {
        next_url::check(home, &link);
    }

    #[test]
    fn any_spelling_of_a_secret_is_wiped(
        secret in prop_oneof!["(%25|%2F|\\\\|\\u0041|&amp;|a|%){4,9}", "[!-~]{0,5}", "[!-)+-~]{8,24}", "[a-zA-Z0-9_/+=-]{8,40}", "[ -)+-~é€😀\\n]{8,12}"],
        spelling in 0..36_usize,
        before in prop_oneof!["[%\\\\&#xu0-9a-f\"]{0,6}", "\\PC{0,12}"],
        after in prop_oneof!["[%\\\\&#xu0-9a-f\"]{0,6}", "\\PC{0,12}"],
    ) {
        redact::check(&secret, spelling, &before, &after);
    }

    #[test]
    fn any_json_in_the_place_of_a_cursor_is_a_token_the_end_or_an_error(path in path(), body in bytes()) {
        cursor::check(&path, &body);
    }
}
