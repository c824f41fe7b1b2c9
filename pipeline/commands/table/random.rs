use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tfnas::{Architecture, ModelConfig, cost};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_random::{Stream, StreamId};

use crate::commands::table::read;
use crate::configured;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::{Options, parse_classes};
use crate::report::{print, print_json};

/// Draw random architectures of one latency, as a baseline for a searched network
///
/// Each is written as OUT/random-N.config; `run train test --from FILE` trains and tests one of them.
#[derive(Args, Debug)]
pub struct Random {
    /// The table
    #[arg(long, value_name = "FILE")]
    table: PathBuf,

    /// The space: a name, or a file that ends in .yaml [default: that of the configuration, else imagenet]
    #[arg(long)]
    space: Option<String>,

    /// The largest latency, in milliseconds of the table
    #[arg(long, value_name = "MS")]
    target_lat_ms: f64,

    /// How much faster than the target they may be, in milliseconds [default: 2 % of the target]
    #[arg(long, value_name = "MS")]
    tolerance_ms: Option<f64>,

    /// The seed of the draw
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// The number of architectures
    #[arg(long, default_value_t = 5, value_name = "N")]
    count: u32,

    /// The number of classes [default: that of the space, else of the configuration's images]
    #[arg(long, value_name = "N", value_parser = parse_classes)]
    classes: Option<usize>,

    /// The folder to write to
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

impl Random {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let space = configured::space(options, self.space.as_deref())?;
        let table = read(&self.table)?;
        let classes = match self.classes.or(space.definition().classes) {
            Some(classes) => classes,
            None => configured::of_configuration(options)?.ok_or_else(|| {
                let message = "the number of classes is not known: the space does not set it, and there is no \
                               configuration with images";
                CommandError::usage(message)
                    .with_hint("set it with --classes N, or set the configuration of the images with --config FILE")
            })?,
        };
        let tolerance_ms = self.tolerance_ms.unwrap_or(self.target_lat_ms * 0.02);
        let resolution = space.definition().resolution;
        let cannot =
            |error: std::io::Error| CommandError::usage(format!("cannot write to {}: {error}", self.out.display()));
        std::fs::create_dir_all(&self.out).map_err(cannot)?;
        let mut drawn = Vec::new();
        for index in 0..self.count {
            let mut stream = Stream::new(self.seed, StreamId::RandomArchitecture, 0, index);
            let architecture = Architecture::random_near(&space, &table, self.target_lat_ms, tolerance_ms, &mut stream)
                .map_err(|error| CommandError::failed(format!("{}: {error}", self.table.display())))?;
            let predicted_lat_ms = table
                .architecture_ms(&space, &architecture)
                .map_err(|error| CommandError::failed(format!("{}: {error}", self.table.display())))?;
            let config = ModelConfig::from_architecture(&space, &architecture, classes)
                .map_err(|error| CommandError::failed(error.to_string()))?;
            let file = self.out.join(format!("random-{index}.config"));
            tfnas_fs::write_atomic(&file, config.to_text().as_bytes()).map_err(cannot)?;
            drawn.push((file, predicted_lat_ms, cost::parameters(&config), cost::flops(&config, resolution)));
        }
        if options.json {
            let networks = drawn.iter().map(|(file, predicted_lat_ms, parameters, flops)| {
                json!({ "file": file.display().to_string(), "predicted_lat_ms": predicted_lat_ms, "parameters": parameters, "flops": flops })
            });
            print_json(&json!({ "networks": networks.collect::<Vec<_>>() }));
        } else {
            let mut columns = Columns::new(&["file", ">predicted ms", ">parameters", ">multiply-adds"]);
            for (file, ms, parameters, flops) in drawn {
                let file = file.display().to_string();
                columns.row([
                    file,
                    format!("{ms:.3}"),
                    humanize::count(parameters as f64),
                    humanize::count(flops as f64),
                ]);
            }
            print(&columns.to_string());
        }
        Ok(Exit::Done)
    }
}
