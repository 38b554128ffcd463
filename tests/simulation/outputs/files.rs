//! The committed lines in the files of a source.

use std::io::Read;
use std::path::Path;

use headwater::testing::Image;
use serde_json::Value;

/// The committed beginning of a file, as text.
fn cut(image: &Image, path: &Path, state: &Value) -> Result<(String, usize), String> {
    let length = state["length"].as_u64().and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or("the state of the sink has no length")?;
    let bytes = image.read(path).unwrap_or_default();
    let committed =
        bytes.get(..length).ok_or_else(|| format!("{} is shorter than was committed", path.display()))?;
    Ok((text(path, committed)?, bytes.len() - length))
}

/// What a file says, whatever it is compressed with. A frame that is torn is an error.
pub(super) fn text(path: &Path, bytes: &[u8]) -> Result<String, String> {
    let mut text = String::new();
    if bytes.is_empty() {
        return Ok(text);
    }
    let read = match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => flate2::read::MultiGzDecoder::new(bytes).read_to_string(&mut text),
        #[cfg(feature = "zstd")]
        Some("zst") => zstd::Decoder::new(bytes).and_then(|mut decoder| decoder.read_to_string(&mut text)),
        _ => (&mut &*bytes).read_to_string(&mut text),
    };
    read.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text)
}

/// Of a source with one file.
pub(super) fn single(image: &Image, dir: &str, state: &Value, is_finished: bool) -> Result<String, String> {
    let file = state["file"].as_str().ok_or("the state of the sink names no file")?;
    let (text, more) = cut(image, &Path::new(dir).join(file), state)?;
    if is_finished && more > 0 {
        return Err(format!("{file} is finished, and has {more} bytes too many"));
    }
    Ok(text)
}

/// Of a source with several files: each of them, in their order. Every file that has its name is committed.
pub(super) fn parts(image: &Image, dir: &str, source: &str, state: &Value) -> Result<Vec<String>, String> {
    let array = |name: &str| state[name].as_array().cloned().unwrap_or_default();
    let start = state["start"].as_str().ok_or("the state of the sink has no start")?;
    let next = state["next"].as_u64().ok_or("the state of the sink has no next number")?;
    let stem = format!("{source}_{start}_");
    let dir = Path::new(dir);
    let mut files: Vec<(u64, String)> = Vec::new();
    let number = |name: &str| {
        let digits = name.strip_prefix(&stem)?.split('.').next()?;
        digits.parse::<u64>().ok()
    };
    for (path, bytes) in image.files().filter(|(path, _)| path.parent() == Some(dir)) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(part) = number(&name) {
            files.push((part, text(path, bytes)?));
        }
    }
    for finished in array("finished") {
        let name = finished["name"].as_str().and_then(number).ok_or("a finished file has no number")?;
        let partial = finished["partial"].as_str().ok_or("a finished file had no other name")?;
        if !files.iter().any(|(part, _)| *part == name) {
            files.push((name, cut(image, &dir.join(".partial").join(partial), &finished)?.0));
        }
    }
    for open in array("open") {
        let part = open["part"].as_u64().ok_or("an open file has no number")?;
        let file = open["file"].as_str().ok_or("an open file has no name")?;
        files.push((part, cut(image, &dir.join(".partial").join(file), &open)?.0));
    }
    files.sort();
    let numbers: Vec<u64> = files.iter().map(|(part, _)| *part).collect();
    // The file that is open next may have nothing in it.
    if numbers.iter().copied().ne(1..=numbers.len() as u64)
        || numbers.last().is_some_and(|last| *last >= next)
    {
        return Err(format!("{stem} has the files {numbers:?}, and the next one is {next}"));
    }
    Ok(files.into_iter().map(|(_, text)| text).collect())
}
