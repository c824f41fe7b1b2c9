//! Interaction with the system: paths that are not UTF-8, file permissions, closed output, CPU limits.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::project::{Completed, PROGRAM, Project};

/// Returns a name that is not UTF-8.
fn non_utf8() -> &'static OsStr {
    OsStr::from_bytes(b"x\xff")
}

fn run(mut command: Command) -> Completed {
    Completed::new(&command.stdin(Stdio::null()).output().unwrap())
}

fn shell(project: &Project, script: &str, arguments: &[&str]) -> Completed {
    let program = project.command(arguments);
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    shell.current_dir(project.path("")).env("FAKE_STAGE", project.path("fake"));
    run(shell)
}

#[test]
fn a_store_with_a_non_utf8_path_works() {
    let project = Project::new();
    let with_store = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.arg("--store").arg(non_utf8());
        run(command)
    };
    for arguments in [&["run", "all"] as &[&str], &["run", "all", "--json"], &["status", "--json"], &["log"]] {
        let ended = with_store(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
    }
    assert!(project.path("").join(non_utf8()).join("ledger.sqlite3").exists());
    let log: Value = serde_json::from_str(&with_store(&["log", "--json"]).out).unwrap();
    assert_eq!(log["runs"].as_array().unwrap().len(), 2, "{log}");
    assert_eq!(with_store(&["cache", "verify"]).code, Some(0));
    assert_eq!(with_store(&["cache", "rebuild", "--json"]).code, Some(0));
}

#[test]
fn a_project_with_a_non_utf8_path_works() {
    let project = Project::new();
    let folder = project.path("").join(non_utf8());
    fs::create_dir(&folder).unwrap();
    for name in ["images", "pipeline.yaml"] {
        fs::rename(project.path(name), folder.join(name)).unwrap();
    }
    let mut command = project.command(&["run", "all", "--set", "ledger=other/ledger.sqlite3"]);
    command.current_dir(&folder);
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let mut command = project.command(&["status"]);
    command.arg("--config").arg(folder.join("pipeline.yaml"));
    assert_eq!(run(command).code, Some(0));
}

#[test]
fn non_utf8_arguments_and_variables_never_panic() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    let non_utf8_path = project.path("").join(non_utf8());
    let cases: [&[&str]; 22] = [
        &["--config"],
        &["run"],
        &["plan"],
        &["explain"],
        &["run", "all", "--set"],
        &["run", "all", "--from"],
        &["run", "all", "--weights"],
        &["run", "all", "--force"],
        &["status", "--locked", "--config"],
        &["show"],
        &["lineage"],
        &["audit"],
        &["export", "--format"],
        &["publish", "latest", "--out"],
        &["weights", "show"],
        &["weights", "parse"],
        &["table", "show"],
        &["table", "range"],
        &["keys", "show"],
        &["cache", "push", "--remote"],
        &["completions"],
        &["table", "random", "--target-lat-ms", "1", "--out", "o", "--table"],
    ];
    for arguments in cases {
        let mut command = project.command(arguments);
        command.arg(&non_utf8_path);
        let ended = run(command);
        assert!(matches!(ended.code, Some(0..=2)), "{arguments:?}: {:?} {}", ended.code, ended.err);
        assert!(!ended.err.contains("panicked"), "{arguments:?}: {}", ended.err);
        if ended.code == Some(2) {
            assert_eq!(ended.err.matches("error: ").count(), 1, "{arguments:?}: {}", ended.err);
        }
    }
    for name in ["RANK", "PATH", "HOME", "TFNAS_X", "OMP_WAIT_POLICY", "NO_COLOR", "SLURM_RESTART_COUNT", "TMPDIR"] {
        for arguments in [&["plan"] as &[&str], &["run", "all", "--force", "split"], &["doctor"], &["log"]] {
            let mut command = project.command(arguments);
            command.env(name, non_utf8());
            let ended = run(command);
            assert!(matches!(ended.code, Some(0..=2)), "{name} {arguments:?}: {:?} {}", ended.code, ended.err);
            assert!(!ended.err.contains("panicked"), "{name} {arguments:?}: {}", ended.err);
        }
    }
}

#[test]
fn a_path_in_the_configuration_must_be_utf8() {
    let project = Project::new();
    let mut command = Command::new(PROGRAM);
    command.args(["run", "test", "--weights"]).arg(non_utf8()).current_dir(project.path(""));
    let ended = run(command);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.err.contains("--weights") && ended.err.contains("x\\xFF") && ended.err.contains("hint: "),
        "{}",
        ended.err
    );
}

