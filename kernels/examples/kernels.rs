//! Times the fused kernels and the libtorch operations that they replace.
//!
//! `cargo run --workspace --example kernels -- [BATCH] [THREADS] [SIZE]...`. Defaults: 16 2 224. SIZE is the side of
//! the images; the feature maps are those of a network of the published space at that size. Prints medians of
//! alternating calls in milliseconds for `forward` and `backward` (of all inputs, including a multiplication), and the
//! speedup of the kernel.

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use tfnas_kernels::{Activation, BatchNorm, batch_norm, depthwise};

/// Channels, ratio of the image size to the map size, kernel and stride of the depthwise convolution.
const LAYERS: [(i64, i64, i64, i64); 10] = [
    (32, 2, 3, 1),
    (40, 2, 3, 2),
    (113, 4, 5, 1),
    (186, 4, 5, 2),
    (287, 8, 5, 1),
    (303, 16, 5, 1),
    (592, 16, 5, 1),
    (659, 16, 5, 2),
    (1238, 32, 3, 1),
    (1450, 32, 5, 1),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<i64>());
    let batch = arguments.next().transpose()?.unwrap_or(16);
    tch::set_num_threads(arguments.next().transpose()?.unwrap_or(2) as i32);
    let size = arguments.next().transpose()?.unwrap_or(224);
    println!("{:<36} {:>24} {:>24}", "", "forward", "backward");
    for (channels, factor, kernel, stride) in LAYERS {
        let side = (size / factor).max(1);
        let shape = [batch, side, side, channels];
        let x = Tensor::randn(shape, (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]).set_requires_grad(true);
        let [weight, bias] = [1.0, 0.0].map(|value| Tensor::full([channels], value, (Kind::Float, Device::Cpu)));
        let [weight, bias] = [weight, bias].map(|tensor| tensor.set_requires_grad(true));
        let running = [weight.detach().copy(), bias.detach().copy()];
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            let norm = BatchNorm {
                weight: Some(&weight),
                bias: Some(&bias),
                running: Some((&running[0], &running[1])),
                momentum: 0.1,
                epsilon: 1e-5,
                activation,
                shortcut: None,
            };
            let composed = || {
                let [mean, variance] = &running;
                let normalized =
                    x.batch_norm(Some(&weight), Some(&bias), Some(mean), Some(variance), true, 0.1, 1e-5, true);
                match activation {
                    Activation::None => normalized,
                    Activation::Relu => { normalized }.relu_(),
                    Activation::Silu => normalized.silu(),
                }
            };
            let fused = || batch_norm(&x, &norm).expect("x is a channels-last feature map");
            report(&format!("norm {activation:?} {shape:?}"), &[&x, &weight, &bias], composed, fused);
        }
        let weight = Tensor::randn([channels, 1, kernel, kernel], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let composed = || x.conv2d(&weight, None::<&Tensor>, [stride; 2], [kernel / 2; 2], [1, 1], channels);
        let fused = || depthwise(&x, &weight, stride).expect("x is a channels-last feature map");
        report(&format!("depthwise {kernel} / {stride} {shape:?}"), &[&x, &weight], composed, fused);
    }
    Ok(())
}

/// Times both alternately and prints the medians.
fn report(name: &str, inputs: &[&Tensor], composed: impl Fn() -> Tensor, fused: impl Fn() -> Tensor) {
    const REPEATS: usize = 7;
    let mut times: [Vec<f64>; 4] = Default::default();
    let mut time = |output: &dyn Fn() -> Tensor, to: usize| {
        let start = Instant::now();
        let output = output();
        let forward = start.elapsed();
        let gradient = output.ones_like();
        let loss = output.multiply(&gradient).sum(None);
        let start = Instant::now();
        let _ = Tensor::run_backward(&[loss], inputs, false, false);
        times[to].push(forward.as_secs_f64() * 1e3);
        times[to + 1].push(start.elapsed().as_secs_f64() * 1e3);
    };
    for _ in 0..REPEATS {
        time(&composed, 0);
        time(&fused, 2);
    }
    let [a, b, c, d] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!("{name:<36} {a:8.2} {c:8.2} {:5.1}x {b:8.2} {d:8.2} {:5.1}x", a / c, b / d);
}
