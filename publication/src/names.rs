//! The names of a publication's files.

use tfnas_stages::Stage;

/// The model card.
pub const CARD: &str = "README.md";
/// The weights.
pub const WEIGHTS: &str = "weights.safetensors";
/// The network.
pub const CONFIG: &str = "model.config";
/// Its description.
pub const ARCHITECTURE: &str = "architecture.json";
/// The latency table.
pub const TABLE: &str = "latency.table";
/// The configuration of the run.
pub const CONFIGURATION: &str = "configuration.json";
/// What is said of the data.
pub const DATA: &str = "data.json";
/// The test's result.
pub const TEST: &str = "metrics/test.json";
/// What the network says about each test image.
pub const PREDICTIONS: &str = "metrics/predictions.csv";
/// The training, epoch by epoch.
pub const TRAIN: &str = "metrics/train.json";
/// The latency measured.
pub const MEASURED: &str = "metrics/parse.json";
/// What the search ended with.
pub const SEARCH: &str = "search/search.json";
/// Its history.
pub const HISTORY: &str = "search/history.json";
/// The candidates that the selection compared.
pub const CANDIDATES: &str = "select/candidates.json";
/// The architecture that it chose.
pub const SELECTED: &str = "select/selected.json";
/// The list of the test images.
pub const TEST_LIST: &str = "lists/test.list";
/// The digests of the training images.
pub const TRAIN_IMAGES: &str = "lists/train_images.manifest";
/// The digests of the test images.
pub const TEST_IMAGES: &str = "lists/test_images.manifest";
/// The crate's description.
pub const CRATE: &str = "ro-crate-metadata.json";
/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// The in-toto Statement.
pub const STATEMENT: &str = "provenance/statement.json";
/// The Statement in a signed envelope.
pub const ENVELOPE: &str = "provenance/statement.dsse.json";
/// The OpenSSF Model Signing bundle.
pub const SIGNATURE: &str = "model.sig";

/// The record of a stage.
pub fn record(stage: Stage) -> String {
    format!("provenance/{}.json", stage.name())
}
