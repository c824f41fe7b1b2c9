//! Compares a latency table with measured random networks.

use std::time::Instant;

use tfnas::{Architecture, Space, TableHeader};
use tfnas_c10d::cuda::set_numerics;
use tfnas_fs::read_limited;
use tfnas_pytorch_files::{MAX_TABLE_BYTES, table_from_bytes};
use tfnas_random::{Stream, StreamId};
use tfnas_stages::{CheckTableRequest, LookupCheck};
use tfnas_torch::device::find_device;
use tfnas_torch::timing::{InPlace, TimingOptions, check_times, reference_configs};

use crate::error::{Context as _, StageError};
use crate::lookup::{PASSES, WARM_UP_PASSES, compare};
use crate::reference::reference_of;

/// Minimum number of measurements of each network; the noise can only be estimated from several.
const MIN_VISITS: usize = 2;

/// Measures random networks and compares them with the table.
pub(super) fn check(request: &CheckTableRequest) -> Result<LookupCheck, StageError> {
    let path = request.table.display();
    let bytes = read_limited(&request.table, MAX_TABLE_BYTES).context(&path)?;
    let table = table_from_bytes(bytes, TableHeader::default).context(&path)?;
    let space = Space::new(request.space.clone()).context("space")?;
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
