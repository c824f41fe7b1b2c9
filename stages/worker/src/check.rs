//! Looks at the images of a job before its work begins.

use std::fmt::Write;
use std::path::Path;

use tfnas_images::{ImageList, UnreadableImage, check_images, image_paths};
use tfnas_stages::{CheckedSet, OnBadImage};

use crate::context::{StageContext, write_synced};
use crate::error::{Context as _, StageError};

/// How many images an error names.
const NAMED_IN_ERRORS: usize = 20;

/// How many images a warning names.
pub const NAMED_IN_WARNINGS: usize = 5;

/// Looks at the images that the job says nobody has looked at, and fails where some cannot be read and may not be skipped.
pub fn run(context: &mut StageContext) -> Result<(), StageError> {
    let Some(check) = context.job().check.clone() else { return Ok(()) };
    if context.peers.is_some() {
        return Ok(());
    }
    let mut problems = Vec::new();
    let mut can_skip = true;
    for set in &check.sets {
        let (total, unreadable) = look(context, set)?;
        if unreadable.is_empty() {
            continue;
        }
        let report = report(set, total, &unreadable);
        can_skip &= unreadable.iter().all(UnreadableImage::is_broken);
        if check.on_bad_image == OnBadImage::Skip && unreadable.iter().all(UnreadableImage::is_broken) {
            let paths: Vec<&str> = unreadable.iter().map(|image| image.path.as_str()).collect();
            context.report.warn(format!(
                "{} of {total} images of {} cannot be read and are left out: {}{report}",
                paths.len(),
                set.key,
                first(&paths)
            ));
        } else {
            problems.push(problem(set, total, &unreadable, &report));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let hint = if can_skip {
        "repair or remove them, or set data.on_bad_image: skip"
    } else {
        "make all of them files that this user may read; data.on_bad_image: skip leaves out only what is no whole image"
    };
    Err(StageError::with_hint(problems.join("\n"), hint))
}

/// The number of images, and those that cannot be read.
fn look(context: &mut StageContext, set: &CheckedSet) -> Result<(usize, Vec<UnreadableImage>), StageError> {
    let root = &set.input.path;
    let paths = match &set.input.list {
        Some(list) => {
            let list = ImageList::read(list, root).context(&set.key)?;
            list.entries().iter().map(|entry| entry.path.clone()).collect()
        }
        None => image_paths(root).context(&set.key)?,
    };
    let total = paths.len();
    let phase = format!("looking at {}", set.key);
    let found = check_images(root, &paths, |done| context.go_on(&phase, done, total, "images"));
    Ok((total, found.ok_or(StageError::Stopped)?))
}

/// Writes all images that cannot be read to the set's file, and returns where that is, for a message.
fn report(set: &CheckedSet, total: usize, unreadable: &[UnreadableImage]) -> String {
    let mut text = format!("{} of {total} images of {} ({})\n", unreadable.len(), set.key, set.input.path.display());
    for image in unreadable {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}\t{}", printable(&image.path), image.reason());
    }
    match write_synced(Path::new(&set.report), text.as_bytes()) {
        Ok(()) => format!(" (all of them: {})", set.report.display()),
        // The message names the first ones all the same.
        Err(_) => String::new(),
    }
}

fn problem(set: &CheckedSet, total: usize, unreadable: &[UnreadableImage], report: &str) -> String {
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

/// The first of these paths, and how many more there are.
pub fn first(paths: &[&str]) -> String {
    let named: Vec<String> = paths.iter().take(NAMED_IN_WARNINGS).map(|path| printable(path)).collect();
    let more = paths.len() - named.len();
    format!("{}{}", named.join(", "), if more > 0 { format!(" and {more} more") } else { String::new() })
}

/// A path without characters that a terminal obeys.
fn printable(path: &str) -> String {
    path.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_paths_are_named_and_the_others_counted() {
        assert_eq!(first(&["a", "b"]), "a, b");
        assert_eq!(first(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e and 2 more");
        assert_eq!(printable("a\u{1b}[2J.jpg"), "a\u{fffd}[2J.jpg");
    }
}
