//! Amazon: the JSON protocols of AWS, DynamoDB, and the Selling Partner API.

use headwater::auth::SigV4;
use headwater::exchange::{Verdict, When};
use headwater::page::Select;
use headwater::paginate::{Cursor, End, FollowUp};
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::{Value, json};

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, answer, made, ok, page, place, refuse, require, serve, slice, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![aws_json(), dynamodb(), selling_partner()]
}

/// Refuses what is not signed, or asks for another operation; throttles with a 400 that names no wait.
fn called(asked: &Asked<'_>, limit: &Limit, service: &str, target: &str, version: &str) -> Result<(), Reply> {
    let signature = asked.header("authorization").unwrap_or_default();
    let scope = format!("/us-east-1/{service}/aws4_request");
    if !signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/") || !signature.contains(&scope) {
        return Err(answer(403, json!({ "__type": "MissingAuthenticationTokenException" })));
    }
    asked.at("POST", "/")?;
    asked.says("content-type", &format!("application/x-amz-json-{version}"))?;
    asked.says("x-amz-target", target)?;
    match limit.meets(asked)? {
        Some(_) => Err(answer(400, json!({ "__type": "ThrottlingException", "message": "Rate exceeded" }))),
        None => Ok(()),
    }
}

fn source(service: &str, target: &str, version: &str, body: Value) -> SourceBuilder {
    Source::post(service, format!("https://{service}.us-east-1.amazonaws.com/"))
        .header("Content-Type", format!("application/x-amz-json-{version}"))
        .header("X-Amz-Target", target)
        .json(body)
        .repeatable()
        .auth(SigV4::new("AKIAEXAMPLE", "wJalrXUtnFEMI", "us-east-1", service))
        .rule(When::status(400).body("__type", "ThrottlingException").means(Verdict::Wait))
}

fn at(asked: &Asked<'_>, pointer: &str) -> Result<u64, Reply> {
    require(!asked.has(pointer) || asked.body(pointer).is_string(), "SerializationException")?;
    asked.body(pointer).as_str().map_or(Ok(0), place)
}

/// Nineteen of twenty: the token goes back under the name that it came by.
fn parameters(limit: Limit) -> Scripted {
    serve(move |asked| {
        called(asked, &limit, "ssm", "AmazonSSM.DescribeParameters", "1.1")?;
        let size = asked.body("/MaxResults").as_u64().unwrap_or(10);
        require((1..=50).contains(&size), "ValidationException")?;
        let at = at(asked, "/NextToken")?;
        let end = slice(at, size).end;
        let mut body =
            json!({ "Parameters": page(at, size, |n| json!({ "n": n, "Name": format!("/p/{n}") })) });
        if end < RECORDS {
            body["NextToken"] = json!(token(end));
        }
        ok(body)
    })
}

/// A marker that comes by another name, and a flag.
fn keys(limit: Limit) -> Scripted {
    serve(move |asked| {
        called(asked, &limit, "kms", "TrentService.ListKeys", "1.1")?;
        let size = asked.body("/Limit").as_u64().unwrap_or(100).min(1000);
        let at = at(asked, "/Marker")?;
        let end = slice(at, size).end;
        let mut body = json!({ "Keys": page(at, size, |n| json!({ "n": n, "KeyId": format!("k{n}") })), "Truncated": false });
        if end < RECORDS {
            body["NextMarker"] = json!(token(end));
            body["Truncated"] = json!(true);
        }
        ok(body)
    })
}

/// The token is always there; at the end it is the one that was asked with. Pages are empty in the middle.
fn events(limit: Limit) -> Scripted {
    serve(move |asked| {
        called(asked, &limit, "logs", "Logs_20140328.GetLogEvents", "1.1")?;
        require(asked.body("/startFromHead") == true, "the stream is read from its end")?;
        let asked_token = asked.body("/nextToken").as_str();
        let at = match asked_token {
            Some(text) => {
                let digits = text.strip_prefix("f/").map(|rest| rest.trim_end_matches("/s"));
                let at = digits.and_then(|digits| digits.parse::<u64>().ok());
                at.ok_or_else(|| answer(400, json!({ "__type": "InvalidParameterException" })))?
            }
            None => 0,
        };
        let nothing = at == 300 && asked_token == Some("f/300");
        let size = if nothing { 0 } else { 100 };
        let end = slice(at, size).end;
        let next = if nothing { "f/300/s".to_owned() } else { format!("f/{end}") };
        let events = page(at, size, |n| json!({ "n": n, "timestamp": made(n) * 1000, "message": "…" }));
        ok(json!({ "events": events, "nextForwardToken": next, "nextBackwardToken": format!("b/{at}") }))
    })
}

