use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::keys::{KeyError, PublicKey, SigningKey};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Show the kind of a key and its fingerprint (the SHA-256 of the public key's DER encoding)
#[derive(Args, Debug)]
pub struct Show {
    /// The file of a private or a public key
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Print the public key instead, as PEM
    #[arg(long = "pub")]
    public: bool,
}

#[derive(Serialize)]
struct Shown {
    file: String,
    /// `private` or `public`.
    kind: &'static str,
    algorithm: &'static str,
    fingerprint: Sha256Digest,
    public: String,
}

impl Show {
    /// Prints the key. Of a private key, only the public part is printed.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let (kind, key) = match PublicKey::read(&self.file) {
            Ok(key) => ("public", key),
            Err(KeyError::OtherKind { .. }) => ("private", SigningKey::read(&self.file)?.public()),
            Err(KeyError::NotPem { place, .. }) => {
                let message =
                    format!("`{place}` is not a key file: expected the PEM text of a private or a public key");
                return Err(CommandError::usage(message).with_hint("`keys generate` creates a key pair"));
            }
            Err(error) => return Err(error.into()),
        };
        let shown = Shown {
            file: self.file.display().to_string(),
            kind,
            algorithm: "ECDSA P-256",
            fingerprint: key.fingerprint(),
            public: key.to_pem(),
        };
        if options.json {
            print_json(&shown);
        } else if self.public {
            print(&shown.public);
        } else {
            let Shown { kind, algorithm, fingerprint, .. } = &shown;
            print(&format!("kind         {kind} key, {algorithm}\nfingerprint  {fingerprint}\n"));
        }
        Ok(Exit::Done)
    }
}
