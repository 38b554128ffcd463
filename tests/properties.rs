//! What holds for every input that makes sense: proptest makes documents, links and waits, and the checks of
//! `adversarial_input/` look at what becomes of them. Inputs of no sense are in `adversarial.rs`.
//!
//! A failure prints the smallest input that shows it, and is kept in `tests/properties.proptest-regressions` to be tried first
//! from then on. `PROPTEST_CASES` sets how many inputs are made, `PROPTEST_RNG_SEED` which.

mod adversarial_input;

use std::time::{Duration, UNIX_EPOCH};

use adversarial_input::{annotate, checkpoint, cursor, hints, link_header, page_walk};
use headwater::Hints;
use http::header::HeaderMap;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any JSON value, with the keys and strings that matter here among them.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "\\PC{0,8}",
        Just("__source".to_owned()),
        Just("a\nb\"\\\u{2028}".to_owned()),
    ];
    let key = prop_oneof![
        "[a-z_]{1,6}",
        Just("__source".to_owned()),
        Just("__ingested_at".to_owned()),
        Just("__source_original".to_owned()),
        Just("value".to_owned()),
        Just("ключ.~/".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn written(value: &Value, pretty: bool) -> Vec<u8> {
    if pretty { serde_json::to_vec_pretty(value) } else { serde_json::to_vec(value) }.unwrap()
}

/// A moment of 2026, and a span behind it.
fn later() -> impl Strategy<Value = (Duration, u64)> {
    ((1_767_225_600..1_798_761_600_u64).prop_map(Duration::from_secs), 0..86_400_u64)
}

proptest! {
    #[test]
    fn the_records_are_those_that_serde_json_sees(
        items in prop::collection::vec(any_json(), 0..8),
        before in any_json(),
        after in any_json(),
        pretty in any::<bool>(),
    ) {
        let document = json!({"a": before, "data": {"items": items, "n": 1}, "z": after});
        page_walk::check(&written(&document, pretty), "data.items", &["a", "z", "data.n", "data.items.0", "data"]);
    }

    #[test]
    fn a_path_leads_where_a_json_pointer_does(
        document in any_json(),
        records in "(/[a-z_0-9]{1,2}){0,3}",
        reads in prop::collection::vec("(/[a-z_0-9]{1,2}){0,3}", 0..3),
    ) {
        page_walk::check(&written(&document, false), &records, &reads.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_is_the_record_and_two_fields(record in any_json(), source in "\\PC{0,8}", pretty in any::<bool>()) {
        annotate::check(&source, &written(&record, pretty));
    }

    #[test]
    fn a_wait_is_read_as_it_was_written(millis in 0..10_000_000_u64) {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", format!("{}.{:03}", millis / 1000, millis % 1000).parse().unwrap());
        let wait = Hints::read(&headers, UNIX_EPOCH).retry_after.unwrap();
        prop_assert_eq!(wait.as_millis(), u128::from(millis));
        hints::check(&headers, UNIX_EPOCH, 1.0, 1, Duration::from_secs(900));
    }

    #[test]
    fn a_date_is_measured_against_that_of_the_answer((now, wait) in later(), form in 0..3_usize, clock in any::<u32>()) {
        const FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
        let date = |at: Duration, form: usize| {
            let at: chrono::DateTime<chrono::Utc> = (UNIX_EPOCH + at).into();
            at.format(FORMS[form]).to_string()
        };
        let mut headers = HeaderMap::new();
        headers.insert("date", date(now, 0).parse().unwrap());
        headers.insert("retry-after", date(now + Duration::from_secs(wait), form).parse().unwrap());
        // Whatever the clock of this machine says.
        let received = UNIX_EPOCH + Duration::from_secs(clock.into());
        prop_assert_eq!(Hints::read(&headers, received).retry_after, Some(Duration::from_secs(wait)));
        hints::check(&headers, received, 25.0, 50, Duration::from_secs(900));
    }

    #[test]
    fn a_well_formed_link_header_is_read_by_its_grammar(links in prop::collection::vec((
        "(https://api\\.example\\.com)?[/?][a-z0-9=&,;]{0,8}",
        prop::collection::vec(prop_oneof![
            "[rR][eE][lL] ?= ?\"(prev |last )?[nN]ext( up)?\"",
            "rel=(next|last|nextish)",
            "title=\"[ -!#-\\[\\]-~]{0,8}\"",
            "title=\"(\\\\\"|, <b>; rel=next){0,2}\"",
            "anchor=\"[/#?a-z]{0,4}\"",
            "title\\*=UTF-8''%e2%82%ac",
            "crossorigin",
        ], 0..4),
        "[ \t]?;[ \t]?",
        "[ \t]?,[ ,]{0,2}",
    ), 0..4)) {
        let mut line = String::new();
        for (target, parameters, semicolon, comma) in links {
            line += &format!("<{target}>{}{comma}", parameters.iter().map(|one| format!("{semicolon}{one}")).collect::<String>());
        }
        link_header::check(&[line.as_bytes()]);
    }

    #[test]
    fn every_position_and_sink_state_comes_back_from_its_file(position in any_json(), state in any_json(), pages in any::<u64>()) {
        let mut checkpoint = serde_json::to_value(checkpoint::sample()).unwrap();
        checkpoint["mark"]["next"] = json!({ "json": position });
        checkpoint["mark"]["pages"] = pages.into();
        checkpoint["sink"] = state;
        let checkpoint = serde_json::from_value(checkpoint).unwrap();
        prop_assert_eq!(checkpoint::load(&checkpoint::saved(&checkpoint)), Ok(checkpoint));
    }

    #[test]
    fn a_token_is_sent_back_as_it_came(token in any_json(), pretty in any::<bool>()) {
        cursor::check("meta.next", &written(&json!({"data": [1], "meta": {"next": token, "n": 1}}), pretty));
    }
}
