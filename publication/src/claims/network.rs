use tfnas::cost::{flops, parameters};
use tfnas::{LatencyTable, ModelConfig};

use super::accuracy::Accuracy;
use super::finding::{Finding, Verdict};
use super::{Decimal, ModelClaims};

/// The unit of the claimed parameters and multiply-adds.
const MILLION: f64 = 1e6;

/// Compares the claims about a model with the numbers of its `model.config`.
///
/// * `resolution`: side of the input images in pixels.
pub fn check_network(
    name: &str,
    model: &ModelClaims,
    config: &ModelConfig,
    resolution: usize,
    tables: &[(String, LatencyTable)],
    accuracy: &Accuracy,
) -> Vec<Finding> {
    let mut findings = vec![
        compare(name, "parameters (M)", model.parameters_m.as_ref(), MILLION, Ok(parameters(config) as f64)),
        compare(
            name,
            "multiply-adds (M)",
            model.multiply_adds_m.as_ref(),
            MILLION,
            Ok(flops(config, resolution) as f64),
        ),
    ];
    for (table_name, table) in tables {
        let found = table.config_ms(config, resolution).map_err(|error| error.to_string());
        findings.push(compare(name, &format!("ms by {table_name}"), model.latency_ms.get(table_name), 1.0, found));
    }
    match accuracy {
        Accuracy::Unknown(why) => findings.extend(model.not_checked(name, why)),
        Accuracy::Tested { top1, top5 } => {
            findings.push(compare(name, "top-1 (%)", model.top1.as_ref(), 1.0, Ok(100.0 * top1)));
            findings.push(compare(name, "top-5 (%)", model.top5.as_ref(), 1.0, Ok(100.0 * top5)));
        }
    }
    findings
}

fn compare(name: &str, claim: &str, claimed: Option<&Decimal>, unit: f64, found: Result<f64, String>) -> Finding {
    let exact = |value: f64| if unit == 1.0 { format!("{value:.4}") } else { format!("{:.3}", value / unit) };
    let (recomputed, difference, verdict) = match (claimed, found) {
        (_, Err(why)) => (None, None, Verdict::NotChecked { why }),
        (None, Ok(found)) => (Some(exact(found)), None, Verdict::NotChecked { why: "nothing is claimed".to_owned() }),
        (Some(claimed), Ok(found)) => {
            let agrees = claimed.claimed(unit).agrees(found);
            let difference = found - claimed.claimed(unit).value;
            let verdict = if agrees { Verdict::Agrees } else { Verdict::Differs };
            (Some(exact(found)), Some(format!("{:+.4}", difference / unit)), verdict)
        }
    };
    Finding {
        model: name.to_owned(),
        claim: claim.to_owned(),
        claimed: claimed.map(Decimal::to_string),
        recomputed,
        difference,
        verdict,
    }
}
