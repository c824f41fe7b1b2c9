use std::path::Path;

use serde_json::Value;

use crate::execute::death;
use crate::execute::happening::Failed;

/// Returns why a rank above 0 has failed, where one has: only rank 0 keeps its words in the attempt's files, and the others
/// say theirs in the job's log. One that knows no more than that another rank is lost is not to blame.
pub fn of_another_rank(log: &Path) -> Option<Failed> {
    let said = death::tail(log).into_iter().rev().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let mut failures = said.filter(|event| event["event"] == "failed" && event["peer"] != true);
    let event = failures.next()?;
    let hint = event["hint"].as_str().map(str::to_owned);
    Some(Failed { hint, ..Failed::new(event["message"].as_str()?) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_rank_that_is_to_blame_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        assert_eq!(of_another_rank(&log), None);
        std::fs::write(
            &log,
            "OMP: warning\n{\"event\":\"failed\",\"message\":\"rank 2: another libtorch\",\"hint\":\"same\"}\n\
             {\"event\":\"failed\",\"message\":\"rank 2 is lost\",\"peer\":true}\nsrun: error: task 1: exited\n",
        )
        .unwrap();
        let failed = of_another_rank(&log).unwrap();
        assert_eq!((failed.message.as_str(), failed.hint.as_deref()), ("rank 2: another libtorch", Some("same")));
    }
}
