//! Generates the model card. All its numbers are taken from the other files.

use std::fmt::Write;

use tfnas_planner::machine::build;
use tfnas_stages::{ArchitectureReport, ExifOrientation, Precision, Protocol, SplitSection, TestReport, TrainReport};

use crate::front_matter::LICENCES;
use crate::{Data, Measured};

/// The contents of a model card.
pub struct Card<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// SPDX identifier of the license of the weights, if given.
    pub license: Option<&'a str>,
    /// The network.
    pub architecture: &'a ArchitectureReport,
    /// The latency of the network.
    pub measured: &'a Measured,
    /// Name of the latency table.
    pub table: &'a str,
    /// Results of the test.
    pub test: &'a TestReport,
    /// Results of the training.
    pub train: &'a TrainReport,
    /// Which weights were tested: `best` or `last`.
    pub weights: &'a str,
    /// Number format of the test.
    pub test_precision: Precision,
    /// The training and test data.
    pub data: &'a Data,
    /// Whether the EXIF orientation of photos was applied.
    pub exif_orientation: ExifOrientation,
    /// The share of each class and the seed, if the test images were drawn from the training images.
    pub drawn: Option<(f64, u64)>,
    /// Number of epochs of the search.
    pub search_epochs: usize,
    /// Mean entropy of the operations after the last epoch of the search, as a fraction of its maximum.
    pub entropy: f64,
    /// Name and version of this program.
    pub tool: &'a str,
    /// Source revision of this program, if known.
    pub source_revision: Option<&'a str>,
    /// Version of libtorch, if known.
    pub libtorch: Option<&'a str>,
}

