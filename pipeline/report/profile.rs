//! The text of a profile.

use tfnas_humanize as humanize;
use tfnas_humanize::{Columns, indented};
use tfnas_stages::{OperationProfile, Profile, RecordedSteps};

/// Longest name of an operation, in characters. Names of CUDA kernels contain whole types.
const MAX_NAME: usize = 60;

/// Returns a table of the phases, one of the operations, and the path of the trace.
pub fn text(profile: &Profile) -> String {
    let mut text = phases(profile);
    if let Some(recorded) = &profile.recorded {
        text.push_str(&operations(recorded));
        text.push_str(&format!(
            "trace of these steps, for https://ui.perfetto.dev or chrome://tracing: {}\n",
            recorded.trace.display()
        ));
    }
    indented(&text).trim_end().to_owned()
}

fn phases(profile: &Profile) -> String {
    let share = |seconds: f64| format!("{:.1} %", percent(seconds, profile.total_s));
    let mut table = Columns::new(&["", ">time", ">share", ""]);
    let rows = [
        ("waiting for images", profile.data_s),
        ("forward", profile.forward_s),
        ("backward", profile.backward_s),
        ("optimizer", profile.optimizer_s),
        ("validation", profile.validation_s),
        ("resume points", profile.checkpoint_s),
        ("other", profile.other_s),
        ("total", profile.total_s),
    ];
    for (name, seconds) in rows.into_iter().filter(|(_, seconds)| *seconds > 0.0) {
        let of_step = |(step, times): (&String, &tfnas_stages::StepProfile)| {
            let seconds = match name {
                "forward" => times.forward_s,
                "backward" => times.backward_s,
                "optimizer" => times.optimizer_s,
                _ => return None,
            };
            Some(format!("{step} {}", share(seconds)))
        };
        let steps: Vec<String> = profile.steps.iter().rev().filter_map(of_step).collect();
        table.row([name.to_owned(), humanize::duration(seconds), share(seconds), steps.join(", ")]);
    }
    table.to_string()
}

fn operations(recorded: &RecordedSteps) -> String {
    let steps = recorded.steps.max(1) as f64;
    let mut text = String::new();
    let lists =
        [("kernel", recorded.kernels_s, &recorded.kernels), ("operation", recorded.operations_s, &recorded.operations)];
    for (kind, all_s, longest) in lists.into_iter().filter(|(_, _, longest)| !longest.is_empty()) {
        let heading = format!("{kind}, {} steps from step {}", recorded.steps, recorded.first_step + 1);
        let mut table = Columns::new(&[heading.as_str(), ">calls/step", ">ms/step", ">share"]);
        for OperationProfile { name, calls, self_s } in longest {
            table.row([
                shortened(name),
                format!("{:.1}", *calls as f64 / steps),
                format!("{:.2}", 1e3 * self_s / steps),
                format!("{:.1} %", percent(*self_s, all_s)),
            ]);
        }
        text.push_str(&table.to_string());
    }
    text
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

fn shortened(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tfnas_stages::StepProfile;

    use super::*;

    #[test]
    fn a_profile_is_a_table_of_phases_and_one_of_operations() {
        let step = |forward_s| StepProfile { forward_s, ..StepProfile::default() };
        let operation = |name: &str, calls, self_s| OperationProfile { name: name.to_owned(), calls, self_s };
        let profile = Profile {
            total_s: 80.0,
            data_s: 4.0,
            forward_s: 30.0,
            other_s: 46.0,
            steps: BTreeMap::from([("weights".to_owned(), step(20.0)), ("architecture".to_owned(), step(10.0))]),
            recorded: Some(RecordedSteps {
                first_step: 10,
                steps: 4,
                trace: "x.trace.json".into(),
                operations_s: 2.0,
                operations: vec![operation("aten::convolution", 8, 1.0), operation(&"k".repeat(80), 4, 0.02)],
                kernels_s: 0.0,
                kernels: Vec::new(),
            }),
            ..Profile::default()
        };
        let text = text(&profile);
        let has = |words: &str| {
            let squeezed = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            assert!(squeezed.into_iter().any(|line| line == words), "{words:?} in\n{text}");
        };
        has("waiting for images 4.0 s 5.0 %");
        has("forward 30 s 37.5 % weights 25.0 %, architecture 12.5 %");
        has("total 1 min 20 s 100.0 %");
        has("operation, 4 steps from step 11 calls/step ms/step share");
        has("aten::convolution 2.0 250.00 50.0 %");
        has(&format!("{}… 1.0 5.00 1.0 %", "k".repeat(60)));
        assert!(text.ends_with("chrome://tracing: x.trace.json"), "{text}");
        assert!(
            !text.contains("kernel,") && !text.contains("backward"),
            "nothing is said about what did not happen: {text}"
        );
    }
}
