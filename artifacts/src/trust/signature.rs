//! Signatures of records: an in-toto statement about the bytes of a record in a DSSE envelope. The file is next to the
//! record, `<attempt>.<fingerprint of the key>.sig`, so that every key has a separate file.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::{PublicKey, SigningKey};
use tfnas_attestations::statement::{ResourceDescriptor, Statement};

use super::TrustError;
use crate::atomic_write::{self, Access};
use crate::{ActionKey, Attempt, AttemptId, FileError, Output, Store};

/// The predicate: the signer made the result of the record, or takes responsibility for it.
const PREDICATE_TYPE: &str = "urn:tfnas:result:v1";

/// Maximum size of a signature. A larger file is rejected.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// A signature, and the name of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The predicate of the statement. It repeats fields of the record.
#[derive(Serialize, Deserialize)]
struct ResultPredicate {
    key: ActionKey,
    instance: String,
    outputs: Vec<Output>,
    environment: Value,
}

/// Returns the name of the signature file of an attempt for a key.
pub(crate) fn file_name(attempt: &AttemptId, key: &PublicKey) -> String {
    format!("{attempt}.{}.sig", key.fingerprint())
}

/// Returns the fingerprint in the name of a signature file, if it belongs to the attempt.
pub(super) fn signer<'a>(name: &'a str, attempt: &AttemptId) -> Option<&'a str> {
    name.strip_prefix(attempt.as_str())?.strip_prefix('.')?.strip_suffix(".sig")
}

/// Returns whether a file is a signature of the attempt.
pub(crate) fn is_of(name: &str, attempt: &AttemptId) -> bool {
    signer(name, attempt).is_some()
}

/// Returns as much of a fingerprint as people compare.
pub(super) fn short(fingerprint: &str) -> String {
    fingerprint.chars().take(16).collect()
}

/// Signs a record with the content `result`. The signature is deterministic.
pub(crate) fn sign(record: &[u8], result: &Attempt, key: &SigningKey) -> Signature {
    let claimed = ResultPredicate {
        key: result.key,
        instance: result.instance.clone(),
        outputs: result.outputs.clone(),
        environment: result.environment.clone(),
    };
    let predicate = serde_json::to_value(&claimed).expect("it is made of texts, numbers and JSON");
    let subject = ResourceDescriptor::file(format!("{}.json", result.id), &Sha256Digest::of_bytes(record));
    let envelope = Statement::new(vec![subject], PREDICATE_TYPE, predicate).sign(key);
    Signature { name: file_name(&result.id, &key.public()), bytes: (envelope.to_json() + "\n").into_bytes() }
}

/// Checks that `bytes` is a signature of this result by this key. If `record` is given, it must cover exactly these
/// bytes.
pub(super) fn check(bytes: &[u8], record: Option<&[u8]>, result: &Attempt, key: &PublicKey) -> Result<(), TrustError> {
    let fingerprint = || short(&key.fingerprint().to_string());
    let invalid = |why: String| TrustError::Invalid { key: fingerprint(), why };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(invalid("it is far too large".to_owned()));
    }
    let envelope = Envelope::from_json(bytes).map_err(|error| invalid(error.to_string()))?;
    let statement = Statement::verified(&envelope, key).map_err(|error| invalid(error.to_string()))?;
    let claimed: ResultPredicate = statement.predicate(PREDICATE_TYPE).map_err(|error| invalid(error.to_string()))?;
    let is_of =
        |record| matches!(&statement.subject[..], [one] if one.sha256() == Some(Sha256Digest::of_bytes(record)));
    let same =
        claimed.key == result.key && claimed.outputs == result.outputs && claimed.environment == result.environment;
    match same && record.is_none_or(is_of) {
        true => Ok(()),
        false => Err(TrustError::OtherRecord { key: fingerprint() }),
    }
}

impl Signature {
    /// Keeps the signature of a result that was pulled.
    pub(crate) fn keep(&self, store: &Store, result: &Attempt) -> Result<(), FileError> {
        let path = store.manifest_folder(&result.key).join(&self.name);
        atomic_write::write_file(&path, &self.bytes, &store.temporary(), Access::Writable)
    }
}

/// Returns the names of the signatures that a store has of an attempt.
pub(crate) fn names(store: &Store, result: &Attempt) -> Result<Vec<String>, FileError> {
    let names = atomic_write::names_in(&store.manifest_folder(&result.key))?;
    let names = names.into_iter().filter_map(|name| name.into_string().ok());
    Ok(names.filter(|name| is_of(name, &result.id)).collect())
}

/// Reads a signature file of an attempt, at most one byte more than the maximum size.
pub(crate) fn local(store: &Store, result: &Attempt, name: &str) -> Result<Vec<u8>, FileError> {
    use std::io::Read;
    let path = store.manifest_folder(&result.key).join(name);
    let mut bytes = Vec::new();
    let file = std::fs::File::open(&path).map_err(FileError::of("open", &path))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(FileError::of("read", &path))?;
    Ok(bytes)
}
