use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::keys::{KeyError, SigningKey};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Create a key pair: FILE has the private key and is readable by its owner only, FILE.pub has the public key
#[derive(Args, Debug)]
pub struct Generate {
    /// The file of the private key; neither it nor FILE.pub may exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Serialize)]
struct Shown {
    private: String,
    public: String,
    fingerprint: Sha256Digest,
}

impl Generate {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let mut public = self.out.clone().into_os_string();
        public.push(".pub");
        let public = PathBuf::from(public);
        // Check this before the private key is written, which would otherwise be left behind.
        if public.symlink_metadata().is_ok() {
            return Err(KeyError::Exists { place: public.display().to_string() }.into());
        }
        let key = SigningKey::generate()?;
        key.write(&self.out)?;
        key.public().write(&public)?;
        let shown = Shown {
            private: self.out.display().to_string(),
            public: public.display().to_string(),
            fingerprint: key.public().fingerprint(),
        };
        if options.json {
            print_json(&shown);
        } else {
            let Shown { private, public, fingerprint } = &shown;
            print(&format!("private key  {private}\npublic key   {public}\nfingerprint  {fingerprint}\n"));
        }
        Ok(Exit::Done)
    }
}
