//! A selection that has been read, and the records that it takes from what a walk has found.

mod only;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::JsonPath;
use super::select::{Kind, Place, Select};
use super::splice::{Fields, Spliced};
use super::walk::{Found, Match, Route, Shape, Span, Step, Traced, array_paths};
use crate::error::{Error, ErrorKind, Result};
use only::Only;

/// A [`Select`] whose paths have been read.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) select: Select,
    routes: Vec<Route>,
    /// For each place what its records have to have.
    only: Vec<Option<Box<Only>>>,
}

/// The records of a page, as they were found.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) selection: Arc<Selection>,
    pub(crate) spans: Vec<Span>,
    /// What the spans are of, where it is not the body: records to which fields were added.
    pub(crate) text: Option<Bytes>,
    /// How many items were no records.
    pub(crate) skipped: u64,
    /// The first and the last row in the body, if that is one that was left out for what it is.
    pub(crate) left_out: [Option<Span>; 2],
    /// Whether the records are all the items of one array, and it is known that they are [plain](super::walk::Match::plain).
    pub(crate) plain: bool,
}

impl Selection {
    /// Reads the paths.
    pub(crate) fn new(select: &Select) -> Result<Self> {
        let routes: Vec<Route> = select.places.iter().map(route).collect::<Result<_>>()?;
        for (index, route) in routes.iter().enumerate() {
            if routes[..index].contains(route) {
                let path = &select.places[index].path;
                return Err(Error::config(format!("the record path {path:?} is given twice")));
            }
        }
        let only = select.places.iter().map(|place| place.only.as_ref().map(Only::new).transpose());
        let only = only.map(|only| Ok(only?.map(Box::new)));
        Ok(Self { select: select.clone(), routes, only: only.collect::<Result<_>>()? })
    }

    pub(crate) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Takes the records from what was found, or says what was found instead.
    pub(crate) fn take(
        self: &Arc<Self>,
        mut found: Vec<Traced>,
        body: &str,
        shape: Shape,
        cap: usize,
    ) -> Result<Selected> {
        let mut taken = Taken {
            body,
            shape,
            spans: Vec::new(),
            text: None,
            skipped: 0,
            left_out: [None; 2],
            has_any: false,
            only: None,
        };
        let mut plain = false;
        let places = self.select.places.as_slice();
        if places.iter().any(|place| place.key.is_some()) {
            taken.text = Some(Spliced::new(cap));
        }
        if let (
            [Place { key: None, skip_null: false, only: None, .. }],
            [Traced { matches, wrong: None, lost: 0, .. }],
        ) = (places, found.as_mut_slice())
            && let [Match { found: Found::Array(spans), plain: is_plain, .. }] = matches.as_mut_slice()
            && places[0].kind != Kind::Object
        {
            taken.spans = std::mem::take(spans);
            plain = *is_plain;
        } else {
            for (((place, route), only), traced) in places.iter().zip(&self.routes).zip(&self.only).zip(found)
            {
                taken.only = only.as_deref();
                taken.place(place, route, traced)?;
            }
        }
        let (skipped, left_out) = (taken.skipped, taken.left_out);
        let (spans, text) = match taken.text {
            Some(text) => text.done(),
            None => (taken.spans, None),
        };
        Ok(Selected { selection: self.clone(), spans, text, skipped, left_out, plain })
    }
}

impl Selected {
    /// Has no records.
    pub(crate) fn none(selection: Arc<Selection>) -> Self {
        Self { selection, spans: Vec::new(), text: None, skipped: 0, left_out: [None; 2], plain: false }
    }

    /// How many rows the server has sent: those that are no records count too.
    pub(crate) fn rows(&self) -> u64 {
        self.spans.len() as u64 + self.skipped
    }

    /// What the spans are of.
    pub(crate) fn text<'a>(&'a self, body: &'a Bytes) -> &'a Bytes {
        self.text.as_ref().unwrap_or(body)
    }

    /// The text of the records, one by one.
    pub(crate) fn slices<'a>(&'a self, body: &'a Bytes) -> impl Iterator<Item = &'a [u8]> {
        let text = self.text(body);
        self.spans.iter().map(|span| &text[span.start as usize..span.end as usize])
    }

    /// All records in one piece, to tell pages apart. What stands between them counts only if it is an array's.
    pub(crate) fn all<'a>(&'a self, body: &'a Bytes) -> Cow<'a, [u8]> {
        let text = self.text(body);
        let is_one_array = matches!(self.selection.routes.as_slice(), [Route { whole: false, .. }]);
        match (self.spans.first(), self.spans.last()) {
            (Some(first), Some(last)) if is_one_array || self.text.is_some() => {
                Cow::Borrowed(&text[first.start as usize..last.end as usize])
            }
            _ => Cow::Owned(self.slices(body).collect::<Vec<_>>().join(&b'\n')),
        }
    }
}

fn route(place: &Place) -> Result<Route> {
    let path = JsonPath::parse(&place.path)?;
    let step = |key: &String| if key == "*" { Step::Any } else { Step::Key(key.clone()) };
    let mut steps: Vec<Step> = path.segments().iter().map(step).collect();
    if place.kind == Kind::Map {
        steps.push(Step::Values);
    }
    if place.key.is_some() && !steps.iter().any(|step| matches!(step, Step::Key(_) | Step::Values)) {
        return Err(Error::config(format!("the record path {:?} has no key to make a field of", place.path))
            .advice("`key_as` is for maps, and for arrays that have a name"));
    }
    let whole = place.kind == Kind::Object || steps.iter().any(|step| !matches!(step, Step::Key(_)));
    Ok(Route { steps, whole })
}

