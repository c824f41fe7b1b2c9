//! Generates a data set of small pictures in ten classes, to search and train without downloading images.
//!
//! The classes are shapes and textures. Position, size, angle, colors, clutter, contrast and noise vary. Colors
//! correlate only weakly with the class. The same parameters give the same bytes on every machine.

mod marker;
mod scene;
mod shape;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use tfnas_random::{Stream, StreamId};
use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

use marker::Marker;
use scene::Scene;

/// The classes, in the order of their numbers in the drawing code. Their labels follow from their names.
pub const CLASSES: [&str; 10] =
    ["disc", "ring", "square", "frame", "triangle", "cross", "star", "stripes", "checker", "dots"];

/// Of the JPEG files.
const QUALITY: i32 = 90;

/// The allowed sides of pictures, in pixels.
const SIZES: std::ops::RangeInclusive<usize> = 8..=1024;

/// The largest number of pictures of a class, on either side.
const MAX_PER_CLASS: usize = 100_000;

/// Which pictures to draw.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct GeneratedSet {
    /// Side of the square pictures, in pixels.
    pub size: usize,
    /// Training pictures of each class.
    pub train_per_class: usize,
    /// Test pictures of each class.
    pub test_per_class: usize,
    /// Another seed, other pictures.
    pub seed: u64,
}

/// A set that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum GeneratedError {
    /// Parameters out of their range.
    #[error("{name} of generated images is between {least} and {most}, found {found}")]
    Parameter {
        /// The field of [`GeneratedSet`].
        field: &'static str,
        /// The parameter, in words.
        name: &'static str,
        /// Its smallest value.
        least: usize,
        /// Its largest value.
        most: usize,
        /// Its value.
        found: usize,
    },
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A picture that libjpeg-turbo does not compress.
    #[error("{}: cannot be compressed: {source}", path.display())]
    Encode {
        /// The picture.
        path: PathBuf,
        /// The error of libjpeg-turbo.
        source: turbojpeg::Error,
    },
    /// The folder contains other files.
    #[error("{}: contains files that are not generated images; choose a folder that does not exist yet", .0.display())]
    Foreign(PathBuf),
    /// A set of other pictures.
    #[error(
        "{}: contains generated images with other parameters ({found}; expected {expected}); choose another \
         folder, or delete this one",
        root.display()
    )]
    OtherSet {
        /// The folder.
        root: PathBuf,
        /// The parameters of the pictures there.
        found: String,
        /// The requested parameters.
        expected: String,
    },
    /// A set that was changed after it was written.
    #[error("{}: its generated images were modified; delete the folder to generate them again", .0.display())]
    Changed(PathBuf),
}

/// Writes the pictures as `train/<class>/<number>.jpg` and `test/<class>/<number>.jpg` under `root`, unless they
/// already exist. The file `generated.json` next to them records the parameters.
///
/// The folder appears completely or not at all: it is written under a temporary name next to `root`, after the
/// leftovers of an interrupted run there have been removed. Existing files are never overwritten.
///
/// # Errors
/// Returns [`GeneratedError`] for parameters out of range, if `root` contains anything but exactly these pictures, and
/// if the files cannot be written.
pub fn write(root: &Path, set: &GeneratedSet) -> Result<(), GeneratedError> {
    set.check()?;
    if is_there(root, set)? {
        return Ok(());
    }
    let draft = Draft::begin(root)?;
    // Another process may have finished first.
    if is_there(root, set)? {
        return draft.discard();
    }
    let digest = set.write_pictures(&draft.path)?;
    marker::write(&draft.path, &Marker::new(set, &digest))?;
    fs::rename(&draft.path, root).map_err(failed(root))
}

impl GeneratedSet {
    /// Checks the parameters.
    ///
    /// # Errors
    /// Returns [`GeneratedError::Parameter`] for the first one that is out of its range.
    pub fn check(&self) -> Result<(), GeneratedError> {
        let ranges = [
            ("size", "the size", self.size, *SIZES.start(), *SIZES.end()),
            ("train_per_class", "the number of training images per class", self.train_per_class, 1, MAX_PER_CLASS),
            ("test_per_class", "the number of test images per class", self.test_per_class, 1, MAX_PER_CLASS),
        ];
        for (field, name, found, least, most) in ranges {
            if !(least..=most).contains(&found) {
                return Err(GeneratedError::Parameter { field, name, least, most, found });
            }
        }
        Ok(())
    }

    /// All pictures, in the order of their paths' parts.
    fn pictures(&self) -> Vec<Picture> {
        let sides = [(Side::Train, self.train_per_class), (Side::Test, self.test_per_class)];
        let classes = move |(side, count)| {
            (0..CLASSES.len()).flat_map(move |class| (0..count).map(move |number| Picture { side, class, number }))
        };
        sides.into_iter().flat_map(classes).collect()
    }

    /// Writes all pictures and returns their digest.
    fn write_pictures(&self, root: &Path) -> Result<String, GeneratedError> {
        for folder in [Side::Train, Side::Test].iter().flat_map(|side| CLASSES.map(|class| side.folder().join(class))) {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(failed(&folder))?;
        }
        let write = |picture: &Picture| {
            let path = root.join(picture.path());
            let bytes = self.jpeg(picture).map_err(|source| GeneratedError::Encode { path: path.clone(), source })?;
            fs::write(&path, &bytes).map_err(failed(&path))?;
            Ok(blake3::hash(&bytes))
        };
        let digests: Vec<blake3::Hash> = self.pictures().par_iter().map(write).collect::<Result<_, _>>()?;
        Ok(digest_of(&digests))
    }

