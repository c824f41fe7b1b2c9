//! Compares the `model.config` derived from search checkpoints with that of the original, byte for byte.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use tfnas_testutils::golden::cases;

use tfnas::{ModelConfig, Space};
use tfnas_pytorch_files::checkpoint::Checkpoint;

#[test]
fn golden_search_checkpoint() {
    let space = Space::imagenet();
    let folder = folder();
    let files = cases::files(&folder, ".pth.tar");
    for file in &files {
        let bytes = cases::bytes(&folder, file);
        let search = Checkpoint::parse(&bytes).unwrap().search(&space).unwrap();
        let architecture = search.architecture(&space).unwrap();
        let config = ModelConfig::from_architecture(&space, &architecture, 1000).unwrap();
        let expected = cases::bytes(&folder, &file.replace(".pth.tar", ".config"));
        assert_eq!(config.to_text(), String::from_utf8(expected).unwrap(), "{file}");
    }
    cases::report("golden_search_checkpoint", files.len());
}

/// Returns the folder of the cases. `TFNAS_GOLDEN` may not contain them.
fn folder() -> PathBuf {
    let other = cases::folder().join("search_checkpoint");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/search_checkpoint");
    if other.is_dir() { other } else { own }
}