/// The records that are being taken.
struct Taken<'a> {
    body: &'a str,
    shape: Shape,
    spans: Vec<Span>,
    /// Where a key becomes a field.
    text: Option<Spliced>,
    skipped: u64,
    left_out: [Option<Span>; 2],
    has_any: bool,
    /// What the records of this place have to have.
    only: Option<&'a Only>,
}

impl Taken<'_> {
    fn place(&mut self, place: &Place, route: &Route, traced: Traced) -> Result<()> {
        if let Some(kind) = traced.wrong {
            return Err(self.holds(place, kind));
        }
        if !traced.arrived && !place.optional {
            return Err(self.fault(format!("the record path \"{}\" is not in the answer", place.path)));
        }
        if traced.lost > 0 && !place.optional {
            let (path, items) = (&place.path, if traced.lost == 1 { "item" } else { "items" });
            let what = format!("the record path \"{path}\" leads nowhere in {} {items}", traced.lost);
            return Err(self.fault(what).advice("if the API leaves it out there, say so with `optional()`"));
        }
        let last_name = route.steps.iter().rev().find_map(|step| match step {
            Step::Key(key) => serde_json::to_string(key).ok(),
            _ => None,
        });
        let in_each = route.steps.iter().any(|step| !matches!(step, Step::Key(_)));
        // In XML it depends on the page, too, what kind an element comes as.
        let is_strict = in_each && place.kind != Kind::Object && self.shape == Shape::Json;
        let mut kinds = None;
        for found in traced.matches {
            let key = found.key.map(|key| key.of(self.body)).or(last_name.as_deref());
            let fields = match (&place.key, key) {
                (Some(field), Some(key)) => Fields::one(field, key),
                _ => Fields::default(),
            };
            if let Some(kind) = kind_of(&found.found) {
                let first = *kinds.get_or_insert(kind);
                if is_strict && first != kind {
                    let what =
                        format!("the record path \"{}\" holds {first} here and {kind} there", place.path);
                    return Err(self.fault(what));
                }
            }
            self.found(place, in_each, found, &fields)?;
        }
        Ok(())
    }

    fn found(&mut self, place: &Place, in_each: bool, found: Match, fields: &Fields) -> Result<()> {
        let elements = self.shape == Shape::Elements;
        let (kind, is_one) = match found.found {
            Found::Array(spans) if place.kind != Kind::Object => {
                return spans.into_iter().try_for_each(|span| self.push(place, span, fields));
            }
            Found::Null if place.kind != Kind::Object && !elements => return Ok(()),
            Found::Array(_) => ("an array", false),
            Found::Null => ("null", elements || place.skip_null),
            Found::Object => ("an object", elements || in_each || place.kind == Kind::Object),
            Found::Scalar(kind) => (kind, elements || (in_each && place.kind != Kind::Object)),
        };
        match found.span {
            Some(span) if is_one => self.push(place, span, fields),
            _ => Err(self.holds(place, kind)),
        }
    }

    fn push(&mut self, place: &Place, span: Span, fields: &Fields) -> Result<()> {
        let record = span.of(self.body);
        if place.skip_null && record == "null" {
            self.skipped += 1;
            return Ok(());
        }
        if self.only.is_some_and(|only| !only.fits(record)) {
            self.skipped += 1;
            if !self.has_any {
                self.left_out[0].get_or_insert(span);
            }
            self.left_out[1] = Some(span);
            return Ok(());
        }
        self.has_any = true;
        self.left_out[1] = None;
        match &mut self.text {
            Some(text) => text.push(fields, record.as_bytes()),
            None => {
                self.spans.push(span);
                Ok(())
            }
        }
    }

    fn holds(&self, place: &Place, kind: &str) -> Error {
        let expected = match place.kind {
            Kind::List if place.path.split(['.', '/']).any(|segment| segment == "*") => "what has items",
            Kind::List => "an array",
            Kind::Map | Kind::Object => "an object",
        };
        let error = self.fault(format!("the record path \"{}\" holds {kind}, not {expected}", place.path));
        if kind == "null" {
            return error.advice("if `null` means that there is no record, say so with `skip_null()`");
        }
        error
    }

    fn fault(&self, what: String) -> Error {
        let arrays: Vec<String> = array_paths(self.body)
            .iter()
            .map(|(path, length)| {
                format!("\"{path}\" ({length} item{})", if *length == 1 { "" } else { "s" })
            })
            .collect();
        let advice = match arrays.as_slice() {
            [] => "no array was found in it".to_owned(),
            arrays => {
                format!(
                    "arrays are at: {}",
                    arrays.join(", ").escape_debug().to_string().replace("\\\"", "\"")
                )
            }
        };
        Error::new(ErrorKind::RecordPath, what).advice(advice)
    }
}

/// What kinds of values must not stand side by side in a map.
fn kind_of(found: &Found) -> Option<&'static str> {
    match found {
        Found::Null => None,
        Found::Array(_) => Some("an array"),
        Found::Object => Some("an object"),
        Found::Scalar(_) => Some("a plain value"),
    }
}

#[cfg(test)]
mod tests;
