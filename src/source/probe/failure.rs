//! Answers that look like an error, though their status does not say so. Pure.

use serde_json::Value;
use url::Url;

use super::dialect::Proposal;
use super::tree::path_of;

/// What speaks for an error, and the rule that names it.
pub(super) struct Failure {
    evidence: String,
    rule: String,
}

impl Failure {
    /// `rows` are those of the records that are not the errors themselves.
    pub(super) fn of(body: &Value, status: u16, rows: usize, url: &Url) -> Option<Self> {
        let fields = body.as_object()?;
        let when = format!("When::status({status})");
        for name in ["ok", "success"] {
            let value = fields.get(name);
            let is_false = |value: &Value| {
                value == false || value.as_str().is_some_and(|text| text.eq_ignore_ascii_case("false"))
            };
            if value.is_some_and(is_false) {
                let rule = format!("{when}.body({name:?}, false).means(Verdict::Fail)");
                return Some(Self { evidence: format!("`{name}` is false"), rule });
            }
        }
        // A list of errors may be what was asked for.
        let asked = url.path_segments().and_then(|mut path| path.next_back()).unwrap_or_default();
        let (name, value) = ["error", "errors", "fault", "Error"]
            .into_iter()
            .find_map(|name| Some((name, fields.get(name).filter(|_| !asked.eq_ignore_ascii_case(name))?)))?;
        let what = match value {
            Value::String(text) if !text.is_empty() => "a text",
            Value::Object(fields) if !fields.is_empty() => "an object",
            Value::Array(items) if !items.is_empty() => "a list with something in it",
            Value::Bool(true) => "true",
            _ => return None,
        };
        let path = path_of(&[name]);
        let rule = match value {
            Value::Bool(_) => format!("{when}.body({path:?}, true).means(Verdict::Fail)"),
            _ => format!("{when}.body_present({path:?}).means(Verdict::Fail)"),
        };
        // GraphQL (October 2021, section 7.1): part of the data may be there, and it is no page all the same.
        let is_graphql = name == "errors" && value.is_array() && fields.contains_key("data");
        (rows == 0 || is_graphql).then(|| Self { evidence: format!("`{path}` is {what}"), rule })
    }

    pub(super) fn proposal(&self) -> Proposal {
        Proposal::new("Single", format!("the answer looks like an error: {}", self.evidence)).doubt(format!(
            "it is no page to go by: mend the request and probe again. `.rule({})` names such an answer",
            self.rule
        ))
    }

    /// In the place of a source.
    pub(super) fn code(&self) -> String {
        format!(
            "// The answer looks like an error: {}. Mend the request, and probe again.\n\
             // The rule that names it, in the source to be: .rule({})",
            self.evidence, self.rule
        )
    }
}
