//! The list of models, each at its published sizes: what `cargo run --release --example zoo` prints.

use crate::bert::{BertPreTraining, Tokens};
use crate::gan::{
    ConditionalDcgan, Dcgan, FlatConditional, MnistDiscriminator, MnistGenerator, WganCritic, WganGenerator,
};
use crate::gpt::Gpt2;
use crate::resnet::Shortcut;
use crate::yolo::{Truth, YoloLoss};
use crate::{Bert, Darknet53, Gpt, ResNet, Transformer, UNet, Vit, Yolo, ZooError};
use wgrad_graph::{DType, Tensor};
use wgrad_nn::loss::{Bce, Reduction, bce_with_logits};
use wgrad_nn::{Layer, Scope};

type Build = dyn Fn(&Scope, usize) -> Tensor + Send + Sync;

/// A model at one of its sizes.
pub struct Model {
    /// Its name.
    pub name: String,
    /// Where it was published.
    pub source: &'static str,
    /// What one example is.
    pub input: String,
    /// Examples in the batch that its training is judged by.
    pub batch: usize,
    forward: Box<Build>,
    loss: Box<Build>,
}

impl Model {
    fn new(
        name: impl Into<String>,
        source: &'static str,
        input: impl Into<String>,
        batch: usize,
        forward: impl Fn(&Scope, usize) -> Tensor + Send + Sync + 'static,
        loss: impl Fn(&Scope, usize) -> Tensor + Send + Sync + 'static,
    ) -> Model {
        let (forward, loss) = (Box::new(forward), Box::new(loss));
        Model { name: name.into(), source, input: input.into(), batch, forward, loss }
    }

    /// What the model gives for a batch of inputs.
    pub fn forward(&self, scope: &Scope, batch: usize) -> Tensor {
        (self.forward)(scope, batch)
    }

    /// What its training minimises, for a batch of inputs and targets: a scalar.
    pub fn loss(&self, scope: &Scope, batch: usize) -> Tensor {
        (self.loss)(scope, batch)
    }
}

/// All models.
///
/// # Errors
/// None that a test would not have found: the sizes are fixed.
pub fn models() -> Result<Vec<Model>, ZooError> {
    let mut all = classifiers()?;
    all.extend(segmentation());
    all.extend(detection());
    all.extend(adversarial()?);
    all.extend(language()?);
    Ok(all)
}

const RESNET: &str = "He et al. 2015, Deep residual learning for image recognition";
const PREACT: &str = "He et al. 2016, Identity mappings in deep residual networks";
const WRN: &str = "Zagoruyko and Komodakis 2016, Wide residual networks";
const RESNEXT: &str = "Xie et al. 2017, Aggregated residual transformations";
const SE: &str = "Hu et al. 2018, Squeeze-and-excitation networks";
const VIT: &str = "Dosovitskiy et al. 2021, An image is worth 16x16 words";
const DARKNET: &str = "Redmon and Farhadi 2018, YOLOv3: an incremental improvement";
const UNET: &str = "Ronneberger et al. 2015, U-Net";
const DCGAN: &str = "Radford et al. 2016, Unsupervised representation learning with DCGANs";
const TEXTBOOK: &str = "Vasilev 2019, Advanced deep learning with Python";
const WGAN: &str = "Arjovsky et al. 2017, Wasserstein GAN";

/// A network from images to logits.
fn classifier(
    name: impl Into<String>,
    source: &'static str,
    image: [usize; 3],
    batch: usize,
    model: impl Layer + Clone + 'static,
) -> Model {
    let again = model.clone();
    let images = move |n: usize| Tensor::input("images", [&[n], &image[..]].concat(), DType::F32);
    let loss = move |scope: &Scope, n: usize| {
        let labels = Tensor::input("labels", [n], DType::U32);
        again.forward(scope, &images(n)).cross_entropy(&labels)
    };
    let [c, h, w] = image;
    let forward = move |scope: &Scope, n: usize| model.forward(scope, &images(n));
    Model::new(name, source, format!("{c}x{h}x{w}"), batch, forward, loss)
}

