//! Classifies files and folders by name: images, photos in unsupported formats, and ignored names.

use std::collections::BTreeMap;
use std::fmt;

/// The extensions of images, in any case.
pub const EXTENSIONS: [&str; 10] = ["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"];

/// Extensions of photos, drawings and videos that are not read.
const UNREAD: [&str; 58] = [
    "3fr", "3gp", "ai", "arw", "avi", "avif", "avifs", "cr2", "cr3", "crw", "cur", "dcr", "dds", "dng", "eps", "erf",
    "exr", "hdr", "heic", "heics", "heif", "hif", "ico", "iiq", "insp", "j2k", "jfif", "jp2", "jpe", "jpf", "jxl",
    "jxr", "kdc", "m4v", "mkv", "mov", "mp4", "mpg", "mpo", "mrw", "nef", "nrw", "orf", "pdf", "pef", "psd", "raf",
    "raw", "rw2", "rwl", "sr2", "srf", "srw", "svg", "tga", "webm", "wmv", "x3f",
];

/// The longest of [`UNREAD`], in bytes.
const LONGEST_UNREAD: usize = 5;

/// Folders and files created by systems and tools, in lower case. Names that begin with a dot need not be listed.
const SYSTEM_NAMES: [&str; 30] = [
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "@recently-snapshot",
    "@recycle",
    "@sharesnap",
    "@snapshot",
    "@synoeastream",
    "@synoresource",
    "@tmp",
    "__macosx",
    "__pycache__",
    "albumart.pamp",
    "desktop.ini",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "found.000",
    "icon\r",
    "lost+found",
    "network trash folder",
    "picasa.ini",
    "system volume information",
    "temporary items",
    "thevolumesettingsfolder",
    "thumbs.db",
    "thumbs.db:encryptable",
    "zbthumbnail.info",
    "~snapshot",
    "~tmp",
];

/// Returns whether a file or folder of this name is ignored at any depth: it is hidden (its name begins with a dot,
/// like `.git`, `.DS_Store` and the `._x.jpg` of macOS), or created by a system (`Thumbs.db`, `@eaDir`).
pub fn is_ignored(name: &[u8]) -> bool {
    const LONGEST: usize = 25;
    if name.first() == Some(&b'.') {
        return true;
    }
    // Skip the search for most names: they begin with another letter than any of these.
    let begins_as_one = name.first().is_some_and(|first| b"#$@_adefilnpstz~".contains(&first.to_ascii_lowercase()));
    begins_as_one
        && name.len() <= LONGEST
        && SYSTEM_NAMES.iter().any(|system| name.eq_ignore_ascii_case(system.as_bytes()))
}

/// Returns whether the name ends with one of [`EXTENSIONS`].
pub fn has_image_extension(name: &[u8]) -> bool {
    extension(name)
        .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known.as_bytes())))
}

/// Returns whether a file of this name is an image that earlier versions passed over.
pub fn is_newly_read(name: &[u8]) -> bool {
    extension(name).is_some_and(|extension| extension.eq_ignore_ascii_case(b"gif"))
}

/// Returns the lower-case extension if it belongs to a photo, drawing or video in an unsupported format.
pub fn unread_extension(name: &[u8]) -> Option<&'static str> {
    let extension = extension(name).filter(|extension| extension.len() <= LONGEST_UNREAD)?;
    UNREAD.iter().find(|known| extension.eq_ignore_ascii_case(known.as_bytes())).copied()
}

/// Returns the part of a name after the last dot.
fn extension(name: &[u8]) -> Option<&[u8]> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    Some(&name[dot + 1..])
}

/// Files in formats that are not read, counted by extension. As text, one line: the numbers, and how to convert them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnreadFormats(BTreeMap<&'static str, usize>);

impl UnreadFormats {
    /// Counts the file of this name, if it is one.
    pub fn count(&mut self, name: &[u8]) {
        if let Some(extension) = unread_extension(name) {
            *self.0.entry(extension).or_default() += 1;
        }
    }

    /// Adds other counts.
    pub(crate) fn add(&mut self, other: Self) {
        for (extension, count) in other.0 {
            *self.0.entry(extension).or_default() += count;
        }
    }

    /// Returns whether the count is zero.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many files there are.
    pub fn files(&self) -> usize {
        self.0.values().sum()
    }

