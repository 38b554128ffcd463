//! The source, as it would be written in Rust. Pure.

use http::Method;
use serde_json::Value;

use super::{Proposal, Question, Schema};

pub(super) fn code(question: &Question<'_>, records: &str, dialect: &Proposal, schema: &Schema) -> String {
    let Question { request, shown, name, is_graphql, .. } = question;
    let paginator = dialect.paginator.as_str();
    let needs_body = paginator.contains(".into_body(") || paginator.contains("Target::body(");
    let mut code = match *request.method() {
        _ if *is_graphql => format!("Source::graphql({name:?}, {shown:?}, query)\n"),
        Method::GET if needs_body && !request.has_body() => {
            format!("Source::post({name:?}, {shown:?})\n    .json(body)\n")
        }
        Method::GET => format!("Source::get({name:?}, {shown:?})\n"),
        Method::POST => format!("Source::post({name:?}, {shown:?})\n"),
        _ => format!("Source::request({name:?}, request)\n"),
    };
    let is_written = matches!(*request.method(), Method::GET | Method::POST) && !is_graphql;
    if is_written && request.body().is_some() {
        code += "    .json(body)\n";
    }
    let kept = [
        ("credentials", question.has_auth),
        ("headers", is_written && question.has_headers),
        ("variables", *is_graphql && request.body().is_some_and(|body| body.get("variables").is_some())),
        ("form", is_written && !request.form_fields().is_empty()),
        ("rules", question.has_rules),
    ];
    let kept: Vec<&str> = kept.into_iter().filter(|(_, is_kept)| *is_kept).map(|(what, _)| what).collect();
    if !kept.is_empty() {
        code += &format!("    // with the {} that it was probed with\n", kept.join(", "));
    }
    if let Some(format) = question.format.as_deref().and_then(format) {
        code += &format!("    .format({format})\n");
    }
    let map = records.strip_suffix(".*").or_else(|| records.strip_suffix("/*"));
    let records = match map {
        Some(map) => format!("Select::map({map:?})"),
        None => format!("{records:?}"),
    };
    code += &format!("    .records({records})\n    .paginate({paginator})\n");
    if let (Some(changed), key) = (&schema.changed, &schema.key) {
        let key = key.as_ref().map_or_else(String::new, |key| format!(".key({key:?})"));
        code += &format!("    // for what is new only: .incremental(Incremental::by({changed:?}){key})\n");
    }
    code + "    .build()?"
}

/// A format, by its definition.
fn format(definition: &str) -> Option<String> {
    match definition.split_once(' ') {
        Some(("json", "lines")) => Some("Format::JsonLines".to_owned()),
        Some(("csv", options)) => {
            let (delimiter, names): (u8, Option<Vec<String>>) = serde_json::from_str(options).ok()?;
            let mut code = "Format::csv()".to_owned();
            if delimiter != b',' {
                code += &format!(".delimiter(b'{}')", delimiter.escape_ascii());
            }
            if let Some(names) = names {
                code += &format!(".names({})", Value::from(names));
            }
            Some(code)
        }
        _ => (definition == "xml").then(|| "Format::xml()".to_owned()),
    }
}
