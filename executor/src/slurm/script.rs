use std::path::Path;

use crate::process::{SPINS, VARIABLES, WAITING};

/// The MASTER_PORT. A free port cannot be chosen before the job starts, and all ranks must use the same one, so it is
/// derived from the number of the job. The range is below the ephemeral ports.
const PORTS: &str = "$((12000 + (SLURM_JOB_ID + ${SLURM_RESTART_COUNT:-0}) % 20000))";

/// The command of each of several tasks: sets torchrun's variables from Slurm's.
const TASK: &str = r#"
trap "" USR1
export RANK="$SLURM_PROCID" WORLD_SIZE="$SLURM_NTASKS" LOCAL_RANK="$SLURM_LOCALID"
export MASTER_ADDR="$SLURM_LAUNCH_NODE_IPADDR"
if [ "$RANK" = 0 ]; then exec "$1" detached "$2" "$3"; fi
exec "$1" join --detached
"#;

/// Returns the batch script of a submission.
///
/// The script replaces itself with the worker (or with srun, which forwards signals), so that the worker receives
/// Slurm's signals directly. Until then, it ignores the warning before the time limit, which would kill it by default.
pub fn script(id: &str, worker: &Path, folder: &Path, number: u32, threads: usize, tasks: usize) -> String {
    let mut text = format!("#!/bin/sh\n# {id}, submission {number}; written by tfnas-pipeline.\ntrap '' USR1\n");
    for (name, value) in VARIABLES {
        text.push_str(&format!("export {name}={value}\n"));
    }
    text.push_str(&format!("export OMP_NUM_THREADS={threads}\n"));
    let (name, spins) = SPINS;
    let chosen = WAITING.map(|name| format!("${{{name}-}}")).concat();
    text.push_str(&format!("if [ -z \"{chosen}\" ]; then export {name}={spins}; fi\n"));
    let (worker, folder) = (quoted(worker), quoted(folder));
    if tasks == 1 {
        text.push_str(&format!("exec {worker} detached {folder} {number}\n"));
    } else {
        text.push_str(&format!("export MASTER_PORT={PORTS}\n"));
        // srun does not take the cores per task from sbatch's option.
        let srun = "srun --kill-on-bad-exit=1 --cpus-per-task=\"$SLURM_CPUS_PER_TASK\"";
        text.push_str(&format!("exec {srun} sh -c '{TASK}' sh {worker} {folder} {number}\n"));
    }
    text
}

/// Quotes a path for the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// Runs a script with a worker that prints its arguments and environment.
    fn run(tasks: usize, srun: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        let worker = program("it's a worker", "kill -USR1 $$; echo $OMP_NUM_THREADS $RANK $MASTER_PORT \"$@\"");
        program("srun", srun);
        let text = script("train", &worker, Path::new("/a folder"), 7, 3, tasks);
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", &text]).env("PATH", path).env("SLURM_JOB_ID", "5").env("SLURM_CPUS_PER_TASK", "1");
        String::from_utf8(shell.output().unwrap().stdout).unwrap()
    }

    #[test]
    fn a_single_task_becomes_the_worker_and_ignores_an_early_warning() {
        assert_eq!(run(1, "exit 1"), "3 detached /a folder 7\n");
    }

    #[test]
    fn several_tasks_get_their_ranks_from_slurm() {
        let srun = "shift 2; for SLURM_PROCID in 0 1; do export SLURM_PROCID; \"$@\"; done";
        assert_eq!(run(2, srun), "3 0 12005 detached /a folder 7\n3 1 12005 join --detached\n");
    }
}
