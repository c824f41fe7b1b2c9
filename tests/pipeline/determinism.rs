//! The same inputs give the same bytes.

use crate::project::{ARTIFACTS, Project, Worker};

#[test]
fn two_empty_stores_end_with_the_same_artifacts_whatever_the_number_of_data_workers() {
    let [one, three] = [1, 3].map(|workers| {
        let project = Project::new(Worker::Real);
        project.good(&["run", "all", "--set", &format!("data.workers={workers}")]);
        project.digests(&[])
    });
    assert_eq!(one.len(), ARTIFACTS);
    assert_eq!(one, three);
}
