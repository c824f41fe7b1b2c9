use std::collections::BTreeMap;

use tfnas_artifacts::{Digest, KeyError, KeyManifest};

use crate::plan::Instance;

/// Returns the fields of an instance's cache key, given the digests of its inputs.
///
/// # Errors
/// Returns [`KeyError`] if the parameters have no canonical form.
pub fn manifest(
    instance: &Instance,
    inputs: &BTreeMap<&'static str, Digest>,
    facts: &BTreeMap<&'static str, String>,
) -> Result<KeyManifest, KeyError> {
    let mut manifest = KeyManifest::new(instance.stage.name(), instance.stage.revision());
    manifest.parameter("", &instance.params)?;
    for (port, digest) in inputs {
        manifest.input(*port, *digest)?;
    }
    for (name, value) in facts {
        manifest.environment(*name, value)?;
    }
    Ok(manifest)
}
