//! Compares published numbers of models with what can be recomputed.

mod accuracy;
mod claim_search;
mod finding;
mod latency;
mod network;
mod reach;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use claim_search::Claimed;
use serde::Deserialize;
use serde::de::Error as _;
use tfnas::{LatencyTable, Space};
use tfnas_fs::read_text_limited;
use tfnas_images::MAX_LABEL;
use tfnas_planner::config::{ConfigError, Node, Origin, Source, space_named};
use tfnas_planner::table_file::{self, ReadTableError};

pub use accuracy::{Accuracy, look_up_accuracy};
pub use finding::{Finding, Verdict, table};
pub use latency::{Conditions, MeasuredLatency, check_latency};
pub use network::check_network;
pub use reach::{Reached, Witness, find_reachable};

use crate::PublicationError;

/// The claims that are included in the program, by name.
const KNOWN: [(&str, &str); 1] = [("tf-nas", include_str!("../../../zoo/tf-nas.yaml"))];
/// Maximum number of classes, which is that of image lists.
const MAX_CLASSES: usize = MAX_LABEL as usize + 1;
/// The place in an error about the name of a space.
const OPTION: &str = "--space";
/// Maximum size of a file of claims.
const MAX_BYTES: u64 = 1 << 20;

/// Claims about models.
#[derive(Debug)]
pub struct Claims {
    /// Where the claims were published.
    pub source: String,
    /// The search space of all models.
    pub space: Space,
    /// Number of outputs of their classifiers.
    pub classes: usize,
    /// The models by name; at least one.
    pub models: BTreeMap<String, ModelClaims>,
}

/// A file of claims.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimsFile {
    source: String,
    /// A name or a file.
    space: String,
    classes: usize,
    models: BTreeMap<String, ModelClaims>,
}

/// The claims about one model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelClaims {
    /// Number of parameters in millions.
    pub parameters_m: Option<Decimal>,
    /// Multiply-adds per image in millions.
    pub multiply_adds_m: Option<Decimal>,
    /// Latencies in milliseconds, by the name of a published table or the path of a table file.
    #[serde(default)]
    pub latency_ms: BTreeMap<String, Decimal>,
    /// Top-1 accuracy in percent.
    pub top1: Option<Decimal>,
    /// Top-5 accuracy in percent.
    pub top5: Option<Decimal>,
}

/// A number with the digits that were published.
#[derive(Clone, Debug)]
pub struct Decimal {
    text: String,
    value: f64,
}

impl Decimal {
    /// Returns the value.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Returns the value with a tolerance of half a unit of its last digit.
    ///
    /// * `unit`: the unit of the number, for example a million.
    pub fn claimed(&self, unit: f64) -> Claimed {
        let decimals = self.text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let half = 0.5 * 10f64.powi(-(decimals as i32));
        // Slightly more, because decimal halves cannot be represented exactly in binary.
        Claimed { value: self.value * unit, within: half * unit * (1.0 + 1e-9) }
    }

    /// Formats a value with the same number of decimals.
    pub fn alike(&self, value: f64) -> String {
        let decimals = self.text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        format!("{value:.decimals$}")
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && text.len() <= 20;
        let value = text.parse().ok().filter(|_| plain);
        let value =
            value.ok_or_else(|| D::Error::custom(format!("{text:?} is not a number as printed, as \"18.03\"")))?;
        Ok(Self { text, value })
    }
}

impl ModelClaims {
    /// Reads the tables for which latencies are claimed: published tables by name, others from files.
    ///
    /// # Errors
    /// Returns an error if a file is not a latency table.
    pub fn tables(&self) -> Result<Vec<(String, LatencyTable)>, ReadTableError> {
        let read = |name: &String| {
            let table = match name.as_str() {
                "titan-rtx-b32" => LatencyTable::titan_rtx(),
                "xeon-gold-6130-b1" => LatencyTable::xeon_gold_6130(),
                file => table_file::read(Path::new(file), || table_file::named_after(Path::new(file)))?,
            };
            Ok((name.clone(), table))
        };
        self.latency_ms.keys().map(read).collect()
    }

    /// Returns findings that say why the claimed accuracies were not checked.
    fn not_checked(&self, name: &str, why: &str) -> Vec<Finding> {
        let accuracies = [("top-1 (%)", &self.top1), ("top-5 (%)", &self.top5)];
        let claimed = accuracies.into_iter().filter_map(|(claim, accuracy)| Some((claim, accuracy.as_ref()?)));
        let not_checked = |(claim, accuracy): (&str, &Decimal)| Finding {
            model: name.to_owned(),
            claim: claim.to_owned(),
            claimed: Some(accuracy.to_string()),
            recomputed: None,
            difference: None,
            verdict: Verdict::NotChecked { why: why.to_owned() },
        };
        claimed.map(not_checked).collect()
    }
}

