//! Colors and styles of figures: as CSS variables of the page, which follow the light or dark theme of the reader, and
//! as plain values for SVG files, because many programs do not support CSS variables.

/// Number of distinct series colors; further series repeat them.
pub const SERIES: usize = 8;

/// Name, value in the light theme, value in the dark theme. Every series color has a contrast of at least 3:1 with the
/// background.
const COLORS: [(&str, &str, &str); 18] = [
    ("paper", "#ffffff", "#15181d"),
    ("raised", "#f5f6f8", "#1d2127"),
    ("ink", "#1b1f24", "#e8eaed"),
    ("soft", "#57606b", "#a4adb8"),
    ("grid", "#e4e7eb", "#2c323a"),
    ("edge", "#c4cad2", "#48505b"),
    ("link", "#0b5cad", "#8ab8f5"),
    ("good", "#1d7a4d", "#6fcf9f"),
    ("bad", "#b3261e", "#ff9a8f"),
    ("warm", "#fdf3e1", "#2c2617"),
    ("s0", "#2f6fb3", "#7db4ee"),
    ("s1", "#cd5a24", "#f29a6b"),
    ("s2", "#2a8a63", "#6fcf9f"),
    ("s3", "#8e5bb5", "#c9a4ea"),
    ("s4", "#a3740a", "#e0b84c"),
    ("s5", "#c2417f", "#f08fbb"),
    ("s6", "#118293", "#63cbdc"),
    ("s7", "#6b7280", "#a9b1bd"),
];

/// The styles of a figure; colors are `var(--name)`.
const FIGURE: &str = include_str!("chart.css");

/// Returns the style sheet of a page: colors for both themes and for print, and the styles of figures.
pub fn page_styles() -> String {
    let variables = |dark: bool| -> String {
        COLORS.iter().map(|(name, light, night)| format!("--{name}:{};", if dark { night } else { light })).collect()
    };
    let (light, dark) = (variables(false), variables(true));
    format!(
        ":root{{color-scheme:light dark;{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n{}",
        figure_styles()
    )
}

/// Returns the style sheet of an SVG file, in light colors.
pub fn file_styles() -> String {
    let mut styles = figure_styles();
    for (name, light, _) in COLORS {
        styles = styles.replace(&format!("var(--{name})"), light);
    }
    styles
}

fn figure_styles() -> String {
    let series = (0..SERIES).map(|index| {
        format!(
            ".line{index}{{stroke:var(--s{index});fill:none}}\n.fill{index}{{fill:var(--s{index})}}\n\
             .open{index}{{stroke:var(--s{index});fill:var(--paper)}}\n"
        )
    });
    format!("{FIGURE}{}", series.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of a color as defined by WCAG 2.
    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap_or(0)) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    #[test]
    fn text_and_series_have_enough_contrast_in_both_themes() {
        let find = |name: &str| COLORS.iter().find(|color| color.0 == name).copied().unwrap_or(COLORS[0]);
        let papers = ["paper", "raised", "warm"].map(find);
        for paper in papers {
            for name in ["ink", "soft", "link", "good", "bad"] {
                let color = find(name);
                assert!(contrast(color.1, paper.1) >= 4.5, "{name} on light {}", paper.0);
                assert!(contrast(color.2, paper.2) >= 4.5, "{name} on dark {}", paper.0);
            }
        }
        for index in 0..SERIES {
            let color = find(&format!("s{index}"));
            assert!(contrast(color.1, papers[0].1) >= 3.0, "{}", color.0);
            assert!(contrast(color.2, papers[0].2) >= 3.0, "{}", color.0);
        }
    }

    #[test]
    fn svg_files_have_no_css_variables() {
        assert!(!file_styles().contains("var("), "{}", file_styles());
        assert!(page_styles().contains("prefers-color-scheme:dark"));
    }
}
