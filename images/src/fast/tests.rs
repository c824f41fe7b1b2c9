use tfnas_random::{Stream, StreamId};
use tfnas_testutils::damage::{damaged, inputs};
use turbojpeg::{Image, PixelFormat, ScalingFactor, Subsamp};

use super::*;
use crate::decode::{ExifOrientation, decode_oriented, open_jpeg};
use crate::rgb_image::CHANNELS;

/// Without color changes.
fn plain(resolution: usize) -> TrainTransform {
    TrainTransform {
        resolution,
        brightness: 0.0,
        contrast: 0.0,
        saturation: 0.0,
        hue: 0.0,
        ..TrainTransform::default()
    }
}

/// A picture of slow gradients.
fn jpeg(width: usize, height: usize, format: PixelFormat, chroma: Subsamp) -> Vec<u8> {
    let wave = |x: usize, y: usize, channel: usize| {
        let (x, y) = (x as f64 / width as f64, y as f64 / height as f64);
        let angle = 5.0 * (x + (channel as f64 + 1.0) * y * 0.7) + channel as f64;
        (127.5 + 100.0 * angle.sin()) as u8
    };
    let channels = format.size();
    let pixels: Vec<u8> = (0..width * height * channels)
        .map(|index| wave(index / channels % width, index / channels / width, index % channels))
        .collect();
    let image = Image { pixels: pixels.as_slice(), width, pitch: width * channels, height, format };
    turbojpeg::compress(image, 95, chroma).unwrap().to_vec()
}

/// Adds metadata with this orientation.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let tiff = [&b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"[..], &[orientation], &[0; 7]].concat();
    let payload = [&b"Exif\0\0"[..], &tiff].concat();
    let length = (payload.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, 0xE1], &length, &payload, &jpeg[2..]].concat()
}

fn stream(index: u32) -> Stream {
    Stream::new(3, StreamId::Augment, 0, index)
}

fn fast(bytes: &[u8], transform: &TrainTransform, index: u32) -> Result<Vec<u8>, DecodeError> {
    let (jpeg, orientation) = open_jpeg(bytes, ExifOrientation::Apply)?.unwrap();
    let mut planes = Planes::default();
    let draw = |width, height| transform.draw(width, height, &mut stream(index));
    transform_jpeg(jpeg, orientation, transform, draw, &mut Vec::new(), &mut planes)?;
    let mut pixels = Vec::new();
    planes.append_to(&mut pixels);
    Ok(pixels)
}

fn exact(bytes: &[u8], transform: &TrainTransform, index: u32) -> Vec<u8> {
    let image = decode_oriented(bytes, ExifOrientation::Apply).unwrap();
    transform.apply(&image, &transform.draw(image.width, image.height, &mut stream(index))).pixels
}

/// Returns the largest and the mean difference.
fn differences(found: &[u8], expected: &[u8]) -> (u8, f64) {
    assert_eq!(found.len(), expected.len());
    let differences = || found.iter().zip(expected).map(|(found, expected)| found.abs_diff(*expected));
    (differences().max().unwrap_or(0), differences().map(f64::from).sum::<f64>() / found.len() as f64)
}

#[test]
fn smooth_images_differ_little_at_every_scale_and_odd_size() {
    // The sizes reach all four scales for crops of at least 8 % of the area.
    for (width, height) in [(101, 131), (257, 259), (511, 383), (1023, 1001)] {
        for chroma in [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2] {
            let bytes = jpeg(width, height, PixelFormat::RGB, chroma);
            for index in 0..8 {
                let transform = plain(32);
                let (largest, mean) =
                    differences(&fast(&bytes, &transform, index).unwrap(), &exact(&bytes, &transform, index));
                assert!(largest <= 12 && mean < 2.0, "{width} x {height}, {chroma:?}: {largest}, mean {mean}");
            }
        }
    }
}

#[test]
fn oriented_images_show_the_same_crops() {
    for (width, height) in [(61, 83), (640, 427)] {
        let stored = jpeg(width, height, PixelFormat::RGB, Subsamp::None);
        for orientation in 1..=8 {
            let bytes = with_orientation(&stored, orientation);
            for index in 0..6 {
                let transform = plain(40);
                let (largest, mean) =
                    differences(&fast(&bytes, &transform, index).unwrap(), &exact(&bytes, &transform, index));
                assert!(largest <= 10 && mean < 1.5, "orientation {orientation}: {largest}, mean {mean}");
            }
        }
    }
}

#[test]
fn gray_and_cmyk_images_are_reduced() {
    for (format, chroma) in [(PixelFormat::GRAY, Subsamp::Gray), (PixelFormat::CMYK, Subsamp::None)] {
        let bytes = jpeg(401, 299, format, chroma);
        for index in 0..6 {
            let transform = plain(32);
            let (largest, mean) =
                differences(&fast(&bytes, &transform, index).unwrap(), &exact(&bytes, &transform, index));
            assert!(largest <= 12 && mean < 2.0, "{format:?}: {largest}, mean {mean}");
        }
    }
}

