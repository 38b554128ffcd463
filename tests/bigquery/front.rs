//! What stands before bqemulator in the tests: it does what BigQuery's documents say and the emulator does not, and it breaks
//! connections on order.
//!
//! The rows, the tables and the load jobs are the emulator's. What it lacks, and what is done here:
//! - It gives the job of an upload an id of its own, whatever `jobReference` says, and runs a job whose id is taken once more.
//!   Here a job is known by its id, and a second one of it is a 409 `duplicate`.
//! - `tables.patch` changes what it says of the columns, but not the columns, and does not look at `If-Match`. Here they are
//!   added (`ALTER TABLE`), and another etag is a 412.
//! - A job is `DONE` in its first answer. Here it may be `RUNNING` for some looks.
//! - It leaves out fields of a row that the table has no column for. In BigQuery the job fails, and so it does here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    /// The connection breaks, and nothing was done.
    Unheard,
    /// It is done, and the answer is lost.
    Unanswered,
    /// 503 `backendError`, and nothing was done.
    Refused,
    /// It is done, and the answer never comes.
    Frozen,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The faults, by the number of the call, from 0.
    pub(crate) faults: BTreeMap<u64, Fault>,
    /// How many looks a job is `RUNNING` for.
    pub(crate) looks: u64,
    /// Jobs that fail instead of being run: the reasons, one after the other.
    pub(crate) failing: Vec<&'static str>,
}

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    calls: Vec<String>,
    jobs: BTreeMap<String, (Value, u64)>,
    /// Resumable uploads: the job, and what has come.
    sessions: BTreeMap<String, Value>,
    etag: u64,
}

pub(crate) struct Front {
    pub(crate) url: String,
    emulator: String,
    state: Mutex<State>,
    /// One at a time: what is looked at before is still so when it is done.
    turn: tokio::sync::Mutex<()>,
    client: reqwest::Client,
    pub(crate) frozen: Notify,
}

type Answer = Response<Full<Bytes>>;

fn answer(status: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string()));
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}

fn refusal(status: u16, reason: &str, message: &str) -> Answer {
    let errors = json!([{"reason": reason, "message": message, "domain": "global"}]);
    answer(status, &json!({"error": {"code": status, "message": message, "errors": errors}}))
}

