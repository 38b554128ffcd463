//! Records into typed rows: what a table gets, and what is told of the rest.

use std::collections::BTreeMap;

use fastrand::Rng;
use headwater::schema::{
    Cell, ColumnType, Conformer, Content, Contract, INGESTED_AT, Limits, Schema, SchemaState, Schemas,
};
use headwater::{Batch, ErrorKind, Page, Position, Result};
use serde_json::Value;

fn batch(records: &[impl AsRef<str>]) -> Batch {
    let records: Vec<&str> = records.iter().map(AsRef::as_ref).collect();
    let page = Page::new(format!("[{}]", records.join(", ")), 1, Position::Start, None).unwrap();
    Batch::new(page, "").unwrap()
}

/// A table as a sink would have it: columns, rows as text (nulls as `None`), and what was rejected.
#[derive(Debug, Default, Clone, PartialEq)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
    rejected: Vec<(String, String)>,
}

impl Table {
    fn take(&mut self, mut chunks: headwater::schema::Chunks<'_>) -> Result<()> {
        while let Some(chunk) = chunks.next_chunk()? {
            assert_eq!(chunk.added().start, self.columns.len());
            for column in chunk.added_columns() {
                self.columns.push(format!("{} {}", column.name(), column.column_type()));
            }
            assert_eq!(chunk.schema().len(), self.columns.len());
            for row in chunk.rows() {
                let text = |cell: &Cell<'_>| (!cell.is_null()).then(|| cell.to_string());
                self.rows.push(row.iter().map(text).collect());
            }
            for rejected in chunk.rejected() {
                let record = String::from_utf8(rejected.record.to_vec()).unwrap();
                let about = rejected.column.as_deref().unwrap_or_default();
                self.rejected.push((record, format!("{about}: {}", rejected.reason)));
            }
        }
        Ok(())
    }

    fn columns(&self) -> Vec<&str> {
        let ours = |name: &&str| !name.starts_with("__source ") && !name.starts_with("__ingested_at ");
        self.columns.iter().map(String::as_str).filter(ours).collect()
    }

    /// The rows without `__source` and `__ingested_at`.
    fn rows(&self) -> Vec<Vec<&str>> {
        let is_ours = |name: &str| name.starts_with("__source ") || name.starts_with("__ingested_at ");
        let kept: Vec<usize> =
            (0..self.columns.len()).filter(|index| !is_ours(&self.columns[*index])).collect();
        let mut rows = Vec::new();
        for row in &self.rows {
            let cell = |index: &usize| row.get(*index).and_then(Option::as_deref).unwrap_or("-");
            rows.push(kept.iter().map(cell).collect());
        }
        rows
    }
}

fn conformer(schemas: &Schemas) -> Conformer {
    Conformer::new(schemas, "s", "label", Limits::default()).unwrap()
}

/// All the batches through one conformer.
fn table(schemas: &Schemas, batches: &[Batch]) -> Result<Table> {
    let mut conformer = conformer(schemas);
    let mut table = Table::default();
    for batch in batches {
        table.take(conformer.write(batch))?;
    }
    table.take(conformer.settle())?;
    assert_eq!(conformer.rejected(), table.rejected.len() as u64);
    Ok(table)
}

