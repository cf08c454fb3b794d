//! Forms of kernels: each computes the same, and the fastest is found, kept and used.

use crate::common::{device, launch, run};
use crate::contractions::{Conv, matmul, samples_of_tiles, with_epilogue};
use crate::reference::{Value, decode, outputs};
use crate::sample::{Sample, Work};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs};
use wgrad_device::{Adapter, AdapterKind, Choices, Cost, CpuIo, Device, Kernel, Matrices, Pass, Tuned};

/// A kernel as it is on another adapter.
#[derive(Debug)]
struct As(Arc<dyn Kernel>, Adapter);

impl Kernel for As {
    fn name(&self) -> String {
        self.0.name()
    }
    fn run_cpu(&self, io: &CpuIo) {
        self.0.run_cpu(io);
    }
    fn passes(&self, _: &Adapter, aliases: &[Option<usize>]) -> Vec<Pass> {
        self.0.passes(&self.1, aliases)
    }
    fn scratch(&self, _: &Adapter) -> usize {
        self.0.scratch(&self.1)
    }
    fn cost(&self) -> Cost {
        self.0.cost()
    }
}

fn with_form(adapter: &Adapter, problem: &str, form: &str) -> Adapter {
    Adapter { tuned: Tuned::from_iter([(problem.into(), form.into())]), ..adapter.clone() }
}

/// What passes run: two forms may differ in parameters only.
fn texts(passes: Vec<Pass>) -> Vec<(String, Vec<u32>)> {
    passes.into_iter().map(|p| (p.wgsl, p.params)).collect()
}

/// Runs all forms of a sample that an adapter of this kind has; returns how many.
fn check_forms(device: &Device, sample: &Sample, adapter: Adapter) -> usize {
    let kernel = sample.kernel();
    let Some(Choices { problem, forms }) = kernel.choices(&adapter) else { return 0 };
    let usual = kernel.passes(&adapter, &[]);
    let (inputs, shapes) = (sample.inputs(), sample.outputs());
    let bytes: Vec<usize> = shapes.iter().map(|(t, n)| t.size() * n).collect();
    let want = outputs(sample, &inputs);
    for (i, form) in forms.iter().enumerate() {
        let form_of = As(kernel.clone(), with_form(&adapter, &problem, form));
        let same = texts(form_of.passes(&adapter, &[])) == texts(usual.clone());
        assert_eq!(same, i == 0, "{}: {form}", sample.name);
        let got = run(device, Arc::new(form_of), &inputs, &bytes, &[]);
        for ((got, (dtype, _)), want) in got.iter().zip(&shapes).zip(&want) {
            let got = decode(got, *dtype);
            assert_eq!(got.len(), want.len());
            for (&got, &want) in got.iter().zip(want) {
                let (Value::F(got), Value::F(want)) = (got, want) else { panic!("floats") };
                let close = (got - want).abs() <= sample.tolerance * (1.0 + want.abs());
                assert!(close, "{}, {form}: {got} is not {want}", sample.name);
            }
        }
    }
    forms.len()
}

#[test]
fn all_forms_compute_the_same() {
    let Some(device) = device() else { return };
    let conv =
        Conv { images: 2, groups: 1, channels: [16, 20], size: [33, 31], kernel: 3, stride: 2, pad: 1, dilation: 1 };
    let sample = |name, c| Sample::new(name, Work::Contraction(c), 1e-4);
    let large = [
        sample("conv, strided, input gradient", Conv { images: 4, ..conv }.input_gradient()),
        sample("matmul TN, epilogue", with_epilogue(matmul(70, 67, 1100, true, false))),
        sample("matmul NT, narrow", matmul(9, 521, 1100, false, true)),
        sample("conv", Conv { stride: 1, ..conv }.forward()),
        sample("conv, weight gradient", Conv { stride: 1, ..conv }.weight_gradient()),
    ];
    let own = Adapter { tuned: Tuned::default(), ..device.adapter().clone() };
    let as_on = |kind| Adapter { kind, matrices: Matrices::None, subgroup: 0, ..own.clone() };
    for adapter in [own.clone(), as_on(AdapterKind::Discrete), as_on(AdapterKind::Software)] {
        // The reference takes its time: of the forms for others, a product and a convolution.
        let some = if adapter.kind == own.kind && adapter.subgroup == own.subgroup { &large[..] } else { &large[..2] };
        for sample in some {
            assert!(check_forms(device, sample, adapter.clone()) > 1, "{}", sample.name);
        }
    }
    // Smaller ones, where there are several forms and no common one.
    let small: Vec<Sample> = samples_of_tiles().into_iter().filter(|s| s.name.starts_with("matmul")).collect();
    let forms = |adapter: &Adapter| small.iter().map(|s| check_forms(device, s, adapter.clone())).sum::<usize>();
    assert!(forms(&as_on(AdapterKind::Discrete)) > 10);
}

