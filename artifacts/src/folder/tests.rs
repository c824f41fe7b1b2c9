#![allow(clippy::unwrap_used)]
use super::*;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::thread::sleep;
use std::time::Duration;

struct Data {
    _folder: tempfile::TempDir,
    root: PathBuf,
    memos: PathBuf,
}

/// Files whose names begin with a dot are ignored; files whose names end in `.new` are new.
const RULES: FolderRules =
    FolderRules { is_ignored: |name| name.starts_with(b"."), is_new: |name| name.ends_with(b".new") };

/// Two classes with two images each.
fn data() -> Data {
    let folder = tempfile::tempdir().unwrap();
    let (root, memos) = (folder.path().join("images"), folder.path().join("memos"));
    fs::create_dir(&memos).unwrap();
    for class in ["cat", "dog"] {
        fs::create_dir_all(root.join(class)).unwrap();
        for index in 0..2 {
            fs::write(root.join(class).join(format!("{index}.jpg")), format!("{class} {index}")).unwrap();
        }
    }
    Data { _folder: folder, root, memos }
}

impl Data {
    fn identify(&self) -> Result<InputIdentity, FolderError> {
        identify_folder(&self.root, &RULES, Some(&self.memos))
    }

    /// Waits until the time stamps of the files differ from those of later writes.
    fn settle(&self) -> InputIdentity {
        sleep(Duration::from_millis(120));
        self.identify().unwrap()
    }
}

#[test]
fn digest_is_that_of_the_manifest_and_independent_of_the_location() {
    let (one, two) = (data(), data());
    let identity = one.identify().unwrap();
    assert_eq!(identity.digest, Digest::of_bytes(identity.manifest.to_text().as_bytes()));
    assert_eq!(identity.digest, two.identify().unwrap().digest);
    assert_eq!((identity.files, identity.bytes), (4, 20));
    let text = identity.manifest.to_text();
    let first = format!("tfnas.folder.v1\n{} 5 cat/0.jpg\n", Digest::of_bytes(b"cat 0"));
    assert!(text.starts_with(&first), "{text}");
}

#[test]
fn only_changed_files_are_read_again() {
    let data = data();
    let first = data.settle();
    assert_eq!(first.hashed, 4);
    let again = data.identify().unwrap();
    assert_eq!((again.hashed, again.digest), (0, first.digest));
    assert_eq!(again.manifest, first.manifest);
    fs::write(data.root.join("cat/1.jpg"), "cat !").unwrap();
    let changed = data.identify().unwrap();
    assert_eq!(changed.hashed, 1);
    assert_ne!(changed.digest, first.digest);
    fs::remove_file(data.root.join("dog/0.jpg")).unwrap();
    let fewer = data.settle();
    assert_eq!(fewer.files, 3);
    assert_eq!(fewer.digest, identify_folder(&data.root, &RULES, None).unwrap().digest);
}

#[test]
fn changed_bytes_with_the_same_size_and_time_are_noticed() {
    let data = data();
    let first = data.settle();
    let path = data.root.join("dog/1.jpg");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "DOG 1").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    assert_ne!(data.identify().unwrap().digest, first.digest);
}

#[test]
fn recently_written_file_is_read_again() {
    let data = data();
    data.settle();
    fs::write(data.root.join("cat/0.jpg"), "cat a").unwrap();
    data.identify().unwrap();
    let again = data.identify().unwrap();
    assert_eq!(again.hashed, 1, "two writes within one clock tick have the same time stamp");
    data.settle();
    assert_eq!(data.identify().unwrap().hashed, 0);
}

#[test]
fn names_affect_the_digest_and_are_sorted_by_bytes() {
    let data = data();
    for name in ["cat.x", "cat-", "cat/0.jpg.bak", "z\n\\"] {
        fs::write(data.root.join(name), "").unwrap();
    }
    let identity = data.identify().unwrap();
    let paths: Vec<&str> = identity.manifest.entries().iter().map(|entry| &*entry.path).collect();
    let mut sorted = paths.clone();
    sorted.sort_unstable();
    assert_eq!(paths, sorted);
    assert!(identity.manifest.to_text().ends_with(" 0 z\\n\\\\\n"));
    fs::rename(data.root.join("cat.x"), data.root.join("cat.y")).unwrap();
    assert_ne!(data.identify().unwrap().digest, identity.digest);
}

