//! Peers on the same kernels: PyTorch in one process for all of them, the others a process for each.

use super::case::Case;
use crate::shared::peers::{Contender, Peer, answer};
use crate::shared::stats::median;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

/// The cases that peers other than PyTorch have.
const SHARED: [&str; 5] = ["matmul_256", "matmul_512", "matmul_1024", "conv3x3_64_56", "conv3x3_64_56_grads"];

/// A peer, ready for cases.
pub struct Rival {
    contender: Contender,
    server: Option<Server>,
    seconds: f64,
}

/// A process that reads a case a line, and answers each with a line.
struct Server {
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Answer {
    ms: Option<Vec<f64>>,
    error: Option<String>,
}

impl Rival {
    /// The settings in which the peer takes part.
    ///
    /// # Errors
    /// If it cannot be built or started.
    pub fn all(peer: Peer, device: &str, seconds: f64) -> Result<Vec<Rival>> {
        let start = |contender: Contender| {
            let server = (peer == Peer::Pytorch).then(|| Server::start(&contender, seconds)).transpose()?;
            Ok(Rival { contender, server, seconds })
        };
        peer.contenders("pytorch_kernels.py", device)?.into_iter().map(start).collect()
    }

    /// What tables call it.
    pub fn who(&self) -> &str {
        &self.contender.who
    }

    /// The median time of the case, in milliseconds; none if the peer does not have it.
    ///
    /// # Errors
    /// If it has it, and fails.
    pub fn time(&mut self, case: &Case) -> Result<Option<f64>> {
        if let Some(server) = &mut self.server {
            return server.time(case);
        }
        if !SHARED.contains(&case.name.as_str()) {
            return Ok(None);
        }
        let arguments = [case.name.clone(), "-".into(), "--seconds".into(), self.seconds.to_string()];
        let line = match answer(&mut self.contender.command(&arguments)) {
            Ok(line) => line,
            Err(e) if e.to_string().starts_with("cannot") => return Ok(None),
            Err(e) => return Err(e),
        };
        let found: Value = serde_json::from_str(line.lines().last().unwrap_or_default())?;
        let steps = found["step_ms"].as_array().context("no step_ms in its answer")?;
        Ok(Some(median(&steps.iter().filter_map(Value::as_f64).collect::<Vec<_>>())))
    }
}

impl Server {
    fn start(contender: &Contender, seconds: f64) -> Result<Server> {
        let mut command = contender.command(&["--seconds".into(), seconds.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot start a peer")?;
        let asked = child.stdin.take().context("no way to ask")?;
        let answers = BufReader::new(child.stdout.take().context("no way to hear")?);
        Ok(Server { child, asked, answers })
    }

    fn time(&mut self, case: &Case) -> Result<Option<f64>> {
        writeln!(self.asked, "{}", serde_json::to_string(case)?)?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Answer = serde_json::from_str(&line).with_context(|| format!("PyTorch printed {line:?}"))?;
        match (answer.ms, answer.error) {
            (Some(ms), _) => Ok(Some(median(&ms))),
            (None, Some(why)) => bail!("{}: {why}", case.name),
            (None, None) => Ok(None),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It would end with its input; it may be at work yet.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
