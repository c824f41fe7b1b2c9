//! Reads the contents of a run's page, which `tfnas_report` draws, from the store.

mod facts;
mod mistakes;
mod networks;
mod write;

use tfnas_artifacts::{Attempt, Cache, LedgerError, Outcome, Purpose, Run};
use tfnas_report::Report;
use tfnas_stages::Stage;

pub use write::{PageError, write_beside, write_comparison, write_figures, write_page};

/// An attempt that a run has made, or whose result it has reused.
pub struct Part {
    pub attempt: Attempt,
    /// Whether the run has made it.
    pub made: bool,
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
    let parts = parts(cache, run)?;
    let networks = networks::networks(cache, run, &parts, images);
    Ok(Report { run: facts::run(cache, run, &parts), networks })
}

/// Returns the attempts of a run in the order of the stages. If there are several of an instance, only the last one.
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
