//! The section on the search.

use tfnas_stages::{SearchEpoch, finite};

use super::curves::{Curve, Words, figure};
use super::search_choices::{Names, depths, operations, over_time};
use super::search_probabilities::probabilities;
use crate::chart::{Guide, Unit};
use crate::network::Network;
use crate::section::{Figure, Part, Section};
use crate::text::{counted, ms, percent};

/// Returns the section on the search; `None` without a search.
pub fn search(network: &Network) -> Option<Section> {
    let (result, history) = (network.search.get(), network.history.get());
    if result.is_none() && history.is_none() {
        return None;
    }
    let names = Names::new(network.space.as_ref(), result);
    let mut section = Section::new(&network.id("search"), &network.heading("Search"));
    if let Some(history) = history {
        section.parts.push(Part::Text(words(history, result.is_none())));
    }
    let mut choices: Vec<Figure> = Vec::new();
    if let Some(result) = result {
        choices.extend(operations(network.id("operations"), result, &names));
        choices.extend(depths(network.id("depths"), result));
    }
    if !choices.is_empty() {
        section.parts.push(Part::Grid(choices));
    }
    if let Some(history) = history {
        section.parts.extend(probabilities(network, history, &names));
        section.parts.extend(over_time(network.id("operations-over-epochs"), history, &names).map(Part::Wide));
        section.parts.push(Part::Grid(curves(network, history)));
    }
    Some(section)
}

/// `unfinished` says that the search has no result yet.
fn words(history: &[SearchEpoch], unfinished: bool) -> String {
    let warm_up = history.iter().take_while(|epoch| epoch.architecture_loss.is_none()).count();
    let Some(last) = history.last() else { return "The search recorded no epoch.".to_owned() };
    let entropy = finite(last.operation_entropy).map(|entropy| {
        let verdict = match entropy {
            entropy if entropy > 0.98 => {
                "the search did not converge: operation probabilities are still close to uniform"
            }
            entropy if entropy > 0.5 => "several operations are still likely in many blocks",
            _ => "most blocks clearly prefer one operation",
        };
        let when = if unfinished { "so far" } else { "at the end" };
        format!(" The mean entropy of the operations is {} of its maximum {when}: {verdict}.", percent(entropy))
    });
    let latency = finite(last.after_lat_ms)
        .map(|latency| format!(" The predicted latency of the last epoch's architecture is {}.", ms(latency)));
    format!(
        "Searched for {}{}, of which {} were warm-up epochs that train only the weights.{}{}",
        counted(history.len(), "epoch"),
        if unfinished { " so far" } else { "" },
        warm_up.min(history.len()),
        entropy.unwrap_or_default(),
        latency.unwrap_or_default()
    )
}

fn curves(network: &Network, history: &[SearchEpoch]) -> Vec<Figure> {
    let curve = |name, value: fn(&SearchEpoch) -> Option<f64>| Curve {
        name,
        values: history.iter().map(|epoch| (epoch.epoch, value(epoch))).collect(),
    };
    let words = |name: &str, title, axis, note| Words { id: network.id(name), title, axis, note };
    let warm_up = history.iter().take_while(|epoch| epoch.architecture_loss.is_none()).count();
    let guides = || {
        let band = Guide::Band(1.0, warm_up as f64 + 0.5, "warm-up".to_owned());
        if (1..history.len()).contains(&warm_up) { vec![band] } else { Vec::new() }
    };
    let target = network.target_ms().filter(|target| target.is_finite());
    let mut with_target = guides();
    with_target.extend(target.map(|target| Guide::Horizontal(target, format!("target {}", ms(target)))));
    let figures = [
        figure(
            words(
                "search-latency",
                "Latency against the target",
                "latency by the table, ms",
                "Expected: mean over the probabilities. Parsed: the architecture of the epoch, before and after fitting its widths.",
            ),
            Unit::Plain,
            &[
                curve("expected", |epoch| epoch.expected_lat_ms),
                curve("parsed", |epoch| finite(epoch.before_lat_ms)),
                curve("fitted", |epoch| finite(epoch.after_lat_ms)),
            ],
            target.as_slice(),
            with_target,
        ),
        figure(
            words(
                "search-entropy",
                "Entropy and agreement",
                "%",
                "Entropy: 100 % if all operations are equally probable. Agreement: fraction of blocks with the same operation as in the previous epoch.",
            ),
            Unit::Percent,
            &[curve("entropy", |epoch| finite(epoch.operation_entropy)), curve("agreement", |epoch| epoch.agreement)],
            &[0.0, 1.0],
            guides(),
        ),
        figure(
            words(
                "search-loss",
                "Losses",
                "cross-entropy",
                "After the warm-up, the loss of the weights is a sum over two sampled paths.",
            ),
            Unit::Plain,
            &[
                curve("weights", |epoch| finite(epoch.train_loss)),
                curve("architecture", |epoch| epoch.architecture_loss),
            ],
            &[],
            guides(),
        ),
        figure(
            words("search-top-1", "Accuracy of sampled paths", "top-1, %", ""),
            Unit::Percent,
            &[curve("training", |epoch| finite(epoch.train_top1)), curve("validation", |epoch| epoch.val_top1)],
            &[0.0],
            guides(),
        ),
        figure(
            words("search-temperature", "Temperature", "temperature of the Gumbel softmax", ""),
            Unit::Plain,
            &[curve("temperature", |epoch| finite(epoch.temperature))],
            &[0.0],
            guides(),
        ),
        figure(
            words("search-rate", "Learning rate of the weights", "learning rate", ""),
            Unit::Plain,
            &[curve("learning rate", |epoch| finite(epoch.lr))],
            &[0.0],
            guides(),
        ),
    ];
    figures.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::Output;

    fn html(history: &str, search: &str) -> String {
        let network = Network {
            history: Output::from_json(history.as_bytes()),
            search: Output::from_json(search.as_bytes()),
            ..Network::default()
        };
        search_html(&network)
    }

    fn search_html(network: &Network) -> String {
        search(network).map(|section| section.html().into_string()).unwrap_or_default()
    }

    #[test]
    fn one_epoch_without_a_space_is_drawn() {
        let history = r#"[{"epoch": 0, "train_loss": 2.0, "operation_entropy": 1.0, "architecture": [[{"operation": 1, "width": 8}]]}]"#;
        let html = html(history, r#"{"log_alphas": [[-0.7, -0.7]], "betas": [[0.0]], "widths": []}"#);
        for text in
            ["Searched for 1 epoch, of which 1 were warm-up", "did not converge", "stage1.block1", "operation 2"]
        {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("NaN"));
    }

    #[test]
    fn a_search_under_way_is_described_as_such() {
        let history = r#"[{"epoch": 0, "train_loss": 2.0, "operation_entropy": 0.7, "operations": [[0.25, 0.75]], "depths": [[1.0]]}]"#;
        let network = Network { history: Output::from_json(history.as_bytes()), ..Network::default() };
        let html = search_html(&network);
        for text in
            ["Searched for 1 epoch so far", "of its maximum so far", "Probabilities of the operations over epochs"]
        {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("earlier release"));
    }

    #[test]
    fn a_diverged_search_has_gaps() {
        let html = html("[]", r#"{"log_alphas": [[null, null]], "betas": [[null]], "widths": []}"#);
        assert!(html.contains("no epoch") && !html.contains("NaN"), "{html}");
        assert!(search_html(&Network::default()).is_empty());
    }
}
