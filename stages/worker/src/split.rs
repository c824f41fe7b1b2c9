//! `split`: which images train the weights, which the architecture, and which classes there are.

use std::collections::HashSet;

use tfnas_images::{
    FEWEST_WITH_TEST, ImageList, class_names, draw_test, imagenet100, imagenet100_classes, parse_classes, scan,
    scan_classes, split,
};
use tfnas_stages::{Metrics, PublishedSplit, SplitParams, SplitReport, TEST_LIST};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};

/// How many classes are named.
const NAMED_CLASSES: usize = 20;

/// The images of the search and their classes, all images that train with all classes, and those drawn for the test.
struct Found {
    classes: Vec<String>,
    train: ImageList,
    val: ImageList,
    all_classes: Vec<String>,
    all: ImageList,
    test: Option<ImageList>,
    /// Classes that are too small to give a test image.
    untested: Vec<String>,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: SplitParams = context.params()?;
    let found = find(context, &params)?;
    let report = SplitReport {
        classes: found.classes.len(),
        train_images: found.train.len(),
        val_images: found.val.len(),
        all_classes: found.all_classes.len(),
        all_images: found.all.len(),
        test_images: found.test.as_ref().map(ImageList::len),
    };
    context.report.info(format!(
        "{} classes: {} images train the weights, {} the architecture",
        report.classes, report.train_images, report.val_images
    ));
    if let (Some(images), Some(share)) = (report.test_images, params.split.test_share) {
        let seed = params.seed;
        context.report.info(format!(
            "{images} test images drawn from the training images: {} % of each class, seed {seed}",
            (share * 1e4).round() / 1e2
        ));
    }
    if !found.untested.is_empty() {
        let named: Vec<&str> = found.untested.iter().take(NAMED_CLASSES).map(String::as_str).collect();
        let more = found.untested.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        context.report.warn(format!(
            "{} of {} classes have fewer than {FEWEST_WITH_TEST} images, so none of them is drawn for the test and they are \
             not tested: {}{more}",
            found.untested.len(),
            report.all_classes,
            named.join(", ")
        ));
    }
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
    if let Some(test) = &found.test {
        context.write_output(TEST_LIST, test.to_text().as_bytes())?;
    }
    context.write_json(&report)?;
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
    let (all, test, untested) = match section.test_share {
        None => (all, None, Vec::new()),
        Some(share) => {
            let drawn = draw_test(&all, share, params.seed).context("split.test_share")?;
            let names = drawn.untested.iter().filter_map(|label| all_classes.get(*label as usize).cloned());
            (drawn.rest, Some(drawn.test), names.collect())
        }
    };
    if section.published == Some(PublishedSplit::Imagenet100) {
        let lists = imagenet100().context("split.published")?;
        for list in [&lists.train, &lists.val] {
            list.check_files(root).context("split.published: imagenet100")?;
        }
        return Ok(Found {
            classes: imagenet100_classes(),
            train: lists.train,
            val: lists.val,
            all_classes,
            all,
            test,
            untested,
        });
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
            (folders.classes, without(folders.list, test.as_ref())?)
        }
    };
    let parts = split(&list, section.train_share, section.per_class, params.seed).context("split")?;
    Ok(Found { classes, train: parts.train, val: parts.val, all_classes, all, test, untested })
}

/// The images of a list that are not kept for the test.
fn without(list: ImageList, test: Option<&ImageList>) -> Result<ImageList, StageError> {
    let Some(test) = test else { return Ok(list) };
    let kept: HashSet<&str> = test.entries().iter().map(|entry| entry.path.as_str()).collect();
    let rest = list.entries().iter().filter(|entry| !kept.contains(entry.path.as_str())).cloned().collect();
    ImageList::new(rest).context("split.classes")
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}