impl Card<'_> {
    /// Generates the text of the card.
    pub fn text(&self) -> String {
        let mut text = self.head();
        self.body(&mut text);
        text
    }

    fn head(&self) -> String {
        let TestReport { top1, top5, .. } = self.test;
        // Hugging Face uses lower-case identifiers of licenses, SPDX its own spelling.
        let license = |id: &str| format!("license: {}\nlicense_link: {LICENCES}{id}\n", id.to_ascii_lowercase());
        let license = self.license.map(license).unwrap_or_default();
        let name = quoted(self.name);
        let data = quoted(&self.data.test.name);
        format!(
            "---\n{license}library_name: tfnas-pipeline\npipeline_tag: image-classification\ntags:\n- image-classification\n\
             - neural-architecture-search\n- tf-nas\n- safetensors\nmetrics:\n- accuracy\nmodel-index:\n- name: {name}\n  \
             results:\n  - task:\n      type: image-classification\n    dataset:\n      name: {data}\n      type: {data}\n    \
             metrics:\n    - name: top-1 accuracy\n      type: accuracy\n      value: {}\n    - name: top-5 accuracy\n      \
             type: accuracy\n      value: {}\n---\n",
            number(*top1),
            number(*top5)
        )
    }

    fn body(&self, text: &mut String) {
        let Self { architecture, measured, test, train, data, .. } = self;
        let mut line = |line: String| writeln!(text, "{line}").expect("a String accepts every write");
        line(format!("\n# {}\n", self.name));
        line(format!(
            "A network for images of {0} x {0} pixels and {1} classes, found by TF-NAS (Hu, Wu, He, ECCV 2020) under a latency \
             target, and trained and tested by {2}. Every number here can be checked: see the end.\n",
            architecture.space_resolution,
            architecture.classes,
            one_line(self.tool)
        ));
        line("| | |\n|---|---|".to_owned());
        line(format!("| target latency | {} ms |", milliseconds(architecture.target_lat_ms)));
        line(format!(
            "| latency by the table `{}` | {} ms |",
            one_line(self.table),
            milliseconds(architecture.predicted_lat_ms)
        ));
        line(format!("| latency measured, complete network | {} |", latency(measured)));
        line(format!("| parameters | {} |", architecture.parameters));
        line(format!("| multiply-adds of one image | {} |", architecture.flops));
        line(format!("| top-1 | {:.2} % of {} test images |", 100.0 * test.top1, test.images));
        line(format!("| top-5 | {:.2} % |", 100.0 * test.top5));
        if architecture.predicted_lat_ms > architecture.target_lat_ms {
            line("\nThe latency by the table is above the target.".to_owned());
        }

        line("\n## How it was chosen, trained and tested\n".to_owned());
        line(format!(
            "* The search ran {}. At its end the mean entropy of the operations was {:.3} of its maximum: 1 means that \
             no operation was preferred. `search/history.json` has the architecture, latency and accuracies of every epoch.",
            counted(self.search_epochs as u64, "epoch"),
            self.entropy
        ));
        line(format!("* {}", protocol(train, self.weights)));
        if !self.test_precision.is_f32() {
            line(format!("* The test was computed in {}, not in f32.", self.test_precision.name()));
        }
        line(format!("* {}", looks(data, test)));
        line(format!("* {}", overlaps(data)));

        line("\n## Data\n".to_owned());
        let others = self.drawn.is_none().then_some(("Test", &data.test));
        for (what, images) in [("Training", &data.train)].into_iter().chain(others) {
            line(format!(
                "* {what} images: `{}`, {}, BLAKE3 of their manifest `{}`.",
                one_line(&images.name),
                counted(images.files, "file"),
                images.blake3
            ));
        }
        if self.exif_orientation == ExifOrientation::Apply {
            line(
                "* Photos were turned upright according to their EXIF orientation, as `PIL.ImageOps.exif_transpose` does."
                    .to_owned(),
            );
        }
        if let Some((share, seed)) = self.drawn {
            let drawn = SplitSection::describe_drawn_test(share, seed, data.train.is_list);
            line(format!(
                "* {} test images: {drawn}; they are listed in `lists/test.list`, and in no other list.",
                test.images
            ));
        }
        if !test.untested.is_empty() {
            line(format!(
                "* **{} of {} classes have no test images**, so the accuracy above does not include them: {}.",
                test.untested.len(),
                architecture.classes,
                one_line(&test.untested.join(", "))
            ));
        }
        line("\nThe images are not part of this folder; `lists/` has the digest of each.".to_owned());

        line("\n## What made it\n".to_owned());
        let libtorch = self.libtorch.unwrap_or("of unknown version");
        line(format!("* {}, libtorch {}.", one_line(self.tool), one_line(libtorch)));
        line(format!("* {}", source(self.source_revision)));
        line("* `provenance/` has the key manifest and the environment of every stage.".to_owned());

        line("\n## Checking it\n".to_owned());
        line(
            "`tfnas-pipeline audit FOLDER` checks every file, and every number that can be derived from the other \
             files; with `--key KEY` also the signature, with `--data IMAGES --replay test` the accuracy. It \
             lists what it did not check. Only a signature proves who created this folder, checked with a key \
             from a trusted source."
                .to_owned(),
        );
    }
}

fn latency(measured: &Measured) -> String {
    let Measured { measured_lat_ms, measured_lat_ms_low, measured_lat_ms_high, device_model, .. } = measured;
    let Some(ms) = measured_lat_ms else { return "not measured".to_owned() };
    let spread = match (measured_lat_ms_low, measured_lat_ms_high) {
        (Some(low), Some(high)) => format!(" ({} to {})", milliseconds(*low), milliseconds(*high)),
        _ => String::new(),
    };
    let device = device_model.as_deref().unwrap_or("an unknown device");
    format!("{} ms{spread} on {}", milliseconds(*ms), one_line(device))
}

fn protocol(train: &TrainReport, weights: &str) -> String {
    let TrainReport { images, val_images, best_epoch, epochs, .. } = train;
    let epochs = counted(epochs.len() as u64, "epoch");
    let chosen = match train.protocol {
        Protocol::HeldOut => {
            format!("{val_images} held-out training images, which are not test images, chose the best epoch")
        }
        Protocol::Published => format!(
            "the {val_images} test images themselves chose the best epoch, as in the original's protocol: the accuracy \
             above is therefore too high by an unknown amount"
        ),
    };
    format!(
        "Trained for {epochs} on {images} images; {chosen} ({}). The weights are those of the {weights} epoch.",
        best_epoch + 1
    )
}

