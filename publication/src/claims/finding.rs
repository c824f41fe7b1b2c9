use serde::Serialize;
use tfnas_humanize::Columns;

/// The verdict about a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// The recomputed number agrees with the claim.
    Agrees,
    /// The recomputed number differs from the claim.
    Differs,
    /// The space contains a network with all the claimed numbers.
    Reachable,
    /// No such network was found, which proves nothing.
    NotFound,
    /// The number was measured under other conditions than claimed.
    NotComparable {
        /// What differs.
        why: String,
    },
    /// Nothing was recomputed.
    NotChecked {
        /// The reason.
        why: String,
    },
}

/// A claim and the result of checking it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Name of the model.
    pub model: String,
    /// The claimed quantity and its unit.
    pub claim: String,
    /// The published number; `None` if nothing is claimed.
    pub claimed: Option<String>,
    /// The recomputed number.
    pub recomputed: Option<String>,
    /// Recomputed minus claimed.
    pub difference: Option<String>,
    /// The verdict about the claim.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Verdict {
    /// Returns whether the claim was checked. A search that found no network is no check.
    pub fn is_of_a_check(&self) -> bool {
        !matches!(self, Self::NotFound | Self::NotComparable { .. } | Self::NotChecked { .. })
    }

    fn text(&self) -> String {
        match self {
            Self::Agrees => "agrees".to_owned(),
            Self::Differs => "DIFFERS".to_owned(),
            Self::Reachable => "reachable".to_owned(),
            Self::NotFound => "no network found, which proves nothing".to_owned(),
            Self::NotComparable { why } => format!("not comparable: {why}"),
            Self::NotChecked { why } => format!("not checked: {why}"),
        }
    }
}

/// Formats the findings as a table.
pub fn table(findings: &[Finding]) -> String {
    let mut columns = Columns::new(&["model", "claim", ">claimed", ">recomputed", ">difference", "verdict"]);
    for finding in findings {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        columns.row([
            finding.model.clone(),
            finding.claim.clone(),
            or_dash(&finding.claimed),
            or_dash(&finding.recomputed),
            or_dash(&finding.difference),
            finding.verdict.text(),
        ]);
    }
    columns.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verdict_that_shows_something_is_of_a_check() {
        let why = || "why".to_owned();
        assert!([Verdict::Agrees, Verdict::Differs, Verdict::Reachable].iter().all(Verdict::is_of_a_check));
        let others = [Verdict::NotFound, Verdict::NotComparable { why: why() }, Verdict::NotChecked { why: why() }];
        assert!(!others.iter().any(Verdict::is_of_a_check));
    }
}
