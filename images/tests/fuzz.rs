//! Readers of image lists and images with damaged input return a value or an error, in bounded time and memory, and
//! never panic.
#![allow(clippy::unwrap_used)]

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, RgbImage};
use tfnas_images::{ExifOrientation, ImageList, decode_oriented, parse_classes};
use tfnas_testutils::damage::{check_memory, damaged, inputs};
use turbojpeg::{Image, PixelFormat, Subsamp};

const LIST: &str = "n01440764/n01440764_10026.JPEG 0\nn01440764/n01440764_10027.JPEG 0\na folder/an image.png 1\n";
const CLASSES: &str = "n01440764\nn01443537\nn01484850\n";

#[test]
fn damaged_lists_do_not_panic() {
    for index in 0..inputs() {
        let bytes = damaged(LIST.as_bytes(), index);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(list) = ImageList::parse(&text, "list") {
            assert!(list.entries().iter().all(|entry| !entry.path.is_empty()));
        }
    }
    check_memory();
}

#[test]
fn damaged_class_names_do_not_panic() {
    for index in 0..inputs() {
        let bytes = damaged(CLASSES.as_bytes(), index);
        if let Ok(classes) = parse_classes(&String::from_utf8_lossy(&bytes), "classes") {
            assert!(classes.iter().all(|class| !class.is_empty()));
        }
    }
    check_memory();
}

/// Returns a picture with a few colors.
fn picture() -> RgbImage {
    RgbImage::from_fn(24, 17, |x, y| image::Rgb([(x * 10) as u8, (y * 14) as u8, (x * y) as u8]))
}

fn encoded(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture()).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(format: PixelFormat, chroma: Subsamp) -> Vec<u8> {
    let pitch = 24 * format.size();
    let pixels: Vec<u8> = (0..pitch * 17).map(|index| (index * 7 % 256) as u8).collect();
    let image = Image { pixels: pixels.as_slice(), width: 24, pitch, height: 17, format };
    turbojpeg::compress(image, 90, chroma).unwrap().to_vec()
}

/// Decodes damaged copies of these files. In every second copy only the header is damaged. Some copies can still be
/// decoded.
fn decode_damaged(files: &[Vec<u8>]) {
    const HEADER: usize = 160;
    let mut decoded = 0;
    for index in 0..inputs() {
        let file = &files[index as usize % files.len()];
        let (head, tail) = file.split_at(if index % 2 == 0 { file.len().min(HEADER) } else { file.len() });
        let bytes = [damaged(head, index), tail.to_vec()].concat();
        if let Ok(image) = decode_oriented(&bytes, ExifOrientation::Apply) {
            assert_eq!(image.pixels.len(), image.width * image.height * 3);
            decoded += 1;
        }
    }
    assert!((inputs() / 20..inputs()).contains(&decoded), "{decoded} decoded");
    check_memory();
}

#[test]
fn damaged_jpegs_do_not_panic() {
    decode_damaged(&[
        jpeg(PixelFormat::RGB, Subsamp::Sub2x2),
        jpeg(PixelFormat::GRAY, Subsamp::Gray),
        jpeg(PixelFormat::CMYK, Subsamp::None),
    ]);
}

#[test]
fn damaged_images_of_other_formats_do_not_panic() {
    use ImageFormat::{Bmp, Gif, Png, Tiff, WebP};
    let mut files: Vec<_> = [Png, Bmp, Tiff, WebP, Gif].map(encoded).into();
    files.push(b"P2 # grey\n3 2 15 1 2 3 4 5 6".to_vec());
    files.push([&b"P6 24 17 255\n"[..], picture().as_raw()].concat());
    decode_damaged(&files);
}