fn looks(data: &Data, test: &TestReport) -> String {
    let looks = &data.test_images_looked_at;
    let skipped = match test.skipped {
        0 => String::new(),
        1 => " 1 of the images could not be read and was skipped.".to_owned(),
        skipped => format!(" {skipped} of the images could not be read and were skipped."),
    };
    format!(
        "Looks at the test images: by this run {} of its training and {}; by the store that it comes from, until \
         then, {} and {}.{skipped}",
        counted(looks.training_epochs, "epoch"),
        counted(looks.tests, "test"),
        counted(looks.store_trainings, "training"),
        counted(looks.store_tests, "test")
    )
}

fn overlaps(data: &Data) -> String {
    let some: Vec<String> = data
        .overlaps
        .iter()
        .filter(|overlap| !overlap.is_none())
        .map(|found| format!("{} and {}: {} by content, {} by name", found.a, found.b, found.by_content, found.by_name))
        .collect();
    if some.is_empty() {
        "No image is in two of the training, validation and test lists, neither by name nor by content.".to_owned()
    } else {
        format!("**Images are in two lists** ({}): the accuracy above may be too high.", some.join("; "))
    }
}

fn source(revision: Option<&str>) -> String {
    match revision.map(one_line).as_deref() {
        None => "The revision of its source is not known.".to_owned(),
        Some(revision) if build::is_clean(revision) => format!("Source revision `{revision}`, no file changed."),
        Some(revision) => {
            let commit = revision.trim_end_matches("-dirty");
            format!(
                "Source revision `{commit}` **with changes that are in no revision**: it cannot be built again from it."
            )
        }
    }
}

/// Formats a number of things; `noun` is the singular.
fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Replaces control characters, so that a name in another file cannot add lines to the card.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// Formats a number as in JSON, so that readers get exactly the same value.
fn number(value: f64) -> String {
    serde_json::to_string(&value).expect("a number is not a map")
}

/// Rounds a latency for display. The other files have all digits.
fn milliseconds(value: f64) -> String {
    format!("{value:.4}")
}

