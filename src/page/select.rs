//! Where the records of a page are, as a user says it.

use serde_json::{Value, json};

use super::JsonPath;

/// Where the records of a page are.
///
/// A path alone is one array, and is enough for most APIs: wherever a `Select` is taken, so is a path
/// (`.records("data.items")`). The other shapes:
///
/// | the answer | the records |
/// |---|---|
/// | `{"data":[…]}` | `Select::path("data")`, or just `"data"` |
/// | `{"added":[…],"removed":[…]}` | `Select::path("added").and("removed")`: in this order |
/// | `{"bars":{"AAPL":[…],"MSFT":[…]}}` | `Select::map("bars").key_as("symbol")` |
/// | `{"users":{"u1":{…},"u2":{…}}}` | `Select::map("users").key_as("id")` |
/// | `{"entry":[{"resource":{…}},…]}` | `Select::path("entry.*.resource")` |
/// | `{"id":7,…}`: the answer is one record | `Select::object("")` |
/// | `[{…},null,{…}]` | `Select::path("").skip_null()` |
/// | a FHIR bundle, with other resources among those that were searched for | `Select::path("entry.*.resource").only("resourceType", "Observation")` |
/// | `{"total":0}`: the array is left out when there is nothing | `Select::path("items").optional()` |
///
/// `*` as a segment stands for every item of an array and every value of an object. Behind it an array gives its items,
/// `null` nothing, and whatever else is one record; all of one page must be of one kind. A path that leads nowhere below one of them is
/// an error, as a missing path is, unless it is [`optional`](Self::optional).
///
/// The records come in the order of the paths given, and within a path in the order of the document. Where a page is XML,
/// an element that stands there once is an array of one, and if its parent is there, it may be missing.
///
/// ```
/// use headwater::page::Select;
/// use headwater::{Batch, Page, Position};
///
/// let page = Page::new(r#"{"bars":{"AAPL":[{"c":1},{"c":2}],"MSFT":[{"c":3}]}}"#, 1, Position::Start, None)?;
/// let batch = Batch::new(page, Select::map("bars").key_as("symbol"))?;
/// let records: Vec<_> = batch.records().map(|record| record.as_str().to_owned()).collect();
/// assert_eq!(
///     records,
///     [r#"{"c":1,"symbol":"AAPL"}"#, r#"{"c":2,"symbol":"AAPL"}"#, r#"{"c":3,"symbol":"MSFT"}"#],
/// );
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Select {
    pub(super) places: Vec<Place>,
}

/// One path of a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) kind: Kind,
    /// The field that the key becomes.
    pub(super) key: Option<String>,
    pub(super) skip_null: bool,
    pub(super) optional: bool,
    /// A path in a record, and what has to stand there.
    pub(super) only: Option<(String, Value)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    Map,
    Object,
}

impl Select {
    fn new(path: impl Into<String>, kind: Kind) -> Self {
        let place =
            Place { path: path.into(), kind, key: None, skip_null: false, optional: false, only: None };
        Self { places: vec![place] }
    }

    /// Takes the items of the array at a path: a dotted path or a JSON Pointer ([`JsonPath`]), which may have
    /// `*` as a segment. A path that cannot be read is an error where the selection is used.
    pub fn path(path: impl Into<String>) -> Self {
        Self::new(path, Kind::List)
    }

    /// Takes the values of the object at a path: an array gives its items, whatever else is one record.
    pub fn map(path: impl Into<String>) -> Self {
        Self::new(path, Kind::Map)
    }

    /// Takes the object at a path as one record.
    pub fn object(path: impl Into<String>) -> Self {
        Self::new(path, Kind::Object)
    }

    /// Takes the records of another path too, behind those of the paths so far.
    pub fn and(mut self, other: impl Into<Self>) -> Self {
        self.places.extend(other.into().places);
        self
    }