fn classifiers() -> Result<Vec<Model>, ZooError> {
    let (small, large) = ([3, 32, 32], [3, 224, 224]);
    let mut list = vec![];
    let mut add =
        |source, image, batch, model: ResNet| list.push(classifier(model.name(), source, image, batch, model));
    for depth in [20, 32, 44, 56, 110] {
        add(RESNET, small, 128, ResNet::cifar(depth, 10)?);
    }
    for depth in [20, 56] {
        add(RESNET, small, 128, ResNet::cifar(depth, 10)?.shortcut(Shortcut::None));
    }
    add(PREACT, small, 128, ResNet::cifar(110, 10)?.pre_activation(true));
    add(PREACT, small, 128, ResNet::cifar_bottleneck(164, 10)?.pre_activation(true));
    add(WRN, small, 128, ResNet::wide(28, 10, 10)?);
    for depth in [18, 34, 50, 101, 152] {
        add(RESNET, large, 32, ResNet::imagenet(depth, 1000)?);
    }
    add(RESNEXT, large, 32, ResNet::resnext(50, 32, 4, 1000)?);
    add(RESNEXT, large, 32, ResNet::resnext(101, 32, 8, 1000)?);
    add(WRN, large, 32, ResNet::wide_imagenet(50, 1000)?);
    add(SE, large, 32, ResNet::imagenet(50, 1000)?.squeeze_excite(true));
    list.push(classifier("darknet53", DARKNET, [3, 256, 256], 32, Darknet53::new(1000)));
    for vit in [Vit::base(16, 1000)?, Vit::base(32, 1000)?, Vit::large(16, 1000)?] {
        list.push(classifier(vit.name(), VIT, large, 32, vit));
    }
    Ok(list)
}

fn segmentation() -> Vec<Model> {
    let unet = |name: &str, model: UNet, size: usize, batch: usize| {
        let (channels, again) = (model.in_channels(), model.clone());
        let images = move |n: usize| Tensor::input("images", [n, channels, size, size], DType::F32);
        let loss = move |scope: &Scope, n: usize| {
            let logits = again.forward(scope, &images(n));
            let labels = Tensor::input("labels", [&[n], &logits.shape()[2..]].concat(), DType::U32);
            logits.cross_entropy(&labels)
        };
        let forward = move |scope: &Scope, n: usize| model.forward(scope, &images(n));
        Model::new(name, UNET, format!("{channels}x{size}x{size}"), batch, forward, loss)
    };
    vec![
        unet("unet (valid)", UNet::original(1, 2), 572, 1),
        unet("unet (padded, batch norm)", UNet::padded(3, 2).batch_norm(true), 256, 8),
    ]
}

fn detection() -> Vec<Model> {
    let yolo = |name: &str, model: Yolo| {
        let again = model.clone();
        let images = |n: usize| Tensor::input("images", [n, 3, 416, 416], DType::F32);
        let loss = move |scope: &Scope, n: usize| {
            let truth = Truth {
                boxes: Tensor::input("boxes", [n, 50, 4], DType::F32),
                classes: Tensor::input("classes", [n, 50], DType::U32),
            };
            YoloLoss::default().forward(&again.forward(scope, &images(n)), &truth).total
        };
        let forward = move |scope: &Scope, n: usize| model.forward(scope, &images(n)).raw;
        Model::new(name, DARKNET, "3x416x416", 8, forward, loss)
    };
    vec![
        yolo("yolov3", Yolo::v3(80)),
        yolo("yolov3-tiny", Yolo::tiny(80)),
        yolo("yolov3-small (this library's)", Yolo::small(80)),
    ]
}

/// A network by itself: its mean for a loss, since an adversary's would be counted with it.
fn part(
    name: &str,
    source: &'static str,
    input: &'static [usize],
    batch: usize,
    model: impl Fn(&Scope, &Tensor) -> Tensor + Send + Sync + Clone + 'static,
) -> Model {
    let again = model.clone();
    let x = move |n: usize| Tensor::input("x", [&[n], input].concat(), DType::F32);
    let shape: Vec<String> = input.iter().map(usize::to_string).collect();
    let loss = move |scope: &Scope, n: usize| {
        let y = again(scope, &x(n)).flatten(0);
        bce_with_logits(&y, &Tensor::full(y.shape().to_vec(), 1f32), &Bce::default(), Reduction::Mean)
    };
    Model::new(name, source, shape.join("x"), batch, move |scope: &Scope, n: usize| model(scope, &x(n)), loss)
}

