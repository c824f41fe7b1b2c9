//! The `keys` commands.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::project::Project;

#[test]
fn generated_keys_are_private_and_shown_without_the_secret() {
    let project = Project::new();
    let made = project.json(&["keys", "generate", "--out", "key.pem"]);
    assert_eq!((&made["private"], &made["public"]), (&json!("key.pem"), &json!("key.pem.pub")));
    let mode = |name: &str| fs::metadata(project.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("key.pem"), 0o600);
    let public = fs::read_to_string(project.path("key.pem.pub")).unwrap();
    for (file, kind) in [("key.pem", "private"), ("key.pem.pub", "public")] {
        let shown = project.json(&["keys", "show", file]);
        assert_eq!(shown["kind"], kind);
        assert_eq!((&shown["fingerprint"], &shown["public"]), (&made["fingerprint"], &json!(public)));
        assert_eq!(project.run_ok(&["keys", "show", file, "--pub"]).out, public);
        let text = project.run_ok(&["keys", "show", file]).out;
        assert!(text.contains(&format!("{kind} key, ECDSA P-256")), "{text}");
        assert!(text.contains(made["fingerprint"].as_str().unwrap()), "{text}");
    }
    let secret = fs::read_to_string(project.path("key.pem")).unwrap();
    let line = secret.lines().nth(1).unwrap();
    let ended = project.run_ok(&["-vv", "keys", "show", "key.pem"]);
    assert!(!ended.out.contains(line) && !ended.err.contains(line));
}

#[test]
fn a_key_is_never_overwritten_or_partially_written() {
    let project = Project::new();
    project.run_ok(&["keys", "generate", "--out", "key"]);
    let before = fs::read(project.path("key")).unwrap();
    let ended = project.run(&["keys", "generate", "--out", "key"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("key.pub already exists, and a key is never overwritten"), "{}", ended.err);
    assert_eq!(fs::read(project.path("key")).unwrap(), before);
    project.write("other.pub", "mine");
    assert_eq!(project.run(&["keys", "generate", "--out", "other"]).code, Some(2));
    assert!(!project.path("other").exists());
    let ended = project.run(&["keys", "generate", "--out", "no/folder/key"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("no/folder/key"), "{}", ended.err);
}

#[test]
fn invalid_keys_and_loose_permissions_are_usage_errors() {
    let project = Project::new();
    project.run_ok(&["keys", "generate", "--out", "key"]);
    fs::set_permissions(project.path("key"), fs::Permissions::from_mode(0o640)).unwrap();
    for (file, words) in
        [("key", "chmod 600 key"), ("pipeline.yaml", "`pipeline.yaml` is not a key file"), ("none", "none")]
    {
        let ended = project.run(&["keys", "show", file]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{}", ended.err);
        assert!(ended.err.contains(words), "{}", ended.err);
    }
}
