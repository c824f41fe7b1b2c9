//! Cache keys: the fields that identify an action, and their digest.
//!
//! The encoding that is hashed. An incompatible change needs a new tag instead of `tfnas.action.v1`:
//!
//! ```text
//! text         length in bytes as u64 LE, then UTF-8
//! key          text tag, text stage, revision as u64 LE, parameters, inputs, environment
//! parameters   count as u64 LE, then in byte order of the names: text name, value (see Scalar: a kind, then its bytes)
//! inputs       count as u64 LE, then in byte order of the ports: text port, 32 bytes digest
//! environment  count as u64 LE, then in byte order of the names: text name, text value
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::scalar::encode_text;
use crate::{Digest, ParseDigestError, Scalar, ScalarError};

/// The tag of the encoding above.
const TAG: &str = "tfnas.action.v1";

/// The identity of an action: same key, same work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionKey(Digest);

impl ActionKey {
    /// Returns the digest that the key is.
    pub fn digest(&self) -> &Digest {
        &self.0
    }

    /// Returns the first 12 hexadecimal digits, for display.
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl From<Digest> for ActionKey {
    fn from(digest: Digest) -> Self {
        Self(digest)
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ActionKey {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The fields that identify an action: stage and revision, parameters, inputs, and facts of the environment.
///
/// Paths, times, user names and settings that only change speed are not part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyManifest {
    tag: Tag,
    stage: String,
    revision: u32,
    parameters: BTreeMap<String, Scalar>,
    inputs: BTreeMap<String, Digest>,
    environment: BTreeMap<String, String>,
}

/// The only tag this version reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Tag {
    #[serde(rename = "tfnas.action.v1")]
    ActionV1,
}

/// The reason why a field or a text is not valid in a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A value that has no canonical form.
    #[error("parameter {parameter}: {source}")]
    Value {
        /// The dotted path of the parameter.
        parameter: String,
        /// The problem with its value.
        source: ScalarError,
    },
    /// A name that would make two parameters look like one.
    #[error("parameter {parameter}: the name {name:?} is empty or holds '.', '[' or ']'")]
    Name {
        /// The dotted path of the parameter.
        parameter: String,
        /// The part of it that is at fault.
        name: String,
    },
    /// The same field was added twice.
    #[error("{0} is given twice")]
    Twice(Field),
    /// A stored text that is damaged, or of another version.
    #[error("not a key manifest with the tag {TAG}: {0}")]
    Text(#[source] serde_json::Error),
}

impl KeyManifest {
    /// Starts the manifest of a stage at a revision of its code.
    pub fn new(stage: impl Into<String>, revision: u32) -> Self {
        Self {
            tag: Tag::ActionV1,
            stage: stage.into(),
            revision,
            parameters: BTreeMap::new(),
            inputs: BTreeMap::new(),
            environment: BTreeMap::new(),
        }
    }

    /// Adds a parameter. A map or list becomes one field per element (`operations[0].kernel`).
    ///
    /// JSON has no NaN: serializing one gives `null`. Code that builds `value` must therefore reject NaN when it reads
    /// the number.
    ///
    /// # Errors
    /// Returns [`KeyError::Value`] for -0.0, [`KeyError::Name`] for a name inside `value` that would be ambiguous, and
    /// [`KeyError::Twice`] for a path that was already added.
    pub fn parameter(&mut self, path: &str, value: &Value) -> Result<(), KeyError> {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (name, value) in map {
                    let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    if name.is_empty() || name.contains(['.', '[', ']']) {
                        return Err(KeyError::Name { parameter: inner, name: name.clone() });
                    }
                    self.parameter(&inner, value)?;
                }
                Ok(())
            }
            Value::Array(list) if !list.is_empty() => {
                for (index, value) in list.iter().enumerate() {
                    self.parameter(&format!("{path}[{index}]"), value)?;
                }
                Ok(())
            }
            _ => {
                let scalar =
                    Scalar::try_from(value).map_err(|source| KeyError::Value { parameter: path.to_owned(), source })?;
                match self.parameters.insert(path.to_owned(), scalar) {
                    None => Ok(()),
                    Some(_) => Err(KeyError::Twice(Field::Parameter(path.to_owned()))),
                }
            }
        }
    }

