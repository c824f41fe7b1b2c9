use std::fmt;

use serde::Serialize;
use tfnas::cost::{flops, parameters};
use tfnas::{Architecture, LatencyTable, ModelConfig, Space};

use super::claim_search::{Claimed, find_network};
use super::finding::{Finding, Verdict};
use super::{Decimal, ModelClaims};
use crate::PublicationError;

/// A network that has the claimed numbers of a model.
#[derive(Debug, Serialize)]
pub struct Witness {
    model: String,
    /// One line for each block.
    architecture: Vec<String>,
    parameters: u64,
    multiply_adds: u64,
}

/// The result of a search for a network with the claimed numbers.
pub struct Reached {
    /// One finding for each claim.
    pub findings: Vec<Finding>,
    /// The network, if one was found.
    pub witness: Option<Witness>,
}

/// Searches the space for a network with the multiply-adds and latencies that are claimed for a model. Every other claim
/// gets a finding that says why it was not checked.
///
/// # Errors
/// Returns an error if a table does not cover the space.
pub fn find_reachable(
    name: &str,
    model: &ModelClaims,
    space: &Space,
    classes: usize,
    tables: &[(String, LatencyTable)],
    seed: u64,
) -> Result<Reached, PublicationError> {
    let not_checked = |claim: String, claimed: &Decimal, why: &str| Finding {
        model: name.to_owned(),
        claim,
        claimed: Some(claimed.to_string()),
        recomputed: None,
        difference: None,
        verdict: Verdict::NotChecked { why: why.to_owned() },
    };
    let parameters_claim = model.parameters_m.as_ref();
    let mut findings: Vec<Finding> = parameters_claim
        .map(|claimed| not_checked("parameters (M)".to_owned(), claimed, "no model.config was given: --config"))
        .into_iter()
        .collect();
    let Some(multiply_adds) = model.multiply_adds_m.as_ref() else {
        let why = "without claimed multiply-adds no network is searched; no model.config was given: --config";
        for (table_name, _) in tables {
            findings.push(not_checked(by_table(table_name), &model.latency_ms[table_name], why));
        }
        findings.extend(model.not_checked(name, "no model.config was given: --config"));
        return Ok(Reached { findings, witness: None });
    };
    let latencies: Vec<(&LatencyTable, Claimed)> =
        tables.iter().map(|(table, latency)| (latency, model.latency_ms[table].claimed(1.0))).collect();
    let failed = |error: String| PublicationError::usage(format!("{name}: {error}"));
    let network = find_network(space, classes, multiply_adds.claimed(1e6), &latencies, seed)
        .map_err(|error| failed(error.to_string()))?;
    let config = network.as_ref().map(|network| ModelConfig::from_architecture(space, network, classes));
    let config = config.transpose().map_err(|error| failed(error.to_string()))?;
    let resolution = space.definition().resolution;

    let row = |claim: String, claimed: &Decimal, unit: f64, found: Option<f64>| Finding {
        model: name.to_owned(),
        claim,
        claimed: Some(claimed.to_string()),
        recomputed: found.map(|found| claimed.alike(found / unit)),
        difference: None,
        verdict: if found.is_some() { Verdict::Reachable } else { Verdict::NotFound },
    };
    let counted = config.as_ref().map(|config| flops(config, resolution) as f64);
    findings.push(row("multiply-adds (M)".to_owned(), multiply_adds, 1e6, counted));
    for (table_name, table) in tables {
        let ms = network.as_ref().map(|network| table.architecture_ms(space, network)).transpose();
        let ms = ms.map_err(|error| failed(error.to_string()))?;
        findings.push(row(by_table(table_name), &model.latency_ms[table_name], 1.0, ms));
    }
    findings.extend(model.not_checked(name, "no weights and images were given"));
    let witness = network.zip(config).map(|(network, config)| Witness {
        model: name.to_owned(),
        architecture: blocks(space, &network),
        parameters: parameters(&config),
        multiply_adds: flops(&config, resolution),
    });
    Ok(Reached { findings, witness })
}

/// Returns the name of the claim of a latency by a table.
fn by_table(table_name: &str) -> String {
    format!("ms by {table_name}")
}

fn blocks(space: &Space, network: &Architecture) -> Vec<String> {
    let block = |(block, choice): (&tfnas::Block, tfnas::Choice)| {
        format!("{} {} width {}", block.name(), space.operations()[choice.operation].name(), choice.width)
    };
    network.choices(space).map(block).collect()
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a network with the numbers of {} ({} parameters):", self.model, self.parameters)?;
        self.architecture.iter().try_for_each(|block| writeln!(f, "  {block}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn findings(model: &str) -> Vec<(String, Verdict)> {
        let model: ModelClaims = serde_json::from_str(model).unwrap();
        let reached = find_reachable("M", &model, &Space::imagenet(), 1000, &model.tables().unwrap(), 0).unwrap();
        reached.findings.into_iter().map(|finding| (finding.claim, finding.verdict)).collect()
    }

    #[test]
    fn claims_without_a_network_are_listed_as_not_checked() {
        let found = findings(r#"{"parameters_m": "5.3", "latency_ms": {"titan-rtx-b32": "18.03"}, "top1": "76"}"#);
        let claims: Vec<&str> = found.iter().map(|(claim, _)| claim.as_str()).collect();
        assert_eq!(claims, ["parameters (M)", "ms by titan-rtx-b32", "top-1 (%)"]);
        assert!(found.iter().all(|(_, verdict)| matches!(verdict, Verdict::NotChecked { .. })), "{found:?}");
    }

    #[test]
    fn parameters_are_not_checked_by_the_search() {
        let found = findings(r#"{"parameters_m": "5.3", "multiply_adds_m": "300"}"#);
        assert!(matches!(&found[0], (claim, Verdict::NotChecked { .. }) if claim == "parameters (M)"), "{found:?}");
        assert_eq!(found[1], ("multiply-adds (M)".to_owned(), Verdict::Reachable));
    }
}
