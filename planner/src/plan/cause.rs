use std::fmt;

use serde::Serialize;
use serde_json::Value;
use tfnas_artifacts::{Field, FieldChange, KeyManifest};
use tfnas_stages::Stage;

use crate::config::Variant;

/// A reason why a stage runs, such as a changed field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// The field: a key of the configuration, `input PORT`, `environment NAME`, `revision`; or a reason: `never ran`,
    /// `outcome`, `output NAME`, `--force`.
    pub field: String,
    /// Value in the last result.
    pub old: Option<Value>,
    /// Current value; `None` if not known yet.
    pub new: Option<Value>,
    /// Where the value was set, if it is part of the configuration.
    pub at: Option<String>,
    /// The upstream instance that the change comes from; `None` for a change of the instance itself.
    pub via: Option<String>,
}

/// Reasons in the order in which they are displayed.
pub type Changes = Vec<Cause>;

impl Cause {
    /// Creates a reason that is not a changed field.
    pub fn plain(field: impl Into<String>) -> Self {
        Self { field: field.into(), old: None, new: None, at: None, via: None }
    }

    /// Converts a changed field of a cache key.
    pub fn of_change(change: FieldChange, stage: Stage, variant: &Variant) -> Self {
        let value = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        let (field, at) = match &change.field {
            Field::Parameter(path) => {
                let key = stage.spec().config_key(path);
                let at = variant.origin_of(&key).to_string();
                (key, Some(at))
            }
            other => (other.to_string(), None),
        };
        Self { field, old: change.old.map(value), new: change.new.map(value), at, via: None }
    }

    /// Returns the fields in which two manifests of a stage differ.
    pub fn differences(old: &KeyManifest, new: &KeyManifest, stage: Stage, variant: &Variant) -> Changes {
        KeyManifest::differences(old, new).into_iter().map(|change| Self::of_change(change, stage, variant)).collect()
    }
}

/// Formats one line: the field, its old and new value, and where the change comes from.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, " {} -> {}", short(old), short(new))?,
            (Some(old), None) if self.field == "outcome" => write!(f, " of the last attempt: {}", short(old))?,
            (Some(old), None) => write!(f, " {} -> not known yet", short(old))?,
            (None, Some(new)) => write!(f, " {}, which was not there before", short(new))?,
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
    use serde_json::json;

    use super::*;

    fn because(field: &str, old: Option<Value>, new: Option<Value>) -> Cause {
        Cause { field: field.to_owned(), old, new, at: None, via: None }
    }

    #[test]
    fn a_cause_is_formatted_with_old_value_new_value_and_place() {
        let target = Cause {
            at: Some("pipeline.yaml:7".to_owned()),
            ..because("search.target_lat_ms", Some(json!(15)), Some(json!(12.5)))
        };
        assert_eq!(target.to_string(), "search.target_lat_ms 15 -> 12.5 (pipeline.yaml:7)");
        let table = Cause {
            via: Some("lookup".to_owned()),
            ..because("input latency.table", Some(json!("a".repeat(64))), None)
        };
        assert_eq!(table.to_string(), "input latency.table aaaaaaaaaaaa -> not known yet (from lookup)");
        assert_eq!(Cause::plain("never ran").to_string(), "never ran");
        assert_eq!(because("outcome", Some(json!("failed")), None).to_string(), "outcome of the last attempt: failed");
    }
}