#[test]
fn damaged_memo_is_rewritten() {
    let data = data();
    let first = data.settle();
    let memo = fs::read_dir(&data.memos).unwrap().next().unwrap().unwrap().path();
    let valid = fs::read(&memo).unwrap();
    for length in (0..valid.len()).step_by(7) {
        fs::write(&memo, &valid[..length]).unwrap();
        assert_eq!(data.identify().unwrap().digest, first.digest);
    }
    for position in (0..valid.len()).step_by(5) {
        let mut damaged = valid.clone();
        damaged[position] ^= 0x40;
        fs::write(&memo, &damaged).unwrap();
        assert_eq!(data.identify().unwrap().digest, first.digest, "byte {position}");
    }
    assert_eq!(data.identify().unwrap().hashed, 0);
}

#[test]
fn symbolic_links_are_followed() {
    let data = data();
    let plain = data.identify().unwrap();
    let elsewhere = data.root.with_file_name("elsewhere");
    fs::rename(data.root.join("dog"), &elsewhere).unwrap();
    symlink(&elsewhere, data.root.join("dog")).unwrap();
    let file = data.root.join("cat/0.jpg");
    fs::rename(&file, data.root.with_file_name("moved.jpg")).unwrap();
    symlink("../../moved.jpg", &file).unwrap();
    assert_eq!(data.identify().unwrap().digest, plain.digest);
}

#[test]
fn errors_name_the_file() {
    let check = |prepare: &dyn Fn(&Path), expected: &str| {
        let data = data();
        prepare(&data.root);
        let error = data.identify().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|root| fs::remove_dir_all(root).unwrap(), "images");
    check(&|root| symlink("nowhere", root.join("cat/9.jpg")).unwrap(), "cat/9.jpg is a broken symbolic link");
    check(&|root| symlink("..", root.join("cat/up")).unwrap(), "contains itself");
    check(&|root| fs::write(root.join(std::ffi::OsStr::from_bytes(b"\xff.jpg")), "").unwrap(), "not UTF-8");
    let pipe = |root: &Path| {
        rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    };
    check(&pipe, "pipe is neither");
    let empty = |root: &Path| {
        fs::remove_dir_all(root).unwrap();
        fs::create_dir_all(root.join("cat")).unwrap();
    };
    check(&empty, "holds no files");
    let locked = |root: &Path| fs::set_permissions(root.join("cat/0.jpg"), fs::Permissions::from_mode(0o000)).unwrap();
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may read every file");
    } else {
        check(&locked, "permission denied");
    }
}

#[test]
fn folder_that_changes_while_it_is_read_is_rejected() {
    let data = data();
    let subject = |files: &(dyn Fn() -> Result<FoundFiles, FolderError> + Sync)| {
        let (name, head) = (String::new(), String::new());
        Subject { name, head, is_new: RULES.is_new, files, root: &data.root, memos: None }.identify()
    };
    let walks = std::sync::atomic::AtomicUsize::new(0);
    let growing = || {
        if walks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1 {
            fs::write(data.root.join("cat/new.jpg"), "new").unwrap();
        }
        walk::walk(&data.root, RULES.is_ignored)
    };
    assert!(matches!(subject(&growing), Err(FolderError::Changed { .. })));
    let rewritten = || {
        let found = walk::walk(&data.root, RULES.is_ignored);
        fs::write(data.root.join("dog/0.jpg"), "longer than before").unwrap();
        found
    };
    let error = subject(&rewritten).unwrap_err();
    assert!(error.to_string().contains("dog/0.jpg changed while it was read"), "{error}");
}

#[test]
fn only_listed_files_affect_the_digest_of_a_list() {
    let data = data();
    let list = data.root.with_file_name("list.txt");
    fs::write(&list, "cat/0.jpg 0\n").unwrap();
    let identify = |paths: &[&str]| identify_list(&list, &data.root, paths.iter().copied(), Some(&data.memos));
    let first = identify(&["dog/1.jpg", "cat/0.jpg"]).unwrap();
    assert_eq!(first.files, 2);
    fs::write(data.root.join("cat/1.jpg"), "not named").unwrap();
    assert_eq!(identify(&["cat/0.jpg", "dog/1.jpg", "cat/0.jpg"]).unwrap().digest, first.digest);
    sleep(Duration::from_millis(120));
    identify(&["cat/0.jpg", "dog/1.jpg"]).unwrap();
    fs::write(&list, "cat/0.jpg 1\n").unwrap();
    let relabelled = identify(&["cat/0.jpg", "dog/1.jpg"]).unwrap();
    assert_ne!(relabelled.digest, first.digest);
    assert_eq!(relabelled.hashed, 0);
    let names: Vec<String> = (0..9).map(|index| format!("cat/none{index}.jpg")).collect();
    let error = identify_list(&list, &data.root, names.iter().map(String::as_str), None).unwrap_err().to_string();
    assert!(
        error.contains("names 9 files") && error.contains("cat/none0.jpg, cat/none1.jpg, cat/none2.jpg"),
        "{error}"
    );
}

