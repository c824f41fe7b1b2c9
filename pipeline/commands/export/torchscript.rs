use std::num::NonZeroUsize;
use std::path::Path;

use tfnas_executor::query_worker;
use tfnas_stages::{Request, TorchScriptRequest};

use super::deliver::Delivery;
use super::network::Network;
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
    let resolution = NonZeroUsize::new(network.resolution);
    let resolution = resolution.ok_or_else(|| CommandError::failed("the network has a resolution of 0"))?;
    let request =
        TorchScriptRequest { config: network.config_file.clone(), weights, resolution, fold, output: delivery.aside() };
    query_worker(worker, &Request::TorchScript(request))?;
    Ok(())
}
