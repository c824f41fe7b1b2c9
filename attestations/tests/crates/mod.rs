//! A small RO-Crate.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tfnas_attestations::ro_crate::{Crate, File, Parameter, RunOfTool, Tool};
use tfnas_attestations::{Sha256Digest, Timestamp};

/// The content of every file.
pub const CONTENT: &[u8] = b"content\n";

fn file(name: &str) -> File {
    File {
        name: name.to_owned(),
        description: format!("The file {name}."),
        bytes: CONTENT.len() as u64,
        sha256: Sha256Digest::of_bytes(CONTENT),
        media_type: "text/plain".to_owned(),
    }
}

fn run(id: &str, read: &[&str], made: &[&str]) -> RunOfTool {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let parameter = |name: &str, value: Value| Parameter { name: name.to_owned(), value };
    RunOfTool {
        id: id.to_owned(),
        name: format!("Run of {id}"),
        description: format!("What {id} does."),
        started: Timestamp::from_ms(1000),
        ended: Timestamp::from_ms(2500),
        agent: None,
        read: owned(read),
        made: owned(made),
        parameters: vec![parameter("epochs", json!(3)), parameter("layers", json!([1, 2]))],
    }
}

/// Returns a crate with two runs, and with files in a folder and files with unusual names.
pub fn small() -> Crate {
    Crate {
        name: "A trained network".to_owned(),
        description: "Weights, and what they come from.".to_owned(),
        published: Timestamp::from_ms(1_700_000_000_000).unwrap(),
        license: "https://spdx.org/licenses/MIT".to_owned(),
        files: ["lists/train.lst", "a b#ä.safetensors", "a:b.txt"].map(file).into(),
        tool: Tool {
            name: "pipeline".to_owned(),
            version: "0.1.0".to_owned(),
            url: "https://example.org/pipeline".to_owned(),
            description: "Trains networks.".to_owned(),
        },
        runs: vec![run("split", &[], &["lists/train.lst"]), run("train", &["lists/train.lst"], &["a b#ä.safetensors"])],
    }
}
