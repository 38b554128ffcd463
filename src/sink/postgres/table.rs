//! One table: made, and gone back to what was committed.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::columns;
use crate::checkpoint::postgres::{Connected, ONE_AT_A_TIME, quoted, value};
use crate::checkpoint::{Lease, SinkState};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::sql::typed::Counts;
use crate::sink::{Committed, Opening};

/// What the checkpoint keeps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) table: String,
    pub(super) run: i64,
    /// How many commits of the run there were.
    pub(super) commits: i64,
    /// Of typed rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) typed: Option<Counts>,
}

impl State {
    pub(super) fn read(state: &SinkState) -> Result<Self> {
        serde_json::from_value(state.0.clone()).map_err(|error| {
            Error::new(ErrorKind::Checkpoint, "the state is not one of a PostgreSQL table").because(error)
        })
    }

    pub(super) fn written(&self) -> Result<SinkState> {
        serde_json::to_value(self)
            .map(SinkState)
            .map_err(|error| Error::new(ErrorKind::Sink, "the state cannot be written").because(error))
    }
}

/// A table that is to be opened.
#[derive(Debug)]
pub(super) struct Wanted {
    source: String,
    name: String,
    has_key: bool,
    /// The type of JSON.
    json: &'static str,
    is_typed: bool,
    started_at: SystemTime,
    before: Option<State>,
    is_new_run: bool,
}

/// A table that was opened: where it stands, and how often its run was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) state: State,
    pub(super) opened: i64,
    /// The schema and the name, in quotes.
    pub(super) path: String,
    /// The same of the records that were rejected.
    pub(super) rejected: String,
    /// The columns of typed rows that the table has.
    pub(super) kept: Option<String>,
}

impl Wanted {
    pub(super) fn new(
        opening: &Opening<'_>,
        name: String,
        has_key: bool,
        json: &'static str,
        is_typed: bool,
    ) -> Result<Self> {
        quoted(&name)?;
        if name.starts_with("headwater_") {
            return Err(Error::config(format!("the table {name:?} would have a name that is taken"))
                .advice("give the sink another `table`"));
        }
        let (before, is_new_run) = match opening.committed {
            Committed::Nothing => (None, true),
            Committed::Finished(state) => (Some(State::read(state)?), true),
            Committed::Unfinished(state) => (Some(State::read(state)?), false),
        };
        let (source, started_at) = (opening.source.to_owned(), opening.started_at);
        Ok(Self { source, name, has_key, json, is_typed, started_at, before, is_new_run })
    }

    fn error(&self, what: String) -> Error {
        Error::new(ErrorKind::Checkpoint, what)
            .at(|context| context.source = Some(self.source.as_str().into()))
    }
}

/// Opens tables, in the transaction that is open. Whoever takes over opens them behind this.
pub(super) async fn open_all(
    connection: &Connected,
    wanted: &[Wanted],
    lease: &Lease,
) -> Result<Vec<Opened>> {
    connection.row(ONE_AT_A_TIME, &[&connection.schema_name]).await?;
    if wanted.iter().any(|wanted| wanted.is_typed) {
        columns::make_kept(connection).await?;
    }
    let mut opened = Vec::with_capacity(wanted.len());
    for wanted in wanted {
        let one = open(connection, wanted).await;
        opened.push(
            one.map_err(|error| error.at(|context| context.source = Some(wanted.source.as_str().into())))?,
        );
    }
    lease.looked_at().await?;
    Ok(opened)
}

async fn open(connection: &Connected, wanted: &Wanted) -> Result<Opened> {
    let (schema, path) = (&connection.schema, format!("{}.{}", connection.schema, quoted(&wanted.name)?));
    let is_there = make(connection, wanted, &path).await?;
    let kept = match wanted.is_typed {
        true => columns::kept_columns(connection, &wanted.source, &wanted.name).await?,
        false => None,
    };
    if kept.is_some() && !is_there {
        refuse_what_is_gone(wanted)?;
    }
    let kept = kept.filter(|_| is_there);
    let state = match &wanted.before {
        Some(state) if !wanted.is_new_run => {
            if state.table != wanted.name {
                let what = format!("the run was begun in the table {:?}, not {:?}", state.table, wanted.name);
                return Err(wanted.error(what).advice("finish it with the old `table`"));
            }
            go_back(connection, wanted, state, &path, is_there).await?;
            state.clone()
        }
        before => {
            if before.is_none() && !wanted.has_key {
                refuse_rows_of_nobody(connection, wanted).await?;
            }
            let sql = format!(
                "INSERT INTO {schema}.headwater_runs (source, \"table\", started_at, opened, commits) \
                 VALUES ($1, $2, $3, 0, 0) RETURNING run"
            );
            let row = connection.row(&sql, &[&wanted.source, &wanted.name, &wanted.started_at]).await?;
            let typed = wanted.is_typed.then(Counts::default);
            State { table: wanted.name.clone(), run: value(&row, 0)?, commits: 0, typed }
        }
    };
    // Of earlier runs of the source, too: none of them may write any more.
    let sql = format!("UPDATE {schema}.headwater_runs SET opened = opened + 1 WHERE source = $1");
    connection.execute(&sql, &[&wanted.source]).await?;
    let sql = format!("UPDATE {schema}.headwater_runs SET commits = $2 WHERE run = $1 RETURNING opened");
    let row = connection.row(&sql, &[&state.run, &state.commits]).await?;
    let rejected = format!("{schema}.headwater_rejected");
    Ok(Opened { state, opened: value(&row, 0)?, path, rejected, kept })
}

