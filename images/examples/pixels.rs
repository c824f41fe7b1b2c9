//! Decodes and transforms image files, for programs that compare the pixels with those of other libraries.
//!
//! Each line of standard input is a request as JSON. The reply is a line on standard output, `{"width", "height"}` or
//! `{"error"}`. The pixels are written to the file `out`, three bytes (RGB) each, row by row.
//!
//! ```json
//! {"image": "a.jpg", "out": "a.rgb"}
//! {"image": "a.jpg", "out": "a.rgb", "evaluate": {"resize": 256, "resolution": 224}}
//! {"image": "a.jpg", "out": "a.rgb", "train": {"resolution": 224, "crop": [10, 20, 300, 200], "flip": true,
//!  "colors": [["hue", 0.1], ["contrast", 1.3]]}}
//! ```
//!
//! With `"exif_orientation": "apply"` the photo is rotated by its EXIF orientation. `crop` is left, top, width and
//! height; the color changes are applied in the given order.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use tfnas_images::{
    ColorChange, CropArea, EvalTransform, ExifOrientation, RgbImage, TrainParameters, TrainTransform, decode_oriented,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    image: PathBuf,
    out: PathBuf,
    #[serde(default)]
    exif_orientation: Orientation,
    evaluate: Option<Evaluate>,
    train: Option<Train>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Orientation {
    #[default]
    Ignore,
    Apply,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Evaluate {
    resize: usize,
    resolution: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Train {
    resolution: usize,
    crop: (i64, i64, usize, usize),
    flip: bool,
    colors: Vec<(Color, f64)>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Color {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut stdout = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        let answer = match pixels(&request) {
            Ok(image) => {
                std::fs::write(&request.out, &image.pixels)?;
                json!({ "width": image.width, "height": image.height })
            }
            Err(error) => json!({ "error": error.to_string() }),
        };
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn pixels(request: &Request) -> Result<RgbImage, Box<dyn Error>> {
    let orientation = match request.exif_orientation {
        Orientation::Ignore => ExifOrientation::Ignore,
        Orientation::Apply => ExifOrientation::Apply,
    };
    let mut image = decode_oriented(&std::fs::read(&request.image)?, orientation)?;
    if let Some(Evaluate { resize, resolution }) = &request.evaluate {
        image = EvalTransform { resize: *resize, resolution: *resolution }.apply(&image);
    }
    if let Some(train) = &request.train {
        image = train.apply(&image);
    }
    Ok(image)
}

impl Train {
    fn apply(&self, image: &RgbImage) -> RgbImage {
        let (left, top, width, height) = self.crop;
        let colors = self.colors.iter().map(|&(color, factor)| match color {
            Color::Brightness => ColorChange::Brightness(factor),
            Color::Contrast => ColorChange::Contrast(factor),
            Color::Saturation => ColorChange::Saturation(factor),
            Color::Hue => ColorChange::Hue(factor),
        });
        let parameters =
            TrainParameters { crop: CropArea { left, top, width, height }, flip: self.flip, colors: colors.collect() };
        TrainTransform { resolution: self.resolution, ..TrainTransform::default() }.apply(image, &parameters)
    }
}
