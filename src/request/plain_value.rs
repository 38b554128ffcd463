//! Plain values of JSON as texts: many APIs write a number or a flag as a string, and XML and CSV know nothing else.

use serde_json::Value;

/// A text as it is; anything else as JSON writes it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether two values are the same. A number or a boolean is the same as its text.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    let is_plain = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    one == other || (is_plain(one) && is_plain(other) && text_of(one) == text_of(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_or_a_boolean_is_the_same_as_its_text() {
        for (one, other, same) in [
            (json!(606), json!("606"), true),
            (json!(false), json!("false"), true),
            (json!("x"), json!("x"), true),
            (json!(["x"]), json!(["x"]), true),
            (json!(null), json!("null"), false),
            (json!([1]), json!("[1]"), false),
            (json!(1), json!(true), false),
        ] {
            assert_eq!((is_same(&one, &other), is_same(&other, &one)), (same, same), "{one} {other}");
        }
    }
}
