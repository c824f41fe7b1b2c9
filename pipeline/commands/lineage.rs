use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use serde_json::json;
use tfnas_artifacts::{Attempt, Digest, Lineage as Graph};
use tfnas_humanize as humanize;

use crate::commands::artifact;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Show everything that an artifact was made from, down to the input data
#[derive(Args, Debug)]
pub struct Lineage {
    /// An output's name (model.config, parse@12/model.config), or the first four digits of a digest or more
    #[arg(value_name = "ARTIFACT")]
    artifact: String,

    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree, for people
    #[default]
    Text,
    /// Graphviz
    Dot,
    /// Mermaid, which web pages draw
    Mermaid,
}

impl Lineage {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let artifact = artifact::find(options, &self.artifact)?;
        let graph = artifact.cache.ledger().lineage(&artifact.digest)?;
        match (options.json, self.format) {
            (true, _) => print_json(&json!({ "artifact": artifact.digest, "attempts": graph.attempts })),
            (false, Format::Text) => print(&tree(&graph, &artifact.digest)),
            (false, Format::Dot) => print(&dot(&graph)),
            (false, Format::Mermaid) => print(&mermaid(&graph)),
        }
        Ok(Exit::Done)
    }
}

/// Returns the attempt that made a digest, and the name of the output.
fn maker<'a>(graph: &'a Graph, digest: &Digest) -> Option<(&'a Attempt, &'a str)> {
    graph.attempts.iter().rev().find_map(|attempt| {
        attempt.outputs.iter().find(|output| output.digest == *digest).map(|output| (attempt, output.name.as_str()))
    })
}

fn tree(graph: &Graph, root: &Digest) -> String {
    let mut text = String::new();
    let mut shown = BTreeSet::new();
    let mut open = vec![(*root, String::new(), None, 0)];
    while let Some((digest, port, origin, depth)) = open.pop() {
        let indent = "  ".repeat(depth);
        let Some((attempt, name)) = maker(graph, &digest) else {
            let origin: Option<String> = origin;
            let origin = humanize::escaped(&origin.unwrap_or_default());
            text.push_str(&format!("{indent}{port} {} {origin}\n", digest.short()));
            continue;
        };
        let when = humanize::moment(attempt.started_ms);
        text.push_str(&format!(
            "{indent}{name} {} by {} ({when} UTC, attempt {})",
            digest.short(),
            attempt.instance,
            attempt.id
        ));
        if !shown.insert(attempt.id.clone()) {
            text.push_str(", as above\n");
            continue;
        }
        text.push('\n');
        for input in attempt.inputs.iter().rev() {
            open.push((input.digest, input.port.clone(), input.origin.clone(), depth + 1));
        }
    }
    text
}

/// The nodes and edges of the graph. A node is its name (`a0`, `a1`, … for attempts, `d0`, `d1`, … for data), its
/// label, and whether it is an attempt; an edge is from, to and label.
struct Edges {
    nodes: Vec<(String, String, bool)>,
    edges: Vec<(String, String, String)>,
}

fn edges(graph: &Graph) -> Edges {
    let mut nodes = Vec::new();
    let mut edges = Vec::new();
    let mut data: BTreeMap<Digest, String> = BTreeMap::new();
    let name_of = |attempt: &Attempt| {
        graph.attempts.iter().position(|other| other.id == attempt.id).map(|position| format!("a{position}"))
    };
    for (position, attempt) in graph.attempts.iter().enumerate() {
        let name = format!("a{position}");
        nodes.push((name.clone(), attempt.instance.clone(), true));
        for input in &attempt.inputs {
            let from = match maker(graph, &input.digest).and_then(|(maker, _)| name_of(maker)) {
                Some(from) => from,
                None => {
                    let next = format!("d{}", data.len());
                    data.entry(input.digest)
                        .or_insert_with(|| {
                            let label = input.origin.as_deref().map(humanize::escaped);
                            let label = label.unwrap_or_else(|| input.digest.short());
                            nodes.push((next.clone(), label, false));
                            next
                        })
                        .clone()
                }
            };
            edges.push((from, name.clone(), input.port.clone()));
        }
    }
    Edges { nodes, edges }
}

fn dot(graph: &Graph) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let Edges { nodes, edges } = edges(graph);
    let mut text = "digraph lineage {\n  rankdir=LR;\n".to_owned();
    for (name, label, made) in nodes {
        let shape = if made { "box" } else { "ellipse" };
        text.push_str(&format!("  {name} [shape={shape}, label={}];\n", quoted(&label)));
    }
    for (from, to, label) in edges {
        text.push_str(&format!("  {from} -> {to} [label={}];\n", quoted(&label)));
    }
    text.push_str("}\n");
    text
}

fn mermaid(graph: &Graph) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "#quot;"));
    let Edges { nodes, edges } = edges(graph);
    let mut text = "flowchart LR\n".to_owned();
    for (name, label, made) in nodes {
        let (open, close) = if made { ("[", "]") } else { ("([", "])") };
        text.push_str(&format!("  {name}{open}{}{close}\n", quoted(&label)));
    }
    for (from, to, label) in edges {
        text.push_str(&format!("  {from} -->|{}| {to}\n", quoted(&label)));
    }
    text
}
