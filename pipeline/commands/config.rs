use clap::Args;
use serde_json::Value;
use tfnas_humanize::Columns;
use tfnas_planner::config::{Configuration, schema};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Print the effective configuration: every key, its value, and where the value came from
#[derive(Args, Debug)]
pub struct Config {
    /// Print the JSON Schema of pipeline.yaml instead, for editors
    #[arg(long)]
    schema: bool,
}

impl Config {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        if self.schema {
            print_json(&schema());
            return Ok(Exit::Done);
        }
        let configuration = Configuration::load(options.config.as_deref(), &options.sets)?;
        let complete = configuration.complete();
        if options.json {
            print_json(&complete);
        } else {
            let mut columns = Columns::new(&["key", "value", "from"]);
            rows("", &complete, &configuration, &mut columns);
            print(&columns.to_string());
        }
        Ok(Exit::Done)
    }
}

fn rows(above: &str, value: &Value, configuration: &Configuration, columns: &mut Columns) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let key = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
                rows(&key, value, configuration, columns);
            }
        }
        // Its list is below `matrix`.
        other if configuration.axis(above).is_some() && !other.is_array() => {}
        other => {
            let origin = configuration.origin_of(above).to_string();
            let text = other.as_str().map_or_else(|| other.to_string(), str::to_owned);
            columns.row([above, text.as_str(), origin.as_str()]);
        }
    }
}
