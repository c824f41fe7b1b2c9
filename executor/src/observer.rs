use crate::RunEvent;

/// Follows a run: a progress display, a log, or a test. All calls come from one thread.
pub trait RunObserver {
    /// Something happened to the instance `id`.
    fn event(&mut self, id: &str, event: &RunEvent);

    /// The user asked to end; `again` from the second request on, which ends at once.
    fn interrupting(&mut self, again: bool);

    /// Something about the run as a whole may surprise the user.
    fn warn(&mut self, message: &str);
}
