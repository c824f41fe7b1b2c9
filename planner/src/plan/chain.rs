use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::plan::{Cause, Changes, Plan, PlanError, Planner};

/// Returns why an instance runs or may run: its own changes, followed by those of the upstream instances that produced
/// its changed inputs, recursively. `via` is `None` for changes of the instance itself, else the upstream instance that
/// a change comes from.
///
/// # Errors
/// Returns [`PlanError`] if the ledger cannot be read.
pub fn chain(planner: &Planner<'_>, plan: &Plan, instance: usize) -> Result<Changes, PlanError> {
    let mut causes = Vec::new();
    let mut seen = BTreeSet::from([instance]);
    let mut open = VecDeque::from([(instance, None)]);
    while let Some((here, old_output)) = open.pop_front() {
        let id = &planner.graph.instances[here].id;
        for cause in changes(planner, plan, here, old_output.as_ref())? {
            if let Some(via) = &cause.via
                && let Some(upstream) = planner.graph.by_id(via)
                && seen.insert(upstream)
            {
                open.push_back((upstream, cause.old.clone()));
            }
            let own = here == instance;
            let via = cause.via.clone().or_else(|| (!own).then(|| id.clone()));
            causes.push(Cause { via, ..cause });
        }
    }
    Ok(causes)
}

/// Returns why an instance runs; if it is cached, how its result differs from the one that produced `old_output`.
fn changes(
    planner: &Planner<'_>,
    plan: &Plan,
    instance: usize,
    old_output: Option<&Value>,
) -> Result<Changes, PlanError> {
    let Some(step) = plan.step(instance) else { return Ok(Vec::new()) };
    if !step.because.is_empty() {
        return Ok(step.because.clone());
    }
    let old = old_output.and_then(Value::as_str).and_then(|digest| digest.parse().ok());
    let (Some(manifest), Some(digest)) = (&step.manifest, old) else { return Ok(Vec::new()) };
    match planner.cache.ledger().makers(&digest)?.into_iter().next() {
        Some(maker) => Ok(planner.differences(instance, &maker.manifest, manifest)),
        None => Ok(Vec::new()),
    }
}
