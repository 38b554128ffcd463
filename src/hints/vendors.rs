//! Budgets that stand in a form of the vendor's own, in a header that no one else uses.

use std::time::Duration;

use serde_json::Value;

use super::time;
use super::told::{Budget, Told};

/// Shopify's bucket leaks its whole size in this time, on every plan: 40 at 2, 80 at 4, 400 at 20 a second
/// ("REST Admin API rate limits").
const SHOPIFY_LEAK: Duration = Duration::from_secs(20);

pub(super) fn budgets(told: &Told<'_>) -> Vec<Budget> {
    let mut budgets = Vec::new();
    budgets.extend(shopify(told));
    budgets.extend(salesforce(told));
    budgets.extend(told.beginning("zendesk-ratelimit-").filter_map(zendesk));
    budgets.extend(meta(told));
    budgets
}

/// `X-Shopify-Shop-Api-Call-Limit: 32/40`: used of how many. One more is there after a request has leaked.
fn shopify(told: &Told<'_>) -> Option<Budget> {
    let (used, limit) = fraction(told.text("x-shopify-shop-api-call-limit")?)?;
    let leak = SHOPIFY_LEAK / u32::try_from(limit).ok().filter(|limit| *limit > 0)?;
    Some(Budget { remaining: limit.saturating_sub(used), limit: Some(limit), reset: Some(leak), cost: None })
}

/// `Sforce-Limit-Info: api-usage=18/5000` ("API request limits and allocations"): of 24 hours that roll; when some of
/// it comes back is not told. `per-app-api-usage=17/250(appName=…)` may stand beside it.
fn salesforce(told: &Told<'_>) -> Vec<Budget> {
    let usages = told.all("sforce-limit-info").flat_map(|value| value.split([';', ',']));
    let usages = usages.filter_map(|part| {
        let (name, usage) = part.split_once('=')?;
        let usage = usage.split('(').next().unwrap_or_default();
        if name.trim().ends_with("api-usage") { fraction(usage) } else { None }
    });
    usages
        .map(|(used, limit)| Budget {
            remaining: limit.saturating_sub(used),
            limit: Some(limit),
            reset: None,
            cost: None,
        })
        .collect()
}

/// `zendesk-ratelimit-tickets-index: total=100; remaining=99; resets=41`, one header for each endpoint with a limit
/// of its own ("Best practices for avoiding rate limiting").
fn zendesk(value: &str) -> Option<Budget> {
    let field = |name: &str| {
        let mut pairs = value.split(';').filter_map(|part| part.split_once('='));
        pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value)
    };
    Some(Budget {
        remaining: time::count(field("remaining")?)?,
        limit: field("total").and_then(time::count),
        reset: field("resets").and_then(time::seconds),
        cost: None,
    })
}

/// `X-App-Usage`, `X-Ad-Account-Usage` and `X-Business-Use-Case-Usage` ("Graph API rate limits"): JSON with what was
/// used in percent. A percentage is no number of requests: only 100 of them say something, that nothing is left.
fn meta(told: &Told<'_>) -> Vec<Budget> {
    const MEASURES: [&str; 4] = ["call_count", "total_time", "total_cputime", "acc_id_util_pct"];
    let used_up = |usage: &Value| {
        MEASURES.iter().filter_map(|name| usage.get(name)?.as_f64()).any(|percent| percent >= 100.0)
    };
    let number =
        |usage: &Value, name: &str| usage.get(name).and_then(Value::as_f64).filter(|number| *number > 0.0);
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    let nothing_left = |reset| Budget { remaining: 0, limit: None, reset, cost: None };
    let json = |name: &str| serde_json::from_str::<Value>(told.text(name)?).ok();
    let mut budgets = Vec::new();
    if json("x-app-usage").is_some_and(|usage| used_up(&usage)) {
        budgets.push(nothing_left(None));
    }
    if let Some(usage) = json("x-ad-account-usage").filter(used_up) {
        budgets.push(nothing_left(number(&usage, "reset_time_duration").and_then(seconds)));
    }
    if let Some(Value::Object(businesses)) = json("x-business-use-case-usage") {
        for usage in businesses.values().filter_map(Value::as_array).flatten() {
            let minutes = number(usage, "estimated_time_to_regain_access");
            if minutes.is_some() || used_up(usage) {
                budgets.push(nothing_left(minutes.and_then(|minutes| seconds(minutes * 60.0))));
            }
        }
    }
    budgets
}

/// How far apart requests are to be, where a rate is announced and not what is left of it.
pub(super) fn pace(told: &Told<'_>) -> Option<Duration> {
    // Selling Partner API, "Usage plans and rate limits": requests a second, with a fraction.
    let amazon = told.text("x-amzn-ratelimit-limit").and_then(time::decimal);
    let amazon =
        amazon.filter(|rate| *rate > 0.0).and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok());
    amazon.max(crossref(told))
}

/// Crossref, "Rate limits": `X-Rate-Limit-Limit: 50` in each `X-Rate-Limit-Interval: 1s`.
fn crossref(told: &Told<'_>) -> Option<Duration> {
    let interval = time::duration(told.text("x-rate-limit-interval")?)?;
    let limit = time::count(told.text("x-rate-limit-limit")?).filter(|limit| *limit > 0)?;
    Duration::try_from_secs_f64(interval.as_secs_f64() / limit as f64).ok()
}

/// `32/40`.
pub(super) fn fraction(value: &str) -> Option<(u64, u64)> {
    let (used, limit) = value.trim().trim_matches('"').split_once('/')?;
    Some((time::count(used)?, time::count(limit)?))
}
