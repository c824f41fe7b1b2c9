//! Checkpoints written by PyTorch and the authors' code, in both containers: compares every tensor bit for bit and the
//! logits of the network, and converts between both formats.
#![allow(clippy::unwrap_used)]

mod common;
mod device;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tfnas_testutils::golden::cases;

use common::{check, flat, input, values};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tch::Device;
use tfnas::ModelConfig;
use tfnas_pytorch_files::checkpoint::{Checkpoint, Field, WeightsFile, to_safetensors, write_pth};
use tfnas_testutils::golden::formula::Scheme;
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::weights::{from_bytes, load};

/// The authors' f32 result differs from f64 by 6e-7 on the same input; here sums run in another order.
const LOGITS: f64 = 4e-6;

#[test]
fn golden_checkpoint() {
    let mut checked = 0;
    for folder in folders() {
        let expected: Value = serde_json::from_slice(&cases::bytes(&folder, "expected.json")).unwrap();
        let config = String::from_utf8(cases::bytes(&folder, "model.config")).unwrap();
        let config = ModelConfig::parse(&config).unwrap();
        for file in cases::files(&folder, ".pth.tar") {
            let bytes = cases::bytes(&folder, &file);
            check_tensors(&file, &bytes, &expected);
            let logits = check_logits(&file, &bytes, &config, &expected);
            check_conversion(&file, &bytes);
            println!("{}: logits off by {logits:.0e}", folder.join(&file).display());
            checked += 1;
        }
    }
    cases::report("golden_checkpoint", checked);
}

/// The cases in the repository, and those of the published space if `../shared/golden` exists.
fn folders() -> Vec<PathBuf> {
    let own = cases::folder().join("checkpoint");
    let full_size = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/golden/checkpoint");
    if std::env::var_os(cases::OTHER_FOLDER).is_some() {
        return vec![own];
    }
    if !full_size.is_dir() {
        println!("SKIPPED: the full-size checkpoints are not in ../shared/golden/checkpoint");
        return vec![own];
    }
    vec![own, full_size]
}

fn check_tensors(file: &str, bytes: &[u8], expected: &Value) {
    let checkpoint = Checkpoint::parse(bytes).unwrap();
    let state = checkpoint.state_dict().unwrap();
    assert_eq!(state.prefix, "module.", "{file}");
    let names: Vec<String> = state.tensors.iter().map(|(name, _)| format!("module.{name}")).collect();
    let described = expected["state_dict"].as_object().unwrap();
    assert_eq!(names, described.keys().cloned().collect::<Vec<_>>(), "{file}");
    for (name, tensor) in &state.tensors {
        let described = &described[&format!("module.{name}")];
        let digest = Sha256::digest(tensor.bytes()).iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        assert_eq!(json!(tensor.shape()), described["shape"], "{file}: {name}");
        assert_eq!(tensor.dtype().name(), described["dtype"], "{file}: {name}");
        assert_eq!(json!(digest), described["sha256_le_bytes"], "{file}: {name}");
    }
    for (name, field) in checkpoint.fields(&state) {
        if let Field::Number(number) = field {
            assert_eq!(Some(number), expected[&name].as_f64(), "{file}: {name}");
        }
    }
}

/// Checks the logits; returns the largest difference.
fn check_logits(file: &str, bytes: &[u8], config: &ModelConfig, expected: &Value) -> f64 {
    let network = DerivedNetwork::new(config, Device::Cpu);
    load(&network, &from_bytes(bytes).unwrap()).unwrap();
    let images = input(&Scheme::Sin, &shape(&expected["input"]));
    let expected = flat(&expected["eval_logits_f64"]);
    check(&format!("{file}, folded"), &values(&network.folded().forward(&images)), &expected, LOGITS);
    check(file, &values(&network.forward(&images)), &expected, LOGITS)
}

/// Parses the shape in `sin formula (2,3,64,64)`.
fn shape(input: &Value) -> Value {
    let text = input.as_str().unwrap();
    let inner = text.split_once('(').unwrap().1.trim_end_matches(')');
    inner.split(',').map(|size| size.trim().parse::<u64>().unwrap()).collect()
}

/// Converts to safetensors, then to `.pth.tar`, and back; checks that tensors and bytes are unchanged.
fn check_conversion(file: &str, bytes: &[u8]) {
    let original = WeightsFile::read(bytes).unwrap().state_dict.tensors;
    let safetensors = to_safetensors(&original).unwrap();
    let read = WeightsFile::read(&safetensors).unwrap().state_dict.tensors;
    let pth = write_pth(Vec::new(), &read).unwrap();
    let again = WeightsFile::read(&pth).unwrap().state_dict.tensors;
    assert_eq!(again.len(), original.len(), "{file}");
    for (name, tensor) in &original {
        let (_, found) = again.iter().find(|(found, _)| found == name).unwrap();
        assert_eq!((found.dtype(), found.shape()), (tensor.dtype(), tensor.shape()), "{file}: {name}");
        assert_eq!(found.bytes(), tensor.bytes(), "{file}: {name}");
    }
    assert_eq!(to_safetensors(&again).unwrap(), safetensors, "{file}");
    assert_eq!(write_pth(Vec::new(), &again).unwrap(), pth, "{file}");
}
