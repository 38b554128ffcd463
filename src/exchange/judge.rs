//! All the rules of a source, put to one answer.

use std::cell::OnceCell;

use serde_json::Value;

use super::body::{Looked, Paths, is_nothing};
use super::rule::Rule;
use crate::page::{Format, JsonPath};
use crate::request::is_same;
use crate::transport::Response;

/// No token is longer than a link may be.
const LONGEST_TOKEN: usize = 64 * 1024;

/// The rules of a source, in the order they were declared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    paths: Paths,
    /// Where tokens stand that take the place of others.
    tokens: Paths,
    format: Format,
    cap: usize,
}

impl Rules {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let paths = Paths::new(rules.iter().flat_map(Rule::paths));
        let tokens: Vec<String> = rules.iter().filter_map(Rule::token).map(JsonPath::to_string).collect();
        let tokens = Paths::new(tokens.iter().map(String::as_str));
        Self { rules, paths, tokens, format: Format::Json, cap: usize::MAX }
    }

    /// The same, and one more behind them.
    pub(crate) fn and(self, rule: Rule) -> Self {
        let (format, cap) = (self.format, self.cap);
        let mut rules = Self::new(self.rules.into_iter().chain([rule]).collect());
        rules.read_in(&format, cap);
        rules
    }

    /// Looks at paths in bodies of this format.
    pub(crate) fn read_in(&mut self, format: &Format, cap: usize) {
        self.paths.read_in(format, cap);
        self.tokens.read_in(format, cap);
        (self.format, self.cap) = (format.clone(), cap);
    }

    /// The first rule that fits.
    pub(crate) fn judge(&self, response: &Response, resumed: bool) -> Option<&Rule> {
        let seen = Seen { rules: self, response, resumed, looked: OnceCell::new() };
        self.rules.iter().find(|rule| rule.fits(&seen))
    }

    /// The token that an answer gives in the place of one that has expired.
    pub(super) fn new_token(&self, response: &Response, path: &JsonPath) -> Option<String> {
        self.tokens.look(response).scalar(&path.to_string(), LONGEST_TOKEN)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}

/// An answer that is being judged. Its body is walked once, and only if a rule asks for it.
pub(super) struct Seen<'a> {
    rules: &'a Rules,
    pub(super) response: &'a Response,
    pub(super) resumed: bool,
    looked: OnceCell<Looked<'a>>,
}

impl Seen<'_> {
    /// Whether a value stands at a path of the body, or anything but nothing, if none is given.
    pub(super) fn has(&self, path: &str, wanted: Option<&Value>) -> bool {
        let looked = self.looked.get_or_init(|| self.rules.paths.look(self.response));
        looked.any(path, &mut |raw| match wanted {
            None => !is_nothing(raw),
            // What is built is as large as what it is compared with.
            Some(wanted) if !is_list(wanted) && raw.starts_with(['[', '{']) => false,
            Some(wanted) => serde_json::from_str(raw).is_ok_and(|value: Value| is_same(&value, wanted)),
        })
    }
}

fn is_list(value: &Value) -> bool {
    value.is_array() || value.is_object()
}