#[test]
fn file_permissions_follow_the_umask() {
    for (umask, file, folder) in [("022", 0o644, 0o755), ("002", 0o664, 0o775), ("077", 0o600, 0o700)] {
        let project = Project::new();
        let ended = shell(&project, &format!("umask {umask}; exec \"$@\""), &["run", "all"]);
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        let lock = project.path("pipeline.lock");
        assert_eq!(mode(&lock), file, "umask {umask}");
        let mut read_only = 0;
        for path in everything(&project.path(".tfnas")) {
            let wanted = match path.is_dir() {
                true => folder,
                false if path.starts_with(project.path(".tfnas/objects")) => {
                    read_only += 1;
                    file & 0o444
                }
                false => file,
            };
            assert_eq!(format!("{:o}", mode(&path)), format!("{wanted:o}"), "umask {umask}: {}", path.display());
        }
        assert!(read_only > 0);
        fs::write(project.path("t.table"), crate::tables::table(1e-3).to_text()).unwrap();
        let umask_then = format!("umask {umask}; exec \"$@\"");
        for arguments in [
            &["table", "export", "t.table", "t.pkl"] as &[&str],
            &["table", "import", "t.pkl", "--out", "u.table"],
            &["keys", "generate", "--out", "key.pem"],
            &["init", "new.yaml"],
        ] {
            let ended = shell(&project, &umask_then, arguments);
            assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
        }
        for name in ["t.pkl", "u.table", "key.pem.pub", "new.yaml"] {
            assert_eq!(mode(&project.path(name)), file, "umask {umask}: {name}");
        }
        assert_eq!(mode(&project.path("key.pem")), 0o600, "only the owner can read a private key");
    }
}

#[test]
fn a_group_store_is_group_writable() {
    let project = Project::new();
    let store = project.path("shared");
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o2775)).unwrap();
    let ended = shell(&project, "umask 002; exec \"$@\"", &["run", "all", "--store", "shared"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    for path in everything(&store) {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let (reads, writes) = (mode & 0o040 != 0, mode & 0o020 != 0);
        assert!(reads && (writes || path.starts_with(store.join("objects"))), "{:o} {}", mode, path.display());
        assert!(!path.is_dir() || mode & 0o2000 != 0, "{:o} {}: its files belong to the group", mode, path.display());
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    fs::write(project.path("t.table"), crate::tables::table(1e-3).to_text()).unwrap();
    for arguments in [
        &["plan"] as &[&str],
        &["plan", "--json"],
        &["status"],
        &["status", "--json"],
        &["log"],
        &["log", "--json"],
        &["show", "latest"],
        &["config"],
        &["config", "--schema"],
        &["explain", "train"],
        &["completions", "bash"],
        &["table", "show", "t.table"],
        &["cache", "verify"],
        &["gc", "--dry-run", "--keep-last", "1"],
        &["doctor"],
        &["run", "all"],
        &["run", "all", "--json"],
        &["--help"],
        &["help", "run"],
        &["run", "--help"],
        &["--version"],
    ] {
        let mut command = project.command(arguments);
        command.stdout(File::options().write(true).open("/dev/full").unwrap());
        let ended = run(command);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.err);
        assert!(ended.err.contains("cannot write to standard output"), "{arguments:?}: {}", ended.err);
        assert!(!ended.err.contains("panicked"), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let project = Project::new();
    for arguments in [&["config", "--schema"] as &[&str], &["--help"], &["completions", "bash"], &["plan", "--json"]] {
        let ended = shell(&project, "{ \"$@\"; echo $? >code; } | head -c 1", arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
        assert_eq!(fs::read_to_string(project.path("code")).unwrap(), "0\n", "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn a_closed_stderr_does_not_change_the_exit_code() {
    let project = Project::new();
    for (arguments, code) in [(&["run", "all"] as &[&str], 0), (&["plan", "--set", "sed=1"], 2), (&["--nonsense"], 2)] {
        let mut command = project.command(arguments);
        command.stderr(File::options().write(true).open("/dev/full").unwrap());
        assert_eq!(
            command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().code(),
            Some(code),
            "{arguments:?}"
        );
    }
}

#[test]
fn default_threads_follow_the_cpu_affinity() {
    let project = Project::new();
    let first = shell(&project, "taskset -p $$ 2>&1 | sed 's/.*: //'", &["plan"]);
    let mask = u64::from_str_radix(first.out.trim(), 16).expect("taskset prints the mask");
    let one = mask.trailing_zeros().to_string();
    let script = format!("exec taskset -c {one} \"$@\"");
    let ended = shell(&project, &script, &["doctor"]);
    assert!(ended.out.contains(", 1 core"), "{}", ended.out);
    let ended = shell(&project, &script, &["run", "search", "--set", "threads=0"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let jobs = everything(&project.path(".tfnas/logs"));
    let search = jobs.iter().map(|job| fs::read_to_string(job).unwrap()).find(|text| text.contains("\"search\""));
    assert!(search.as_ref().is_some_and(|job| job.contains("\"threads\": 1,")), "{search:?}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Returns everything below a folder.
fn everything(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

#[test]
fn a_program_with_a_non_utf8_name_runs() {
    let project = Project::new();
    let program = project.path("").join(non_utf8());
    std::os::unix::fs::symlink(PROGRAM, &program).unwrap();
    let mut command = Command::new(&program);
    command.args([OsString::from("plan")]).current_dir(project.path(""));
    assert_eq!(run(command).code, Some(0));
}

#[test]
fn tf32_on_a_cpu_is_an_error_before_anything_runs() {
    let project = Project::new();
    for key in ["search.precision", "train.precision", "test.precision"] {
        for verb in [&["plan"][..], &["run", "all"]] {
            let ended = project.run(&[verb, &["--set", &format!("{key}=tf32")]].concat());
            assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
            assert!(ended.err.contains(&format!("{key}: tf32 requires an NVIDIA GPU")), "{}", ended.err);
        }
    }
    // The stages before it do not need it.
    project.run_ok(&["run", "search", "--set", "test.precision=tf32"]);
}