fn adversarial() -> Result<Vec<Model>, ZooError> {
    let (dcgan, small) = (Dcgan::new(64)?, Dcgan::new(28)?.channels(1));
    let (generator, discriminator) = (dcgan.generator(), dcgan.discriminator());
    let conditional = ConditionalDcgan::new(small, 10);
    let (generate, judge) = (conditional.clone(), conditional);
    let flat = FlatConditional::new(10);
    let (flat_generate, flat_judge) = (flat.clone(), flat);
    let labels = |x: &Tensor| Tensor::input("labels", [x.shape()[0]], DType::U32);
    let (mnist_generator, mnist_discriminator) = (MnistGenerator::new(), MnistDiscriminator::new());
    let image = &[1, 28, 28];
    Ok(vec![
        part("dcgan generator", DCGAN, &[100, 1, 1], 128, move |s, x| generator.forward(s, x)),
        part("dcgan discriminator", DCGAN, &[3, 64, 64], 128, move |s, x| discriminator.forward(s, x)),
        part("mnist dcgan generator", TEXTBOOK, &[64], 100, move |s, x| mnist_generator.forward(s, x)),
        part("mnist dcgan discriminator", TEXTBOOK, image, 100, move |s, x| mnist_discriminator.forward(s, x)),
        part("conditional dcgan generator", DCGAN, &[100, 1, 1], 64, move |s, x| generate.generate(s, x, &labels(x))),
        part("conditional dcgan discriminator", DCGAN, image, 64, move |s, x| judge.judge(s, x, &labels(x))),
        part("conditional gan generator", TEXTBOOK, &[64], 100, move |s, x| flat_generate.generate(s, x, &labels(x))),
        part("conditional gan discriminator", TEXTBOOK, image, 100, move |s, x| flat_judge.judge(s, x, &labels(x))),
        part("wgan generator", WGAN, &[100], 64, |s, x| WganGenerator.forward(s, x)),
        part("wgan critic", WGAN, image, 64, |s, x| WganCritic.forward(s, x)),
    ])
}

fn language() -> Result<Vec<Model>, ZooError> {
    let ids = |name: &str, n: usize, length: usize| Tensor::input(name, [n, length], DType::U32);
    let gpt = |name: &str, model: Gpt, batch: usize| {
        let (length, again) = (model.context(), model.clone());
        let loss =
            move |scope: &Scope, n: usize| again.loss(scope, &ids("tokens", n, length), &ids("targets", n, length));
        let forward = move |scope: &Scope, n: usize| model.forward(scope, &ids("tokens", n, length));
        let source = "Radford et al. 2019, Language models are unsupervised multitask learners";
        Model::new(name, source, format!("{length} tokens"), batch, forward, loss)
    };
    let bert = |name: &str, model: Bert| {
        const LENGTH: usize = 128;
        let (again, picked) = (model.clone(), LENGTH * 15 / 100);
        let loss = move |scope: &Scope, n: usize| {
            let model = BertPreTraining::new(again.clone());
            let heads = model.predict(scope, &Tokens::new(&ids("ids", n, LENGTH)), &ids("positions", n, picked));
            heads.loss(&ids("labels", n, picked), &Tensor::input("next", [n], DType::U32))
        };
        let forward = move |scope: &Scope, n: usize| model.encode(scope, &Tokens::new(&ids("ids", n, LENGTH)));
        let source = "Devlin et al. 2018, BERT";
        Model::new(name, source, format!("{LENGTH} tokens"), 32, forward, loss)
    };
    let pair = |name: &str, model: Transformer| {
        const LENGTH: usize = 128;
        let again = model.clone();
        let loss = move |scope: &Scope, n: usize| {
            let at = |name: &str| ids(name, n, LENGTH);
            again.loss(scope, &at("source"), &at("target"), &at("next"), 0.1)
        };
        let forward =
            move |scope: &Scope, n: usize| model.logits(scope, &ids("source", n, LENGTH), &ids("target", n, LENGTH));
        let source = "Vaswani et al. 2017, Attention is all you need";
        Model::new(name, source, format!("{LENGTH} + {LENGTH} tokens"), 32, forward, loss)
    };
    Ok(vec![
        pair("transformer base", Transformer::new(37000, 37000).tied(true)),
        gpt("gpt (10 M)", Gpt::new(96, 256, 6, 6, 384)?, 8),
        gpt("gpt2", Gpt::gpt2(Gpt2::Small), 8),
        gpt("gpt2-medium", Gpt::gpt2(Gpt2::Medium), 4),
        gpt("gpt2-large", Gpt::gpt2(Gpt2::Large), 2),
        gpt("gpt2-xl", Gpt::gpt2(Gpt2::Xl), 1),
        bert("bert-base", Bert::base(30522)),
        bert("bert-large", Bert::large(30522)),
        bert("minilm", Bert::mini_lm(30522)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each builds, forward and loss, with the same parameters.
    #[test]
    fn every_model_builds() {
        let all = models().unwrap();
        let mut names: Vec<&str> = all.iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len(), "names are told apart");
        for model in &all {
            let (eval, train) = (Scope::eval(), Scope::train());
            assert_eq!(model.forward(&eval, 1).shape()[0], 1, "{}", model.name);
            assert_eq!(model.loss(&train, 2).count(), 1, "{}", model.name);
            // Training may have heads more.
            assert!(eval.param_count() <= train.param_count() && eval.param_count() > 0, "{}", model.name);
        }
    }
}
