//! The bytes of a checkpoint file.
//!
//! ```text
//! headwater-checkpoint 1 <fingerprint> <checksum> <length>
//! {"source":"github_issues","run":"20260517T100000Z-5f3a9c21","epoch":3,…}
//! ```
//!
//! One header line, then `length` bytes of JSON, then a line break. The checksum is the 64-bit XXH3 of the
//! JSON, the fingerprint that of the source's definition, both as 16 hexadecimal digits. The header must be,
//! to the letter, the one that would be written for this JSON, so that no changed bit goes unseen. Version 1
//! stays readable for ever; another version is refused.

use xxhash_rust::xxh3::xxh3_64;

use super::Checkpoint;

const MAGIC: &str = "headwater-checkpoint";
const VERSION: &str = "1";

pub(super) fn encode(checkpoint: &Checkpoint) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_string(checkpoint)?;
    Ok(format!("{}{json}\n", header(checkpoint, &json)).into_bytes())
}

/// The header line without its end, and the JSON: for a place that keeps them apart.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn encode_parts(checkpoint: &Checkpoint) -> serde_json::Result<(String, String)> {
    let json = serde_json::to_string(checkpoint)?;
    Ok((header(checkpoint, &json).trim_end().to_owned(), json))
}

/// Reads what was kept apart, or says what is wrong with it.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn decode_parts(header: &str, json: &str) -> Result<Checkpoint, String> {
    decode(format!("{header}\n{json}\n").as_bytes())
}

fn header(checkpoint: &Checkpoint, json: &str) -> String {
    let fingerprint = checkpoint.definition.fingerprint();
    format!("{MAGIC} {VERSION} {fingerprint} {:016x} {}\n", xxh3_64(json.as_bytes()), json.len())
}

/// Whether a header line has the checksum and the length of a JSON text, which ends with a line break.
pub(super) fn is_intact(header: &str, json: &str) -> bool {
    let json = json.strip_suffix('\n').unwrap_or(json);
    header.ends_with(&format!(" {:016x} {}\n", xxh3_64(json.as_bytes()), json.len()))
}

/// Reads a file, or says what is wrong with it.
pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned())?;
    let Some((first, rest)) = text.split_once('\n') else {
        return Err(if text.is_empty() { "it is empty".into() } else { "it has no header line".into() });
    };
    let mut words = first.split(' ');
    if words.next() != Some(MAGIC) {
        return Err("it does not start as a checkpoint does".into());
    }
    match words.next() {
        Some(VERSION) => {}
        Some(other) => {
            let shown: String = other.chars().take(20).collect();
            return Err(format!("its format version is {shown:?}, and this headwater reads {VERSION}"));
        }
        None => return Err("its header line is cut off".into()),
    }
    let Some(json) = rest.strip_suffix('\n') else { return Err("it is cut off".into()) };
    let checkpoint: Checkpoint =
        serde_json::from_str(json).map_err(|error| format!("its content cannot be read ({error})"))?;
    if format!("{first}\n") != header(&checkpoint, json) {
        return Err("its checksum is wrong: the file was damaged or changed".into());
    }
    Ok(checkpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::tests::sample;

    #[test]
    fn what_was_written_is_read() {
        let bytes = encode(&sample()).unwrap();
        assert_eq!(decode(&bytes).unwrap(), sample());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let bytes = encode(&sample()).unwrap();
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            assert!(decode(&damaged).is_err(), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut to {length}");
        }
        assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
    }
}
