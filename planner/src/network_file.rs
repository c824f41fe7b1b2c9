//! Files that describe a network, from wherever they come: its `model.config` and its weights.

use std::path::{Path, PathBuf};

use tfnas::state_shapes::state_shapes;
use tfnas::{ConfigError, ModelConfig};
use tfnas_artifacts::Digest;
use tfnas_fs::{read_limited, read_text_limited};
use tfnas_pytorch_files::checkpoint::{Conversions, StateDictMismatch, Wanted, WeightsFile, WeightsFileError};

/// More bytes than any model.config has.
const MAX_CONFIG_BYTES: u64 = 16 << 20;
/// More bytes than any checkpoint has, with the state of its optimiser.
const MAX_WEIGHTS_BYTES: u64 = 8 << 30;

/// A file that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum NetworkFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Its text is no `model.config`.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// It has no weights.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsFileError,
    },
    /// Its weights are those of another network.
    #[error("{}: {source}", path.display())]
    StateDictMismatch {
        /// The file.
        path: PathBuf,
        /// In what.
        source: StateDictMismatch,
    },
}

/// A `model.config`, read.
#[derive(Debug)]
pub struct ConfigFile {
    /// The network.
    pub config: ModelConfig,
    /// Digest of the file.
    pub digest: Digest,
}

impl ConfigFile {
    /// Reads it.
    ///
    /// # Errors
    /// [`NetworkFileError`].
    pub fn read(path: &Path) -> Result<Self, NetworkFileError> {
        let text = read_text_limited(path, MAX_CONFIG_BYTES).map_err(unreadable(path))?;
        let config =
            ModelConfig::parse(&text).map_err(|source| NetworkFileError::Config { path: path.to_owned(), source })?;
        Ok(Self { config, digest: Digest::of_bytes(text.as_bytes()) })
    }
}

/// The bytes of a `.pth.tar` or safetensors file.
#[derive(Debug)]
pub struct WeightsBytes {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl WeightsBytes {
    /// Reads them, whatever they hold.
    ///
    /// # Errors
    /// [`NetworkFileError::Read`].
    pub fn read(path: &Path) -> Result<Self, NetworkFileError> {
        let bytes = read_limited(path, MAX_WEIGHTS_BYTES).map_err(unreadable(path))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    /// The bytes themselves.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of the file.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(&self.bytes)
    }

    /// The tensors in them: those under a key, those that fit a network best, or the most that stand together.
    ///
    /// # Errors
    /// [`NetworkFileError::Weights`].
    pub fn parse(&self, wanted: &Wanted<'_>) -> Result<WeightsFile<'_>, NetworkFileError> {
        WeightsFile::find(&self.bytes, wanted)
            .map_err(|source| NetworkFileError::Weights { path: self.path.clone(), source })
    }

    /// The tensors in them under a key, or else wherever they stand, which must be those of a network; converted to its
    /// dtypes.
    ///
    /// # Errors
    /// [`NetworkFileError::Weights`]; [`NetworkFileError::StateDictMismatch`] with everything that is missing, unexpected, of another
    /// shape or kind of numbers, or not finite.
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

    /// Says which of the file's tensors were taken, where that is a choice, and what was converted.
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
    fn a_file_that_is_no_config_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.config");
        let error = || ConfigFile::read(&path).unwrap_err();
        assert!(matches!(error(), NetworkFileError::Read { .. }));
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(error(), NetworkFileError::Config { .. }));
        assert!(error().to_string().contains("model.config"));
    }

    #[test]
    fn bytes_without_weights_are_refused_and_their_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth.tar");
        std::fs::write(&path, "no weights").unwrap();
        let error = WeightsBytes::read(&path).unwrap().parse(&Wanted::default()).unwrap_err();
        assert!(matches!(error, NetworkFileError::Weights { .. }) && error.to_string().contains("w.pth.tar"));
    }
}
