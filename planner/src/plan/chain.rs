use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::plan::{Cause, Changes, Plan, PlanError, Planner};

/// Returns why an instance runs or may run, along the chain to its causes: first its own changes; then, for each input
/// that changed, why the instance that makes it made another one. `via` is none for the instance's own fields, else
/// the instance through which a change comes.
///
/// # Errors
/// [`PlanError`] when the ledger cannot be read.
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

/// Why an instance runs; or, when its result is there, in what that differs from the one that made `old_output`.
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
