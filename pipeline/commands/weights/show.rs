use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use tfnas_artifacts::Digest;
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::network_file::WeightsBytes;
use tfnas_pytorch_files::checkpoint::{Checkpoint, Field, StateDict, Wanted, WeightsFile, WeightsFormat};

use crate::commands::weights::{KeyOption, wrong};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Show the tensors of a file: names, dtypes, shapes, and values that are not finite
#[derive(Args, Debug)]
pub struct Show {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    key: KeyOption,
}

impl Show {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let file = WeightsBytes::read(&self.file)?;
        let bytes = file.bytes();
        let Contents { format, state, fields, foreign } =
            contents(bytes, &self.key.wanted()).map_err(|error| wrong(&self.file, error))?;
        let digest = file.digest();
        if options.json {
            let tensors = state.tensors.iter().map(|(name, tensor)| {
                json!({
                    "name": name,
                    "dtype": tensor.dtype().name(),
                    "shape": tensor.shape(),
                    "not_finite": tensor.not_finite(),
                    "digest": Digest::of_bytes(&tensor.bytes()).to_string(),
                })
            });
            print_json(&json!({
                "format": format.to_string(),
                "digest": digest.to_string(),
                "bytes": bytes.len(),
                "module_prefix": state.module_prefix(),
                "prefix": state.prefix,
                "key": state.key,
                "others": state.others.iter().map(|(key, tensors)| json!({ "key": key, "tensors": tensors })).collect::<Vec<_>>(),
                "not_executed": foreign,
                "fields": fields.into_iter().map(|(name, field)| (name, as_json(field))).collect::<Map<_, _>>(),
                "tensors": tensors.collect::<Vec<_>>(),
            }));
            return Ok(Exit::Done);
        }
        let elements: usize = state.tensors.iter().map(|(_, tensor)| tensor.elements()).sum();
        let mut head = Columns::plain(2);
        head.row(["format", &format.to_string()]);
        head.row(["digest", &digest.to_string()]);
        head.row(["size", &humanize::bytes(bytes.len() as u64)]);
        head.row(["names", &names(&state.prefix)]);
        if !state.key.is_empty() {
            head.row(["key", &state.key.escape_debug().to_string()]);
        }
        for (key, tensors) in &state.others {
            head.row(["also", &format!("{} ({tensors} tensors; --key)", key.escape_debug())]);
        }
        if !foreign.is_empty() {
            head.row(["not executed", &foreign.join(", ")]);
        }
        for (name, field) in fields {
            head.row([name, as_text(field)]);
        }
        head.row(["numbers", &humanize::count(elements as f64)]);
        let mut rows = Columns::new(&["name", "dtype", "shape", ">not finite"]);
        for (name, tensor) in &state.tensors {
            let not_finite = Some(tensor.not_finite()).filter(|count| *count > 0);
            rows.row([
                name.clone(),
                tensor.dtype().to_string(),
                format!("{:?}", tensor.shape()),
                not_finite.map(|count| count.to_string()).unwrap_or_default(),
            ]);
        }
        print(&format!("{head}\n{rows}"));
        Ok(Exit::Done)
    }
}

/// Describes the common prefix that was removed from the names.
fn names(prefix: &str) -> String {
    match prefix {
        "" => "as they are".to_owned(),
        prefix => format!("begin with {}, omitted here", prefix.escape_debug()),
    }
}

struct Contents<'a> {
    format: WeightsFormat,
    state: StateDict<'a>,
    /// Fields of the checkpoint besides its tensors.
    fields: Vec<(String, Field)>,
    /// The names of code in the file.
    foreign: Vec<String>,
}

fn contents<'a>(bytes: &'a [u8], wanted: &Wanted<'_>) -> Result<Contents<'a>, Box<dyn Error + Send + Sync>> {
    if matches!(WeightsFormat::of(bytes), Some(WeightsFormat::Safetensors) | None) {
        let WeightsFile { format, state_dict: state } = WeightsFile::find(bytes, wanted)?;
        return Ok(Contents { format, state, fields: Vec::new(), foreign: Vec::new() });
    }
    let checkpoint = Checkpoint::parse(bytes)?;
    let state = checkpoint.find(wanted)?;
    let fields = checkpoint.fields(&state);
    Ok(Contents { format: checkpoint.format(), state, fields, foreign: checkpoint.foreign() })
}

fn as_json(field: Field) -> Value {
    match field {
        Field::Number(number) => json!(number),
        Field::Text(text) => json!(text),
        Field::Bool(value) => json!(value),
        Field::None => Value::Null,
        Field::Other(kind) => json!({ "kind": kind }),
    }
}

fn as_text(field: Field) -> String {
    match field {
        Field::Number(number) => number.to_string(),
        Field::Text(text) => text.escape_debug().to_string(),
        Field::Bool(value) => value.to_string(),
        Field::None => "none".to_owned(),
        Field::Other(kind) => format!("({kind})"),
    }
}
