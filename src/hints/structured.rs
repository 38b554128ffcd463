//! `RateLimit` and `RateLimit-Policy`, the structured fields of draft-ietf-httpapi-ratelimit-headers.

use std::time::Duration;

use super::told::{Budget, Told};
use super::{time, told};

/// One item of `RateLimit-Policy`: `"burst";q=100;w=60`.
#[derive(Debug, Default)]
struct Policy {
    name: String,
    quota: Option<u64>,
    window: Option<Duration>,
    /// The quota is not counted in requests (`qu="content-bytes"`, `qu="concurrent-requests"`).
    other_unit: bool,
}

/// The budgets of `RateLimit` (`"default";r=50;t=30`, one item for each policy; in older drafts
/// `limit=100, remaining=50, reset=5`). Where the time to the reset is left out, the policy's window is the longest
/// that it can be.
pub(super) fn budgets(told: &Told<'_>) -> Vec<Budget> {
    let policies: Vec<Policy> = told.all("ratelimit-policy").flat_map(policies).collect();
    told.all("ratelimit").flat_map(|value| items(value, &policies)).collect()
}

fn policies(value: &str) -> Vec<Policy> {
    split_outside_quotes(value, ',')
        .into_iter()
        .map(|item| {
            let mut policy = Policy::default();
            for (at, parameter) in split_outside_quotes(item, ';').into_iter().enumerate() {
                match parameter.split_once('=') {
                    None if at == 0 => policy.name = unquoted(parameter),
                    None => {}
                    Some((name, value)) => match name.trim().to_ascii_lowercase().as_str() {
                        "q" => policy.quota = time::count(value),
                        "w" => policy.window = time::seconds(value),
                        "qu" => {
                            policy.other_unit = !matches!(unquoted(value).as_str(), "request" | "requests")
                        }
                        _ => {}
                    },
                }
            }
            policy
        })
        .collect()
}

fn items(value: &str, policies: &[Policy]) -> Vec<Budget> {
    let mut budgets = Vec::new();
    let mut older: (Option<u64>, Option<u64>, Option<Duration>) = (None, None, None);
    for item in split_outside_quotes(value, ',') {
        let (mut name, mut remaining, mut reset) = (String::new(), None, None);
        for (at, parameter) in split_outside_quotes(item, ';').into_iter().enumerate() {
            let Some((key, value)) = parameter.split_once('=') else {
                if at == 0 {
                    name = unquoted(parameter);
                }
                continue;
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "r" => remaining = time::count(value),
                "t" => reset = time::seconds(value),
                "remaining" => older.0 = time::count(value),
                "limit" => older.1 = time::count(value),
                "reset" => older.2 = time::seconds(value),
                _ => {}
            }
        }
        let policy = policies.iter().find(|policy| policy.name == name);
        if let Some(remaining) = remaining.filter(|_| policy.is_none_or(|policy| !policy.other_unit)) {
            let limit = policy.and_then(|policy| policy.quota);
            let reset = reset.or(policy.and_then(|policy| policy.window));
            budgets.push(told::Budget { remaining, limit, reset, cost: None });
        }
    }
    if let (Some(remaining), limit, reset) = older {
        budgets.push(told::Budget { remaining, limit, reset, cost: None });
    }
    budgets
}

fn unquoted(text: &str) -> String {
    text.trim().trim_matches('"').to_owned()
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
