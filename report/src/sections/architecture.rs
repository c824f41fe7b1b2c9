//! The section on the architecture of a network.

use maud::{Markup, html};
use tfnas_stages::{ArchitectureReport, BlockReport, finite};

use crate::chart::{Drawing, Px};
use crate::network::Network;
use crate::section::{Figure, Part, Section};
use crate::table::{Cell, Table};
use crate::text::{count, counted, ms, percent, shortened};

/// Height of a row, in pixels.
const ROW: f64 = 30.0;
/// Left edges of the columns, in pixels.
const COLUMNS: [f64; 5] = [0.0, 124.0, 244.0, 412.0, 720.0];
/// Maximum length of the bars for width and latency, in pixels.
const BARS: [f64; 2] = [200.0, 140.0];
/// Width of the drawing, in pixels.
const WIDTH: f64 = 1000.0;

/// Returns the section on the architecture; `None` if there is none.
pub fn architecture(network: &Network) -> Option<Section> {
    let found = network.architecture.get()?;
    let mut section = Section::new(&network.id("architecture"), &network.heading("Architecture"));
    let classes = if found.classes > 0 { format!(" and {}", counted(found.classes, "class")) } else { String::new() };
    section.parts.push(Part::Text(format!(
        "{} for images of {size}×{size} pixels{classes}: {} parameters, {} multiply-adds.",
        counted(found.blocks.len(), "block"),
        count(found.parameters as f64),
        count(found.flops as f64),
        size = found.space_resolution,
    )));
    if !found.changed.is_empty() {
        let changed = found.changed.join(", ");
        section.parts.push(Part::Text(format!("Changes made to meet the target: {changed}.")));
    }
    section.parts.push(Part::Wide(figure(network, found)));
    Some(section)
}

/// A row of the drawing.
struct Row<'a> {
    name: String,
    channels: String,
    block: Option<&'a BlockReport>,
    words: String,
    lat_ms: Option<f64>,
}

fn rows<'a>(network: &Network, found: &'a ArchitectureReport) -> Vec<Row<'a>> {
    let fixed = |name: &str, channels: String, words: String| Row {
        name: name.to_owned(),
        channels,
        block: None,
        words,
        lat_ms: None,
    };
    let mut rows = Vec::with_capacity(found.blocks.len() + 4);
    let definition = network.space.as_ref().map(tfnas::Space::definition);
    if let Some(definition) = definition {
        let (first, second) = (&definition.first_stem, &definition.second_stem);
        let stride = if first.stride > 1 { format!(", stride {}", first.stride) } else { String::new() };
        rows.push(fixed("first stem", format!("3 → {}", first.channels), format!("convolution 3×3{stride}")));
        let excited = if second.se_channels > 0 { ", squeeze-excite" } else { "" };
        rows.push(fixed(
            "second stem",
            format!("{} → {}", first.channels, second.channels),
            format!("block 3×3{excited}"),
        ));
    }
    rows.extend(found.blocks.iter().map(|block| Row {
        name: block.name.clone(),
        channels: format!("{} → {}", block.in_channels, block.out_channels),
        block: Some(block),
        words: String::new(),
        lat_ms: finite(block.lat_ms),
    }));
    if let Some(definition) = definition {
        let last = found.blocks.last().map_or(0, |block| block.out_channels);
        let mix = definition.feature_mix.channels;
        rows.push(fixed("feature mix", format!("{last} → {mix}"), "convolution 1×1".to_owned()));
        rows.push(fixed("classifier", format!("{mix} → {}", found.classes), "average pooling, linear".to_owned()));
    }
    let mut outside = fixed("outside blocks", String::new(), "stems, feature mix, classifier".to_owned());
    outside.lat_ms = finite(found.base_lat_ms);
    if outside.lat_ms.is_some() {
        rows.push(outside);
    }
    rows
}

fn figure(network: &Network, found: &ArchitectureReport) -> Figure {
    let rows = rows(network, found);
    let widest = found.blocks.iter().map(|block| block.width).max().unwrap_or(1).max(1) as f64;
    let slowest = rows.iter().filter_map(|row| row.lat_ms).filter(|ms| ms.is_finite()).fold(0.0, f64::max);
    let total = finite(found.predicted_lat_ms).filter(|total| *total > 0.0);
    let top = 26.0;
    let headings = ["block", "channels", "operation", "width (expansion)", "latency by the table"];
    let body = html! {
        @for (heading, x) in headings.iter().zip(COLUMNS) { text class="small" x=(Px(x)) y="12" { (heading) } }
        @for (index, row) in rows.iter().enumerate() {
            @let y = top + index as f64 * ROW;
            path class="grid" d={ "M0 " (Px(y - 4.0)) "H" (Px(WIDTH)) } {}
            text class="ink" x="0" y=(Px(y + 16.0)) { (shortened(&row.name, 17)) }
            text x=(Px(COLUMNS[1])) y=(Px(y + 16.0)) { (row.channels) }
            @if let Some(block) = row.block { (operation(block, y)) (width(block, y, widest)) } @else {
                text x=(Px(COLUMNS[2])) y=(Px(y + 16.0)) { (row.words) }
            }
            @if let Some(lat_ms) = row.lat_ms.filter(|ms| ms.is_finite()) { (latency(lat_ms, total, slowest, y)) }
        }
    };
    Figure {
        id: network.id("blocks"),
        title: "The network, block by block".to_owned(),
        description: description(found),
        note: "From the image at the top to the classes at the bottom. The filled chip is the kernel (blue 3×3, orange 5×5), \
               SE is squeeze-excite, and /2 halves the resolution. A bar is the width of the depthwise convolution."
            .to_owned(),
        drawing: Drawing { width: WIDTH, height: top + rows.len() as f64 * ROW, body },
        table: table(found, total),
    }
}