#[test]
fn color_changes_stay_close() {
    let bytes = jpeg(300, 200, PixelFormat::RGB, Subsamp::None);
    for index in 0..20 {
        let transform = TrainTransform { resolution: 64, ..TrainTransform::default() };
        let (_, mean) = differences(&fast(&bytes, &transform, index).unwrap(), &exact(&bytes, &transform, index));
        assert!(mean < 3.0, "mean {mean}");
    }
}

#[test]
fn one_color_stays_one_color() {
    let pixels = [90, 140, 40].repeat(700 * 500);
    let image = Image { pixels: pixels.as_slice(), width: 700, pitch: 2100, height: 500, format: PixelFormat::RGB };
    let bytes = turbojpeg::compress(image, 95, Subsamp::None).unwrap().to_vec();
    for resolution in [20, 60, 150, 224] {
        let found = fast(&bytes, &plain(resolution), 0).unwrap();
        assert!(found.chunks_exact(CHANNELS).all(|pixel| pixel == &found[..CHANNELS]), "{resolution}");
    }
}

#[test]
fn rows_below_the_crop_are_not_needed() {
    let bytes = jpeg(301, 400, PixelFormat::RGB, Subsamp::Sub2x2);
    let all = Jpeg::open(&bytes).unwrap().decode_scaled(ScalingFactor::ONE, Vec::new()).unwrap();
    for (rows, kept) in [(1, 32), (32, 32), (33, 64), (384, 384), (385, 400), (400, 400), (500, 400)] {
        let mut jpeg = Jpeg::open(&bytes).unwrap();
        jpeg.keep_rows(rows);
        let image = jpeg.decode_scaled(ScalingFactor::ONE, vec![1; 9]).unwrap();
        assert_eq!((image.width, image.height), (301, kept));
        assert!(image.pixels[..] == all.pixels[..kept * 301 * CHANNELS], "{rows} rows");
    }
}

#[test]
fn exactly_decoded_rows_are_those_of_the_whole_image() {
    for chroma in [Subsamp::None, Subsamp::Sub2x1, Subsamp::Sub2x2, Subsamp::Sub1x2, Subsamp::Sub4x1] {
        let bytes = jpeg(301, 400, PixelFormat::RGB, chroma);
        let all = Jpeg::open(&bytes).unwrap().decode().unwrap();
        for rows in (1..=400).step_by(3).chain([31, 32, 33, 62, 63, 64, 399, 400]) {
            let mut jpeg = Jpeg::open(&bytes).unwrap();
            jpeg.keep_exact_rows(rows);
            let image = jpeg.decode().unwrap();
            let needed = rows as usize * 301 * CHANNELS;
            assert!(image.pixels[..needed] == all.pixels[..needed], "{rows} rows, {chroma:?}");
            assert!(image.height < rows as usize + 2 + 32, "{rows} rows");
        }
    }
}

#[test]
fn damaged_files_are_the_same_errors() {
    let complete = jpeg(200, 150, PixelFormat::RGB, Subsamp::Sub2x2);
    for bytes in
        [complete[..complete.len() / 2].to_vec(), complete[..complete.len() - 2].to_vec(), complete[..40].to_vec()]
    {
        for index in 0..5 {
            let expected = decode_oriented(&bytes, ExifOrientation::Apply).map(|_| ()).unwrap_err();
            let found = fast(&bytes, &plain(16), index).unwrap_err();
            assert_eq!(found.to_string(), expected.to_string());
        }
    }
    // Damage within the data is tolerated.
    let ended = [&complete[..complete.len() / 2], &[0xFF, 0xD9]].concat();
    assert!(decode_oriented(&ended, ExifOrientation::Apply).is_ok() && fast(&ended, &plain(16), 0).is_ok());
    let mut oversized = complete;
    let size = oversized.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap() + 5;
    oversized[size..size + 4].fill(0xF0);
    assert!(matches!(fast(&oversized, &plain(16), 0), Err(DecodeError::TooLarge { .. })));
}

#[test]
fn damaged_copies_do_not_panic_and_are_read_if_they_are_read_exactly() {
    let files = [
        jpeg(90, 130, PixelFormat::RGB, Subsamp::Sub2x2),
        jpeg(90, 130, PixelFormat::GRAY, Subsamp::Gray),
        with_orientation(&jpeg(130, 90, PixelFormat::CMYK, Subsamp::None), 6),
    ];
    let mut read = 0;
    for index in 0..inputs() {
        let file = &files[index as usize % files.len()];
        // In every second copy only the header is damaged.
        let (head, tail) = file.split_at(if index % 2 == 0 { 160 } else { file.len() });
        let bytes = [damaged(head, index), tail.to_vec()].concat();
        let is_exact = matches!(open_jpeg(&bytes, ExifOrientation::Apply), Ok(Some(_)))
            && decode_oriented(&bytes, ExifOrientation::Apply).is_ok();
        if is_exact {
            assert_eq!(fast(&bytes, &plain(24), index).unwrap().len(), 24 * 24 * CHANNELS);
            read += 1;
        } else if let Ok(Some((mut opened, _))) = open_jpeg(&bytes, ExifOrientation::Apply) {
            // Any outcome but a panic.
            opened.keep_rows(40);
            let _ = opened.decode_scaled(ScalingFactor::ONE_HALF, Vec::new());
        }
    }
    assert!((inputs() / 20..inputs()).contains(&read), "{read} read");
}
