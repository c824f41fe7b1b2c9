//! Probabilities of operations and depths over the epochs.

use tfnas_stages::SearchEpoch;

use super::search_choices::Names;
use crate::chart::Streams;
use crate::network::Network;
use crate::section::{Figure, Part};
use crate::table::{Cell, Table};
use crate::text::{counted, percent};

/// Maximum number of table rows on the page.
const ROWS: usize = 200;

/// Returns the figures of the probabilities over epochs, or a note if the search did not record them.
pub fn probabilities(network: &Network, history: &[SearchEpoch], names: &Names) -> Vec<Part> {
    if history.is_empty() {
        return Vec::new();
    }
    let recorded = history.iter().any(|epoch| !epoch.operations.is_empty());
    if !recorded {
        let absent = "This search was made by an earlier release that did not record probabilities. `run search --force \
                      search` records them.";
        return vec![Part::Text(absent.to_owned())];
    }
    let blocks = of(history, |epoch| &epoch.operations);
    let groups = of(history, |epoch| &epoch.depths);
    let choices = |shares: &[Vec<Vec<f64>>]| shares.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let operations = Shares {
        words: Words {
            id: network.id("operation-probabilities"),
            title: "Probabilities of the operations over epochs",
            note: "One panel per block. The height of a color is the probability of the operation.",
            thing: "block",
            across: 4,
        },
        names: (0..blocks.len()).map(|position| names.block(position)).collect(),
        choices: names.operations(choices(&blocks)),
        shares: blocks,
    };
    let depths = Shares {
        words: Words {
            id: network.id("depth-probabilities"),
            title: "Probabilities of the depths over epochs",
            note: "One panel per block group. The height of a color is the probability of the depth.",
            thing: "block group",
            across: 4,
        },
        names: (1..=groups.len()).map(|group| format!("stage{group}")).collect(),
        choices: (1..=choices(&groups)).map(|depth| counted(depth, "block")).collect(),
        shares: groups,
    };
    [operations, depths]
        .into_iter()
        .filter(|shares| !shares.names.is_empty())
        .map(|shares| Part::Wide(shares.figure(history)))
        .collect()
}

/// The probabilities of each row over epochs, `[row][epoch][choice]`; empty for epochs without any.
fn of(history: &[SearchEpoch], rows: impl Fn(&SearchEpoch) -> &Vec<Vec<f64>>) -> Vec<Vec<Vec<f64>>> {
    let count = history.iter().map(|epoch| rows(epoch).len()).max().unwrap_or(0);
    let row = |row: usize| history.iter().map(|epoch| rows(epoch).get(row).cloned().unwrap_or_default()).collect();
    (0..count).map(row).collect()
}

/// The texts of a figure.
struct Words {
    id: String,
    title: &'static str,
    note: &'static str,
    /// What a panel describes.
    thing: &'static str,
    /// Number of panels per row.
    across: usize,
}

/// Probabilities of choices over epochs.
struct Shares {
    words: Words,
    names: Vec<String>,
    choices: Vec<String>,
    shares: Vec<Vec<Vec<f64>>>,
}

impl Shares {
    fn figure(self, history: &[SearchEpoch]) -> Figure {
        let table = self.table(history);
        let description = self.description();
        let Self { words, names, choices, shares } = self;
        let across = words.across;
        let streams = Streams { width: 1000.0, across, panels: names, choices, label: "epoch".to_owned(), shares };
        Figure {
            id: words.id,
            title: words.title.to_owned(),
            description,
            note: words.note.to_owned(),
            drawing: streams.draw(),
            table,
        }
    }

    /// Describes the final preference of each row, and since when it holds.
    fn description(&self) -> String {
        let descriptions = self.names.iter().zip(&self.shares).filter_map(|(name, columns)| {
            let last = best(columns.last()?)?;
            let since = columns.iter().rposition(|shares| best(shares) != Some(last)).map_or(0, |other| other + 1);
            let share = percent(columns.last()?[last]);
            Some(format!("{name} {} with {share}, first since epoch {}", self.choices[last], since + 1))
        });
        format!(
            "Stacked areas for each {}. At the end: {}.",
            self.words.thing,
            descriptions.collect::<Vec<_>>().join("; ")
        )
    }

    fn table(&self, history: &[SearchEpoch]) -> Table {
        let choices = self.choices.iter().map(|choice| format!(">{choice}"));
        let headings: Vec<String> =
            [">epoch".to_owned(), self.words.thing.to_owned()].into_iter().chain(choices).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let mut table = Table::new(self.words.title, &headings).at_most_on_page(ROWS);
        for (column, epoch) in history.iter().enumerate() {
            for (name, columns) in self.names.iter().zip(&self.shares) {
                let share = |choice: usize| Cell::number(columns[column].get(choice).copied(), percent);
                let shares = (0..self.choices.len()).map(share);
                table.row([Cell::count(epoch.epoch + 1), Cell::from(name.as_str())].into_iter().chain(shares));
            }
        }
        table
    }
}

/// Returns the index of the largest probability, the first of ties; `None` if one is not finite.
fn best(shares: &[f64]) -> Option<usize> {
    if shares.iter().any(|share| !share.is_finite()) {
        return None;
    }
    (0..shares.len()).reduce(|best, next| if shares[next] > shares[best] { next } else { best })
}

#[cfg(test)]
mod tests {
    use tfnas_stages::StageOutput as _;

    use super::*;
    use crate::outputs::Output;

    fn parts(history: &str) -> Vec<Part> {
        let search = br#"{"log_alphas": [[-0.7, -0.7]], "betas": [[0.0]], "widths": []}"#;
        parts_of(&Network { search: Output::from_json(search), ..Network::default() }, history)
    }

    fn parts_of(network: &Network, history: &str) -> Vec<Part> {
        let history = Vec::<SearchEpoch>::from_json(history.as_bytes()).unwrap_or_default();
        probabilities(network, &history, &Names::new(None, None))
    }

    #[test]
    fn each_block_and_group_has_a_panel() {
        let parts = parts(
            r#"[{"epoch": 0, "operations": [[0.5, 0.5], [0.25, 0.75]], "depths": [[0.6, 0.4]]},
                {"epoch": 1, "operations": [[0.25, 0.75], [0.125, 0.875]], "depths": [[0.5, 0.5]]}]"#,
        );
        let [Part::Wide(operations), Part::Wide(depths)] = &parts[..] else { panic!("{parts:?}") };
        assert!(
            operations.description.contains("block 1 operation 2 with 75.0 %, first since epoch 2"),
            "{}",
            operations.description
        );
        assert!(
            depths.description.contains("stage1 1 block with 50.0 %, first since epoch 1"),
            "{}",
            depths.description
        );
        let csv = operations.table.csv();
        assert!(csv.starts_with("epoch,block,operation 1,operation 2\r\n1,block 1,0.5,0.5\r\n"), "{csv}");
        assert_eq!(csv.lines().count(), 5);
    }

    #[test]
    fn diverged_epochs_are_gaps() {
        let parts = parts(r#"[{"epoch": 0, "operations": [[null, null]], "depths": [[null]]}, {"epoch": 1}]"#);
        let [Part::Wide(operations), Part::Wide(_)] = &parts[..] else { panic!("{parts:?}") };
        assert!(!operations.drawing.body.0.contains("NaN") && operations.table.csv().contains("2,block 1,,"));
    }

    #[test]
    fn a_search_of_an_earlier_release_has_a_note() {
        assert!(matches!(&parts(r#"[{"epoch": 0}]"#)[..], [Part::Text(text)] if text.contains("did not record")));
        assert!(parts("[]").is_empty());
    }
}
