//! Single kernels: rates, and their share of what the adapter can do at most.

mod case;
mod list;
mod peak;
mod peer;
mod summary;
pub mod timer;

use crate::shared::peers::Peer;
use crate::shared::report::{Row, Table, save, short};
use crate::shared::stats::{least, median};
use anyhow::Result;
use case::Case;
use clap::Args;
use peak::Peak;
use peer::Rival;
use std::path::PathBuf;
use summary::Summary;
use timer::{kept, leaf, time};
use wgrad::device::{AdapterKind, DeviceError};
use wgrad::prelude::*;

/// Times single kernels: GFLOP/s or GB/s, and the share of this adapter's peak.
///
/// The peaks are those of a plain loop of multiply-adds and of a plain copy of 128 MB, measured in the same run, the best of
/// several each; work that fits into a cache may pass a copy that does not. `_by_input` and `_by_weight` are a convolution's
/// gradients alone, `_grads` is the value with all gradients.
#[derive(Args)]
pub struct Options {
    /// Only those whose names contain this
    #[arg(value_name = "FILTER")]
    filter: Option<String>,

    /// Where wgrad computes: auto, gpu, software, cpu, or a part of an adapter's name
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,

    /// Time the kernels' tiles before, where that was not done: what is found is kept for later runs, with or without this
    #[arg(long)]
    tune: bool,

    /// Who else does the same; all but PyTorch have few kernels
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    peers: Vec<Peer>,

    /// Short measurements, and of the convolutions of whole networks every third
    #[arg(long)]
    quick: bool,

    /// Write the rows to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What the adapter can do at most.
struct Peaks {
    gflops: f64,
    gbytes: f64,
}

/// Does what the command line asks for.
///
/// # Errors
/// If wgrad cannot run a kernel, or a peer fails on one.
pub fn run(options: &Options) -> Result<()> {
    let device = Device::open(options.device.parse()?)?.with_tuning(options.tune);
    let adapter = device.adapter();
    let seconds = if options.quick { 0.1 } else { 1.0 };
    let peaks = Peaks::measure(&device)?;
    println!("{adapter}: multiply-adds {:.0} GFLOP/s, copy {:.1} GB/s\n", peaks.gflops, peaks.gbytes);

    let mut rivals = vec![];
    for peer in &options.peers {
        rivals.extend(Rival::all(*peer, &options.device, seconds)?);
    }
    let large = !matches!(adapter.kind, AdapterKind::Cpu | AdapterKind::Software);
    let mut head = vec!["name", "ms", "GFLOP/s", "GB/s", "of peak", "launches", "CPU ms"];
    head.extend(rivals.iter().map(Rival::who));
    let (mut table, mut rows, mut thirds) = (Table::new(&head), vec![], 0);
    let mut summary = Summary::default();
    for case in list::cases(adapter.f16, large) {
        if options.filter.as_ref().is_some_and(|f| !case.name.contains(f.as_str())) {
            continue;
        }
        let of_network = ["resnet50_", "unet_", "mobilenet_", "dcgan_"].iter().any(|n| case.name.starts_with(n));
        if options.quick && options.filter.is_none() && of_network {
            // Every third layer in all its parts.
            thirds += 1;
            if (thirds - 1) / 3 % 3 != 0 {
                continue;
            }
        }
        let (row, cells) = match measure(&device, &case, seconds, &peaks) {
            Err(e) if is_too_large(&e) => {
                eprintln!("{} is left out: {e}", case.name);
                continue;
            }
            measured => measured?,
        };
        eprintln!("{}", cells.join("  "));
        let (mut cells, mut against) = (cells, vec![]);
        for rival in &mut rivals {
            let theirs = rival.time(&case)?;
            cells.push(theirs.map_or("-".into(), |ms| format!("{} ({:.2})", short(ms), ms / row.wgrad_ms)));
            if theirs.is_some() {
                against.push(row.clone().against(rival.who(), theirs));
            }
        }
        summary.add(&case, share(&row), &against);
        rows.extend(if against.is_empty() { vec![row] } else { against });
        table.row(cells);
        if let Some(path) = &options.json {
            save(path, &rows)?;
        }
    }
    println!("{table}");
    print!("{}", summary.table());
    Ok(())
}

/// Whether this adapter cannot bind one of a case's tensors.
fn is_too_large(e: &anyhow::Error) -> bool {
    matches!(e.downcast_ref(), Some(wgrad::graph::Error::Device(DeviceError::TooLarge { .. })))
}

/// The share of the peak, as a row has it.
fn share(row: &Row) -> f64 {
    row.details.get("share_of_peak").and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN)
}

/// wgrad's row, and the cells of the table.
fn measure(device: &Device, case: &Case, seconds: f64, peaks: &Peaks) -> Result<(Row, Vec<String>)> {
    let found = time(device, &case.updates(), seconds)?;
    let ms = median(&found.timed.ms);
    let gbytes = found.bytes / ms / 1e6;
    let gflops = case.flops().map(|f| f / ms / 1e6);
    let share = gflops.map_or(gbytes / peaks.gbytes, |g| g / peaks.gflops);
    let mut row = Row::new(&case.name, device.adapter().to_string(), ms)
        .with("gbytes_per_s", gbytes)
        .with("share_of_peak", share)
        .with("dispatches", found.dispatches)
        .with("wgrad_cpu_ms", found.timed.cpu_ms);
    if let Some(gflops) = gflops {
        row = row.with("gflops", gflops);
    }
    let cells = vec![
        case.name.clone(),
        short(ms),
        gflops.map_or(String::new(), short),
        short(gbytes),
        format!("{:.0} %", share * 100.0),
        found.dispatches.to_string(),
        short(found.timed.cpu_ms),
    ];
    Ok((row, cells))
}

impl Peaks {
    fn measure(device: &Device) -> Result<Peaks> {
        let best = |peak: Peak| -> Result<f64> {
            let found = time(device, &kept(&[peak.of(&leaf("in.0", &[peak.count()], DType::F32))]), 1.0)?;
            Ok(least(found.timed.ms))
        };
        let (count, rounds) = (1 << 18, 64);
        let flops = wgrad::device::Kernel::cost(&Peak::Fma { count, rounds }).flops;
        let gflops = flops / best(Peak::Fma { count, rounds })? / 1e6;
        let count = 1 << 24;
        Ok(Peaks { gflops, gbytes: 8.0 * count as f64 / best(Peak::Copy { count })? / 1e6 })
    }
}
