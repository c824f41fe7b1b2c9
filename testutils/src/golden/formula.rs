//! The weights and inputs of golden cases, which are computed by a formula.
//!
//! A tensor named `n` is a sequence `s(n, i)` in [-1, 1] over its flat index, scaled depending on the kind of tensor.
//! All arithmetic is in f64, rounded once to f32 at the end.

use serde_json::Value;

/// The formula of the sequence.
#[derive(Clone, Debug)]
pub enum Scheme {
    /// A sine of the index with a phase from the name: smooth, ill-conditioned under batch statistics.
    Sin,
    /// A hash of name and index: well-conditioned.
    Hash {
        /// Prefix of every name.
        salt: String,
    },
}

impl Scheme {
    /// Returns the scheme of a case, from its fields `scheme` and `salt`.
    pub fn of(case: &Value) -> Self {
        match case["scheme"].as_str().unwrap() {
            "sin" => Self::Sin,
            "hash" => Self::Hash { salt: case["salt"].as_str().unwrap_or("").to_owned() },
            other => panic!("unknown scheme {other}"),
        }
    }

    /// Returns the sequence of a name.
    pub fn sequence(&self, name: &str) -> impl Fn(usize) -> f64 + use<> {
        let (start, hashed) = match self {
            Self::Sin => {
                let share = f64::from(crc32(name) % 10007) / 10007.0;
                (share * std::f64::consts::TAU, None)
            }
            Self::Hash { salt } => (0.0, Some(u64::from(crc32(&format!("{salt}{name}"))) << 32)),
        };
        move |index| match hashed {
            None => (start + 0.754_877_666_246_692_7 * index as f64).sin(),
            Some(key) => mixed(key.wrapping_add(index as u64)),
        }
    }

    /// Returns a tensor of the state of a network, flattened in row-major order.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        let s = self.sequence(name);
        let fan_in: usize = shape.iter().skip(1).product();
        let last = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        let value: Box<dyn Fn(usize) -> f64> = if last(&["bn.weight"]) {
            Box::new(move |i| 1.0 + 0.1 * s(i))
        } else if last(&["bn.bias", "running_mean"]) {
            Box::new(move |i| 0.1 * s(i))
        } else if last(&["running_var"]) {
            Box::new(move |i| 1.0 + 0.2 * s(i))
        } else if last(&["num_batches_tracked"]) {
            Box::new(|_| 0.0)
        } else if last(&["betas"]) {
            Box::new(move |i| 0.5 * s(i))
        } else if last(&["conv.weight", "conv_reduce.weight", "conv_expand.weight", "linear.weight"]) {
            let scale = (2.0 / fan_in as f64).sqrt();
            Box::new(move |i| scale * s(i))
        } else if last(&["bias"]) {
            Box::new(move |i| 0.05 * s(i))
        } else {
            panic!("no formula for a tensor called {name}")
        };
        (0..shape.iter().product()).map(|i| value(i) as f32).collect()
    }

    /// Returns the input image, flattened in row-major order.
    pub fn input(&self, elements: usize) -> Vec<f32> {
        match self {
            Self::Sin => {
                let value = |i: usize| (0.31 + 0.618_033_988_749_894_9 * i as f64).sin();
                (0..elements).map(|i| value(i) as f32).collect()
            }
            Self::Hash { .. } => {
                let s = self.sequence("input");
                (0..elements).map(|i| (1.732_050_807_568_877_2 * s(i)) as f32).collect()
            }
        }
    }
}

/// The finalizer of SplitMix64, as a number in [-1, 1).
fn mixed(z: u64) -> f64 {
    let z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let z = z ^ (z >> 31);
    (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn crc32(text: &str) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    crc.sum()
}

#[test]
fn the_formula_matches_known_values() {
    let sin = Scheme::Sin.sequence("classifier.linear.bias");
    let hash = |salt: &str, name| Scheme::Hash { salt: salt.to_owned() }.sequence(name);
    let weight = hash("", "first_stem.conv.weight");
    let input = hash("public0:", "input");
    let three = |s: &dyn Fn(usize) -> f64| [s(0), s(1), s(2)];
    let published = [0.999983134307178, 0.7243635523247118, 0.05520503444514687];
    for (found, expected) in three(&sin).into_iter().zip(published) {
        assert!((found - expected).abs() < 1e-15);
    }
    assert_eq!(three(&weight), [-0.4670289841997233, 0.8072390156992277, -0.5385206856199987]);
    assert_eq!(three(&input), [-0.34548537037278404, 0.8020382010267251, -0.8985046402175727]);
}
