//! Clusters and stores of the clouds, whose tokens expire, or come two at a time.

use headwater::exchange::{Verdict, When};
use headwater::page::{Format, Select};
use headwater::paginate::Cursor;
use headwater::testing::Reply;
use headwater::{JsonPath, Source};
use serde_json::json;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, PLACES, Served, answer, bare, demand, number_in, ok, seen, serve, slice};

pub(crate) fn rows() -> Vec<Row> {
    vec![kubernetes(), azure()]
}

/// `metadata.continue`, absent or empty at the end, together with the parameters of the first request; a token that
/// expired is a 410 with another one in it (kubernetes.io: API Concepts, Retrieving large results sets in chunks).
fn kubernetes() -> Row {
    let limit = Limit::told(4, 3);
    let pods = serve(move |asked| {
        let busy = json!({"kind": "Status", "reason": "TooManyRequests", "code": 429});
        limit.pass(asked, |_| answer(429, busy).header("retry-after", "3"))?;
        asked.authorized("Bearer token-of-kubernetes")?;
        demand(asked.query("labelSelector") == Some("app=web"), 400, "not the query of the token")?;
        // From the seventh request on, what was read is compacted away, and with it every token that was given before.
        let revision = if asked.nth < 7 { "eyJ2IjoxfQ" } else { "eyJ2IjoyfQ" };
        let continued = asked.query("continue").filter(|token| !token.is_empty());
        let first = number_in(continued, revision).or_else(|refusal| {
            let expired = number_in(continued, "eyJ2IjoxfQ").map_err(|_| refusal)?;
            let fresh = json!({"continue": format!("{revision}{expired}")});
            Err(answer(410, json!({"kind": "Status", "metadata": fresh, "reason": "Expired", "code": 410})))
        })?;
        let range = slice(first, asked.number("limit", u64::MAX)?);
        let mut metadata = json!({"resourceVersion": "147"});
        if range.end < RECORDS {
            metadata["continue"] = json!(format!("{revision}{}", range.end));
            metadata["remainingItemCount"] = json!(RECORDS - range.end);
        }
        ok(json!({"kind": "PodList", "metadata": metadata, "items": bare(range)}))
    });
    let source = Source::get("pods", "https://kubernetes.default.svc/api/v1/pods")
        .bearer("token-of-kubernetes")
        .query("labelSelector", "app=web")
        .query("limit", "100")
        .records("items")
        .paginate(Cursor::body("metadata.continue").into_query("continue").missing_ends())
        .rule(
            When::status(410)
                .body_present("metadata.continue")
                .means(Verdict::ContinueAt(JsonPath::parse("metadata.continue").expect("a path"))),
        );
    Row::new("Kubernetes", [Way::new("C", pods, source)])
}

/// Blobs in XML, behind a byte-order mark; the marker is empty with the last of them, and a page of nothing is none.
fn blobs(asked: &Asked<'_>) -> Served {
    if asked.nth == 3 {
        let busy = "\u{feff}<?xml version=\"1.0\"?><Error><Code>ServerBusy</Code></Error>";
        return Ok(Reply::status(503).header("content-type", "application/xml").body(busy));
    }
    demand(asked.query("sig") == Some("signature-of-azure"), 403, "AuthenticationFailed")?;
    demand(asked.query("restype") == Some("container"), 400, "InvalidQueryParameterValue")?;
    demand(asked.query("comp") == Some("list"), 400, "InvalidQueryParameterValue")?;
    demand(asked.header("x-ms-version") == Some("2021-08-06"), 400, "UnsupportedHeader")?;
    // The vendor's largest page has 5,000 blobs: here 100.
    let size = asked.number("maxresults", 5000)?.min(100);
    let (numbers, end) =
        seen(number_in(asked.query("marker").filter(|marker| !marker.is_empty()), "2!92!")?, size);
    // Every fifth name is that of a folder.
    let in_folders = asked.query("delimiter").is_some();
    let blob = |n: &u64| match n % 5 {
        0 if in_folders => format!("<BlobPrefix><Name>{n}</Name></BlobPrefix>"),
        _ => format!(
            "<Blob><Name>{n}</Name><Properties><Content-Type>image/png</Content-Type></Properties></Blob>"
        ),
    };
    let blobs: String = numbers.iter().map(blob).collect();
    let blobs = if blobs.is_empty() { "<Blobs />".to_owned() } else { format!("<Blobs>{blobs}</Blobs>") };
    let marker = if end < PLACES {
        format!("<NextMarker>2!92!{end}</NextMarker>")
    } else {
        "<NextMarker />".to_owned()
    };
    let body = format!(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\
         \"https://account.blob.core.windows.net/\" ContainerName=\"pictures\">{blobs}{marker}</EnumerationResults>"
    );
    Ok(Reply::status(200).header("content-type", "application/xml").body(body))
}

