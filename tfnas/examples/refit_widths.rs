//! Fits the widths of a random architecture of the published space to a latency on a Titan RTX: `refit_widths [MS]`.

use tfnas::elasticity::refit;
use tfnas::exact_fit::fit_exactly;
use tfnas::{Architecture, LatencyTable, Space};
use tfnas_random::{Stream, StreamId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target_ms: f64 = std::env::args().nth(1).map_or(Ok(9.0), |text| text.parse())?;
    let space = Space::imagenet();
    let table = LatencyTable::titan_rtx();
    let architecture = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    println!("{:.4} ms: a random architecture", table.architecture_ms(&space, &architecture)?);

    // The authors' elasticity-scaling changes widths only, and may miss the target.
    let scaled = refit(&space, &architecture, &table, target_ms)?;
    println!("{:.4} ms: elasticity-scaling to {target_ms} ms", scaled.after_ms);

    // The exact fit meets every reachable target, if necessary with other operations or fewer blocks.
    let fitted = fit_exactly(&space, &architecture, &table, target_ms, None)?;
    println!("{:.4} ms: exact fit, with {} changes of operations and depth", fitted.after_ms, fitted.changes.len());
    print!("{}", fitted.architecture.describe(&space));
    Ok(())
}
