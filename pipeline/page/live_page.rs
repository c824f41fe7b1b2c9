use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tfnas_artifacts::{Cache, RunId};

use super::{Images, PageError, gather};
use crate::serve::Page;

/// How long a page of a run under way is served before it is made again.
const FRESH: Duration = Duration::from_secs(1);
/// How often a browser loads the page of a run under way, in seconds.
const REFRESH_S: u32 = 5;

/// The page of a run, which changes until the run ends.
pub struct LivePage<'a> {
    cache: &'a Cache,
    run: RunId,
    images: Images,
    last: Mutex<Option<Made>>,
}

struct Made {
    html: String,
    at: Instant,
    /// Whether the run was under way.
    alive: bool,
}

impl<'a> LivePage<'a> {
    pub fn new(cache: &'a Cache, run: RunId, images: Images) -> Self {
        Self { cache, run, images, last: Mutex::new(None) }
    }

    /// Returns the page, which is made again only if it may have changed.
    ///
    /// # Errors
    /// Returns a message if the ledger cannot be read.
    pub fn get(&self) -> Result<Page, String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match last.take().filter(|made| !made.alive || made.at.elapsed() < FRESH) {
            Some(made) => made,
            None => self.make().map_err(|error| format!("the page cannot be made: {error}"))?,
        };
        let page = Page { html: made.html.clone(), refresh_s: made.alive.then_some(REFRESH_S) };
        *last = Some(made);
        Ok(page)
    }

    fn make(&self) -> Result<Made, PageError> {
        let run = self.cache.ledger().run(self.run)?.ok_or(PageError::NoRun(self.run))?;
        // Before the contents are read: what changes meanwhile is in the next page.
        let alive = run.ended_ms.is_none() && self.cache.is_under_way(run.id);
        let html = gather(self.cache, &run, self.images)?.html();
        Ok(Made { html, at: Instant::now(), alive })
    }
}
