use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tfnas::{ConvConfig, MbConvConfig, ModelConfig};
use tfnas_planner::machine::build;

use super::deliver::Delivery;
use super::network::Network;
use crate::error::CommandError;

/// The module, with placeholders between two `@`.
const TEMPLATE: &str = include_str!("model.py");
/// The suffix that Python expects of a module.
const SUFFIX: &str = ".py";
/// Modules that the written one imports. A module of the same name in its folder would hide them.
const IMPORTED: [&str; 5] = ["collections", "json", "pathlib", "safetensors", "torch"];

/// The names of a module and of the files that belong to it.
#[derive(Debug, PartialEq, Eq)]
struct ModuleName {
    /// As it is imported: `model`.
    module: String,
}

impl ModuleName {
    /// Takes the name of a module from its path.
    ///
    /// # Errors
    /// Returns an error if Python could not import a file of this name.
    fn of(path: &Path) -> Result<Self, CommandError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let refused = |reason: &str| {
            let message = format!("cannot write {}: {reason}", path.display());
            CommandError::usage(message).with_hint("name the file model.py, or an existing folder")
        };
        let module = name.strip_suffix(SUFFIX).filter(|module| is_identifier(module));
        let module = module.ok_or_else(|| refused("Python cannot import a module of this file name"))?;
        if IMPORTED.contains(&module) {
            return Err(refused("the name would hide a module that the file imports"));
        }
        Ok(Self { module: module.to_owned() })
    }

    /// The file name of the module.
    fn file(&self) -> String {
        format!("{}{SUFFIX}", self.module)
    }

    /// The file name of the weights, so that several networks fit into a folder.
    fn weights(&self) -> String {
        match self.module.as_str() {
            "model" => "weights.safetensors".to_owned(),
            module => format!("{module}.safetensors"),
        }
    }
}

/// Checks that a network can be written to this path, before it is read.
///
/// # Errors
/// Returns an error if Python could not import the file, or if batch norms are to be folded: a folded network has other tensors.
pub fn check(target: &Path, fold: bool) -> Result<(), CommandError> {
    if fold {
        let message = "--fold is for onnx and torchscript: the module has the tensors of the checkpoint";
        return Err(CommandError::usage(message).with_hint("remove --fold"));
    }
    ModuleName::of(target).map(|_| ())
}

/// Writes the network as a Python module, and its weights as safetensors.
pub fn write(target: &Path, network: &Network, delivery: &mut Delivery) -> Result<(), CommandError> {
    let name = ModuleName::of(target)?;
    let weights = match &network.converted {
        Some(bytes) => bytes.clone(),
        None => fs::read(&network.weights_file)
            .map_err(|error| CommandError::usage(format!("cannot read {}: {error}", network.weights_file.display())))?,
    };
    delivery.write_weights(name.weights(), &weights)?;
    delivery.write(module(&name, &network.config, network.resolution).as_bytes())
}

/// Returns the text of the module.
fn module(name: &ModuleName, config: &ModelConfig, resolution: usize) -> String {
    let classifier = &config.classifier;
    let values = [
        ("TOOL", build::TOOL.to_owned()),
        ("MODULE", name.module.clone()),
        ("FILE", name.file()),
        ("WEIGHTS", name.weights()),
        ("RESOLUTION", resolution.to_string()),
        ("CLASSES", classifier.out_features.to_string()),
        ("FIRST_STEM", conv(&config.first_stem)),
        ("SECOND_STEM", block(&config.second_stem)),
        ("STAGES", stages(&config.groups)),
        ("FEATURE_MIX", conv(&config.feature_mix)),
        ("CLASSIFIER", format!("({}, {})", classifier.in_features, classifier.out_features)),
    ];
    let fill = |text: String, (key, value): &(&str, String)| text.replace(&format!("@{key}@"), value);
    values.iter().fold(TEMPLATE.to_owned(), fill)
}

/// The arguments of `ConvLayer`.
fn conv(conv: &ConvConfig) -> String {
    let ConvConfig { in_channels, out_channels, kernel, stride, activation } = conv;
    format!("({in_channels}, {out_channels}, {kernel}, {stride}, \"{activation}\")")
}

/// The arguments of `MBInvertedResBlock`.
fn block(block: &MbConvConfig) -> String {
    let MbConvConfig { in_channels, mid_channels, se_channels, out_channels, kernel, stride, activation } = block;
    format!("({in_channels}, {mid_channels}, {se_channels}, {out_channels}, {kernel}, {stride}, \"{activation}\")")
}

/// A list for each block group, one line a block.
fn stages(groups: &[Vec<MbConvConfig>]) -> String {
    let mut text = String::new();
    for (group, blocks) in groups.iter().enumerate() {
        writeln!(text, "    [  # stage{}", group + 1).expect("a String accepts every write");
        for one in blocks {
            writeln!(text, "        {},", block(one)).expect("a String accepts every write");
        }
        text.push_str("    ],\n");
    }
    text
}

/// Whether a name is an ASCII identifier of Python.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas::{Architecture, Space};
    use tfnas_random::{Stream, StreamId};

    use super::*;

    fn name(path: &str) -> Option<ModuleName> {
        ModuleName::of(Path::new(path)).ok()
    }

    #[test]
    fn a_module_has_a_name_that_python_imports() {
        assert_eq!(name("/a/model.py").unwrap().weights(), "weights.safetensors");
        assert_eq!(name("/a/net_2.py").unwrap().weights(), "net_2.safetensors");
        for invalid in
            ["/a/model", "/a/net-2.py", "/a/2.py", "/a/.py", "/a/größe.py", "/a/torch.py", "/a/model.PY", "/"]
        {
            assert_eq!(name(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_module_has_all_layers_of_a_network_and_no_placeholder() {
        for space in [Space::imagenet(), Space::cifar(), Space::small()] {
            let architecture = Architecture::random(&space, &mut Stream::new(1, StreamId::RandomArchitecture, 0, 0));
            let config = ModelConfig::from_architecture(&space, &architecture, 10).unwrap();
            let resolution = space.definition().resolution;
            let text = module(&name("/a/model.py").unwrap(), &config, resolution);
            assert!(!text.contains('@'), "{text}");
            let rows = text.lines().filter(|line| line.starts_with("        (") && line.ends_with("),")).count();
            assert_eq!(rows, config.block_count() - 1);
            assert!(text.contains(&format!("\nRESOLUTION = {resolution}\n")));
            let classifier = &config.classifier;
            assert!(
                text.contains(&format!("\nCLASSIFIER = ({}, {})\n", classifier.in_features, classifier.out_features))
            );
        }
    }

    #[test]
    fn a_block_is_a_row_of_numbers() {
        let space = Space::imagenet();
        let architecture = Architecture::random(&space, &mut Stream::new(1, StreamId::RandomArchitecture, 0, 0));
        let config = ModelConfig::from_architecture(&space, &architecture, 10).unwrap();
        let text = module(&name("/a/model.py").unwrap(), &config, 224);
        assert!(text.contains("\nFIRST_STEM = (3, 32, 3, 2, \"relu\")\n"));
        assert!(text.contains("\nSECOND_STEM = (32, 32, 8, 16, 3, 1, \"relu\")\n"));
        assert!(text.contains("\nSTAGES = [\n    [  # stage1\n        (16, "));
        assert!(text.contains("    ],\n]\nFEATURE_MIX = (320, 1280, 1, 1, \"swish\")\n"));
    }
}
