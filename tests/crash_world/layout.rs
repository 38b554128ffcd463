//! The files of a world: one for each source, compressed, in parts, in folders.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use headwater::fs::Fs;
use headwater::sink::{Compression, Jsonl, Partition};
use headwater::testing::Image;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One file for each source, as it is by default.
    Single,
    Gzip,
    /// A new file for every third record.
    Rolling,
    /// Compressed, in folders by a field, with fewer files open than there are folders.
    Folders,
    /// One file for all sources.
    Shared,
    /// The same, compressed, and a new one for every third record.
    SharedRolling,
}

impl Layout {
    pub(crate) const ALL: [Self; 6] =
        [Self::Single, Self::Gzip, Self::Rolling, Self::Folders, Self::Shared, Self::SharedRolling];

    pub(super) fn sink(self, fs: Arc<dyn Fs>, dir: &str) -> Jsonl {
        let sink = Jsonl::on(fs, dir);
        match self {
            Self::Single => sink,
            Self::Gzip => sink.compress(Compression::gzip()),
            Self::Rolling => sink.roll_at_rows(3),
            Self::Folders => sink
                .compress(Compression::gzip())
                .partition_by(Partition::source())
                .partition_by(Partition::field("id"))
                .names("{start}/{part}")
                .most_open_files(2),
            Self::Shared => sink.one_file(),
            Self::SharedRolling => sink.one_file().compress(Compression::gzip()).roll_at_rows(3),
        }
    }

    pub(super) fn is_parts(self) -> bool {
        !matches!(self, Self::Single | Self::Gzip)
    }

    fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::SharedRolling)
    }

    fn rolls(self) -> bool {
        matches!(self, Self::Rolling | Self::SharedRolling)
    }

    pub(super) fn keeps_order(self) -> bool {
        self != Self::Folders
    }

    /// What a source has, run for run; the path is that of the first file. Nothing else may be there.
    pub(super) fn texts(
        self,
        image: &Image,
        dir: &str,
        source: &str,
    ) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
        let mut runs: BTreeMap<String, Vec<(String, PathBuf, Vec<u8>)>> = BTreeMap::new();
        let owner = if self.is_shared() { "all" } else { source };
        for (path, bytes) in image.files() {
            let inside = path.strip_prefix(dir).map_err(|_| "a file outside")?.to_string_lossy().into_owned();
            if inside.starts_with(".headwater/") {
                continue;
            }
            if inside.starts_with('.') {
                // A run that was overtaken may leave a copy, or an unfinished file.
                let was_taken_over = image.read(Path::new(dir).join(".headwater/lock.1")).is_some();
                if !was_taken_over && inside.contains(&format!("{owner}_")) && self != Self::Single {
                    return Err(format!("{inside} was left"));
                }
                continue;
            }
            let (start, part) = match self {
                Self::Folders => {
                    let Some(rest) = inside.strip_prefix(&format!("source={source}/")) else { continue };
                    let (folder, name) = rest.rsplit_once('/').ok_or("no folder")?;
                    (folder.rsplit_once('/').ok_or("no folder")?.1.to_owned(), name.to_owned())
                }
                _ => {
                    let Some(rest) = inside.strip_prefix(&format!("{owner}_")) else { continue };
                    let (start, part) = rest.split_once(['_', '.']).ok_or("no ending")?;
                    (start.to_owned(), part.to_owned())
                }
            };
            let text = match path.extension().is_some_and(|extension| extension == "gz") {
                true => unzipped(path, bytes)?,
                false => bytes.to_vec(),
            };
            if self.rolls() && text.iter().filter(|byte| **byte == b'\n').count() > 3 {
                return Err(format!("{inside} has not rolled"));
            }
            let text = if self.is_shared() { of_source(&text, source) } else { text };
            runs.entry(start).or_default().push((part, path.to_owned(), text));
        }
        let texts = runs.into_values().map(|mut files| {
            files.sort();
            let path = files[0].1.clone();
            (path, files.into_iter().flat_map(|(_, _, text)| text).collect())
        });
        let mut texts: Vec<(PathBuf, Vec<u8>)> = texts.collect();
        if self.is_shared() && texts.len() > 1 {
            // A run that went on without a source which was finished before.
            texts.retain(|(_, text)| !text.is_empty());
        }
        Ok(texts)
    }
}

/// The lines of one source.
fn of_source(text: &[u8], source: &str) -> Vec<u8> {
    let own = format!("\"__source\":\"{source}\"");
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| line.windows(own.len()).any(|part| part == own.as_bytes()))
        .flatten()
        .copied()
        .collect()
}

fn unzipped(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes)
        .read_to_end(&mut text)
        .map_err(|error| format!("{} cannot be unzipped: {error}", path.display()))?;
    Ok(text)
}
