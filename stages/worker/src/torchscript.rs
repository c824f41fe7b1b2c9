//! `torchscript`: exports a trained network as a TorchScript file, which PyTorch can run without this project.
//!
//! The forward pass of one batch is traced with the weights as constants. So the module has no trainable parameters, and its
//! device is chosen when it is loaded (`map_location`).

use std::ffi::OsString;
use std::fs::{File, read_to_string};
use std::path::PathBuf;
use std::process::ExitCode;

use tch::{CModule, Device, Kind, Tensor};
use tfnas::ModelConfig;
use tfnas_torch::Module;
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::device::set_threads;
use tfnas_torch::weights::{load, read_file};

use crate::VERSION;
use crate::console::print_error;
use crate::error::{Context as _, StageError, exit_code};

/// Class name of the exported module.
const MODULE: &str = "tfnas";
/// Name of the exported method.
const METHOD: &str = "forward";

/// The arguments `VERSION MODEL_CONFIG WEIGHTS RESOLUTION kept|folded OUTPUT`, with the version of the planner.
struct Request {
    config: PathBuf,
    weights: PathBuf,
    /// Side length of the input images, in pixels.
    resolution: i64,
    /// Whether to fold batch norms into the convolutions before them.
    folded: bool,
    output: PathBuf,
}

/// Exports a network to a file. Errors are printed to standard error.
///
/// Exit codes: 0 on success, 1 on failure, 2 for invalid arguments.
pub fn torchscript(arguments: &[OsString]) -> ExitCode {
    let Some(request) = Request::parse(arguments) else {
        print_error(&format!(
            "expected VERSION MODEL_CONFIG WEIGHTS RESOLUTION kept|folded OUTPUT, of tfnas-pipeline {VERSION}"
        ));
        return ExitCode::from(2);
    };
    exit_code(request.run())
}

impl Request {
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let [version, config, weights, resolution, normalization, output] = arguments else { return None };
        let folded = match normalization.to_str()? {
            "kept" => false,
            "folded" => true,
            _ => return None,
        };
        (version == VERSION).then_some(Self {
            config: config.into(),
            weights: weights.into(),
            resolution: resolution.to_str()?.parse::<i64>().ok().filter(|resolution| *resolution > 0)?,
            folded,
            output: output.into(),
        })
    }

    fn run(&self) -> Result<(), StageError> {
        // The trace computes a single image.
        set_threads(1);
        let text = read_to_string(&self.config).context(self.config.display())?;
        let config = ModelConfig::parse(&text).context(self.config.display())?;
        let network = DerivedNetwork::new(&config, Device::Cpu);
        let tensors = read_file(&self.weights).context("weights")?;
        load(&network, &tensors).context(self.weights.display())?;
        let module = trace(&network, self.resolution, self.folded).context("libtorch")?;
        module.save(&self.output).context(self.output.display())?;
        File::open(&self.output).and_then(|file| file.sync_all()).context(self.output.display())
    }
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

    use tempfile::TempDir;
    use tfnas::{Architecture, Space};
    use tfnas_random::{Stream, StreamId};
    use tfnas_torch::initialize::initialize;
    use tfnas_torch::weights::write_file;

    use super::*;

    const RESOLUTION: i64 = 32;

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

    fn export(folder: &TempDir, normalization: &str, name: &str) -> PathBuf {
        let path = |name: &str| folder.path().join(name).into_os_string();
        fs::create_dir_all(folder.path().join(name)).unwrap();
        let output = folder.path().join(name).join("network");
        let words = [VERSION.into(), path("model.config"), path("weights.safetensors"), RESOLUTION.to_string().into()];
        let arguments = [&words[..], &[normalization.into(), output.clone().into_os_string()]].concat();
        Request::parse(&arguments).unwrap().run().unwrap();
        output
    }

    #[test]
    fn an_exported_module_equals_the_network_for_any_batch_size() {
        let folder = tempfile::tempdir().unwrap();
        let network = network(&folder);
        for normalization in ["kept", "folded"] {
            let module = CModule::load(export(&folder, normalization, normalization)).unwrap();
            for count in [1, 3] {
                let shape = [count, 3, RESOLUTION, RESOLUTION];
                let elements: i64 = shape.iter().product();
                let images = Tensor::arange(elements, (Kind::Float, Device::Cpu)).sin().view(shape);
                let (found, expected) = (module.forward_ts(&[&images]).unwrap(), network.forward(&images));
                let scale = expected.abs().max().double_value(&[]);
                assert_eq!(found.size(), [count, 5]);
                assert!(found.allclose(&expected, 0.0, 1e-5 * scale, false), "{normalization} {count}");
            }
        }
    }

    #[test]
    fn exports_are_deterministic() {
        let folder = tempfile::tempdir().unwrap();
        network(&folder);
        let bytes = ["one", "two"].map(|name| fs::read(export(&folder, "folded", name)).unwrap());
        assert!(bytes[0] == bytes[1]);
    }

    #[test]
    fn arguments_of_another_version_or_with_invalid_values_are_rejected() {
        let request = |words: [&str; 6]| Request::parse(&words.map(OsString::from)).is_some();
        assert!(request([VERSION, "c", "w", "224", "kept", "o"]));
        assert!(!request(["0.0.0", "c", "w", "224", "kept", "o"]));
        assert!(!request([VERSION, "c", "w", "0", "kept", "o"]));
        assert!(!request([VERSION, "c", "w", "224", "frozen", "o"]));
        assert!(Request::parse(&[]).is_none());
    }
}
