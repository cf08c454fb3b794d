//! Training a generator against a discriminator, and looking at what it makes.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use wgrad_graph::{Data, Tensor, Updates};
use wgrad_nn::gan::{DISCRIMINATOR_PATH, GENERATOR_PATH};
use wgrad_nn::{Gan, Scope};

use super::{ClassScores, Gaussian, Judge};
use crate::data::{Loader, LoaderOptions, Source};
use crate::error::TrainError;
use crate::metrics::Scores;
use crate::picture::{Picture, WHITE};
use crate::rng::{Purpose, Stream};
use crate::trainer::{Evaluation, Headline, Inputs, Phase, Task, Values};

type Optimize = dyn Fn(&Scope, &Tensor) -> Updates + Send + Sync;

const DISCRIMINATOR: &str = "discriminator";
const GENERATOR: &str = "generator";

/// Samples in a run of the generator, when it is judged.
const BATCH: usize = 250;
/// Columns of the pictures.
const COLUMNS: usize = 10;
const ROWS: usize = 8;
/// What a sample's greatest probability has to be above, to count as confident.
const SURE: f64 = 0.9;

/// Trains a [`Gan`] on "images" (and "labels", where it is conditional), and judges its samples.
///
/// A step is two programs: the discriminator's, and at every `critic_steps`-th step the generator's. Evaluation makes samples of
/// latents that are the same each time, in evaluation mode, and writes them as pictures into the run's directory:
/// `samples-<step>.png`, a column for each class where classes are given, and `interpolation.png`, whose rows go from one latent
/// to another on a great circle.
///
/// Scores: `frechet`, the distance of the samples' features to those of the test images ([`Gaussian::frechet_distance`]),
/// `inception` and `confident` ([`ClassScores`]), and `unseen`, the discriminator's mean score of test images: far below that of
/// training images, it has learned these by heart.
pub struct GanTask {
    gan: Gan,
    optimizers: [Box<Optimize>; 2],
    critic_steps: u64,
    samples: usize,
    judge: Mutex<Judge>,
    real: Gaussian,
}

impl GanTask {
    /// Of a discriminator's and a generator's optimiser, each given its own network's scope: two time scales are two learning
    /// rates. `test` has the images that samples are compared with.
    ///
    /// # Errors
    /// When the test images are not of the judge's kind, or the device fails.
    pub fn new(
        gan: Gan,
        discriminator: impl Fn(&Scope, &Tensor) -> Updates + Send + Sync + 'static,
        generator: impl Fn(&Scope, &Tensor) -> Updates + Send + Sync + 'static,
        mut judge: Judge,
        test: Arc<dyn Source>,
    ) -> Result<GanTask, TrainError> {
        let features = judge.look(&all_images(test)?)?.features;
        let real = Gaussian::fit(&features, judge.features())?;
        let optimizers: [Box<Optimize>; 2] = [Box::new(discriminator), Box::new(generator)];
        Ok(GanTask { gan, optimizers, critic_steps: 1, samples: 5000, judge: Mutex::new(judge), real })
    }

    /// Steps of the discriminator for each of the generator; each has a batch of its own.
    pub fn critic_steps(mut self, steps: u64) -> Self {
        self.critic_steps = steps.max(1);
        self
    }

