//! Loads exported tables with Python's pickle module, as the original does.
#![allow(clippy::unwrap_used)]

mod python;

use std::path::Path;

use python::{python_with, run};
use serde_json::Value;
use tfnas::LatencyTable;
use tfnas_pytorch_files::table_to_pickle;

/// Loads a table as the original does and prints all its numbers.
const LOAD: &str = "
import json, pickle, sys
table = pickle.load(open(sys.argv[1], 'rb'))
assert type(table).__name__ == 'OrderedDict' and table is not None
rows = {key: ([[width, ms] for width, ms in row.items()] if key != 'base' else row) for key, row in table.items()}
print(json.dumps(rows))
";

/// Asserts that two pickles are equal and prints the number of entries.
const COMPARE: &str = "
import pickle, sys
ours, theirs = (pickle.load(open(path, 'rb')) for path in sys.argv[1:3])
assert ours == theirs, 'the tables differ'
print(sum(len(row) for key, row in theirs.items() if key != 'base'))
";

#[test]
fn python_loads_an_exported_table_with_equal_numbers() {
    let Some(python) = python_with("pickle") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, table) in [("gpu", LatencyTable::titan_rtx()), ("cpu", LatencyTable::xeon_gold_6130())] {
        let exported = folder.path().join(name);
        std::fs::write(&exported, table_to_pickle(&table)).unwrap();
        let exported = exported.to_str().unwrap();
        let loaded: Value = serde_json::from_str(&run(&python, LOAD, &[exported])).unwrap();
        assert_eq!(loaded["base"].as_f64(), Some(table.base_ms()));
        assert_eq!(loaded.as_object().unwrap().len(), table.curves().len() + 1);
        for (key, curve) in table.curves() {
            let row = loaded[key.to_string()].as_array().unwrap();
            assert_eq!(row.len(), curve.last_width(), "{key}");
            for pair in row {
                let width = pair[0].as_u64().unwrap() as usize;
                assert_eq!(pair[1].as_f64(), curve.ms(width), "{key}, width {width}");
            }
        }
        let published = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../shared/official/latency_{name}.pkl"));
        if !published.exists() {
            println!("SKIPPED: latency_{name}.pkl is not in ../shared/official");
            continue;
        }
        let entries = run(&python, COMPARE, &[exported, published.to_str().unwrap()]);
        println!("latency_{name}.pkl: {} entries equal", entries.trim());
    }
}
