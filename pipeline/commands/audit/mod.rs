//! `audit`: verifies a published folder, a weights file, or published numbers.

mod applicable;
mod folder;
mod measure;
mod replay;

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::MultiProgress;
use serde_json::{Value, json};
use tfnas::ModelConfig;
use tfnas_planner::config::nearest;
use tfnas_planner::network_file::ConfigFile;
use tfnas_publication::audit::{Checks, Verdict as AuditVerdict, check_weights};
use tfnas_publication::claims::{
    Accuracy, Claims, Finding, ModelClaims, Verdict, Witness, check_network, find_reachable, look_up_accuracy, table,
};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::store_to_read;

/// Verify a published network or published numbers, and list what was not verified
///
/// `audit DIR` verifies a folder that `publish` wrote, level by level. L0: the files match the manifest. L1: the key given
/// with --key signed them. L2: the lineage is complete. L3: everything that can be recomputed from the files matches. With
/// --replay, L4: the test gives the same result. L5: other stages give the same results. The exit code is 0 if everything matches,
/// 1 if something was tampered with, and 2 if a requested check could not be made.
///
/// `audit FILE` describes a weights file, and looks for it in this store.
///
/// `audit --claims` compares published numbers with recomputed ones: parameters, multiply-adds, latency by tables, accuracy.
/// With --config it checks one model: its accuracy if this store has tested --weights, and its latency on this machine with
/// --measure. Without --config it searches the space of each model for a network with the claimed multiply-adds and
/// latencies, and prints one. The exit code is 0 if nothing differs, 1 if something does, and 2 if nothing could be checked.
#[derive(Args, Debug)]
pub struct Audit {
    /// A folder that `publish` made, or a file with weights: .pth.tar or safetensors
    #[arg(value_name = "DIR|FILE", required_unless_present = "claims")]
    path: Option<PathBuf>,

    #[command(flatten)]
    folder: folder::FolderOptions,

    /// The claims to check: tf-nas (built in), or a file in the format of zoo/tf-nas.yaml
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "path")]
    claims: Option<String>,

    /// The model of the claims [default: all of them]
    #[arg(long, value_name = "NAME", requires = "claims")]
    model: Option<String>,

    /// The model's model.config
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The model's weights (.pth.tar or safetensors), to check that they fit the network; the accuracy is that of a test of
    /// them in this store
    #[arg(long, value_name = "FILE", requires = "config")]
    weights: Option<PathBuf>,

    /// Where the weights are in their file: keys joined by dots (model_ema.module) [default: found by the names of
    /// the tensors]
    #[arg(long, value_name = "KEY")]
    weights_key: Option<String>,

    #[command(flatten)]
    measure: measure::Measure,

    /// The worker's program, for a replay or a measurement [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,

    /// The seed of the search for a network, without --config [default: 0]
    #[arg(long)]
    seed: Option<u64>,
}

impl Audit {
    pub fn execute(&self, options: &Options, bars: MultiProgress) -> Result<Exit, CommandError> {
        self.check_options(options)?;
        match (&self.path, &self.claims) {
            (Some(path), None) if path.is_dir() && self.config.is_some() => Err(CommandError::usage(format!(
                "{} is a folder, which has its own model.config: --config is of a file with weights",
                path.display()
            ))),
            (Some(path), None) if path.is_dir() => {
                let asked = folder::Asked { folder: &self.folder, worker: self.worker.as_deref(), options };
                folder::audit(path, &asked, bars)
            }
            (Some(path), Some(_)) if path.is_dir() => Err(CommandError::usage(format!(
                "{} is a folder: --claims are of numbers, or of a file with weights",
                path.display()
            ))),
            (Some(path), claims) => {
                let config = self.config.as_deref().map(ConfigFile::read).transpose()?;
                // Here, `--config` is a `model.config`, so the store is not next to it.
                let cache = store_to_read(&Options { config: None, ..options.clone() })?;
                let config = config.as_ref().map(|file| &file.config);
                let checks = check_weights(path, config, self.weights_key.as_deref(), &cache)?;
                match claims {
                    Some(claims) => self.numbers(claims, Some((path, checks)), options),
                    None => {
                        if options.json {
                            print_json(&checks.to_json());
                        } else {
                            print(&checks.to_string());
                        }
                        Ok(exit(checks.verdict()))
                    }
                }
            }
            (None, Some(claims)) => self.numbers(claims, None, options),
            (None, None) => Err(CommandError::usage("name a folder, a file with weights, or --claims")),
        }
    }

