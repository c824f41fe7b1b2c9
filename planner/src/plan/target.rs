use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tfnas::{LatencyTable, TableError};
use tfnas_stages::{Stage, UnreachableTarget};

use crate::config::Origin;
use crate::plan::{Action, External, InputSource, PlanError, Planner};
use crate::table_file::{self, ReadTableError};

/// A target latency or a latency table given by the user is invalid.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No network of the space reaches the target latency.
    #[error("{source} (the table is {})", table.display())]
    Unreachable {
        /// Where the target is set.
        origin: Origin,
        /// Path of the table.
        table: PathBuf,
        /// The target, and the range that can be reached.
        source: UnreachableTarget,
    },
    /// The table has no entries for operations of the space.
    #[error("lookup.import: {}: {source}", table.display())]
    Table {
        /// Path of the table.
        table: PathBuf,
        /// The missing entries.
        source: TableError,
    },
    /// The table was measured on another device or in another way.
    #[error("lookup.import: {}: {difference}", table.display())]
    OtherDevice {
        /// Path of the table.
        table: PathBuf,
        /// What differs, and both values.
        difference: String,
    },
    /// The file is not a latency table.
    #[error("lookup.import: {0}")]
    Read(#[from] ReadTableError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Checks the targets of all searches among `instances` that may run and whose latency table is already available,
/// imported or cached.
///
/// # Errors
/// Returns [`TargetError`] for the first target or table that is invalid.
pub fn check_targets(planner: &Planner<'_>, instances: &BTreeSet<usize>) -> Result<(), TargetError> {
    let all = instances.iter().copied().filter(|at| planner.graph.instances[*at].stage == Stage::Search).collect();
    let plan = planner.plan(&all, &BTreeSet::new())?;
    let may_run = |search: &usize| plan.step(*search).is_some_and(|step| step.action != Action::Cached);
    let searches = || all.iter().copied().filter(may_run);
    let lookups: BTreeSet<usize> = searches().filter_map(|search| lookup_of(planner, search)).collect();
    for lookup in lookups {
        let step = plan.step(lookup);
        let made = step.and_then(|step| step.hit.as_ref()).and_then(|hit| hit.output("latency.table"));
        let path = match (made, imported(planner, lookup)) {
            (Some(output), _) => match planner.cache.open_verified(&output.digest) {
                Ok(path) => path,
                // The table will be recreated; then the worker checks the target.
                Err(_) => continue,
            },
            (None, Some(path)) => path.to_owned(),
            (None, None) => continue,
        };
        let table = table_file::read(&path, || table_file::named_after(&path))?;
        if imported(planner, lookup).is_some() {
            check_identity(planner, lookup, &path, &table)?;
        }
        let of_lookup = searches().filter(|search| lookup_of(planner, *search) == Some(lookup));
        of_lookup.into_iter().try_for_each(|search| check_target(planner, search, &path, &table))?;
    }
    Ok(())
}

/// Checks that an imported table was measured on the device of its searches, in the way that `lookup` describes. A table that
/// does not state it is accepted.
fn check_identity(planner: &Planner<'_>, lookup: usize, path: &Path, table: &LatencyTable) -> Result<(), TargetError> {
    let section = &planner.variant(lookup).config.lookup;
    let header = table.header();
    let device = planner.device(lookup).known_model();
    let number = |found: Option<usize>, wanted: usize, key: &str| {
        let found = found.filter(|found| *found != wanted)?;
        Some(format!("it was measured with {key} {found}, and lookup.{key} is {wanted}"))
    };
    let of_device = header.device.as_ref().zip(device).filter(|(found, here)| *found != here);
    let difference = of_device
        .map(|(found, here)| format!("it was measured on {found}, and this device is {here}"))
        .or_else(|| number(header.batch, section.batch, "batch"))
        .or_else(|| number(header.threads, section.threads, "threads"));
    match difference {
        Some(difference) if !section.other_device => {
            Err(TargetError::OtherDevice { table: path.to_owned(), difference })
        }
        _ => Ok(()),
    }
}

fn check_target(planner: &Planner<'_>, search: usize, path: &Path, table: &LatencyTable) -> Result<(), TargetError> {
    let variant = planner.variant(search);
    let wrong = |source| TargetError::Table { table: path.to_owned(), source };
    table.check_covers(&variant.space).map_err(wrong)?;
    let reachable = table.reachable_ms(&variant.space).map_err(wrong)?;
    let target = variant.config.search.target_lat_ms.within(&reachable);
    target.map(|_| ()).map_err(|source| TargetError::Unreachable {
        origin: variant.origin_of("search.target_lat_ms"),
        table: path.to_owned(),
        source,
    })
}

fn lookup_of(planner: &Planner<'_>, search: usize) -> Option<usize> {
    let upstream = planner.graph.upstream(search);
    upstream.into_iter().find(|at| planner.graph.instances[*at].stage == Stage::Lookup)
}

fn imported<'a>(planner: &Planner<'a>, lookup: usize) -> Option<&'a Path> {
    planner.graph.instances[lookup].inputs.iter().find_map(|input| match &input.source {
        InputSource::External(External::File { path, .. }) => Some(path.as_path()),
        _ => None,
    })
}
