use std::path::Path;
use std::process::{Command, Stdio};

use super::deliver::Delivery;
use super::network::Network;
use super::preprocessing::batch_norm;
use crate::error::CommandError;
use crate::execute::describe_death;
use crate::machine::build;

/// Lets the worker, which has libtorch, write the network as a TorchScript file.
///
/// # Errors
/// A worker that cannot be started, fails, or dies.
pub fn write(worker: &Path, network: &Network, fold: bool, delivery: &Delivery) -> Result<(), CommandError> {
    let weights = match &network.converted {
        None => network.weights_file.clone(),
        Some(bytes) => {
            let path = delivery.scratch("weights.safetensors");
            delivery.write_at(&path, bytes)?;
            path
        }
    };
    let ended = Command::new(worker)
        .args(["torchscript", build::VERSION])
        .arg(&network.config_file)
        .arg(weights)
        .arg(network.resolution.to_string())
        .arg(batch_norm(fold))
        .arg(delivery.aside())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| CommandError::failed(format!("cannot start {}: {error}", worker.display())))?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim();
    // The worker's own words, where it has not died without any.
    Err(CommandError::failed(match ended.status.code() {
        Some(_) if !said.is_empty() => said.to_owned(),
        _ => format!("{}\n{said}", describe_death(ended.status, false, None)).trim().to_owned(),
    }))
}
