use serde::Serialize;
use tfnas_humanize::Columns;

/// What became of one claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// Recomputed, it is what was claimed.
    Agrees,
    /// Recomputed, it is something else.
    Differs,
    /// The space holds a network of which all that is claimed here is true together.
    Reachable,
    /// No such network was found, which proves nothing.
    NotFound,
    /// A number was found, of which the claim says nothing.
    NotComparable {
        /// Why.
        why: String,
    },
    /// Nothing was recomputed.
    NotChecked {
        /// Why.
        why: String,
    },
}

/// One claim, and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The model.
    pub model: String,
    /// What is claimed of it, with its unit.
    pub claim: String,
    /// The number as published; none where there is a check without a claim.
    pub claimed: Option<String>,
    /// The number as recomputed.
    pub recomputed: Option<String>,
    /// Recomputed minus claimed.
    pub difference: Option<String>,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Verdict {
    /// Whether the claim was held to something.
    pub fn is_of_a_check(&self) -> bool {
        !matches!(self, Self::NotComparable { .. } | Self::NotChecked { .. })
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

/// The findings as a table.
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
