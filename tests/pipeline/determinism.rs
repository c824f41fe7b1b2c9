//! Equal inputs give equal bytes.

use crate::project::{ARTIFACTS, Project, Worker};

#[test]
fn artifacts_do_not_depend_on_the_number_of_data_workers() {
    let [one, three] = [1, 3].map(|workers| {
        let project = Project::new(Worker::Real);
        project.run_ok(&["run", "all", "--set", &format!("data.workers={workers}")]);
        project.digests(&[])
    });
    assert_eq!(one.len(), ARTIFACTS);
    assert_eq!(one, three);
}
