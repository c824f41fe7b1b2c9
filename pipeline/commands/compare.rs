use std::collections::BTreeMap;

use clap::Args;
use serde_json::json;
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::plan::select;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{networks, print, print_json};
use crate::session::Setup;

/// Compare the networks found so far: latency, parameters, multiply-adds, accuracy
#[derive(Args, Debug)]
pub struct Compare {}

impl Compare {
    /// Prints the table of all results that the configuration gives and that are there.
    ///
    /// # Errors
    /// What is wrong with the configuration, the store or the data.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let setup = Setup::new(options)?;
        let all = select(&setup.graph, &["all".to_owned()])?;
        let mut session = setup.read()?;
        session.identify(&all)?;
        let plan = session.planner().plan(&all, &Default::default())?;
        let results: BTreeMap<_, _> =
            plan.steps.iter().filter_map(|step| Some((step.instance, step.hit.clone()?))).collect();
        let networks = networks(&session.graph, &session.cache, &results);
        if options.json {
            print_json(&json!({ "networks": networks }));
            return Ok(Exit::Done);
        }
        let mut columns = Columns::new(&[
            "network",
            ">target ms",
            ">predicted ms",
            ">measured ms",
            ">parameters",
            ">multiply-adds",
            ">top-1 %",
            ">top-5 %",
        ]);
        let ms = |ms: Option<f64>| ms.map_or("-".to_owned(), |ms| format!("{ms:.3}"));
        let percent = |share: Option<f64>| share.map_or("-".to_owned(), |share| format!("{:.2}", share * 100.0));
        let count = |count: Option<u64>| count.map_or("-".to_owned(), |count| humanize::count(count as f64));
        for network in &networks {
            columns.row([
                network.id.clone(),
                ms(network.target_lat_ms),
                ms(network.predicted_lat_ms),
                ms(network.measured_lat_ms),
                count(network.parameters),
                count(network.flops),
                percent(network.top1),
                percent(network.top5),
            ]);
        }
        print(&columns.to_string());
        if networks.is_empty() {
            tracing::info!("no network was found yet: `run all` searches one");
        }
        Ok(Exit::Done)
    }
}
