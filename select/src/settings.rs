//! The settings of a selection.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum number of candidates of a selection, including proposals.
const MAX_CANDIDATES: usize = 20_000;
const MAX_POOL: usize = 1_000_000;
const MAX_EPOCHS: usize = 100_000;

/// How candidates are drawn, proposed, trained and eliminated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Number of initial candidates, before any proposals. 0 turns the selection off.
    pub candidates: usize,
    /// Number of candidates proposed in each round. A round starts when all earlier candidates have completed the first
    /// rung.
    pub proposals: Vec<usize>,
    /// Total epochs of training of a candidate at the end of each rung.
    pub rungs: Vec<usize>,
    /// Number of candidates kept after each rung except the last.
    pub keep: Vec<usize>,
    /// Fraction of the initial candidates that comes from the search.
    pub from_search: f64,
    /// Number of initial candidates created by a rule: the same operation and fraction of the depth everywhere.
    pub rules: usize,
    /// Number of architectures that each round of proposals chooses from.
    pub pool: usize,
    /// Minimum number of genes (depth of a block group, operation of a block) in which a proposal differs from every
    /// other candidate.
    pub min_distance: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            candidates: 48,
            proposals: vec![16, 16, 16],
            rungs: vec![1, 3, 15],
            keep: vec![20, 6],
            from_search: 0.25,
            rules: 5,
            pool: 4000,
            min_distance: 3,
        }
    }
}

/// The settings are contradictory or allow no selection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct SettingsError {
    /// The name of the setting in the configuration.
    pub field: &'static str,
    /// What is wrong, and the valid values.
    pub problem: String,
}

impl Settings {
    /// Checks that the settings are valid, or turn the selection off.
    ///
    /// # Errors
    /// Returns [`SettingsError`] with the first invalid setting.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.validate_plan()?;
        let wrong = |field, problem: String| Err(SettingsError { field, problem });
        if !(0.0..=1.0).contains(&self.from_search) {
            return wrong("from_search", format!("{} must be 0 to 1", self.from_search));
        }
        if self.candidates > 0 && self.rules > self.candidates {
            let problem = format!("{} is more than candidates ({}): lower it", self.rules, self.candidates);
            return wrong("rules", problem);
        }
        if !(1..=MAX_POOL).contains(&self.pool) {
            return wrong("pool", format!("{} must be 1 to {MAX_POOL}", self.pool));
        }
        if self.min_distance == 0 {
            return wrong("min_distance", "0 would propose the same architecture twice: it must be at least 1".into());
        }
        Ok(())
    }

    /// Checks the rungs and the numbers of kept candidates.
    fn validate_plan(&self) -> Result<(), SettingsError> {
        let wrong = |field, problem: String| Err(SettingsError { field, problem });
        let largest = self.proposals.iter().fold(self.candidates, |sum, &count| sum.saturating_add(count));
        if largest > MAX_CANDIDATES {
            let problem = format!("with proposals, {largest} in all: at most {MAX_CANDIDATES} are supported");
            return wrong("candidates", problem);
        }
        if self.candidates == 1 {
            return wrong(
                "candidates",
                "1 leaves nothing to select from: use 2 or more, or 0 to turn the selection off".into(),
            );
        }
        if self.proposals.contains(&0) {
            return wrong("proposals", "a round of 0 proposes nothing: remove it from the list".into());
        }
        if self.rungs.is_empty() {
            return wrong("rungs", "the list is empty: it needs the epochs of at least one rung".into());
        }
        if self.rungs[0] == 0 || self.rungs.iter().any(|&epochs| epochs > MAX_EPOCHS) {
            return wrong("rungs", format!("{:?} must be 1 to {MAX_EPOCHS} epochs", self.rungs));
        }
        if !self.rungs.is_sorted_by(|a, b| a < b) {
            return wrong("rungs", format!("{:?} must increase from rung to rung", self.rungs));
        }
        if self.keep.len() + 1 != self.rungs.len() {
            let problem = format!(
                "{:?} has {} entries: it must have one fewer than rungs, which has {}",
                self.keep,
                self.keep.len(),
                self.rungs.len()
            );
            return wrong("keep", problem);
        }
        if self.keep.contains(&0) {
            return wrong("keep", format!("{:?}: at least one candidate must be kept after each rung", self.keep));
        }
        if !self.keep.is_sorted_by(|a, b| a > b) {
            return wrong("keep", format!("{:?} must decrease from rung to rung", self.keep));
        }
        match self.keep.first() {
            Some(&first) if self.candidates > 0 && first > largest => {
                let problem = format!("{first} after the first rung is more than the {largest} candidates: lower it");
                wrong("keep", problem)
            }
            _ => Ok(()),
        }
    }

    /// Number of candidates that each rung trains, unless the space is too small or trainings diverge.
    pub(crate) fn trained(&self) -> Vec<usize> {
        let all = self.candidates + self.proposals.iter().sum::<usize>();
        let mut trained = vec![all];
        trained.extend(&self.keep);
        trained
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn defaults_are_valid() {
        Settings::default().validate().unwrap();
        Settings { candidates: 0, ..Settings::default() }.validate().unwrap();
    }

    #[test]
    fn errors_name_the_invalid_setting() {
        type Change<'a> = &'a dyn Fn(&mut Settings);
        let error = |change: Change<'_>| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.validate().unwrap_err().to_string()
        };
        let cases: [(Change<'_>, &str); 17] = [
            (&|s| s.rungs = vec![1, 3, 3], "rungs: [1, 3, 3] must increase"),
            (&|s| s.rungs = vec![3, 1, 15], "rungs: [3, 1, 15] must increase"),
            (&|s| s.rungs = vec![0, 1, 15], "rungs: [0, 1, 15] must be 1 to"),
            (&|s| s.rungs = vec![1, 3, usize::MAX], "rungs: "),
            (&|s| s.rungs = Vec::new(), "rungs: the list is empty"),
            (&|s| s.rungs = vec![1, 15], "keep: [20, 6] has 2 entries: it must have one fewer than rungs, which has 2"),
            (&|s| s.keep = vec![6, 20], "keep: [6, 20] must decrease"),
            (&|s| s.keep = vec![6, 6], "keep: [6, 6] must decrease"),
            (&|s| s.keep = vec![6, 0], "keep: [6, 0]: at least one"),
            (&|s| s.keep = vec![97, 6], "keep: 97 after the first rung is more than the 96 candidates"),
            (&|s| s.candidates = 1, "candidates: 1 leaves nothing to select from"),
            (&|s| s.candidates = usize::MAX, "candidates: with proposals"),
            (&|s| s.proposals = vec![16, 0], "proposals: a round of 0"),
            (&|s| s.from_search = f64::NAN, "from_search: NaN must be 0 to 1"),
            (&|s| s.rules = 49, "rules: 49 is more than candidates (48)"),
            (&|s| s.pool = 0, "pool: 0 must be 1 to"),
            (&|s| s.min_distance = 0, "min_distance: 0 would"),
        ];
        for (change, expected) in cases {
            let found = error(change);
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn unknown_settings_are_rejected_and_missing_ones_have_defaults() {
        let read: Settings = serde_json::from_str("{\"candidates\": 24}").unwrap();
        assert_eq!(read, Settings { candidates: 24, ..Settings::default() });
        assert!(serde_json::from_str::<Settings>("{\"candidate\": 24}").is_err());
    }
}
