//! APIs as their vendors describe them, page by page.

use std::fmt::Write as _;

use futures::TryStreamExt;
use headwater::page::{Format, Select};
use headwater::paginate::{Cursor, Offset, PageNumber, Single};
use headwater::testing::{Reply, Scripted};
use headwater::{ErrorKind, Mark, Source, SourceBuilder};
use serde_json::Value;

fn source(api: &Scripted) -> SourceBuilder {
    Source::get("items", "https://api.example.com/items").transport(api.clone())
}

async fn pull(source: SourceBuilder) -> headwater::Result<Vec<Value>> {
    let batches = source.build()?.batches(Mark::start())?;
    let batches: Vec<_> = batches.try_collect().await?;
    let records = batches.iter().flat_map(|batch| batch.records().collect::<Vec<_>>());
    Ok(records.map(|record| serde_json::from_str(record.as_str()).expect("JSON")).collect())
}

fn xml(body: impl Into<String>) -> Reply {
    // What a vendor says its XML is does not matter.
    Reply::status(200).header("content-type", "binary/octet-stream").body(body.into())
}

fn bucket(keys: &[&str], prefixes: &[&str], next: Option<&str>) -> Reply {
    let mut body = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name>",
    );
    let _ = write!(body, "<KeyCount>{}</KeyCount><IsTruncated>{}</IsTruncated>", keys.len(), next.is_some());
    for key in keys {
        let _ = write!(body, "<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>1</Size></Contents>");
    }
    for prefix in prefixes {
        let _ = write!(body, "<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>");
    }
    if let Some(token) = next {
        let _ = write!(body, "<NextContinuationToken>{token}</NextContinuationToken>");
    }
    xml(body + "</ListBucketResult>")
}

fn s3(api: &Scripted) -> SourceBuilder {
    source(api)
        .format(Format::xml())
        .records(
            Select::path("ListBucketResult.Contents").and("ListBucketResult.CommonPrefixes").key_as("kind"),
        )
        .paginate(
            Cursor::body("ListBucketResult.NextContinuationToken")
                .into_query("continuation-token")
                .until_false("ListBucketResult.IsTruncated"),
        )
}

#[tokio::test(start_paused = true)]
async fn a_bucket_gives_its_keys_and_its_prefixes() {
    let api = Scripted::new([
        bucket(&["a&amp;b", "c"], &["p/", "q/"], Some("1+/=")),
        bucket(&[], &[], Some("2")),
        bucket(&["d"], &[], Some("3")),
        bucket(&[], &["r/"], None),
    ]);
    let records = pull(s3(&api)).await.unwrap();
    let found: Vec<_> = records
        .iter()
        .map(|record| {
            let name = record["Key"].as_str().or(record["Prefix"].as_str()).unwrap();
            (name, record["kind"].as_str().unwrap())
        })
        .collect();
    let contents = |name| (name, "Contents");
    let prefix = |name| (name, "CommonPrefixes");
    assert_eq!(
        found,
        [contents("a&b"), contents("c"), prefix("p/"), prefix("q/"), contents("d"), prefix("r/")]
    );
    assert_eq!(records[0]["ETag"], "\"e\"");
    assert!(api.urls()[1].ends_with("continuation-token=1%2B%2F%3D"), "{:?}", api.urls());
    let accepted = api.requests()[0].header("accept").unwrap().to_owned();
    assert!(accepted.starts_with("application/xml"), "{accepted}");
}

#[tokio::test(start_paused = true)]
async fn an_error_document_is_no_empty_bucket() {
    let api = Scripted::new([xml("<Error><Code>InternalError</Code></Error>")]);
    let error = pull(s3(&api)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RecordPath, "{error}");
}

#[tokio::test(start_paused = true)]
async fn arxiv_counts_by_a_total_with_a_prefix_and_an_attribute() {
    let feed = |from: usize, to: usize| {
        let mut body = String::from("<feed xmlns=\"http://www.w3.org/2005/Atom\">\n");
        body += "  <opensearch:totalResults xmlns:opensearch=\"http://a9.com/-/spec/opensearch/1.1/\">5</opensearch:totalResults>\n";
        for number in from..to {
            let _ = write!(
                body,
                "  <entry>\n    <id>http://arxiv.org/abs/{number}</id>\n    <author><name>A</name></author>\n    <link href=\"h\" rel=\"alternate\"/>\n  </entry>\n"
            );
        }
        xml(body + "</feed>\n")
    };
    let api = Scripted::new([feed(0, 2), feed(2, 4), feed(4, 5)]);
    let offset = Offset::new(2).offset_param("start").limit_param("max_results");
    let arxiv = source(&api)
        .format(Format::xml())
        .records("feed.entry")
        .paginate(offset.until_total("feed.opensearch:totalResults.#text"));
    let records = pull(arxiv).await.unwrap();
    let ids: Vec<_> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(ids[4], "http://arxiv.org/abs/4");
    assert_eq!(records[0]["link"]["@rel"], "alternate");
}

#[tokio::test(start_paused = true)]
async fn oai_pmh_resumes_by_the_text_of_an_element_with_and_without_attributes() {
    let list = |ids: &[u32], token: &str| {
        let records: String = ids
            .iter()
            .map(|id| format!("<record><header><identifier>{id}</identifier></header></record>"))
            .collect();
        xml(format!(
            "<OAI-PMH><request verb=\"ListRecords\"/><ListRecords>{records}{token}</ListRecords></OAI-PMH>"
        ))
    };
    let last = "<resumptionToken completeListSize=\"4\" cursor=\"3\"/>";
    let api = Scripted::new([
        list(&[1, 2], "<resumptionToken completeListSize=\"4\">t&amp;1</resumptionToken>"),
        list(&[3], "<resumptionToken>t2</resumptionToken>"),
        list(&[4], last),
    ]);
    let cursor = Cursor::body("OAI-PMH.ListRecords.resumptionToken.#text").missing_ends();
    let oai = source(&api)
        .format(Format::xml())
        .records("OAI-PMH.ListRecords.record")
        .paginate(cursor.into_query("resumptionToken"));
    let records = pull(oai).await.unwrap();
    assert_eq!(records.len(), 4);
    assert_eq!(records[3]["header"]["identifier"], "4");
    assert!(api.urls()[1].ends_with("resumptionToken=t%261"), "{:?}", api.urls());
}

