//! What a typed sink is told about the schemas of its sources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::jsonb::Nesting;
use super::{Cell, Schema};

/// What happens to a record that does not fit the schema: it has a field without a column, a value that its column does
/// not hold, or nothing for a required column.
///
/// | contract | a new field | a value that does not fit | nothing for a required column |
/// |---|---|---|---|
/// | `Evolve` | becomes a nullable column | goes, as text, to a nullable column `{name}__text`; the column itself is null | the record is rejected |
/// | `Freeze` | an error, which ends the run | an error | an error |
/// | `Reject` | the record is rejected | the record is rejected | the record is rejected |
/// | `Null` | is left out, and counted | becomes null, and is counted | the record is rejected |
///
/// A field that holds nothing but null is no new field. A rejected record goes to the dead letters as it came, with the
/// reason, and counts in the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Contract {
    /// The schema grows. The default.
    #[default]
    Evolve,
    /// The schema stays as it is, and what does not fit ends the run.
    Freeze,
    /// The schema stays as it is, and a record that does not fit is rejected.
    Reject,
    /// The schema stays as it is, and a value that does not fit becomes null.
    Null,
}

/// The schemas and contracts of the sources of a typed sink.
///
/// Without more, the schema of each source is inferred over its first 1,000 records, and grows with it.
///
/// ```
/// use headwater::schema::{ColumnType, Contract, Schema, Schemas};
///
/// let invoices = Schema::builder()
///     .required("id", ColumnType::Text)
///     .column("total", ColumnType::Decimal { precision: 12, scale: 2 })
///     .column("lines", ColumnType::Json)
///     .build()?;
/// let schemas = Schemas::inferred()
///     .sample(5_000)
///     .declare("invoices", invoices)
///     .contract_of("invoices", Contract::Reject);
/// # Ok::<(), headwater::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Schemas {
    all: Rules,
    sources: BTreeMap<String, Own>,
}

/// What is said of one source.
#[derive(Debug, Clone, Default)]
struct Own {
    declared: Option<Schema>,
    contract: Option<Contract>,
}

/// What counts for one source.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) declared: Option<Schema>,
    pub(super) contract: Contract,
    pub(super) sample_records: usize,
    pub(super) sample_bytes: usize,
    pub(super) most_columns: usize,
    pub(super) times: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            declared: None,
            contract: Contract::Evolve,
            sample_records: 1_000,
            sample_bytes: 8 * 1024 * 1024,
            most_columns: 1_000,
            times: true,
        }
    }
}

impl Schemas {
    /// Infers the schema of each source that none is declared for.
    pub fn inferred() -> Self {
        Self::default()
    }

    /// Declares the schema of a source.
    pub fn declare(mut self, source: impl Into<String>, schema: Schema) -> Self {
        self.sources.entry(source.into()).or_default().declared = Some(schema);
        self
    }

    /// Sets the contract of all sources that have none of their own (default: [`Contract::Evolve`]).
    pub fn contract(mut self, contract: Contract) -> Self {
        self.all.contract = contract;
        self
    }

    /// Sets the contract of one source.
    pub fn contract_of(mut self, source: impl Into<String>, contract: Contract) -> Self {
        self.sources.entry(source.into()).or_default().contract = Some(contract);
        self
    }

    /// Infers from so many records (default: 1,000). Fewer, if the first pages come to more than
    /// [`sample_bytes`](Self::sample_bytes), at the end of the source, or at the first commit: what is committed must have
    /// been written, and for that its columns must be known.
    pub fn sample(mut self, records: usize) -> Self {
        self.all.sample_records = records;
        self
    }

    /// Holds so many bytes of pages while a sample is gathered, and the page that reaches it (default: 8 MiB).
    pub fn sample_bytes(mut self, bytes: usize) -> Self {
        self.all.sample_bytes = bytes;
        self
    }

    /// Lets a schema grow to so many columns (default: 1,000). A record with fields beyond is rejected.
    pub fn most_columns(mut self, columns: usize) -> Self {
        self.all.most_columns = columns;
        self
    }

    /// Whether columns of dates and times are inferred from strings that are all of that form (default: yes). A time keeps
    /// its instant and not its spelling: `+02:00` becomes UTC.
    pub fn infer_times(mut self, infer: bool) -> Self {
        self.all.times = infer;
        self
    }

    pub(super) fn rules(&self, source: &str) -> Rules {
        let mut rules = self.all.clone();
        if let Some(own) = self.sources.get(source) {
            rules.declared = own.declared.clone();
            rules.contract = own.contract.unwrap_or(rules.contract);
        }
        rules
    }
}

/// What the tables of a sink can hold.
#[derive(Debug, Clone)]
#[must_use]
pub struct Limits {
    pub(super) columns: usize,
    pub(super) name: usize,
    pub(super) plain_names: bool,
    pub(super) reserved: &'static [&'static str],
    pub(super) nul: bool,
    pub(super) json: Nesting,
    pub(super) row: Option<RowLimit>,
}

/// Says why a row, whose values fit their columns, does not fit the table.
pub(crate) type RowLimit = fn(&[Cell<'_>]) -> Option<&'static str>;

impl Default for Limits {
    fn default() -> Self {
        Self {
            columns: usize::MAX,
            name: 128,
            plain_names: false,
            reserved: &[],
            nul: true,
            json: Nesting::default(),
            row: None,
        }
    }
}

impl Limits {
    /// The most columns of a table; it does not raise what the user allows.
    pub fn columns(mut self, most: usize) -> Self {
        self.columns = most;
        self
    }

    /// The most bytes of a name (default: 128). One that is longer is cut, and ends with a hash of the whole.
    pub fn name_bytes(mut self, most: usize) -> Self {
        self.name = most.max(24);
        self
    }

    /// Allows ASCII letters, digits and `_` alone in names, and no digit at their beginning; all else becomes `_`.
    pub fn plain_names(mut self) -> Self {
        self.plain_names = true;
        self
    }

    /// Says that the sink has columns of these names itself, in any case of their letters: a field of such a name is the
    /// column `{name}_original`.
    pub fn reserved(mut self, names: &'static [&'static str]) -> Self {
        self.reserved = names;
        self
    }

    /// Says that JSON text may have arrays and objects so many levels deep: a value that has more does not fit.
    pub fn json_depth(mut self, levels: usize) -> Self {
        self.json.depth = levels;
        self
    }

    /// Says that JSON text is kept as it is, so that a U+0000 that is escaped in it does not matter.
    pub fn json_as_text(mut self) -> Self {
        self.json.is_text = true;
        self
    }

    /// Says that JSON text becomes a `jsonb` of PostgreSQL: a value with U+0000, with half a surrogate pair, or with a number beyond the
    /// digits of `numeric` does not fit.
    pub fn jsonb(mut self) -> Self {
        self.json.is_jsonb = true;
        self
    }

    /// Says that a row must be one that this has nothing against.
    #[cfg(feature = "postgres")]
    pub(crate) fn rows(mut self, limit: RowLimit) -> Self {
        self.row = Some(limit);
        self
    }

    /// Says that no text may have a character U+0000: such a value does not fit.
    pub fn without_nul(mut self) -> Self {
        self.nul = false;
        self
    }
}