    /// The digest of the pictures as they are on the disk.
    fn read_digest(&self, root: &Path) -> Result<String, GeneratedError> {
        let read = |picture: &Picture| {
            let path = root.join(picture.path());
            match fs::read(&path) {
                Ok(bytes) => Ok(blake3::hash(&bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(GeneratedError::Changed(root.to_owned())),
                Err(source) => Err(GeneratedError::File { path, source }),
            }
        };
        let digests: Vec<blake3::Hash> = self.pictures().par_iter().map(read).collect::<Result<_, _>>()?;
        Ok(digest_of(&digests))
    }

    fn jpeg(&self, picture: &Picture) -> Result<Vec<u8>, turbojpeg::Error> {
        // A larger set begins with the pictures of a smaller one.
        let index = picture.number * CLASSES.len() + picture.class;
        let index = u32::try_from(index).expect("the number of pictures was checked");
        let mut stream = Stream::new(self.seed, StreamId::Synthetic, picture.side as u32, index);
        let pixels = Scene::new(picture.class, &mut stream).render(self.size, &mut stream);
        let mut compressor = Compressor::new()?;
        compressor.set_quality(QUALITY)?;
        compressor.set_subsamp(Subsamp::None)?;
        compressor.compress_to_vec(Image {
            pixels: pixels.as_slice(),
            width: self.size,
            pitch: self.size * 3,
            height: self.size,
            format: PixelFormat::RGB,
        })
    }
}

/// The folders of a set, below its root: of the training images, and of the test images.
pub const FOLDERS: [&str; 2] = ["train", "test"];

#[derive(Clone, Copy)]
enum Side {
    Train,
    Test,
}

impl Side {
    fn folder(self) -> &'static Path {
        let [train, test] = FOLDERS;
        Path::new(match self {
            Self::Train => train,
            Self::Test => test,
        })
    }
}

/// One of the pictures of a set.
struct Picture {
    side: Side,
    class: usize,
    number: usize,
}

impl Picture {
    fn path(&self) -> PathBuf {
        self.side.folder().join(CLASSES[self.class]).join(format!("{:04}.jpg", self.number))
    }
}

/// BLAKE3 of the digests of the files, in the order of the pictures.
fn digest_of(digests: &[blake3::Hash]) -> String {
    let mut hasher = blake3::Hasher::new();
    for digest in digests {
        hasher.update(digest.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

/// Returns whether `root` contains exactly this set. An empty folder counts as missing.
fn is_there(root: &Path, set: &GeneratedSet) -> Result<bool, GeneratedError> {
    match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(GeneratedError::File { path: root.to_owned(), source }),
        Ok(mut items) => {
            if items.next().is_none() {
                return Ok(false);
            }
        }
    }
    let Some(found) = marker::read(root)? else {
        return Err(GeneratedError::Foreign(root.to_owned()));
    };
    let expected = Marker::new(set, &found.digest);
    if found != expected {
        let (found, expected) = (found.parameters(), expected.parameters());
        return Err(GeneratedError::OtherSet { root: root.to_owned(), found, expected });
    }
    if set.read_digest(root)? != found.digest {
        return Err(GeneratedError::Changed(root.to_owned()));
    }
    Ok(true)
}

/// The temporary folder that a set is written to, locked against other processes.
struct Draft {
    path: PathBuf,
    _lock: File,
}

impl Draft {
    /// Waits for another process that writes the same set, then starts from an empty folder.
    fn begin(root: &Path) -> Result<Self, GeneratedError> {
        let root = std::path::absolute(root).map_err(failed(root))?;
        let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else {
            return Err(GeneratedError::Foreign(root));
        };
        let path = parent.join(format!(".{}.generating", name.to_string_lossy()));
        loop {
            if let Err(error) = fs::create_dir_all(&path) {
                // The folder existed, and its owner renamed it before it was checked.
                let gone = error.kind() == io::ErrorKind::AlreadyExists
                    && found(fs::symlink_metadata(&path)).map_err(failed(&path))?.is_none_or(|there| there.is_dir());
                if gone {
                    continue;
                }
                return Err(failed(&path)(error));
            }
            let Some(lock) = found(File::open(&path)).map_err(failed(&path))? else { continue };
            lock.lock().map_err(failed(&path))?;
            // The previous holder of the lock has renamed the folder, or another folder was created in its place.
            let locked = lock.metadata().map_err(failed(&path))?;
            let current = found(fs::metadata(&path)).map_err(failed(&path))?;
            if current.is_some_and(|current| (current.dev(), current.ino()) == (locked.dev(), locked.ino())) {
                let draft = Self { path, _lock: lock };
                draft.clear()?;
                return Ok(draft);
            }
        }
    }

    /// Removes the leftovers of an interrupted run.
    fn clear(&self) -> Result<(), GeneratedError> {
        for item in fs::read_dir(&self.path).map_err(failed(&self.path))? {
            let item = item.map_err(failed(&self.path))?;
            let path = item.path();
            let is_folder = item.file_type().map_err(failed(&path))?.is_dir();
            if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.map_err(failed(&path))?;
        }
        Ok(())
    }

    fn discard(self) -> Result<(), GeneratedError> {
        fs::remove_dir(&self.path).map_err(failed(&self.path))
    }
}

/// Nothing in place of an error about a file that does not exist.
fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> GeneratedError {
    let path = path.to_owned();
    move |source| GeneratedError::File { path: path.clone(), source }
}

#[cfg(test)]
mod tests;
