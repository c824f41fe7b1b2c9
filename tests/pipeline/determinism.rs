//! Equal inputs give equal bytes.

use std::collections::BTreeMap;

use crate::project::{ARTIFACTS, Project, Worker};

fn digests(set: &[&str]) -> BTreeMap<String, String> {
    let project = Project::new(Worker::Real);
    let sets: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    project.run_ok(&[&["run", "all"], &sets[..]].concat());
    project.digests(&sets)
}

#[test]
fn artifacts_do_not_depend_on_the_number_of_data_workers() {
    let [one, three] = ["1", "3"].map(|workers| digests(&[&format!("data.workers={workers}")]));
    assert_eq!(one.len(), ARTIFACTS);
    assert_eq!(one, three);
}

#[test]
fn color_jitter_on_the_device_gives_other_artifacts_that_do_not_depend_on_the_data_workers() {
    let [one, three] =
        ["1", "3"].map(|workers| digests(&["data.color_jitter=device", &format!("data.workers={workers}")]));
    assert_eq!(one.len(), ARTIFACTS);
    assert_eq!(one, three);
    let usual = digests(&[]);
    let differing: Vec<&str> =
        usual.iter().filter(|(name, digest)| one[*name] != **digest).map(|(name, _)| name.as_str()).collect();
    assert!(differing.contains(&"search/history.json") && differing.contains(&"train/train.json"), "{differing:?}");
    assert!(differing.iter().all(|name| !name.starts_with("split/") && !name.starts_with("lookup/")), "{differing:?}");
}
