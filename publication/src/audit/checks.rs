//! The result of an audit: a list of checks, and the highest level that the publication reached.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use tfnas_humanize::Columns;

/// How far a publication was verified. Each level requires the levels before it, except L1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    /// The files match the manifest.
    L0,
    /// The files are signed with the key that the auditor supplied.
    L1,
    /// The lineage is complete.
    L2,
    /// Everything that can be recomputed from the files matches.
    L3,
    /// The test was rerun with the same result.
    L4,
    /// Other stages were rerun with the same result.
    L5,
}

impl Level {
    const ALL: [Self; 6] = [Self::L0, Self::L1, Self::L2, Self::L3, Self::L4, Self::L5];

    /// Returns what reaching the level means.
    fn meaning(self) -> &'static str {
        match self {
            Self::L0 => "the files match the manifest",
            Self::L1 => "all files are signed with the given key",
            Self::L2 => "all inputs of stages are outputs of other stages, or identified data",
            Self::L3 => "all derived values match the files",
            Self::L4 => "the test was run again, with the same result",
            Self::L5 => "other stages were run again, with the same result",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The check passed.
    Passed,
    /// The check failed.
    Failed,
    /// The check was not made.
    NotChecked,
}

/// A single check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Level of the check; `None` for a weights file that is not part of a publication.
    pub level: Option<Level>,
    /// What was checked.
    pub what: String,
    /// The outcome of the check.
    pub outcome: Outcome,
    /// What was found, or why the check was not made.
    pub why: String,
}

/// The overall verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// At least one check passed, none failed, and all requested checks were made.
    Ok,
    /// A check failed.
    Tampered,
    /// Nothing was checked, or a requested check could not be made.
    Unchecked,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Tampered => "tampered",
            Self::Unchecked => "unchecked",
        })
    }
}

/// What a check that passed has verified, as a text for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(pub String);

/// All checks, in the order in which they are displayed.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    checks: Vec<Check>,
    /// Whether a requested check could not be made.
    has_unfulfilled_request: bool,
}

impl Checks {
    /// Records a check that passed.
    pub fn pass(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, found: impl Into<String>) {
        self.add(level, what, Outcome::Passed, found);
    }

    /// Records a check that failed.
    pub fn fail(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, why: impl Into<String>) {
        self.add(level, what, Outcome::Failed, why);
    }

    /// Records a check that was not made, and why.
    pub fn skip(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, why: impl Into<String>) {
        self.add(level, what, Outcome::NotChecked, why);
    }

    /// Records a check that the user requested and that could not be made.
    pub fn skip_asked(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, why: impl Into<String>) {
        self.has_unfulfilled_request = true;
        self.skip(level, what, why);
    }

    /// Records a check that passed, or failed with the given message.
    pub fn note(&mut self, level: Level, what: impl Into<String>, found: Result<Verified, String>) {
        match found {
            Ok(Verified(found)) => self.pass(level, what, found),
            Err(why) => self.fail(level, what, why),
        }
    }

    fn add(
        &mut self,
        level: impl Into<Option<Level>>,
        what: impl Into<String>,
        outcome: Outcome,
        why: impl Into<String>,
    ) {
        self.checks.push(Check { level: level.into(), what: what.into(), outcome, why: why.into() });
    }

    fn any(&self, level: Level, outcome: Outcome) -> bool {
        self.checks.iter().any(|check| check.level == Some(level) && check.outcome == outcome)
    }

    /// Returns whether a check of a level failed.
    pub fn failed(&self, level: Level) -> bool {
        self.any(level, Outcome::Failed)
    }

    /// Sorts the checks by level.
    pub fn sort(&mut self) {
        self.checks.sort_by_key(|check| check.level);
    }

    /// Returns the highest level for which it and all levels before it have passed. L1, the signature, may be missing,
    /// but must not have failed.
    pub fn reached(&self) -> Option<Level> {
        let mut reached = None;
        for level in Level::ALL {
            match (self.any(level, Outcome::Passed), self.any(level, Outcome::Failed)) {
                (true, false) => reached = Some(level),
                (false, false) if level == Level::L1 => {}
                _ => break,
            }
        }
        reached
    }

    /// Returns the overall verdict.
    pub fn verdict(&self) -> Verdict {
        let some = |outcome| self.checks.iter().any(|check| check.outcome == outcome);
        if some(Outcome::Failed) {
            Verdict::Tampered
        } else if some(Outcome::Passed) && !self.has_unfulfilled_request {
            Verdict::Ok
        } else {
            Verdict::Unchecked
        }
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> Value {
        json!({ "level": self.reached(), "verdict": self.verdict(), "checks": self.checks })
    }
}

/// Formats the report as text: all checks, followed by the verdict and the level reached.
impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns = Columns::plain(4);
        for Check { level, what, outcome, why } in &self.checks {
            let outcome = match outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "TAMPERED",
                Outcome::NotChecked => "not checked",
            };
            columns.row([level.map_or_else(String::new, |level| level.to_string()).as_str(), what, outcome, why]);
        }
        write!(f, "{columns}\n{}", self.verdict())?;
        if let Some(level) = self.reached() {
            write!(f, ", reached {level}: {}", level.meaning())?;
            if level > Level::L1 && !self.any(Level::L1, Outcome::Passed) {
                write!(f, "; its author was not checked (L1)")?;
            }
        }
        writeln!(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(outcomes: &[(Level, Outcome)]) -> Checks {
        let mut checks = Checks::default();
        for (level, outcome) in outcomes {
            checks.add(*level, "x", *outcome, "y");
        }
        checks
    }

    #[test]
    fn a_level_is_reached_if_all_levels_up_to_it_passed_except_the_signature() {
        use Level::{L0, L1, L2, L3, L4};
        use Outcome::{Failed, NotChecked, Passed};
        assert_eq!(checks(&[]).reached(), None);
        assert_eq!(
            checks(&[(L0, Passed), (L1, NotChecked), (L2, Passed), (L3, Passed), (L4, NotChecked)]).reached(),
            Some(L3)
        );
        assert_eq!(checks(&[(L0, Passed), (L1, Failed), (L2, Passed)]).reached(), Some(L0));
        assert_eq!(checks(&[(L0, Passed), (L1, Passed), (L2, Passed), (L2, Failed)]).reached(), Some(L1));
        assert_eq!(checks(&[(L0, Failed), (L2, Passed)]).reached(), None);
    }

    #[test]
    fn a_requested_check_that_was_not_made_is_not_ok() {
        let mut checks = checks(&[(Level::L0, Outcome::Passed)]);
        assert_eq!(checks.verdict(), Verdict::Ok);
        checks.skip_asked(Level::L4, "test", "no images");
        assert_eq!(checks.verdict(), Verdict::Unchecked);
        checks.fail(Level::L3, "test", "other");
        assert_eq!(checks.verdict(), Verdict::Tampered);
    }
}