impl Claims {
    /// Reads the claims with this name, or from this file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or contains no valid claims.
    pub fn read(name: &str) -> Result<Self, PublicationError> {
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        let text = match known {
            Some((_, text)) => (*text).to_owned(),
            None => Self::text(Path::new(name))?,
        };
        let wrong = |error: ConfigError| {
            let excerpt = error.excerpt().map(|excerpt| format!("\n{excerpt}")).unwrap_or_default();
            PublicationError::usage(format!("{error}{excerpt}"))
                .with_hint(error.hint().unwrap_or("`zoo/tf-nas.yaml` shows how claims are written"))
        };
        let source = Arc::new(Source::new(name, &text));
        let node = Node::parse(&source).map_err(|error| wrong(ConfigError::syntax(&source, &error)))?;
        Self::of(&node).map_err(wrong)
    }

    fn of(node: &Node) -> Result<Self, ConfigError> {
        let file: ClaimsFile = node.typed().map_err(|error| ConfigError::wrong_type("", &error))?;
        let ClaimsFile { source, space, classes, models } = file;
        let wrong = |key: &str, message: String| {
            ConfigError::value(key, node.get(key).map_or(&Origin::Default, |value| &value.origin), message)
        };
        let space = space_named(&space).map_err(|error| match error {
            // The name is in the file, not an option. Errors in the file of a space have a place of their own.
            ConfigError::Value { place, message, hint, .. } if place.starts_with(OPTION) => {
                let error = wrong("space", message);
                hint.into_iter().fold(error, ConfigError::with_hint)
            }
            error => error,
        })?;
        if !(1..=MAX_CLASSES).contains(&classes) {
            return Err(wrong("classes", format!("the number of classes must be between 1 and {MAX_CLASSES}")));
        }
        if models.is_empty() {
            return Err(wrong("models", "there are no models".to_owned()));
        }
        Ok(Self { source, space, classes, models })
    }

    fn text(path: &Path) -> Result<String, PublicationError> {
        let wrong = |problem: std::io::Error| {
            let names = KNOWN.map(|(name, _)| name).join(", ");
            PublicationError::usage(format!("cannot read the claims {}: {problem}", path.display()))
                .with_hint(format!("name a file of claims, or those that come with the program: {names}"))
        };
        read_text_limited(path, MAX_BYTES).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_included_claims_are_about_six_models() {
        let claims = Claims::read("tf-nas").unwrap();
        assert_eq!(claims.models.len(), 6);
        let model = &claims.models["TF-NAS-B"];
        assert_eq!(model.latency_ms["xeon-gold-6130-b1"].to_string(), "72.10");
        assert_eq!(model.multiply_adds_m.as_ref().unwrap().claimed(1e6).value, 361e6);
    }

    #[test]
    fn errors_name_the_file_and_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("claims.yaml");
        let error = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Claims::read(file.to_str().unwrap()).unwrap_err()
        };
        let claims = |space: &str, classes: &str, models: &str| {
            error(&format!("source: here\nspace: {space}\nclasses: {classes}\nmodels: {models}\n"))
        };
        let unknown = claims("smal", "10", "{M: {top1: \"75\"}}");
        let text = unknown.to_string();
        assert!(text.contains("claims.yaml:2") && text.contains("space: unknown space `smal`"), "{text}");
        assert!(!text.contains("--space") && unknown.hint.unwrap().contains("small"), "{text}");
        for classes in ["0", "99999999999"] {
            let text = claims("small", classes, "{M: {top1: \"75\"}}").to_string();
            assert!(text.contains("claims.yaml:3") && text.contains("classes: the number of classes"), "{text}");
        }
        let text = claims("small", "10", "{}").to_string();
        assert!(text.contains("claims.yaml:4") && text.contains("models: there are no models"), "{text}");
    }

    #[test]
    fn the_tolerance_of_a_claim_follows_from_its_last_digit() {
        let decimal: Decimal = serde_json::from_str("\"10.20\"").unwrap();
        let claimed = decimal.claimed(1.0);
        assert!(claimed.agrees(10.205) && claimed.agrees(10.195) && !claimed.agrees(10.206));
        assert_eq!(decimal.alike(10.2049), "10.20");
        let integer: Decimal = serde_json::from_str("\"457\"").unwrap();
        assert!(integer.claimed(1e6).agrees(457.4e6) && !integer.claimed(1e6).agrees(457.6e6));
    }

    #[test]
    fn text_that_is_not_a_number_is_an_error() {
        for text in ["\"\"", "\"1e3\"", "\"-1\"", "\"1.2.3\"", "\"nan\"", "1.5"] {
            assert!(serde_json::from_str::<Decimal>(text).is_err(), "{text}");
        }
    }
}
