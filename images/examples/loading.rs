//! Measures how many photos per second are decoded and augmented as in training, with the augmentation of the
//! authors' ImageNet training.
//!
//! `cargo run -p tfnas-images --example loading -- FOLDER [DECODERS] [PIXELS] [SECONDS] [exact|fast] [workers|device]`.
//! FOLDER has one folder per class. Defaults: 1 decoder thread, 224 pixels per side, 10 seconds, exact. With `device`,
//! colors are not changed, as with `data.color_jitter: device`.
//!
//! The images of a small folder are kept in memory and decoded exactly. To measure the decoding of a large data set, link
//! each photo often enough.

use std::path::Path;
use std::time::{Duration, Instant};

use tfnas_images::{
    BadImage, BatchOptions, ColorJitter, Decoding, ExifOrientation, ImageSource, Order, Reading, TrainTransform,
    Transform, scan,
};
use tfnas_random::StreamId;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |index| std::env::args().nth(index);
    let folder =
        argument(1).ok_or("usage: loading FOLDER [DECODERS] [PIXELS] [SECONDS] [exact|fast] [workers|device]")?;
    let number = |index, default| argument(index).map_or(Ok(default), |text| text.parse::<usize>());
    let (workers, resolution, seconds) = (number(2, 1)?, number(3, 224)?, number(4, 10)?);
    let decoding = match argument(5).as_deref() {
        None | Some("exact") => Decoding::Exact,
        Some("fast") => Decoding::Fast,
        Some(other) => return Err(format!("expected exact or fast, found {other}").into()),
    };
    let color_jitter = match argument(6).as_deref() {
        None | Some("workers") => ColorJitter::Applied,
        Some("device") => ColorJitter::Deferred,
        Some(other) => return Err(format!("expected workers or device, found {other}").into()),
    };
    let list = scan(Path::new(&folder))?.list;
    let reading = Reading { on_bad: BadImage::Skip, orientation: ExifOrientation::Ignore };
    let transform = TrainTransform { resolution, ..TrainTransform::default() };
    let (start, mut images) = (Instant::now(), 0);
    'measuring: for epoch in 0.. {
        // A source caches the decoded images of a small data set, so each epoch uses a new one.
        let source = ImageSource::new(Path::new(&folder), list.clone(), reading);
        let options = BatchOptions {
            batch: 64,
            shard: None,
            order: Order::Shuffled { seed: 0, purpose: StreamId::Shuffle, epoch, round: 0 },
            transform: Transform::Train {
                transform: transform.clone(),
                seed: 0,
                purpose: StreamId::Augment,
                epoch,
                decoding,
                color_jitter,
            },
            start_batch: 0,
            workers,
        };
        for batch in source.batches(&options) {
            images += batch?.labels.len();
            if start.elapsed() >= Duration::from_secs(seconds as u64) {
                break 'measuring;
            }
        }
    }
    let rate = images as f64 / start.elapsed().as_secs_f64();
    println!("{rate:.1} images/s with {workers} decoders, {:.1} images/s per decoder", rate / workers.max(1) as f64);
    Ok(())
}
