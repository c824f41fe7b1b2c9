//! Formatting of quantities and tables for display: bytes, durations, counts, dates, columns, untrusted
//! text.
//!
//! Use it for messages and tables. Machine-readable output keeps bytes, seconds and milliseconds.
//!
//! ```
//! assert_eq!(tfnas_humanize::bytes(3 << 20), "3.0 MiB");
//! assert_eq!(tfnas_humanize::duration(75.0), "1 min 15 s");
//! ```

mod columns;
mod escape;

pub use columns::{Columns, indented};
pub use escape::{escaped, escaped_lines};
use tfnas_attestations::Timestamp;

/// Formats a number of bytes with a binary unit.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Formats a duration in seconds with suitable units.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "unknown".to_owned();
    }
    if seconds < 1.0 {
        return format!("{:.0} ms", seconds * 1e3);
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, _) => format!("{minutes} min {rest} s"),
        (_, _) if hours < 48 => format!("{hours} h {minutes} min"),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// Formats a count with a suffix for thousands, millions or billions.
pub fn count(count: f64) -> String {
    let (value, unit) = match count {
        count if count >= 1e9 => (count / 1e9, " G"),
        count if count >= 1e6 => (count / 1e6, " M"),
        count if count >= 1e4 => (count / 1e3, " k"),
        count => return format!("{count:.0}"),
    };
    format!("{value:.2}{unit}")
}

/// Formats milliseconds since 1970 as a UTC date and time. Returns an empty text for a time outside the calendar's
/// range.
pub fn moment(unix_ms: i64) -> String {
    let text = Timestamp::from_ms(unix_ms).map(|moment| moment.to_string()).unwrap_or_default();
    text.split(['.', 'Z']).next().unwrap_or_default().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_suitable_unit() {
        assert_eq!([bytes(12), bytes(2048), bytes(3 << 30)], ["12 B", "2.0 KiB", "3.0 GiB"]);
        assert_eq!(
            [duration(0.26), duration(1.26), duration(75.0), duration(7300.0), duration(200_000.0)],
            ["260 ms", "1.3 s", "1 min 15 s", "2 h 1 min", "2 d 7 h"]
        );
        assert_eq!(
            [count(950.0), count(45_600.0), count(3.4e6), count(4.57e9)],
            ["950", "45.60 k", "3.40 M", "4.57 G"]
        );
    }

    #[test]
    fn moments_are_formatted_as_calendar_dates() {
        assert_eq!(moment(0), "1970-01-01 00:00:00");
        assert_eq!(moment(951_827_696_789), "2000-02-29 12:34:56");
        assert_eq!(moment(1_767_225_599_000), "2025-12-31 23:59:59");
        assert_eq!(moment(i64::MAX), "");
    }
}
