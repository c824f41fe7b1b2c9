//! Operations and depths preferred at the end of a search, and the architecture after each epoch.

use tfnas::Space;
use tfnas_stages::{SearchEpoch, SearchResult, finite};

use crate::chart::{HeatMap, ROW, Timeline};
use crate::section::Figure;
use crate::table::{Cell, Table};
use crate::text::percent;

/// Names of blocks and operations.
pub struct Names {
    /// Group and index of each block.
    blocks: Vec<(usize, usize)>,
    operations: Vec<String>,
}

impl Names {
    /// Returns the names of a space; without a space, numbers.
    pub fn new(space: Option<&Space>, result: Option<&SearchResult>) -> Self {
        if let Some(space) = space {
            return Self {
                blocks: space.blocks().iter().map(|block| (block.group, block.index)).collect(),
                operations: space.operations().iter().map(tfnas::Operation::name).collect(),
            };
        }
        let betas = result.map(|result| result.betas.as_slice()).unwrap_or_default();
        let blocks =
            betas.iter().enumerate().flat_map(|(group, betas)| (0..betas.len()).map(move |index| (group, index)));
        let count = result.and_then(|result| result.log_alphas.iter().map(Vec::len).max()).unwrap_or(0);
        Self { blocks: blocks.collect(), operations: (1..=count).map(|number| format!("operation {number}")).collect() }
    }

    /// Returns the names of the first `count` operations.
    pub fn operations(&self, count: usize) -> Vec<String> {
        named(&self.operations, count)
    }

    /// Returns the name of a block.
    pub fn block(&self, position: usize) -> String {
        match self.blocks.get(position) {
            Some((group, index)) => format!("stage{}.block{}", group + 1, index + 1),
            None => format!("block {}", position + 1),
        }
    }
}

/// Returns a figure of the operation probabilities in each block.
pub fn operations(id: String, result: &SearchResult, names: &Names) -> Option<Figure> {
    if result.log_alphas.is_empty() {
        return None;
    }
    let probability = |log: &f32| finite(f64::from(*log).exp());
    let cells: Vec<Vec<Option<f64>>> =
        result.log_alphas.iter().map(|block| block.iter().map(probability).collect()).collect();
    let rows: Vec<String> = (0..cells.len()).map(|position| names.block(position)).collect();
    let columns = columns(&names.operations, &cells);
    let picked: Vec<Option<usize>> = cells.iter().map(|cells| largest(cells)).collect();
    let descriptions = rows.iter().zip(&picked).zip(&cells).filter_map(|((row, picked), cells)| {
        let picked = (*picked)?;
        Some(format!("{row} {} ({})", columns[picked], percent(cells[picked]?)))
    });
    let description =
        format!("Heat map of blocks and operations. Most probable: {}.", descriptions.collect::<Vec<_>>().join(", "));
    let table = table("Probability of each operation", "block", &rows, &columns, &cells);
    let label = "operation; probability in %".to_owned();
    let map = HeatMap { width: 620.0, row: ROW, shows_rare: false, rows, columns, label, cells, picked };
    Some(Figure {
        id,
        title: "Operations at the end of the search".to_owned(),
        description,
        note: "A frame marks the most probable operation of a block.".to_owned(),
        drawing: map.draw(),
        table,
    })
}

/// Returns a figure of the depth probabilities of each block group.
pub fn depths(id: String, result: &SearchResult) -> Option<Figure> {
    let deepest = result.betas.iter().map(Vec::len).max().filter(|deepest| *deepest > 0)?;
    let cells: Vec<Vec<Option<f64>>> = result.betas.iter().map(|betas| softmax(betas)).collect();
    let rows: Vec<String> = (1..=cells.len()).map(|group| format!("stage{group}")).collect();
    let columns: Vec<String> = (1..=deepest).map(|depth| depth.to_string()).collect();
    let picked: Vec<Option<usize>> = cells.iter().map(|cells| largest(cells)).collect();
    let descriptions =
        rows.iter().zip(&picked).filter_map(|(row, picked)| Some(format!("{row} {}", columns[(*picked)?])));
    let description = format!(
        "Heat map of block groups and depths. Most probable blocks: {}.",
        descriptions.collect::<Vec<_>>().join(", ")
    );
    let table = table("Probability of each depth", "block group", &rows, &columns, &cells);
    let label = "number of blocks; probability in %".to_owned();
    let map = HeatMap { width: 420.0, row: ROW, shows_rare: false, rows, columns, label, cells, picked };
    Some(Figure {
        id,
        title: "Depths at the end of the search".to_owned(),
        description,
        note: "A frame marks the most probable depth of a block group.".to_owned(),
        drawing: map.draw(),
        table,
    })
}

