//! Checkpoints as rows.

use std::collections::HashMap;

use super::session::{Connected, value};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::format::{decode_parts, encode_parts};
use crate::error::{Error, ErrorKind, Result};

/// Reads the checkpoints of these sources, those that are there. `locked`: nobody changes them before the transaction is over.
pub(super) async fn load(
    connection: &Connected,
    sources: &[&str],
    locked: bool,
) -> Result<HashMap<String, Checkpoint>> {
    let sql = format!(
        "SELECT source, epoch, header, checkpoint::text FROM {}.headwater_checkpoints WHERE source = ANY($1) \
         ORDER BY source{}",
        connection.schema,
        if locked { " FOR UPDATE" } else { "" }
    );
    let mut loaded = HashMap::new();
    for row in connection.rows(&sql, &[&sources]).await? {
        let (source, epoch): (String, i64) = (value(&row, 0)?, value(&row, 1)?);
        let unusable = |why: &str| {
            Error::new(ErrorKind::Checkpoint, format!("{}.headwater_checkpoints: {why}", connection.schema))
                .advice("nothing was changed; restore the table from a backup, or delete the row and the source's rows to start afresh")
                .at(|context| context.source = Some(source.as_str().into()))
        };
        let checkpoint = decode_parts(value(&row, 2)?, value(&row, 3)?).map_err(|why| unusable(&why))?;
        if checkpoint.source != source || i64::try_from(checkpoint.epoch) != Ok(epoch) {
            return Err(unusable(&format!("it is of {:?}, epoch {}", checkpoint.source, checkpoint.epoch)));
        }
        loaded.insert(source, checkpoint);
    }
    Ok(loaded)
}

/// Puts checkpoints into the transaction that is open.
pub(super) async fn put(connection: &Connected, checkpoints: &[Checkpoint]) -> Result<()> {
    if checkpoints.is_empty() {
        return Ok(());
    }
    let sources: Vec<&str> = checkpoints.iter().map(|next| next.source.as_str()).collect();
    let known = load(connection, &sources, true).await?;
    let (mut epochs, mut saved_at) = (Vec::new(), Vec::new());
    let (mut headers, mut bodies) = (Vec::new(), Vec::new());
    for next in checkpoints {
        if let Some(last) = known.get(&next.source) {
            last.check_successor(next)?;
        }
        let unwritten = || Error::new(ErrorKind::Checkpoint, "a checkpoint has no form that can be stored");
        let (header, json) = encode_parts(next).map_err(|error| unwritten().because(error))?;
        epochs.push(i64::try_from(next.epoch).map_err(|error| unwritten().because(error))?);
        saved_at.push(next.saved_at.as_str());
        headers.push(header);
        bodies.push(json);
    }
    // Of one that was not there, another run may have stored the first meanwhile.
    let sql = format!(
        "INSERT INTO {}.headwater_checkpoints AS c (source, epoch, saved_at, header, checkpoint) \
         SELECT source, epoch, saved_at, header, checkpoint::json FROM \
         unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[]) \
         AS n(source, epoch, saved_at, header, checkpoint) \
         ON CONFLICT (source) DO UPDATE SET epoch = excluded.epoch, saved_at = excluded.saved_at, \
         header = excluded.header, checkpoint = excluded.checkpoint WHERE c.epoch <= excluded.epoch",
        connection.schema
    );
    let stored = connection.execute(&sql, &[&sources, &epochs, &saved_at, &headers, &bodies]).await?;
    if stored == checkpoints.len() as u64 {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Locked, "another run has stored a checkpoint of a later epoch")
        .advice("this run must not go on; the other one has the data"))
}
