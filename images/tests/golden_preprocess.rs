//! Compares decoding, resizing and color changes with Pillow and torchvision for the same photographs.
//!
//! The photographs are in `TFNAS_PHOTOS` (default: `../shared/data/photos` next to the project), the expected values in
//! `TFNAS_GOLDEN` (the folder that contains `preprocess`; default: `../shared/golden`). Without the expected values
//! nothing is compared. Without the photographs only cases that contain the decoded image are compared.

#![allow(clippy::unwrap_used)]

use std::env;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tfnas_images::{
    ColorChange, CropArea, CropRule, EvalTransform, RgbImage, TrainParameters, TrainTransform, crop, decode, resize,
};

const RESOLUTION: usize = 224;

/// Folders of the photographs and the cases.
struct Reference {
    photos: PathBuf,
    cases: PathBuf,
}

/// Number of compared images by kind.
#[derive(Debug, Default)]
struct Counts {
    decoded: usize,
    evaluated: usize,
    normalized: usize,
    augmented: usize,
    /// Cases without a photograph, which start from the decoded PNG.
    from_png: usize,
    /// Cases with neither a photograph nor a PNG.
    skipped: usize,
}

#[test]
fn golden_preprocess() {
    let reference = Reference {
        photos: folder("TFNAS_PHOTOS", "../../shared/data/photos"),
        cases: folder("TFNAS_GOLDEN", "../../shared/golden").join("preprocess"),
    };
    if !reference.cases.is_dir() {
        println!("golden_preprocess: NOTHING WAS COMPARED, there is no folder {}", reference.cases.display());
        return;
    }
    if !reference.photos.is_dir() {
        println!("golden_preprocess: no folder {}: only decoded images are compared", reference.photos.display());
    }
    let text = fs::read_to_string(reference.cases.join("preprocess.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for case in cases {
        reference.compare(case, &mut counts, &mut failures);
    }
    println!("golden_preprocess: {} cases, compared {counts:?}", cases.len());
    assert!(counts.evaluated > 0, "no case in {} could be compared", reference.cases.display());
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// Returns the folder in the environment variable, or the default next to the project.
fn folder(variable: &str, default: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(default), PathBuf::from)
}

impl Reference {
    fn compare(&self, case: &Value, counts: &mut Counts, failures: &mut Vec<String>) {
        let name = case["photo"].as_str().unwrap();
        let mut expect = |what: &str, found: &RgbImage, wanted: &[u8]| {
            if let Some(difference) = difference(&found.pixels, wanted) {
                failures.push(format!("{name}: {what}: {difference}"));
            }
        };
        let png = case["decoded_png"].as_str().map(|file| decode(&fs::read(self.cases.join(file)).unwrap()).unwrap());
        let photo = fs::read(self.photos.join(name)).ok();
        let image = match (photo, png) {
            (Some(bytes), png) => {
                assert_eq!(sha256(&bytes), case["jpeg_sha256"], "{name} has another SHA-256");
                let image = decode(&bytes).unwrap();
                if let Some(png) = png {
                    expect("decoded", &image, &png.pixels);
                }
                counts.decoded += 1;
                image
            }
            (None, Some(png)) => {
                counts.from_png += 1;
                png
            }
            (None, None) => {
                println!("golden_preprocess: {name} is missing");
                counts.skipped += 1;
                return;
            }
        };
        let size = [image.width, image.height];
        assert_eq!(size, [number(&case["width"]), number(&case["height"])], "{name}: size");

        let transform = EvalTransform { resize: 256, resolution: RESOLUTION };
        let evaluated = transform.apply(&image);
        expect("evaluated", &evaluated, &self.raw(&case["resize256_centercrop224"]));
        counts.evaluated += 1;

        let augment = &case["augment"];
        if augment.is_object() {
            self.compare_augmented(augment, &image, &mut expect);
            counts.augmented += 1;
        }
        let hash = sha256(&image.pixels);
        if hash != case["decoded_rgb_sha256"] {
            failures.push(format!("{name}: the decoded pixels have another SHA-256, {hash}"));
        }
        counts.normalized += compare_normalized(&evaluated, case, name, failures);
    }

    fn compare_augmented(&self, augment: &Value, image: &RgbImage, expect: &mut impl FnMut(&str, &RgbImage, &[u8])) {
        let edges: Vec<usize> = augment["box_i_j_h_w"].as_array().unwrap().iter().map(number).collect();
        let area = CropArea { top: edges[0] as i64, left: edges[1] as i64, height: edges[2], width: edges[3] };
        let part = crop(image, area.left, area.top, area.width, area.height);
        let part = resize(&part, RESOLUTION, RESOLUTION);
        expect("crop", &part, &self.raw(&augment["resized_crop"]));
        for name in ["brightness", "contrast", "saturation", "hue"] {
            let mut changed = part.clone();
            change(name, augment).apply(&mut changed);
            expect(name, &changed, &self.raw(&augment[name]));
        }
        let chain = &augment["hflip_then_chain"];
        let order = chain["order"].as_array().unwrap();
        let parameters = TrainParameters {
            crop: area,
            flip: true,
            colors: order.iter().map(|name| change(name.as_str().unwrap(), augment)).collect(),
        };
        let full = [1.0, 1.0];
        let transform = TrainTransform {
            resolution: RESOLUTION,
            crop: CropRule::RandomResized { scale: full, ratio: full },
            ..TrainTransform::default()
        };
        expect("chain", &transform.apply(image, &parameters), &self.raw(chain));
    }

    /// Returns the decompressed bytes of the file in `entry`.
    fn raw(&self, entry: &Value) -> Vec<u8> {
        let path = self.cases.join(entry["file"].as_str().unwrap());
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
        assert_eq!(sha256(&bytes), entry["sha256_raw"], "{entry}: the file has another SHA-256");
        bytes
    }
}

fn change(name: &str, augment: &Value) -> ColorChange {
    let factor = augment[name]["factor"].as_f64().unwrap();
    match name {
        "brightness" => ColorChange::Brightness(factor),
        "contrast" => ColorChange::Contrast(factor),
        "saturation" => ColorChange::Saturation(factor),
        "hue" => ColorChange::Hue(factor),
        _ => panic!("unknown color change {name}"),
    }
}

/// Compares the mean and the standard deviation of the normalized image with those of float32 tensors.
fn compare_normalized(image: &RgbImage, case: &Value, name: &str, failures: &mut Vec<String>) -> usize {
    let (means, deviations) = ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225]);
    for channel in 0..3 {
        let values: Vec<f64> = image.pixels[channel..]
            .iter()
            .step_by(3)
            .map(|&value| f64::from((f32::from(value) / 255.0 - means[channel]) / deviations[channel]))
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
        for (found, wanted) in
            [(mean, &case["normalized_mean"][channel]), (variance.sqrt(), &case["normalized_std_population"][channel])]
        {
            let wanted = wanted.as_f64().unwrap();
            if (found - wanted).abs() > 1e-6 {
                failures.push(format!("{name}: normalized channel {channel}: {found}, expected {wanted}"));
            }
        }
    }
    1
}

/// Describes the difference between two images, or returns `None` if they are equal.
fn difference(found: &[u8], wanted: &[u8]) -> Option<String> {
    if found.len() != wanted.len() {
        return Some(format!("{} bytes, expected {}", found.len(), wanted.len()));
    }
    let distances = found.iter().zip(wanted).map(|(found, wanted)| found.abs_diff(*wanted));
    let different = distances.clone().filter(|&distance| distance > 0).count();
    let largest = distances.max().unwrap_or(0);
    (different > 0).then(|| format!("{different} of {} bytes differ, by up to {largest}", found.len()))
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap_or(0) as usize
}

fn sha256(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
