//! Values and records as SQLite holds them.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use serde_json::Value;

use crate::{ActionKey, Attempt, AttemptId, Digest, Input, KeyManifest, Outcome, Output, Purpose, Run, RunId, Usage};

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let bytes: [u8; 32] = FromSql::column_result(value)?;
        Ok(Self::from_bytes(bytes))
    }
}

impl ToSql for ActionKey {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.digest().to_sql()
    }
}

impl FromSql for ActionKey {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Digest::column_result(value).map(Self::from)
    }
}

impl ToSql for AttemptId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.as_str().to_sql()
    }
}

impl FromSql for AttemptId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(FromSqlError::other)
    }
}

impl ToSql for RunId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        self.0.to_sql()
    }
}

impl FromSql for RunId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Self)
    }
}

impl ToSql for Outcome {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Outcome {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::of_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Purpose {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.name().into())
    }
}

impl FromSql for Purpose {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::of_name(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

/// JSON in a column of text.
pub(super) struct Json(pub Value);

impl FromSql for Json {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

/// A key manifest in a column of text.
struct Manifest(KeyManifest);

impl FromSql for Manifest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        KeyManifest::from_text(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

/// Converts a count to SQLite's signed integers. No count of bytes or milliseconds exceeds their range.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The reverse of [`signed`].
pub(super) fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// Returns the row of a shared text, inserting it if necessary.
pub(super) fn text_id(connection: &Connection, text: &str) -> rusqlite::Result<i64> {
    let digest = Digest::of_bytes(text.as_bytes());
    let known = connection
        .prepare_cached("SELECT id FROM texts WHERE digest = ?")?
        .query_row([digest], |row| row.get(0))
        .optional()?;
    match known {
        Some(id) => Ok(id),
        None => {
            connection.prepare_cached("INSERT INTO texts (digest, text) VALUES (?, ?)")?.insert(params![digest, text])
        }
    }
}

/// Returns the runs that `rest`, the query from its WHERE on, selects.
pub(super) fn runs(connection: &Connection, rest: &str, parameters: impl Params) -> rusqlite::Result<Vec<Run>> {
    let query = format!(
        "SELECT r.id, r.arguments, t.text, r.tool, r.source_revision, r.host, r.started_ms, r.ended_ms, r.outcome,
                r.name, r.note
         FROM runs r JOIN texts t ON t.id = r.configuration {rest}"
    );
    connection.prepare_cached(&query)?.query_map(parameters, run)?.collect()
}

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let Json(arguments) = row.get(1)?;
    let arguments = serde_json::from_value(arguments)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Run {
        id: row.get(0)?,
        arguments,
        configuration: row.get(2)?,
        tool: row.get(3)?,
        source_revision: row.get(4)?,
        host: row.get(5)?,
        started_ms: row.get(6)?,
        ended_ms: row.get(7)?,
        outcome: row.get(8)?,
        name: row.get(9)?,
        note: row.get(10)?,
    })
}

/// Returns the complete attempts selected by `rest`, the part of the query after `FROM attempts a`.
pub(super) fn attempts(connection: &Connection, rest: &str, parameters: impl Params) -> rusqlite::Result<Vec<Attempt>> {
    let query = format!(
        "SELECT a.id, a.name, a.run, a.instance, a.stage, a.key, a.manifest, a.purpose,
                (SELECT text FROM texts WHERE id = a.environment),
                a.tool, a.source_revision, a.host, a.started_ms, a.ended_ms, a.outcome, a.cause,
                a.metrics, a.peak_memory_bytes, a.cpu_ms, a.remote
         FROM attempts a {rest}"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(parameters, |row| Ok((row.get::<_, i64>(0)?, attempt(row)?)))?;
    rows.map(|row| {
        let (id, mut attempt) = row?;
        attempt.inputs = inputs(connection, id)?;
        attempt.outputs = outputs(connection, id)?;
        Ok(attempt)
    })
    .collect()
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let Manifest(manifest) = row.get(6)?;
    let Json(environment) = row.get(8)?;
    let Json(metrics) = row.get(16)?;
    Ok(Attempt {
        id: row.get(1)?,
        run: row.get(2)?,
        remote: row.get(19)?,
        instance: row.get(3)?,
        stage: row.get(4)?,
        key: row.get(5)?,
        manifest,
        purpose: row.get(7)?,
        environment,
        tool: row.get(9)?,
        source_revision: row.get(10)?,
        host: row.get(11)?,
        started_ms: row.get(12)?,
        ended_ms: row.get(13)?,
        outcome: row.get(14)?,
        cause: row.get(15)?,
        metrics,
        usage: Usage {
            peak_memory_bytes: row.get::<_, Option<i64>>(17)?.map(unsigned),
            cpu_ms: row.get::<_, Option<i64>>(18)?.map(unsigned),
        },
        inputs: Vec::new(),
        outputs: Vec::new(),
    })
}

fn inputs(connection: &Connection, attempt: i64) -> rusqlite::Result<Vec<Input>> {
    connection
        .prepare_cached("SELECT port, digest, origin FROM inputs WHERE attempt = ? ORDER BY port")?
        .query_map([attempt], |row| Ok(Input { port: row.get(0)?, digest: row.get(1)?, origin: row.get(2)? }))?
        .collect()
}

fn outputs(connection: &Connection, attempt: i64) -> rusqlite::Result<Vec<Output>> {
    connection
        .prepare_cached("SELECT name, digest, bytes FROM outputs WHERE attempt = ? ORDER BY name")?
        .query_map([attempt], |row| {
            Ok(Output { name: row.get(0)?, digest: row.get(1)?, bytes: unsigned(row.get(2)?) })
        })?
        .collect()
}
