//! What a fan-out takes from a parent's record.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::page::walk::Plan;
use crate::page::{JsonPath, Page, not_json};
use crate::request::slices::Parent;
use crate::request::{Bindings, Request, redact, text_of};

/// How values of several records become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Joined {
    pub(super) most: usize,
    /// Without one, they are a list.
    pub(super) separator: Option<String>,
}

/// One value that is taken.
#[derive(Debug, Clone)]
pub(super) struct Bind {
    pub(super) name: String,
    pub(super) field: String,
    pub(super) joined: Option<Joined>,
}

/// Whether a text repeats a credential of one of the sources.
#[derive(Clone)]
pub(super) struct Watch(pub(super) Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// Everything that is taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Binds {
    pub(super) binds: Vec<Bind>,
    /// The parent's field, and the child's.
    pub(super) copies: Vec<(String, String)>,
    pub(super) skips_missing: bool,
    pub(super) watch: Option<Watch>,
    /// What they are bound in, if that is known.
    pub(super) template: Option<Arc<Request>>,
    pub(super) restarts_on_expiry: bool,
}

/// What is taken, with its paths read.
#[derive(Debug)]
pub(super) struct Reader {
    binds: Binds,
    plan: Plan,
    /// How many parents go into one request, at most.
    pub(super) most: usize,
}

impl Binds {
    /// Reads the paths.
    pub(super) fn reader(self) -> Result<Reader> {
        if self.binds.is_empty() {
            return Err(Error::config("a fan-out binds nothing: each child would be asked for the same")
                .advice("say what is taken from the parent with `.bind(\"placeholder\", \"field\")`"));
        }
        if let Some(bind) = self.binds.iter().find(|bind| self.is_credential(bind)) {
            let what = format!(
                "the field \"{}\" of the parent's record, for {{{}}}, is a credential, and what is bound stands in the checkpoint",
                bind.field, bind.name
            );
            return Err(Error::config(what)
                .advice("make a source for each credential: `.bearer(…)`, `.api_key_query(…)`, `.auth(…)`"));
        }
        let joined = || self.binds.iter().filter_map(|bind| bind.joined.as_ref());
        if joined().any(|joined| joined.most == 0) {
            return Err(Error::config("a fan-out that joins no values at all"));
        }
        if joined().next().is_some() && !self.copies.is_empty() {
            return Err(Error::config("a request for several parents cannot copy the fields of one"));
        }
        let most = joined().map(|joined| joined.most).min().unwrap_or(1);
        let fields =
            self.binds.iter().map(|bind| &bind.field).chain(self.copies.iter().map(|(field, _)| field));
        let paths = fields.map(|field| JsonPath::parse(field)).collect::<Result<Vec<_>>>()?;
        Ok(Reader { plan: Plan::new(&paths), most, binds: self })
    }
}

impl Binds {
    /// Whether what is bound is a credential: by the name of its field, or by where it goes.
    fn is_credential(&self, bind: &Bind) -> bool {
        const FILLED: &str = "headwater-fills-this";
        let field = bind.field.rsplit(['.', '/']).next().unwrap_or_default();
        if redact::is_credential(field) {
            return true;
        }
        let Some(template) = &self.template else { return false };
        let Ok(filled) = (**template).clone().fill(&Bindings::new().with(&bind.name, FILLED)) else {
            return false;
        };
        let mut headers = filled.sensitive_headers();
        let query = filled.sensitive_query();
        headers.any(|value| value.expose().contains(FILLED))
            || query.iter().any(|(name, value)| redact::is_credential(name) && value.contains(FILLED))
    }
}

impl Reader {
    /// What the records of a page give, one for each that is not skipped.
    pub(super) fn parents(&self, page: &Page) -> Result<Vec<Arc<Parent>>> {
        let Some(selected) = &page.selected else { return Ok(Vec::new()) };
        let mut parents = Vec::with_capacity(selected.spans.len());
        for (index, record) in selected.slices(&page.body).enumerate() {
            // It was cut out of valid UTF-8 at the ends of a JSON value.
            let record = std::str::from_utf8(record).unwrap_or_default();
            if let Some(parent) = self.parent(record, index, page.slice.as_deref())? {
                parents.push(Arc::new(parent));
            }
        }
        Ok(parents)
    }

