//! The origin of a latency table, its error, and the networks that later measurements are related to.

use std::fmt;
use std::str::FromStr;

use crate::table::TableError;

/// Maximum number of classes of a reference network.
const MAX_CLASSES: usize = 1_000_000;

/// The origin of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableHeader {
    /// Short name, such as `titan-rtx-b32`.
    pub name: String,
    /// The device that was measured.
    pub device: Option<String>,
    /// Batch size.
    pub batch: Option<usize>,
    /// Number of CPU threads.
    pub threads: Option<usize>,
    /// The framework that ran the blocks.
    pub framework: Option<String>,
    /// The source of the measurements or of the imported table.
    pub source: Option<String>,
    /// The license of the numbers.
    pub licence: Option<String>,
    /// The error of its predictions for complete networks.
    pub check: Option<TableCheck>,
    /// The networks to which later measurements are related.
    pub reference: Option<TableReference>,
}

/// Random networks that were measured together with a table. The speed of a machine drifts; measuring the same networks again
/// tells by how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableReference {
    /// Seed of the architectures.
    pub seed: u64,
    /// Number of classes.
    pub classes: usize,
    /// Their mean latency, in milliseconds.
    pub ms: f64,
}

/// `seed 0, classes 10, ms 0.4312`
impl fmt::Display for TableReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, classes {}, ms {}", self.seed, self.classes, self.ms)
    }
}

impl FromStr for TableReference {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let fields: Vec<_> = text.split(", ").filter_map(|entry| entry.split_once(' ')).collect();
        let [("seed", seed), ("classes", classes), ("ms", ms)] = fields[..] else { return Err(()) };
        let classes = classes.parse().ok().filter(|classes| (1..=MAX_CLASSES).contains(classes)).ok_or(())?;
        let ms = ms.parse().ok().filter(|ms: &f64| *ms > 0.0 && ms.is_finite()).ok_or(())?;
        Ok(Self { seed: seed.parse().map_err(|_| ())?, classes, ms })
    }
}

/// The error of a table's predictions for complete networks measured together with it. Errors are relative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableCheck {
    /// Number of networks.
    pub networks: usize,
    /// Mean of |predicted - measured| / measured.
    pub mean_error: f64,
    /// 95th percentile of the error.
    pub p95_error: f64,
    /// The mean error of the measurement itself, if known.
    pub noise_floor: Option<f64>,
}

/// `mean 0.012, p95 0.031, noise 0.009, networks 20`
impl fmt::Display for TableCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mean {:.4}, p95 {:.4}", self.mean_error, self.p95_error)?;
        if let Some(noise) = self.noise_floor {
            write!(f, ", noise {noise:.4}")?;
        }
        write!(f, ", networks {}", self.networks)
    }
}

impl FromStr for TableCheck {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let share = |text: &str| text.parse::<f64>().ok().filter(|share| (0.0..=1e6).contains(share)).ok_or(());
        let mut check = Self { networks: 0, mean_error: f64::NAN, p95_error: f64::NAN, noise_floor: None };
        for entry in text.split(", ") {
            match entry.split_once(' ').ok_or(())? {
                ("mean", number) => check.mean_error = share(number)?,
                ("p95", number) => check.p95_error = share(number)?,
                ("noise", number) => check.noise_floor = Some(share(number)?),
                ("networks", number) => check.networks = number.parse().map_err(|_| ())?,
                _ => return Err(()),
            }
        }
        let complete = check.networks > 0 && !check.mean_error.is_nan() && !check.p95_error.is_nan();
        if complete { Ok(check) } else { Err(()) }
    }
}

impl TableHeader {
    /// Returns the fields except the name, in the order of the text form.
    pub fn details(&self) -> [(&'static str, Option<String>); 8] {
        let number = |value: Option<usize>| value.map(|value| value.to_string());
        [
            ("device", self.device.clone()),
            ("batch", number(self.batch)),
            ("threads", number(self.threads)),
            ("framework", self.framework.clone()),
            ("source", self.source.clone()),
            ("licence", self.licence.clone()),
            ("check", self.check.map(|check| check.to_string())),
            ("reference", self.reference.map(|reference| reference.to_string())),
        ]
    }

    /// Checks that every entry survives being written as one line.
    pub(crate) fn check(&self) -> Result<(), TableError> {
        let texts = [
            ("name", Some(&self.name)),
            ("device", self.device.as_ref()),
            ("framework", self.framework.as_ref()),
            ("source", self.source.as_ref()),
            ("licence", self.licence.as_ref()),
        ];
        for (field, text) in texts {
            let Some(text) = text else { continue };
            let trimmed = text.trim() == text && !text.is_empty();
            if !trimmed || text.len() > 1000 || text.chars().any(char::is_control) {
                return Err(TableError::Header { field });
            }
        }
        Ok(())
    }
}