    /// Samples that are judged: 5000 unless said otherwise, rounded up to whole batches of 250.
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples.max(1);
        self
    }

    /// The Frechet distance from the test images to these images, and what the judge says of them.
    ///
    /// # Errors
    /// When they are not whole images or too few, or the device fails.
    pub fn judge(&self, images: &[f32]) -> Result<(f64, ClassScores), TrainError> {
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = judge.look(images)?;
        let samples = Gaussian::fit(&seen.features, judge.features())?;
        let scores = ClassScores::of(&seen.logits, judge.classes(), SURE);
        Ok((self.real.frechet_distance(&samples), scores))
    }

    /// What distances mean here: that of as many real images (of the training data), and of noise.
    ///
    /// # Errors
    /// When the data or the device fail.
    pub fn scale(&self, train: Arc<dyn Source>) -> Result<[f64; 2], TrainError> {
        let images = some_images(train, self.samples)?;
        let mut stream = Stream::new(0, Purpose::Generate, 1, 0);
        let noise: Vec<f32> = images.iter().map(|_| stream.uniform(-1.0, 1.0)).collect();
        Ok([self.judge(&images)?.0, self.judge(&noise)?.0])
    }

    fn labels(&self, batch: &Inputs) -> Option<Tensor> {
        self.gan.classes().map(|_| batch.get("labels"))
    }

    /// Latent number `index`.
    fn latent(&self, index: usize) -> Vec<f32> {
        let mut stream = Stream::new(0, Purpose::Generate, 0, index);
        let count = self.gan.latent().iter().product();
        let draw =
            |stream: &mut Stream| if self.gan.is_uniform() { stream.uniform(-1.0, 1.0) } else { stream.normal() };
        (0..count).map(|_| draw(&mut stream)).collect()
    }

    /// What the generator makes of these latents, in batches of one size. Where classes are given, sample i is of class
    /// `classes[i % len]`.
    fn generate(&self, run: &mut Evaluation<'_>, latents: &[Vec<f32>]) -> Result<Vec<f32>, TrainError> {
        let shape = [&[BATCH], self.gan.latent()].concat();
        let each: usize = self.gan.latent().iter().product();
        let mut images = vec![];
        for (part, chunk) in latents.chunks(BATCH).enumerate() {
            let mut z = chunk.concat();
            z.resize(BATCH * each, 0.0);
            let labels: Vec<u32> = match self.gan.classes() {
                Some(classes) => (0..BATCH).map(|i| ((part * BATCH + i) % classes) as u32).collect(),
                None => vec![0; BATCH],
            };
            let inputs = [("z", &shape[..], Data::F32(&z)), ("classes", &[BATCH][..], Data::U32(&labels))];
            let mut made = run.program("sample", &inputs, |scope, inputs| {
                let labels = self.gan.classes().map(|_| inputs.get("classes"));
                vec![("images", self.gan.generate(scope, &inputs.get("z"), labels.as_ref()))]
            })?;
            let size = made.shape("images")[1..].iter().product::<usize>();
            images.extend_from_slice(&made.f32("images")?[..chunk.len() * size]);
        }
        Ok(images)
    }

    /// Rows of images, enlarged where they are tiny.
    fn grid(&self, images: &[f32]) -> Picture {
        let shape = self.judge.lock().unwrap_or_else(PoisonError::into_inner).shape();
        let [_, height, width] = shape;
        let factor = (32 / height.max(width)).clamp(1, 4);
        let size: usize = shape.iter().product();
        let picture = |image: &[f32]| Picture::from_chw(image, shape, [-1.0, 1.0]).enlarged(factor);
        let pictures: Vec<Picture> = images.chunks_exact(size).map(picture).collect();
        Picture::grid(&pictures, COLUMNS, 2, WHITE)
    }

    fn save(&self, run: &Evaluation<'_>, name: &str, images: &[f32]) -> Result<(), TrainError> {
        let png = self.grid(images).encode_png(Path::new(name))?;
        run.write(name, &png)
    }
}

