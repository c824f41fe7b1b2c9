//! Recognizes other kinds of files that are named like an image.

/// Beginnings of other files.
const BEGINNINGS: [(&[u8], &str); 20] = [
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"8BPS", "a Photoshop document (PSD)"),
    (b"\x00\x05\x16\x07", "AppleDouble metadata of macOS"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image; convert it to JPEG or PNG"),
    (b"\xff\x0a", "a JPEG XL image; convert it to JPEG or PNG"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 image; convert it to JPEG or PNG"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image; convert it to JPEG or PNG"),
    (b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file; convert it to JPEG or PNG"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image; convert it to JPEG or PNG"),
    (b"DDS ", "a DDS texture; convert it to JPEG or PNG"),
    (b"qoif", "a QOI image; convert it to JPEG or PNG"),
    (b"version https://git-lfs", "a pointer of Git LFS: fetch the file with `git lfs pull`"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "a program"),
];

/// Returns the kind of the content if it is known and not supported.
pub(super) fn unread(bytes: &[u8]) -> Option<&'static str> {
    if let Some((_, what)) = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)) {
        return Some(what);
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some(match bytes.get(8..12)? {
            b"avif" | b"avis" => "an AVIF image; convert it, for example with `avifdec a.avif a.png`",
            b"heic" | b"heix" | b"hevc" | b"hevx" | b"heim" | b"heis" | b"mif1" | b"msf1" => {
                "a HEIC image; convert it, for example with `heif-convert a.heic a.jpg`"
            }
            b"crx " => "a camera's raw file; convert it to JPEG or PNG",
            _ => "a video (MP4 or QuickTime)",
        });
    }
    if bytes.starts_with(b"RIFF") && bytes.get(8..11) == Some(b"AVI") {
        return Some("a video (AVI)");
    }
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
    if begins("<!doctype html") || begins("<html") {
        return Some("an HTML page");
    }
    if begins("<svg") || (begins("<?xml") && text.windows(4).take(1000).any(|window| window == b"<svg")) {
        return Some("an SVG drawing; convert it to PNG");
    }
    if begins("<?xml") {
        return Some("an XML document");
    }
    let is_json = begins("{\"") || begins("[{");
    if is_json { Some("JSON text") } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_content_is_recognized() {
        for (bytes, word) in [
            (&b"%PDF-1.7"[..], "PDF"),
            (b"\n <HTML><body>", "HTML"),
            (b"<?xml version=\"1.0\"?><svg>", "SVG"),
            (b"<svg></svg>", "SVG"),
            (b"\0\0\0\x18ftypheic", "HEIC"),
            (b"\0\0\0\x1cftypavif", "AVIF"),
            (b"\0\0\0\x1cftypisom", "video"),
            (b"RIFF\0\0\0\0AVI LIST", "AVI"),
            (b"{\"error\": 404}", "JSON"),
            (b"\x00\x05\x16\x07\x00\x02", "AppleDouble"),
            (b"version https://git-lfs.github.com/spec/v1", "LFS"),
        ] {
            let found = unread(bytes).unwrap_or_default();
            assert!(found.contains(word), "{word}: {found}");
        }
        for bytes in [&b""[..], b"plain words", b"\0\0\0\0ftyp", b"<", b"RIFF\0\0\0\0WAVE"] {
            assert_eq!(unread(bytes), None, "{bytes:?}");
        }
    }
}