#[test]
fn a_form_that_does_not_exist_is_not_taken() {
    let Some(device) = device() else { return };
    let adapter = Adapter { tuned: Tuned::default(), ..device.adapter().clone() };
    let kernel = matmul(70, 67, 1000, false, false);
    let Choices { problem, .. } = kernel.choices(&adapter).unwrap();
    for form in ["", "direct-3", "gpu-1x1-1x1-1", "lanes-16-wide-swapped-swapped"] {
        let passes = kernel.passes(&with_form(&adapter, &problem, form), &[]);
        assert_eq!(texts(passes), texts(kernel.passes(&adapter, &[])), "{form}");
    }
    // Kernels in the common form have no other.
    if adapter.kind == AdapterKind::Software && adapter.subgroup == 8 {
        assert_eq!(matmul(30, 20, 10, false, false).choices(&adapter), None);
    }
}

/// The kernel that a child is asked about.
fn asked() -> Arc<dyn Kernel> {
    Arc::new(matmul(70, 67, 1000, false, false))
}

/// A process of its own, with a directory of its own for what it finds: `form` is what it has to plan with, nothing for the
/// usual form.
fn child(dir: &Path, tune: bool, form: &str) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["tuning::in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"]);
    command
        .env("WGRAD_CACHE_DIR", dir)
        .env("WGRAD_TEST_TUNE", if tune { "1" } else { "0" })
        .env("WGRAD_TEST_FORM", form);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "a part of the next test"]
fn in_a_process_of_its_own() {
    let Some(device) = device() else { return };
    let kernel = asked();
    let usual = Adapter { tuned: Tuned::default(), ..device.adapter().clone() };
    let Choices { problem, forms } = kernel.choices(&usual).unwrap();
    let form = env::var("WGRAD_TEST_FORM").unwrap();
    let planned = kernel.passes(&with_form(&usual, &problem, &form), &[]);
    let planned = texts(planned);
    assert_eq!(texts(kernel.passes(device.adapter(), &[])), planned, "{form:?}");
    let random: Vec<u8> = (0..70_000u32).flat_map(|i| (i as f32 / 70_000.0).to_le_bytes()).collect();
    let launch =
        || launch(device, kernel.clone(), &[random.clone(), random[..4 * 67_000].to_vec()], &[4 * 70 * 67], &[]);
    assert!(device.tuned(&[launch()]).unwrap().is_none(), "nobody asked for it");
    if env::var("WGRAD_TEST_TUNE").unwrap() == "1" {
        let (tuning, before) = (device.clone().with_tuning(true), device.pipelines_compiled());
        let tuned = tuning.tuned(&[launch(), launch()]).unwrap().expect("there was something to find");
        assert!(forms.iter().any(|f| Some(f.as_str()) == tuned.adapter().tuned.get(&problem)));
        assert!(tuned.tuned(&[launch()]).unwrap().is_none(), "it is found");
        // Another handle knows it without timing it again, and pipelines are not kept.
        let submitted = device.submissions();
        assert_eq!(tuning.tuned(&[launch()]).unwrap().unwrap().adapter().tuned, tuned.adapter().tuned);
        assert_eq!((device.submissions(), device.pipelines_compiled()), (submitted, before));
        assert!(device.adapter().tuned.is_empty(), "other handles go on as they were");
    }
}

#[test]
fn what_was_found_is_used_by_later_runs() {
    let Some(device) = device() else { return };
    let dir = env::temp_dir().join(format!("wgrad-tuning-{}", std::process::id()));
    let _ = fs::remove_dir_all(&dir); // of an earlier process with this number
    let adapter = Adapter { tuned: Tuned::default(), ..device.adapter().clone() };
    let Choices { problem, forms } = asked().choices(&adapter).unwrap();
    let files = || -> Vec<PathBuf> {
        let all = fs::read_dir(&dir).into_iter().flatten().map(|e| e.unwrap().path());
        all.filter(|p| p.file_name().unwrap().to_string_lossy().starts_with("tuned_")).collect()
    };
    child(&dir, false, "");
    assert!(files().is_empty(), "who does not tune leaves no file");
    child(&dir, true, "");
    let [file] = files().try_into().expect("one file");
    let text = fs::read_to_string(&file).unwrap();
    let found = text.lines().find_map(|l| l.strip_prefix(&format!("{problem}\t"))).expect("the problem is in it");
    assert!(forms.iter().any(|f| f == found), "{found}");
    child(&dir, false, found);

    // Whatever a file names is taken, if there is such a form.
    let last = forms.last().unwrap();
    let forged = text.replace(&format!("{problem}\t{found}"), &format!("{problem}\t{last}"));
    fs::write(&file, &forged).unwrap();
    child(&dir, false, last);
    // Not of another adapter, nor what is cut off, too long or no text.
    let name = &device.adapter().name;
    let long = forged.clone() + &"other\tx\n".repeat(200_000);
    for bad in [
        forged.replace(name.as_str(), "another").as_bytes(),
        &forged.as_bytes()[..forged.len() - 1],
        long.as_bytes(),
        b"\xff",
    ] {
        fs::write(&file, bad).unwrap();
        child(&dir, false, "");
    }
    // Timed again, it is whole again.
    child(&dir, true, "");
    assert!(fs::read_to_string(&file).unwrap().contains(&problem));
    fs::remove_dir_all(dir).unwrap();
}
