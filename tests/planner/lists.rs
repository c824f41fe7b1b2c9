//! Verification of image lists.

use crate::project::Project;

#[test]
fn missing_images_of_a_list_are_named() {
    let project = Project::new();
    project.write("my.list", "train/a/0.jpg 0\ntrain/a/9.jpg 0\ntrain/c/0.jpg 1\n");
    let ended = project.run(&["split", "--verify", "--list", "my.list", "--root", "images"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("2 of 3 images") && ended.out.contains("train/c/0.jpg"), "{}", ended.out);
    let report = project.json_of(&["split", "--verify", "--list", "my.list", "--root", "images"], 1);
    assert_eq!(report["lists"][0]["missing"], serde_json::json!(["train/a/9.jpg", "train/c/0.jpg"]));
    project.write("complete.list", "train/a/0.jpg 0\ntrain/b/0.jpg 1\n");
    let ended = project.run_ok(&["split", "--verify", "--list", "complete.list", "--root", "images"]);
    assert!(ended.out.contains("all 2 images of 2 classes"), "{}", ended.out);
}

#[test]
fn the_configured_lists_are_verified_by_default() {
    let project = Project::new();
    let ended = project.run_ok(&["split", "--verify"]);
    assert!(ended.out.contains("no list"), "{}", ended.out);
    let ended = project.run(&["split", "--verify", "--set", "split.published=imagenet100"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("imagenet100 train: 102170 of 102170 images are not under"), "{}", ended.out);
    assert!(ended.out.contains("and 102160 more"), "{}", ended.out);
}

#[test]
fn a_published_list_is_recognized_by_its_bytes() {
    let project = Project::new();
    let list = tfnas_images::imagenet100().unwrap().val.to_text();
    project.write("somebodys.txt", &list);
    let ended = project.run(&["split", "--verify", "--list", "somebodys.txt", "--root", "images"]);
    assert!(ended.code == Some(1) && ended.out.contains("somebodys.txt (imagenet100 val)"), "{}", ended.out);
}
