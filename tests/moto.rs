//! moto (<https://docs.getmoto.org>), a stand-in for AWS: the XML lists of S3, and DynamoDB's positions, which are
//! objects in the body of a POST.
//!
//! `pip install 'moto[s3,dynamodb]' flask flask-cors`, and have `moto_server` on the path or in
//! `HEADWATER_MOTO_SERVER`.
//!
//! Noticed with moto 5.2:
//! - It reads from the `Authorization` header which service is meant. Without one, all is for S3, which gives 200 and a
//!   list of buckets to a POST for DynamoDB, and refuses to replace an object (403).
//! - It checks signatures only when told so (`/moto-api/reset-auth`), and then with AWS's own code (botocore). One that is
//!   wrong is a 403.
//! - `IsTruncated` is always there; `NextContinuationToken`, `NextMarker` and the two markers of the versions only while
//!   there is more. A list that is empty leaves no element behind at all.
//! - A first version of the list has `NextMarker` on every page (S3 itself: only with a delimiter, and otherwise the last
//!   key is to be sent), and it takes a last key as well.
//! - A fault of the server: with a delimiter, the first version of the list has all common prefixes on each page, so each
//!   comes as often as there are pages. The second version is right.
//! - A token that it has not made is a 500, and not a 400.
//! - Scan with a filter gives pages without items, and a position behind them, as DynamoDB does. `LastEvaluatedKey` is not
//!   there on the last page. A page that is full to its limit is only followed by a position if there are more items,
//!   where DynamoDB says that there may be.

mod support;

use std::path::Path;
use std::process::Command;

use futures::{StreamExt, stream};
use headwater::auth::SigV4;
use headwater::page::{Format, Select};
use headwater::prelude::*;
use headwater::sink::Jsonl;
use headwater::{Report, SourceBuilder};
use serde_json::{Value, json};
use support::server::Server;
use support::{assert_once_each, dropped, records, server_program};

const ROWS: usize = 1_234;

/// What says which service is meant, as long as signatures are not checked.
fn authorization(service: &str) -> String {
    let scope = format!("AKIDEXAMPLE/20260101/us-east-1/{service}/aws4_request");
    format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")
}

struct Aws {
    server: Server,
    client: reqwest::Client,
    key: AccessKey,
}

#[derive(Clone, Default)]
struct AccessKey {
    id: String,
    secret: String,
}

impl AccessKey {
    fn signs(&self, service: &str) -> SigV4 {
        SigV4::new(self.id.as_str(), self.secret.as_str(), "us-east-1", service)
    }
}

impl Aws {
    /// Starts it, empty; `None` if it is not installed.
    async fn start() -> Option<Self> {
        let install = "pip install 'moto[s3,dynamodb]' flask flask-cors";
        let moto = server_program("moto_server", "HEADWATER_MOTO_SERVER", install)?;
        let server = Server::start(|port, _| {
            let mut command = Command::new(&moto);
            command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
            command
        });
        Some(Self { server: server.await, client: support::client(), key: AccessKey::default() })
    }

