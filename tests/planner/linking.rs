//! Libraries that the planner is linked with.

use std::process::Command;

use crate::project::PROGRAM;

#[test]
fn the_planner_is_not_linked_with_libtorch() {
    let output = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let libraries = String::from_utf8_lossy(&output.stdout);
    assert!(libraries.contains("libc.so"), "{libraries}");
    for library in ["torch", "c10", "gomp", "stdc++"] {
        assert!(!libraries.contains(library), "the planner needs {library}: {libraries}");
    }
}
