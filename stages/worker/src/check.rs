//! Checks that the images of a job can be read, before its stage starts.

use std::fmt::Write;
use std::path::Path;

use tfnas_images::{ImageList, UnreadableImage, check_images, image_paths};
use tfnas_stages::{CheckedSet, OnBadImage};

use crate::context::{StageContext, write_synced};
use crate::error::{Context as _, StageError};

/// Maximum number of images that an error message lists.
const NAMED_IN_ERRORS: usize = 20;

/// Maximum number of images that a warning lists.
pub const NAMED_IN_WARNINGS: usize = 5;

/// Checks the images that the job asks to check. Fails if images cannot be read and must not be skipped.
pub fn run(context: &mut StageContext) -> Result<(), StageError> {
    let Some(check) = context.job().check.clone() else { return Ok(()) };
    if context.peers.is_some() {
        return Ok(());
    }
    let mut problems = Vec::new();
    let mut can_skip = true;
    for set in &check.sets {
        let (total, unreadable) = check_set(context, set)?;
        if unreadable.is_empty() {
            continue;
        }
        let report = write_report(set, total, &unreadable);
        can_skip &= unreadable.iter().all(UnreadableImage::is_broken);
        if check.on_bad_image == OnBadImage::Skip && unreadable.iter().all(UnreadableImage::is_broken) {
            let paths: Vec<&str> = unreadable.iter().map(|image| image.path.as_str()).collect();
            context.report.warn(format!(
                "{} of {total} images of {} cannot be read and are skipped: {}{report}",
                paths.len(),
                set.key,
                first_paths(&paths)
            ));
        } else {
            problems.push(describe(set, total, &unreadable, &report));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let hint = if can_skip {
        "repair or remove them, or set data.on_bad_image: skip"
    } else {
        "make all images readable for this user; data.on_bad_image: skip applies only to damaged images"
    };
    Err(StageError::with_hint(problems.join("\n"), hint))
}

/// Returns the number of images and those that cannot be read.
fn check_set(context: &mut StageContext, set: &CheckedSet) -> Result<(usize, Vec<UnreadableImage>), StageError> {
    let root = &set.input.path;
    let paths = match &set.input.list {
        Some(list) => {
            let list = ImageList::read(list, root).context(&set.key)?;
            list.entries().iter().map(|entry| entry.path.clone()).collect()
        }
        None => image_paths(root).context(&set.key)?,
    };
    let total = paths.len();
    let phase = format!("checking {}", set.key);
    let found = check_images(root, &paths, |done| context.report_progress(&phase, done, total, "images"));
    Ok((total, found.ok_or(StageError::Stopped)?))
}

/// Writes all unreadable images to the set's report file, and returns a reference to the file for an error message.
fn write_report(set: &CheckedSet, total: usize, unreadable: &[UnreadableImage]) -> String {
    let mut text = format!("{} of {total} images of {} ({})\n", unreadable.len(), set.key, set.input.path.display());
    for image in unreadable {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\t{}", printable(&image.path), image.reason());
    }
    match write_synced(Path::new(&set.report), text.as_bytes()) {
        Ok(()) => format!(" (full list: {})", set.report.display()),
        // The message still lists the first images.
        Err(_) => String::new(),
    }
}

fn describe(set: &CheckedSet, total: usize, unreadable: &[UnreadableImage], report: &str) -> String {
    let count = unreadable.len();
    let mut text = format!("{}: {count} of {total} images cannot be read", set.key);
    for image in unreadable.iter().take(NAMED_IN_ERRORS) {
        let _ = write!(text, "\n  {}: {}", printable(&image.path), image.reason());
    }
    if count > NAMED_IN_ERRORS {
        let _ = write!(text, "\n  and {} more{report}", count - NAMED_IN_ERRORS);
    }
    text
}

/// Lists the first paths and the number of the others.
pub fn first_paths(paths: &[&str]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED_IN_WARNINGS).map(|path| printable(path)).collect();
    let more = paths.len() - named.len();
    format!("{}{}", named.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
}

/// Replaces control characters, which a terminal would interpret.
fn printable(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_paths_are_listed_and_the_others_counted() {
        assert_eq!(first_paths(&["a", "b"]), "a, b");
        assert_eq!(first_paths(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
        assert_eq!(printable("a\u{1b}[2J.jpg"), "a\u{fffd}[2J.jpg");
    }
}
