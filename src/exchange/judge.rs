//! All the rules of a source, put to one answer.

use std::cell::OnceCell;

use serde_json::Value;

use super::rule::{Rule, any_of, is_nothing};
use crate::page::walk::Plan;
use crate::page::{Format, JsonPath, without_bom};
use crate::request::is_same;
use crate::transport::Response;

/// The rules of a source, in the order they were declared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Each path that a rule looks at, up to where it forks, and the rest.
    paths: Vec<(String, JsonPath, Vec<String>)>,
    plan: Plan,
    /// What bodies are written in, and how large they may be as JSON.
    format: Format,
    cap: usize,
}

impl Rules {
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let mut paths: Vec<(String, JsonPath, Vec<String>)> = Vec::new();
        for text in rules.iter().flat_map(Rule::paths) {
            // One that cannot be read has been refused where it was declared.
            let Ok(path) = JsonPath::parse(text) else { continue };
            if paths.iter().all(|(known, ..)| known != text) {
                let segments = path.segments();
                let plain = segments.iter().position(|segment| segment == "*").unwrap_or(segments.len());
                let (trunk, rest) = segments.split_at(plain);
                paths.push((text.to_owned(), JsonPath::of(trunk), rest.to_vec()));
            }
        }
        let trunks: Vec<JsonPath> = paths.iter().map(|(_, trunk, _)| trunk.clone()).collect();
        let plan = Plan::new(&trunks);
        Self { rules, paths, plan, format: Format::Json, cap: usize::MAX }
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
        let trunks: Vec<JsonPath> = self.paths.iter().map(|(_, trunk, _)| trunk.clone()).collect();
        self.plan = Plan::over(&[], &trunks, format.shape());
        (self.format, self.cap) = (format.clone(), cap);
    }

    /// The first rule that fits.
    pub(crate) fn judge(&self, response: &Response, resumed: bool) -> Option<&Rule> {
        let seen = Seen { rules: self, response, resumed, values: OnceCell::new() };
        self.rules.iter().find(|rule| rule.fits(&seen))
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
    values: OnceCell<Vec<Option<Value>>>,
}

impl Seen<'_> {
    /// Whether a value stands at a path of the body, or anything but nothing, if none is given.
    pub(super) fn has(&self, path: &str, wanted: Option<&Value>) -> bool {
        let Some(index) = self.rules.paths.iter().position(|(text, ..)| text == path) else { return false };
        let values = self.values.get_or_init(|| self.read());
        let Some(Some(value)) = values.get(index) else { return false };
        any_of(value, &self.rules.paths[index].2, &|value| match wanted {
            None => !is_nothing(value),
            Some(wanted) => is_same(value, wanted),
        })
    }

    fn read(&self) -> Vec<Option<Value>> {
        // An error may well come in another format than the pages.
        let body = without_bom(self.response.body.clone());
        let body = self.rules.format.read(body.clone(), self.rules.cap).unwrap_or(body);
        let Ok(text) = std::str::from_utf8(&body) else { return Vec::new() };
        let Ok(outline) = self.rules.plan.walk(text) else { return Vec::new() };
        let found = |span: Option<crate::page::walk::Span>| serde_json::from_str(span?.of(text)).ok();
        outline.captures.into_iter().map(found).collect()
    }
}
