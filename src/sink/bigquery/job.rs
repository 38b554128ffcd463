//! Load jobs: one for each segment, under an id that anyone who has the segment finds again.
//!
//! Why rows come once. A job's id is made of what it loads, so whoever loads the same segment asks for the same job, and
//! BigQuery makes no second one of that id (409 `duplicate`; "Generating a job ID" in
//! <https://cloud.google.com/bigquery/docs/running-jobs>). What a job appends becomes visible as one atomic update when it
//! ends well ("Creation, truncation and append actions occur as one atomic update upon job completion",
//! `writeDisposition` in <https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad>): a job that
//! failed has appended nothing. So behind a job of which BigQuery says that it is `DONE` with an `errorResult`, and behind
//! no other, stands the next attempt, under the next id. Of all attempts at one segment at most one ends well, whoever
//! makes them.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128;

use super::client::{Call, Client};
use super::refusal::{Refusal, advice, may_pass};
use super::table::Table;
use super::upload::{Rows, upload};
use crate::error::{Error, ErrorKind, Result};
use crate::retry::{Decision, RetryPolicy, Tries};

/// Attempts that others have made are stepped over, one question each.
const MOST_ATTEMPTS: u32 = 1_000;
/// How many attempts one run makes itself.
const OWN_ATTEMPTS: u32 = 5;
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// What is to be loaded: all that its jobs' ids are made of.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) table: Table,
    pub(super) location: Option<String>,
    pub(super) source: String,
    /// Which run of the source, by the name that the checkpoint has for it: two runs of the same second are two.
    pub(super) run: String,
    /// When it began, for people.
    pub(super) stem: String,
    pub(super) number: u64,
    pub(super) rows: u64,
    /// Of the bytes.
    pub(super) hash: String,
}

/// What is known of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Job {
    pub(super) id: String,
    state: String,
    error: Option<Refusal>,
    errors: Vec<Refusal>,
    output_rows: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: String,
    error_result: Option<Refusal>,
    #[serde(default)]
    errors: Vec<Refusal>,
}

impl Job {
    fn read(id: &str, answer: &Value) -> Result<Self> {
        let unreadable = |why: &str| {
            Error::new(ErrorKind::Sink, format!("what BigQuery says of the job {id} cannot be read: {why}"))
                .once()
        };
        let status = answer.get("status").ok_or_else(|| unreadable("no status"))?;
        let status: Status =
            serde_json::from_value(status.clone()).map_err(|error| unreadable(&error.to_string()))?;
        let said = answer.pointer("/jobReference/jobId").and_then(Value::as_str);
        if said != Some(id) {
            // Then BigQuery would not know it by its id, and could load the rows once more.
            return Err(unreadable(&format!("its id is {said:?}"))
                .with_transience(crate::error::Transience::Permanent)
                .advice("what answers here does not keep the ids of jobs: it is not BigQuery's API"));
        }
        // Numbers of 64 bits are strings in Google's JSON.
        let rows = answer.pointer("/statistics/load/outputRows");
        let output_rows = rows.and_then(|rows| rows.as_u64().or_else(|| rows.as_str()?.parse().ok()));
        let Status { state, error_result, mut errors } = status;
        errors.truncate(8);
        Ok(Self { id: id.to_owned(), state, error: error_result, errors, output_rows })
    }

    fn is_done(&self) -> bool {
        self.state == "DONE"
    }
}

impl Load {
    /// The id of an attempt: letters, digits, `_` and `-`, at most 1,024 of them
    /// (<https://cloud.google.com/bigquery/docs/reference/rest/v2/JobReference>).
    pub(super) fn job_id(&self, attempt: u32) -> String {
        let Table { project, dataset, table } = &self.table;
        let number = self.number.to_string();
        let own = [&self.source, &self.stem, &self.run, &number, &self.hash];
        // With their lengths: no two lists of parts are the same text.
        let text: String = [project, dataset, table]
            .into_iter()
            .chain(own)
            .map(|part| format!("{}:{part},", part.len()))
            .collect();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let stem: String = self.stem.chars().take(300).map(plain).collect();
        format!("headwater_{stem}_{number:0>6}_{:032x}_{attempt}", xxh3_128(text.as_bytes()))
    }

