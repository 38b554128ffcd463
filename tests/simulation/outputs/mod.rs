//! What the records of a world are written to, and how its committed lines are read back.

mod columns;
mod files;
#[cfg(feature = "objects")]
mod objects;
#[cfg(feature = "sqlite")]
mod rows;

use std::path::Path;
use std::sync::Arc;

use headwater::checkpoint::{Checkpoint, SinkState};
use headwater::sink::{Compression, Csv, Jsonl, Sink, Tee};
use headwater::testing::{CrashFs, Image};

use super::disk::OUT;
use super::listing::Listing;
use super::shapes::Shape;
use columns::{lines_of, of_csv};
use files::{parts, single};

/// The other half of what is written to two sinks.
const COPY: &str = "/copy";
const OBJECTS: &str = "objects";
const SQLITE: &str = "SQLite";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lines,
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
    /// Files that end after so many rows.
    Rolling {
        rows: u64,
        gzip: bool,
    },
    /// Lines, and beside them files that end.
    Both {
        rows: u64,
    },
    Csv {
        rows: u64,
    },
    #[cfg(feature = "parquet")]
    Parquet {
        rows: u64,
    },
    #[cfg(feature = "objects")]
    Objects,
    #[cfg(feature = "sqlite")]
    Sqlite,
}

/// The output of a world. What is not on its disk loses nothing with the power.
#[derive(Debug)]
pub(crate) struct Output {
    kind: Kind,
    #[cfg(feature = "objects")]
    store: Arc<object_store::memory::InMemory>,
    #[cfg(feature = "sqlite")]
    folder: Option<tempfile::TempDir>,
}

/// The names of all that worlds write to.
pub(crate) fn names() -> Vec<&'static str> {
    let kinds = (0..20).map(|chance| Kind::new(chance, 1).name());
    let names: std::collections::BTreeSet<&'static str> = kinds.collect();
    names.into_iter().collect()
}

