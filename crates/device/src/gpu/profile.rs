//! Timing each launch of a sequence.

use super::sequence::{Step, record};
use super::{Gpu, GpuSequence};
use crate::{DeviceError, KernelTime};
use std::time::{Duration, Instant};

/// Launches timed with one query set (two queries each; WebGPU allows 4096).
const LAUNCHES_AT_ONCE: usize = 2048;

impl Gpu {
    /// Runs the sequence with each launch in a pass of its own, and returns the time of each launch.
    pub fn run_profiled(&self, sequence: &GpuSequence) -> Result<Vec<KernelTime>, DeviceError> {
        let mut times = vec![Duration::ZERO; sequence.launches.len()];
        let launches: Vec<&[Step]> = sequence.steps.chunk_by(|a, b| a.launch == b.launch).collect();
        for chunk in launches.chunks(LAUNCHES_AT_ONCE) {
            let measured =
                if self.adapter.timestamps { self.time_on_device(chunk)? } else { self.time_on_host(chunk)? };
            for (steps, time) in chunk.iter().zip(measured) {
                times[steps[0].launch] = time;
            }
        }
        let named = sequence.launches.iter().zip(times);
        Ok(named.map(|((name, cost), time)| KernelTime { name: name.clone(), time, cost: *cost }).collect())
    }

    fn time_on_device(&self, launches: &[&[Step]]) -> Result<Vec<Duration>, DeviceError> {
        let device = &self.link.device;
        let count = 2 * launches.len() as u32;
        let bytes = 8 * count as usize;
        self.count_created(1);
        let queries = self.scoped("a profile", bytes, || {
            device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count })
        })?;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = self.create_buffer("a profile", bytes, usage)?;
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staged = self.create_buffer("a profile", bytes, usage)?;
        let submission = self.submit(|encoder| {
            for (i, steps) in launches.iter().enumerate() {
                let timestamp_writes = Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * i as u32),
                    end_of_pass_write_index: Some(2 * i as u32 + 1),
                });
                let descriptor = wgpu::ComputePassDescriptor { label: None, timestamp_writes };
                record(&mut encoder.begin_compute_pass(&descriptor), steps);
            }
            encoder.resolve_query_set(&queries, 0..count, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &staged, 0, bytes as u64);
        })?;
        staged.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        self.link.wait_for(Some(submission))?;
        let refused = |reason: String| DeviceError::Validation { what: "a profile".into(), reason };
        let view = staged.slice(..).get_mapped_range().map_err(|e| refused(e.to_string()))?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&view[..]);
        let period = self.link.queue.get_timestamp_period() as f64;
        Ok(ticks.chunks(2).map(|t| Duration::from_nanos((t[1].saturating_sub(t[0]) as f64 * period) as u64)).collect())
    }

    /// For adapters without timestamps: each launch is submitted and waited for, which adds that cost to its time.
    fn time_on_host(&self, launches: &[&[Step]]) -> Result<Vec<Duration>, DeviceError> {
        self.wait()?;
        let time = |steps: &&[Step]| {
            let start = Instant::now();
            let submission =
                self.submit(|encoder| record(&mut encoder.begin_compute_pass(&Default::default()), steps))?;
            self.link.wait_for(Some(submission))?;
            Ok(start.elapsed())
        };
        launches.iter().map(time).collect()
    }
}