    /// Keys and values of labels are lower-case letters, digits, `_` and `-`, at most 63
    /// (<https://cloud.google.com/bigquery/docs/labels-intro>).
    fn labels(&self) -> Value {
        let plain = |text: &str| -> String {
            let plain =
                |c: char| if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
            text.chars().take(63).map(plain).collect()
        };
        json!({"headwater_source": plain(&self.source), "headwater_run": plain(self.stem.rsplit('_').next().unwrap_or_default())})
    }

    fn resource(&self, id: &str) -> Value {
        let Table { project, dataset, table } = &self.table;
        let mut reference = json!({"projectId": project, "jobId": id});
        if let Some(location) = &self.location {
            reference["location"] = location.as_str().into();
        }
        json!({
            "jobReference": reference,
            "configuration": {
                "labels": self.labels(),
                "load": {
                    "destinationTable": {"projectId": project, "datasetId": dataset, "tableId": table},
                    "sourceFormat": "NEWLINE_DELIMITED_JSON",
                    "encoding": "UTF-8",
                    "createDisposition": "CREATE_NEVER",
                    "writeDisposition": "WRITE_APPEND",
                    "maxBadRecords": 0,
                    "ignoreUnknownValues": false,
                    "autodetect": false,
                },
            },
        })
    }

    fn failed(&self, job: &Job, what: &str) -> Error {
        let what = format!(
            "segment {} of {} was not loaded into {}: the job {} {what}",
            self.number, self.source, self.table, job.id
        );
        Error::new(ErrorKind::Sink, what)
    }
}

/// Loads rows: when it returns, they are in the table, once, whoever has tried before.
pub(super) async fn load(
    client: &Client,
    load: &Load,
    rows: &dyn Rows,
    retry: &RetryPolicy,
    most: Duration,
) -> Result<Job> {
    let (mut own, mut tries, mut random) = (0, Tries::default(), retry.random());
    for attempt in 0..MOST_ATTEMPTS {
        let id = load.job_id(attempt);
        let (job, is_own) = match find(client, load, &id).await? {
            Some(job) => (job, false),
            None => (submit(client, load, &id, rows, retry).await?, true),
        };
        own += u32::from(is_own);
        let job = wait(client, load, job, most).await?;
        let Some(error) = &job.error else { return checked(load, job) };
        let error = explain(load, &job, error);
        if !is_own {
            // Of an earlier run: what kept it from loading may have been put right since.
            tracing::info!(job = job.id, "an earlier attempt has failed");
            continue;
        }
        tracing::warn!(job = job.id, %error, "a load job has failed");
        match retry.decide(&mut tries, &error, random.f64()) {
            Decision::Retry(delay) if own < OWN_ATTEMPTS => tokio::time::sleep(delay).await,
            _ => return Err(error.at(|context| context.attempts = Some(own))),
        }
    }
    let what = format!("{MOST_ATTEMPTS} jobs for segment {} of {} have failed", load.number, load.source);
    Err(Error::new(ErrorKind::Sink, what).advice("see the jobs' errors in BigQuery's job history"))
}

/// Sees to it that there is a job of this id, and gives it, whether or not it is this call's.
async fn submit(client: &Client, load: &Load, id: &str, rows: &dyn Rows, retry: &RetryPolicy) -> Result<Job> {
    let (mut tries, mut random) = (Tries::default(), retry.random());
    loop {
        let error = match upload(client, &load.table.project, load.resource(id), rows).await {
            Ok(Some(answer)) => match Job::read(id, &answer) {
                Ok(job) => return Ok(job),
                Err(error) if !error.is_transient() => return Err(error),
                Err(error) => error,
            },
            Ok(None) => {
                Error::new(ErrorKind::Sink, format!("the job {id} is there, and cannot be found")).transient()
            }
            Err(error) => error,
        };
        // Whatever came of the call, the job may be there.
        if let Ok(Some(job)) = find(client, load, id).await {
            return Ok(job);
        }
        match retry.decide(&mut tries, &error, random.f64()) {
            Decision::Retry(delay) => {
                tracing::debug!(?delay, %error, "a segment is sent again");
                tokio::time::sleep(delay).await;
            }
            Decision::GiveUp(why) => {
                return Err(retry.explain(why, tries, error, std::time::SystemTime::now()));
            }
        }
    }
}

