//! What an audit found: one line a check, and the level up to which all is well.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};
use tfnas_humanize::Columns;

/// How far a publication was checked; each level takes those before it for granted, but for the signature's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    /// The files are those of the manifest.
    L0,
    /// A key that the auditor brought has signed them.
    L1,
    /// The lineage closes.
    L2,
    /// What follows from the files is as they say.
    L3,
    /// The test was run again.
    L4,
    /// Other stages were run again.
    L5,
}

impl Level {
    const ALL: [Self; 6] = [Self::L0, Self::L1, Self::L2, Self::L3, Self::L4, Self::L5];

    /// What it says of a publication to have reached it.
    fn says(self) -> &'static str {
        match self {
            Self::L0 => "the files are those of the manifest",
            Self::L1 => "the key given has signed all of them",
            Self::L2 => "every stage's inputs are another's outputs, or named data",
            Self::L3 => "what follows from the files is as they say",
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

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// Nothing was found out.
    NotChecked,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its level; none for a file that is no publication.
    pub level: Option<Level>,
    /// What was checked.
    pub what: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found, or why nothing was.
    pub why: String,
}

/// What all checks say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Something was checked, nothing failed, and every check that was asked for was made.
    Ok,
    /// A check failed.
    Tampered,
    /// Nothing was checked, or not what was asked for.
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

/// All checks, in their order.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    checks: Vec<Check>,
    /// Whether something that was asked for could not be checked.
    has_unfulfilled_request: bool,
}

impl Checks {
    /// Notes that something is as it should be.
    pub fn pass(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, found: impl Into<String>) {
        self.add(level, what, Outcome::Passed, found);
    }

    /// Notes that something is not as it should be.
    pub fn fail(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, why: impl Into<String>) {
        self.add(level, what, Outcome::Failed, why);
    }

    /// Notes what was not checked, and why.
    pub fn skip(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, why: impl Into<String>) {
        self.add(level, what, Outcome::NotChecked, why);
    }

    /// Notes what the user asked for and could not be checked.
    pub fn skip_asked(&mut self, level: impl Into<Option<Level>>, what: impl Into<String>, why: impl Into<String>) {
        self.has_unfulfilled_request = true;
        self.skip(level, what, why);
    }

    /// Notes a check by what it found: nothing wrong, or what is.
    pub fn note(&mut self, level: Level, what: impl Into<String>, found: Result<String, String>) {
        match found {
            Ok(found) => self.pass(level, what, found),
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

    /// Whether a check of a level failed.
    pub fn failed(&self, level: Level) -> bool {
        self.any(level, Outcome::Failed)
    }

    /// Puts the checks in the order of their levels.
    pub fn sort(&mut self) {
        self.checks.sort_by_key(|check| check.level);
    }

    /// Returns the highest level up to which nothing failed and something passed; that of the signature may be left out.
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

    /// Returns what the checks say together.
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

    /// Returns the report for programs.
    pub fn to_json(&self) -> Value {
        json!({ "level": self.reached(), "verdict": self.verdict(), "checks": self.checks })
    }
}

/// The report for people: each check, then the level, then what was not checked.
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
            write!(f, ", reached {level}: {}", level.says())?;
            if level > Level::L1 && !self.any(Level::L1, Outcome::Passed) {
                write!(f, "; who made it was not checked (L1)")?;
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
    fn a_level_is_reached_where_it_and_all_before_it_passed_the_signature_aside() {
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
    fn what_was_asked_for_and_not_checked_is_no_pass() {
        let mut checks = checks(&[(Level::L0, Outcome::Passed)]);
        assert_eq!(checks.verdict(), Verdict::Ok);
        checks.skip_asked(Level::L4, "test", "no images");
        assert_eq!(checks.verdict(), Verdict::Unchecked);
        checks.fail(Level::L3, "test", "other");
        assert_eq!(checks.verdict(), Verdict::Tampered);
    }
}
