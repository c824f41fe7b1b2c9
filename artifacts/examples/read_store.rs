//! Lists the last run in a store and the files that it made: `read_store FOLDER`, for example `read_store .tfnas`.

use std::path::Path;

use tfnas_artifacts::Cache;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("usage: read_store FOLDER")?;
    let cache = Cache::open_to_read(Path::new(&folder))?;
    let ledger = cache.ledger();
    let Some(run) = ledger.runs(None, 1)?.pop() else {
        println!("the store has no runs");
        return Ok(());
    };
    println!("run {}: {}", run.id, run.arguments.join(" "));
    for attempt in ledger.made_by(run.id)? {
        println!("{} ({})", attempt.instance, attempt.id);
        for output in &attempt.outputs {
            // Reads the file again and compares its digest.
            let path = cache.open_verified(&output.digest)?;
            println!("  {} {} {}", output.digest.short(), output.name, path.display());
        }
    }
    Ok(())
}