    fn parent(&self, record: &str, index: usize, around: Option<&Bindings>) -> Result<Option<Parent>> {
        let outline = self.plan.walk(record).map_err(|error| not_json(record.as_bytes(), error))?;
        let mut values = outline.captures.iter().map(|span| span.map(|span| value_of(span.of(record))));
        let mut parent = Parent { bindings: around.cloned().unwrap_or_default(), copied: Vec::new() };
        for bind in &self.binds.binds {
            let why = match values.next().flatten() {
                Some(Value::Null) | None if self.binds.skips_missing => return Ok(None),
                Some(Value::Null) => "is null",
                None => "is missing",
                Some(Value::Array(_)) => "is an array",
                Some(Value::Object(_)) => "is an object",
                Some(value) => {
                    self.may_be_stored(&value, &bind.field)?;
                    let separator = bind.joined.as_ref().and_then(|joined| joined.separator.as_deref());
                    if let Some(separator) = separator
                        && !separator.is_empty()
                        && text_of(&value).contains(separator)
                    {
                        return Err(unfit(bind, index, record, "has the separator of the list in it"));
                    }
                    parent.bindings.insert(&bind.name, value);
                    continue;
                }
            };
            return Err(unfit(bind, index, record, why));
        }
        for (field, name) in &self.binds.copies {
            let value = values.next().flatten().unwrap_or(Value::Null);
            self.may_be_stored(&value, field)?;
            parent.copied.push((name.clone(), value));
        }
        Ok(Some(parent))
    }

    pub(super) fn restarts_on_expiry(&self) -> bool {
        self.binds.restarts_on_expiry
    }

    /// Whether a value decides what is asked for.
    pub(super) fn is_asked_for(&self, name: &str) -> bool {
        self.binds.template.as_ref().is_none_or(|template| template.mentions(name))
    }

    /// What is taken stands in the checkpoint until the child is pulled.
    fn may_be_stored(&self, value: &Value, field: &str) -> Result<()> {
        if self.binds.watch.as_ref().is_some_and(|watch| (watch.0)(&text_of(value))) {
            let what = format!(
                "the field \"{field}\" of a parent's record repeats a credential, which cannot be kept out of the checkpoint"
            );
            return Err(Error::new(ErrorKind::Record, what));
        }
        Ok(())
    }

    /// How many of the parents that are left go into the next request; `None` if one more page may bring more.
    pub(super) fn next(&self, left: &[Arc<Parent>], is_last_page: bool) -> Option<usize> {
        let first = left.first()?;
        let alike = |parent: &&Arc<Parent>| {
            let single = |bind: &&Bind| bind.joined.is_none();
            let same = |bind: &Bind| parent.bindings.get(&bind.name) == first.bindings.get(&bind.name);
            self.binds.binds.iter().filter(single).all(same)
        };
        let count = left.iter().take(self.most).take_while(alike).count();
        (count == self.most || count < left.len() || is_last_page).then_some(count)
    }

    /// Several parents as one.
    pub(super) fn join(&self, parents: &[Arc<Parent>]) -> Arc<Parent> {
        let Some(first) = parents.first() else { return Arc::default() };
        let joined: Vec<&Bind> = self.binds.binds.iter().filter(|bind| bind.joined.is_some()).collect();
        if joined.is_empty() {
            return first.clone();
        }
        let mut whole = (**first).clone();
        for bind in joined {
            let values = parents.iter().filter_map(|parent| parent.bindings.get(&bind.name));
            match bind.joined.as_ref().and_then(|joined| joined.separator.as_deref()) {
                Some(separator) => {
                    let values: Vec<String> = values.map(text_of).collect();
                    whole.bindings.insert(&bind.name, values.join(separator));
                }
                None => whole.bindings.insert(&bind.name, values.cloned().collect::<Vec<_>>()),
            }
        }
        Arc::new(whole)
    }
}

impl Binds {
    /// What decides which requests are made.
    pub(super) fn definition(&self) -> String {
        let binds = self.binds.iter().map(|bind| match &bind.joined {
            None => format!("{} <- {}", bind.name, bind.field),
            Some(Joined { most, separator: Some(separator) }) => {
                format!("{} <- up to {most} of {} joined by {separator:?}", bind.name, bind.field)
            }
            Some(Joined { most, separator: None }) => {
                format!("{} <- a list of up to {most} of {}", bind.name, bind.field)
            }
        });
        let copies = self.copies.iter().map(|(from, to)| format!("{to} copied from {from}"));
        let skips = self.skips_missing.then(|| "missing are skipped".to_owned());
        binds.chain(copies).chain(skips).collect::<Vec<_>>().join("; ")
    }
}

/// A value as it is bound. A number that would lose digits is its text.
fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Number(number)) if number.to_string() != text => Value::String(text.to_owned()),
        Ok(value) => value,
        // A number that no type holds, or half a surrogate pair: what is valid is its text.
        Err(_) => Value::String(text.trim_matches('"').to_owned()),
    }
}

