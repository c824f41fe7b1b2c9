//! Reads the contents of a run's page, which `tfnas_report` draws, from the store.

mod facts;
mod live;
mod live_page;
mod mistakes;
mod networks;
mod write;

use tfnas_artifacts::{Attempt, Cache, LedgerError, Outcome, Purpose, Run};
use tfnas_events::{RunProgress, StageProgress, StageState};
use tfnas_report::Report;
use tfnas_stages::Stage;

use crate::epoch_metrics::{Series, epoch_metrics};

pub use live_page::LivePage;
pub use write::{PageError, write_beside, write_comparison, write_figures, write_page};

/// An attempt that a run has made, or whose result it has reused.
pub struct Part {
    pub attempt: Attempt,
    /// Whether the run has made it.
    pub made: bool,
    /// What the worker has reported, if there is no result.
    pub progress: Option<StageProgress>,
}

impl Part {
    /// Returns whether the attempt has a result.
    pub fn is_done(&self) -> bool {
        self.attempt.outcome == Some(Outcome::Done)
    }

    /// Returns the values in the name of the instance, such as `12`; empty if there are none.
    pub fn label(&self) -> &str {
        self.attempt.instance.split_once('@').map_or("", |(_, label)| label)
    }

    /// Returns whether the page can show something of its outputs.
    fn is_shown(&self) -> bool {
        self.is_done() || self.progress.as_ref().is_some_and(|progress| !progress.series.is_empty())
    }

    fn stage(&self) -> Option<Stage> {
        Stage::by_name(&self.attempt.stage)
    }
}

/// Whether the page shows test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Thumbnails of the worst mistakes, and their paths.
    Shown,
    /// Neither thumbnails nor paths.
    LeftOut,
}

/// Reads the contents of a run's page.
///
/// # Errors
/// Returns an error if the ledger cannot be read. Outputs that cannot be read are listed on the page.
pub fn gather(cache: &Cache, run: &Run, images: Images) -> Result<Report, LedgerError> {
    let progress = live::progress(cache, run);
    let parts = parts(cache, run, &progress)?;
    let networks = networks::networks(cache, run, &parts, images);
    Ok(Report { run: facts::run(cache, run, &parts, &progress), networks })
}

/// Returns the metrics of the epochs of a run, by instance in the order of the stages; of stages without a result those that
/// their workers have reported.
///
/// # Errors
/// Returns an error if the ledger cannot be read.
pub fn metrics(cache: &Cache, run: &Run) -> Result<Vec<(String, Series)>, LedgerError> {
    let parts = parts(cache, run, &live::progress(cache, run))?;
    let metrics = parts.into_iter().map(|part| {
        let series = match &part.progress {
            Some(progress) => progress.series.clone(),
            None => epoch_metrics(cache, &part.attempt),
        };
        (part.attempt.instance, series)
    });
    Ok(metrics.collect())
}

/// Returns the results of a run in the order of the stages.
///
/// # Errors
/// Returns an error if the ledger cannot be read.
pub fn results(cache: &Cache, run: &Run) -> Result<Vec<Attempt>, LedgerError> {
    let parts = parts(cache, run, &RunProgress::default())?;
    Ok(parts.into_iter().filter(Part::is_done).map(|part| part.attempt).collect())
}

/// Returns the attempts of a run in the order of the stages. If there are several of an instance, only the last one.
fn parts(cache: &Cache, run: &Run, progress: &RunProgress) -> Result<Vec<Part>, LedgerError> {
    let ledger = cache.ledger();
    let used = ledger.used_by(run.id)?.into_iter().map(|attempt| Part { attempt, made: false, progress: None });
    let made = ledger.made_by(run.id)?.into_iter().map(|attempt| Part { attempt, made: true, progress: None });
    let mut parts: Vec<Part> = Vec::new();
    for part in used.chain(made).filter(|part| part.attempt.purpose == Purpose::Run) {
        parts.retain(|earlier| earlier.attempt.instance != part.attempt.instance);
        parts.push(part);
    }
    for stage in progress.stages.iter().filter(|stage| !stage.attempt.is_empty()) {
        let attempt = parts.iter_mut().find(|part| part.attempt.id.as_str() == stage.attempt);
        match attempt {
            Some(part) if !part.is_done() => part.progress = Some(stage.clone()),
            Some(_) => {}
            // A job that an earlier run has submitted: the attempt belongs to that run.
            None if stage.state == StageState::Running || stage.state == StageState::Queued => {
                let attempt = stage.attempt.parse().ok().map(|id| ledger.attempt(&id)).transpose()?.flatten();
                parts.extend(attempt.map(|attempt| Part { attempt, made: true, progress: Some(stage.clone()) }));
            }
            None => {}
        }
    }
    let place = |part: &Part| Stage::ALL.iter().position(|stage| Some(*stage) == part.stage());
    parts.sort_by(|one, other| {
        (place(one), one.attempt.started_ms, &one.attempt.instance).cmp(&(
            place(other),
            other.attempt.started_ms,
            &other.attempt.instance,
        ))
    });
    Ok(parts)
}
