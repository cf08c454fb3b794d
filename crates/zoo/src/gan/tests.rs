use super::*;
use wgrad_graph::{DType, Tensor, checked};
use wgrad_nn::{Layer, Scope};

/// Names and shapes of a network's parameters.
fn params(network: &dyn Layer, input: &[usize]) -> (Vec<usize>, Vec<(String, Vec<usize>)>) {
    let scope = Scope::train();
    let y = network.forward(&scope, &Tensor::input("x", input, DType::F32));
    let named = scope.params().iter().map(|p| (p.name().unwrap().to_string(), p.shape().to_vec())).collect();
    (y.shape().to_vec(), named)
}

/// The names and shapes of PyTorch's DCGAN example, at its default sizes.
#[test]
fn the_papers_form_is_pytorchs_example() {
    let dcgan = Dcgan::new(64).unwrap();
    let (images, generator) = params(&dcgan.generator(), &[2, 100, 1, 1]);
    assert_eq!(images, [2, 3, 64, 64]);
    let convs: Vec<_> = generator.iter().filter(|(_, shape)| shape.len() == 4).collect();
    let expected = [
        ("main.0.weight", [100, 512, 4, 4]),
        ("main.3.weight", [512, 256, 4, 4]),
        ("main.6.weight", [256, 128, 4, 4]),
        ("main.9.weight", [128, 64, 4, 4]),
        ("main.12.weight", [64, 3, 4, 4]),
    ];
    assert!(convs.iter().map(|(n, s)| (n.as_str(), s.as_slice())).eq(expected.iter().map(|(n, s)| (*n, &s[..]))));
    let norms: Vec<_> = generator.iter().filter(|(_, s)| s.len() == 1).map(|(n, s)| (n.as_str(), s[0])).collect();
    assert_eq!(norms[..3], [("main.1.weight", 512), ("main.1.bias", 512), ("main.4.weight", 256)]);

    let (logits, discriminator) = params(&dcgan.discriminator(), &[2, 3, 64, 64]);
    assert_eq!(logits, [2]);
    let names: Vec<&str> = discriminator.iter().map(|(n, _)| n.as_str()).collect();
    let expected = ["0.weight", "2.weight", "3.weight", "3.bias", "5.weight", "6.weight", "6.bias", "8.weight"];
    assert!(names.iter().zip(expected).all(|(name, rest)| name.strip_prefix("main.") == Some(rest)), "{names:?}");
    assert_eq!(discriminator.last().unwrap(), &("main.11.weight".to_string(), vec![1, 512, 4, 4]));
}

#[test]
fn sizes() {
    // (size, smallest resolution, layers that double)
    for (size, base, doublings) in [(8, 4, 1), (10, 5, 1), (28, 7, 2), (32, 4, 3), (48, 6, 3), (64, 4, 4), (128, 4, 5)]
    {
        let dcgan = Dcgan::new(size).unwrap().channels(1).latent(5).width(2);
        let (images, generator) = params(&dcgan.generator(), &[3, 5, 1, 1]);
        assert_eq!(images, [3, 1, size, size]);
        assert_eq!(generator[0].1, [5, 2 << (doublings - 1), base, base]);
        assert_eq!(params(&dcgan.discriminator(), &[3, 1, size, size]).0, [3]);
    }
    for size in [0, 1, 4, 7, 9, 27, 30, 100] {
        let error = Dcgan::new(size).unwrap_err().to_string();
        assert!(error.contains(&format!("no form for images of size {size}")), "{error}");
    }
}

#[test]
fn shapes_through_every_stage() {
    let dcgan = Dcgan::new(28).unwrap().channels(1).width(8);
    // Convolutions record their place: what the second takes tells what the first gave.
    let error = |x: &[usize]| {
        let x = Tensor::input("x", x, DType::F32);
        checked(|| dcgan.discriminator().forward(&Scope::train(), &x)).unwrap_err().to_string()
    };
    assert!(error(&[2, 3, 28, 28]).starts_with("Conv2d \"main.0\": [N, 1, H, W] expected"));
    // 32 leaves 8x8 for a kernel of 7x7: four scores an image.
    assert!(error(&[2, 1, 32, 32]).contains("reshape"), "{}", error(&[2, 1, 32, 32]));
    let (_, generator) = params(&dcgan.generator(), &[2, 100, 1, 1]);
    let shapes: Vec<_> = generator.into_iter().map(|(_, s)| s).filter(|s| s.len() == 4).collect();
    assert_eq!(shapes, [[100, 16, 7, 7], [16, 8, 4, 4], [8, 1, 4, 4]]);
}

/// What normalises the discriminator changes no other name.
#[test]
fn norms_of_the_discriminator() {
    let names = |norm: Norm, spectral: bool| -> Vec<String> {
        let dcgan = Dcgan::new(28).unwrap().channels(1).width(4).discriminator_norm(norm).spectral_norm(spectral);
        params(&dcgan.discriminator(), &[2, 1, 28, 28]).1.into_iter().map(|(name, _)| name).collect()
    };
    let convs = ["main.0.weight", "main.2.weight", "main.5.weight"];
    assert_eq!(names(Norm::None, false), convs);
    let with_norm = [convs[0], convs[1], "main.3.weight", "main.3.bias", convs[2]];
    assert_eq!(names(Norm::Batch, false), with_norm);
    assert_eq!(names(Norm::Instance, false), with_norm);
    let original = |n: &str| n.replace("weight", "parametrizations.weight.original");
    assert_eq!(names(Norm::None, true), convs.map(original));
}

/// The counts that the catalogue of the textbook's networks states are in doc tests; the conditional DCGAN's are here.
#[test]
fn the_conditional_form_adds_embeddings() {
    let plain = Dcgan::new(28).unwrap().channels(1);
    let model = ConditionalDcgan::new(plain.clone(), 10);
    let (z, y) = (Tensor::input("z", [2, 100, 1, 1], DType::F32), Tensor::input("y", [2], DType::U32));
    let scope = Scope::train();
    let (g, d) = (scope.enter("g"), scope.enter("d"));
    let images = model.generate(&g, &z, &y);
    model.judge(&d, &images, &y);
    let count = |network: &dyn Layer, x: &[usize]| -> usize {
        params(network, x).1.iter().map(|(_, s)| s.iter().product::<usize>()).sum()
    };
    // 100 more inputs of the first layer (to 128 channels, 7x7), one more channel of the images (to 64 channels, 4x4).
    let (more_g, more_d) = (10 * 100 + 100 * 128 * 49, 10 * 784 + 64 * 16);
    assert_eq!(g.param_count(), count(&plain.generator(), &[2, 100, 1, 1]) + more_g);
    assert_eq!(d.param_count(), count(&plain.discriminator(), &[2, 1, 28, 28]) + more_d);
}