fn description(found: &ArchitectureReport) -> String {
    let descriptions = found.blocks.iter().map(|block| {
        let excited = if block.se_channels > 0 { " with squeeze-excite" } else { "" };
        format!("{}: kernel {}, width {}{excited}", block.name, block.kernel, block.width)
    });
    let total = finite(found.predicted_lat_ms).map(|total| format!(" {} in all.", ms(total))).unwrap_or_default();
    format!(
        "Diagram of {}. {}.{total}",
        counted(found.blocks.len(), "block"),
        descriptions.collect::<Vec<_>>().join("; ")
    )
}

/// Draws the labels of a block: kernel, squeeze-excite, stride.
fn operation(block: &BlockReport, y: f64) -> Markup {
    let color = match block.kernel {
        3 => 0,
        5 => 1,
        _ => 3,
    };
    let x = COLUMNS[2];
    html! {
        rect class={ "fill" (color) } x=(Px(x)) y=(Px(y)) width="40" height="22" rx="4" { title { (block.operation) } }
        text class="inverse middle" x=(Px(x + 20.0)) y=(Px(y + 15.5)) { (block.kernel) "×" (block.kernel) }
        @if block.se_channels > 0 {
            rect class="box" x=(Px(x + 46.0)) y=(Px(y + 0.5)) width="30" height="21" rx="4" {
                title { "squeeze-excite of " (block.se_channels) " channels" }
            }
            text class="strong middle" x=(Px(x + 61.0)) y=(Px(y + 15.5)) { "SE" }
        }
        @if block.stride > 1 {
            rect class="box" x=(Px(x + 82.0)) y=(Px(y + 0.5)) width="30" height="21" rx="4" { title { "stride " (block.stride) } }
            text class="strong middle" x=(Px(x + 97.0)) y=(Px(y + 15.5)) { "/" (block.stride) }
        }
    }
}

fn width(block: &BlockReport, y: f64, widest: f64) -> Markup {
    let length = block.width as f64 / widest * BARS[0];
    let expansion = if block.in_channels > 0 {
        format!(" (×{:.1})", block.width as f64 / block.in_channels as f64)
    } else {
        String::new()
    };
    html! {
        rect class="fill7" x=(Px(COLUMNS[3])) y=(Px(y + 3.0)) width=(Px(length)) height="16" rx="2" {}
        text class="ink" x=(Px(COLUMNS[3] + length + 7.0)) y=(Px(y + 15.5)) { (block.width) (expansion) }
    }
}

fn latency(lat_ms: f64, total: Option<f64>, slowest: f64, y: f64) -> Markup {
    let length = if slowest > 0.0 { (lat_ms / slowest).clamp(0.0, 1.0) * BARS[1] } else { 0.0 };
    let share = total.map(|total| format!(", {:.0} %", 100.0 * lat_ms / total)).unwrap_or_default();
    let text = format!("{lat_ms:.3} ms{share}");
    html! {
        rect class="fill2" x=(Px(COLUMNS[4])) y=(Px(y + 3.0)) width=(Px(length)) height="16" rx="2" {}
        text class="ink" x=(Px(COLUMNS[4] + length + 7.0)) y=(Px(y + 15.5)) { (text) }
    }
}

fn table(found: &ArchitectureReport, total: Option<f64>) -> Table {
    let headings = [
        "block",
        "operation",
        ">kernel",
        ">in",
        ">width",
        ">out",
        ">squeeze-excite",
        ">stride",
        ">latency, ms",
        ">share of latency",
        ">parameters",
        ">multiply-adds",
    ];
    let mut table = Table::new("Blocks of the network", &headings);
    for block in &found.blocks {
        table.row([
            Cell::from(block.name.as_str()),
            Cell::from(block.operation.as_str()),
            Cell::count(block.kernel),
            Cell::count(block.in_channels),
            Cell::count(block.width),
            Cell::count(block.out_channels),
            Cell::count(block.se_channels),
            Cell::count(block.stride),
            Cell::number(Some(block.lat_ms), |ms| format!("{ms:.4}")),
            Cell::number(finite(block.lat_ms).zip(total).map(|(ms, total)| ms / total), percent),
            Cell::number(Some(block.parameters as f64), count),
            Cell::number(Some(block.flops as f64), count),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::Output;

    fn html(blocks: &str) -> String {
        let json = format!(
            r#"{{"space_resolution": 32, "classes": 10, "target_lat_ms": 0.8, "predicted_lat_ms": null, "base_lat_ms": 0.1,
                "parameters": 48138, "flops": 1555874, "blocks": [{blocks}]}}"#
        );
        let network = Network { architecture: Output::from_json(json.as_bytes()), ..Network::default() };
        assert_eq!(network.architecture.problem(), None);
        architecture(&network).map(|section| section.html().into_string()).unwrap_or_default()
    }

    const BLOCK: &str = r#"{"name": "<b>", "operation": "k7_e6_se", "kernel": 7, "se_channels": 16, "in_channels": 8, "width": 64,
        "out_channels": 12, "stride": 2, "lat_ms": null, "parameters": 10, "flops": 20}"#;

    #[test]
    fn a_block_shows_its_kernel_width_and_labels() {
        let html = html(BLOCK);
        for text in ["7×7", ">SE<", ">/2<", "64 (×8.0)", "8 → 12", "&lt;b&gt;", "0.100 ms"] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("NaN") && !html.contains("<b>"));
    }

    #[test]
    fn a_network_without_blocks_is_drawn() {
        assert!(html("").contains("0 blocks for images of 32×32 pixels"));
    }
}
