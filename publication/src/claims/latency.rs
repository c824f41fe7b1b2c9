//! Compares claimed latencies with measurements of the complete network.

use std::collections::BTreeMap;

use tfnas::{LatencyTable, TableHeader};
use tfnas_planner::machine::build;

use super::ModelClaims;
use super::finding::{Finding, Verdict};

/// Relative tolerance of a measurement on the claimed device: the sum of the blocks in a table may differ from the
/// latency of the complete network by this much.
const TOLERANCE: f64 = 0.05;
/// The framework used for measurements.
const FRAMEWORK: &str = "libtorch";

/// Batch size and number of threads of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conditions {
    /// Batch size.
    pub batch: usize,
    /// Number of computing threads.
    pub threads: usize,
}

/// Measured latencies of a complete network.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredLatency {
    /// Model of the device.
    pub device: String,
    /// Median latencies in milliseconds.
    pub median_ms: BTreeMap<Conditions, f64>,
}

/// Compares each claimed latency of a model with a measurement.
///
/// * `tables`: the tables for which latencies are claimed, with their names.
/// * `conditions`: returns the conditions of the measurement for a claim.
/// * `measured`: measurements under these conditions, or why there are none.
pub fn check_latency(
    name: &str,
    model: &ModelClaims,
    tables: &[(String, LatencyTable)],
    conditions: &dyn Fn(&TableHeader) -> Conditions,
    measured: Result<&MeasuredLatency, &str>,
) -> Vec<Finding> {
    let finding = |(table_name, table): &(String, LatencyTable)| {
        let conditions = conditions(table.header());
        let claimed = &model.latency_ms[table_name];
        let (found, verdict) = match measured {
            Err(why) => (None, Verdict::NotChecked { why: why.to_owned() }),
            Ok(measured) => match measured.median_ms.get(&conditions) {
                Some(ms) => (Some(*ms), judged(table.header(), conditions, &measured.device, claimed.value(), *ms)),
                None => (None, Verdict::NotChecked { why: "it was not measured with this load".to_owned() }),
            },
        };
        let Conditions { batch, threads } = conditions;
        Finding {
            model: name.to_owned(),
            claim: format!("ms here, batch {batch}, threads {threads} ({table_name})"),
            claimed: Some(claimed.to_string()),
            recomputed: found.map(|ms| format!("{ms:.4}")),
            difference: found.map(|ms| format!("{:+.4}", ms - claimed.value())),
            verdict,
        }
    };
    tables.iter().map(finding).collect()
}

/// A measurement is only comparable with a claim for the same device, framework, batch size and number of threads.
fn judged(header: &TableHeader, conditions: Conditions, device: &str, claimed: f64, found: f64) -> Verdict {
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut others = Vec::new();
    if !header.device.as_deref().is_some_and(|claimed| same_device(claimed, device)) {
        others.push(format!("another device (of the claim: {}; here: {device})", or_unknown(&header.device)));
    }
    if !header.framework.as_deref().is_some_and(|framework| framework.starts_with(FRAMEWORK)) {
        let here = format!("{FRAMEWORK} {}", build::LIBTORCH);
        others.push(format!("another framework ({}; {here})", or_unknown(&header.framework)));
    }
    if header.batch != Some(conditions.batch) || header.threads != Some(conditions.threads) {
        let number = |number: Option<usize>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
        others.push(format!("another load (batch {}, threads {})", number(header.batch), number(header.threads)));
    }
    if !others.is_empty() {
        Verdict::NotComparable { why: others.join(", ") }
    } else if (found - claimed).abs() <= TOLERANCE * claimed {
        Verdict::Agrees
    } else {
        Verdict::Differs
    }
}

/// Returns whether two names mean the same model of a device. Trademark signs, the vendor, the memory size and the
/// clock are ignored; but if both names contain a clock, it must be the same.
fn same_device(one: &str, other: &str) -> bool {
    let clocks_differ = matches!((clock_ghz(one), clock_ghz(other)), (Some(one), Some(other)) if one != other);
    !clocks_differ && model_words(one) == model_words(other)
}

fn model_words(name: &str) -> Vec<String> {
    const SAY_NOTHING: [&str; 3] = ["cpu", "nvidia", "geforce"];
    let model = name.split([',', '@']).next().unwrap_or_default().to_lowercase().replace("(r)", "").replace("(tm)", "");
    let words = model.split_whitespace().filter(|word| !SAY_NOTHING.contains(word));
    words.map(str::to_owned).collect()
}

fn clock_ghz(name: &str) -> Option<f64> {
    let name = name.to_lowercase();
    let before = name.split_once("ghz")?.0.trim_end();
    let start = before.rfind(|c: char| !c.is_ascii_digit() && c != '.').map_or(0, |last| last + 1);
    before.get(start..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Conditions = Conditions { batch: 1, threads: 1 };

    #[test]
    fn names_of_the_same_device_are_recognized() {
        let claimed = "Intel Xeon Gold 6130, 2.10 GHz";
        assert!(same_device(claimed, "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"));
        assert!(!same_device(claimed, "Intel(R) Xeon(R) Gold 6130 CPU @ 2.60GHz"));
        assert!(!same_device(claimed, "Intel(R) Xeon(R) Gold 6148 CPU @ 2.10GHz"));
        assert!(same_device("NVIDIA Titan RTX, 24 GB", "TITAN RTX"));
        assert!(!same_device("NVIDIA Titan RTX, 24 GB", "Intel(R) Xeon(R) Processor"));
    }

    #[test]
    fn a_measurement_is_only_compared_with_a_claim_for_the_same_conditions() {
        let text = |text: &str| Some(text.to_owned());
        let here = TableHeader {
            device: text("A"),
            batch: Some(1),
            threads: Some(1),
            framework: text("libtorch"),
            ..TableHeader::default()
        };
        assert_eq!(judged(&here, ONE, "A", 10.0, 10.4), Verdict::Agrees);
        assert_eq!(judged(&here, ONE, "A", 10.0, 10.6), Verdict::Differs);
        let not_comparable = |header: TableHeader, why: &str| {
            let verdict = judged(&header, ONE, "A", 10.0, 10.0);
            assert!(matches!(&verdict, Verdict::NotComparable { why: found } if found.contains(why)), "{verdict:?}");
        };
        not_comparable(TableHeader { device: text("B"), ..here.clone() }, "another device (of the claim: B; here: A)");
        not_comparable(TableHeader { framework: text("PyTorch 1.1"), ..here.clone() }, "PyTorch 1.1");
        not_comparable(TableHeader { batch: Some(32), ..here.clone() }, "batch 32");
        not_comparable(TableHeader::default(), "unknown");
    }
}
