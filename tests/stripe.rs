//! The Stripe example against localstripe, a stateful Stripe server that nobody here wrote
//! (<https://pypi.org/project/localstripe/>).
//!
//! `pip install localstripe`, and have it on the path or in `HEADWATER_LOCALSTRIPE`. It needs IPv6 on
//! loopback.

mod support;

use std::process::Command;

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use support::server::Server;
use support::{assert_once_each, example, records, run, server_program, succeeded, text};

const KEY: &str = "sk_test_12345";
const CUSTOMERS: usize = 1_050;
const INVOICES: usize = 150;

/// At every change, localstripe writes all it has into one file in /tmp, whatever its port: a thousand
/// objects would take a minute. Python runs this first, and it stays in memory.
const NO_SAVING: &str = "import pickle\npickle.dump = lambda *args, **kwargs: None\n";

struct LocalStripe {
    server: Server,
    client: reqwest::Client,
}

impl LocalStripe {
    /// Starts it, empty; `None` if it is not installed.
    async fn start() -> Option<Self> {
        let program = server_program("localstripe", "HEADWATER_LOCALSTRIPE", "pip install localstripe")?;
        let server = Server::start(|port, dir| {
            std::fs::write(dir.join("sitecustomize.py"), NO_SAVING).unwrap();
            let mut command = Command::new(&program);
            command.args(["--port", &port.to_string(), "--from-scratch"]).env("PYTHONPATH", dir);
            command
        });
        Some(Self { server: server.await, client: support::client() })
    }

    async fn create(&self, path: &str, object: &Value) -> Value {
        let request = self.client.post(self.server.url(path)).bearer_auth(KEY).body(object.to_string());
        let response = request.send().await.expect("an answer");
        let status = response.status();
        let body = response.text().await.expect("a body");
        assert!(status.is_success(), "{path}: {status} {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Creates many of a kind, some at a time, and gives their ids.
    async fn create_many(&self, path: &str, count: usize, object: impl Fn(usize) -> Value) -> Vec<String> {
        let objects = stream::iter((0..count).map(|number| {
            let object = object(number);
            async move { self.create(path, &object).await }
        }));
        objects.buffer_unordered(8).map(|created| id(&created)).collect().await
    }

    async fn customer_of(&self, invoice: &str) -> String {
        let request = self.client.get(self.server.url(&format!("/v1/invoices/{invoice}"))).bearer_auth(KEY);
        let body = request.send().await.expect("an answer").text().await.expect("a body");
        let invoice: Value = serde_json::from_str(&body).expect("JSON");
        invoice["customer"].as_str().expect("a customer").to_owned()
    }

    /// Creates invoices, which only come from subscriptions here. That the plan is free makes them paid.
    async fn create_invoices(&self) -> Vec<String> {
        let customer = id(&self.create("/v1/customers", &json!({"email": "all@example.com"})).await);
        let plan =
            json!({"amount": 0, "currency": "eur", "interval": "month", "product": {"name": "p"}, "id": "p"});
        let plan = id(&self.create("/v1/plans", &plan).await);
        let subscription = json!({"customer": customer, "items": [{"plan": plan}]});
        let subscription = self.create("/v1/subscriptions", &subscription).await;
        let invoice = json!({"customer": customer, "subscription": subscription["id"]});
        let mut ids = self.create_many("/v1/invoices", INVOICES - 1, |_| invoice.clone()).await;
        ids.push(subscription["latest_invoice"].as_str().expect("an invoice").to_owned());
        ids
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_of_a_foreign_server_comes_exactly_once() {
    let Some(stripe) = LocalStripe::start().await else { return };
    let invoices = stripe.create_invoices().await;
    let numbered = |number| json!({"name": format!("Customer {number}"), "metadata": {"number": number}});
    let mut customers = stripe.create_many("/v1/customers", CUSTOMERS - 1, numbered).await;
    customers.push(stripe.customer_of(&invoices[0]).await);
    assert_eq!((customers.len(), invoices.len()), (CUSTOMERS, INVOICES));

    let out = tempfile::tempdir().unwrap();
    let output = run(example("stripe")
        .env("STRIPE_API_KEY", KEY)
        .args(["--json", "--base-url", &stripe.server.url(""), "--output"])
        .arg(out.path()))
    .await;
    let report: Value = serde_json::from_str(&succeeded(&output)).unwrap();

    assert_once_each(&records(out.path(), "stripe_customers"), "id", &customers);
    assert_once_each(&records(out.path(), "stripe_invoices"), "id", &invoices);
    assert_eq!(report["outcome"], "finished");
    // Pages of 100: so many, and none more to find out that it was the last.
    for (number, pages) in [(0, 11), (1, 2)] {
        assert_eq!(report["sources"][number]["pages"], pages, "{report}");
        assert_eq!(report["sources"][number]["requests"], pages, "{report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_ends_the_run_and_is_not_shown() {
    let Some(stripe) = LocalStripe::start().await else { return };
    let out = tempfile::tempdir().unwrap();
    let output = run(example("stripe")
        .env("STRIPE_API_KEY", "wrong_key_54321")
        .args(["--base-url", &stripe.server.url(""), "--output"])
        .arg(out.path()))
    .await;
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{said}\n{complained}");
    assert!(complained.contains("not authorized") && complained.contains("401"), "{complained}");
    assert!(said.contains("failed"), "{said}");
    assert!(!said.contains("54321") && !complained.contains("54321"), "{said}\n{complained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_nothing_is_asked() {
    let out = tempfile::tempdir().unwrap();
    let output = run(example("stripe").arg("--output").arg(out.path())).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("STRIPE_API_KEY is not set"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}
