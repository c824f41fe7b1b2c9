//! The page of a run: what `tfnas_report` draws, read from the store.

mod facts;
mod mistakes;
mod networks;
mod write;

use tfnas_artifacts::{Attempt, Cache, LedgerError, Outcome, Purpose, Run};
use tfnas_report::Report;
use tfnas_stages::Stage;

pub use write::{PageError, write_beside, write_comparison, write_figures, write_page};

/// An attempt that a run made, or whose result it used.
pub struct Part {
    /// The attempt.
    pub attempt: Attempt,
    /// Whether the run made it.
    pub made: bool,
}

impl Part {
    /// Whether it has a result.
    pub fn is_done(&self) -> bool {
        self.attempt.outcome == Some(Outcome::Done)
    }

    /// What a list in the configuration adds to the name of the stage, as `12`; empty without one.
    pub fn label(&self) -> &str {
        self.attempt.instance.split_once('@').map_or("", |(_, label)| label)
    }

    fn stage(&self) -> Option<Stage> {
        Stage::by_name(&self.attempt.stage)
    }
}

/// Whether a page shows test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Pictures of the worst mistakes, and their paths.
    Shown,
    /// Neither.
    LeftOut,
}

/// Reads everything that the page of a run shows.
///
/// # Errors
/// Returns an error if the ledger cannot be read. The page lists outputs that cannot be read.
pub fn gather(cache: &Cache, run: &Run, images: Images) -> Result<Report, LedgerError> {
    let parts = parts(cache, run)?;
    let networks = networks::networks(cache, run, &parts, images);
    Ok(Report { run: facts::run(cache, run, &parts), networks })
}

/// The attempts of a run, in the order of the stages; of several attempts of an instance the last one.
fn parts(cache: &Cache, run: &Run) -> Result<Vec<Part>, LedgerError> {
    let ledger = cache.ledger();
    let used = ledger.used_by(run.id)?.into_iter().map(|attempt| Part { attempt, made: false });
    let made = ledger.made_by(run.id)?.into_iter().map(|attempt| Part { attempt, made: true });
    let mut parts: Vec<Part> = Vec::new();
    for part in used.chain(made).filter(|part| part.attempt.purpose == Purpose::Run) {
        parts.retain(|earlier| earlier.attempt.instance != part.attempt.instance);
        parts.push(part);
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