async fn find(client: &Client, load: &Load, id: &str) -> Result<Option<Job>> {
    let mut url = client.url(&["bigquery", "v2", "projects", &load.table.project, "jobs", id]);
    if let Some(location) = &load.location {
        url.query_pairs_mut().append_pair("location", location);
    }
    let call = Call::new(Method::GET, url)?;
    let answer = client.json("show a load job", &call, &[StatusCode::NOT_FOUND]).await?;
    answer.map(|answer| Job::read(id, &answer)).transpose()
}

/// Waits until a job is done.
async fn wait(client: &Client, load: &Load, mut job: Job, most: Duration) -> Result<Job> {
    let (since, mut pause) = (Instant::now(), FIRST_LOOK);
    while !job.is_done() {
        if since.elapsed() >= most {
            let what = format!("is {} for {most:?}", job.state.chars().take(20).collect::<String>());
            return Err(load
                .failed(&job, &what)
                .advice("the next run waits for the same job; `job_timeout` says for how long"));
        }
        tokio::time::sleep(pause.min(most.saturating_sub(since.elapsed()))).await;
        pause = (pause * 2).min(LONGEST_LOOK);
        job = match find(client, load, &job.id).await? {
            Some(job) => job,
            None => {
                return Err(load
                    .failed(&job, "was there and is gone")
                    .advice("check the location of the dataset (`location`)"));
            }
        };
    }
    Ok(job)
}

fn explain(load: &Load, job: &Job, error: &Refusal) -> Error {
    let more: Vec<String> =
        job.errors.iter().filter(|other| *other != error).take(3).map(Refusal::text).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join("; ")) };
    let failed = load.failed(job, &format!("failed, {}{more}", error.text()));
    let failed = match advice(StatusCode::OK, &error.reason) {
        Some(advice) => failed.advice(advice),
        None => failed.advice(
            "nothing of the segment was loaded; put right what it says, and the next run loads the segment",
        ),
    };
    if may_pass(&error.reason) { failed.transient() } else { failed }
}

/// A job that is done must have loaded as many rows as there are.
fn checked(load: &Load, job: Job) -> Result<Job> {
    match job.output_rows {
        Some(rows) if rows < load.rows => {
            let what = format!("has loaded {rows} rows of {}", load.rows);
            Err(load.failed(&job, &what).advice("compare the table with the segment before you go on"))
        }
        _ => Ok(job),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Load {
        Load {
            table: Table { project: "p".into(), dataset: "d".into(), table: "t".into() },
            location: None,
            source: "shop.orders".into(),
            run: "5f3a9c21".into(),
            stem: "shop.orders_20260517T100000Z".into(),
            number: 7,
            rows: 3,
            hash: "ab".into(),
        }
    }

    #[test]
    fn an_id_is_the_same_for_the_same_segment_and_no_other() {
        let id = sample().job_id(0);
        assert_eq!(id, sample().job_id(0));
        assert!(id.starts_with("headwater_shop-orders_20260517T100000Z_000007_"), "{id}");
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)) && id.len() < 1024);
        let others: [fn(&mut Load); 8] = [
            |load| load.table.project = "q".into(),
            |load| load.table.dataset = "e".into(),
            |load| load.table.table = "u".into(),
            |load| load.source = "shop-orders".into(),
            |load| load.run = "5f3a9c22".into(),
            |load| load.stem = "shop.orders_20260517T100001Z".into(),
            |load| load.number = 8,
            |load| load.hash = "ac".into(),
        ];
        let mut ids = vec![id, sample().job_id(1)];
        for change in others {
            let mut other = sample();
            change(&mut other);
            ids.push(other.job_id(0));
        }
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
    }
}