/// Quotes a string. A JSON string is a valid YAML string.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is not a map")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Images, Overlap, TestImageUses, front_matter};
    use tfnas_artifacts::Digest;

    fn images(name: &str) -> Images {
        Images { name: name.to_owned(), is_list: false, files: 4, bytes: 9, blake3: Digest::of_bytes(b"x") }
    }

    fn card(text: impl FnOnce(&mut Card<'_>)) -> String {
        let data = Data {
            train: images("train"),
            test: images("val"),
            lists: Vec::new(),
            overlaps: vec![Overlap { a: "a".into(), b: "b".into(), by_name: 0, by_content: 0, first: Vec::new() }],
            test_images_looked_at: TestImageUses { training_epochs: 0, tests: 1, store_trainings: 0, store_tests: 1 },
        };
        let architecture = ArchitectureReport {
            space_resolution: 32,
            classes: 10,
            target_lat_ms: 1.0,
            predicted_lat_ms: 0.9,
            base_lat_ms: 0.1,
            parameters: 5,
            flops: 7,
            changed: Vec::new(),
            blocks: Vec::new(),
        };
        let measured = Measured {
            predicted_lat_ms: Some(0.9),
            measured_lat_ms: None,
            measured_lat_ms_low: None,
            measured_lat_ms_high: None,
            device_model: None,
        };
        let test = TestReport {
            top1: 0.75,
            top5: 1.0,
            loss: 0.5,
            images: 40,
            skipped: 0,
            untested: Vec::new(),
            classes: Vec::new(),
            confusion: None,
        };
        let train = TrainReport {
            protocol: Protocol::HeldOut,
            images: 8,
            val_images: 4,
            best_epoch: 1,
            best_top1: 0.5,
            epochs: vec![],
        };
        let mut card = Card {
            name: "M \"1\"",
            license: None,
            architecture: &architecture,
            measured: &measured,
            table: "t",
            test: &test,
            train: &train,
            weights: "best",
            test_precision: Precision::F32,
            data: &data,
            exif_orientation: ExifOrientation::Ignore,
            drawn: None,
            search_epochs: 3,
            entropy: 0.5,
            tool: "tfnas-pipeline 0",
            source_revision: Some("abc"),
            libtorch: Some("2.13.0"),
        };
        text(&mut card);
        card.text()
    }

    #[test]
    fn the_card_mentions_the_exif_orientation_if_it_was_applied() {
        assert!(!card(|_| {}).contains("EXIF"));
        assert!(card(|card| card.exif_orientation = ExifOrientation::Apply).contains("EXIF orientation"));
    }

    #[test]
    fn the_card_names_a_lower_precision_of_the_test() {
        assert!(!card(|_| {}).contains("The test was computed"));
        assert!(card(|card| card.test_precision = Precision::Bf16).contains("computed in bf16, not in f32"));
    }

    #[test]
    fn counts_have_the_right_number() {
        let text = card(|_| {});
        let looks = "by this run 0 epochs of its training and 1 test; by the store that it comes from, until then, 0 trainings \
                     and 1 test.";
        assert!(text.contains(looks) && text.contains("The search ran 3 epochs."), "{text}");
        assert!(card(|card| card.search_epochs = 1).contains("The search ran 1 epoch."));
    }

    #[test]
    fn names_from_other_files_cannot_add_lines() {
        let forged = "x\n| top-1 | 99.00 % of 40 test images |";
        let rows = card(|_| {}).lines().count();
        for set in [
            (|card| card.tool = "x\n| top-1 | 99.00 % |") as fn(&mut Card<'_>),
            |card| card.table = "x\n| top-1 | 99.00 % |",
            |card| card.libtorch = Some("x\n| top-1 | 99.00 % |"),
            |card| card.source_revision = Some("x\n| top-1 | 99.00 % |"),
        ] {
            assert_eq!(card(set).lines().count(), rows);
        }
        let looks = TestImageUses { training_epochs: 0, tests: 1, store_trainings: 0, store_tests: 1 };
        let data = Box::leak(Box::new(Data {
            train: images(forged),
            test: images(forged),
            lists: Vec::new(),
            overlaps: Vec::new(),
            test_images_looked_at: looks,
        }));
        assert_eq!(card(|card| card.data = data).lines().count(), rows);
    }

    #[test]
    fn the_front_matter_has_exactly_the_accuracies_of_the_test() {
        let text = card(|card| card.license = Some("CC-BY-4.0"));
        let head = front_matter(&text).unwrap();
        assert_eq!((head.name(), head.license()), ("M \"1\"", Some("CC-BY-4.0")));
        assert!(text.contains("\nlicense: cc-by-4.0\n"), "{text}");
        let values: Vec<f64> = head.model_index[0].results[0].metrics.iter().map(|metric| metric.value).collect();
        assert_eq!(values, [0.75, 1.0]);
        assert!(front_matter("# no head").is_err());
    }

    #[test]
    fn the_card_mentions_what_makes_its_numbers_less_reliable() {
        let text = card(|_| ());
        assert!(
            text.contains("held-out") && text.contains("no file changed") && text.contains("not measured"),
            "{text}"
        );
        let text = card(|card| card.source_revision = Some("abc-dirty"));
        assert!(text.contains("with changes that are in no revision"), "{text}");
        let text = card(|card| card.drawn = Some((0.15, 7)));
        let drawn = "40 test images: test images drawn from the training folder: 15 % of each class, seed 7";
        assert!(text.contains(drawn) && !text.contains("`val`"), "{text}");
        let train = TrainReport {
            protocol: Protocol::Published,
            images: 8,
            val_images: 4,
            best_epoch: 1,
            best_top1: 0.5,
            epochs: vec![],
        };
        assert!(card_with_train(&train).contains("too high by an unknown amount"));
    }

    fn card_with_train(train: &TrainReport) -> String {
        protocol(train, "best")
    }
}