#[tokio::test(start_paused = true)]
async fn azure_ends_with_an_empty_marker() {
    let blobs = |blobs: &str, marker: &str| {
        xml(format!(
            "\u{FEFF}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://x.example/\"><Blobs>{blobs}</Blobs>{marker}</EnumerationResults>"
        ))
    };
    let api = Scripted::new([
        blobs(
            "<Blob><Name>a</Name><Properties><Content-Length>1</Content-Length></Properties></Blob>",
            "<NextMarker>m</NextMarker>",
        ),
        blobs("", "<NextMarker>n</NextMarker>"),
        blobs("<Blob><Name>b</Name></Blob><Blob><Name>c</Name></Blob>", "<NextMarker />"),
    ]);
    let azure = source(&api)
        .format(Format::xml())
        .records("EnumerationResults.Blobs.Blob")
        .paginate(Cursor::body("EnumerationResults.NextMarker").into_query("marker"));
    let names: Vec<_> = pull(azure).await.unwrap().iter().map(|record| record["Name"].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn alpaca_gives_a_map_of_arrays() {
    let api = Scripted::new([
        Reply::json(r#"{"bars":{"AAPL":[{"c":1.10},{"c":2}],"MSFT":[{"c":3}]},"next_page_token":"t"}"#),
        Reply::json(r#"{"bars":{},"next_page_token":"u"}"#),
        Reply::json(r#"{"bars":{"MSFT":[{"c":4}]},"next_page_token":null}"#),
    ]);
    let alpaca = source(&api)
        .records(Select::map("bars").key_as("symbol"))
        .paginate(Cursor::body("next_page_token").into_query("page_token"));
    let batches: Vec<_> =
        alpaca.build().unwrap().batches(Mark::start()).unwrap().try_collect().await.unwrap();
    let records: Vec<_> = batches.iter().flat_map(|batch| batch.records().collect::<Vec<_>>()).collect();
    let records: Vec<_> = records.iter().map(headwater::Record::as_str).collect();
    assert_eq!(
        records,
        [
            r#"{"c":1.10,"symbol":"AAPL"}"#,
            r#"{"c":2,"symbol":"AAPL"}"#,
            r#"{"c":3,"symbol":"MSFT"}"#,
            r#"{"c":4,"symbol":"MSFT"}"#
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_of_hacker_news_may_be_null() {
    for (body, expected) in [(r#"{"id":7,"type":"story"}"#, 1), ("null", 0)] {
        let api = Scripted::new([Reply::json(body)]);
        let item = source(&api).records(Select::object("").skip_null()).paginate(Single);
        assert_eq!(pull(item).await.unwrap().len(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_are_null_are_counted_by_an_offset() {
    let api = Scripted::new([
        Reply::json(r#"{"data":[{"n":1},null]}"#),
        Reply::json(r#"{"data":[null,null]}"#),
        Reply::json(r#"{"data":[null,{"n":2}]}"#),
        Reply::json(r#"{"data":[]}"#),
    ]);
    let items =
        source(&api).records(Select::path("data").skip_null()).paginate(Offset::new(2)).allow_repeats();
    assert_eq!(pull(items).await.unwrap().len(), 2);
    assert!(api.urls()[3].contains("offset=6"), "{:?}", api.urls());
}

#[tokio::test(start_paused = true)]
async fn tables_and_lines_are_paged_by_number_and_by_header() {
    let csv = |body: &'static str| Reply::status(200).header("content-type", "text/plain").body(body);
    let api = Scripted::new([csv("id,n\n1,x\n2,y\n"), csv("id,n\n3,z\n"), csv("id,n\n")]);
    let table = source(&api).format(Format::csv()).paginate(PageNumber::new());
    let records = pull(table).await.unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!(records[2]["n"], "z");

    let api =
        Scripted::new([csv("{\"id\":1}\n{\"id\":2}\n").header("x-next", "c"), csv("{\"id\":3}"), csv("")]);
    let lines = source(&api).format(Format::JsonLines).paginate(PageNumber::new());
    assert_eq!(pull(lines).await.unwrap().len(), 3);
    let api = Scripted::new([csv("{\"id\":1}\n").header("x-next", "c"), csv("{\"id\":3}")]);
    let cursor = Cursor::header("x-next").into_query("cursor").missing_ends();
    let lines = source(&api).format(Format::JsonLines).paginate(cursor);
    assert_eq!(pull(lines).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cut_body_is_asked_for_once_more() {
    let api = Scripted::new([
        xml("<feed><entry>1</entry><ent"),
        xml("<feed><entry>1</entry><entry>2</entry></feed>"),
    ]);
    let feed = source(&api).format(Format::xml()).records("feed.entry").paginate(Single);
    assert_eq!(pull(feed).await.unwrap().len(), 2);
    let api = Scripted::new([xml("{\"id\":1}\n{\"id\""), xml("{\"id\":1}\n{\"i"), xml("{}")]);
    let error = pull(source(&api).format(Format::JsonLines).paginate(Single)).await.unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
    assert_eq!(api.urls().len(), 2);
}
