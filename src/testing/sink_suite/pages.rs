//! The sources of the suite: what is on each page follows from its number.

use crate::error::Result;
use crate::page::Page;
use crate::records::Batch;
use crate::request::Position;

/// A source of a few pages, which is the same whenever it is asked.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) name: String,
    /// The records of each page, as JSON text.
    pub(super) pages: Vec<Vec<String>>,
}

impl Listing {
    /// Pages of ordinary records: `generation` tells those of one run from those of another.
    pub(super) fn new(name: impl Into<String>, generation: &str, sizes: &[usize]) -> Self {
        let name = name.into();
        let mut number = 0;
        let pages = sizes.iter().map(|size| {
            (0..*size)
                .map(|_| {
                    number += 1;
                    record(&name, generation, number)
                })
                .collect()
        });
        Self { pages: pages.collect(), name }
    }

    /// Pages of these records.
    pub(super) fn of(name: impl Into<String>, pages: Vec<Vec<String>>) -> Self {
        Self { name: name.into(), pages }
    }

    pub(super) fn len(&self) -> u64 {
        self.pages.len() as u64
    }

    /// The page of this number, from 1.
    pub(super) fn batch(&self, number: u64) -> Result<Batch> {
        let records = self.pages.get(number as usize - 1).map_or(&[][..], Vec::as_slice);
        let next = (number < self.len()).then_some(Position::Page(number + 1));
        let page = Page::new(format!("[{}]", records.join(",")), number, Position::Page(number), next)?;
        Batch::new(page, "")
    }

    /// All records of it, in order.
    pub(super) fn records(&self) -> Vec<&str> {
        self.pages.iter().flatten().map(String::as_str).collect()
    }
}

/// An ordinary record.
pub(super) fn record(source: &str, generation: &str, number: usize) -> String {
    let id = format!("{source}/{generation}/{number:06}");
    format!(
        r#"{{"id":"{id}","number":{number},"text":"water, and \"more\" of it","nested":{{"deep":[1,null]}}}}"#
    )
}

/// Records that are valid JSON, and nothing that one thinks of.
pub(super) fn odd(source: &str) -> Vec<String> {
    let digits = "1234567890123456789012345678901234567890";
    let odd = [
        r#"{"id":"@0","number":-0.0,"text":""}"#.to_owned(),
        format!(r#"{{"id":"@1","number":{digits},"text":"{digits}"}}"#),
        format!(r#"{{"id":"@2","number":0.{digits},"text":"1e400"}}"#),
        r#"{"id":"@3","number":1.10,"text":"\u0041\u00e9\ud83d\ude00\t\"\\\/"}"#.to_owned(),
        r#"{"id":"@4","text":"é 😀 ﷽ \u2028"}"#.to_owned(),
        r#"{"id":"@5","__source":"own","__ingested_at":"own","number":1}"#.to_owned(),
        r#"{"id":"@6","":"an empty key"," ":1}"#.to_owned(),
        r#"{"id":"@7","a.b":1,"a b":2,"a'b":3,"select":4,"A":5,"a":6}"#.to_owned(),
        "{\n  \"id\": \"@8\",\r\n  \"text\": \"pretty\",\n\t\"list\": [\n 1,\n 2\n ]\n}".to_owned(),
        r#"{"id":"@9","text":null,"number":null}"#.to_owned(),
        r#"{"id":"@10","number":"a word","text":7,"nested":[]}"#.to_owned(),
        r#"{"id":"@11","text":"a\nb,c;d\r\n'e' =1+1 \\N"}"#.to_owned(),
        r#"{"id":"@12","deep":[[[[[[[[[[{"a":[]}]]]]]]]]]]}"#.to_owned(),
        r#"{"id":"@13","true":true,"false":false,"number":1e2}"#.to_owned(),
        "7".to_owned(),
        "\"text\"".to_owned(),
        "[1, 2]".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        "{ }".to_owned(),
    ];
    odd.into_iter().map(|record| record.replace('@', &format!("{source}/odd/"))).collect()
}
