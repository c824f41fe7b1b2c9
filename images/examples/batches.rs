//! Writes the training images of a folder to standard output, for programs that train with them or compare them.
//!
//! `cargo run -p tfnas-images --example batches -- FOLDER PIXELS SEED exact|fast [plain]`. FOLDER has one folder per class.
//! The output has three bytes (RGB) per pixel, row by row, image by image in the order of their paths. With `plain`,
//! colors are not changed.

use std::io::Write;
use std::path::Path;

use tfnas_images::{
    BadImage, BatchOptions, ColorJitter, Decoding, ImageSource, Order, TrainTransform, Transform, scan,
};
use tfnas_random::StreamId;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, resolution, seed, decoding, is_plain) =
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [folder, pixels, seed, decoding] => (folder, pixels, seed, decoding, false),
            [folder, pixels, seed, decoding, "plain"] => (folder, pixels, seed, decoding, true),
            _ => return Err("usage: batches FOLDER PIXELS SEED exact|fast [plain]".into()),
        };
    let decoding = match decoding {
        "exact" => Decoding::Exact,
        "fast" => Decoding::Fast,
        other => return Err(format!("expected exact or fast, found {other}").into()),
    };
    let (resolution, seed) = (resolution.parse()?, seed.parse()?);
    let colored = TrainTransform { resolution, ..TrainTransform::default() };
    let transform = match is_plain {
        true => TrainTransform { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0, ..colored },
        false => colored,
    };
    let folder = Path::new(folder);
    let source = ImageSource::new(folder, scan(folder)?.list, BadImage::Error);
    let options = BatchOptions {
        batch: 64,
        shard: None,
        order: Order::Sequential,
        transform: Transform::Train {
            transform,
            seed,
            purpose: StreamId::Augment,
            epoch: 0,
            decoding,
            color_jitter: ColorJitter::Applied,
        },
        start_batch: 0,
        workers: 1,
    };
    let mut stdout = std::io::stdout().lock();
    for batch in source.batches(&options) {
        stdout.write_all(&batch?.pixels)?;
    }
    Ok(())
}
