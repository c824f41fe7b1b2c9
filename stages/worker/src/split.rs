//! The stage `split`: divides the training images into those for weights, architecture and test, and determines the classes.

use std::collections::HashSet;

use tfnas_images::{
    FEWEST_WITH_TEST, ImageList, class_names, draw_test, imagenet100, imagenet100_classes, parse_classes, scan,
    scan_classes, split,
};
use tfnas_stages::{Metrics, PublishedSplit, SplitParams, SplitReport, TEST_LIST};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};

/// Maximum number of classes that a warning lists.
const NAMED_CLASSES: usize = 20;

/// The lists that the stage writes.
struct Lists {
    /// Classes of the search.
    classes: Vec<String>,
    /// Images that train the weights of the supernet.
    train: ImageList,
    /// Images that train the architecture.
    val: ImageList,
    /// Classes of `all`.
    all_classes: Vec<String>,
    /// All training images, without `test`.
    all: ImageList,
    /// Images drawn for the test.
    test: Option<ImageList>,
    /// Classes with too few images to draw a test image.
    untested: Vec<String>,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: SplitParams = context.params()?;
    let lists = make_lists(context, &params)?;
    let report = SplitReport {
        classes: lists.classes.len(),
        train_images: lists.train.len(),
        val_images: lists.val.len(),
        all_classes: lists.all_classes.len(),
        all_images: lists.all.len(),
        test_images: lists.test.as_ref().map(ImageList::len),
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
    if !lists.untested.is_empty() {
        let named: Vec<&str> = lists.untested.iter().take(NAMED_CLASSES).map(String::as_str).collect();
        let more = lists.untested.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        context.report.warn(format!(
            "{} of {} classes have fewer than {FEWEST_WITH_TEST} images, so none of them is drawn for the test and they are \
             not tested: {}{more}",
            lists.untested.len(),
            report.all_classes,
            named.join(", ")
        ));
    }
    let unused = lists.all.unused_labels();
    if let Some(first) = unused.first() {
        context.report.warn(format!(
            "data.train: {} of {} labels have no images, starting with label {first}; the classifier will have outputs for \
             them. Labels are numbered from 0",
            unused.len(),
            report.all_classes
        ));
    }
    context.write_output("train.list", lists.train.to_text().as_bytes())?;
    context.write_output("val.list", lists.val.to_text().as_bytes())?;
    context.write_output("classes.txt", lines(&lists.classes).as_bytes())?;
    context.write_output("all.list", lists.all.to_text().as_bytes())?;
    context.write_output("all_classes.txt", lines(&lists.all_classes).as_bytes())?;
    if let Some(test) = &lists.test {
        context.write_output(TEST_LIST, test.to_text().as_bytes())?;
    }
    context.write_json(&report)?;
    Ok(Metrics::new())
}

fn make_lists(context: &StageContext, params: &SplitParams) -> Result<Lists, StageError> {
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
        return Ok(Lists {
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
                "split.classes requires class folders, but data.train is a list file",
                "list only images of these classes, or set data.train to a folder of class folders",
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
    Ok(Lists { classes, train: parts.train, val: parts.val, all_classes, all, test, untested })
}

/// Removes the test images from a list.
fn without(list: ImageList, test: Option<&ImageList>) -> Result<ImageList, StageError> {
    let Some(test) = test else { return Ok(list) };
    let kept: HashSet<&str> = test.entries().iter().map(|entry| entry.path.as_str()).collect();
    let rest = list.entries().iter().filter(|entry| !kept.contains(entry.path.as_str())).cloned().collect();
    ImageList::new(rest).context("split.classes")
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}
