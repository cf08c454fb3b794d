//! Clocks, and what the system says of this process.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs_f64()
}

/// The greatest resident set of this process so far, in MB; 0 where the system does not say.
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()).map_or(0.0, |kb| kb / 1024.0)
}

/// The processor time that this process has taken so far, in seconds; 0 where the system does not say.
pub fn cpu_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in brackets, which may have spaces: fields 3 and on; 14 and 15 are user and system time.
    let fields = stat.rsplit_once(')').map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
    let ticks = |i: usize| fields.get(i - 3).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    // In hundredths of a second, on every Linux.
    (ticks(14) + ticks(15)) / 100.0
}

/// Runs again and again.
pub struct Timed {
    /// What each run took, in milliseconds.
    pub ms: Vec<f64>,
    /// Processor time of a run, all threads together.
    pub cpu_ms: f64,
}

/// Times runs for this long, and at least four.
///
/// # Errors
/// The first that a run has.
pub fn repeat<E>(seconds: f64, mut run: impl FnMut() -> Result<(), E>) -> Result<Timed, E> {
    let (mut ms, start, cpu) = (vec![], Instant::now(), cpu_time());
    while ms.len() < 4 || start.elapsed().as_secs_f64() < seconds {
        let before = Instant::now();
        run()?;
        ms.push(before.elapsed().as_secs_f64() * 1e3);
    }
    let cpu_ms = (cpu_time() - cpu) * 1e3 / ms.len() as f64;
    Ok(Timed { ms, cpu_ms })
}
