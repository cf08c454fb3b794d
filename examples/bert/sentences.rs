//! Sentences compared by a published encoder.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use wgrad::prelude::*;
use wgrad::train::checkpoint::{self, TensorData, TensorMap};
use wgrad::train::tokenizer::WordPiece;
use wgrad::train::{Picture, tensors};
use wgrad::zoo::Bert;
use wgrad::zoo::bert::{Tokens, current_name, sentence_embedding};

/// Sentences that go through the model together.
const TOGETHER: usize = 16;

/// Longer sentences are cut, as sentence-transformers' small models do.
const LONGEST: usize = 256;

/// What `config.json` beside a checkpoint says of it.
#[derive(Serialize, Deserialize)]
pub struct Config {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    pub type_vocab_size: usize,
}

impl Config {
    /// That of the checkpoint `weights`.
    pub fn beside(weights: &Path) -> anyhow::Result<Config> {
        let path = weights.with_file_name("config.json");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// Whether a vocabulary is the model's.
    pub fn check(&self, tokenizer: &WordPiece, vocab: &Path) -> anyhow::Result<()> {
        let (theirs, ours) = (tokenizer.len(), self.vocab_size);
        ensure!(theirs == ours, "{} has {theirs} pieces, but the model {ours}", vocab.display());
        Ok(())
    }

    pub fn bert(&self) -> anyhow::Result<Bert> {
        let bert = Bert::new(self.vocab_size, self.hidden_size, self.num_hidden_layers, self.num_attention_heads)?;
        Ok(bert.inner(self.intermediate_size).positions(self.max_position_embeddings).segments(self.type_vocab_size))
    }
}

/// Prints how similar each line of `lines` is to every other, by the cosine of their embeddings, and writes both into the
/// output directory.
pub fn compare(options: &RunOptions, vocab: &Path, lines: &Path) -> anyhow::Result<()> {
    let Some(weights) = &options.weights else { bail!("--weights names no checkpoint") };
    let (config, tokenizer) = (Config::beside(weights)?, WordPiece::load(vocab)?);
    config.check(&tokenizer, vocab)?;
    let text = fs::read_to_string(lines).with_context(|| format!("cannot read {}", lines.display()))?;
    let sentences: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure!(!sentences.is_empty(), "{} holds no sentences", lines.display());

    let embeddings = embed(options, &config, &tokenizer, weights, &sentences)?;
    let width = config.hidden_size;
    let dot = |i: usize, j: usize| {
        let row = |i: usize| &embeddings[i * width..(i + 1) * width];
        row(i).iter().zip(row(j)).map(|(a, b)| a * b).sum::<f32>()
    };
    let (n, mut out) = (sentences.len(), io::stdout().lock());
    let cosines: Vec<f32> = (0..n * n).map(|k| dot(k / n, k % n)).collect();
    for (i, sentence) in sentences.iter().enumerate() {
        let row: Vec<String> = cosines[i * n..(i + 1) * n].iter().map(|c| format!("{c:6.3}")).collect();
        writeln!(out, "{}  {sentence}", row.join(" "))?;
    }
    let dir = options.out_dir("bert");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let named = [("embeddings".to_string(), TensorData::from_f32([n, width], &embeddings))];
    checkpoint::save(dir.join("embeddings.safetensors"), &TensorMap::from(named))?;
    Picture::heat(&cosines, n, n, [0.0, 1.0]).enlarged(256_usize.div_ceil(n)).save(dir.join("similarity.png"))?;
    writeln!(out, "embeddings {}", dir.join("embeddings.safetensors").display())?;
    let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
    let closest = pairs.max_by(|&(i, j), &(k, l)| cosines[i * n + j].total_cmp(&cosines[k * n + l]));
    match closest {
        Some((i, j)) => writeln!(out, "closest {} and {}: cosine {:.4}", i + 1, j + 1, cosines[i * n + j])?,
        None => writeln!(out, "one sentence alone")?,
    }
    Ok(())
}

/// The embeddings of all sentences, one after the other.
fn embed(
    options: &RunOptions,
    config: &Config,
    tokenizer: &WordPiece,
    weights: &Path,
    sentences: &[&str],
) -> anyhow::Result<Vec<f32>> {
    let most = LONGEST.min(config.max_position_embeddings);
    let all: Vec<Vec<u32>> = sentences.iter().map(|s| tokenizer.sentence(s, most)).collect();
    let length = all.iter().map(Vec::len).max().unwrap_or(2);

    let found = checkpoint::renamed(checkpoint::load(weights)?, |name| Some(current_name(name)));
    let device = Device::open(options.device.parse()?)?.with_tuning(options.tune);
    let (root, bert) = (Scope::eval(), config.bert()?);
    // A checkpoint of a model with a head has the encoder below "bert".
    let scope = if found.keys().any(|name| name.starts_with("bert.")) { root.enter("bert") } else { root };
    let shape = [TOGETHER.min(all.len()), length];
    let [ids, mask] = ["ids", "mask"].map(|name| Tensor::input(name, shape, DType::U32));
    let embedding = checked(|| sentence_embedding(&bert, &scope, &Tokens::new(&ids).mask(&mask)))?;
    let program = Program::compile(&device, &[&embedding], &Updates::new())?;
    let mut state = State::init(&device, &program, 0)?;
    let params = scope.params();
    tensors::import(&mut state, params.iter().filter_map(Tensor::name), &found, weights, "BERT")?;

    let mut embeddings = Vec::new();
    for chunk in all.chunks(shape[0]) {
        let (mut ids, mut mask) = (vec![tokenizer.special().pad; shape[0] * length], vec![0u32; shape[0] * length]);
        // Rows without a sentence repeat the last one.
        for (row, tokens) in (0..shape[0]).map(|i| (i, &chunk[i.min(chunk.len() - 1)])) {
            ids[row * length..][..tokens.len()].copy_from_slice(tokens);
            mask[row * length..][..tokens.len()].fill(1);
        }
        let inputs = [("ids", Data::from(&ids)), ("mask", Data::from(&mask))];
        let found = program.run(&mut state, &inputs)?.f32(0)?;
        embeddings.extend_from_slice(&found[..chunk.len() * config.hidden_size]);
    }
    Ok(embeddings)
}
