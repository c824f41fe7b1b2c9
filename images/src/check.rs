//! Finds the images of a set that cannot be read, before anything is computed with them.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use rayon::prelude::*;

use crate::bounded_read::read_bounded;
use crate::decode::looks_whole;
use crate::source::{MAX_FILE_BYTES, guarded};
use crate::{LoadError, decode};

/// Images that are looked at between two reports of progress.
const CHUNK: usize = 512;

/// An image that cannot be read.
#[derive(Debug)]
pub struct UnreadableImage {
    /// Its path, as it was given.
    pub path: String,
    /// The problem.
    pub error: LoadError,
}

impl UnreadableImage {
    /// Returns whether the file is not a complete image and can be skipped. Otherwise it could not be read at all.
    pub fn is_broken(&self) -> bool {
        matches!(self.error, LoadError::Decode { .. })
    }

    /// Returns the problem without the path.
    pub fn reason(&self) -> String {
        match &self.error {
            LoadError::Decode { source, .. } => source.to_string(),
            LoadError::Read { source, .. } => format!("cannot be read: {source}"),
            other => other.to_string(),
        }
    }
}

/// Checks the header and the end of every image below `root`, in parallel, and returns the unreadable ones in the given
/// order. An image with an unusual header or end is decoded, so that no readable image is reported. Damage between
/// header and end is not detected.
///
/// * `progress`: called with the number of checked images. If it breaks, the function returns `None`.
pub fn check_images<P: AsRef<str> + Sync>(
    root: &Path,
    paths: &[P],
    mut progress: impl FnMut(usize) -> ControlFlow<()>,
) -> Option<Vec<UnreadableImage>> {
    let mut unreadable = Vec::new();
    let mut done = 0;
    for portion in paths.chunks(CHUNK) {
        let found: Vec<_> = portion
            .par_iter()
            .map_init(Vec::new, |buffer, path| {
                let path = path.as_ref();
                let error = check(&root.join(path), buffer).err()?;
                Some(UnreadableImage { path: path.to_owned(), error })
            })
            .collect();
        unreadable.extend(found.into_iter().flatten());
        done += portion.len();
        if progress(done).is_break() {
            return None;
        }
    }
    Some(unreadable)
}

fn check(path: &Path, buffer: &mut Vec<u8>) -> Result<(), LoadError> {
    guarded(
        || path.to_owned(),
        || {
            let read = |source| LoadError::Read { path: path.to_owned(), source };
            if looks_whole_at(path).map_err(read)? {
                return Ok(());
            }
            read_bounded(path, MAX_FILE_BYTES, buffer).map_err(read)?;
            decode(buffer).map(|_| ()).map_err(|source| LoadError::Decode { path: path.to_owned(), source })
        },
    )
}

/// Returns whether a regular file looks complete. Too large files and other kinds of files are reported when they are
/// read.
fn looks_whole_at(path: &Path) -> io::Result<bool> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Ok(false);
    }
    Ok(looks_whole(&File::open(path)?, metadata.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use image::{DynamicImage, ImageFormat};
    use turbojpeg::{Image, PixelFormat, Subsamp};

    use super::*;

    /// Returns a picture in every supported format.
    fn pictures() -> Vec<(&'static str, Vec<u8>)> {
        let photo = image::RgbImage::from_fn(64, 48, |x, y| {
            image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y * 7 % 251) as u8])
        });
        let photo = DynamicImage::from(photo);
        let formats = [
            ("a.png", ImageFormat::Png),
            ("a.bmp", ImageFormat::Bmp),
            ("a.tif", ImageFormat::Tiff),
            ("a.webp", ImageFormat::WebP),
            ("a.gif", ImageFormat::Gif),
            ("a.ppm", ImageFormat::Pnm),
        ];
        let mut pictures: Vec<_> = formats
            .into_iter()
            .map(|(name, format)| {
                let mut bytes = io::Cursor::new(Vec::new());
                let picture = if format == ImageFormat::Gif { photo.to_rgba8().into() } else { photo.clone() };
                if format == ImageFormat::Pnm {
                    let mut text = b"P6 64 48 255\n".to_vec();
                    text.extend(photo.to_rgb8().into_raw());
                    return (name, text);
                }
                picture.write_to(&mut bytes, format).unwrap();
                (name, bytes.into_inner())
            })
            .collect();
        let pixels = photo.to_rgb8().into_raw();
        let image = Image { pixels: pixels.as_slice(), width: 64, pitch: 192, height: 48, format: PixelFormat::RGB };
        pictures.push(("a.jpg", turbojpeg::compress(image, 90, Subsamp::Sub2x2).unwrap().to_vec()));
        pictures
    }

    fn unreadable(root: &Path, paths: &[&str]) -> Vec<UnreadableImage> {
        check_images(root, paths, |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn check_accepts_every_format_and_lists_all_unreadable_images() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(root.path().join(name), bytes).unwrap();
        let mut names = Vec::new();
        for (name, bytes) in pictures() {
            write(name, &bytes);
            names.push(name.to_owned());
        }
        write("empty.jpg", b"");
        write("page.jpg", b"<!DOCTYPE html><html></html>");
        write("words.png", b"no image");
        names.extend(["empty.jpg", "page.jpg", "words.png", "missing.jpg"].map(str::to_owned));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = unreadable(root.path(), &names);
        let paths: Vec<&str> = found.iter().map(|image| image.path.as_str()).collect();
        assert_eq!(paths, ["empty.jpg", "page.jpg", "words.png", "missing.jpg"]);
        assert_eq!(found[0].reason(), "the file is empty");
        assert!(found[1].reason().ends_with("its content is an HTML page"), "{}", found[1].reason());
        assert!(found[2].is_broken() && !found[3].is_broken());
    }

    #[test]
    fn truncated_file_is_listed_only_if_it_cannot_be_decoded() {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in pictures() {
            for length in (0..bytes.len()).step_by(bytes.len() / 60 + 1).chain(bytes.len() - 13..=bytes.len()) {
                fs::write(root.path().join(name), &bytes[..length]).unwrap();
                let is_listed = !unreadable(root.path(), &[name]).is_empty();
                assert_eq!(is_listed, decode(&bytes[..length]).is_err(), "{name}, {length} of {} bytes", bytes.len());
            }
        }
    }

    #[test]
    fn long_headers_and_embedded_previews_are_handled() {
        let root = tempfile::tempdir().unwrap();
        let photo = pictures().pop().unwrap().1;
        let preview = [&[0xFF, 0xE2, 0xFF, 0xFE][..], &[7; 0xFFFC]].concat();
        let mut segments = preview.repeat(5);
        // A complete image in the metadata.
        segments.extend([0xFF, 0xE1]);
        segments.extend((photo.len() as u16 + 2).to_be_bytes());
        segments.extend(&photo);
        let complete = [&photo[..2], &segments, &photo[2..]].concat();
        let path = root.path().join("a.jpg");
        fs::write(&path, &complete).unwrap();
        assert!(looks_whole_at(&path).unwrap());
        fs::write(&path, &complete[..complete.len() - 40]).unwrap();
        assert!(!looks_whole_at(&path).unwrap());
        assert_eq!(unreadable(root.path(), &["a.jpg"]).len(), 1);
    }

    #[test]
    fn check_can_be_stopped() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..CHUNK * 3).map(|index| format!("{index}.jpg")).collect();
        let mut seen = Vec::new();
        let found = check_images(root.path(), &names, |done| {
            seen.push(done);
            if done > CHUNK { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(found.is_none() && seen == [CHUNK, 2 * CHUNK]);
    }
}