/// One page has two arrays.
fn contents(limit: Limit) -> Scripted {
    serve(move |asked| {
        let signature = asked.header("authorization").unwrap_or_default();
        require(
            signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"),
            "UnauthorizedOperationException",
        )?;
        asked.at("GET", "/api/v1/folders/f0/contents")?;
        if limit.meets(asked)?.is_some() {
            return Ok(answer(400, json!({ "__type": "ThrottlingException" })));
        }
        let size = asked.number("limit", 100)?;
        let at = asked.query("marker").map_or(Ok(0), place)?;
        let end = slice(at, size).end;
        let (folders, documents): (Vec<Value>, Vec<Value>) =
            page(at, size, |n| json!({ "n": n, "Id": format!("d{n}") }))
                .into_iter()
                .partition(|row| row["n"].as_u64() < Some(150));
        let marker = (end < RECORDS).then(|| token(end));
        ok(json!({ "Folders": folders, "Documents": documents, "Marker": marker }))
    })
}

/// The token goes back into the body, mostly by the name that it came by. Some have a flag besides (`Truncated`), some
/// repeat their last token for ever (CloudWatch Logs), some have several arrays. A throttle is a 400 (botocore's
/// `paginators-1.json`; docs.aws.amazon.com, "GetLogEvents", "Common Error Types").
fn aws_json() -> Row {
    let way = |served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(5, 0);
        Way::new("C", served(limit.clone()), source).checked(move || limit.kept())
    };
    let same = source("ssm", "AmazonSSM.DescribeParameters", "1.1", json!({ "MaxResults": 50 }))
        .records("Parameters")
        .paginate(Cursor::body("NextToken").into_body("NextToken").missing_ends());
    let flag = source("kms", "TrentService.ListKeys", "1.1", json!({ "Limit": 200 }))
        .records("Keys")
        .paginate(Cursor::body("NextMarker").into_body("Marker").until_false("Truncated"));
    let log = json!({ "logGroupName": "app", "logStreamName": "s1", "startFromHead": true });
    let repeated = source("logs", "Logs_20140328.GetLogEvents", "1.1", log)
        .records("events")
        .paginate(Cursor::body("nextForwardToken").into_body("nextToken").until(End::repeated()));
    let arrays =
        Source::get("workdocs", "https://workdocs.us-east-1.amazonaws.com/api/v1/folders/f0/contents")
            .auth(SigV4::new("AKIAEXAMPLE", "wJalrXUtnFEMI", "us-east-1", "workdocs"))
            .query("limit", "100")
            .records(Select::path("Folders").and("Documents"))
            .paginate(Cursor::body("Marker").into_query("marker"))
            .rule(When::status(400).body("__type", "ThrottlingException").means(Verdict::Wait));
    Row::new(
        "AWS JSON (436 services, 3,449 paginators)",
        [
            way(parameters, same).named("NextToken"),
            way(keys, flag).named("Truncated"),
            way(events, repeated).named("last token repeated"),
            way(contents, arrays).named("two arrays"),
        ],
    )
}

/// The position is an object: the key of the last item that was read, be it shown or not. Under a filter a page may be
/// empty, and leads on (docs.aws.amazon.com, "Scan"; 1 MB a page; a used-up throughput is a 400).
fn dynamodb() -> Row {
    let limit = Limit::told(4, 0);
    let kept = limit.clone();
    let scan = serve(move |asked| {
        let target = "DynamoDB_20120810.Scan";
        // A limit of its own: `called` must not throttle it by another name.
        called(asked, &Limit::told(u64::MAX, 0), "dynamodb", target, "1.0")?;
        if limit.meets(asked)?.is_some() {
            let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
            return Ok(answer(
                400,
                json!({ "__type": kind, "message": "The level of configured provisioned throughput for the table was exceeded." }),
            ));
        }
        require(asked.body("/TableName") == "orders", "ValidationException: TableName")?;
        require(asked.body("/FilterExpression") == "#s = :open", "ValidationException: FilterExpression")?;
        let read = asked.body("/Limit").as_u64().unwrap_or(5000);
        // Twice as many items as records: every other block of 100 is filtered out.
        let at = match asked.body("/ExclusiveStartKey") {
            Value::Null => 0,
            key => {
                let item = (key["id"]["S"].as_str().and_then(|id| id.strip_prefix("o#")))
                    .and_then(|id| id.parse::<u64>().ok());
                let range = key["at"]["N"].as_str().and_then(|at| at.parse::<i64>().ok());
                match (item, range) {
                    (Some(item), Some(at)) if at == made(item) => item + 1,
                    _ => return Err(refuse(400, "The provided starting key is invalid")),
                }
            }
        };
        let last = (at + read).min(2 * RECORDS);
        let shown = (at..last)
            .filter(|item| item / 100 % 2 == 0 || *item >= 2400)
            .map(record_of)
            .filter(|n| *n < RECORDS);
        let items: Vec<Value> =
            shown.map(|n| json!({ "n": { "N": n.to_string() }, "id": { "S": format!("o#{n}") } })).collect();
        let mut body = json!({ "Count": items.len(), "ScannedCount": last - at, "Items": items });
        if last < 2 * RECORDS {
            body["LastEvaluatedKey"] = json!({ "id": { "S": format!("o#{}", last - 1) }, "at": { "N": made(last - 1).to_string() } });
        }
        ok(body)
    });
    let body = json!({
        "TableName": "orders", "Limit": 100, "FilterExpression": "#s = :open",
        "ExpressionAttributeNames": { "#s": "state" }, "ExpressionAttributeValues": { ":open": { "S": "open" } },
    });
    let source = source("dynamodb", "DynamoDB_20120810.Scan", "1.0", body)
        .records("Items")
        .paginate(Cursor::body("LastEvaluatedKey").into_body("ExclusiveStartKey").missing_ends())
        .rule(When::status(400).body_contains("ProvisionedThroughputExceededException").means(Verdict::Wait));
    Row::new("DynamoDB Scan/Query", [Way::new("C", scan, source).number("n.N").checked(move || kept.kept())])
}

