//! The times of operations, from the events of a recording.

use std::collections::HashMap;

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    /// An operation on the host, which may call others.
    Operation,
    /// A [`Scope`](super::Scope).
    Scope,
    /// A kernel or a copy on a device.
    Kernel,
}

/// An event of the profiler.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub name: String,
    pub kind: EventKind,
    pub thread: u64,
    pub start_ns: u64,
    pub end_ns: u64,
}

/// The operations of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recorded {
    /// Sorted by time, the longest first.
    pub operations: Vec<Operation>,
}

/// All calls of one operation or kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its name: `aten::convolution`, or that of a CUDA kernel.
    pub name: String,
    /// Whether it ran on a device: a kernel or a copy.
    pub on_device: bool,
    /// Number of calls.
    pub calls: u64,
    /// Time of all calls in seconds, without the operations that it called itself.
    pub self_s: f64,
}

impl Recorded {
    /// Sums the events by name.
    pub(super) fn of(mut events: Vec<Event>) -> Self {
        // A parent starts before its children, and of those that start together the parent ends last.
        events.sort_by_key(|event| (event.thread, event.start_ns, std::cmp::Reverse(event.end_ns)));
        let mut self_ns: Vec<u64> = events.iter().map(|event| event.end_ns.saturating_sub(event.start_ns)).collect();
        let mut open: Vec<usize> = Vec::new();
        for (index, event) in events.iter().enumerate() {
            // Kernels do not call each other, and may overlap.
            if event.kind == EventKind::Kernel {
                continue;
            }
            let encloses = |outer: &Event| outer.thread == event.thread && outer.end_ns >= event.end_ns;
            while open.last().is_some_and(|&outer| !encloses(&events[outer])) {
                open.pop();
            }
            if let Some(&parent) = open.last() {
                self_ns[parent] = self_ns[parent].saturating_sub(event.end_ns.saturating_sub(event.start_ns));
            }
            open.push(index);
        }
        let mut sums: HashMap<(&str, bool), (u64, u64)> = HashMap::new();
        for (event, ns) in events.iter().zip(self_ns) {
            if event.kind != EventKind::Scope {
                let (calls, sum) = sums.entry((&event.name, event.kind == EventKind::Kernel)).or_default();
                *calls += 1;
                *sum += ns;
            }
        }
        let mut operations: Vec<Operation> = sums
            .into_iter()
            .map(|((name, on_device), (calls, ns))| Operation {
                name: name.to_owned(),
                on_device,
                calls,
                self_s: ns as f64 / 1e9,
            })
            .collect();
        operations.sort_by(|a, b| b.self_s.total_cmp(&a.self_s).then_with(|| a.name.cmp(&b.name)));
        Self { operations }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, kind: EventKind, thread: u64, start_ns: u64, end_ns: u64) -> Event {
        Event { name: name.to_owned(), kind, thread, start_ns, end_ns }
    }

    #[test]
    fn the_time_of_an_operation_excludes_the_operations_that_it_calls() {
        use EventKind::{Kernel, Operation, Scope};
        let recorded = Recorded::of(vec![
            event("inner", Operation, 1, 20, 50),
            event("outer", Operation, 1, 10, 100),
            event("forward", Scope, 1, 0, 200),
            event("inner", Operation, 1, 60, 70),
            event("deepest", Operation, 1, 25, 30),
            // On another thread at the same time.
            event("inner", Operation, 2, 30, 40),
            event("kernel", Kernel, 0, 20, 80),
            event("kernel", Kernel, 0, 70, 90),
        ]);
        let found: Vec<(&str, bool, u64, f64)> = recorded
            .operations
            .iter()
            .map(|operation| {
                (operation.name.as_str(), operation.on_device, operation.calls, (operation.self_s * 1e9).round())
            })
            .collect();
        let expected = [
            ("kernel", true, 2, 80.0),
            ("outer", false, 1, 50.0),
            ("inner", false, 3, 45.0),
            ("deepest", false, 1, 5.0),
        ];
        assert_eq!(found, expected);
    }
}
