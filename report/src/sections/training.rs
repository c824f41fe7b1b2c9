//! The section on the training.

use tfnas_stages::{Protocol, TrainEpoch, TrainReport, finite};

use super::curves::{Curve, Words, figure};
use crate::chart::{Guide, Unit};
use crate::network::Network;
use crate::section::{Part, Section};
use crate::text::{counted, percent, whole};

/// Returns the section on the training; `None` without a training.
pub fn training(network: &Network) -> Option<Section> {
    let train = network.train.get()?;
    let mut section = Section::new(&network.id("training"), &network.heading("Training"));
    section.parts.push(Part::Text(words(train)));
    let curve = |name, value: fn(&TrainEpoch) -> f64| Curve {
        name,
        values: train.epochs.iter().map(|epoch| (epoch.epoch, finite(value(epoch)))).collect(),
    };
    let best = || {
        let vertical = Guide::Vertical(train.best_epoch.saturating_add(1) as f64, "best".to_owned());
        if train.epochs.iter().any(|epoch| epoch.epoch == train.best_epoch) { vec![vertical] } else { Vec::new() }
    };
    let words = |name: &str, title, axis, note| Words { id: network.id(name), title, axis, note };
    let figures = [
        figure(
            words(
                "training-loss",
                "Loss",
                "cross-entropy",
                "The training loss includes label smoothing, if configured.",
            ),
            Unit::Plain,
            &[curve("training", |epoch| epoch.train_loss), curve("validation", |epoch| epoch.val_loss)],
            &[],
            best(),
        ),
        figure(
            words("training-top-1", "Accuracy", "top-1, %", ""),
            Unit::Percent,
            &[
                curve("training", |epoch| epoch.train_top1),
                curve("validation", |epoch| epoch.val_top1),
                curve("validation, top-5", |epoch| epoch.val_top5),
            ],
            &[0.0],
            best(),
        ),
        figure(
            words("training-rate", "Learning rate", "learning rate", ""),
            Unit::Plain,
            &[curve("learning rate", |epoch| epoch.lr)],
            &[0.0],
            Vec::new(),
        ),
    ];
    section.parts.push(Part::Grid(figures.into_iter().flatten().collect()));
    Some(section)
}

fn words(train: &TrainReport) -> String {
    let best =
        train.epochs.iter().find(|epoch| epoch.epoch == train.best_epoch).and_then(|epoch| finite(epoch.val_top1));
    let best = best.map(|top1| {
        format!(" Epoch {} has the best validation: top-1 {}.", train.best_epoch.saturating_add(1), percent(top1))
    });
    let validated = match train.protocol {
        Protocol::Published => "test images, as published",
        Protocol::HeldOut => "images held out of the training set",
    };
    if train.images == 0 {
        // The numbers of images are written at the end of the training.
        return format!(
            "The training is not complete: {} so far.{}",
            counted(train.epochs.len(), "epoch"),
            best.unwrap_or_default()
        );
    }
    format!(
        "Trained for {} on {}, validated on {} {validated}.{}",
        counted(train.epochs.len(), "epoch"),
        counted(train.images, "image"),
        whole(train.val_images as u64),
        best.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::Output;

    fn html(json: &str) -> String {
        let network = Network { train: Output::from_json(json.as_bytes()), ..Network::default() };
        training(&network).map(|section| section.html().into_string()).unwrap_or_default()
    }

    #[test]
    fn a_training_of_one_epoch_with_nan_loss_is_drawn() {
        let html = html(
            r#"{"protocol": "held_out", "images": 8, "val_images": 2, "best_epoch": 0, "best_top1": 0.5,
                "epochs": [{"epoch": 0, "lr": 0.1, "train_loss": null, "train_top1": 0.25, "val_loss": 2.0, "val_top1": 0.5}]}"#,
        );
        assert!(html.contains("Trained for 1 epoch on 8 images") && html.contains("top-1 50.0 %"), "{html}");
        assert!(html.contains("id=\"training-loss\"") && !html.contains("NaN"));
    }

    #[test]
    fn no_epoch_has_no_figure() {
        let html = html(r#"{"protocol": "held_out", "images": 8, "val_images": 2, "best_epoch": 0, "epochs": []}"#);
        assert!(html.contains("Trained for 0 epochs") && !html.contains("<svg"));
    }
}