    /// Returns how to convert them.
    fn advice(&self) -> String {
        const HEIF: [&str; 4] = ["heic", "heics", "heif", "hif"];
        const JPEG: [&str; 3] = ["jfif", "jpe", "mpo"];
        let has = |extensions: &[&str]| extensions.iter().any(|extension| self.0.contains_key(extension));
        let mut ways = Vec::new();
        if has(&HEIF) {
            ways.push("HEIC: `heif-convert a.heic a.jpg`, on macOS `sips -s format jpeg a.heic --out a.jpg`");
        }
        if has(&["avif", "avifs"]) {
            ways.push("AVIF: `avifdec a.avif a.png`");
        }
        if has(&JPEG) {
            ways.push("JFIF, JPE and MPO are JPEG files: rename them to .jpg");
        }
        ways.push("others: `magick a.ext a.png` (ImageMagick)");
        if ways.len() == 1 {
            return "convert them to JPEG or PNG to use them, for example with `magick a.ext a.png` (ImageMagick)"
                .to_owned();
        }
        format!("convert them to JPEG or PNG to use them ({})", ways.join("; "))
    }
}

impl fmt::Display for UnreadFormats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts: Vec<_> = self.0.iter().collect();
        counts.sort_by_key(|&(extension, count)| (std::cmp::Reverse(*count), *extension));
        let counts: Vec<String> =
            counts.into_iter().map(|(extension, count)| format!("{count} .{extension}")).collect();
        let (noun, verb) = if self.files() == 1 { ("file", "is") } else { ("files", "are") };
        write!(
            f,
            "{} {noun} in unsupported formats {verb} skipped: {}; {}",
            self.files(),
            counts.join(", "),
            self.advice()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_system_names_are_ignored_in_any_case() {
        for name in [
            ".git",
            ".ipynb_checkpoints",
            ".Trash-1000",
            ".AppleDouble",
            ".DS_Store",
            "._x.jpg",
            ".hidden.png",
            "__MACOSX",
            "@eaDir",
            "#recycle",
            "@Recycle",
            "$RECYCLE.BIN",
            "$Recycle.Bin",
            "System Volume Information",
            "lost+found",
            "Thumbs.db",
            "thumbs.db",
            "desktop.ini",
            "Desktop.ini",
            "Icon\r",
        ] {
            assert!(is_ignored(name.as_bytes()), "{name}");
        }
        for system in SYSTEM_NAMES {
            assert!(is_ignored(system.as_bytes()) && is_ignored(system.to_ascii_uppercase().as_bytes()), "{system}");
        }
    }

    #[test]
    fn ordinary_names_are_not_ignored() {
        for name in ["", "cat", "_", "__cat__", "@home", "#1", "$5", "found", "thumbs", "a.git", "desktop", "recycled"]
        {
            assert!(!is_ignored(name.as_bytes()), "{name}");
        }
        assert!(!is_ignored(b"\xff") && !is_ignored(b"macosx"));
    }

    #[test]
    fn supported_and_unsupported_formats_are_distinguished_by_extension() {
        for extension in EXTENSIONS {
            assert!(has_image_extension(format!("a.b.{}", extension.to_uppercase()).as_bytes()));
            assert_eq!(unread_extension(format!("a.{extension}").as_bytes()), None);
        }
        assert_eq!(unread_extension(b"IMG_0001.HEIC"), Some("heic"));
        assert_eq!(unread_extension(b"a.avif"), Some("avif"));
        for name in ["jpg", "a.txt", "a", "a.jpg.txt", "", ".", "a."] {
            assert!(!has_image_extension(name.as_bytes()) && unread_extension(name.as_bytes()).is_none(), "{name}");
        }
        assert!(UNREAD.is_sorted() && UNREAD.iter().all(|extension| extension.len() <= LONGEST_UNREAD));
    }

    #[test]
    fn unsupported_formats_are_summarized_by_frequency() {
        let mut unread = UnreadFormats::default();
        for name in ["a.NEF", "a.heic", "b.HEIC", "a.jpg", "notes.txt"] {
            unread.count(name.as_bytes());
        }
        let text = unread.to_string();
        assert!(text.starts_with("3 files in unsupported formats are skipped: 2 .heic, 1 .nef; "), "{text}");
        assert!(text.contains("heif-convert") && text.contains("sips") && text.contains("magick"), "{text}");
        assert!(!text.contains('\n'));
    }
}