/// Makes a table for whole records if need be. One that is there must be of this kind. True if there is one now.
async fn make(connection: &Connected, wanted: &Wanted, path: &str) -> Result<bool> {
    let json = (!wanted.is_typed).then_some(wanted.json);
    let there = columns::existing(connection, &wanted.name).await?;
    if !there.is_empty() {
        columns::check(&there, path, wanted.has_key, json)?;
        return Ok(true);
    }
    // Of typed rows it is made when the columns are known.
    if json.is_some() {
        refuse_what_is_gone(wanted)?;
        let own = columns::own(wanted.has_key, json);
        let columns: Vec<String> = own.iter().map(|(name, kind)| format!("{name} {kind} NOT NULL")).collect();
        let key = if wanted.has_key { ", PRIMARY KEY (__source, __key)" } else { "" };
        connection.run(&format!("CREATE TABLE {path} ({}{key})", columns.join(", "))).await?;
    }
    Ok(json.is_some())
}

/// Deletes what the run wrote behind the committed state. Behind the checkpoints of this database there is nothing; another
/// store may lie behind, or the source begins anew.
async fn go_back(
    connection: &Connected,
    wanted: &Wanted,
    state: &State,
    path: &str,
    is_there: bool,
) -> Result<()> {
    let sql = format!(
        "SELECT commits FROM {}.headwater_runs WHERE run = $1 AND source = $2 FOR UPDATE",
        connection.schema
    );
    let rows = connection.rows(&sql, &[&state.run, &wanted.source]).await?;
    let there: Option<i64> = rows.first().map(|row| value(row, 0)).transpose()?;
    match there {
        Some(commits) if commits >= state.commits => {
            // Of rows with a key, what is written again takes the place of what is there; if nothing was committed, or the
            // source begins anew, none of them may stay.
            if commits > state.commits && is_there && (!wanted.has_key || state.commits == 0) {
                let sql = match wanted.has_key {
                    true => format!("DELETE FROM {path} WHERE __run = $1"),
                    false => format!("DELETE FROM {path} WHERE __run = $1 AND __commit > {}", state.commits),
                };
                let rows = connection.execute(&sql, &[&state.run]).await?;
                tracing::info!(source = %wanted.source, rows, "deleted rows that were not committed");
            }
            if commits > state.commits && state.typed.is_some() {
                let schema = &connection.schema;
                let sql =
                    format!("DELETE FROM {schema}.headwater_rejected WHERE __run = $1 AND __commit > $2");
                connection.execute(&sql, &[&state.run, &state.commits]).await?;
            }
            Ok(())
        }
        _ => {
            let what = format!("commit {} of the run {} is not in this database", state.commits, state.run);
            Err(wanted.error(what).advice("restore the database that belongs to the checkpoints"))
        }
    }
}

/// Refuses to go on without the table that the run has committed to: someone has deleted it.
fn refuse_what_is_gone(wanted: &Wanted) -> Result<()> {
    let goes_on = |state: &&State| !wanted.is_new_run && state.commits > 0 && state.table == wanted.name;
    let Some(state) = wanted.before.as_ref().filter(goes_on) else { return Ok(()) };
    let what = format!("the table {:?} is gone, and with it what this run has committed", state.table);
    Err(wanted.error(what).advice(
        "restore it, or delete the rows of the source in headwater_checkpoints and headwater_runs, and all of it is pulled afresh",
    ))
}

/// Refuses to begin from zero where rows of the source are there and no checkpoint knows them.
async fn refuse_rows_of_nobody(connection: &Connected, wanted: &Wanted) -> Result<()> {
    let sql = format!(
        "SELECT EXISTS (SELECT 1 FROM {}.headwater_runs WHERE source = $1 AND \"table\" = $2 AND commits > 0)",
        connection.schema
    );
    if !value::<bool>(&connection.row(&sql, &[&wanted.source, &wanted.name]).await?, 0)? {
        return Ok(());
    }
    let what = format!("rows of it are in the table {:?}, and no checkpoint knows them", wanted.name);
    Err(wanted.error(what).advice(
        "give the sink another `table`, or delete these rows, and those of the source in headwater_runs",
    ))
}
