//! The expected duration of a run: what is printed before it, and how much of it is left.

use tfnas_humanize as humanize;
use tfnas_planner::plan::{Action, Graph, Plan};

/// Durations shorter than this are not worth a message, in seconds.
const WORTH_S: f64 = 60.0;

/// The expected durations of the instances that have not ended.
#[derive(Default)]
pub struct Expected {
    /// ID and expected duration in seconds, if known, in the order in which they run.
    open: Vec<(String, Option<f64>)>,
}

impl Expected {
    /// Collects the instances that must run.
    pub fn of(graph: &Graph, plan: &Plan) -> Self {
        let steps = plan.steps.iter().filter(|step| step.action != Action::Cached);
        Self { open: steps.map(|step| (graph.instances[step.instance].id.clone(), step.expected_s)).collect() }
    }

    /// Removes an instance that has a result.
    pub fn ended(&mut self, id: &str) {
        self.open.retain(|(open, _)| open != id);
    }

    /// Returns the expected duration of all instances and of each, or `None` if it is short or unknown.
    pub fn text(&self) -> Option<String> {
        let total = self.left()?;
        let known = self.open.iter().filter_map(|(id, seconds)| Some((id, (*seconds)?)));
        let long = known.filter(|(_, seconds)| *seconds >= 1.0);
        let each: Vec<String> = long.map(|(id, seconds)| format!("{id} {}", humanize::duration(seconds))).collect();
        let unknown = if self.open.iter().all(|(_, seconds)| seconds.is_some()) { "" } else { " or more" };
        Some(format!("expected duration: about {total}{unknown} ({})", each.join(", ")))
    }

    /// Returns the expected duration of the instances that have not ended, or `None` if it is short or unknown.
    pub fn left(&self) -> Option<String> {
        let total: f64 = self.open.iter().filter_map(|(_, seconds)| *seconds).sum();
        (total >= WORTH_S).then(|| humanize::duration(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(open: &[(&str, Option<f64>)]) -> Expected {
        Expected { open: open.iter().map(|(id, seconds)| ((*id).to_owned(), *seconds)).collect() }
    }

    #[test]
    fn remaining_time_decreases_as_instances_end() {
        let mut expected = expected(&[("split", Some(0.2)), ("search", Some(90.0)), ("train", Some(120.0))]);
        assert_eq!(
            expected.text().as_deref(),
            Some("expected duration: about 3 min 30 s (search 1 min 30 s, train 2 min 0 s)")
        );
        expected.ended("split");
        expected.ended("search");
        assert_eq!(expected.left().as_deref(), Some("2 min 0 s"));
        expected.ended("train");
        assert_eq!((expected.left(), expected.text()), (None, None));
    }

    #[test]
    fn unknown_durations_make_the_sum_a_lower_bound() {
        let some = expected(&[("search", Some(90.0)), ("train", None)]).text();
        assert_eq!(some.as_deref(), Some("expected duration: about 1 min 30 s or more (search 1 min 30 s)"));
        assert_eq!(expected(&[("train", None)]).text(), None);
    }
}
