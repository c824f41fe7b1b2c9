//! Reads files of the user that describe a network: its `model.config` and its weights.

use std::path::{Path, PathBuf};

use tfnas::state_shapes::state_shapes;
use tfnas::{ConfigError, ModelConfig};
use tfnas_artifacts::Digest;
use tfnas_fs::{read_limited, read_text_limited};
use tfnas_pytorch_files::checkpoint::{Conversions, StateDictMismatch, Wanted, WeightsFile, WeightsFileError};

/// Maximum size of a `model.config`.
const MAX_CONFIG_BYTES: u64 = 16 << 20;
/// Maximum size of a checkpoint, including the state of its optimizer.
const MAX_WEIGHTS_BYTES: u64 = 8 << 30;

/// A network file is invalid.
#[derive(Debug, thiserror::Error)]
pub enum NetworkFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Path of the file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The text is not a valid `model.config`.
    #[error("{}: {source}", path.display())]
    Config {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
    /// The file does not contain weights.
    #[error("{}: {source}", path.display())]
    Weights {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong.
        source: WeightsFileError,
    },
    /// The weights do not match the network.
    #[error("{}: {source}", path.display())]
    StateDictMismatch {
        /// Path of the file.
        path: PathBuf,
        /// The differences.
        source: StateDictMismatch,
    },
}

/// A parsed `model.config`.
#[derive(Debug)]
pub struct ConfigFile {
    /// The network.
    pub config: ModelConfig,
    /// Digest of the file.
    pub digest: Digest,
}

impl ConfigFile {
    /// Reads and parses a file.
    ///
    /// # Errors
    /// Returns [`NetworkFileError`] if the file cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self, NetworkFileError> {
        let text = read_text_limited(path, MAX_CONFIG_BYTES).map_err(unreadable(path))?;
        let config =
            ModelConfig::parse(&text).map_err(|source| NetworkFileError::Config { path: path.to_owned(), source })?;
        Ok(Self { config, digest: Digest::of_bytes(text.as_bytes()) })
    }
}

/// The contents of a `.pth.tar` or safetensors file.
#[derive(Debug)]
pub struct WeightsBytes {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl WeightsBytes {
    /// Reads a file without parsing it.
    ///
    /// # Errors
    /// Returns [`NetworkFileError::Read`] if the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, NetworkFileError> {
        let bytes = read_limited(path, MAX_WEIGHTS_BYTES).map_err(unreadable(path))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// Returns the contents.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the digest of the file.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(&self.bytes)
    }

    /// Finds the tensors in the file: those under a given key, those that fit a network best, or the largest group.
    ///
    /// # Errors
    /// Returns [`NetworkFileError::Weights`] if there are no weights.
    pub fn parse(&self, wanted: &Wanted<'_>) -> Result<WeightsFile<'_>, NetworkFileError> {
        WeightsFile::find(&self.bytes, wanted)
            .map_err(|source| NetworkFileError::Weights { path: self.path.clone(), source })
    }

    /// Finds the tensors of a network, under a given key or anywhere in the file, and converts them to its data types.
    ///
    /// # Errors
    /// Returns [`NetworkFileError::Weights`] if there are no weights, and [`NetworkFileError::StateDictMismatch`] with all
    /// tensors that are missing, unexpected, of another shape or kind, or not finite.
    pub fn parse_for(
        &self,
        config: &ModelConfig,
        key: Option<&str>,
    ) -> Result<(WeightsFile<'_>, Conversions), NetworkFileError> {
        let network = state_shapes(config);
        let mut file = self.parse(&Wanted { key, network: Some(&network) })?;
        let conversions = file.state_dict.fit(&network);
        let conversions =
            conversions.map_err(|source| NetworkFileError::StateDictMismatch { path: self.path.clone(), source })?;
        Ok((file, conversions))
    }

    /// Logs which tensors of the file were chosen, if there was a choice, and what was converted.
    pub fn tell(&self, file: &WeightsFile<'_>, conversions: &Conversions) {
        for note in file.state_dict.choice().into_iter().chain(conversions.in_words()) {
            tracing::info!("{}: {note}", self.path.display());
        }
    }
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> NetworkFileError {
    move |source| NetworkFileError::Read { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_error_of_an_invalid_config_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.config");
        let error = || ConfigFile::read(&path).unwrap_err();
        assert!(matches!(error(), NetworkFileError::Read { .. }));
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(error(), NetworkFileError::Config { .. }));
        assert!(error().to_string().contains("model.config"));
    }

    #[test]
    fn the_error_of_a_file_without_weights_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth.tar");
        std::fs::write(&path, "no weights").unwrap();
        let error = WeightsBytes::read(&path).unwrap().parse(&Wanted::default()).unwrap_err();
        assert!(matches!(error, NetworkFileError::Weights { .. }) && error.to_string().contains("w.pth.tar"));
    }
}
