use std::path::PathBuf;

use clap::Args;

use crate::commands::artifact;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;

/// Writes an artifact out to a file, verified on the way
#[derive(Args, Debug)]
pub struct Export {
    /// An output's name (model.config, parse@12/model.config), or the first digits of a digest
    #[arg(value_name = "ARTIFACT")]
    artifact: String,

    /// The file to write, or a folder that is there
    #[arg(value_name = "PATH")]
    path: PathBuf,
}

impl Export {
    /// Writes it.
    ///
    /// # Errors
    /// An artifact that is not there or damaged, a file that cannot be written.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let artifact = artifact::find(options, &self.artifact)?;
        let mut path = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        if path.is_dir() {
            path.push(artifact.name.unwrap_or_else(|| artifact.digest.to_string()));
        }
        artifact.cache.store().export(&artifact.digest, &path)?;
        tracing::info!("wrote {} ({})", path.display(), artifact.digest.short());
        Ok(Exit::Done)
    }
}