impl Output {
    /// One that these lists can be written to.
    pub(crate) fn random(seed: u64, listings: &[Listing]) -> Self {
        let kind = Kind::random(seed, listings);
        Self {
            #[cfg(feature = "objects")]
            store: Arc::default(),
            #[cfg(feature = "sqlite")]
            folder: (kind == Kind::Sqlite).then(|| tempfile::tempdir().expect("a folder")),
            kind,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Whether everything happens in the same order each time: a database has threads, and a store a clock of its own.
    pub(crate) fn is_deterministic(&self) -> bool {
        ![OBJECTS, SQLITE].contains(&self.name())
    }

    /// The sink of a process.
    pub(crate) fn sink(&self, disk: &CrashFs, buffer: usize) -> Box<dyn Sink> {
        let lines = |dir: &str| Jsonl::on(Arc::new(disk.clone()), dir).buffer(buffer);
        match self.kind {
            Kind::Lines => Box::new(lines(OUT)),
            Kind::Gzip => Box::new(lines(OUT).compress(Compression::gzip())),
            #[cfg(feature = "zstd")]
            Kind::Zstd => Box::new(lines(OUT).compress(Compression::zstd())),
            Kind::Rolling { rows, gzip: false } => Box::new(lines(OUT).roll_at_rows(rows)),
            Kind::Rolling { rows, gzip: true } => {
                Box::new(lines(OUT).roll_at_rows(rows).compress(Compression::gzip()))
            }
            Kind::Both { rows } => Box::new(Tee::new(lines(OUT), lines(COPY).roll_at_rows(rows))),
            Kind::Csv { rows } => {
                Box::new(Csv::on(Arc::new(disk.clone()), OUT).buffer(buffer).roll_at_rows(rows))
            }
            #[cfg(feature = "parquet")]
            Kind::Parquet { rows } => {
                Box::new(headwater::sink::Parquet::on(Arc::new(disk.clone()), OUT).roll_at_rows(rows))
            }
            #[cfg(feature = "objects")]
            Kind::Objects => Box::new(objects::sink(&self.store, buffer)),
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => Box::new(rows::sink(self.folder.as_ref().expect("a folder").path(), buffer)),
        }
    }

    /// Whether the sink has nothing left to do for a source that is finished.
    pub(crate) fn is_settled(&self, state: &SinkState) -> bool {
        self.sink(&CrashFs::new(), 1).is_settled(state)
    }

    /// The lines of a source that are committed, as JSON Lines would have them. `None` if they cannot all be read yet.
    pub(crate) fn committed(
        &self,
        listing: &Listing,
        image: &Image,
        checkpoint: &Checkpoint,
    ) -> Result<Option<String>, String> {
        let (state, source) = (&checkpoint.sink.0, listing.name.as_str());
        let is_finished = checkpoint.is_finished();
        match self.kind {
            Kind::Lines | Kind::Gzip => single(image, OUT, state, is_finished).map(Some),
            #[cfg(feature = "zstd")]
            Kind::Zstd => single(image, OUT, state, is_finished).map(Some),
            Kind::Rolling { .. } => Ok(Some(parts(image, OUT, source, state)?.concat())),
            Kind::Both { .. } => {
                let one = single(image, OUT, &state[0], is_finished)?;
                let other = parts(image, COPY, source, &state[1])?.concat();
                (one == other).then_some(Some(one)).ok_or_else(|| format!("{source}: the two differ"))
            }
            Kind::Csv { .. } => {
                let files = parts(image, OUT, source, &state["files"])?;
                let rows = files.iter().map(|file| of_csv(file)).collect::<Result<Vec<_>, _>>()?;
                lines_of(listing, &rows.concat()).map(Some)
            }
            #[cfg(feature = "parquet")]
            Kind::Parquet { .. } => {
                if !is_finished || !self.is_settled(&checkpoint.sink) {
                    return Ok(None);
                }
                let stem = state["log"]["stem"].as_str().ok_or("the state of the sink has no stem")?;
                let is_part = |path: &Path| {
                    let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                    let rest = name.strip_prefix(stem).unwrap_or_default();
                    path.parent() == Some(Path::new(OUT))
                        && rest.starts_with('-')
                        && rest.ends_with(".parquet")
                };
                // In the order of their names.
                let files = image.files().filter(|(path, _)| is_part(path));
                let rows =
                    files.map(|(_, bytes)| columns::of_parquet(bytes)).collect::<Result<Vec<_>, _>>()?;
                lines_of(listing, &rows.concat()).map(Some)
            }
            #[cfg(feature = "objects")]
            Kind::Objects => objects::committed(&self.store, source, state).map(Some),
            #[cfg(feature = "sqlite")]
            Kind::Sqlite => {
                rows::committed(self.folder.as_ref().expect("a folder").path(), listing, state).map(Some)
            }
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Gzip => "gzip",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
            Self::Rolling { .. } => "rolling files",
            Self::Both { .. } => "two sinks",
            Self::Csv { .. } => "CSV",
            #[cfg(feature = "parquet")]
            Self::Parquet { .. } => "Parquet",
            #[cfg(feature = "objects")]
            Self::Objects => OBJECTS,
            #[cfg(feature = "sqlite")]
            Self::Sqlite => SQLITE,
        }
    }

    fn random(seed: u64, listings: &[Listing]) -> Self {
        // A chance of its own: the rest of the world is the same whatever is written to.
        let mut random = fastrand::Rng::with_seed(seed ^ 0x0075_7470);
        let rows = random.u64(1..40);
        let kind = Self::new(random.u8(0..20), rows);
        let shapes = || listings.iter().filter_map(|listing| listing.shape.as_ref());
        match kind {
            // Of a list that begins anew a file that is finished cannot be taken back.
            Self::Rolling { .. } | Self::Both { .. } | Self::Csv { .. } if shapes().any(Shape::expires) => {
                Self::Lines
            }
            // Which rows of it are not in a file yet nobody can tell.
            #[cfg(feature = "parquet")]
            Self::Parquet { .. } if shapes().next().is_some() => Self::Lines,
            kind => kind,
        }
    }

    fn new(chance: u8, rows: u64) -> Self {
        match chance {
            0 => Self::Gzip,
            #[cfg(feature = "zstd")]
            1 => Self::Zstd,
            2 => Self::Rolling { rows, gzip: false },
            3 => Self::Rolling { rows, gzip: true },
            4 => Self::Both { rows },
            5 => Self::Csv { rows },
            #[cfg(feature = "parquet")]
            6 | 7 => Self::Parquet { rows },
            #[cfg(feature = "objects")]
            8 => Self::Objects,
            #[cfg(feature = "sqlite")]
            9 => Self::Sqlite,
            _ => Self::Lines,
        }
    }
}