#[test]
fn deep_check_distinguishes_damage_from_changes() {
    let data = data();
    data.settle();
    fs::write(data.root.join("cat/1.jpg"), "a new image").unwrap();
    fs::remove_file(data.root.join("dog/1.jpg")).unwrap();
    let check = check_folders(&data.memos).unwrap().remove(0);
    assert!(check.subject.ends_with("/images"));
    assert_eq!((check.read, check.changed, check.damaged.len()), (2, 2, 0));
    // Bit rot does not change the time stamp. Here the memo has another digest than the file instead.
    let memo = fs::read_dir(&data.memos).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&memo).unwrap();
    let digest = Digest::of_bytes(b"dog 0");
    let position = bytes.windows(32).position(|window| window == digest.as_bytes()).unwrap();
    bytes[position] ^= 1;
    let checksum = Digest::of_bytes(&bytes[14 + 32..]);
    bytes[14..14 + 32].copy_from_slice(checksum.as_bytes());
    fs::write(&memo, &bytes).unwrap();
    let check = check_folders(&data.memos).unwrap().remove(0);
    assert_eq!(check.damaged, [fs::canonicalize(&data.root).unwrap().join("dog/0.jpg")]);
}

#[test]
fn single_file_is_identified_by_its_bytes() {
    let data = data();
    let path = data.root.join("cat/0.jpg");
    sleep(Duration::from_millis(120));
    let identity = identify_file(&path, Some(&data.memos)).unwrap();
    assert_eq!(identity.digest, Digest::of_bytes(b"cat 0"));
    let again = identify_file(&path, Some(&data.memos)).unwrap();
    assert_eq!((again.digest, again.hashed), (identity.digest, 0));
    assert!(matches!(identify_file(&data.root, None), Err(FolderError::NotAFile { .. })));
}

#[test]
fn ignored_files_and_folders_do_not_affect_the_digest_and_are_counted() {
    let data = data();
    let clean = data.settle();
    assert_eq!(clean.ignored, 0);
    fs::create_dir_all(data.root.join("cat/.git/objects")).unwrap();
    fs::write(data.root.join("cat/.git/objects/1"), "x").unwrap();
    fs::write(data.root.join(".DS_Store"), "x").unwrap();
    fs::write(data.root.join("dog/._0.jpg"), "x").unwrap();
    symlink("/nowhere/at/all", data.root.join("dog/.dead")).unwrap();
    symlink(&data.root, data.root.join("dog/.up")).unwrap();
    fs::write(data.root.join(std::ffi::OsStr::from_bytes(b".\xff")), "x").unwrap();
    let again = data.identify().unwrap();
    assert_eq!((again.digest, again.files, again.ignored, again.hashed), (clean.digest, 4, 6, 0));
    assert_eq!(again.manifest, clean.manifest);
    fs::remove_dir_all(data.root.join("cat")).unwrap();
    fs::remove_dir_all(data.root.join("dog")).unwrap();
    assert!(matches!(data.identify(), Err(FolderError::Empty { .. })), "only ignored files remain");
}

#[test]
fn file_that_earlier_versions_skipped_changes_the_identity() {
    let data = data();
    fs::write(data.root.join("cat/2.new"), "cat 2").unwrap();
    let with_new = data.settle();
    assert!(with_new.manifest.to_text().starts_with("tfnas.folder.v2\n"));
    assert_eq!(with_new.digest, Digest::of_bytes(with_new.manifest.to_text().as_bytes()));
    let again = data.identify().unwrap();
    assert_eq!((again.digest, again.hashed), (with_new.digest, 0));
    let everything_as_before = identify_folder(&data.root, &FolderRules::default(), None).unwrap();
    assert_ne!(everything_as_before.digest, with_new.digest);
    assert!(everything_as_before.manifest.to_text().starts_with("tfnas.folder.v1\n"));
}
