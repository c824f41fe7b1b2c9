//! The names of the files of a publication.

use tfnas_stages::Stage;

/// The model card.
pub const CARD: &str = "README.md";
/// The weights.
pub const WEIGHTS: &str = "weights.safetensors";
/// The network.
pub const CONFIG: &str = "model.config";
/// The description of the network.
pub const ARCHITECTURE: &str = "architecture.json";
/// The latency table.
pub const TABLE: &str = "latency.table";
/// The configuration of the run.
pub const CONFIGURATION: &str = "configuration.json";
/// The data of the run.
pub const DATA: &str = "data.json";
/// The results of the test.
pub const TEST: &str = "metrics/test.json";
/// The predictions for each test image.
pub const PREDICTIONS: &str = "metrics/predictions.csv";
/// The epochs of the training.
pub const TRAIN: &str = "metrics/train.json";
/// The measured latency.
pub const MEASURED: &str = "metrics/parse.json";
/// The result of the search.
pub const SEARCH: &str = "search/search.json";
/// The epochs of the search.
pub const HISTORY: &str = "search/history.json";
/// The candidates of the selection.
pub const CANDIDATES: &str = "select/candidates.json";
/// The architecture that the selection chose.
pub const SELECTED: &str = "select/selected.json";
/// The list of the test images.
pub const TEST_LIST: &str = "lists/test.list";
/// The digests of the training images.
pub const TRAIN_IMAGES: &str = "lists/train_images.manifest";
/// The digests of the test images.
pub const TEST_IMAGES: &str = "lists/test_images.manifest";
/// The metadata of the RO-Crate.
pub const CRATE: &str = "ro-crate-metadata.json";
/// The manifest.
pub const MANIFEST: &str = "manifest.json";
/// The in-toto Statement.
pub const STATEMENT: &str = "provenance/statement.json";
/// The signed Statement in a DSSE envelope.
pub const ENVELOPE: &str = "provenance/statement.dsse.json";
/// The OpenSSF Model Signing bundle.
pub const SIGNATURE: &str = "model.sig";

/// Returns the name of the record of a stage.
pub fn record(stage: Stage) -> String {
    format!("provenance/{}.json", stage.name())
}
