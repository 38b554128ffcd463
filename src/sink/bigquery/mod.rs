//! Tables of BigQuery, by load jobs over its REST API.
//!
//! The order of things, which is what makes a crash harmless:
//!
//! - *write*: rows go to a log on this machine's disk, in the form in which they are sent. A segment of it is sealed when it
//!   has reached its size or its age, and at the end of the source.
//! - *commit*: the log is synced, and the checkpoint says how far it goes.
//! - *load*: a segment that the stored checkpoint has sealed never changes again. It becomes one load job, whose id is made of
//!   it: see [`job`]. So whoever loads it again, after a crash at any instant, finds the job that was there before.
//!
//! Nothing is loaded that is not committed, and nothing is dropped from the log that is not loaded.

mod client;
mod encode;
mod job;
mod output;
mod refusal;
mod ship;
mod table;
mod upload;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use url::Url;

use self::client::Client;
use self::encode::Nested;
use self::output::{Output, Places};
use self::ship::{Shipper, Ships};
use self::table::{Layout, Partition};
use super::rejected::DeadLetters;
use super::spool::{Limits, Spool};
use crate::auth::{Auth, JwtGrant};
use crate::error::{Error, Result};
use crate::fs::{Disk, Fs};
use crate::request::is_loopback;
use crate::retry::RetryPolicy;
use crate::schema::Schemas;

const API: &str = "https://bigquery.googleapis.com";
/// What a service account asks for (<https://developers.google.com/identity/protocols/oauth2/scopes#bigquery>).
const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";

/// Tables of BigQuery, one for each source: typed columns, days as partitions.
///
/// Exactly once, as long as the folder of its log is kept: a crash at any instant, then a rerun, leaves each record in the table
/// once. The log, the rejected records and the checkpoints are in that folder ([`dir`](Self::dir)), unless the pipeline is
/// given another checkpoint store. Without the folder the next run begins anew, and loads everything again; rows that were committed
/// and not yet loaded are lost with it, so it belongs on a disk that stays.
///
/// The table is made if it is not there; the dataset is not. Its columns are inferred over the first records, or declared
/// ([`schemas`](Self::schemas)), and new fields become new columns.
///
/// ```no_run
/// use headwater::{Pipeline, sink::BigQuery};
/// let sink = BigQuery::new("my-project", "raw")
///     .service_account_file("service-account.json")?
///     .dir("state");
/// let pipeline = Pipeline::new().sink(sink);
/// # Ok::<(), headwater::Error>(())
/// ```
#[must_use]
pub struct BigQuery {
    project: String,
    dataset: String,
    table: String,
    dir: PathBuf,
    fs: Arc<dyn Fs>,
    endpoint: String,
    auth: Option<Arc<dyn Auth>>,
    location: Option<String>,
    layout: Layout,
    schemas: Option<Schemas>,
    nested: Nested,
    limits: Limits,
    job_timeout: Duration,
    retry: RetryPolicy,
    /// From the first opening on.
    opened: Option<Opened>,
    outputs: BTreeMap<Arc<str>, Output>,
}

/// What is there when something is open.
#[derive(Debug)]
struct Opened {
    shipper: Arc<Shipper>,
    to: Places,
}

impl BigQuery {
    /// Loads into a dataset of a project, which runs the jobs, too.
    pub fn new(project: impl Into<String>, dataset: impl Into<String>) -> Self {
        Self {
            project: project.into(),
            dataset: dataset.into(),
            table: "{source}".into(),
            dir: "headwater".into(),
            fs: Arc::new(Disk),
            endpoint: API.into(),
            auth: None,
            location: None,
            layout: Layout::default(),
            schemas: Some(Schemas::inferred()),
            nested: Nested::Text,
            limits: Limits { bytes: 256 * 1024 * 1024, rows: u64::MAX, age: Duration::from_secs(15 * 60) },
            job_timeout: Duration::from_secs(60 * 60),
            retry: RetryPolicy::exponential(),
            opened: None,
            outputs: BTreeMap::new(),
        }
    }

