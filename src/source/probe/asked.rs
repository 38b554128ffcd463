//! What was asked for, and where a parameter of it goes. Pure.

use serde_json::Value;

use super::Size;
use super::tree::leaves;
use crate::request::Request;

/// The names of sizes, as parameters and in answers that repeat them.
const SIZES: [&str; 20] = [
    "limit",
    "per_page",
    "perpage",
    "per-page",
    "page_size",
    "pagesize",
    "maxresults",
    "max_results",
    "$top",
    "top",
    "rows",
    "first",
    "size",
    "count",
    "itemsperpage",
    "pagelen",
    "page[size]",
    "page_limit",
    "_limit",
    "take",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Query,
    Body,
    Form,
}

/// A parameter of the request: one that was sent, or one that would be.
#[derive(Debug, Clone)]
pub(super) struct Param {
    /// Its name in the query or the form, its path in the JSON body.
    name: String,
    place: Place,
    pub(super) value: Option<u64>,
}

impl Param {
    fn target(&self) -> String {
        let (name, place) = (&self.name, self.place);
        match place {
            Place::Query => format!("Target::query({name:?})"),
            Place::Body => format!("Target::body({name:?})"),
            Place::Form => format!("Target::form({name:?})"),
        }
    }

    /// As the place of a cursor.
    pub(super) fn cursor(&self) -> String {
        let name = &self.name;
        match self.place {
            Place::Query => format!(".into_query({name:?})"),
            Place::Body => format!(".into_body({name:?})"),
            Place::Form => format!(".into_form({name:?})"),
        }
    }

    pub(super) fn page(&self) -> String {
        match self.place {
            Place::Query => format!(".param({:?})", self.name),
            _ => format!(".number_into({})", self.target()),
        }
    }

    pub(super) fn page_size(&self, rows: u64) -> String {
        match self.place {
            Place::Query => format!(".size({:?}, {rows})", self.name),
            _ => format!(".size_into({}, {rows})", self.target()),
        }
    }

    pub(super) fn offset(&self) -> String {
        match self.place {
            Place::Query => format!(".offset_param({:?})", self.name),
            _ => format!(".offset_into({})", self.target()),
        }
    }

    pub(super) fn limit(&self) -> String {
        match self.place {
            Place::Query if self.name == "limit" => String::new(),
            Place::Query => format!(".limit_param({:?})", self.name),
            _ => format!(".limit_into({})", self.target()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// The parameters of the request, and where one that it does not have would go.
pub(super) struct Asked<'a> {
    request: &'a Request,
    is_graphql: bool,
    params: Vec<Param>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a Request, is_graphql: bool) -> Self {
        let new = |name: String, value: &str, place| Param { name, value: value.parse().ok(), place };
        let query = request.url().query_pairs();
        let mut params: Vec<_> =
            query.map(|(name, value)| new(name.into_owned(), &value, Place::Query)).collect();
        for (name, value) in request.form_fields() {
            params.push(new(name.clone(), value, Place::Form));
        }
        for leaf in request.body().map(|body| leaves(body, None)).unwrap_or_default() {
            params.push(Param { value: leaf.number(), name: leaf.path, place: Place::Body });
        }
        Self { request, is_graphql, params }
    }

    /// The parameter that was sent under one of these names, in lower case.
    pub(super) fn find(&self, names: &[&str]) -> Option<&Param> {
        self.all(names).next()
    }

    /// The same, of those whose value is a whole number: a `from` may be a date.
    pub(super) fn find_number(&self, names: &[&str]) -> Option<&Param> {
        self.all(names).find(|param| param.value.is_some())
    }

    fn all(&self, names: &[&str]) -> impl Iterator<Item = &Param> {
        self.params.iter().filter(|param| {
            let name = param.name.to_ascii_lowercase();
            let last = match param.place {
                Place::Body => name.rsplit(['.', '/']).next().unwrap_or_default(),
                _ => name.as_str(),
            };
            names.contains(&last)
        })
    }

    /// The parameter of this name, sent or not.
    pub(super) fn named(&self, name: &str) -> Param {
        if let Some(sent) = self.find(&[name.to_ascii_lowercase().as_str()]) {
            return sent.clone();
        }
        let (name, place) = match self.request {
            _ if self.is_graphql => (format!("variables.{}", self.variable(name)), Place::Body),
            request if request.body().is_some() => (name.to_owned(), Place::Body),
            request if !request.form_fields().is_empty() => (name.to_owned(), Place::Form),
            _ => (name.to_owned(), Place::Query),
        };
        Param { name, place, value: None }
    }

    /// The variable that the query declares for its cursor.
    fn variable<'n>(&self, name: &'n str) -> &'n str {
        let query = self.request.body().and_then(|body| body.get("query")?.as_str()).unwrap_or_default();
        let declared = |name: &&str| {
            query
                .split('$')
                .skip(1)
                .any(|rest| rest.strip_prefix(*name).is_some_and(|rest| rest.trim_start().starts_with(':')))
        };
        let mut names = [name, "after", "cursor", "endCursor", "afterCursor"].into_iter();
        names.find(declared).unwrap_or(name)
    }

    /// The size that was asked for.
    pub(super) fn size(&self) -> Option<&Param> {
        self.find(&SIZES)
    }

    pub(super) fn has_body(&self) -> bool {
        self.request.has_body()
    }
}

/// What says how large a page is.
pub(super) fn size(
    asked: &Asked<'_>,
    body: &Value,
    records: Option<&str>,
    rows: usize,
) -> Option<(Size, Param)> {
    if let Some(param) = asked.size() {
        let number = param.value.map_or_else(String::new, |size| format!("={size}"));
        let place = if param.place == Place::Query { "the URL" } else { "the request" };
        let evidence = format!("{place} says {}{number}, and {rows} records came", param.name);
        return Some((Size { parameter: param.name.clone(), evidence }, param.clone()));
    }
    // Many APIs repeat what was asked, or what they took for it.
    leaves(body, records).iter().find_map(|leaf| {
        let number = leaf.number().filter(|number| *number > 0 && *number <= 100_000)?;
        let is_likely = SIZES.contains(&leaf.name.as_str()) && leaf.name != "count" && number >= rows as u64;
        if !is_likely {
            return None;
        }
        let name = match leaf.name.as_str() {
            // SCIM (RFC 7644, section 3.4.2.4) answers with another name than it is asked by.
            "itemsperpage" => "count",
            _ => leaf.path.rsplit(['.', '/']).next().unwrap_or_default(),
        };
        let evidence = format!("`{}` is {number}, and {rows} records came", leaf.path);
        let mut param = asked.named(name);
        param.value = Some(number);
        Some((Size { parameter: name.to_owned(), evidence }, param))
    })
}
