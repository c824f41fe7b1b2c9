//! `publish`: writes a run to a folder that anybody can verify.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tfnas_attestations::keys::SigningKey;
use tfnas_planner::config::Configuration;
use tfnas_publication::Overlap;
use tfnas_publication::publish::{FolderWriter, choose, gather};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::print_json;
use crate::session::store_to_read;

/// Write a run to a folder that others can verify: weights, network, provenance, model card
///
/// The run must have a result of every stage, and its images must be where the configuration expects them. The folder
/// appears completely or not at all. It contains no name of a machine or user and no absolute path, and the same run
/// results in the same bytes. With --sign-key it carries an OpenSSF Model Signing bundle and an in-toto Statement in a
/// DSSE envelope. `audit` checks it.
#[derive(Args, Debug)]
pub struct Publish {
    /// A run's number or name, or `latest`; if a run tested several networks, an instance (test@12, or 3/test@12 of run 3)
    #[arg(value_name = "RUN")]
    run: String,

    /// The folder to write; it must not exist, or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Sign the folder with this private key (create one with `keys generate`)
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,

    /// The name of the model in the model card [default: made from the target latency]
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// The license of the weights, as SPDX names it (MIT, CC-BY-4.0)
    #[arg(long, value_name = "ID")]
    license: Option<String>,

    /// Publish even if images are in several of the training, validation and test lists; the model card reports how
    /// many
    #[arg(long)]
    allow_overlap: bool,
}

impl Publish {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        self.check_license()?;
        self.check_name()?;
        let writer = FolderWriter::to(&self.out)?;
        let key = self
            .sign_key
            .as_deref()
            .map(SigningKey::read)
            .transpose()
            .map_err(|error| CommandError::usage(error.to_string()).with_hint("`keys generate` creates a key"))?;
        let cache = store_to_read(options)?;
        let chosen = choose(&cache, &self.run)?;
        let gathered = gather(&cache, &chosen, &Configuration::load(options.config.as_deref(), &options.sets)?)?;
        if let Some(overlap) = gathered.contents.data.overlaps.iter().find(|overlap| !overlap.is_none()) {
            self.overlap(overlap)?;
        }
        let target = gathered.contents.architecture.target_lat_ms;
        let name = self.name.clone().unwrap_or_else(|| format!("TF-NAS, target {target:.3} ms"));
        let written = writer.write(&gathered, &name, self.license.as_deref(), key.as_ref())?;
        let signed = key.map(|key| key.public().fingerprint().to_string());
        let by = signed.as_ref().map_or_else(|| "unsigned".to_owned(), |by| format!("signed by {by}"));
        tracing::info!(
            "published {} of run {} to {} ({} files, {by})",
            chosen.id(),
            chosen.run,
            self.out.display(),
            written.files
        );
        if options.json {
            print_json(&json!({
                "folder": self.out.display().to_string(),
                "run": chosen.run,
                "id": chosen.id(),
                "files": written.files,
                "manifest_sha256": written.manifest.to_string(),
                "signed_by": signed,
            }));
        }
        Ok(Exit::Done)
    }

    fn check_license(&self) -> Result<(), CommandError> {
        let plain = |id: &str| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'))
        };
        match &self.license {
            Some(id) if !plain(id) => Err(CommandError::usage(format!("--license {id}: not an SPDX identifier"))
                .with_hint("use an identifier such as MIT, Apache-2.0 or CC-BY-4.0")),
            _ => Ok(()),
        }
    }

    /// Checks that the name is one line of text, because it is a line of the model card.
    fn check_name(&self) -> Result<(), CommandError> {
        match self.name.as_deref() {
            Some(name) if name.trim().is_empty() => Err(CommandError::usage("--name: the name is empty")),
            Some(name) if name.chars().any(char::is_control) => {
                Err(CommandError::usage(format!("--name {name:?}: the name contains control characters"))
                    .with_hint("name the model with one line of text"))
            }
            _ => Ok(()),
        }
    }

    fn overlap(&self, overlap: &Overlap) -> Result<(), CommandError> {
        let Overlap { a, b, by_name, by_content, first } = overlap;
        let message =
            format!("{a} and {b} share images: {by_content} by content, {by_name} by name, first {}", first.join(", "));
        if self.allow_overlap {
            tracing::warn!("{message}");
            return Ok(());
        }
        Err(CommandError::usage(message)
            .with_hint("remove them and run again, or publish with --allow-overlap, which the model card reports"))
    }
}