    /// Adds every entry of a map as a parameter.
    ///
    /// # Errors
    /// Returns the errors of [`parameter`](Self::parameter).
    pub fn parameters(&mut self, map: &serde_json::Map<String, Value>) -> Result<(), KeyError> {
        if map.is_empty() {
            return Ok(());
        }
        self.parameter("", &Value::Object(map.clone()))
    }

    /// Adds an input: the name of the port and the digest of its artifact.
    ///
    /// # Errors
    /// Returns [`KeyError::Twice`] for a port that was already added.
    pub fn input(&mut self, port: impl Into<String>, digest: Digest) -> Result<(), KeyError> {
        let port = port.into();
        match self.inputs.insert(port.clone(), digest) {
            None => Ok(()),
            Some(_) => Err(KeyError::Twice(Field::Input(port))),
        }
    }

    /// Adds a fact of the environment that changes the result, such as the version of libtorch.
    ///
    /// # Errors
    /// Returns [`KeyError::Twice`] for a name that was already added.
    pub fn environment(&mut self, name: impl Into<String>, value: impl Into<String>) -> Result<(), KeyError> {
        let name = name.into();
        match self.environment.insert(name.clone(), value.into()) {
            None => Ok(()),
            Some(_) => Err(KeyError::Twice(Field::Environment(name))),
        }
    }

    /// Returns the stage's name.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Returns the revision of the stage's code.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Returns the parameters: dotted path and value, in byte order of the paths.
    pub fn parameter_values(&self) -> &BTreeMap<String, Scalar> {
        &self.parameters
    }

    /// Returns the parameters as the JSON map that was given to [`parameters`](Self::parameters), or `None` if they are
    /// not those of a map, which only an edited manifest can be.
    pub fn parameters_json(&self) -> Option<Value> {
        let mut root = Value::Object(serde_json::Map::new());
        for (path, value) in &self.parameters {
            let mut place = &mut root;
            // Names contain none of these characters, so that a path has one meaning.
            for part in path.split(['.', '[']) {
                place = match part.strip_suffix(']') {
                    Some(index) => element(place, index.parse().ok()?)?,
                    None => entry(place, part)?,
                };
            }
            *place = value.to_json();
        }
        Some(root)
    }

    /// Returns the facts of the environment, by name.
    pub fn environment_facts(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Returns the inputs: port and digest, in order of the ports.
    pub fn inputs(&self) -> &BTreeMap<String, Digest> {
        &self.inputs
    }

    /// Returns the BLAKE3 of the encoding described at the head of this module.
    pub fn key(&self) -> ActionKey {
        ActionKey(Digest::of_bytes(&self.encode()))
    }

    fn encode(&self) -> Vec<u8> {
        // Destructured, so that a new field cannot be forgotten here.
        let Self { tag: Tag::ActionV1, stage, revision, parameters, inputs, environment } = self;
        let mut bytes = Vec::with_capacity(64 * (parameters.len() + inputs.len() + environment.len() + 1));
        let count = |count: usize| (count as u64).to_le_bytes();
        encode_text(TAG, &mut bytes);
        encode_text(stage, &mut bytes);
        bytes.extend(u64::from(*revision).to_le_bytes());
        bytes.extend(count(parameters.len()));
        for (name, value) in parameters {
            encode_text(name, &mut bytes);
            value.encode(&mut bytes);
        }
        bytes.extend(count(inputs.len()));
        for (port, digest) in inputs {
            encode_text(port, &mut bytes);
            bytes.extend(digest.as_bytes());
        }
        bytes.extend(count(environment.len()));
        for (name, value) in environment {
            encode_text(name, &mut bytes);
            encode_text(value, &mut bytes);
        }
        bytes
    }

    /// Returns every field and its value as text (parameters as JSON, digests in full): stage, revision, parameters,
    /// inputs, environment.
    pub fn fields(&self) -> Vec<(Field, String)> {
        let Self { tag: Tag::ActionV1, stage, revision, parameters, inputs, environment } = self;
        let mut fields = vec![(Field::Stage, stage.clone()), (Field::Revision, revision.to_string())];
        fields.extend(parameters.iter().map(|(name, value)| (Field::Parameter(name.clone()), value.to_string())));
        fields.extend(inputs.iter().map(|(port, digest)| (Field::Input(port.clone()), digest.to_string())));
        fields.extend(environment.iter().map(|(name, value)| (Field::Environment(name.clone()), value.clone())));
        fields
    }

    /// Returns the fields in which `new` differs from `old`, in the order of [`fields`](Self::fields). The list is
    /// empty exactly if the keys are equal.
    pub fn differences(old: &Self, new: &Self) -> Vec<FieldChange> {
        let mut values: BTreeMap<Field, (Option<String>, Option<String>)> = BTreeMap::new();
        for (field, value) in old.fields() {
            values.entry(field).or_default().0 = Some(value);
        }
        for (field, value) in new.fields() {
            values.entry(field).or_default().1 = Some(value);
        }
        values
            .into_iter()
            .filter(|(_, (old, new))| old != new)
            .map(|(field, (old, new))| FieldChange { field, old, new })
            .collect()
    }

    /// Returns the manifest as JSON text, for storage.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a map with text keys always serialises")
    }

