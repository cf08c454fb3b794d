//! Times of sorting and scattering, against the forms that compare everything with everything.
//!
//!     cargo run --release -p wgrad-graph --example index_speed [device]

use std::time::Instant;
use wgrad_graph::{DType, Data, Device, DeviceChoice, Program, State, Tensor, Updates, gradients};

/// The best of five runs, in milliseconds.
fn time(device: &Device, y: &Tensor, given: &[(&str, Data)]) -> f64 {
    let program = Program::compile(device, &[y], &Updates::new()).expect("the program compiles");
    let mut state = State::init(device, &program, 1).expect("there is memory");
    let mut once = || {
        let start = Instant::now();
        program.run(&mut state, given).and_then(|mut out| out.f32(0)).expect("the program runs");
        start.elapsed().as_secs_f64() * 1e3
    };
    once();
    (0..5).map(|_| once()).fold(f64::MAX, f64::min)
}

/// Numbers below `n` in no order.
fn numbers(count: usize, n: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) % n as u32).collect()
}

fn report(what: &str, fast: f64, slow: Option<f64>) {
    let compared = slow.map(|slow| format!("; comparing: {slow:.1} ms, {:.0} times as long", slow / fast));
    println!("{what}: {fast:.2} ms{}", compared.unwrap_or_default());
}

fn embedding(device: &Device, rows: usize, width: usize, tokens: usize, naive: bool) {
    let table = Tensor::input("table", [rows, width], DType::F32);
    let index = Tensor::input("index", [tokens], DType::U32);
    let weight = Tensor::input("weight", [tokens, width], DType::F32);
    let sorted = gradients(&(table.embedding(&index, None) * &weight).sum_all(), &[&table]).remove(0);
    // A few elements, so that what is read back is little.
    let some = |grad: &Tensor| grad.reshape([rows * width]).slice_step(0, 0, 10, rows * width / 10);
    let (values, at) = (vec![0.5f32; tokens * width], numbers(tokens, rows));
    let given: [(&str, Data); 2] = [("index", Data::from(&at)), ("weight", Data::from(&values))];
    let slow = naive.then(|| {
        let hit = Tensor::iota([rows, tokens, 1], 0).equal(&index.reshape([1, tokens, 1]));
        let compared = hit.select(&weight.unsqueeze(0), &Tensor::scalar(0.0f32)).sum(&[1]);
        time(device, &some(&compared), &given)
    });
    let what = format!("embedding gradient, {rows} x {width}, {tokens} tokens");
    report(&what, time(device, &some(&sorted), &given), slow);
}

fn sort(device: &Device, n: usize, naive: bool) {
    let x = Tensor::input("x", [n], DType::F32);
    let values: Vec<f32> = numbers(n, 1 << 24).iter().map(|&i| i as f32).collect();
    let given: [(&str, Data); 1] = [("x", Data::from(&values))];
    // How many come before each: all of a sort but its last step.
    let slow = naive.then(|| time(device, &x.unsqueeze(0).lt(&x.unsqueeze(1)).cast(DType::F32).sum(&[1]), &given));
    report(&format!("sort of {n}"), time(device, &x.sort(0, false).0, &given), slow);
}

fn main() {
    let choice = std::env::args().nth(1).unwrap_or_else(|| "auto".into());
    let choice: DeviceChoice = choice.parse().expect("any text is a choice");
    let device = Device::open(choice).expect("there is such a device");
    println!("{}", device.adapter());
    embedding(&device, 2048, 256, 512, true);
    embedding(&device, 32768, 256, 2048, false);
    sort(&device, 10_000, true);
    sort(&device, 100_000, false);
}