/// The record of an item that is shown: of the blocks of 100, every other one, and the last ones whole.
fn record_of(item: u64) -> u64 {
    if item >= 2400 { 1200 + item - 2400 } else { item / 200 * 100 + item % 100 }
}

fn sp_limited(asked: &Asked<'_>, limit: &Limit) -> Result<(), Reply> {
    if asked.header("x-amz-access-token") != Some("Atza|token") {
        return Err(answer(403, json!({ "errors": [{ "code": "Unauthorized" }] })));
    }
    match limit.meets(asked)? {
        Some(_) => Err(answer(429, json!({ "errors": [{ "code": "QuotaExceeded" }] }))
            .header("x-amzn-ratelimit-limit", "0.0167")),
        None => Ok(()),
    }
}

fn orders(limit: Limit) -> Scripted {
    serve(move |asked| {
        sp_limited(asked, &limit)?;
        asked.at("GET", "/orders/v0/orders")?;
        // Asked for with each token, too.
        asked.asks("MarketplaceIds", "ATVPDKIKX0DER")?;
        let at = match asked.query("NextToken") {
            Some(token) => {
                asked.only(&["MarketplaceIds", "NextToken"])?;
                place(token)?
            }
            None => {
                asked.asks("CreatedAfter", "2026-01-01T00:00:00Z")?;
                0
            }
        };
        let end = slice(at, 100).end;
        let mut payload =
            json!({ "Orders": page(at, 100, |n| json!({ "n": n, "AmazonOrderId": format!("902-{n:07}") })) });
        if end < RECORDS {
            payload["NextToken"] = json!(token(end));
        }
        Ok(answer(200, json!({ "payload": payload })).header("x-amzn-ratelimit-limit", "0.0167"))
    })
}

fn reports(limit: Limit) -> Scripted {
    serve(move |asked| {
        sp_limited(asked, &limit)?;
        asked.at("GET", "/reports/2021-06-30/reports")?;
        let at = match asked.query("nextToken") {
            Some(token) => {
                asked.only(&["nextToken"])?;
                place(token)?
            }
            None => {
                asked.asks("reportTypes", "GET_MERCHANT_LISTINGS_ALL_DATA")?;
                asked.asks("pageSize", "100")?;
                0
            }
        };
        let end = slice(at, 100).end;
        let mut body = json!({ "reports": page(at, 100, |n| json!({ "n": n, "reportId": n.to_string() })) });
        if end < RECORDS {
            body["nextToken"] = json!(token(end));
        }
        ok(body)
    })
}

/// The token is the only parameter (Reports: "with any other parameters will cause the request to fail"), or stands
/// beside the marketplace alone (Orders). `x-amzn-RateLimit-Limit` is requests a second, as a fraction, and no 429 says
/// how long to wait (amzn/selling-partner-api-models: reports_2021-06-30.json, ordersV0.json).
fn selling_partner() -> Row {
    let source = |name, url: &str| Source::get(name, url).api_key_header("x-amz-access-token", "Atza|token");
    let way = |served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(3, 0);
        Way::new("C", served(limit.clone()), source).checked(move || limit.kept())
    };
    let by_order = source("orders", "https://sellingpartnerapi-na.amazon.com/orders/v0/orders")
        .query("MarketplaceIds", "ATVPDKIKX0DER")
        .query("CreatedAfter", "2026-01-01T00:00:00Z")
        .records("payload.Orders")
        .paginate(
            Cursor::body("payload.NextToken")
                .into_query("NextToken")
                .missing_ends()
                .follow(FollowUp::here().keep(["MarketplaceIds"])),
        );
    let by_report = source("reports", "https://sellingpartnerapi-na.amazon.com/reports/2021-06-30/reports")
        .query("reportTypes", "GET_MERCHANT_LISTINGS_ALL_DATA")
        .query("pageSize", "100")
        .records("reports")
        .paginate(
            Cursor::body("nextToken").into_query("nextToken").missing_ends().follow(FollowUp::here().only()),
        );
    Row::new(
        "Amazon SP-API",
        [way(orders, by_order).named("Orders"), way(reports, by_report).named("Reports")],
    )
}