    /// Parses the output of [`to_text`](Self::to_text). The result has the same key.
    ///
    /// # Errors
    /// Returns [`KeyError::Text`] if the text is not a key manifest.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        serde_json::from_str(text).map_err(KeyError::Text)
    }
}

/// Returns an entry of a map, both of which are created if missing; `None` if `map` is something else.
fn entry<'a>(map: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    if map.is_null() {
        *map = Value::Object(serde_json::Map::new());
    }
    Some(map.as_object_mut()?.entry(name).or_insert(Value::Null))
}

/// Returns an element of a list, both of which are created if missing; `None` if `list` is something else, or too short.
fn element(list: &mut Value, index: usize) -> Option<&mut Value> {
    /// More elements than any list of parameters has.
    const MAX_ELEMENTS: usize = 1 << 16;
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let list = list.as_array_mut()?;
    if list.len() <= index && index < MAX_ELEMENTS {
        // Elements come in the order of their paths as text: 10 before 2.
        list.resize(index + 1, Value::Null);
    }
    list.get_mut(index)
}

/// Names one field of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The stage's name.
    Stage,
    /// The revision of the stage's code.
    Revision,
    /// A parameter, by its dotted path.
    Parameter(String),
    /// An input, by its port.
    Input(String),
    /// A fact of the environment, by its name.
    Environment(String),
}

/// Writes `stage`, `revision`, a parameter's path, `input <port>` or `environment <name>`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage => f.write_str("stage"),
            Self::Revision => f.write_str("revision"),
            Self::Parameter(path) => f.write_str(path),
            Self::Input(port) => write!(f, "input {port}"),
            Self::Environment(name) => write!(f, "environment {name}"),
        }
    }
}

