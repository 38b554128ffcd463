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

use headwater::auth::SigV4;
use headwater::prelude::*;
use headwater::sink::Jsonl;
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

fn reading(n: usize) -> Value {
    json!({
        "station": {"S": format!("st \"{}\" ü", n % 5)},
        "day": {"N": (n / 5).to_string()},
        "value": {"N": n.to_string()},
    })
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
    let requests: u64 = report.sources.iter().map(|source| source.counts.requests).sum();
    assert!(requests < 13, "{report}");
}
