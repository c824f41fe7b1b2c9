use crate::RunEvent;

/// Observes a run, for example to display progress or to write a log. All methods are called from one thread.
pub trait RunObserver {
    /// An event of the instance `id`.
    fn event(&mut self, id: &str, event: &RunEvent);

    /// The user requested a stop. `again` is true from the second request on, which stops the workers immediately.
    fn interrupting(&mut self, again: bool);

    /// A warning about the run as a whole.
    fn warn(&mut self, message: &str);
}

/// Reports to several observers, in their order.
impl RunObserver for Vec<&mut dyn RunObserver> {
    fn event(&mut self, id: &str, event: &RunEvent) {
        self.iter_mut().for_each(|observer| observer.event(id, event));
    }

    fn interrupting(&mut self, again: bool) {
        self.iter_mut().for_each(|observer| observer.interrupting(again));
    }

    fn warn(&mut self, message: &str) {
        self.iter_mut().for_each(|observer| observer.warn(message));
    }
}
