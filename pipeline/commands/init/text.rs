//! Generates the configuration that `init FOLDER` writes, with a comment for each setting.

use std::fmt::Write;
use std::path::Path;

use tfnas_humanize as humanize;

use super::settings::Settings;
use super::survey::Survey;

/// Minimum side in pixels for which the default augmentation, random crops of any size, makes sense.
const PHOTO_SIDE: usize = 64;
/// The classes are called unbalanced if the smallest has less than this share of the images of the largest.
const UNBALANCED: f64 = 0.2;

/// Generates the configuration.
///
/// * `root`: the folder of images, relative to the file.
/// * `machine`: a description of the machine.
pub fn text(survey: &Survey, settings: &Settings, root: &Path, machine: &str) -> String {
    let mut text = String::new();
    let images: usize = survey.classes.values().sum();
    let [(smallest, fewest), (largest, most)] = survey.extremes();
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{words}");
    };
    line(format!("# tfnas-pipeline for {} training images in {} classes, on {machine}.", images, survey.classes.len()));
    line(format!(
        "# Expected time: about {} (a rough estimate from a few timed passes); `tfnas-pipeline run all` starts it.",
        humanize::duration(settings.total_s())
    ));
    line("# All keys and defaults: `tfnas-pipeline config`.".to_owned());
    line(String::new());
    line("data:".to_owned());
    line(format!("  root: {}", quoted(&root.display().to_string())));
    if let Some(train) = &survey.train {
        line(format!("  train: {}", quoted(train)));
    } else {
        line("  train: .                  # the class folders are directly in the root".to_owned());
    }
    match &survey.test {
        Some(test) => line(format!("  test: {}", quoted(test))),
        None => line(
            "  test: null                # there is no test folder: 15 % of each class are kept for the test"
                .to_owned(),
        ),
    }
    match &survey.unreadable {
        Some((count, _)) => line(format!(
            "  on_bad_image: skip        # {count} of {} sampled images cannot be read",
            survey.sampled + count
        )),
        None => line(
            "  on_bad_image: error       # all sampled images can be read; with skip, unreadable images are ignored"
                .to_owned(),
        ),
    }
    match survey.turned {
        0 => line("  exif_orientation: apply   # applies the EXIF orientation; no sampled image needs it".to_owned()),
        turned => line(format!(
            "  exif_orientation: apply   # {turned} of {} sampled photos have to be turned upright",
            survey.sampled
        )),
    }
    if survey.short_side < PHOTO_SIDE && settings.space != "imagenet" {
        line("  resize: 32                # the images are small: evaluation uses all of each".to_owned());
    }
    if (fewest as f64) < UNBALANCED * most as f64 {
        let [smallest, largest] = [smallest, largest].map(humanize::escaped);
        line(format!("  # The classes are unbalanced: {smallest} has {fewest} images, {largest} has {most}."));
    }
    line(String::new());
    line(match settings.space {
        "imagenet" => "space: imagenet             # 224x224: a GPU computes".to_owned(),
        space => format!(
            "space: {space:<20} # 32x32: {}",
            if survey.short_side >= PHOTO_SIDE {
                "photos are reduced; imagenet keeps 224x224, and needs a GPU"
            } else {
                "as large as the images"
            }
        ),
    });
    line("device: auto                # a CUDA device if there is one".to_owned());
    line("seed: 0".to_owned());
    line(String::new());
    line(format!(
        "lookup: {{batch: 1, threads: 1, budget_s: {}}}   # the latency of one image in one thread",
        settings.lookup_s
    ));
    line("search:".to_owned());
    line("  target_lat_ms: 40%        # of the range that the space can reach; or milliseconds".to_owned());
    line(format!("  epochs: {:<17} # about {}", settings.search_epochs, humanize::duration(settings.seconds[0])));
    line(format!("  warmup_epochs: {}", settings.warmup_epochs));
    line(format!("  batch: {}", settings.batch));
    line(format!("  temperature_decay: {:.2}   # to a fifth at the end", settings.temperature_decay));
    if settings.is_short_search {
        line("  # A search of so few steps needs larger rates than the published one.".to_owned());
        line("  weights: {lr: 0.1}".to_owned());
        line("  lambda_lat: 0.5".to_owned());
        line("  architecture: {lr: 0.2, every: 2}".to_owned());
        line("  validate_last: 1".to_owned());
    }
    augment(survey, &mut line);
    match settings.select {
        Some(plan) => {
            let list = |numbers: &[usize]| format!("{numbers:?}");
            line("select:                     # trains candidates briefly and continues with the best (docs/explanation/selection.md)".to_owned());
            line(format!("  candidates: {:<13} # about {}", plan.candidates, humanize::duration(settings.seconds[1])));
            line(format!("  proposals: {}", list(plan.proposals)));
            line(format!("  rungs: {}", list(&plan.rungs)));
            line(format!("  keep: {}", list(&plan.keep)));
        }
        None => line("select: {candidates: 0}     # off: the time does not suffice; it finds better networks than the search alone".to_owned()),
    }
    line("train:".to_owned());
    line(
        "  protocol: held_out        # validates on images that do not train, and never on the test images".to_owned(),
    );
    line(format!("  epochs: {:<17} # about {}", settings.train_epochs, humanize::duration(settings.seconds[2])));
    line(format!("  batch: {}", settings.batch));
    line(format!("  lr: {}", settings.lr));
    line("  dropout: 0.0              # the published 0.2 are for 250 epochs".to_owned());
    line("  drop_connect: 0.0".to_owned());
    augment(survey, &mut line);
    text
}

fn augment(survey: &Survey, line: &mut impl FnMut(String)) {
    if survey.short_side < PHOTO_SIDE {
        line(
            "  augment: {crop: padded, padding: 4, brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0}"
                .to_owned(),
        );
    }
}

/// Words that YAML 1.1 or 1.2 reads as something else than text.
const YAML_WORDS: [&str; 12] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];

/// Returns a path as a YAML scalar: quoted unless every YAML parser reads it as text.
fn quoted(path: &str) -> String {
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-'));
    // Numbers and dates begin with a digit, a sign or a dot.
    let is_name = path.starts_with(|first: char| first.is_ascii_alphabetic())
        && !YAML_WORDS.iter().any(|word| path.eq_ignore_ascii_case(word));
    let is_path = matches!(path, "." | "..") || ["/", "./", "../"].iter().any(|start| path.starts_with(start));
    if plain && (is_name || is_path) { path.to_owned() } else { serde_json::Value::from(path).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_yaml_reads_as_something_else_are_quoted() {
        for path in [
            "2024",
            "2024-11-28",
            "1e3",
            "0x10",
            ".5",
            ".inf",
            "+1",
            "-x",
            "true",
            "No",
            "null",
            "~",
            "a b",
            "a: b",
            "#x",
            "",
            "NaN",
            "é",
            "a\nb",
        ] {
            let text = quoted(path);
            assert!(text.starts_with('"') && text.ends_with('"'), "{text}");
            assert_eq!(serde_json::from_str::<String>(&text).ok().as_deref(), Some(path));
        }
        for path in ["images", "my-images_2", "/data/2024", "../2024", "./true", "a/b.c", ".", "nothing"] {
            assert_eq!(quoted(path), path);
        }
    }
}
