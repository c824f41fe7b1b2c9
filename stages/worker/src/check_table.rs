//! `check-table`: a latency table beside random whole networks, without a pipeline around it.

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
use crate::console::{complain, print_line};
use crate::error::{Context as _, StageError, answered};
use crate::lookup::{PASSES, WARM_UP_PASSES, compare};
use crate::reference::reference_of;

/// The most bytes that a request may have.
const MAX_REQUEST_BYTES: u64 = 16 << 20;
/// Visits of each network at least: one alone does not tell the noise.
const MIN_VISITS: usize = 2;

/// Measures what the request in the file after `check-table` asks for (`VERSION FILE`, the version being the planner's) and writes
/// a [`LookupCheck`] as JSON on standard output.
///
/// Exit codes: 0 if it is measured, 1 if it cannot be, 2 for arguments that are not a request.
pub fn check_table(arguments: &[OsString]) -> ExitCode {
    let file = match arguments {
        [version, file] if version == VERSION => PathBuf::from(file),
        _ => {
            complain(&format!("expected VERSION FILE, of tfnas-pipeline {VERSION}"));
            return ExitCode::from(2);
        }
    };
    answered(answer(&file).and_then(|check| {
        let text = serde_json::to_string(&check).context("check")?;
        print_line(&text).context("cannot write to standard output")
    }))
}

fn answer(file: &Path) -> Result<LookupCheck, StageError> {
    let text = read_text_limited(file, MAX_REQUEST_BYTES).context(file.display())?;
    let request: CheckTableRequest = serde_json::from_str(&text).context(file.display())?;
    let place = request.table.display();
    let bytes = read_limited(&request.table, MAX_TABLE_BYTES).context(&place)?;
    let table = table_from_bytes(bytes, TableHeader::default).context(&place)?;
    let space = Space::new(request.space).context("space")?;
    table.check_covers(&space).context(&place)?;
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
        .ok_or_else(|| StageError::new("no network was measured: at least 1 is needed"))?;
    Ok(LookupCheck { drift: slower.map(|slower| slower - 1.0), ..check })
}
