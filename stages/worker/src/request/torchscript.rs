//! Exports a trained network as a TorchScript file, which PyTorch can run without this project.
//!
//! The forward pass of one batch is traced with the weights as constants. So the module has no trainable parameters, and its
//! device is chosen when it is loaded (`map_location`).

use std::fs::{File, read_to_string};

use tch::{CModule, Device, Kind, Tensor};
use tfnas::ModelConfig;
use tfnas_stages::TorchScriptRequest;
use tfnas_torch::Module;
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::device::set_threads;
use tfnas_torch::weights::{load, read_file};

use crate::error::{Context as _, StageError};

/// Class name of the exported module.
const MODULE: &str = "tfnas";
/// Name of the exported method.
const METHOD: &str = "forward";

/// Writes the network to a file.
pub(super) fn export(request: &TorchScriptRequest) -> Result<(), StageError> {
    // The trace computes a single image.
    set_threads(1);
    let text = read_to_string(&request.config).context(request.config.display())?;
    let config = ModelConfig::parse(&text).context(request.config.display())?;
    let network = DerivedNetwork::new(&config, Device::Cpu);
    let tensors = read_file(&request.weights).context("weights")?;
    load(&network, &tensors).context(request.weights.display())?;
    let module = trace(&network, request.resolution.get() as i64, request.fold).context("libtorch")?;
    module.save(&request.output).context(request.output.display())?;
    File::open(&request.output).and_then(|file| file.sync_all()).context(request.output.display())
}

/// Traces the forward pass in evaluation mode. The module accepts batches of any size.
fn trace(network: &DerivedNetwork, resolution: i64, folded: bool) -> Result<CModule, tch::TchError> {
    let images = Tensor::zeros([1, 3, resolution, resolution], (Kind::Float, Device::Cpu));
    if folded {
        let folded = network.folded().in_libtorch_operations();
        return record(&images, |images| folded.forward(images));
    }
    // Only tensors that do not require gradients become constants.
    for (_, tensor) in network.state().iter() {
        let _ = tensor.set_requires_grad(false);
    }
    record(&images, |images| network.forward(images))
}

fn record(images: &Tensor, forward: impl Fn(&Tensor) -> Tensor) -> Result<CModule, tch::TchError> {
    CModule::create_by_tracing(MODULE, METHOD, std::slice::from_ref(images), &mut |inputs: &[Tensor]| {
        inputs.iter().map(&forward).collect()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;
    use tfnas::{Architecture, Space};
    use tfnas_random::{Stream, StreamId};
    use tfnas_torch::initialize::initialize;
    use tfnas_torch::weights::write_file;

    use super::*;

    const RESOLUTION: usize = 32;

    /// Writes a network of the small space to files, with batch norms that are not the identity.
    fn network(folder: &TempDir) -> DerivedNetwork {
        let space = Space::small();
        let architecture = Architecture::random(&space, &mut Stream::new(4, StreamId::RandomArchitecture, 0, 0));
        let config = ModelConfig::from_architecture(&space, &architecture, 5).unwrap();
        let network = DerivedNetwork::new(&config, Device::Cpu);
        initialize(&network, 4);
        for (name, tensor) in network.state().iter().filter(|(name, _)| name.ends_with("running_var")) {
            let values = Tensor::arange(tensor.numel() as i64, (Kind::Float, Device::Cpu)).sin() + 1.5;
            tch::no_grad(|| tensor.shallow_clone().copy_(&values));
            assert!(name.contains("bn"));
        }
        fs::write(folder.path().join("model.config"), config.to_text()).unwrap();
        write_file(&network.state(), &folder.path().join("weights.safetensors")).unwrap();
        network
    }

    fn exported(folder: &TempDir, fold: bool, name: &str) -> PathBuf {
        fs::create_dir_all(folder.path().join(name)).unwrap();
        let request = TorchScriptRequest {
            config: folder.path().join("model.config"),
            weights: folder.path().join("weights.safetensors"),
            resolution: RESOLUTION.try_into().unwrap(),
            fold,
            output: folder.path().join(name).join("network"),
        };
        export(&request).unwrap();
        request.output
    }

    #[test]
    fn an_exported_module_equals_the_network_for_any_batch_size() {
        let folder = tempfile::tempdir().unwrap();
        let network = network(&folder);
        for (fold, name) in [(false, "kept"), (true, "folded")] {
            let module = CModule::load(exported(&folder, fold, name)).unwrap();
            for count in [1, 3] {
                let shape = [count, 3, RESOLUTION as i64, RESOLUTION as i64];
                let elements: i64 = shape.iter().product();
                let images = Tensor::arange(elements, (Kind::Float, Device::Cpu)).sin().view(shape);
                let (found, expected) = (module.forward_ts(&[&images]).unwrap(), network.forward(&images));
                let scale = expected.abs().max().double_value(&[]);
                assert_eq!(found.size(), [count, 5]);
                assert!(found.allclose(&expected, 0.0, 1e-5 * scale, false), "{name} {count}");
            }
        }
    }

    #[test]
    fn exports_are_deterministic() {
        let folder = tempfile::tempdir().unwrap();
        network(&folder);
        let bytes = ["one", "two"].map(|name| fs::read(exported(&folder, true, name)).unwrap());
        assert!(bytes[0] == bytes[1]);
    }
}
