//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.
//!
//! Standard output is left to results.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The shortest time between two plain lines.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

/// Shows how far one stretch of work has come: an epoch, or an evaluation.
pub struct Progress {
    label: String,
    total: u64,
    done: u64,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { out: Box<dyn Write + Send>, next: Instant },
    Nothing,
}

impl Progress {
    /// Progress over `total` steps, called `label`. A bar if standard error is a terminal, else plain lines.
    pub fn new(label: impl Into<String>, total: u64) -> Self {
        if std::io::stderr().is_terminal() {
            Self::bar(label.into(), total)
        } else {
            Self::lines(label.into(), total, Box::new(std::io::stderr()))
        }
    }

    /// Progress that is not shown.
    pub fn hidden() -> Self {
        Self { label: String::new(), total: 0, done: 0, shown: Shown::Nothing }
    }

    fn bar(label: String, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
        // A template that does not parse would be this file's own mistake: the default bar then.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {eta} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(label.clone());
        Self { label, total, done: 0, shown: Shown::Bar(bar) }
    }

    fn lines(label: String, total: u64, out: Box<dyn Write + Send>) -> Self {
        Self { label, total, done: 0, shown: Shown::Lines { out, next: Instant::now() + BETWEEN_LINES } }
    }

    /// Takes up where a resumed run goes on.
    pub fn start_at(mut self, done: u64) -> Self {
        self.done = done;
        if let Shown::Bar(bar) = &self.shown {
            bar.set_position(done);
            bar.reset_eta();
        }
        self
    }

    /// One more step done. `message` is only asked for when it will be seen.
    pub fn step(&mut self, message: impl FnOnce() -> String) {
        self.step_at(Instant::now(), message);
    }

    fn step_at(&mut self, now: Instant, message: impl FnOnce() -> String) {
        self.done += 1;
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_message(message());
                bar.inc(1);
            }
            Shown::Lines { out, next } => {
                if now >= *next {
                    *next = now + BETWEEN_LINES;
                    // Nobody reads standard error any more: no reason to stop training.
                    let _ = writeln!(out, "{} {}/{} {}", self.label, self.done, self.total, message());
                }
            }
            Shown::Nothing => {}
        }
    }

    /// Ends the bar and leaves `message` as a line of its own.
    pub fn finish(self, message: &str) {
        match self.shown {
            Shown::Bar(bar) => {
                bar.finish_and_clear();
                eprintln!("{} {message}", self.label);
            }
            Shown::Lines { mut out, .. } => {
                let _ = writeln!(out, "{} {message}", self.label);
            }
            Shown::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn plain_lines_are_rare() {
        let sink = Sink::default();
        let mut progress = Progress::lines("epoch 1/2".into(), 100, Box::new(sink.clone())).start_at(10);
        let start = Instant::now();
        for step in 1..=90u64 {
            // Ten steps a second: a line every two seconds.
            progress.step_at(start + Duration::from_millis(100 * step), || format!("loss {step}"));
        }
        progress.finish("done");
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0] == "epoch 1/2 30/100 loss 20" || lines[0] == "epoch 1/2 31/100 loss 21", "{text}");
        assert_eq!(lines[4], "epoch 1/2 done");
    }

    #[test]
    fn a_message_that_is_not_shown_is_not_made() {
        let mut progress = Progress::lines("epoch 1/1".into(), 10, Box::new(Sink::default()));
        progress.step_at(Instant::now(), || panic!("asked for"));
    }

    #[test]
    fn a_bar_counts() {
        let mut progress = Progress::bar("epoch 1/1".into(), 10).start_at(4);
        progress.step(|| "loss 1".into());
        let Shown::Bar(bar) = &progress.shown else { panic!("not a bar") };
        assert_eq!((bar.position(), bar.length(), bar.message()), (5, Some(10), "loss 1".into()));
        progress.finish("done");
    }
}
