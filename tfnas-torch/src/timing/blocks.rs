use tch::no_grad;
use tfnas::{Architecture, BlockKey, ModelConfig, Space};
use tfnas_random::{Purpose, Stream};

use super::input::Inputs;
use super::network::check_memory;
use super::piece::{Piece, check_block, weight_bytes};
use super::stopwatch::Stopwatch;
use super::{Progress, TimingError, TimingOptions, quantile};

/// Bytes of weights that are held at a time. More requests are measured in several batches.
const BATCH_BYTES: f64 = 1.0e9;

/// Measured latencies of the parts of networks, in milliseconds: medians over the passes.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockTimes {
    /// What every network of the space spends beside its blocks: both stems, feature mix, mean over pixels, classifier.
    pub base_ms: f64,
    /// Key, width and milliseconds of each request, in the order of the requests.
    pub rows: Vec<(BlockKey, usize, f64)>,
}

/// Measures the blocks of these keys and widths, and what the networks of a space have in common.
///
/// * `classes`: outputs of the classifier.
///
/// The same request twice is measured twice.
///
/// # Errors
/// [`TimingError`]; [`TimingError::Stopped`] as soon as `progress` breaks.
pub fn time_blocks(
    space: &Space,
    classes: usize,
    requests: &[(BlockKey, usize)],
    options: &TimingOptions,
    progress: &mut Progress<'_>,
) -> Result<BlockTimes, TimingError> {
    options.check()?;
    if classes == 0 {
        return Err(TimingError::Zero("the number of classes"));
    }
    for (key, width) in requests {
        check_block(key, *width, options)?;
    }
    let batches = batch_count(requests).min(requests.len()).max(1);
    let base = shared_pieces(space, classes, options)?;
    let network = blocks_of_a_network(space);
    let mut pieces = 0;
    for batch in 0..batches {
        let members = (batch..requests.len()).step_by(batches).len();
        pieces += members + base.len() * members.div_ceil(network).max(1);
    }
    let mut stopwatch = Stopwatch::new(options, pieces * options.calls(), progress);

    let mut base_times = vec![Vec::new(); base.len()];
    let mut rows: Vec<_> = requests.iter().map(|&(key, width)| (key, width, f64::NAN)).collect();
    for batch in 0..batches {
        let members = (batch..requests.len()).step_by(batches);
        let pieces = members.clone().map(|request| Piece::of_key(&requests[request].0, requests[request].1, options));
        let bench = Bench { base: &base, blocks: &pieces.collect::<Vec<_>>(), network };
        let times = bench.time(batch as u32, options, &mut base_times, &mut stopwatch)?;
        for (request, ms) in members.zip(times) {
            rows[request].2 = ms;
        }
    }
    Ok(BlockTimes { base_ms: base_times.into_iter().map(median).sum(), rows })
}

/// In how many batches the requests are measured, so that their weights fit into memory.
fn batch_count(requests: &[(BlockKey, usize)]) -> usize {
    let bytes: f64 = requests.iter().map(|(key, width)| weight_bytes(key, *width)).sum();
    (bytes / BATCH_BYTES).ceil() as usize
}

/// How many blocks a network of the space has, on average over depths.
fn blocks_of_a_network(space: &Space) -> usize {
    let twice: usize = (0..space.groups().len()).map(|group| 1 + space.blocks_of(group).len()).sum();
    twice.div_ceil(2)
}

/// What the networks of a space have in common.
fn shared_pieces(space: &Space, classes: usize, options: &TimingOptions) -> Result<Vec<Piece>, TimingError> {
    let mut stream = Stream::new(options.seed, Purpose::RandomArchitecture, 0, 0);
    let any = Architecture::random(space, &mut stream);
    let config = ModelConfig::from_architecture(space, &any, classes).expect("a random architecture is of its space");
    check_memory(&config, space.definition().resolution, options)?;
    Ok(Piece::shared(&config, space.definition().resolution, space.stem_size(), space.final_size(), options))
}

/// Pieces that are measured together.
struct Bench<'a> {
    /// What every network has.
    base: &'a [Piece],
    blocks: &'a [Piece],
    /// How many blocks a network has.
    network: usize,
}