    /// Makes the key under which a record stands a field of it: the key of the map (or of the last `*` that meets an object), and
    /// where there is none, the last name of the path, which tells the records of several arrays apart. It counts for the paths given so far.
    ///
    /// A record that is no object becomes `{"value":…,"symbol":"AAPL"}`; one with a field of that name keeps its own as
    /// `symbol_original`.
    pub fn key_as(mut self, field: impl Into<String>) -> Self {
        let field = field.into();
        self.places.iter_mut().for_each(|place| place.key = Some(field.clone()));
        self
    }

    /// Drops records that are `null`, of the paths given so far. A paginator that counts rows counts them all the
    /// same. Without it, a `null` in an array is a record.
    pub fn skip_null(mut self) -> Self {
        self.places.iter_mut().for_each(|place| place.skip_null = true);
        self
    }

    /// Takes only the records that have this value at this path in them, of the paths given so far: where others stand
    /// among them. A number or a boolean equals its text. A paginator that counts rows counts them all the same.
    pub fn only(mut self, path: impl Into<String>, value: impl Into<Value>) -> Self {
        let only = (path.into(), value.into());
        self.places.iter_mut().for_each(|place| place.only = Some(only.clone()));
        self
    }

    /// Declares that the API leaves the paths given so far out where there are no records. Without it, a
    /// missing path is an error.
    ///
    /// An error object with status 200 looks like that as well: if the API has such, declare it as a failure. And so does a
    /// path with a slip of the pen in it: the report says how many records there were.
    pub fn optional(mut self) -> Self {
        self.places.iter_mut().for_each(|place| place.optional = true);
        self
    }

    /// The meaning as a text that only changes when the meaning does; of a path alone, the path.
    pub(crate) fn definition(&self) -> String {
        if let [Place { path, kind: Kind::List, key: None, skip_null: false, optional: false, only: None }] =
            self.places.as_slice()
        {
            return path.clone();
        }
        let places: Vec<_> = self
            .places
            .iter()
            .map(|place| {
                let Place { path, kind, key, skip_null, optional, only } = place;
                match only {
                    None => json!([format!("{kind:?}"), path, key, skip_null, optional]),
                    Some(only) => json!([format!("{kind:?}"), path, key, skip_null, optional, only]),
                }
            })
            .collect();
        json!(places).to_string()
    }
}

impl From<&str> for Select {
    fn from(path: &str) -> Self {
        Self::path(path)
    }
}

impl From<String> for Select {
    fn from(path: String) -> Self {
        Self::path(path)
    }
}

impl From<&String> for Select {
    fn from(path: &String) -> Self {
        Self::path(path)
    }
}

impl From<JsonPath> for Select {
    fn from(path: JsonPath) -> Self {
        Self::path(path.to_string())
    }
}

impl From<&JsonPath> for Select {
    fn from(path: &JsonPath) -> Self {
        Self::path(path.to_string())
    }
}

impl From<&Self> for Select {
    fn from(select: &Self) -> Self {
        select.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_a_path_is_the_path_and_that_of_a_selection_tells_all() {
        assert_eq!(Select::from("/data/items").definition(), "/data/items");
        let all = [
            Select::path("a").optional(),
            Select::path("a").skip_null(),
            Select::path("a").key_as("k"),
            Select::map("a"),
            Select::object("a"),
            Select::path("a").and("b"),
            Select::path("b").and("a"),
        ];
        let mut texts: Vec<_> = all.iter().map(Select::definition).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), all.len());
    }

    #[test]
    fn what_is_said_counts_for_the_paths_so_far() {
        let select = Select::path("a").optional().and("b").key_as("list").and(Select::map("c").skip_null());
        let optional: Vec<_> = select.places.iter().map(|place| place.optional).collect();
        let keys: Vec<_> = select.places.iter().map(|place| place.key.as_deref()).collect();
        assert_eq!(optional, [true, false, false]);
        assert_eq!(keys, [Some("list"), Some("list"), None]);
    }
}
