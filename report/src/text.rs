//! Formatting of numbers and names.

/// Formats a count with the unit k, M or G.
pub fn count(count: f64) -> String {
    let size = count.abs();
    let (value, unit) = match size {
        _ if !size.is_finite() => return "–".to_owned(),
        _ if size >= 1e9 => (count / 1e9, " G"),
        _ if size >= 1e6 => (count / 1e6, " M"),
        _ if size >= 1e3 => (count / 1e3, " k"),
        _ => return format!("{count:.0}"),
    };
    let digits = if value.abs() < 10.0 { 2 } else { 1 };
    let text = format!("{value:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

/// Formats a latency in milliseconds.
pub fn ms(ms: f64) -> String {
    if !ms.is_finite() {
        return "–".to_owned();
    }
    let digits = match ms.abs() {
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    format!("{ms:.digits$} ms")
}

/// Formats a fraction as percent.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "–".to_owned() }
}

/// Formats a relative deviation as percent with a sign.
pub fn signed_percent(share: f64) -> String {
    if share.is_finite() { format!("{:+.1} %", share * 100.0) } else { "–".to_owned() }
}

/// Formats a number for a table.
pub fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !size.is_finite() => "–".to_owned(),
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-4..1e7).contains(&size) => format!("{value:.3e}"),
        _ if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.4}"),
    }
}

/// Formats a whole number with thousands separators.
pub fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a count with a noun: `1 epoch`, `12,000 images`.
pub fn counted(count: usize, one: &str) -> String {
    let plural = match one {
        "class" => "classes".to_owned(),
        one => format!("{one}s"),
    };
    format!("{} {}", whole(count as u64), if count == 1 { one.to_owned() } else { plural })
}

/// Truncates a text to at most `most` characters, ending in `…` if it was longer.
pub fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Replaces control characters that HTML and XML do not allow, and bidirectional overrides, by U+FFFD.
pub fn clean(text: &str) -> String {
    let forbidden = |char: char| match char {
        '\n' | '\t' | '\r' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => true,
        char => char.is_control(),
    };
    text.chars().map(|char| if forbidden(char) { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

/// Converts a name to a part of an id or file name: lower-case letters and digits, everything else as `-`.
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for char in name.chars() {
        if char.is_ascii_alphanumeric() {
            slug.push(char.to_ascii_lowercase());
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_a_unit_and_three_digits() {
        let texts = [0.0, 950.0, 4264.0, 48_138.0, 1.55e6, 4.57e9, f64::NAN].map(count);
        assert_eq!(texts, ["0", "950", "4.26 k", "48.1 k", "1.55 M", "4.57 G", "–"]);
        assert_eq!([count(2e6), count(-1.5e3)], ["2 M", "-1.5 k"]);
    }

    #[test]
    fn missing_numbers_are_dashes() {
        for text in [ms(f64::NAN), percent(f64::INFINITY), number(f64::NAN), signed_percent(f64::NAN)] {
            assert_eq!(text, "–");
        }
        assert_eq!([number(0.0), number(1e-9), number(2.5), number(1234.5)], ["0", "1.000e-9", "2.5000", "1234.5"]);
    }

    #[test]
    fn control_characters_are_replaced() {
        assert_eq!(clean("\u{202e}abc\u{2066}"), "\u{fffd}abc\u{fffd}");
        assert_eq!(clean("a\u{0}b\u{1b}[0m\nö\u{7f}"), "a\u{fffd}b\u{fffd}[0m\nö\u{fffd}");
    }

    #[test]
    fn long_names_are_truncated_between_characters() {
        assert_eq!(shortened("Äpfel und Birnen", 6), "Äpfel…");
        assert_eq!(shortened("Äpfel", 5), "Äpfel");
        assert_eq!(slug("search@12 / A<b>"), "search-12-a-b");
        assert_eq!(
            [counted(1, "class"), counted(2, "class"), counted(0, "epoch")],
            ["1 class", "2 classes", "0 epochs"]
        );
    }
}
