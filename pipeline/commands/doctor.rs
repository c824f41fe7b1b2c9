use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::Serialize;
use tfnas_executor::worker_program;
use tfnas_humanize::Columns;
use tfnas_planner::machine::{CpuLimit, Device, build, cpu};
use tfnas_stages::Executor;
use tfnas_stages::machine::{CUDA_DRIVER, cuda_models};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::Setup;

/// Check what a run needs: the worker and its libtorch, the device, the store, the configuration
#[derive(Args, Debug)]
pub struct Doctor {
    /// The worker's program [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

#[derive(Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
    found: String,
}

impl Doctor {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let mut checks = vec![
            Check { what: "program", ok: true, found: format!("{}, {}", build::TOOL, build::RUSTC) },
            Check { what: "machine", ok: true, found: format!("{}, {}", cpu::model(), CpuLimit::of_process()) },
            check("worker", worker(self.worker.as_deref())),
        ];
        let setup = Setup::new(options);
        let device = setup.as_ref().ok().and_then(|setup| setup.devices.first()).unwrap_or(&Device::Cpu);
        checks.push(Check { what: "device", ok: true, found: format!("{device} ({})", device.model()) });
        checks.push(Check { what: "gpu", ok: true, found: gpus() });
        match setup {
            Ok(setup) => {
                let from = setup
                    .configuration
                    .file
                    .as_ref()
                    .map_or("embedded default".to_owned(), |file| file.display().to_string());
                checks.push(Check { what: "configuration", ok: true, found: from });
                if setup.configuration.shared().config.executor == Executor::Slurm {
                    checks.push(check("cluster", cluster()));
                }
                let opened = setup.read().map_err(|error| error.message);
                checks.push(check("store", opened.and_then(|session| store(session.cache.store().root()))));
            }
            Err(error) => checks.push(Check { what: "configuration", ok: false, found: error.message }),
        }
        let well = checks.iter().all(|check| check.ok);
        if options.json {
            print_json(&serde_json::json!({ "checks": checks }));
        } else {
            let mut columns = Columns::plain(3);
            for check in &checks {
                columns.row([check.what, if check.ok { "ok" } else { "wrong" }, &check.found]);
            }
            print(&columns.to_string());
        }
        Ok(if well { Exit::Done } else { Exit::Usage })
    }
}

fn check(what: &'static str, found: Result<String, String>) -> Check {
    match found {
        Ok(found) => Check { what, ok: true, found },
        Err(found) => Check { what, ok: false, found },
    }
}

/// Describes the GPUs that the driver lists, and whether libtorch can use them.
fn gpus() -> String {
    let libtorch = if build::libtorch_has_cuda() { "with CUDA" } else { "without CUDA" };
    let libtorch = format!("libtorch {} {libtorch}", build::LIBTORCH);
    if !Path::new(CUDA_DRIVER).exists() {
        return format!("no NVIDIA driver is loaded; {libtorch}");
    }
    let models = cuda_models();
    match models.first() {
        None => format!("the NVIDIA driver lists no device, or CUDA_VISIBLE_DEVICES hides them; {libtorch}"),
        Some(_) if !build::libtorch_has_cuda() => {
            format!("{}; {libtorch}: `TFNAS_LIBTORCH=cuda make build` installs it with CUDA", models.join(", "))
        }
        Some(_) => format!("{}; {libtorch}", models.join(", ")),
    }
}

/// Checks that files can be created in the store, or where it would be created.
fn store(root: &Path) -> Result<String, String> {
    let shown = root.display();
    let absolute = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let folder = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(&absolute);
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(shown.to_string()),
        Err(error) => Err(format!("{shown}: cannot write to {}: {error}", folder.display())),
    }
}

/// Checks that the Slurm controller responds. Slurm's commands find the configuration of the cluster themselves.
fn cluster() -> Result<String, String> {
    let missing = |error| format!("sbatch: {error}: `executor: slurm` needs Slurm's programs on this machine");
    let version = Command::new("sbatch").arg("--version").output().map_err(missing)?;
    let answer = Command::new("sinfo").args(["--noheader", "--format=%P"]).output().map_err(missing)?;
    if !answer.status.success() {
        return Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned());
    }
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let partitions = String::from_utf8_lossy(&answer.stdout).split_whitespace().collect::<Vec<_>>().join(", ");
    Ok(format!("{version}, partitions {partitions}"))
}

/// Starts the worker, which fails if its libtorch is missing or does not match.
fn worker(named: Option<&Path>) -> Result<String, String> {
    let program = worker_program(named).map_err(|error| error.to_string())?;
    let shown = program.display();
    let output = Command::new(&program).arg("--version").output().map_err(|error| format!("{shown}: {error}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("{shown} does not start: {} {stderr}", output.status));
    }
    let printed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let version = printed.split_whitespace().nth(1).unwrap_or_default();
    if version != build::VERSION {
        return Err(format!(
            "{shown} reports `{printed}`, but this is {}: build both from the same source",
            build::TOOL
        ));
    }
    Ok(format!("{shown}: {printed}, libtorch {}", build::LIBTORCH))
}