impl Bench<'_> {
    /// At each visit the blocks are dealt into groups as large as a network. A group, with the base, runs several times, each
    /// time in another order: first untimed, which leaves the caches as a network that is called again and again finds them.
    ///
    /// Gives the median of each block in milliseconds; `base_times` grows by the times of the base in each group.
    fn time(
        &self,
        batch: u32,
        options: &TimingOptions,
        base_times: &mut [Vec<f64>],
        stopwatch: &mut Stopwatch<'_, '_>,
    ) -> Result<Vec<f64>, TimingError> {
        let pieces: Vec<&Piece> = self.base.iter().chain(self.blocks).collect();
        let inputs = Inputs::new(pieces.iter().map(|piece| piece.input), options.batch, options.seed, options.device);
        let mut times = vec![Vec::with_capacity(options.passes); self.blocks.len()];
        let mut deal: Vec<usize> = (self.base.len()..pieces.len()).collect();
        for (visit, passes) in options.visits().enumerate() {
            let mut stream = Stream::new(options.seed, Purpose::Timing, batch, visit as u32);
            stream.shuffle(&mut deal);
            // Without any block the base is measured alone.
            let groups = deal.chunks(self.network).chain(deal.is_empty().then_some(&[][..]));
            for group in groups {
                let mut order: Vec<usize> = (0..self.base.len()).chain(group.iter().copied()).collect();
                for pass in 0..options.warm_up_passes + passes {
                    stream.shuffle(&mut order);
                    let pass_ms = no_grad(|| {
                        stopwatch.time_each_ms(order.len(), |place| {
                            let piece = pieces[order[place]];
                            piece.forward(inputs.of(piece.input))
                        })
                    })?;
                    if pass < options.warm_up_passes {
                        continue;
                    }
                    for (&position, ms) in order.iter().zip(pass_ms) {
                        match position.checked_sub(self.base.len()) {
                            None => base_times[position].push(ms),
                            Some(block) => times[block].push(ms),
                        }
                    }
                }
            }
        }
        Ok(times.into_iter().map(median).collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ops::ControlFlow;

    use tch::Device;

    use super::*;

    const OPTIONS: TimingOptions =
        TimingOptions { batch: 2, threads: 1, passes: 2, warm_up_passes: 1, seed: 3, device: Device::Cpu };

    fn requests() -> Vec<(BlockKey, usize)> {
        let rows = Space::small().needed_rows();
        rows.iter().rev().take(4).flat_map(|row| [(row.key, row.max_width), (row.key, row.min_width)]).collect()
    }

    #[test]
    fn every_request_gets_its_time_in_the_order_asked_for() {
        let requests = requests();
        let mut reports = Vec::new();
        let times = time_blocks(&Space::small(), 10, &requests, &OPTIONS, &mut |done, total| {
            reports.push((done, total));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(times.base_ms.is_finite() && times.base_ms > 0.0);
        let asked: Vec<_> = times.rows.iter().map(|&(key, width, _)| (key, width)).collect();
        assert_eq!(asked, requests);
        assert!(times.rows.iter().all(|row| row.2.is_finite() && row.2 > 0.0));
        let groups = requests.len().div_ceil(blocks_of_a_network(&Space::small()));
        let calls = (requests.len() + 5 * groups) * 3;
        assert_eq!(reports.last(), Some(&(calls, calls)));
    }

    #[test]
    fn without_requests_the_base_is_measured_alone() {
        let times = time_blocks(&Space::small(), 10, &[], &OPTIONS, &mut |_, _| ControlFlow::Continue(())).unwrap();
        assert!(times.base_ms > 0.0 && times.rows.is_empty());
    }

    #[test]
    fn a_measurement_stops_when_asked_to() {
        let stop = &mut |_: usize, _: usize| ControlFlow::Break(());
        let stopped = time_blocks(&Space::small(), 10, &requests(), &OPTIONS, stop);
        assert_eq!(stopped, Err(TimingError::Stopped));
    }

    #[test]
    fn a_block_that_cannot_be_is_refused_before_anything_is_measured() {
        let row = Space::small().needed_rows()[0];
        let reach = |key: BlockKey, width: usize, options: &TimingOptions| {
            let unreachable = &mut |_: usize, _: usize| ControlFlow::Break(());
            time_blocks(&Space::small(), 10, &[(key, width)], options, unreachable)
        };
        let narrow = reach(row.key, row.key.in_channels - 1, &OPTIONS);
        assert!(matches!(narrow, Err(TimingError::NoSuchBlock { .. })));
        let even = reach(BlockKey { kernel: 4, ..row.key }, row.max_width, &OPTIONS);
        assert!(matches!(even, Err(TimingError::NoSuchBlock { .. })));
        let huge = reach(BlockKey { input_size: 1 << 20, ..row.key }, row.max_width, &OPTIONS);
        assert!(matches!(huge, Err(TimingError::TooLarge { .. })));
        let no_passes = reach(row.key, row.max_width, &TimingOptions { passes: 0, ..OPTIONS });
        assert_eq!(no_passes, Err(TimingError::Zero("passes")));
    }

    #[test]
    fn heavy_requests_are_spread_over_batches() {
        let key = BlockKey { in_channels: 4000, out_channels: 4000, ..Space::small().needed_rows()[0].key };
        assert_eq!(batch_count(&[(key, 8000); 2]), 1);
        assert_eq!(batch_count(&[(key, 8000); 20]), 6);
    }
}
