//! `split`: which images train the weights, which the architecture, and which classes there are.

use std::collections::BTreeMap;

use serde::Serialize;
use tfnas_images::{ImageList, imagenet100, imagenet100_classes, parse_classes, scan, scan_classes, split};
use tfnas_stages::{Metrics, PublishedSplit, SplitParams};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};

/// The images of the search and their classes, and all images with all classes.
struct Found {
    classes: Vec<String>,
    train: ImageList,
    val: ImageList,
    all_classes: Vec<String>,
    all: ImageList,
}

/// `split.json`.
#[derive(Serialize)]
struct Report {
    classes: usize,
    train_images: usize,
    val_images: usize,
    all_classes: usize,
    all_images: usize,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: SplitParams = context.params()?;
    let found = find(context, &params)?;
    let report = Report {
        classes: found.classes.len(),
        train_images: found.train.len(),
        val_images: found.val.len(),
        all_classes: found.all_classes.len(),
        all_images: found.all.len(),
    };
    context.report.info(format!(
        "{} classes: {} images train the weights, {} the architecture",
        report.classes, report.train_images, report.val_images
    ));
    let unused = found.all.unused_labels();
    if let Some(first) = unused.first() {
        context.report.warn(format!(
            "data.train: {} of {} labels have no image, the first of them {first}; the classifier will have outputs for \
             them. Labels count the classes from 0",
            unused.len(),
            report.all_classes
        ));
    }
    context.write_output("train.list", found.train.to_text().as_bytes())?;
    context.write_output("val.list", found.val.to_text().as_bytes())?;
    context.write_output("classes.txt", lines(&found.classes).as_bytes())?;
    context.write_output("all.list", found.all.to_text().as_bytes())?;
    context.write_output("all_classes.txt", lines(&found.all_classes).as_bytes())?;
    context.write_json("split.json", &report)?;
    Ok(Metrics::new())
}

fn find(context: &StageContext, params: &SplitParams) -> Result<Found, StageError> {
    let images = context.input("train_images")?;
    let root = &images.path;
    let section = &params.split;
    let (all_classes, all) = match &images.list {
        Some(list) => {
            let all = ImageList::read(list, root).context("data.train")?;
            (class_names(&all), all)
        }
        None => {
            let folders = scan(root).context("data.train")?;
            (folders.classes, folders.list)
        }
    };
    if section.published == Some(PublishedSplit::Imagenet100) {
        let lists = imagenet100().context("split.published")?;
        for list in [&lists.train, &lists.val] {
            list.check_files(root).context("split.published: imagenet100")?;
        }
        return Ok(Found { classes: imagenet100_classes(), train: lists.train, val: lists.val, all_classes, all });
    }
    let (classes, list) = match &section.classes {
        None => (all_classes.clone(), all.clone()),
        Some(_) if images.list.is_some() => {
            return Err(StageError::with_hint(
                "split.classes restricts class folders, but data.train is a list file",
                "list the images of these classes alone, or name a folder of class folders",
            ));
        }
        Some(_) => {
            let wanted = match context.input("classes") {
                Ok(file) => parse_classes(&context.read_text("classes")?, &file.path.display().to_string())
                    .context("split.classes")?,
                Err(_) => imagenet100_classes(),
            };
            let folders = scan_classes(root, &wanted).context("split.classes")?;
            (folders.classes, folders.list)
        }
    };
    let parts = split(&list, section.train_share, section.per_class, params.seed).context("split")?;
    Ok(Found { classes, train: parts.train, val: parts.val, all_classes, all })
}

/// Names of the classes of a list: the last name of the folder that all images of a label lie in, or the label itself where
/// they lie in several, or two labels in folders of one name.
fn class_names(list: &ImageList) -> Vec<String> {
    let mut folders: BTreeMap<u32, Option<&str>> = BTreeMap::new();
    for entry in list.entries() {
        let folder = entry.path.rsplit_once('/').map(|(folder, _)| folder);
        folders
            .entry(entry.label)
            .and_modify(|known| *known = known.filter(|known| Some(*known) == folder))
            .or_insert(folder);
    }
    let names: Vec<String> = (0..list.classes() as u32)
        .map(|label| match folders.get(&label) {
            Some(Some(folder)) => folder.rsplit('/').next().unwrap_or(folder).to_owned(),
            _ => label.to_string(),
        })
        .collect();
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    if distinct.len() == names.len() { names } else { (0..names.len()).map(|label| label.to_string()).collect() }
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(list: &str) -> Vec<String> {
        class_names(&ImageList::parse(list, "list").unwrap())
    }

    #[test]
    fn a_class_of_a_list_is_named_by_its_folder_wherever_that_lies() {
        assert_eq!(names("cat/1.jpg 0\ncat/2.jpg 0\ndog/1.jpg 1\n"), ["cat", "dog"]);
        assert_eq!(names("train/cat/1.jpg 0\ntrain/dog/1.jpg 1\n"), ["cat", "dog"]);
    }

    #[test]
    fn classes_that_no_folder_names_are_named_by_their_labels() {
        assert_eq!(names("a/1.jpg 0\nb/1.jpg 0\nc/1.jpg 1\n"), ["0", "c"]);
        assert_eq!(names("a/cat/1.jpg 0\nb/cat/1.jpg 1\n"), ["0", "1"]);
        assert_eq!(names("1.jpg 0\n"), ["0"]);
    }
}