/// The record is not quoted, but for the names of its fields.
fn unfit(bind: &Bind, index: usize, record: &str, why: &str) -> Error {
    const MOST: usize = 20;
    let names: BTreeMap<String, IgnoredAny> = serde_json::from_str(record).unwrap_or_default();
    let names: Vec<String> =
        names.keys().take(MOST).map(|name| format!("\"{}\"", name.escape_debug())).collect();
    let what = format!(
        "the field \"{}\" of the parent's record {}, for {{{}}}, {why}",
        bind.field,
        index + 1,
        bind.name
    );
    let has =
        if names.is_empty() { "it is no object".to_owned() } else { format!("it has {}", names.join(", ")) };
    Error::new(ErrorKind::Record, what)
        .advice(format!("{has}; parents without a value are left out with `skip_missing()`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Select;
    use crate::page::selection::Selection;
    use crate::request::Position;

    fn page(body: &'static str) -> Page {
        let mut page = Page::new(body, 1, Position::Start, None).unwrap();
        page.select(&Arc::new(Selection::new(&Select::path("")).unwrap())).unwrap();
        page
    }

    fn bind(name: &str, field: &str) -> Bind {
        Bind { name: name.into(), field: field.into(), joined: None }
    }

    fn joined(name: &str, field: &str, most: usize) -> Bind {
        Bind { joined: Some(Joined { most, separator: Some(",".into()) }), ..bind(name, field) }
    }

    fn reader(binds: Vec<Bind>) -> Reader {
        Binds { binds, ..Binds::default() }.reader().unwrap()
    }

    #[test]
    fn values_are_bound_as_they_are_and_numbers_keep_their_digits() {
        let reader = reader(vec![bind("id", "id")]);
        let page =
            page(r#"[{"id":7},{"id":"a"},{"id":123456789012345678901234567890},{"id":1.50},{"id":true}]"#);
        let bound: Vec<String> = reader
            .parents(&page)
            .unwrap()
            .iter()
            .map(|parent| parent.bindings.get("id").unwrap().to_string())
            .collect();
        assert_eq!(bound, ["7", "\"a\"", "\"123456789012345678901234567890\"", "\"1.50\"", "true"]);
    }

    #[test]
    fn a_record_may_be_the_value_itself() {
        let reader = reader(vec![bind("id", "")]);
        assert_eq!(reader.parents(&page("[8863,8864]")).unwrap().len(), 2);
    }

    #[test]
    fn a_field_that_cannot_be_bound_names_itself_and_quotes_no_value() {
        let reader = reader(vec![bind("id", "owner.id")]);
        for (body, why) in [
            (r#"[{"name":"hunter2"}]"#, "is missing"),
            (r#"[{"owner":{"id":null},"name":"hunter2"}]"#, "is null"),
            (r#"[{"owner":{"id":[1]},"name":"hunter2"}]"#, "is an array"),
        ] {
            let error = reader.parents(&page(body)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Record);
            let text = error.to_string();
            assert!(
                text.contains("\"owner.id\"") && text.contains(why) && text.contains("\"name\""),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
        }
        let skipping = Binds { binds: vec![bind("id", "id")], skips_missing: true, ..Binds::default() };
        let parents = skipping.reader().unwrap().parents(&page(r#"[{"id":1},{"id":null},{}]"#)).unwrap();
        assert_eq!(parents.len(), 1);
    }

    #[test]
    fn values_are_joined_up_to_so_many_across_pages_and_only_where_the_others_are_alike() {
        let reader = reader(vec![joined("ids", "id", 3), bind("org", "org")]);
        let parents = reader
            .parents(&page(
                r#"[{"id":1,"org":"a"},{"id":2,"org":"a"},{"id":3,"org":"b"},{"id":4,"org":"b"}]"#,
            ))
            .unwrap();
        assert_eq!(reader.next(&parents, false), Some(2), "another org begins");
        assert_eq!(reader.next(&parents[2..], false), None, "the next page may have one more");
        assert_eq!(reader.next(&parents[2..], true), Some(2));
        let whole = reader.join(&parents[..2]);
        assert_eq!(whole.bindings.get("ids").unwrap(), "1,2");
        let list = Bind { joined: Some(Joined { most: 3, separator: None }), ..bind("ids", "id") };
        let whole = self::reader(vec![list]).join(&parents[..2]);
        assert_eq!(whole.bindings.get("ids").unwrap(), &serde_json::json!([1, 2]), "a list keeps the types");
        let error = reader.parents(&page(r#"[{"id":"1,2","org":"a"}]"#)).unwrap_err();
        assert!(error.to_string().contains("separator"), "{error}");
    }
}
