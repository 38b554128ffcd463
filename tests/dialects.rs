//! Every documented dialect of 124 APIs: a server that behaves as the vendor's document says, quirks included, and a
//! source made by configuration alone. Each pulls 1,234 records, each exactly once.
//!
//! `cargo test --test dialects -- --nocapture` prints the table.

#[path = "dialects/mod.rs"]
mod dialects;

use std::collections::BTreeSet;

use dialects::{APIS, Verdict, rows};

#[tokio::test(start_paused = true)]
async fn every_api_of_the_table_is_pulled_exactly_once() {
    let (mut wrong, mut pulled) = (Vec::new(), BTreeSet::new());
    println!("{:<44} {:<10} {:>8} {:>8}  verdict", "API", "primitive", "requests", "records");
    for row in rows() {
        assert!(APIS.contains(&row.api), "{} is not in the table", row.api);
        pulled.insert(row.api);
        for way in row.ways {
            let primitive = way.primitive;
            let name =
                if way.name.is_empty() { row.api.to_owned() } else { format!("{}: {}", row.api, way.name) };
            let Verdict { requests, records, fault } = way.pull().await;
            let verdict = fault.as_deref().unwrap_or("each once");
            println!("{name:<44} {primitive:<10} {requests:>8} {records:>8}  {verdict}");
            if fault.is_some() {
                wrong.push(format!("{name}: {verdict}"));
            }
        }
    }
    let left_out: Vec<_> = APIS.iter().filter(|api| !pulled.contains(*api)).collect();
    println!("{} of {} APIs", pulled.len(), APIS.len());
    assert!(left_out.is_empty(), "not pulled: {left_out:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
