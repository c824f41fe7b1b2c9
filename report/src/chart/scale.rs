//! Linear scales with ticks at round values.

/// Number format of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Plain numbers.
    #[default]
    Plain,
    /// Whole numbers only, such as epochs.
    Whole,
    /// Fractions, as percent.
    Percent,
    /// Counts, with the unit k, M or G.
    Count,
}

/// A linear scale from values to positions. Both ends are ticks.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
    unit: Unit,
}

impl Scale {
    /// Creates a scale that includes all finite `values`, with about `count` ticks. Without values the range is 0 to 1.
    pub fn new(values: impl IntoIterator<Item = f64>, unit: Unit, count: usize) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (mut low, mut high) =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= 1e-9 * low.abs().max(high.abs()) {
            let around = if low == 0.0 { 1.0 } else { low.abs() / 2.0 };
            (low, high) = match unit {
                Unit::Whole => (low, high + 1.0),
                Unit::Percent if (0.0..=1.0).contains(&low) => ((low - 0.1).max(0.0), (high + 0.1).min(1.0)),
                _ => (low - around, high + around),
            };
        }
        let mut step = round_step((high / count.max(1) as f64) - low / count.max(1) as f64);
        if unit == Unit::Whole {
            step = step.max(1.0).ceil();
        }
        if unit != Unit::Whole {
            low = (low / step + 1e-6).floor() * step;
            high = (high / step - 1e-6).ceil() * step;
        }
        Self { low, high, step, from: 0.0, to: 1.0, unit }
    }

    /// Returns the scale with these positions at its ends.
    pub fn between(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// Returns the position of a value.
    pub fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Returns the ticks and their labels.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-6).ceil();
        let count = ((self.high / self.step + 1e-6).floor() - first).clamp(0.0, 100.0) as usize;
        (0..=count).map(|index| (first + index as f64) * self.step).map(|tick| (tick, self.text(tick))).collect()
    }

    fn text(&self, tick: f64) -> String {
        let (tick, step) =
            if self.unit == Unit::Percent { (tick * 100.0, self.step * 100.0) } else { (tick, self.step) };
        match self.unit {
            Unit::Count => crate::text::count(tick),
            _ if tick.abs() >= 1e6 || (step < 1e-5 && tick != 0.0) => format!("{tick:.0e}"),
            _ => {
                let digits = (-step.log10().floor()).clamp(0.0, 8.0) as usize;
                // Avoids "-0".
                let tick = if tick.abs() < step / 2.0 { 0.0 } else { tick };
                format!("{tick:.digits$}")
            }
        }
    }
}

/// Returns the smallest of 1, 2, 5 times a power of ten that is at least `span`.
fn round_step(span: f64) -> f64 {
    let power = 10f64.powf(span.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= span * 0.999_999).unwrap_or(10.0);
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(texts(&Scale::new([0.13, 0.87], Unit::Plain, 5)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&Scale::new([0.1, 0.69], Unit::Percent, 4)), ["0", "20", "40", "60", "80"]);
        assert_eq!(texts(&Scale::new([1.0, 12.0], Unit::Whole, 6)), ["2", "4", "6", "8", "10", "12"]);
        assert_eq!(texts(&Scale::new([1.2e6, 3.4e6], Unit::Count, 3)), ["1 M", "2 M", "3 M", "4 M"]);
        assert_eq!(texts(&Scale::new([-1.2, 1.0], Unit::Plain, 4)), ["-2", "-1", "0", "1"]);
    }

    #[test]
    fn zero_or_one_values_give_a_valid_scale() {
        for values in [vec![], vec![0.0], vec![2.5], vec![-3.0, -3.0], vec![f64::NAN, f64::INFINITY], vec![1e300, 1.0]]
        {
            for unit in [Unit::Plain, Unit::Whole, Unit::Percent, Unit::Count] {
                let scale = Scale::new(values.iter().copied(), unit, 5).between(0.0, 100.0);
                let ticks = scale.ticks();
                assert!((1..=20).contains(&ticks.len()), "{values:?} {unit:?}: {ticks:?}");
                for value in values.iter().filter(|value| value.is_finite()) {
                    assert!((-1e-6..=100.000_001).contains(&scale.at(*value)), "{values:?} {unit:?}");
                }
            }
        }
    }

    #[test]
    fn the_scale_of_one_percentage_stays_within_0_to_100() {
        assert_eq!(texts(&Scale::new([0.84], Unit::Percent, 5)), ["70", "75", "80", "85", "90", "95"]);
        let ends = |share: f64| Scale::new([share], Unit::Percent, 5).ticks();
        assert!(ends(0.0).iter().chain(&ends(1.0)).all(|(tick, _)| (-1e-9..=1.000_001).contains(tick)));
    }

    #[test]
    fn one_epoch_has_at_least_one_tick() {
        assert_eq!(texts(&Scale::new([1.0], Unit::Whole, 6)), ["1", "2"]);
    }

    #[test]
    fn values_map_to_positions() {
        let scale = Scale::new([0.0, 10.0], Unit::Plain, 5).between(200.0, 100.0);
        assert_eq!((scale.at(0.0), scale.at(5.0), scale.at(10.0)), (200.0, 150.0, 100.0));
    }
}