    /// Keeps the log, the rejected records and the checkpoints in this folder (default: `headwater`).
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = dir.into();
        self
    }

    /// Keeps the folder on another file system.
    pub fn on(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    /// Asks as a service account, by its key file, as it was downloaded: for tokens of the scope
    /// `https://www.googleapis.com/auth/bigquery`.
    ///
    /// # Errors
    /// `Config` if the file cannot be read, or is no key of a service account. It is not quoted.
    pub fn service_account_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let key = std::fs::read_to_string(path).map_err(|error| {
            Error::config(format!("the key file {} cannot be read", path.display())).because(error)
        })?;
        self.service_account(&key)
    }

    /// Asks as a service account, by the JSON of its key.
    ///
    /// # Errors
    /// As for [`service_account_file`](Self::service_account_file).
    pub fn service_account(self, key: &str) -> Result<Self> {
        Ok(self.auth(JwtGrant::google(key)?.scope(SCOPE)))
    }

    /// Puts other credentials on the calls: tokens of a metadata server, say.
    pub fn auth(mut self, auth: impl Auth + 'static) -> Self {
        self.auth = Some(Arc::new(auth));
        self
    }

    /// Asks another server than `https://bigquery.googleapis.com`: a private endpoint, or an emulator. One on this machine
    /// needs no credentials; to any other they only go over https.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.endpoint = url.into();
        self
    }

    /// Says where the dataset is (`EU`, `europe-west3`), which is asked for otherwise.
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Loads into this table; `{source}` in it stands for the name of the source (default: `{source}`). Sources may share a
    /// table: `__source` says which a row is of. A `.`, which no table has in its name, becomes `_`.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.table = name.into();
        self
    }

    /// Divides a table that is made into the days of this column, a timestamp or a date (default: `__ingested_at`, when the
    /// page of a row came).
    pub fn partition_by(mut self, column: impl Into<String>) -> Self {
        self.layout.partition = Partition::Column(column.into());
        self
    }

    /// Divides a table that is made into the days on which rows are loaded (`_PARTITIONTIME`).
    pub fn partition_by_load_time(mut self) -> Self {
        self.layout.partition = Partition::Loaded;
        self
    }

    /// Does not divide a table that is made.
    pub fn unpartitioned(mut self) -> Self {
        self.layout.partition = Partition::None;
        self
    }

    /// Clusters a table that is made by these columns, four at most.
    pub fn cluster_by<C: Into<String>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.layout.clustering = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Declares the columns of sources, and what happens to what does not fit them (default: they are inferred, and grow).
    pub fn schemas(mut self, schemas: Schemas) -> Self {
        self.schemas = Some(schemas);
        self
    }

    /// Takes each record as a whole, in a column `record` beside `__source` and `__ingested_at`: its text, as it came. Nothing is inferred, and
    /// whatever comes fits.
    pub fn schemaless(mut self) -> Self {
        self.schemas = None;
        self
    }

    /// Makes `JSON` of the columns for what is nested, and of `record`, in the place of `STRING` with the JSON text.
    /// BigQuery keeps numbers in JSON as 64-bit integers or doubles: one with more digits does not come out as it went in.
    pub fn json_columns(mut self) -> Self {
        self.nested = Nested::Json;
        self
    }

    /// Loads a segment of the log when it has so many bytes (default: 256 MiB).
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.limits.bytes = bytes.max(1);
        self
    }

    /// Loads a segment of the log when it has so many rows (default: it does not matter).
    pub fn segment_rows(mut self, rows: u64) -> Self {
        self.limits.rows = rows.max(1);
        self
    }

    /// Loads a segment of the log when its first row came so long ago (default: 15 minutes, so about 100 times a day), at the
    /// commit of the next page of its source. At the
    /// end of a source the rest is loaded, whatever its age. BigQuery takes 1,500 load jobs a day for each table, those that failed
    /// included.
    pub fn segment_age(mut self, age: Duration) -> Self {
        self.limits.age = age;
        self
    }

    /// Waits so long for a load job (default: an hour). Then the run ends, and the next one waits for the same job.
    pub fn job_timeout(mut self, time: Duration) -> Self {
        self.job_timeout = time;
        self
    }

    /// Sets when a call that failed is made again, and when a job that failed for a reason that may pass is.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Checks what was set, and makes what is needed to load. It asks for nothing.
    fn make(&self) -> Result<Opened> {
        let named = |what: &str, name: &str, more: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            match !name.is_empty() && name.len() <= 1024 && name.chars().all(is_plain) {
                true => Ok(()),
                false => Err(Error::config(format!("{name:?} is no name of a {what} of BigQuery"))),
            }
        };
        // A project of a domain is `example.com:project`.
        named("project", &self.project, "-.:")?;
        named("dataset", &self.dataset, "_")?;
        named("table", &self.table.replace("{source}", "x"), "_-")?;
        if self.layout.clustering.len() > 4 {
            return Err(Error::config("BigQuery clusters a table by four columns at most"));
        }
        let home = Url::parse(&self.endpoint)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .filter(|url| url.username().is_empty() && url.password().is_none() && url.query().is_none())
            .ok_or_else(|| {
                Error::config("the endpoint of BigQuery is no http or https URL, or has more in it")
            })?;
        if self.auth.is_none() && !is_loopback(&home) {
            return Err(Error::config("there are no credentials for BigQuery")
                .advice("give `service_account_file`, or any `auth`; without one only an emulator on this machine is asked"));
        }
        if self.auth.is_some() && home.scheme() != "https" && !is_loopback(&home) {
            return Err(Error::config("credentials only go out over https")
                .advice("give the https URL of the endpoint; plain http is for this machine"));
        }
        let shipper = Arc::new(Shipper {
            client: Client::new(home, self.auth.clone(), self.retry.clone())?,
            project: self.project.clone(),
            dataset: self.dataset.clone(),
            location: OnceCell::new_with(self.location.clone().map(Some)),
            layout: self.layout.clone(),
            retry: self.retry.clone(),
            job_timeout: self.job_timeout,
        });
        let place = self.dir.join(".headwater").join("spool");
        let spool = Spool::new(self.fs.clone(), place, self.limits, 2, Arc::new(Ships(shipper.clone())));
        let letters = DeadLetters::on(self.fs.clone(), self.dir.join("rejected"));
        Ok(Opened { shipper, to: Places { spool, letters, nested: self.nested } })
    }
}

impl fmt::Debug for BigQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BigQuery")
            .field("project", &self.project)
            .field("dataset", &self.dataset)
            .field("table", &self.table)
            .field("dir", &self.dir)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}