/// One field that two key manifests do not share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Which field.
    pub field: Field,
    /// The old value, or `None` if the field is new.
    pub old: Option<String>,
    /// The new value, or `None` if the field was removed.
    pub new: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn search() -> KeyManifest {
        let mut manifest = KeyManifest::new("search", 3);
        manifest.parameter("target_lat_ms", &json!(15.0)).unwrap();
        manifest.parameter("epochs", &json!(90)).unwrap();
        manifest.parameter("space", &json!({"groups": [{"stride": 2}, {"stride": 1}], "tail": []})).unwrap();
        manifest.input("table", Digest::of_bytes(b"table")).unwrap();
        manifest.environment("libtorch", "2.13.0").unwrap();
        manifest
    }

    #[test]
    fn key_of_a_manifest_never_changes() {
        // Computed by an independent program from the encoding in the module documentation.
        let expected = "d0dfaa9c8e5ed080cdef06dd8799c074b514b227871dc89636e82932753fe31c";
        assert_eq!(search().key().to_string(), expected);
    }

    #[test]
    fn insertion_order_does_not_matter() {
        let mut manifest = KeyManifest::new("search", 3);
        manifest.environment("libtorch", "2.13.0").unwrap();
        manifest.input("table", Digest::of_bytes(b"table")).unwrap();
        let space = json!({"tail": [], "groups": [{"stride": 2}, {"stride": 1}]});
        let parameters = json!({"space": space, "epochs": 90, "target_lat_ms": 15.0});
        manifest.parameters(parameters.as_object().unwrap()).unwrap();
        assert_eq!(manifest.key(), search().key());
    }

    #[test]
    fn every_field_changes_the_key_and_is_named() {
        let base = search();
        let changed = |change: &dyn Fn(&mut KeyManifest)| {
            let mut manifest = base.clone();
            change(&mut manifest);
            manifest
        };
        let other = Digest::of_bytes(b"other");
        let set = |map: &mut BTreeMap<String, String>, name: &str| *map.get_mut(name).unwrap() = "2.12".into();
        let cases: Vec<(&str, KeyManifest)> = vec![
            ("stage", changed(&|m| m.stage = "train".into())),
            ("revision", changed(&|m| m.revision = 4)),
            ("target_lat_ms", changed(&|m| *m.parameters.get_mut("target_lat_ms").unwrap() = Scalar::Unsigned(15))),
            ("extra", changed(&|m| m.parameter("extra", &json!(null)).unwrap())),
            ("space.groups[1].stride", changed(&|m| m.parameters.retain(|path, _| path != "space.groups[1].stride"))),
            ("input table", changed(&|m| *m.inputs.get_mut("table").unwrap() = other)),
            ("environment libtorch", changed(&|m| set(&mut m.environment, "libtorch"))),
        ];
        for (field, manifest) in cases {
            assert_ne!(manifest.key(), base.key(), "{field}");
            let changes = KeyManifest::differences(&base, &manifest);
            assert_eq!(changes.len(), 1, "{field}: {changes:?}");
            assert_eq!(changes[0].field.to_string(), field);
        }
        assert!(KeyManifest::differences(&base, &base.clone()).is_empty());
    }

    #[test]
    fn change_has_the_old_and_the_new_value() {
        let mut new = search();
        new.parameters.insert("target_lat_ms".into(), Scalar::Float(12.5));
        let change = KeyManifest::differences(&search(), &new).remove(0);
        assert_eq!((change.old.as_deref(), change.new.as_deref()), (Some("15.0"), Some("12.5")));
    }

    #[test]
    fn stored_manifest_has_the_same_key() {
        let manifest = search();
        let read = KeyManifest::from_text(&manifest.to_text()).unwrap();
        assert_eq!(read, manifest);
        assert_eq!(read.key(), manifest.key());
    }

    #[test]
    fn parameters_round_trip_through_json() {
        let parameters = json!({
            "space": {"groups": [{"stride": 2}, {"stride": 1}], "tail": [], "none": {}},
            "many": (0..12).collect::<Vec<u64>>(),
            "nested": [[1, 2], [3.5]],
            "text": "a.b[0]",
            "nothing": null,
        });
        let mut manifest = KeyManifest::new("search", 3);
        manifest.parameters(parameters.as_object().unwrap()).unwrap();
        assert_eq!(manifest.parameters_json(), Some(parameters));
        assert_eq!(KeyManifest::new("split", 1).parameters_json(), Some(json!({})));
    }

    #[test]
    fn inconsistent_parameters_have_no_json() {
        for paths in [["a", "a.b"], ["a[0]", "a.b"], ["a[x]", "b"], ["a[99999999999]", "b"], ["a[-1]", "b"]] {
            let mut manifest = KeyManifest::new("search", 3);
            manifest.parameters = paths.map(|path| (path.to_owned(), Scalar::Unsigned(1))).into();
            assert_eq!(manifest.parameters_json(), None, "{paths:?}");
        }
    }

    #[test]
    fn stored_manifest_of_another_version_is_rejected() {
        let text = search().to_text().replace("action.v1", "action.v9");
        assert!(KeyManifest::from_text(&text).unwrap_err().to_string().contains("tfnas.action.v1"));
        assert!(KeyManifest::from_text("{").is_err());
    }

    #[test]
    fn ambiguous_names_and_values_are_rejected() {
        let mut manifest = search();
        assert!(matches!(manifest.parameter("epochs", &json!(1)), Err(KeyError::Twice(_))));
        assert!(matches!(manifest.parameter("map", &json!({"a.b": 1})), Err(KeyError::Name { .. })));
        assert!(matches!(manifest.parameter("rate", &json!(-0.0)), Err(KeyError::Value { .. })));
        assert!(matches!(manifest.input("table", Digest::of_bytes(b"")), Err(KeyError::Twice(_))));
        assert!(matches!(manifest.environment("libtorch", ""), Err(KeyError::Twice(_))));
    }
}
