use clap::Args;
use serde_json::json;
use tfnas_artifacts::Cache;
use tfnas_humanize as humanize;
use tfnas_planner::plan::{External, ExternalInputs, select};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::{Setup, store_folder};

/// Verify the checksum of every artifact, quarantine damaged ones, and list missing ones
#[derive(Args, Debug)]
pub struct Verify {
    /// Also hash all images of the configuration, to find files that changed without a new modification time
    #[arg(long)]
    deep: bool,
}

impl Verify {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let cache = Cache::open(&store_folder(options))?;
        let found = cache.verify(&|_| {})?;
        let changed = if self.deep { changed_data(options, &cache)? } else { Vec::new() };
        let sound = found.is_sound() && changed.is_empty();
        let damaged: Vec<String> = found.damaged.iter().map(ToString::to_string).collect();
        if options.json {
            print_json(&json!({
                "sound": sound,
                "objects": found.objects,
                "bytes": found.bytes,
                "damaged": damaged,
                "missing": found.missing,
                "ledger": found.ledger,
                "changed": changed,
            }));
        } else {
            let mut text = String::new();
            damaged.iter().for_each(|line| text.push_str(&format!("{line}\n")));
            found.missing.iter().for_each(|digest| text.push_str(&format!("artifact {digest} is missing\n")));
            found.ledger.iter().for_each(|line| text.push_str(&format!("the ledger: {line}\n")));
            changed.iter().for_each(|path| text.push_str(&format!("{} changed unnoticed\n", humanize::escaped(path))));
            text.push_str(&format!("{} artifacts of {} read", found.objects, humanize::bytes(found.bytes)));
            text.push_str(if sound { ": no damage found\n" } else { ": `run all` recreates what is needed\n" });
            print(&text);
        }
        Ok(if sound { Exit::Done } else { Exit::Failed })
    }
}

/// Returns the image folders whose contents differ from the cached digests.
fn changed_data(options: &Options, cache: &Cache) -> Result<Vec<String>, CommandError> {
    let setup = Setup::new(options)?;
    let all = select(&setup.graph, &["all".to_owned()])?;
    let memos = cache.store().folder_memos();
    let (mut remembered, mut read) = (ExternalInputs::default(), ExternalInputs::default());
    let never = |_: &std::path::Path| false;
    remembered.identify(&setup.graph, all.iter().copied(), Some(&memos), &never)?;
    read.identify(&setup.graph, all, None, &never)?;
    let differs = |external: &&External| {
        let digest = |inputs: &ExternalInputs| inputs.get(external).map(|resolved| resolved.digest);
        digest(&remembered) != digest(&read)
    };
    Ok(read.known().filter(differs).map(|external| external.path().display().to_string()).collect())
}