    /// Prints a finding for each claim of `file`, after the checks of the weights file if one was given.
    fn numbers(
        &self,
        file: &str,
        checked: Option<(&PathBuf, Checks)>,
        options: &Options,
    ) -> Result<Exit, CommandError> {
        if self.config.is_some() && self.model.is_none() {
            return Err(CommandError::usage("--config needs --model, the claimed model"));
        }
        let claims = Claims::read(file)?;
        let models = self.models(file, &claims)?;
        let checked_file = checked.as_ref().map(|(path, _)| path.as_path());
        let config = self.network(checked_file, options)?;
        let mut findings = Vec::new();
        let mut witnesses = Vec::new();
        let resolution = claims.space.definition().resolution;
        for (name, model) in models {
            let tables = model.tables()?;
            match &config {
                Some((config, accuracy)) => {
                    findings.extend(check_network(name, model, config, resolution, &tables, accuracy));
                }
                None => {
                    let reached =
                        find_reachable(name, model, &claims.space, claims.classes, &tables, self.seed.unwrap_or(0))?;
                    findings.extend(reached.findings);
                    witnesses.extend(reached.witness);
                }
            }
            findings.extend(self.measure.check(
                name,
                model,
                self.config.as_deref(),
                self.worker.as_deref(),
                resolution,
                &tables,
            )?);
        }
        let checks = checked.as_ref().map(|(_, checks)| checks);
        print_findings(&claims.source, &findings, &witnesses, checks, options.json);
        let weights_differ = checked.is_some_and(|(_, checks)| checks.verdict() == AuditVerdict::Tampered);
        Ok(if weights_differ || findings.iter().any(|finding| finding.verdict == Verdict::Differs) {
            Exit::Failed
        } else if findings.iter().any(|finding| finding.verdict.is_of_a_check()) {
            Exit::Done
        } else {
            Exit::Usage
        })
    }

    /// Returns the model of `--model`, or all models of the claims, which were read from `file`.
    fn models<'a>(&self, file: &str, claims: &'a Claims) -> Result<Vec<(&'a String, &'a ModelClaims)>, CommandError> {
        let Some(name) = &self.model else { return Ok(claims.models.iter().collect()) };
        let model = claims.models.get_key_value(name).ok_or_else(|| {
            CommandError::usage(format!("{file}: no claims of a model {name:?}"))
                .with_hint(nearest::suggestion(name, claims.models.keys().map(String::as_str)))
        })?;
        Ok(vec![model])
    }

    /// Returns the network of `--config` and its accuracy, if this store has tested `--weights` or else `checked_file`.
    fn network(
        &self,
        checked_file: Option<&Path>,
        options: &Options,
    ) -> Result<Option<(ModelConfig, Accuracy)>, CommandError> {
        let Some(path) = &self.config else { return Ok(None) };
        let weights = self.weights.as_deref().or(checked_file);
        let file = ConfigFile::read(path)?;
        let cache = store_to_read(options)?;
        let accuracy = look_up_accuracy(&file, path, weights, self.weights_key.as_deref(), &cache)?;
        Ok(Some((file.config, accuracy)))
    }
}

/// Prints the findings about claims that were published in `source`, after the checks of a weights file.
fn print_findings(source: &str, findings: &[Finding], witnesses: &[Witness], checks: Option<&Checks>, as_json: bool) {
    if as_json {
        let mut value = json!({ "source": source, "findings": findings, "witnesses": witnesses });
        if let (Some(checks), Value::Object(value)) = (checks, &mut value) {
            value.insert("weights".to_owned(), checks.to_json());
        }
        print_json(&value);
        return;
    }
    if let Some(checks) = checks {
        print(&format!("{checks}\n"));
    }
    let witnesses: String = witnesses.iter().map(|witness| format!("\n{witness}")).collect();
    print(&format!("{source}\n\n{}{witnesses}", table(findings)));
}

/// Returns the exit code for a verdict.
fn exit(verdict: AuditVerdict) -> Exit {
    match verdict {
        AuditVerdict::Ok => Exit::Done,
        AuditVerdict::Tampered => Exit::Failed,
        AuditVerdict::Unchecked => Exit::Usage,
    }
}