    /// Makes an access key, without which nothing is answered from now on: signatures are checked.
    async fn lock(&mut self) {
        let iam = async |parameters: &[(&str, &str)]| {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("Version", "2010-05-08")
                .append_pair("UserName", "reader")
                .extend_pairs(parameters)
                .finish();
            let request =
                self.client.post(self.server.url("/")).header("authorization", authorization("iam"));
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(query);
            self.send(request).await.text().await.expect("a body")
        };
        let everything = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
        let policy = everything.to_string();
        iam(&[("Action", "CreateUser")]).await;
        iam(&[("Action", "PutUserPolicy"), ("PolicyName", "everything"), ("PolicyDocument", &policy)]).await;
        let key = iam(&[("Action", "CreateAccessKey")]).await;
        let element = |name: &str| {
            let (_, rest) = key.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{key}"));
            rest.split('<').next().unwrap_or_default().to_owned()
        };
        self.key = AccessKey { id: element("AccessKeyId"), secret: element("SecretAccessKey") };
        self.send(self.client.post(self.server.url("/moto-api/reset-auth")).body("0")).await;
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Response {
        let response = request.send().await.expect("an answer");
        assert!(response.status().is_success(), "{}: {}", response.status(), response.text().await.unwrap());
        response
    }

    async fn s3(
        &self,
        method: reqwest::Method,
        path: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Response {
        let request = self.client.request(method, self.server.url(path));
        self.send(
            request
                .header("authorization", authorization("s3"))
                .header("content-type", "text/plain")
                .body(body),
        )
        .await
    }

    async fn put(&self, path: &str, body: &'static str) -> reqwest::Response {
        self.s3(reqwest::Method::PUT, path, body).await
    }

    /// Makes a bucket with an object for each key.
    async fn fill_bucket(&self) {
        self.put("/shelf", "").await;
        let puts = stream::iter(keys())
            .map(|key| async move { self.put(&format!("/shelf/{}", quoted(&key)), "x").await });
        puts.buffer_unordered(8).for_each(|_| async {}).await;
    }

    async fn dynamodb(&self, operation: &str, body: &Value) {
        let request = self.client.post(self.server.url("/")).header("x-amz-target", target(operation));
        let request = request.header("authorization", authorization("dynamodb"));
        self.send(request.body(body.to_string())).await;
    }

    /// Makes a table of readings.
    async fn fill_table(&self) {
        let table = json!({
            "TableName": "readings",
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [
                {"AttributeName": "station", "KeyType": "HASH"},
                {"AttributeName": "day", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "station", "AttributeType": "S"},
                {"AttributeName": "day", "AttributeType": "N"},
            ],
        });
        self.dynamodb("CreateTable", &table).await;
        let puts: Vec<_> = (0..ROWS).map(|n| json!({"PutRequest": {"Item": reading(n)}})).collect();
        for some in puts.chunks(25) {
            self.dynamodb("BatchWriteItem", &json!({"RequestItems": {"readings": some}})).await;
        }
    }

    fn bucket(&self, name: &str, path: &str) -> SourceBuilder {
        Source::get(name, self.server.url(path)).auth(self.key.signs("s3")).format(Format::xml())
    }

    /// The table, a hundred items at a time, by an operation with more parameters.
    fn table(&self, name: &str, operation: &str, more: Value) -> Source {
        let mut body = json!({"TableName": "readings", "Limit": 100});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Source::post(name, self.server.url("/"))
            .auth(self.key.signs("dynamodb"))
            .header("X-Amz-Target", target(operation))
            .header("Content-Type", "application/x-amz-json-1.0")
            .json(body)
            .repeatable()
            .records("Items")
            .paginate(Cursor::body("LastEvaluatedKey").into_body("ExclusiveStartKey").missing_ends())
            .build()
            .unwrap()
    }
}

fn target(operation: &str) -> String {
    format!("DynamoDB_20120810.{operation}")
}

/// The keys of the bucket: first those in drawers alone, then those beside them alone, then in turns. So with a
/// delimiter some pages have prefixes only, some keys only, and some both.
fn keys() -> impl Iterator<Item = String> {
    let is_in_drawer = |n: usize| n < 400 || (n >= 800 && n.is_multiple_of(2));
    (0..ROWS).map(move |n| match is_in_drawer(n) {
        true => format!("{n:04} drawer/<deep>/page"),
        false => format!("{n:04} note & +ü'\"=?#.txt"),
    })
}

fn quoted(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn reading(n: usize) -> Value {
    json!({
        "station": {"S": format!("st \"{}\" ü", n % 5)},
        "day": {"N": (n / 5).to_string()},
        "value": {"N": n.to_string()},
    })
}

/// The lists of the bucket, in both versions.
fn lists(aws: &Aws) -> Vec<Source> {
    let list = |name: &str, query: &str| aws.bucket(name, &format!("/shelf?max-keys=100{query}"));
    let next = || Cursor::body("ListBucketResult.NextContinuationToken").into_query("continuation-token");
    let more = "ListBucketResult.IsTruncated";
    let contents = "ListBucketResult.Contents";
    let both = Select::path(contents).and("ListBucketResult.CommonPrefixes");
    let sources = [
        list("v2", "&list-type=2").records(contents).paginate(next().until_false(more)),
        list("v2_by_token_alone", "&list-type=2").records(contents).paginate(next().missing_ends()),
        list("v2_drawers", "&list-type=2&delimiter=/").records(both).paginate(next().until_false(more)),
        list("v1", "")
            .records(contents)
            .paginate(Cursor::body("ListBucketResult.NextMarker").into_query("marker").until_false(more)),
        list("v1_by_last_key", "")
            .records(contents)
            .paginate(Cursor::last_record("Key").into_query("marker").until_false(more)),
    ];
    sources.into_iter().map(|source| source.build().unwrap()).collect()
}

/// Each list has each key once.
fn assert_lists_complete(report: &Report, out: &Path) {
    for source in report.sources.iter().filter(|source| source.source.starts_with('v')) {
        let name = source.source.as_str();
        let keys: Vec<String> = match name {
            "v2_drawers" => keys().map(|key| key.replace("<deep>/page", "")).collect(),
            _ => keys().collect(),
        };
        let got: Vec<_> = records(out, name)
            .into_iter()
            .map(|mut record| {
                let field = if record["Prefix"].is_null() { "Key" } else { "Prefix" };
                json!({ name: record[field].take() })
            })
            .collect();
        assert_once_each(&got, name, &keys);
        assert_eq!(source.pages, 13, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_object_of_a_bucket_comes_once_in_both_versions_of_the_list() {
    let (Some(mut aws), out) = (Aws::start().await, tempfile::tempdir().unwrap()) else { return };
    aws.fill_bucket().await;
    aws.lock().await;
    let pipeline = Pipeline::new().sources(lists(&aws)).sink(Jsonl::dir(out.path()));
    let report = pipeline.run().await.unwrap();
    assert_lists_complete(&report, out.path());
    for record in records(out.path(), "v2") {
        // As S3 writes it: all text, the ETag with its quotes.
        assert_eq!(record["Size"], "1", "{record}");
        assert_eq!(record["ETag"], "\"9dd4e461268c8034f5c8564e155c67a6\"", "{record}");
    }

    // Once more, by a run that is dropped in the middle.
    let out = tempfile::tempdir().unwrap();
    let pipeline = || Pipeline::new().sources(lists(&aws)).sink(Jsonl::dir(out.path()));
    let report = dropped::in_the_middle(30, pipeline).await;
    assert_lists_complete(&report, out.path());
    let requests: u64 = report.sources.iter().map(|source| source.counts.requests).sum();
    assert!(requests < 65, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_objects_is_no_records_and_no_error() {
    let (Some(mut aws), out) = (Aws::start().await, tempfile::tempdir().unwrap()) else { return };
    aws.put("/shelf", "").await;
    aws.lock().await;
    let report = Pipeline::new().sources(lists(&aws)).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_eq!(report.records(), 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_of_each_object_comes_once_by_two_markers() {
    let (Some(mut aws), out) = (Aws::start().await, tempfile::tempdir().unwrap()) else { return };
    aws.put("/kept", "").await;
    let on = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
    aws.put("/kept?versioning", on).await;
    // Of 412 objects there are two versions each, and 410 of them are then deleted, which is a version, too.
    let filled = &aws;
    let ids = |n: usize| async move {
        let (path, mut ids) = (format!("/kept/{}", quoted(&format!("{n:03} ü&"))), Vec::new());
        for method in [reqwest::Method::PUT, reqwest::Method::PUT, reqwest::Method::DELETE] {
            if method == reqwest::Method::PUT || n < 410 {
                let answer = filled.s3(method, &path, "x").await;
                ids.push(answer.headers()["x-amz-version-id"].to_str().unwrap().to_owned());
            }
        }
        ids
    };
    let ids: Vec<String> = stream::iter(0..412).map(ids).buffer_unordered(8).concat().await;
    assert_eq!(ids.len(), ROWS);
    aws.lock().await;

    let markers = Cursor::body("ListVersionsResult.NextKeyMarker")
        .into_query("key-marker")
        .and(Cursor::body("ListVersionsResult.NextVersionIdMarker").into_query("version-id-marker"))
        .until_false("ListVersionsResult.IsTruncated");
    let versions = aws
        .bucket("versions", "/kept?versions&max-keys=100")
        .records(Select::path("ListVersionsResult.Version").and("ListVersionsResult.DeleteMarker"))
        .paginate(markers)
        .build()
        .unwrap();
    let report = Pipeline::new().source(versions).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_once_each(&records(out.path(), "versions"), "VersionId", &ids);
    assert_eq!(report.sources[0].pages, 13, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_of_a_table_comes_once_by_positions_that_are_objects() {
    let (Some(mut aws), out) = (Aws::start().await, tempfile::tempdir().unwrap()) else { return };
    aws.fill_table().await;
    aws.lock().await;
    let sources = [
        aws.table("scan", "Scan", json!({})),
        aws.table(
            "scan_with_a_filter",
            "Scan",
            json!({
                "FilterExpression": "#day < :day",
                "ExpressionAttributeNames": {"#day": "day"},
                "ExpressionAttributeValues": {":day": {"N": "20"}},
            }),
        ),
        aws.table(
            "query",
            "Query",
            json!({
                "KeyConditionExpression": "station = :station",
                "ExpressionAttributeValues": {":station": reading(3)["station"]},
            }),
        ),
    ];
    let report = Pipeline::new().sources(sources).sink(Jsonl::dir(out.path())).run().await.unwrap();
    assert_items(out.path(), "scan", |_| true);
    assert_items(out.path(), "scan_with_a_filter", |n| n / 5 < 20);
    assert_items(out.path(), "query", |n| n % 5 == 3);
    let pages = |name: &str| report.source(name).unwrap().pages;
    assert_eq!((pages("scan"), pages("query")), (13, 3));
    assert_eq!(pages("scan_with_a_filter"), 13, "those without items count, and are not the end");
}

/// A source's file has each of these readings once.
fn assert_items(out: &Path, source: &str, is_one: impl Fn(usize) -> bool) {
    let fields = |item: &Value| json!([item["station"], item["day"], item["value"]]).to_string();
    let got: Vec<_> = records(out, source).iter().map(|item| json!({ source: fields(item) })).collect();
    let expected: Vec<_> = (0..ROWS).filter(|n| is_one(*n)).map(|n| fields(&reading(n))).collect();
    assert_once_each(&got, source, &expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_an_error_that_does_not_show_it() {
    let (Some(mut aws), out) = (Aws::start().await, tempfile::tempdir().unwrap()) else { return };
    aws.fill_table().await;
    aws.lock().await;
    aws.key.secret = "Wr0ngSecret+Wr0ngSecret/Wr0ngSecret12345".into();
    let scan = aws.table("scan", "Scan", json!({}));
    let error = Pipeline::new().source(scan).sink(Jsonl::dir(out.path())).run().await.unwrap_err().error;
    assert!(error.to_string().contains("403"), "{error}");
    assert!(format!("{error:?}").contains("SignatureDoesNotMatch"), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("Wr0ng"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_dropped_goes_on_with_each_item_once() {
    let (Some(mut aws), out) = (Aws::start().await, tempfile::tempdir().unwrap()) else { return };
    aws.fill_table().await;
    aws.lock().await;
    let pipeline =
        || Pipeline::new().source(aws.table("scan", "Scan", json!({}))).sink(Jsonl::dir(out.path()));
    let report = dropped::in_the_middle(7, pipeline).await;
    assert_items(out.path(), "scan", |_| true);
    assert!(report.sources[0].counts.requests < 13, "{report}");
}
