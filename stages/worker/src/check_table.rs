//! `check-table`: compares a latency table with measured random networks, outside a pipeline.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tfnas::{Architecture, Space, TableHeader};
use tfnas_c10d::cuda::set_numerics;
use tfnas_fs::{read_limited, read_text_limited};
use tfnas_pytorch_files::{MAX_TABLE_BYTES, table_from_bytes};
use tfnas_random::{Stream, StreamId};
use tfnas_stages::{CheckTableRequest, LookupCheck};
use tfnas_torch::device::find_device;
use tfnas_torch::timing::{InPlace, TimingOptions, check_times, reference_configs};

use crate::VERSION;
use crate::console::{print_error, print_line};
use crate::error::{Context as _, StageError, exit_code};
use crate::lookup::{PASSES, WARM_UP_PASSES, compare};
use crate::reference::reference_of;

/// Maximum size of a request, in bytes.
const MAX_REQUEST_BYTES: u64 = 16 << 20;
/// Minimum number of measurements of each network; the noise can only be estimated from several.
const MIN_VISITS: usize = 2;

/// Runs the request in a file and prints a [`LookupCheck`] as JSON. Arguments: `VERSION FILE`, with the version of the planner.
///
/// Exit codes: 0 on success, 1 on failure, 2 for invalid arguments.
pub fn check_table(arguments: &[OsString]) -> ExitCode {
    let file = match arguments {
        [version, file] if version == VERSION => PathBuf::from(file),
        _ => {
            print_error(&format!("expected VERSION FILE, of tfnas-pipeline {VERSION}"));
            return ExitCode::from(2);
        }
    };
    exit_code(answer(&file).and_then(|check| {
        let text = serde_json::to_string(&check).context("check")?;
        print_line(&text).context("cannot write to standard output")
    }))
}

fn answer(file: &Path) -> Result<LookupCheck, StageError> {
    let text = read_text_limited(file, MAX_REQUEST_BYTES).context(file.display())?;
    let request: CheckTableRequest = serde_json::from_str(&text).context(file.display())?;
    let path = request.table.display();
    let bytes = read_limited(&request.table, MAX_TABLE_BYTES).context(&path)?;
    let table = table_from_bytes(bytes, TableHeader::default).context(&path)?;
    let space = Space::new(request.space).context("space")?;
    table.check_covers(&space).context(&path)?;
    let device = find_device(&request.device).context("device")?;
    if device.is_cuda() {
        set_numerics(false)?;
    }
    let networks: Vec<Architecture> = (0..request.networks)
        .map(|index| {
            Architecture::random(&space, &mut Stream::new(request.seed, StreamId::RandomArchitecture, 0, index as u32))
        })
        .collect();
    let options = TimingOptions {
        batch: request.batch,
        threads: request.threads,
        passes: PASSES,
        warm_up_passes: WARM_UP_PASSES,
        seed: request.seed,
        device,
    };
    let reference = reference_of(&table, &options);
    let classes = reference.map_or(request.classes, |reference| reference.classes);
    let seed = reference.map_or(request.seed, |reference| reference.seed);
    let in_place = InPlace::new(&space, classes, &networks, &reference_configs(&space, seed, classes), options)?;
    let start = Instant::now();
    let mut rounds = Vec::new();
    let mut visits = 0;
    while visits < MIN_VISITS * request.networks || start.elapsed().as_secs_f64() < request.budget_s {
        let round = in_place.check_round(rounds.len() as u32);
        visits += round.checks.len();
        rounds.push(round);
    }
    let mut times = check_times(&rounds);
    let slower = reference.map(|reference| times.reference_ms / reference.ms);
    if let Some(slower) = slower {
        times.networks.iter_mut().for_each(|time| time.ms /= slower);
    }
    let check = compare(&space, &table, &networks, &times, rounds.len())?
        .ok_or_else(|| StageError::new("no network was measured: at least 1 network is required"))?;
    Ok(LookupCheck { drift: slower.map(|slower| slower - 1.0), ..check })
}