impl Task for GanTask {
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::new(DISCRIMINATOR), Phase::new(GENERATOR).every(self.critic_steps)]
    }

    fn train(&self, phase: &str, scope: &Scope, batch: &Inputs) -> (Values, Updates) {
        let [discriminator, generator] = &self.optimizers;
        let images = batch.get("images");
        if phase == GENERATOR {
            let loss = self.gan.generator_loss(scope, images.shape()[0]);
            let step = generator(&scope.enter(GENERATOR_PATH), &loss);
            return (vec![("generator", loss)], self.gan.updates(scope, step));
        }
        let judged = self.gan.discriminator_loss(scope, &images, self.labels(batch).as_ref());
        let step = discriminator(&scope.enter(DISCRIMINATOR_PATH), &judged.loss);
        let mut values = vec![("discriminator", judged.loss), ("real", judged.real), ("fake", judged.fake)];
        values.extend(judged.penalty.map(|penalty| ("penalty", penalty)));
        (values, self.gan.updates(scope, step))
    }

    fn eval(&self, scope: &Scope, batch: &Inputs) -> Values {
        let scores = self.gan.score(scope, &batch.get("images"), self.labels(batch).as_ref());
        vec![("unseen", scores.mean_all())]
    }

    fn evaluate(&self, run: &mut Evaluation<'_>) -> Result<Scores, TrainError> {
        let count = self.samples.next_multiple_of(BATCH);
        let latents: Vec<Vec<f32>> = (0..count).map(|i| self.latent(i)).collect();
        let images = self.generate(run, &latents)?;
        let (frechet, classes) = self.judge(&images)?;
        let mut scores = Scores::default();
        scores.set("frechet", frechet);
        scores.set("inception", classes.inception);
        scores.set("confident", classes.confident);
        if !run.is_quiet() {
            let score = classes.inception;
            eprintln!("step {}: frechet distance {frechet:.2}, class score {score:.2}, {classes}", run.step());
        }

        let size = images.len() / count;
        let name = format!("samples-{:06}.png", run.step());
        self.save(run, &name, &images[..images.len().min(COLUMNS * ROWS * size)])?;
        // Each column a step on the way; classes, where given, then change along the row.
        let ends = |row: usize| (&latents[2 * row], &latents[2 * row + 1]);
        let at = |row: usize, i: usize| slerp(ends(row).0, ends(row).1, i as f32 / (COLUMNS - 1) as f32);
        let path: Vec<Vec<f32>> =
            (0..ROWS).flat_map(|row| (0..COLUMNS).map(move |i| (row, i))).map(|(r, i)| at(r, i)).collect();
        let images = self.generate(run, &path)?;
        self.save(run, "interpolation.png", &images)?;

        for (name, value) in run.means()?.iter() {
            scores.set(name, value);
        }
        Ok(scores)
    }

    fn headline(&self) -> Headline {
        Headline::lower("frechet distance", "frechet")
    }
}

/// The point at share `t` of the way from `a` to `b` on a great circle (Shoemake, 1985; White, "Sampling generative networks",
/// 2016): `sin((1 - t) w) / sin(w) a + sin(t w) / sin(w) b` with the angle w between them. Normal latents lie close to a sphere,
/// which straight lines leave. Where the angle tells nothing (a zero, or parallel), it is the straight line.
pub fn slerp(a: &[f32], b: &[f32], t: f32) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>();
    let angle = (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()).clamp(-1.0, 1.0).acos();
    let t = f64::from(t);
    let (from, to) = match angle.sin() {
        sine if sine.is_nan() || sine < 1e-6 => (1.0 - t, t),
        sine => (((1.0 - t) * angle).sin() / sine, (t * angle).sin() / sine),
    };
    a.iter().zip(b).map(|(&a, &b)| (from * f64::from(a) + to * f64::from(b)) as f32).collect()
}

/// The first `count` images of a source, or all of them if there are fewer.
fn some_images(source: Arc<dyn Source>, count: usize) -> Result<Vec<f32>, TrainError> {
    let mut images = vec![];
    let mut left = count;
    for batch in Loader::shared(source, LoaderOptions::test(BATCH))?.epoch(0, 0)? {
        let batch = batch?;
        let taken = left.min(batch.len());
        let values = batch.f32("images");
        images.extend_from_slice(&values[..values.len() / batch.len() * taken]);
        left -= taken;
        if left == 0 {
            break;
        }
    }
    Ok(images)
}

fn all_images(source: Arc<dyn Source>) -> Result<Vec<f32>, TrainError> {
    some_images(source, usize::MAX)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