#[test]
fn the_columns_are_those_of_the_sample_and_not_of_the_first_record() {
    let first = batch(&[r#"{"id":1}"#]);
    let second = batch(&[r#"{"id":2,"name":"b"}"#, r#"{"name":"c","id":2.5,"tags":["x"]}"#]);
    let table = table(&Schemas::inferred(), &[first, second]).unwrap();
    assert_eq!(
        table.columns,
        ["id float64", "name text", "tags json", "__source text", "__ingested_at timestamp"]
    );
    assert_eq!(table.rows(), [["1", "-", "-"], ["2", "b", "-"], ["2.5", "c", "[\"x\"]"]]);
    assert_eq!(table.rows[0][3].as_deref(), Some("label"));
}

#[test]
fn what_appears_later_becomes_a_column_before_the_rows_that_have_it() {
    let batches = [
        batch(&[r#"{"id":1}"#]),
        batch(&[r#"{"id":2,"x":null}"#, r#"{"id":3,"x":1}"#, r#"{"id":4,"x":1.5,"__source":"web"}"#]),
        batch(&[r#"{"id":"five","x":[]}"#, r#"{"id":6.5}"#, r#"{"id":7}"#]),
    ];
    let table = table(&Schemas::inferred().sample(1), &batches).unwrap();
    assert_eq!(
        table.columns(),
        ["id int64", "x float64", "__source_original text", "id__text text", "x__text text"]
    );
    assert_eq!(
        table.rows(),
        [
            ["1", "-", "-", "-", "-"],
            ["2", "-", "-", "-", "-"],
            ["3", "1", "-", "-", "-"],
            ["4", "1.5", "web", "-", "-"],
            ["-", "-", "-", "five", "[]"],
            ["-", "-", "-", "6.5", "-"],
            ["7", "-", "-", "-", "-"],
        ]
    );
    assert!(table.rejected.is_empty());
}

fn declared() -> Schema {
    Schema::builder()
        .required("id", ColumnType::Int64)
        .column("total", ColumnType::Decimal { precision: 6, scale: 2 })
        .column("label", ColumnType::Text)
        .from_field("name")
        .build()
        .unwrap()
}

/// What fits, a new field, a misfit, and nothing for what is required.
fn mixed() -> Batch {
    batch(&[
        r#"{"id":1,"total":"12.50","name":"a"}"#,
        r#"{"id":2,"extra":7,"none":null}"#,
        r#"{"id":3,"total":0.125}"#,
        r#"{"total":1}"#,
        r#"{"id":null}"#,
        r#"{"id":"6"}"#,
    ])
}

#[test]
fn a_contract_decides_what_becomes_of_what_does_not_fit() {
    let of = |contract| {
        let schemas = Schemas::inferred().declare("s", declared()).contract_of("s", contract);
        table(&schemas, &[mixed()])
    };
    let evolved = of(Contract::Evolve).unwrap();
    assert_eq!(
        evolved.columns(),
        ["id int64", "total decimal(6,2)", "label text", "total__text text", "extra int64"]
    );
    assert_eq!(
        evolved.rows(),
        [["1", "12.50", "a", "-", "-"], ["2", "-", "-", "-", "7"], ["3", "-", "-", "0.125", "-"]]
    );
    let rejected: Vec<&str> = evolved.rejected.iter().map(|(record, _)| record.as_str()).collect();
    assert_eq!(rejected, [r#"{"total":1}"#, r#"{"id":null}"#, r#"{"id":"6"}"#]);

    let strict = of(Contract::Reject).unwrap();
    assert_eq!(strict.rows(), [["1", "12.50", "a"]]);
    assert_eq!(
        strict.rejected[0],
        (r#"{"id":2,"extra":7,"none":null}"#.into(), "extra: the schema has no column for this field".into())
    );
    assert_eq!(strict.rejected[1].1, "total: it has more digits than the decimal");
    assert_eq!(strict.rejected.len(), 5);

    let nulled = of(Contract::Null).unwrap();
    assert_eq!(nulled.rows(), [["1", "12.50", "a"], ["2", "-", "-"], ["3", "-", "-"]]);
    assert_eq!(nulled.rejected.len(), 3);

    let frozen = of(Contract::Freeze).unwrap_err();
    assert_eq!(frozen.kind(), ErrorKind::Record);
    let text = frozen.to_string();
    assert!(text.contains("extra") && text.contains("page 1") && frozen.help().is_some(), "{text}");
    assert!(!text.contains('7'), "no value is quoted: {text}");
}

#[test]
fn what_was_left_out_is_counted_once() {
    let schemas = Schemas::inferred().declare("s", declared()).contract(Contract::Null);
    let mut conformer = conformer(&schemas);
    let batch = mixed();
    Table::default().take(conformer.write(&batch)).unwrap();
    let state = conformer.state().unwrap();
    assert_eq!((state.nulled(), state.rejected()), (2, 3));
}

#[test]
fn a_number_that_a_column_does_not_hold_is_never_rounded() {
    for (column_type, record) in [
        (ColumnType::Int64, "9223372036854775808"),
        (ColumnType::Int64, "1.5"),
        (ColumnType::Float64, "1e400"),
        (ColumnType::Float64, "0.1234567890123456789"),
        (ColumnType::Float64, "9007199254740993"),
        (ColumnType::Decimal { precision: 38, scale: 2 }, "0.125"),
    ] {
        let schema = Schema::builder().column("value", column_type).build().unwrap();
        let schemas = Schemas::inferred().declare("s", schema);
        let evolved = table(&schemas, &[batch(&[record])]).unwrap();
        assert_eq!(evolved.rows(), [["-", record]], "{column_type}");
        let strict = table(&schemas.contract(Contract::Reject), &[batch(&[record])]).unwrap();
        assert_eq!((strict.rows.len(), strict.rejected.len()), (0, 1), "{column_type}");
    }
}

#[test]
fn odd_records_have_their_rows() {
    let records = [
        r#"{"a":"x","a":"y"}"#,
        r#"{"\u0061":"caf\u00e9"}"#,
        "[1,2]",
        "{}",
        "\"text\"",
        "null",
        r#"{"value":"own"}"#,
        r#"{"":"empty"}"#,
        r#"{"A":"other case"}"#,
    ];
    let table = table(&Schemas::inferred(), &[batch(&records)]).unwrap();
    assert_eq!(table.columns(), ["a text", "value json", "_ text", "A_2 text"]);
    let rows = table.rows();
    assert_eq!(rows[0], ["y", "-", "-", "-"]);
    assert_eq!(rows[1], ["café", "-", "-", "-"]);
    assert_eq!(rows[2], ["-", "[1,2]", "-", "-"]);
    assert_eq!(rows[3], ["-", "-", "-", "-"]);
    assert_eq!(rows[4], ["-", "\"text\"", "-", "-"]);
    assert_eq!(rows[5], ["-", "-", "-", "-"]);
    assert_eq!(rows[7], ["-", "-", "empty", "-"]);
    assert_eq!(rows[8], ["-", "-", "-", "other case"]);
}

#[test]
fn keys_that_are_no_unicode_are_fields_of_their_own() {
    let records = [r#"{"\ud800":1,"\udc00":2,"\uD800":3}"#];
    let table = table(&Schemas::inferred(), &[batch(&records)]).unwrap();
    assert_eq!(table.columns(), ["\u{fffd}d800 int64", "\u{fffd}dc00 int64"]);
    assert_eq!(table.rows(), [["3", "2"]]);
}

#[test]
fn a_record_with_more_columns_than_a_table_may_have_is_rejected() {
    let wide: Vec<String> = (0..20).map(|index| format!("\"f{index}\":{index}")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    let long = format!("{{\"{}\":1}}", "x".repeat(300));
    let batches = [batch(&["{\"f0\":1}"]), batch(&[wide.as_str(), "{\"f0\":2}", &long])];
    let schemas = Schemas::inferred().sample(1).most_columns(10);
    let capped = table(&schemas, &batches).unwrap();
    assert!(capped.columns.len() <= 10);
    assert_eq!((capped.rows.len(), capped.rejected.len()), (2, 2), "{capped:?}");
    assert!(capped.rejected[0].1.contains("10"), "{:?}", capped.rejected);
    let frozen = table(&schemas.contract(Contract::Freeze), &batches).unwrap_err();
    assert_eq!(frozen.kind(), ErrorKind::Record);
}

#[test]
fn a_run_that_goes_on_has_the_columns_of_the_commit() {
    let schemas = Schemas::inferred().sample(1);
    let [first, second, third] =
        [r#"{"id":1}"#, r#"{"id":2,"late":true}"#, r#"{"later":0,"id":3}"#].map(|record| batch(&[record]));
    let mut conformer = conformer(&schemas);
    let mut written = Table::default();
    written.take(conformer.write(&first)).unwrap();
    let state = conformer.state().unwrap();
    let columns = written.columns.clone();
    // Written behind the commit, and lost.
    written.take(conformer.write(&second)).unwrap();

    let text = serde_json::to_string(&state).unwrap();
    let state: SchemaState = serde_json::from_str(&text).unwrap();
    let mut again = self::conformer(&schemas);
    again.resume(&state).unwrap();
    assert_eq!(again.schema(), state.schema());
    let mut table = Table { columns, ..Table::default() };
    table.take(again.write(&third)).unwrap();
    assert_eq!(table.columns(), ["id int64", "later int64"]);
    assert!(text.len() < 300, "{text}");
}

#[test]
fn a_declared_column_may_be_added_later_and_not_changed() {
    let state = {
        let mut conformer = conformer(&Schemas::inferred().declare("s", declared()));
        let batch = batch(&[r#"{"id":1}"#]);
        Table::default().take(conformer.write(&batch)).unwrap();
        conformer.state().unwrap()
    };
    let with = |schema: Schema| {
        let mut conformer = conformer(&Schemas::inferred().declare("s", schema));
        conformer
            .resume(&state)
            .map(|()| conformer.schema().unwrap().columns().last().unwrap().name().to_owned())
    };
    let builder = || Schema::builder().required("id", ColumnType::Int64);
    assert_eq!(with(builder().column("new", ColumnType::Json).build().unwrap()).unwrap(), "new");
    for changed in [
        builder().column("total", ColumnType::Float64).build().unwrap(),
        builder().required("new", ColumnType::Json).build().unwrap(),
        Schema::builder().column("id", ColumnType::Int64).build().unwrap(),
    ] {
        let error = with(changed).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DefinitionChanged);
        assert!(error.help().is_some());
    }
}

#[test]
fn a_schema_that_makes_no_sense_is_refused() {
    let decimal = |precision, scale| ColumnType::Decimal { precision, scale };
    for wrong in [
        Schema::builder().column("a", ColumnType::Text).column("A", ColumnType::Text),
        Schema::builder().column("a", ColumnType::Text).column("b", ColumnType::Text).from_field("a"),
        Schema::builder().column("__source", ColumnType::Text),
        Schema::builder().column("", ColumnType::Text),
        Schema::builder().column("a", decimal(0, 0)),
        Schema::builder().column("a", decimal(77, 0)),
        Schema::builder().column("a", decimal(2, 3)),
    ] {
        assert_eq!(wrong.build().unwrap_err().kind(), ErrorKind::Config);
    }
    let odd = Schema::builder().column("a b", ColumnType::Text).build().unwrap();
    let schemas = Schemas::inferred().declare("s", odd);
    let error = Conformer::new(&schemas, "s", "s", Limits::default().plain_names()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn a_page_of_many_sparse_records_takes_little_memory_at_a_time() {
    let first: Vec<String> = (0..900).map(|index| format!("\"f{index}\":1")).collect();
    let first = batch(&[format!("{{{}}}", first.join(","))]);
    let second = batch(&vec!["{}"; 10_000]);
    let mut conformer = conformer(&Schemas::inferred().sample(1));
    Table::default().take(conformer.write(&first)).unwrap();
    let (mut most, mut rows) = (0, 0);
    let mut chunks = conformer.write(&second);
    while let Some(chunk) = chunks.next_chunk().unwrap() {
        most = most.max(chunk.rows().map(<[Cell<'_>]>::len).sum());
        rows += chunk.len();
    }
    assert_eq!(rows, 10_000);
    assert!(most <= 65_536, "{most} cells at once");
}

// Random records, against what serde_json reads.

fn seed() -> u64 {
    std::env::var("HEADWATER_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap())
}

fn number(random: &mut Rng) -> String {
    match random.u32(..12) {
        0 => random.i64(..).to_string(),
        1 => random.u64(..).to_string(),
        2 => format!("{:?}", f64::from_bits(random.u64(..))).replace("NaN", "0").replace("inf", "1"),
        3 => format!("{}.{}", random.i32(..), random.u64(..)),
        4 => format!("{}e{}", random.i32(-99..99), random.i32(-400..400)),
        5 => format!("{}.0", random.i64(..)),
        6 => format!("{}{}", random.u64(1..), random.u64(..)),
        7 => ["-0", "0.0", "-0.0", "1E+2", "0e999999999999999999999", "1e999999999999999999999"]
            [random.usize(..6)]
        .into(),
        8 => format!("{:.2}", random.f64() * 1000.0),
        _ => random.i32(-5..5).to_string(),
    }
}

fn string(random: &mut Rng) -> String {
    match random.u32(..8) {
        0 => r#""\ud800""#.into(),
        1 => r#""a\u0000\n\"\\ \ud83d\ude00""#.into(),
        2 => "\"2026-05-17\"".into(),
        3 => format!("\"2026-05-{:02}T10:00:00.{}Z\"", random.u32(1..32), random.u32(..)),
        4 => "\"=1+1\"".into(),
        5 => "\"\"".into(),
        _ => format!("\"é{}\"", random.u16(..)),
    }
}

fn value(random: &mut Rng, depth: u32) -> String {
    match random.u32(..10) {
        0 => "null".into(),
        1 => ["true", "false"][random.usize(..2)].into(),
        2..=4 => number(random),
        5 | 6 => string(random),
        7 if depth > 0 => {
            let items: Vec<String> = (0..random.u32(..3)).map(|_| value(random, depth - 1)).collect();
            format!("[{}]", items.join(" ,"))
        }
        8 if depth > 0 => object(random, depth - 1),
        _ => random.u8(..).to_string(),
    }
}

fn object(random: &mut Rng, depth: u32) -> String {
    const KEYS: [&str; 9] = ["a", "b", "c", "A", r"\u0061", "", "__source", r#"q\"\\"#, r"\ud800"];
    let field = |random: &mut Rng| {
        // Most fields are of one kind.
        let key = random.usize(..KEYS.len());
        let value = match (key, random.u32(..8)) {
            (_, 0) => value(random, depth),
            (0 | 4, _) => number(random),
            (1, _) => string(random),
            (2, _) => random.i32(..).to_string(),
            _ => value(random, depth),
        };
        format!("\"{}\" : {value}", KEYS[key])
    };
    let fields: Vec<String> = (0..random.u32(..6)).map(|_| field(random)).collect();
    format!("{{{}}}", fields.join(",\n"))
}

/// The digits and the power of ten of a number, by its text.
fn digits(text: &str) -> (bool, String, i128) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i128 = exponent.trim_start_matches('+').parse().unwrap();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{}{fraction}", whole.trim_start_matches('-'));
    let significant = all.trim_start_matches('0');
    let kept = significant.trim_end_matches('0');
    if kept.is_empty() {
        return (false, String::new(), 0);
    }
    let dropped = (significant.len() - kept.len()) as i128;
    (mantissa.starts_with('-'), kept.to_owned(), exponent - fraction.len() as i128 + dropped)
}

/// The fields of a record by what serde_json reads, with the text of their values, the last of each key.
fn oracle(record: &str) -> BTreeMap<String, String> {
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, Box<serde_json::value::RawValue>>>(record)
    else {
        let is_object = record.starts_with('{');
        assert!(!is_object || record.contains("ud800"), "{record}");
        return if is_object { BTreeMap::new() } else { [("value".to_owned(), record.to_owned())].into() };
    };
    fields.into_iter().map(|(key, raw)| (key, raw.get().to_owned())).collect()
}

/// A cell says what the value says, in its own type.
fn assert_same(cell: &Cell<'_>, column_type: ColumnType, raw: &str, context: &str) {
    let text = cell.to_string();
    let is_number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    match column_type {
        ColumnType::Json => assert_eq!(text, raw, "{context}"),
        ColumnType::Int64 | ColumnType::Float64 | ColumnType::Decimal { .. } => {
            assert!(is_number, "{context}");
            assert_eq!(digits(&text), digits(raw), "{context}");
        }
        ColumnType::Text => match serde_json::from_str::<Value>(raw) {
            Ok(Value::String(expected)) => assert_eq!(text, expected, "{context}"),
            _ => assert_eq!(text, raw, "{context}"),
        },
        ColumnType::Timestamp => {
            let expected: String = serde_json::from_str(raw).unwrap();
            let [expected, text] =
                [&expected, &text].map(|text| chrono::DateTime::parse_from_rfc3339(text).unwrap());
            assert_eq!(text, expected, "{context}");
        }
        _ => assert_eq!(text, raw.trim_matches('"'), "{context}"),
    }
}

#[test]
fn whatever_the_records_are_each_value_is_in_its_row_or_the_record_is_rejected() {
    let seed = seed();
    for round in 0..1_500 {
        let mut random = Rng::with_seed(seed.wrapping_add(round));
        let context = format!("HEADWATER_SEED={}", seed.wrapping_add(round));
        let record = |random: &mut Rng| match random.u32(..12) {
            0 => value(random, 2),
            _ => object(random, 2),
        };
        let batches: Vec<Vec<String>> = (0..random.usize(1..6))
            .map(|_| (0..random.usize(..12)).map(|_| record(&mut random)).collect())
            .collect();
        let contract = [Contract::Evolve, Contract::Reject, Contract::Null][random.usize(..3)];
        let most = [1_000, 8][random.usize(..2)];
        let sample = random.usize(1..30);
        let schemas = Schemas::inferred().sample(sample).contract(contract).most_columns(most);
        let mut conformer = conformer(&schemas);
        let mut rows: Vec<Vec<Option<String>>> = Vec::new();
        let mut rejected: Vec<String> = Vec::new();
        let mut columns = Vec::new();
        let last = batch(&Vec::<String>::new());
        let pages: Vec<Batch> = batches.iter().map(|records| batch(records)).chain([last]).collect();
        let mut in_order = batches.iter().flatten();
        for (index, page) in pages.iter().enumerate() {
            let mut chunks = match index + 1 == pages.len() {
                true => conformer.settle(),
                false => conformer.write(page),
            };
            while let Some(chunk) = chunks.next_chunk().unwrap() {
                columns = chunk.schema().columns().to_vec();
                assert!(columns.len() <= most, "{context}");
                let mut given = chunk.rows();
                let mut refused = chunk.rejected().iter().peekable();
                for _ in 0..chunk.len() + chunk.rejected().len() {
                    let record = in_order.next().unwrap();
                    if refused.next_if(|refused| refused.record == record.trim().as_bytes()).is_some() {
                        rejected.push(record.clone());
                        continue;
                    }
                    let row = given.next().unwrap();
                    let mut fields = oracle(record);
                    let is_readable = !fields.is_empty() || !record.contains("ud800");
                    for (index, (column, cell)) in columns.iter().zip(row).enumerate() {
                        let misfit = columns
                            .iter()
                            .position(|other| *other.content() == Content::MisfitsOf(index))
                            .map(|place| row[place].clone());
                        let Some(field) = column.field() else { continue };
                        let raw = fields.remove(field).filter(|raw| raw != "null");
                        match (raw, cell.is_null()) {
                            (Some(raw), false) => assert_same(cell, column.column_type(), &raw, &context),
                            (Some(raw), true) if contract == Contract::Evolve => {
                                let text = misfit.expect("a column for what does not fit").to_string();
                                let expected = serde_json::from_str::<String>(&raw).unwrap_or(raw);
                                assert_eq!(text, expected, "{context}");
                            }
                            (Some(_), true) => assert_eq!(contract, Contract::Null, "{context}"),
                            (None, is_null) => assert!(is_null || !is_readable, "{context}: {record}"),
                        }
                    }
                    fields.retain(|_, raw| raw != "null");
                    assert!(
                        fields.is_empty() || contract == Contract::Null,
                        "{context}: {fields:?} of {record}"
                    );
                    rows.push(row.iter().map(|cell| (!cell.is_null()).then(|| cell.to_string())).collect());
                }
                assert!(refused.next().is_none() && given.next().is_none(), "{context}");
            }
        }
        assert!(in_order.next().is_none(), "{context}: a record is neither a row nor rejected");
        let total: usize = batches.iter().map(Vec::len).sum();
        assert_eq!(rows.len() + rejected.len(), total, "{context}");
        assert_eq!(conformer.rejected(), rejected.len() as u64, "{context}");
        if contract == Contract::Evolve && most == 1_000 {
            assert!(rejected.is_empty(), "{context}: {rejected:?}");
        }
        assert!(total == 0 || columns.iter().any(|column| column.name() == INGESTED_AT), "{context}");
    }
}

#[test]
fn an_inferred_schema_takes_its_whole_sample() {
    let seed = seed();
    for round in 0..1_500 {
        let mut random = Rng::with_seed(seed.wrapping_add(round));
        let records: Vec<String> = (0..random.usize(1..40)).map(|_| object(&mut random, 2)).collect();
        let schemas = Schemas::inferred().contract(Contract::Reject).infer_times(random.bool());
        let table = table(&schemas, &[batch(&records)]).unwrap();
        assert_eq!(table.rejected, [], "HEADWATER_SEED={}", seed.wrapping_add(round));
        assert_eq!(table.rows.len(), records.len());
    }
}
