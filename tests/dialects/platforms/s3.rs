//! S3, in XML: three lists that page in three ways.

use headwater::auth::SigV4;
use headwater::page::Format;
use headwater::page::Select;
use headwater::paginate::Cursor;
use headwater::testing::{Reply, Scripted};
use headwater::{Source, SourceBuilder};
use serde_json::Value;

use super::row::{RECORDS, Row, Way};
use super::server::{Asked, Limit, Served, place, require, serve, slice, token};

pub(crate) fn rows() -> Vec<Row> {
    vec![s3()]
}

/// An answer in XML.
fn xml(status: u16, body: &str) -> Reply {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}");
    Reply::status(status).header("content-type", "application/xml").body(text)
}

fn listed(asked: &Asked<'_>, limit: &Limit) -> Result<u64, Reply> {
    let signature = asked.header("authorization").unwrap_or_default();
    if !signature.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/") {
        return Err(xml(403, "<Error><Code>AccessDenied</Code></Error>"));
    }
    asked.at("GET", "/")?;
    if limit.meets(asked)?.is_some() {
        return Err(xml(
            503,
            "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>",
        ));
    }
    // More than 1,000 are never given, whatever is asked for.
    Ok(asked.number("max-keys", 1000)?.min(1000))
}

/// Keys in the order of the alphabet; those of the first hundred are folders, if a delimiter is asked for.
fn key(number: u64) -> String {
    format!("logs/{number:04}&+.gz")
}

fn escaped(key: &str) -> String {
    key.replace('&', "&amp;")
}

fn object(number: u64) -> String {
    format!(
        "<Contents><Key>{}</Key><Size>{number}</Size><StorageClass>STANDARD</StorageClass></Contents>",
        escaped(&key(number))
    )
}

fn folder(number: u64) -> String {
    format!("<CommonPrefixes><Prefix>logs/{number:04}/</Prefix></CommonPrefixes>")
}

fn list(name: &str, truncated: bool, next: Option<String>, inside: &[String]) -> Served {
    let next = next.unwrap_or_default();
    Ok(xml(
        200,
        &format!(
            "<{name} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>{next}<IsTruncated>{truncated}</IsTruncated>{}</{name}>",
            inside.concat()
        ),
    ))
}

/// Version 2: a token, objects and folders in one list.
fn version_2(limit: Limit) -> Scripted {
    serve(move |asked| {
        let size = listed(asked, &limit)?;
        asked.asks("list-type", "2")?;
        asked.asks("delimiter", "/")?;
        let at = asked.query("continuation-token").map_or(Ok(0), place)?;
        let end = slice(at, size).end;
        let rows: Vec<String> =
            slice(at, size).map(|n| if n % 10 == 3 { folder(n) } else { object(n) }).collect();
        let next = (end < RECORDS)
            .then(|| format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&token(end))));
        list("ListBucketResult", end < RECORDS, next, &rows)
    })
}

/// Version 1: without a delimiter there is no marker for the next page; the last key is one.
fn version_1(limit: Limit) -> Scripted {
    serve(move |asked| {
        let size = listed(asked, &limit)?;
        require(asked.query("list-type").is_none(), "InvalidArgument")?;
        let at = match asked.query("marker") {
            None => 0,
            Some(marker) => (0..RECORDS).find(|n| key(*n).as_str() > marker).unwrap_or(RECORDS),
        };
        let end = slice(at, size).end;
        let rows: Vec<String> = slice(at, size).map(object).collect();
        list("ListBucketResult", end < RECORDS, None, &rows)
    })
}

/// Versions: two markers, which must come together. Objects that were deleted have a marker of their own.
fn versions(limit: Limit) -> Scripted {
    serve(move |asked| {
        let size = listed(asked, &limit)?;
        asked.asks("versions", "")?;
        // Two versions of each key.
        let at = match (asked.query("key-marker"), asked.query("version-id-marker")) {
            (None, None) => 0,
            (Some(key_marker), Some(version)) => {
                let at = (0..RECORDS).find(|n| key(n / 2) == key_marker && format!("v{n}+/=") == version);
                at.map(|at| at + 1).ok_or_else(|| xml(400, "<Error><Code>InvalidArgument</Code></Error>"))?
            }
            // Without the version the rest of the key's versions would be left out.
            _ => return Err(xml(400, "<Error><Code>InvalidArgument</Code></Error>")),
        };
        let end = slice(at, size).end;
        let row = |n: u64| {
            let inside = format!(
                "<Key>{}</Key><VersionId>v{n}+/=</VersionId><Owner><ID>{n}</ID></Owner>",
                escaped(&key(n / 2))
            );
            if n % 10 == 3 {
                format!("<DeleteMarker>{inside}</DeleteMarker>")
            } else {
                format!("<Version>{inside}</Version>")
            }
        };
        let rows: Vec<String> = slice(at, size).map(row).collect();
        let next = (end < RECORDS).then(|| {
            let (key, version) = (escaped(&key((end - 1) / 2)), end - 1);
            format!(
                "<NextKeyMarker>{key}</NextKeyMarker><NextVersionIdMarker>v{version}+/=</NextVersionIdMarker>"
            )
        });
        list("ListVersionsResult", end < RECORDS, next, &rows)
    })
}

fn number(record: &Value) -> Option<u64> {
    let text = record["Key"].as_str().or_else(|| record["Prefix"].as_str())?;
    text.strip_prefix("logs/")?.get(..4)?.parse().ok()
}

/// Version 2 has a token and two arrays; version 1 goes on by its last key; versions by two markers at once. `IsTruncated`
/// says that there is more; a limit is a 503 `SlowDown` (docs.aws.amazon.com, "ListObjectsV2", "ListObjects",
/// "ListObjectVersions": 1,000 a page at most).
fn s3() -> Row {
    let source = || -> SourceBuilder {
        Source::get("objects", "https://bucket.s3.us-east-1.amazonaws.com/")
            .auth(SigV4::new("AKIAEXAMPLE", "wJalrXUtnFEMI", "us-east-1", "s3"))
            .format(Format::xml())
            .query("max-keys", "250")
    };
    let way = |primitive, served: fn(Limit) -> Scripted, source| {
        let limit = Limit::told(3, 0);
        Way::new(primitive, served(limit.clone()), source).checked(move || limit.kept())
    };
    let by_token = source()
        .query("list-type", "2")
        .query("delimiter", "/")
        .records(Select::path("ListBucketResult.Contents").and("ListBucketResult.CommonPrefixes"))
        .paginate(
            Cursor::body("ListBucketResult.NextContinuationToken")
                .into_query("continuation-token")
                .until_false("ListBucketResult.IsTruncated"),
        );
    let by_key = source().records("ListBucketResult.Contents").paginate(
        Cursor::last_record("Key").into_query("marker").until_false("ListBucketResult.IsTruncated"),
    );
    let by_markers = source()
        .query("versions", "")
        .records(Select::path("ListVersionsResult.Version").and("ListVersionsResult.DeleteMarker"))
        .paginate(
            Cursor::body("ListVersionsResult.NextKeyMarker")
                .into_query("key-marker")
                .and(Cursor::body("ListVersionsResult.NextVersionIdMarker").into_query("version-id-marker"))
                .until_false("ListVersionsResult.IsTruncated"),
        );
    Row::new(
        "S3 ListObjectsV2",
        [
            way("C", version_2, by_token).named("continuation token").numbered(number),
            way("K", version_1, by_key).named("version 1, last key").number("Size"),
            way("C", versions, by_markers).named("versions, two markers").number("Owner.ID"),
        ],
    )
}
