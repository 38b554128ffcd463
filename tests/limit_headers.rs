//! Every dialect of limits that is read by default, with the values of the vendors' own examples where they give some.

use std::time::{Duration, UNIX_EPOCH};

use headwater::Hints;
use http::header::{HeaderMap, HeaderName};

/// 2026-05-17T10:00:00Z.
const NOW: u64 = 1_779_012_000;

fn read(headers: &[(&str, &str)]) -> Hints {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    Hints::read(&map, UNIX_EPOCH + Duration::from_secs(NOW))
}

/// What is expected: how much is left, of how much, until when (ms), what the request took.
type Budget = (Option<u64>, Option<u64>, Option<u64>, Option<u64>);

fn budget(hints: &Hints) -> Budget {
    (hints.remaining, hints.limit, hints.reset.map(|reset| reset.as_millis() as u64), hints.cost)
}

const fn of(remaining: u64, limit: u64, reset: u64) -> Budget {
    (Some(remaining), Some(limit), Some(reset), None)
}

#[test]
fn every_budget_is_read() {
    type Row = (&'static str, &'static [(&'static str, &'static str)], Budget);
    let rows: &[Row] = &[
        (
            "GitHub",
            &[
                ("x-ratelimit-limit", "5000"),
                ("x-ratelimit-remaining", "4987"),
                ("x-ratelimit-used", "13"),
                ("x-ratelimit-reset", "1779012350"),
                ("x-ratelimit-resource", "core"),
            ],
            of(4987, 5000, 350_000),
        ),
        (
            "GitLab",
            &[
                ("RateLimit-Limit", "60"),
                ("RateLimit-Observed", "67"),
                ("RateLimit-Remaining", "0"),
                ("RateLimit-Reset", "1779012030"),
                ("RateLimit-ResetTime", "Sun, 17 May 2026 10:00:30 GMT"),
            ],
            of(0, 60, 30_000),
        ),
        (
            "X",
            &[
                ("x-rate-limit-limit", "900"),
                ("x-rate-limit-remaining", "899"),
                ("x-rate-limit-reset", "1779012900"),
            ],
            of(899, 900, 900_000),
        ),
        (
            "Reddit",
            &[("X-Ratelimit-Used", "2"), ("X-Ratelimit-Remaining", "598.0"), ("X-Ratelimit-Reset", "433")],
            (Some(598), None, Some(433_000), None),
        ),
        (
            "Discord",
            &[
                ("X-RateLimit-Limit", "5"),
                ("X-RateLimit-Remaining", "0"),
                ("X-RateLimit-Reset", "1779012060.123"),
                ("X-RateLimit-Reset-After", "64.57"),
                ("X-RateLimit-Bucket", "abcd1234"),
            ],
            of(0, 5, 64_570),
        ),
        (
            "Twitch",
            &[("Ratelimit-Limit", "800"), ("Ratelimit-Remaining", "799"), ("Ratelimit-Reset", "1779012004")],
            of(799, 800, 4000),
        ),
        (
            "Datadog",
            &[
                ("X-RateLimit-Limit", "300"),
                ("X-RateLimit-Period", "3600"),
                ("X-RateLimit-Remaining", "299"),
                ("X-RateLimit-Reset", "1200"),
            ],
            of(299, 300, 1_200_000),
        ),
        (
            "Confluence Data Center",
            &[
                ("X-RateLimit-Limit", "10"),
                ("X-RateLimit-Remaining", "0"),
                ("X-RateLimit-Interval-Seconds", "1"),
                ("X-RateLimit-FillRate", "1"),
            ],
            of(0, 10, 1000),
        ),
        (
            "Jira",
            &[
                ("X-RateLimit-Limit", "350"),
                ("X-RateLimit-Remaining", "0"),
                ("X-RateLimit-Reset", "2026-05-17T10:15Z"),
            ],
            of(0, 350, 900_000),
        ),
        (
            "Linear, requests",
            &[
                ("X-RateLimit-Requests-Limit", "1500"),
                ("X-RateLimit-Requests-Remaining", "1499"),
                ("X-RateLimit-Requests-Reset", "1779012500250"),
            ],
            of(1499, 1500, 500_250),
        ),
        (
            "Linear, complexity: 12 requests of 20 points, before 1,499 of one",
            &[
                ("X-Complexity", "20"),
                ("X-RateLimit-Complexity-Limit", "250000"),
                ("X-RateLimit-Complexity-Remaining", "249"),
                ("X-RateLimit-Complexity-Reset", "1779012500000"),
                ("X-RateLimit-Requests-Remaining", "1499"),
                ("X-RateLimit-Requests-Reset", "1779012500000"),
            ],
            (Some(249), Some(250_000), Some(500_000), Some(20)),
        ),
        (
            "HubSpot",
            &[
                ("X-HubSpot-RateLimit-Daily", "250000"),
                ("X-HubSpot-RateLimit-Daily-Remaining", "249"),
                ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000"),
                ("X-HubSpot-RateLimit-Max", "100"),
                ("X-HubSpot-RateLimit-Remaining", "99"),
            ],
            of(99, 100, 10_000),
        ),
        (
            "HubSpot, by the second",
            &[
                ("X-HubSpot-RateLimit-Secondly", "10"),
                ("X-HubSpot-RateLimit-Secondly-Remaining", "9"),
                ("X-HubSpot-RateLimit-Max", "100"),
                ("X-HubSpot-RateLimit-Remaining", "99"),
                ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000"),
            ],
            of(9, 10, 1000),
        ),
        (
            "HubSpot, its day used up",
            &[
                ("X-HubSpot-RateLimit-Daily", "250000"),
                ("X-HubSpot-RateLimit-Daily-Remaining", "0"),
                ("X-HubSpot-RateLimit-Remaining", "99"),
                ("X-HubSpot-RateLimit-Interval-Milliseconds", "10000"),
            ],
            (Some(0), Some(250_000), None, None),
        ),
        (
            "Xero",
            &[
                ("X-DayLimit-Remaining", "4500"),
                ("X-MinLimit-Remaining", "59"),
                ("X-AppMinLimit-Remaining", "9999"),
            ],
            (Some(59), None, Some(60_000), None),
        ),
        (
            "Trello",
            &[
                ("x-rate-limit-api-token-interval-ms", "10000"),
                ("x-rate-limit-api-token-max", "100"),
                ("x-rate-limit-api-token-remaining", "99"),
                ("x-rate-limit-api-key-interval-ms", "10000"),
                ("x-rate-limit-api-key-max", "300"),
                ("x-rate-limit-api-key-remaining", "299"),
            ],
            of(99, 100, 10_000),
        ),
        (
            "Okta",
            &[
                ("X-Rate-Limit-Limit", "600"),
                ("X-Rate-Limit-Remaining", "0"),
                ("X-Rate-Limit-Reset", "1779012057"),
            ],
            of(0, 600, 57_000),
        ),
        (
            "BigCommerce",
            &[
                ("X-Rate-Limit-Time-Window-Ms", "30000"),
                ("X-Rate-Limit-Time-Reset-Ms", "15000"),
                ("X-Rate-Limit-Requests-Quota", "150"),
                ("X-Rate-Limit-Requests-Left", "35"),
            ],
            of(35, 150, 15_000),
        ),
        (
            "Sentry",
            &[
                ("X-Sentry-Rate-Limit-Limit", "40"),
                ("X-Sentry-Rate-Limit-Remaining", "39"),
                ("X-Sentry-Rate-Limit-Reset", "1779012001"),
            ],
            of(39, 40, 1000),
        ),
        (
            "Zendesk",
            &[
                ("x-rate-limit", "700"),
                ("ratelimit-limit", "700"),
                ("x-rate-limit-remaining", "699"),
                ("ratelimit-remaining", "699"),
                ("ratelimit-reset", "41"),
                ("zendesk-ratelimit-tickets-index", "total=100; remaining=99; resets=41"),
            ],
            of(99, 100, 41_000),
        ),
        (
            "Klaviyo: the windows of the burst and of the minute in one header",
            &[
                ("RateLimit-Limit", "3, 3;w=1, 60;w=60"),
                ("RateLimit-Remaining", "2"),
                ("RateLimit-Reset", "1"),
            ],
            of(2, 3, 1000),
        ),
        ("Shopify", &[("X-Shopify-Shop-Api-Call-Limit", "32/40")], of(8, 40, 500)),
        ("Shopify Plus", &[("X-Shopify-Shop-Api-Call-Limit", "400/400")], of(0, 400, 50)),
        ("Salesforce", &[("Sforce-Limit-Info", "api-usage=18/5000")], (Some(4982), Some(5000), None, None)),
        (
            "Salesforce, per app",
            &[(
                "Sforce-Limit-Info",
                "api-usage=25/5000; per-app-api-usage=17/250(appName=sample-connected-app)",
            )],
            (Some(233), Some(250), None, None),
        ),
        (
            "OpenAlex, credits",
            &[
                ("X-RateLimit-Limit", "100000"),
                ("X-RateLimit-Remaining", "9"),
                ("X-RateLimit-Credits-Used", "10"),
                ("X-RateLimit-Reset", "3600"),
            ],
            (Some(9), Some(100_000), Some(3_600_000), Some(10)),
        ),
        (
            "OpenAlex, dollars",
            &[
                ("X-RateLimit-Limit-USD", "1"),
                ("X-RateLimit-Remaining-USD", "0.0123"),
                ("X-RateLimit-Cost-USD", "0.0001"),
                ("X-RateLimit-Reset", "3600"),
            ],
            (Some(12_300), Some(1_000_000), Some(3_600_000), Some(100)),
        ),
        (
            "Dataverse",
            &[("x-ms-ratelimit-burst-remaining-xrm-requests", "5999")],
            (Some(5999), None, Some(300_000), None),
        ),
        (
            "Cloudflare",
            &[("Ratelimit", r#""default";r=50;t=30"#), ("Ratelimit-Policy", r#""default";q=1200;w=300"#)],
            of(50, 1200, 30_000),
        ),
        (
            "IETF draft, no time to the reset: the window at the longest",
            &[
                ("RateLimit", r#""daily";r=0"#),
                ("RateLimit-Policy", r#""burst";q=100;w=60,"daily";q=1000;w=86400"#),
            ],
            of(0, 1000, 86_400_000),
        ),
        (
            "IETF draft, a quota in bytes is none in requests",
            &[
                ("RateLimit", r#""peruser";r=5;t=10, "bytes";r=1;t=10"#),
                ("RateLimit-Policy", r#""peruser";q=100;w=60, "bytes";q=65535;qu="content-bytes";w=10"#),
            ],
            of(5, 100, 10_000),
        ),
        ("IETF draft, older", &[("RateLimit", "limit=100, remaining=50, reset=5")], of(50, 100, 5000)),
        (
            "NASA: a rolling hour, and no reset",
            &[("X-RateLimit-Limit", "1000"), ("X-RateLimit-Remaining", "998")],
            (Some(998), Some(1000), None, None),
        ),
        (
            "Meta, a share of it used",
            &[("X-App-Usage", r#"{"call_count":28,"total_time":25,"total_cputime":25}"#)],
            (None, None, None, None),
        ),
        (
            "Meta, all of it used",
            &[("X-App-Usage", r#"{"call_count":104,"total_time":25,"total_cputime":25}"#)],
            (Some(0), None, None, None),
        ),
        (
            "Meta, an ad account",
            &[("X-Ad-Account-Usage", r#"{"acc_id_util_pct":100,"reset_time_duration":100}"#)],
            (Some(0), None, Some(100_000), None),
        ),
        (
            "Meta, a business",
            &[(
                "X-Business-Use-Case-Usage",
                r#"{"66782684":[{"type":"ads_management","call_count":95,"total_cputime":20,"total_time":20,
                   "estimated_time_to_regain_access":0}],
                   "10153848260347724":[{"type":"ads_insights","call_count":97,"total_cputime":23,"total_time":23,
                   "estimated_time_to_regain_access":19}]}"#,
            )],
            (Some(0), None, Some(19 * 60_000), None),
        ),
    ];
    for (api, headers, expected) in rows {
        // A header's value has no line breaks in it.
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.replace('\n', ""))).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let hints = read(&headers);
        assert_eq!(budget(&hints), *expected, "{api}: {hints:?}");
        let used_up = expected.0.is_some_and(|left| left < expected.3.unwrap_or(1));
        assert_eq!(hints.is_limited(), used_up, "{api}");
        assert_eq!(hints.wait(), hints.reset.filter(|_| used_up), "{api}");
    }
}

#[test]
fn every_wait_is_read() {
    for (api, headers, millis) in [
        ("GitHub, secondary limit", &[("Retry-After", "60")][..], 60_000),
        ("Shopify", &[("Retry-After", "2.0")], 2000),
        ("OAI-PMH", &[("Retry-After", "Sun, 17 May 2026 10:05:00 GMT")], 300_000),
        ("Azure", &[("retry-after-ms", "1500")], 1500),
        ("Cosmos DB", &[("x-ms-retry-after-ms", "42")], 42),
        ("BigCommerce: the longer one", &[("X-Retry-After", "30"), ("Retry-After", "15")], 30_000),
    ] {
        let hints = read(headers);
        assert_eq!(hints.retry_after, Some(Duration::from_millis(millis)), "{api}");
        assert!(hints.is_limited(), "{api}");
    }
}

#[test]
fn a_good_answer_may_ask_to_slow_down() {
    for (api, header, seconds) in
        [("Kinto", "Backoff", 30), ("Mozilla", "X-Backoff", 10), ("Sync", "X-Weave-Backoff", 1800)]
    {
        let hints = read(&[(header, &seconds.to_string())]);
        assert_eq!(hints.wait(), Some(Duration::from_secs(seconds)), "{api}");
        assert_eq!(hints.retry_after, None, "{api}");
        assert!(!hints.is_limited(), "{api}: it is no limit, a 403 with it is still a 403");
    }
}

#[test]
fn a_rate_may_be_announced() {
    for (api, headers, micros) in [
        ("Crossref", &[("X-Rate-Limit-Limit", "50"), ("X-Rate-Limit-Interval", "1s")][..], 20_000),
        ("Selling Partner", &[("x-amzn-RateLimit-Limit", "0.0167")], 59_880_239),
        ("Selling Partner", &[("x-amzn-RateLimit-Limit", "2.0")], 500_000),
    ] {
        let hints = read(headers);
        assert_eq!(hints.pace.map(|pace| pace.as_micros()), Some(micros), "{api}");
        assert!(!hints.is_limited());
    }
}

#[test]
fn what_is_garbled_says_nothing() {
    for headers in [
        [("X-Shopify-Shop-Api-Call-Limit", "0/0"), ("Backoff", "soon")],
        [("X-Shopify-Shop-Api-Call-Limit", "a lot"), ("Sforce-Limit-Info", "api-usage=many/5000")],
        [("X-App-Usage", "{\"call_count\":"), ("X-Business-Use-Case-Usage", "[1]")],
        [("x-amzn-RateLimit-Limit", "0"), ("zendesk-ratelimit-x", "total=1; resets=2")],
        [("X-Rate-Limit-Limit", "0"), ("X-Rate-Limit-Interval", "1s")],
        [("X-Rate-Limit-Limit", "50"), ("X-Rate-Limit-Interval", "a while")],
        [("X-RateLimit-Remaining-USD", "-1"), ("X-Complexity", "0")],
        [("RateLimit", "\"a\";r=x;t=y, ;;=,\"\\"), ("RateLimit-Policy", "\"a;q=;w=\"")],
    ] {
        assert_eq!(read(&headers), Hints::default(), "{headers:?}");
    }
}