/// Returns a figure of the architecture parsed after each epoch.
pub fn over_time(id: String, history: &[SearchEpoch], names: &Names) -> Option<Figure> {
    if names.blocks.is_empty() || history.iter().all(|epoch| epoch.architecture.is_empty()) {
        return None;
    }
    let choice = |epoch: &SearchEpoch, (group, index): (usize, usize)| {
        epoch.architecture.get(group).and_then(|blocks| blocks.get(index)).map(|choice| choice.operation)
    };
    let cells: Vec<Vec<Option<usize>>> =
        names.blocks.iter().map(|place| history.iter().map(|epoch| choice(epoch, *place)).collect()).collect();
    let rows: Vec<String> = (0..cells.len()).map(|position| names.block(position)).collect();
    let headings: Vec<&str> = std::iter::once(">epoch").chain(rows.iter().map(String::as_str)).collect();
    let mut table = Table::new("Operation of each block after each epoch", &headings);
    let name = |choice: Option<usize>| match choice {
        Some(choice) => names.operations.get(choice).cloned().unwrap_or_else(|| format!("operation {}", choice + 1)),
        None => "dropped".to_owned(),
    };
    for (column, epoch) in history.iter().enumerate() {
        let choices = cells.iter().map(|row| Cell::from(name(row[column])));
        table.row(std::iter::once(Cell::count(epoch.epoch + 1)).chain(choices));
    }
    let changes = cells.iter().flat_map(|row| row.windows(2)).filter(|pair| pair[0] != pair[1]).count();
    let choices = names.operations.clone();
    let timeline = Timeline { width: 1000.0, rows, label: "epoch".to_owned(), choices, cells };
    Some(Figure {
        id,
        title: "Architecture after each epoch".to_owned(),
        description: format!(
            "Timeline of the operation of each of {} blocks over {} epochs: {changes} changes from one epoch to the next.",
            names.blocks.len(),
            history.len()
        ),
        note: "The operation that parsing would select; an empty field is a dropped block.".to_owned(),
        drawing: timeline.draw(),
        table,
    })
}

fn columns(names: &[String], cells: &[Vec<Option<f64>>]) -> Vec<String> {
    named(names, cells.iter().map(Vec::len).max().unwrap_or(0))
}

/// Returns the names of the first `count` operations.
fn named(names: &[String], count: usize) -> Vec<String> {
    (0..count).map(|index| names.get(index).cloned().unwrap_or_else(|| format!("operation {}", index + 1))).collect()
}

fn table(caption: &str, what: &str, rows: &[String], columns: &[String], cells: &[Vec<Option<f64>>]) -> Table {
    let headings: Vec<String> = columns.iter().map(|column| format!(">{column}")).collect();
    let headings: Vec<&str> = std::iter::once(what).chain(headings.iter().map(String::as_str)).collect();
    let mut table = Table::new(caption, &headings);
    for (row, cells) in rows.iter().zip(cells) {
        let shown = (0..columns.len()).map(|column| Cell::number(cells.get(column).copied().flatten(), percent));
        table.row(std::iter::once(Cell::from(row.as_str())).chain(shown));
    }
    table
}

/// Returns the index of the largest known value; ties select the first.
fn largest(values: &[Option<f64>]) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, value) in values.iter().enumerate().filter_map(|(index, value)| Some((index, (*value)?))) {
        if best.is_none_or(|(_, most)| value > most) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

/// Converts weights to probabilities; all `None` if a weight is not finite.
fn softmax(weights: &[f32]) -> Vec<Option<f64>> {
    if !weights.iter().all(|weight| weight.is_finite()) {
        return vec![None; weights.len()];
    }
    let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shares: Vec<f64> = weights.iter().map(|weight| f64::from(weight - most).exp()).collect();
    let sum: f64 = shares.iter().sum();
    shares.iter().map(|share| Some(share / sum)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_does_not_overflow() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [Some(0.5), Some(0.5)]);
        assert_eq!(softmax(&[1.0, f32::NAN]), [None, None]);
    }

    #[test]
    fn ties_select_the_first_value() {
        assert_eq!(largest(&[None, Some(0.2), Some(0.4), Some(0.4)]), Some(2));
        assert_eq!(largest(&[None]), None);
    }

    #[test]
    fn the_published_space_has_a_row_for_each_block() {
        let space = Space::imagenet();
        let (blocks, operations) = (space.blocks().len(), space.operations().len());
        let result = SearchResult {
            log_alphas: vec![vec![-(operations as f32).ln(); operations]; blocks],
            betas: space.groups().iter().map(|group| vec![0.0; group.blocks]).collect(),
            widths: Vec::new(),
            architecture: None,
        };
        let names = Names::new(Some(&space), Some(&result));
        let figure = super::operations("o".to_owned(), &result, &names);
        assert_eq!(figure.map(|figure| figure.table.len()), Some(blocks));
        assert!(super::depths("d".to_owned(), &result).is_some_and(|figure| figure.table.csv().contains("25")));
    }
}
