//! Buffers, transfers, and what a loop may not do.

use crate::common::{device, launch};
use crate::sample::Work;
use crate::{contractions, maps};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use wgrad_device::kernels::Map;
use wgrad_device::{Device, DeviceChoice, DeviceError, Kernel};

#[test]
fn bytes_come_back_as_they_went() {
    let Some(device) = device() else { return };
    for bytes in [0usize, 1, 3, 4, 5, 63, 64, 1000, 1 << 20] {
        let mut slice = device.alloc(bytes, "a test").unwrap().slice();
        slice.bytes = bytes;
        assert!(device.read(&slice).unwrap().iter().all(|&b| b == 0), "memory is zeroed");
        let data: Vec<u8> = (0..bytes).map(|i| (i * 7 + 3) as u8).collect();
        device.write(&slice, &data).unwrap();
        assert!(device.read(&slice).unwrap() == data, "{bytes} bytes");
    }
}

#[test]
fn reads_from_the_middle() {
    let Some(device) = device() else { return };
    let mut slice = device.alloc(1000, "a test").unwrap().slice();
    let data: Vec<u8> = (0..1000).map(|i| i as u8).collect();
    device.write(&slice, &data).unwrap();
    let parts: Vec<_> = [(0, 10), (4, 3), (996, 4), (512, 0)]
        .into_iter()
        .map(|(offset, bytes)| {
            slice.offset = offset;
            slice.bytes = bytes;
            slice.clone()
        })
        .collect();
    let reads = device.read_later(&parts).unwrap();
    for (part, read) in parts.iter().zip(reads) {
        assert_eq!(read.wait().unwrap(), data[part.offset..part.offset + part.bytes]);
    }
}

/// Held by the tests of which one counts staging buffers that the other takes.
static READING: Mutex<()> = Mutex::new(());

/// One thread's poll may take the answer to another's readback.
#[test]
fn many_threads_read() {
    let Some(device) = device() else { return };
    let _alone = READING.lock().unwrap_or_else(|p| p.into_inner());
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                let slice = device.alloc(64, "a test").unwrap().slice();
                for turn in 0..100u8 {
                    let data = [thread.wrapping_mul(31).wrapping_add(turn); 64];
                    device.write(&slice, &data).unwrap();
                    assert_eq!(device.read(&slice).unwrap(), data);
                }
            });
        }
    });
}

#[test]
fn large_transfers() {
    let Some(device) = device() else { return };
    let words: Vec<u32> = (0..20_000_000u32).map(|i| i.wrapping_mul(2654435761)).collect();
    let slice = device.alloc(words.len() * 4, "a test").unwrap().slice();
    device.write(&slice, bytemuck::cast_slice(&words)).unwrap();
    let back = device.read(&slice).unwrap();
    assert!(bytemuck::cast_slice::<u8, u32>(&back) == words);
}

#[test]
fn what_is_too_large_is_refused() {
    let Some(device) = device() else { return };
    assert!(matches!(device.alloc(1 << 45, "weights"), Err(DeviceError::TooLarge { .. })));
    // The device works on.
    device.alloc(64, "weights").unwrap();
}

#[test]
fn what_cannot_be_bound_is_refused() {
    let Some(device) = device() else { return };
    let bytes = device.adapter().max_binding + 4;
    // Where the limit is gigabytes, reaching it would only test how much memory there is.
    if bytes > 1 << 29 {
        return;
    }
    let slice = device.alloc(bytes, "a test").unwrap().slice();
    let Some(Work::Map(map)) = maps::samples().into_iter().find(|s| s.name == "one").map(|s| s.work) else {
        panic!("the sample is there")
    };
    let launch = wgrad_device::Launch {
        label: "too large".into(),
        kernel: Arc::new(map),
        inputs: vec![slice],
        outputs: vec![device.alloc(4, "a test").unwrap().slice()],
        aliases: vec![None],
        scratch: None,
    };
    assert!(matches!(device.prepare(vec![launch]), Err(DeviceError::TooLarge { .. })));
}

#[test]
fn unknown_adapters_are_named() {
    let error = Device::open(DeviceChoice::Named("no such adapter".into())).err();
    assert!(matches!(error, Some(DeviceError::NoAdapter { .. })), "{error:?}");
}

#[test]
fn a_loop_makes_no_gpu_objects() {
    let Some(device) = device() else { return };
    let _alone = READING.lock().unwrap_or_else(|p| p.into_inner());
    let mut launches = vec![];
    for sample in maps::samples().into_iter().filter(|s| s.name == "in place") {
        let bytes: Vec<_> = sample.outputs().iter().map(|(t, n)| t.size() * n).collect();
        launches.push(launch(device, sample.kernel(), &sample.inputs(), &bytes, &sample.aliases));
    }
    let watched = launches[0].outputs[0].clone();
    let sequence = device.prepare(launches).unwrap();
    let batch = device.alloc(1 << 16, "a batch").unwrap().slice();
    let data = vec![3u8; batch.bytes];
    let mut late = vec![];
    let mut step = || {
        device.write(&batch, &data).unwrap();
        late = device.run_and_read(&sequence, std::slice::from_ref(&watched)).unwrap();
    };
    // The first steps fill the pools: an upload and a readback for each step that is under way.
    for _ in 0..8 {
        step();
    }
    // Other tests share the device, so that the least growth of several rounds counts.
    let rounds: Vec<_> = (0..20)
        .map(|_| {
            let (objects, submissions) = (device.objects_created(), device.submissions());
            (0..100).for_each(|_| step());
            (device.objects_created() - objects, device.submissions() - submissions)
        })
        .collect();
    assert_eq!(rounds.iter().map(|r| r.0).min(), Some(0), "objects are made in a loop: {rounds:?}");
    assert_eq!(rounds.iter().map(|r| r.1).min(), Some(100), "a step is one submission: {rounds:?}");
}

