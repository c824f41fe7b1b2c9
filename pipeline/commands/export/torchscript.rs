use std::path::Path;

use tfnas_executor::query_worker;

use super::deliver::Delivery;
use super::network::Network;
use super::preprocessing::batch_norm;
use crate::error::CommandError;

/// Makes the worker, which links libtorch, write the network as a TorchScript file.
pub fn write(worker: &Path, network: &Network, fold: bool, delivery: &Delivery) -> Result<(), CommandError> {
    let weights = match &network.converted {
        None => network.weights_file.clone(),
        Some(bytes) => {
            let path = delivery.scratch("weights.safetensors");
            delivery.write_at(&path, bytes)?;
            path
        }
    };
    let request = [
        network.config_file.clone().into(),
        weights.into(),
        network.resolution.to_string().into(),
        batch_norm(fold).into(),
        delivery.aside().into(),
    ];
    query_worker(worker, "torchscript", &request)?;
    Ok(())
}
