//! Groups the attempts of a run by network: those that a network was made from, and those that were made from it.

use std::collections::BTreeSet;

use tfnas_artifacts::{Attempt, Cache, Run};
use tfnas_fs::read_limited;
use tfnas_report::{Network, Output};
use tfnas_stages::{Stage, StageOutput};

use super::mistakes::mistakes;
use super::{Images, Part, live};
use crate::epoch_metrics::space_of;
use crate::report::closure;

/// The stages that networks are identified by, in order of preference. The first one with a result is used.
const ANCHORS: [Stage; 6] = [Stage::Parse, Stage::Train, Stage::Test, Stage::Select, Stage::Search, Stage::Lookup];
/// Maximum size of an output that a page shows.
const MAX_OUTPUT: u64 = 64 << 20;

/// The results of a run, also unfinished ones, and their dependencies.
struct Results<'a> {
    run: &'a Run,
    images: Images,
    done: Vec<&'a Part>,
    closures: Vec<BTreeSet<usize>>,
}

/// Returns the networks of a run: one for each target of a matrix.
pub fn networks(cache: &Cache, run: &Run, parts: &[Part], images: Images) -> Vec<Network> {
    let done: Vec<&Part> = parts.iter().filter(|part| part.is_shown()).collect();
    let attempts: Vec<&Attempt> = done.iter().map(|part| &part.attempt).collect();
    let closures = (0..done.len()).map(|position| closure(&attempts, position)).collect();
    let results = Results { run, images, done, closures };
    let anchors = ANCHORS.into_iter().map(|stage| results.of(stage)).find(|anchors| !anchors.is_empty());
    let anchors = anchors.unwrap_or_default();
    let mut networks: Vec<Network> = anchors.into_iter().map(|anchor| network(cache, &results, anchor)).collect();
    tell_apart(&mut networks);
    networks
}

/// Labels networks by their targets if there are several and a label is missing. This happens if a list reuses results
/// that were made before there was a list.
fn tell_apart(networks: &mut [Network]) {
    if networks.len() < 2 {
        return;
    }
    for (index, network) in networks.iter_mut().enumerate().filter(|(_, network)| network.label.is_empty()) {
        network.label = match network.target_ms() {
            Some(target) => format!("{target}"),
            None => format!("network {}", index + 1),
        };
    }
}

impl<'a> Results<'a> {
    /// Returns the indices of the results of a stage.
    fn of(&self, stage: Stage) -> Vec<usize> {
        (0..self.done.len()).filter(|position| self.done[*position].stage() == Some(stage)).collect()
    }

    /// Returns the result of a stage that the result `to` was made from, or that was made from it. If there are
    /// several, prefers the one with the same label.
    fn related(&self, to: usize, stage: Stage) -> Option<&'a Part> {
        let mut related = self.of(stage);
        related.retain(|other| self.closures[to].contains(other) || self.closures[*other].contains(&to));
        let same = related.iter().find(|other| self.done[**other].label() == self.done[to].label());
        same.or(related.first()).map(|other| self.done[*other])
    }
}

fn network(cache: &Cache, results: &Results<'_>, anchor: usize) -> Network {
    let related = |stage: Stage| results.related(anchor, stage);
    let parse = related(Stage::Parse);
    let measured = parse.and_then(|parse| serde_json::from_value(parse.attempt.metrics.clone()).ok());
    Network {
        label: results.done[anchor].label().to_owned(),
        space: Stage::ALL.iter().filter_map(|stage| related(*stage)).find_map(|part| space_of(&part.attempt)),
        lookup: read(cache, &related),
        search: read(cache, &related),
        history: read(cache, &related),
        select: read(cache, &related),
        architecture: read(cache, &related),
        measured,
        train: read(cache, &related),
        test: read(cache, &related),
        mistakes: match results.images {
            Images::Shown => mistakes(cache, results.run, related(Stage::Test)),
            Images::LeftOut => Output::Absent,
        },
    }
}

/// Reads a JSON output from the stage that writes it.
fn read<'a, O: StageOutput>(cache: &Cache, related: &dyn Fn(Stage) -> Option<&'a Part>) -> Output<O> {
    let Some(part) = related(O::STAGE) else { return Output::Absent };
    if !part.is_done() {
        return live::output(part);
    }
    let Some(output) = part.attempt.output(O::FILE) else { return Output::Absent };
    let path = match cache.open_verified(&output.digest) {
        Ok(path) => path,
        Err(error) => return Output::Unreadable(error.to_string()),
    };
    match read_limited(&path, MAX_OUTPUT) {
        Ok(bytes) => Output::from_json(&bytes),
        Err(error) => Output::Unreadable(error.to_string()),
    }
}
