//! The families of headers that say how much is left of a budget, in one table.

use std::time::Duration;

use super::time;
use super::told::{Budget, Told};

/// How a time is written.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// A date, an epoch, or seconds left: their sizes tell them apart.
    Any,
    Seconds,
    Millis,
}

/// The headers of one budget.
struct Family {
    remaining: &'static str,
    limit: &'static str,
    /// The first that is there counts. Where the length of the window stands instead of the time to its end, it is
    /// the longest that this can be.
    reset: &'static [(&'static str, Form)],
    /// The length of the window, where the vendor's document has it and no header does.
    window: Option<Duration>,
    /// What this request took.
    cost: &'static str,
    /// So many units are 1: dollars are counted in millionths.
    units: f64,
}

const PLAIN: Family = Family { remaining: "", limit: "", reset: &[], window: None, cost: "", units: 1.0 };

const fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

const FAMILIES: &[Family] = &[
    // draft-ietf-httpapi-ratelimit-headers-03 to -06; GitLab, Twitch (epoch), Klaviyo, PagerDuty, Microsoft.
    Family {
        remaining: "ratelimit-remaining",
        limit: "ratelimit-limit",
        reset: &[("ratelimit-reset", Form::Any)],
        ..PLAIN
    },
    // GitHub, X, Reddit, Discord, Datadog, Jira, SendGrid, Alpaca, Intercom, ClickUp …; `Interval-Seconds`: Confluence
    // and Jira Data Center; `Credits-Used`: OpenAlex.
    Family {
        remaining: "x-ratelimit-remaining",
        limit: "x-ratelimit-limit",
        reset: &[
            // Discord: the same as its epoch, without the clocks.
            ("x-ratelimit-reset-after", Form::Seconds),
            ("x-ratelimit-reset", Form::Any),
            ("x-ratelimit-period", Form::Seconds),
            ("x-ratelimit-interval-seconds", Form::Seconds),
        ],
        cost: "x-ratelimit-credits-used",
        ..PLAIN
    },
    // OpenAlex: "Rate limits and authentication", since it counts in dollars.
    Family {
        remaining: "x-ratelimit-remaining-usd",
        limit: "x-ratelimit-limit-usd",
        reset: &[("x-ratelimit-reset", Form::Any)],
        cost: "x-ratelimit-cost-usd",
        units: 1e6,
        ..PLAIN
    },
    // Okta, Zendesk, Docker Hub …
    Family {
        remaining: "x-rate-limit-remaining",
        limit: "x-rate-limit-limit",
        reset: &[("x-rate-limit-reset", Form::Any)],
        ..PLAIN
    },
    // Linear: "Rate limiting"; its resets are epoch milliseconds.
    Family {
        remaining: "x-ratelimit-requests-remaining",
        limit: "x-ratelimit-requests-limit",
        reset: &[("x-ratelimit-requests-reset", Form::Any)],
        ..PLAIN
    },
    Family {
        remaining: "x-ratelimit-complexity-remaining",
        limit: "x-ratelimit-complexity-limit",
        reset: &[("x-ratelimit-complexity-reset", Form::Any)],
        cost: "x-complexity",
        ..PLAIN
    },
    // BigCommerce: "API rate limits".
    Family {
        remaining: "x-rate-limit-requests-left",
        limit: "x-rate-limit-requests-quota",
        reset: &[("x-rate-limit-time-reset-ms", Form::Millis), ("x-rate-limit-time-window-ms", Form::Millis)],
        ..PLAIN
    },
    // HubSpot: "API usage guidelines". The day ends at midnight in the account's time zone, which no header says.
    Family {
        remaining: "x-hubspot-ratelimit-remaining",
        limit: "x-hubspot-ratelimit-max",
        reset: &[("x-hubspot-ratelimit-interval-milliseconds", Form::Millis)],
        ..PLAIN
    },
    Family {
        remaining: "x-hubspot-ratelimit-secondly-remaining",
        limit: "x-hubspot-ratelimit-secondly",
        window: seconds(1),
        ..PLAIN
    },
    Family { remaining: "x-hubspot-ratelimit-daily-remaining", limit: "x-hubspot-ratelimit-daily", ..PLAIN },
    // Xero: "OAuth 2.0 API limits". The minute rolls; the day does too, and its end is told by `Retry-After` only.
    Family { remaining: "x-minlimit-remaining", window: seconds(60), ..PLAIN },
    Family { remaining: "x-appminlimit-remaining", window: seconds(60), ..PLAIN },
    Family { remaining: "x-daylimit-remaining", ..PLAIN },
    // Trello: "Rate limits".
    Family {
        remaining: "x-rate-limit-api-key-remaining",
        limit: "x-rate-limit-api-key-max",
        reset: &[("x-rate-limit-api-key-interval-ms", Form::Millis)],
        ..PLAIN
    },
    Family {
        remaining: "x-rate-limit-api-token-remaining",
        limit: "x-rate-limit-api-token-max",
        reset: &[("x-rate-limit-api-token-interval-ms", Form::Millis)],
        ..PLAIN
    },
    // Sentry: "Rate limits".
    Family {
        remaining: "x-sentry-rate-limit-remaining",
        limit: "x-sentry-rate-limit-limit",
        reset: &[("x-sentry-rate-limit-reset", Form::Any)],
        ..PLAIN
    },
    // Dataverse: "Service protection API limits"; its window slides over five minutes.
    Family { remaining: "x-ms-ratelimit-burst-remaining-xrm-requests", window: seconds(300), ..PLAIN },
];

/// The budgets that are told in one header for each number.
pub(super) fn budgets(told: &Told<'_>) -> Vec<Budget> {
    FAMILIES.iter().filter_map(|family| family.read(told)).collect()
}

impl Family {
    fn read(&self, told: &Told<'_>) -> Option<Budget> {
        let remaining = self.count(told.text(self.remaining)?)?;
        let number = |name: &str| if name.is_empty() { None } else { self.count(told.text(name)?) };
        let reset = self.reset.iter().find_map(|(name, form)| {
            let value = told.text(name)?;
            match form {
                Form::Any => time::reset(value, told.now),
                Form::Seconds => time::seconds(value),
                Form::Millis => time::millis(value),
            }
        });
        let cost = number(self.cost).filter(|cost| *cost > 0);
        Some(Budget { remaining, limit: number(self.limit), reset: reset.or(self.window), cost })
    }

    fn count(&self, value: &str) -> Option<u64> {
        if self.units == 1.0 {
            return time::count(value);
        }
        // Out of range is as much as there can be.
        time::decimal(value).map(|number| (number * self.units).round() as u64)
    }
}
