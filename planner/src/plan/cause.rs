use std::fmt;

use serde::Serialize;
use serde_json::Value;
use tfnas_artifacts::{Field, FieldChange, KeyManifest};
use tfnas_stages::Stage;

use crate::config::Variant;

/// One cause of a stage's run: a field that is not what it was.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cause {
    /// The field: a key of the configuration, `input PORT`, `environment NAME`, `revision`; or `never ran`, `outcome`,
    /// `output NAME`, `--force`.
    pub field: String,
    /// What it was in the last result.
    pub old: Option<Value>,
    /// What it is now; none where that is not known yet.
    pub new: Option<Value>,
    /// The place in the configuration that it comes from, where there is one.
    pub at: Option<String>,
    /// The instance through which it comes; none for a field of the instance's own.
    pub via: Option<String>,
}

/// Causes, in order.
pub type Changes = Vec<Cause>;

impl Cause {
    /// A cause that is no change of a field.
    pub fn plain(field: impl Into<String>) -> Self {
        Self { field: field.into(), old: None, new: None, at: None, via: None }
    }

    /// A field of the action key that changed.
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

    /// The fields in which a stage's manifest differs from an earlier one.
    pub fn differences(old: &KeyManifest, new: &KeyManifest, stage: Stage, variant: &Variant) -> Changes {
        KeyManifest::differences(old, new).into_iter().map(|change| Self::of_change(change, stage, variant)).collect()
    }
}

/// Writes one line: the field, old and new, and where it comes from.
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

/// A digest by its first digits, other values whole.
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
    fn a_cause_is_one_line_that_names_old_new_and_place() {
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
