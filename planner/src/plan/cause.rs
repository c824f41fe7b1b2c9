use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;
use tfnas_artifacts::{Field, FieldChange, KeyManifest};
use tfnas_stages::Stage;

use crate::config::Variant;

/// A reason why a stage runs, such as a changed field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// The field that changed, or another reason.
    pub field: CauseField,
    /// Value in the last result.
    pub old: Option<Value>,
    /// Current value; `None` if not known yet.
    pub new: Option<Value>,
    /// Where the value was set, if it is part of the configuration.
    pub at: Option<String>,
    /// The upstream instance that the change comes from; `None` for a change of the instance itself.
    pub via: Option<String>,
}

/// What a [`Cause`] is about. Written and serialized as one text, such as `search.epochs`, `input latency.table` or
/// `never ran`.
#[derive(Clone, Debug, PartialEq)]
pub enum CauseField {
    /// A field of the cache key. The path of a parameter is its key in the configuration.
    Key(Field),
    /// The instance has no result yet.
    NeverRan,
    /// The last attempt with this key did not succeed.
    LastOutcome,
    /// The user asked to run the stage again.
    Forced,
    /// There is a result that must not or cannot be used, for the given reason.
    UnusableResult(String),
    /// The last result has this key, but its outputs were removed.
    OutputsRemoved,
    /// The stage runs to compare its outputs with those of an earlier run.
    Comparison,
}

impl fmt::Display for CauseField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key(field) => return field.fmt(f),
            Self::NeverRan => "never ran",
            Self::LastOutcome => "outcome",
            Self::Forced => "--force",
            Self::UnusableResult(why) => why,
            Self::OutputsRemoved => "its outputs are no longer in the store",
            Self::Comparison => "to compare its outputs",
        })
    }
}

impl Serialize for CauseField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reasons in the order in which they are displayed.
pub type Changes = Vec<Cause>;

impl Cause {
    /// Creates a reason without values.
    pub fn plain(field: CauseField) -> Self {
        Self { field, old: None, new: None, at: None, via: None }
    }

    /// Converts a changed field of a cache key.
    pub fn of_change(change: FieldChange, stage: Stage, variant: &Variant) -> Self {
        let value = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        let (field, at) = match change.field {
            Field::Parameter(path) => {
                let key = stage.spec().config_key(&path);
                let at = variant.origin_of(&key).to_string();
                (Field::Parameter(key), Some(at))
            }
            other => (other, None),
        };
        Self { field: CauseField::Key(field), old: change.old.map(value), new: change.new.map(value), at, via: None }
    }

    /// Returns the fields in which two manifests of a stage differ.
    pub fn differences(old: &KeyManifest, new: &KeyManifest, stage: Stage, variant: &Variant) -> Changes {
        KeyManifest::differences(old, new).into_iter().map(|change| Self::of_change(change, stage, variant)).collect()
    }
}

/// Formats one line: the field, its old and new value, and where the change comes from.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.field)?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, " {} -> {}", short(old), short(new))?,
            (Some(old), None) if self.field == CauseField::LastOutcome => {
                write!(f, " of the last attempt: {}", short(old))?;
            }
            (Some(old), None) => write!(f, " {} -> not known yet", short(old))?,
            (None, Some(new)) => write!(f, " {}, which is new", short(new))?,
            (None, None) => {}
        }
        match (&self.at, &self.via) {
            (Some(at), _) => write!(f, " ({at})"),
            (None, Some(via)) => write!(f, " (from {via})"),
            (None, None) => Ok(()),
        }
    }
}

/// Shortens a digest.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            text[..12].to_owned()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn because(field: CauseField, old: Option<Value>, new: Option<Value>) -> Cause {
        Cause { field, old, new, at: None, via: None }
    }

    #[test]
    fn a_cause_is_formatted_with_old_value_new_value_and_place() {
        let target = Cause {
            at: Some("pipeline.yaml:7".to_owned()),
            ..because(
                CauseField::Key(Field::Parameter("search.target_lat_ms".into())),
                Some(json!(15)),
                Some(json!(12.5)),
            )
        };
        assert_eq!(target.to_string(), "search.target_lat_ms 15 -> 12.5 (pipeline.yaml:7)");
        let table = Cause {
            via: Some("lookup".to_owned()),
            ..because(CauseField::Key(Field::Input("latency.table".into())), Some(json!("a".repeat(64))), None)
        };
        assert_eq!(table.to_string(), "input latency.table aaaaaaaaaaaa -> not known yet (from lookup)");
        assert_eq!(Cause::plain(CauseField::NeverRan).to_string(), "never ran");
        assert_eq!(
            because(CauseField::LastOutcome, Some(json!("failed")), None).to_string(),
            "outcome of the last attempt: failed"
        );
        assert_eq!(serde_json::to_value(Cause::plain(CauseField::Forced)).unwrap()["field"], "--force");
    }
}
