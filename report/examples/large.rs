//! Writes the page of a generated run of the published size, for visual checks: `cargo run --example large >
//! large.html`. With an argument, writes the page of a matrix of targets.

#[path = "../tests/sample/mod.rs"]
mod sample;

#[allow(clippy::print_stdout)]
fn main() {
    let mut report = sample::report();
    if std::env::args().len() > 1 {
        report.networks = ["10", "12", "15"].map(sample::network).into();
    }
    print!("{}", report.html());
}
