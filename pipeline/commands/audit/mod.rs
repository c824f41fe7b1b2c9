//! `audit --claims`: what published numbers say of models, held to what can be recomputed.

mod claims;
mod finding;
mod measured;
mod network;
mod reach;
mod tested;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tfnas::LatencyTable;

use crate::commands::audit::claims::Claims;
use crate::commands::audit::finding::{Verdict, table};
use crate::config::{nearest, space_named};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::network_file::ConfigFile;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::table as latency;

/// Holds published numbers to what can be recomputed: parameters, multiply-adds, latency by tables, accuracy
///
/// With --config one model is checked claim by claim, its accuracy where --weights were tested in this store, its latency on this
/// machine where --measure asks for it. Without --config, each model is asked whether its space holds any network
/// with the multiply-adds and all latencies that are claimed, and one is shown. The exit code is 0 when nothing differs, 1 when
/// something does, 2 when nothing could be checked.
#[derive(Args, Debug)]
pub struct Audit {
    /// The claims: tf-nas, or a file written as zoo/tf-nas.yaml is
    #[arg(long, value_name = "NAME|FILE")]
    claims: String,

    /// The model of the claims; without it all of them
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// The model's model.config
    #[arg(long, value_name = "FILE", requires = "model")]
    config: Option<PathBuf>,

    /// The model's weights, .pth.tar or safetensors: they must fit, and a test of them in this store tells their accuracy
    #[arg(long, value_name = "FILE", requires = "config")]
    weights: Option<PathBuf>,

    #[command(flatten)]
    measure: measured::Measure,

    /// Where the search for a network begins, without --config
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// The tables that claims name, with their names.
type Tables = Vec<(String, LatencyTable)>;

impl Audit {
    /// Prints a finding for each claim.
    ///
    /// # Errors
    /// Claims, a table, a space or a model.config that cannot be read; a model that the claims do not know.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let claims = Claims::read(&self.claims)?;
        let space = space_named(&claims.space)?;
        let models: Vec<_> = match &self.model {
            None => claims.models.iter().collect(),
            Some(name) => vec![claims.models.get_key_value(name).ok_or_else(|| {
                CommandError::usage(format!("{}: no claims of a model {name:?}", self.claims))
                    .with_hint(nearest::suggestion(name, claims.models.keys().map(String::as_str)))
            })?],
        };
        let config = match &self.config {
            None => None,
            Some(path) => {
                let file = ConfigFile::read(path)?;
                let accuracy = tested::look_up(&file, path, self.weights.as_deref(), options)?;
                Some((file.config, accuracy))
            }
        };
        let mut findings = Vec::new();
        let mut witnesses = Vec::new();
        let resolution = space.definition().resolution;
        for (name, model) in models {
            let tables = tables(model)?;
            match &config {
                Some((config, accuracy)) => {
                    findings.extend(network::check(name, model, config, resolution, &tables, accuracy));
                }
                None => {
                    let reached = reach::check(name, model, &space, claims.classes, &tables, self.seed)?;
                    findings.extend(reached.findings);
                    witnesses.extend(reached.witness);
                }
            }
            findings.extend(self.measure.check(name, model, self.config.as_deref(), resolution, &tables)?);
        }
        if options.json {
            print_json(&json!({ "source": claims.source, "findings": findings, "witnesses": witnesses }));
        } else {
            let witnesses: String = witnesses.iter().map(|witness| format!("\n{witness}")).collect();
            print(&format!("{}\n\n{}{witnesses}", claims.source, table(&findings)));
        }
        Ok(if findings.iter().any(|finding| finding.verdict == Verdict::Differs) {
            Exit::Failed
        } else if findings.iter().any(|finding| finding.verdict.is_of_a_check()) {
            Exit::Done
        } else {
            Exit::Usage
        })
    }
}

/// The tables by which a model's latencies are claimed: published ones by name, others by file.
fn tables(model: &claims::ModelClaims) -> Result<Tables, CommandError> {
    let read = |name: &String| {
        let table = match name.as_str() {
            "titan-rtx-b32" => LatencyTable::titan_rtx(),
            "xeon-gold-6130-b1" => LatencyTable::xeon_gold_6130(),
            file => latency::read(Path::new(file), || latency::named_after(Path::new(file)))?,
        };
        Ok((name.clone(), table))
    };
    model.latency_ms.keys().map(read).collect()
}

/// The claims that need images, or the device of the claim, of which nothing can be said from a model.config alone.
fn not_from_a_config(name: &str, model: &claims::ModelClaims, why: &str) -> Vec<finding::Finding> {
    let accuracies = [("top-1 (%)", &model.top1), ("top-5 (%)", &model.top5)];
    let claimed = accuracies.into_iter().filter_map(|(claim, accuracy)| Some((claim, accuracy.as_ref()?)));
    let not_checked = |(claim, accuracy): (&str, &claims::Decimal)| finding::Finding {
        model: name.to_owned(),
        claim: claim.to_owned(),
        claimed: Some(accuracy.to_string()),
        recomputed: None,
        difference: None,
        verdict: Verdict::NotChecked { why: why.to_owned() },
    };
    claimed.map(not_checked).collect()
}