#[test]
fn uploads_do_not_wait_for_the_device() {
    let Some(device) = device() else { return };
    let _alone = READING.lock().unwrap_or_else(|p| p.into_inner());
    let kernel = Arc::new(contractions::matmul(512, 512, 512, false, false));
    let product = launch(device, kernel, &[vec![0; 1 << 20], vec![0; 1 << 20]], &[1 << 20], &[]);
    let batch = product.inputs[0].clone();
    let sequence = device.prepare(vec![product; 20]).unwrap();
    let data = vec![0u8; batch.bytes];
    device.write(&batch, &data).unwrap();
    device.run(&sequence).unwrap();
    device.wait().unwrap();
    let start = Instant::now();
    device.run(&sequence).unwrap();
    device.write(&batch, &data).unwrap();
    let written = start.elapsed();
    device.wait().unwrap();
    let done = start.elapsed();
    // Where the work is done in no time there is nothing to tell.
    assert!(done.as_millis() < 20 || written < done / 2, "written after {written:?}, done after {done:?}");
}

/// Launches that only read the same may run side by side.
#[test]
fn inputs_need_no_barriers() {
    let Some(device) = device() else { return };
    let Some(sample) = maps::samples().into_iter().find(|s| s.name == "one") else { panic!("the sample is there") };
    let bytes: Vec<_> = sample.outputs().iter().map(|(t, n)| t.size() * n).collect();
    let first = launch(device, sample.kernel(), &sample.inputs(), &bytes, &[]);
    let second = wgrad_device::Launch {
        outputs: launch(device, sample.kernel(), &sample.inputs(), &bytes, &[]).outputs,
        ..first.clone()
    };
    let barriers = |launches: Vec<_>| device.barriers(&device.prepare(launches).unwrap());
    assert_eq!(barriers(vec![first.clone(), second.clone()]), 0);
    // The third writes what the first wrote, and what the second reads is written by the first.
    let chained = wgrad_device::Launch { inputs: vec![first.outputs[0].clone(); first.inputs.len()], ..second.clone() };
    assert_eq!(barriers(vec![first.clone(), chained, first]), 2);
}

#[test]
fn kernels_are_timed() {
    let Some(device) = device() else { return };
    let samples: Vec<_> = maps::samples().into_iter().filter(|s| s.name == "in place" || s.name == "nothing").collect();
    let launches = samples
        .iter()
        .map(|s| {
            let bytes: Vec<_> = s.outputs().iter().map(|(t, n)| t.size() * n).collect();
            launch(device, s.kernel(), &s.inputs(), &bytes, &s.aliases)
        })
        .collect();
    let times = device.run_profiled(&device.prepare(launches).unwrap()).unwrap();
    assert_eq!(times.len(), 2);
    for (time, sample) in times.iter().zip(&samples) {
        let Work::Map(map) = &sample.work else { panic!() };
        assert_eq!(time.name, map.name());
        assert_eq!(time.time.is_zero(), map.is_empty(), "{}", sample.name);
    }
}

#[test]
fn tensors_may_share_a_buffer() {
    let Some(device) = device() else { return };
    // Input and output lie in one buffer, at different places.
    let buffer = device.alloc(1 << 16, "a test").unwrap();
    let part = |i: usize| wgrad_device::Slice { buffer: buffer.clone(), offset: i * 4096, bytes: 4 * 1025 - 4 };
    let Some(Work::Map(map)) = maps::samples().into_iter().find(|s| s.name == "in place").map(|s| s.work) else {
        panic!("the sample is there")
    };
    let map = Map { domain: vec![1024], ..map };
    let data: Vec<f32> = (0..1024).map(|i| i as f32).collect();
    for i in 0..3 {
        device.write(&part(i), bytemuck::cast_slice(&data)).unwrap();
    }
    let launch = wgrad_device::Launch {
        label: map.name(),
        kernel: Arc::new(map),
        inputs: vec![part(0), part(1), part(2)],
        outputs: vec![part(3), part(4)],
        aliases: vec![None, None],
        scratch: None,
    };
    let outputs = launch.outputs.clone();
    let sequence = device.prepare(vec![launch]).unwrap();
    device.run(&sequence).unwrap();
    let moment: Vec<f32> = bytemuck::pod_collect_to_vec(&device.read(&outputs[1]).unwrap());
    assert!(moment.iter().zip(&data).all(|(m, x)| (m - 1.9 * x).abs() < 1e-3));
}