/// A marker in XML, empty at the end; for tables, two headers into two parameters (learn.microsoft.com: List Blobs, Query
/// Timeout and Pagination).
fn azure() -> Row {
    let table = Source::get("customers", "https://account.table.core.windows.net/Customers()")
        .api_key_query("sig", "signature-of-azure")
        .header("Accept", "application/json;odata=nometadata")
        .query("$filter", "Rating ge 3")
        .records("value")
        .paginate(
            Cursor::header("x-ms-continuation-NextPartitionKey")
                .into_query("NextPartitionKey")
                .missing_ends()
                .and(Cursor::header("x-ms-continuation-NextRowKey").into_query("NextRowKey").missing_ends()),
        );
    let place = "EnumerationResults.Blobs";
    let container = Source::get("pictures", "https://account.blob.core.windows.net/pictures")
        .api_key_query("sig", "signature-of-azure")
        .header("x-ms-version", "2021-08-06")
        .query("restype", "container")
        .query("comp", "list")
        .query("delimiter", "/")
        .format(Format::xml())
        .records(Select::path(format!("{place}.BlobPrefix")).and(format!("{place}.Blob")))
        .paginate(Cursor::body("EnumerationResults.NextMarker").into_query("marker"));
    Row::new(
        "Azure Blob / Table",
        [
            Way::new("C", serve(blobs), container).number("Name").named("blobs"),
            Way::new("C", serve(entities), table).named("table"),
        ],
    )
}

/// Entities, and where to go on in two headers, the second of which may be missing; what the first request asked for
/// has to be asked for again, and an answer without entities is not the end.
fn entities(asked: &Asked<'_>) -> Served {
    if asked.nth == 4 {
        return Ok(answer(503, json!({"odata.error": {"code": "ServerBusy"}})));
    }
    demand(asked.query("sig") == Some("signature-of-azure"), 403, "AuthenticationFailed")?;
    demand(
        asked.header("accept") == Some("application/json;odata=nometadata"),
        415,
        "AtomFormatNotSupported",
    )?;
    // The vendor's largest page has 1,000 entities: here 100.
    let size = asked.number("$top", 1000)?.min(100);
    let partition = number_in(asked.query("NextPartitionKey"), "1!8!")? * 500;
    let place = partition + number_in(asked.query("NextRowKey"), "1!12!")?;
    let (numbers, end) = seen(place, size);
    let more = end < PLACES;
    // Without the filter, others come as well.
    let all = asked.query("$filter") != Some("Rating ge 3");
    let numbers = numbers.into_iter().map(|n| if all { n + RECORDS } else { n });
    let reply = answer(200, json!({ "value": bare(numbers) }));
    if !more {
        return Ok(reply);
    }
    let reply = reply.header("x-ms-continuation-nextpartitionkey", &format!("1!8!{}", end / 500));
    let row = end % 500;
    Ok(if row > 0 { reply.header("x-ms-continuation-nextrowkey", &format!("1!12!{row}")) } else { reply })
}