impl Front {
    pub(crate) async fn before(emulator: &str) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            emulator: emulator.trim_end_matches('/').to_owned(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            frozen: Notify::new(),
        });
        let serving = front.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let front = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| front.clone().serve(request));
                    // A fault breaks the connection.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        front
    }

    pub(crate) fn plan(&self, plan: Plan) {
        let mut state = self.state.lock().unwrap();
        (state.plan, state.calls) = (plan, Vec::new());
    }

    /// The calls since the plan was made.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.state.lock().unwrap().calls.clone()
    }

    pub(crate) fn jobs(&self) -> Vec<Value> {
        self.state.lock().unwrap().jobs.values().map(|(job, _)| job.clone()).collect()
    }

    /// Asks the emulator for rows.
    pub(crate) async fn query(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let body = json!({"query": query, "useLegacySql": false, "maxResults": 1_000_000});
        let (status, answer) = self.forward(Method::POST, "/bigquery/v2/projects/p/queries", &body).await;
        assert_eq!(status, 200, "{query}: {answer}");
        assert!(answer["rows"].is_array() && answer["jobComplete"] == true, "{query}: {answer}");
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let row = |row: &Value| {
            let cells = row["f"].as_array().unwrap().iter();
            cells.map(|cell| cell["v"].as_str().map(str::to_owned)).collect()
        };
        rows.iter().map(row).collect()
    }

    pub(crate) async fn forward(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.emulator));
        let request = if body.is_null() {
            request
        } else {
            request.header("content-type", "application/json").body(body.to_string())
        };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    async fn serve(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().unwrap().as_str().to_owned();
        let body = body.collect().await.map_err(|_| std::io::Error::other("cut"))?.to_bytes();
        let broken = || std::io::Error::other("a connection that breaks");
        let fault = {
            let mut state = self.state.lock().unwrap();
            let number = state.calls.len() as u64;
            state.calls.push(format!("{} {}", parts.method, path.split('?').next().unwrap()));
            state.plan.faults.get(&number).copied()
        };
        match fault {
            Some(Fault::Unheard) => return Err(broken()),
            Some(Fault::Refused) => return Ok(refusal(503, "backendError", "try again")),
            _ => {}
        }
        // It is done to its end, though nobody may wait for it any more.
        let acting = self.clone();
        let done =
            tokio::spawn(async move { acting.act(&parts, &path, body).await }).await.expect("an answer");
        match fault {
            Some(Fault::Unanswered) => Err(broken()),
            Some(Fault::Frozen) => {
                self.frozen.notify_one();
                std::future::pending().await
            }
            _ => Ok(done),
        }
    }

    async fn act(&self, parts: &http::request::Parts, path: &str, body: Bytes) -> Answer {
        let _turn = self.turn.lock().await;
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let is_upload = path.starts_with("/upload/");
        if is_upload && path.contains("uploadType=multipart") {
            let (job, lines) = parts_of(&body);
            return self.insert(&job, &lines).await;
        }
        if is_upload && parts.method == Method::POST {
            let job: Value = serde_json::from_slice(&body).unwrap();
            if let Some(taken) = self.taken(&job) {
                return taken;
            }
            let mut state = self.state.lock().unwrap();
            let id = format!("upload-{}", state.sessions.len());
            state.sessions.insert(id.clone(), json!({"job": job, "lines": ""}));
            let place = format!(
                "{}/upload/bigquery/v2/projects/p/jobs?uploadType=resumable&upload_id={id}",
                self.url
            );
            return Response::builder().header("location", place).body(Full::default()).unwrap();
        }
        if is_upload {
            return self.part(path, &header("content-range").unwrap(), &body).await;
        }
        if let Some((_, id)) = path.split('?').next().unwrap().split_once("/jobs/") {
            let mut state = self.state.lock().unwrap();
            return match state.jobs.get_mut(id) {
                None => refusal(404, "notFound", &format!("Not found: Job p:{id}")),
                Some((job, looks)) if *looks > 0 => {
                    *looks -= 1;
                    let mut job = job.clone();
                    job["status"] = json!({"state": "RUNNING"});
                    answer(200, &job)
                }
                Some((job, _)) => answer(200, job),
            };
        }
        let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        if parts.method == Method::PATCH {
            return self.patch(path, &header("if-match").unwrap_or_default(), &json).await;
        }
        let (status, mut said) = self.forward(parts.method.clone(), path, &json).await;
        if status == 200 && path.contains("/tables") {
            said["etag"] = self.etag().into();
        }
        answer(status, &said)
    }

    fn etag(&self) -> String {
        format!("\"{}\"", self.state.lock().unwrap().etag)
    }

    fn taken(&self, job: &Value) -> Option<Answer> {
        let id = job["jobReference"]["jobId"].as_str().expect("an id");
        let is_taken = self.state.lock().unwrap().jobs.contains_key(id);
        is_taken.then(|| refusal(409, "duplicate", &format!("Already Exists: Job p:{id}")))
    }

    async fn insert(&self, job: &Value, lines: &[u8]) -> Answer {
        if let Some(taken) = self.taken(job) {
            return taken;
        }
        let id = job["jobReference"]["jobId"].as_str().unwrap().to_owned();
        let planned = {
            let mut state = self.state.lock().unwrap();
            (!state.plan.failing.is_empty()).then(|| state.plan.failing.remove(0))
        };
        let failed = match planned {
            Some(reason) => Some(json!({"reason": reason, "message": "told to fail"})),
            None => self.unknown_field(job, lines).await,
        };
        let mut done = job.clone();
        match failed {
            Some(error) => done["status"] = json!({"state": "DONE", "errorResult": error, "errors": [error]}),
            None => {
                let answer = self.load(job, lines).await;
                assert!(answer["status"].is_object(), "{answer}");
                done["status"] = answer["status"].clone();
                let rows = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
                done["statistics"] = json!({"load": {"outputRows": rows.to_string()}});
            }
        }
        let mut state = self.state.lock().unwrap();
        let looks = state.plan.looks;
        state.jobs.insert(id, (done.clone(), looks));
        if looks > 0 {
            done["status"] = json!({"state": "PENDING"});
        }
        answer(200, &done)
    }

    async fn load(&self, job: &Value, lines: &[u8]) -> Value {
        let mut body = format!("--b\r\nContent-Type: application/json\r\n\r\n{job}\r\n--b\r\nContent-Type: application/octet-stream\r\n\r\n").into_bytes();
        body.extend_from_slice(lines);
        body.extend_from_slice(b"\r\n--b--\r\n");
        let url = format!("{}/upload/bigquery/v2/projects/p/jobs?uploadType=multipart", self.emulator);
        let request =
            self.client.post(url).header("content-type", "multipart/related; boundary=b").body(body);
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Rows with a field that the table has not.
    async fn unknown_field(&self, job: &Value, lines: &[u8]) -> Option<Value> {
        let table = &job["configuration"]["load"]["destinationTable"];
        let text = |key: &str| table[key].as_str().unwrap().to_owned();
        let path =
            format!("/bigquery/v2/projects/p/datasets/{}/tables/{}", text("datasetId"), text("tableId"));
        let (status, table) = self.forward(Method::GET, &path, &Value::Null).await;
        if status != 200 {
            return Some(json!({"reason": "notFound", "message": "Not found: Table"}));
        }
        let columns: Vec<&str> = table["schema"]["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|field| field["name"].as_str().unwrap())
            .collect();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let row: Value = serde_json::from_slice(line)
                .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(line)));
            if let Some(field) =
                row.as_object().unwrap().keys().find(|field| !columns.contains(&field.as_str()))
            {
                return Some(json!({"reason": "invalid", "message": format!("No such field: {field}.")}));
            }
        }
        None
    }

    async fn part(&self, path: &str, range: &str, body: &[u8]) -> Answer {
        let id = path.split("upload_id=").nth(1).unwrap().to_owned();
        let (job, lines) = {
            let mut state = self.state.lock().unwrap();
            let session = state.sessions.get_mut(&id).expect("a session");
            let mut lines = session["lines"].as_str().unwrap().to_owned();
            let (span, total) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
            if span != "*" {
                let (begin, end) = span.split_once('-').unwrap();
                let (begin, end): (usize, usize) = (begin.parse().unwrap(), end.parse().unwrap());
                assert_eq!((begin, end + 1 - begin), (lines.len(), body.len()), "{range}");
                assert!(total != "*" || body.len().is_multiple_of(256 * 1024), "{range}");
                // Latin-1 would do as well: the parts may end within a character.
                assert!(body.is_ascii(), "the tests send ASCII");
                lines.push_str(std::str::from_utf8(body).unwrap());
                session["lines"] = lines.as_str().into();
            }
            if total != lines.len().to_string() {
                let mut more = Response::builder().status(308);
                if !lines.is_empty() {
                    more = more.header("range", format!("bytes=0-{}", lines.len() - 1));
                }
                return more.body(Full::default()).unwrap();
            }
            (session["job"].clone(), lines)
        };
        self.insert(&job, lines.as_bytes()).await
    }

    async fn patch(&self, path: &str, etag: &str, change: &Value) -> Answer {
        if etag != self.etag() {
            return refusal(412, "conditionNotMet", "Precondition Failed");
        }
        let (_, before) = self.forward(Method::GET, path, &Value::Null).await;
        let known: Vec<&Value> =
            before["schema"]["fields"].as_array().unwrap().iter().map(|field| &field["name"]).collect();
        let reference = &before["tableReference"];
        let name =
            ["projectId", "datasetId", "tableId"].map(|key| reference[key].as_str().unwrap()).join(".");
        for field in change["schema"]["fields"].as_array().unwrap() {
            if !known.contains(&&field["name"]) {
                assert_eq!(field["mode"], "NULLABLE");
                let kind = match field["type"].as_str().unwrap() {
                    "INTEGER" => "INT64",
                    "FLOAT" => "FLOAT64",
                    "BOOLEAN" => "BOOL",
                    other => other,
                };
                self.query(&format!(
                    "ALTER TABLE `{name}` ADD COLUMN `{}` {kind}",
                    field["name"].as_str().unwrap()
                ))
                .await;
            }
        }
        self.state.lock().unwrap().etag += 1;
        let (status, mut said) = self.forward(Method::PATCH, path, change).await;
        said["etag"] = self.etag().into();
        answer(status, &said)
    }
}

/// The job and the rows of a multipart upload.
fn parts_of(body: &[u8]) -> (Value, Vec<u8>) {
    let find = |text: &[u8], from: usize| {
        body[from..].windows(text.len()).position(|window| window == text).map(|at| from + at).unwrap()
    };
    let first = find(b"\r\n\r\n", 0) + 4;
    let boundary = &body[..find(b"\r\n", 0)];
    let first_end = find(&[b"\r\n", boundary].concat(), first);
    let second = find(b"\r\n\r\n", first_end + 2) + 4;
    let second_end = find(&[b"\r\n", boundary, b"--"].concat(), second);
    (serde_json::from_slice(&body[first..first_end]).unwrap(), body[second..second_end].to_vec())
}
