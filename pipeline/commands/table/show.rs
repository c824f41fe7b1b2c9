use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tfnas_humanize::Columns;

use crate::commands::table::read;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Show the origin of a table, and each key with its widths and latencies
#[derive(Args, Debug)]
pub struct Show {
    /// The table
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Show {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let table = read(&self.file)?;
        let header = table.header();
        if options.json {
            let curves = table.curves().iter().map(|(key, curve)| {
                let knots: Vec<_> = curve.knots().iter().map(|knot| json!([knot.width, knot.ms])).collect();
                json!({ "key": key.to_string(), "knots": knots })
            });
            print_json(&json!({
                "name": header.name,
                "device": header.device,
                "batch": header.batch,
                "threads": header.threads,
                "framework": header.framework,
                "source": header.source,
                "licence": header.licence,
                "base_ms": table.base_ms(),
                "curves": curves.collect::<Vec<_>>(),
            }));
            return Ok(Exit::Done);
        }
        let mut head = Columns::plain(2);
        head.row(["name", &header.name]);
        for (name, value) in header.details() {
            if let Some(value) = value {
                head.row([name, &value]);
            }
        }
        head.row(["base_ms", &table.base_ms().to_string()]);
        let mut rows = Columns::new(&["key", ">knots", ">widths", ">smallest ms", ">largest ms"]);
        for (key, curve) in table.curves() {
            let ms = |width| curve.ms(width).map(|ms| format!("{ms:.4}")).unwrap_or_default();
            rows.row([
                key.to_string(),
                curve.knots().len().to_string(),
                format!("{} to {}", curve.first_width(), curve.last_width()),
                ms(curve.first_width()),
                ms(curve.last_width()),
            ]);
        }
        print(&format!("{head}\n{rows}"));
        Ok(Exit::Done)
    }
}
