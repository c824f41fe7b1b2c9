use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tfnas::{ModelConfig, cost};
use tfnas_humanize as humanize;
use tfnas_planner::config::space_named;
use tfnas_planner::network_file::WeightsBytes;
use tfnas_pytorch_files::checkpoint::Checkpoint;

use crate::commands::weights::{KeyOption, write, wrong};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::{Options, parse_classes};
use crate::report::{print, print_json};

/// The default number of classes in the original.
const PUBLISHED_CLASSES: usize = 1000;

/// Write the model.config of a search checkpoint of the original (searched_model_NN.pth.tar), as the original parses it
#[derive(Args, Debug)]
pub struct Parse {
    /// The search's checkpoint
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The space: a name, or a file that ends in .yaml
    #[arg(long, default_value = "imagenet")]
    space: String,

    /// The number of classes [default: that of the space, else 1000 as in the original]
    #[arg(long, value_name = "N", value_parser = parse_classes)]
    classes: Option<usize>,

    /// The model.config to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    key: KeyOption,
}

impl Parse {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let space = space_named(&self.space)?;
        let bytes = WeightsBytes::read(&self.file)?;
        let checkpoint = Checkpoint::parse(bytes.bytes()).map_err(|error| wrong(&self.file, error))?;
        let search =
            checkpoint.search_under(&space, self.key.wanted().key).map_err(|error| wrong(&self.file, error))?;
        let architecture = search.architecture(&space).map_err(|error| wrong(&self.file, error))?;
        let classes = self.classes.or(space.definition().classes).unwrap_or(PUBLISHED_CLASSES);
        let config = ModelConfig::from_architecture(&space, &architecture, classes);
        let config = config.map_err(|error| wrong(&self.file, error))?;
        let (parameters, flops) = (cost::parameters(&config), cost::flops(&config, space.definition().resolution));
        let (count, text) = (humanize::count, config.to_text());
        tracing::info!("{} parameters, {} multiply-adds", count(parameters as f64), count(flops as f64));
        match &self.out {
            Some(out) => write(out, text.as_bytes())?,
            None if !options.json => print(&text),
            None => {}
        }
        if options.json {
            print_json(&json!({
                "architecture": architecture,
                "config": text,
                "parameters": parameters,
                "flops": flops,
            }));
        }
        Ok(Exit::Done)
    }
}
