use super::*;
use crate::checkpoint::TensorData;
use crate::testing::{TempDir, names};

fn tensors(value: f32) -> TensorMap {
    [("weight".to_string(), TensorData::from_f32([2], &[value, 1.0]))].into()
}

fn manifest(step: u64) -> Manifest {
    let mut manifest = Manifest::new("resnet20", "digits", u64::MAX);
    manifest.step = step;
    manifest.best = Some(0.1 + 0.2);
    manifest.running.add("loss", 1.0 / 3.0, 16);
    manifest.options.insert("batch-size".into(), "64".into());
    manifest
}

/// A directory with the checkpoint of `step`, whose tensors hold the step's number.
fn saved(dir: &TempDir, step: u64) -> RunDir {
    let run = RunDir::create(dir.path(), "resnet20").unwrap();
    run.save(&manifest(step), &tensors(step as f32), &tensors(-(step as f32))).unwrap();
    run
}

/// The step of the checkpoint in `dir`; model, state and manifest have to agree on it.
fn step_of(dir: &Path) -> u64 {
    let (_, saved) = RunDir::resume(dir, "resnet20").unwrap();
    let step = saved.manifest.step;
    assert_eq!((saved.model, saved.state), (tensors(step as f32), tensors(-(step as f32))));
    step
}

fn copy(from: &Path, to: &Path) {
    for name in names(from) {
        fs::copy(from.join(&name), to.join(&name)).unwrap();
    }
}

#[test]
fn comes_back_as_it_was() {
    let dir = TempDir::new("run");
    saved(&dir, 3);
    let (run, saved) = RunDir::resume(dir.path(), "resnet20").unwrap();
    let files = saved.manifest.files.clone();
    assert_eq!(files.len(), 2);
    assert_eq!(Manifest { files: BTreeMap::new(), ..saved.manifest }, manifest(3));
    assert_eq!(run.model_path(), dir.path().join("last.safetensors"));
    assert_eq!(names(dir.path()), ["last.json", "last.safetensors", "last.state.safetensors"]);
    assert_eq!(checkpoint::load(run.model_path()).unwrap(), tensors(3.0));
}

#[test]
fn the_same_run_writes_the_same_bytes() {
    let (a, b) = (TempDir::new("run"), TempDir::new("run"));
    saved(&a, 3);
    saved(&b, 2);
    saved(&b, 3);
    for name in names(a.path()) {
        assert_eq!(fs::read(a.path().join(&name)).unwrap(), fs::read(b.path().join(&name)).unwrap(), "{name}");
    }
}

/// Every state that a kill during `save` can leave behind holds one whole checkpoint.
#[test]
fn a_kill_at_any_point_leaves_one_whole_checkpoint() {
    let (old, new) = (TempDir::new("run"), TempDir::new("run"));
    saved(&old, 1);
    saved(&new, 2);
    let content = |name: &str| fs::read(new.path().join(name)).unwrap();
    let half = |name: &str| content(name)[..content(name).len() / 2].to_vec();
    // What `save` does to the directory, one change after another.
    type Change<'a> = Box<dyn Fn(&Path) + 'a>;
    let put = |name: &'static str, bytes: Vec<u8>| -> Change {
        Box::new(move |dir: &Path| fs::write(dir.join(name), &bytes).unwrap())
    };
    let rename = |name: &'static str| -> Change {
        Box::new(move |dir: &Path| fs::rename(dir.join(format!("{name}.new")), dir.join(name)).unwrap())
    };
    let changes = [
        (1, put("last.safetensors.new", half(MODEL))),
        (1, put("last.safetensors.new", content(MODEL))),
        (1, put("last.state.safetensors.new", half(STATE))),
        (1, put("last.state.safetensors.new", content(STATE))),
        (1, put("last.json.new", half(MANIFEST))),
        (1, put("last.json.new", content(MANIFEST))),
        (2, rename(MANIFEST)),
        (2, rename(MODEL)),
        (2, rename(STATE)),
    ];
    for killed_after in 0..changes.len() {
        let dir = TempDir::new("run");
        copy(old.path(), dir.path());
        changes[..=killed_after].iter().for_each(|(_, change)| change(dir.path()));
        let expected = changes[killed_after].0;
        assert_eq!(step_of(dir.path()), expected, "killed after change {killed_after}");
        assert_eq!(step_of(dir.path()), expected, "and once more");
        let tensors = checkpoint::load(dir.path().join(MODEL)).unwrap();
        assert_eq!(tensors, self::tensors(expected as f32), "the model is in its place");
        // And the run goes on from there.
        saved(&dir, 9);
        assert_eq!(step_of(dir.path()), 9);
    }
    // The last of these states is what `save` leaves: the list above is what it does.
    let dir = TempDir::new("run");
    copy(old.path(), dir.path());
    changes.iter().for_each(|(_, change)| change(dir.path()));
    assert_eq!(names(dir.path()), names(new.path()));
}

/// `save` itself, stopped where it replaces one of the files: a directory in that place cannot be replaced.
#[test]
fn a_save_stopped_half_way_leaves_one_whole_checkpoint() {
    for (blocked, expected) in [(MANIFEST, 1), (MODEL, 2), (STATE, 2)] {
        let dir = TempDir::new("run");
        let run = saved(&dir, 1);
        let (place, aside) = (dir.path().join(blocked), dir.path().join("aside"));
        fs::rename(&place, &aside).unwrap();
        fs::create_dir_all(place.join("full")).unwrap();
        run.save(&manifest(2), &tensors(2.0), &tensors(-2.0)).unwrap_err();
        fs::remove_dir_all(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
        assert_eq!(step_of(dir.path()), expected, "stopped at {blocked}");
    }
}

#[test]
fn a_first_save_that_is_killed_leaves_nothing_to_resume() {
    let dir = TempDir::new("run");
    let run = RunDir::create(dir.path(), "resnet20").unwrap();
    atomic::stage(&run.model_path(), b"half").unwrap();
    assert!(matches!(RunDir::resume(dir.path(), "resnet20"), Err(TrainError::NothingToResume { .. })));
    saved(&dir, 1); // a new run is not kept from starting
    assert_eq!(step_of(dir.path()), 1);
}

#[test]
fn another_model_is_refused_and_kept() {
    let dir = TempDir::new("run");
    saved(&dir, 4);
    for error in [
        RunDir::create(dir.path(), "resnet56").unwrap_err(),
        RunDir::resume(dir.path(), "resnet56").map(|_| ()).unwrap_err(),
    ] {
        let line = error.to_string();
        assert!(line.contains("holds a checkpoint of resnet20, not of resnet56"), "{line}");
        assert!(line.contains("--out") && !line.contains('\n'), "{line}");
    }
    assert_eq!(step_of(dir.path()), 4);
}

#[test]
fn a_new_run_of_the_same_model_keeps_the_old_until_it_saves() {
    let dir = TempDir::new("run");
    saved(&dir, 4);
    let run = RunDir::create(dir.path(), "resnet20").unwrap();
    assert_eq!(step_of(dir.path()), 4);
    run.save(&manifest(1), &tensors(1.0), &tensors(-1.0)).unwrap();
    assert_eq!(step_of(dir.path()), 1);
}

#[test]
fn a_save_that_fails_keeps_the_old() {
    let dir = TempDir::new("run");
    let run = saved(&dir, 4);
    let bad: TensorMap = [("odd".to_string(), TensorData::from_f32([3], &[1.0]))].into();
    assert!(run.save(&manifest(5), &tensors(5.0), &bad).is_err());
    assert_eq!(step_of(dir.path()), 4);
}

#[test]
fn changed_or_missing_files_are_refused() {
    let refused = |name: &str, content: Option<&[u8]>| {
        let dir = TempDir::new("run");
        saved(&dir, 4);
        match content {
            Some(content) => fs::write(dir.path().join(name), content).unwrap(),
            None => fs::remove_file(dir.path().join(name)).unwrap(),
        }
        RunDir::resume(dir.path(), "resnet20").map(|_| ()).unwrap_err()
    };
    for name in [MODEL, STATE] {
        let error = refused(name, Some(b"garbage"));
        assert!(matches!(error, TrainError::Inconsistent { .. }) && error.to_string().contains(name), "{error}");
        // Sound tensors, but not those of this checkpoint.
        let error = refused(name, Some(&checkpoint::encode(&tensors(8.0)).unwrap()));
        assert!(matches!(error, TrainError::Inconsistent { .. }), "{error}");
        assert!(matches!(refused(name, None), TrainError::Io { action: "read", .. }));
    }
    assert!(matches!(refused(MANIFEST, None), TrainError::NothingToResume { .. }));
    for content in ["", "{", "[1]", "{\"format\": 2}", "{\"format\": 99}", "{\"format\": \"1\"}"] {
        let error = refused(MANIFEST, Some(content.as_bytes()));
        assert!(matches!(error, TrainError::Manifest { .. }), "{content}: {error}");
    }
    assert!(refused(MANIFEST, Some(b"{\"format\": 99}")).to_string().contains("format is 99"));
}

#[test]
fn tensors_that_no_run_wrote_are_not_overwritten() {
    let dir = TempDir::new("run");
    checkpoint::save(dir.path().join(MODEL), &tensors(7.0)).unwrap();
    assert!(matches!(RunDir::create(dir.path(), "resnet20"), Err(TrainError::Unknown { .. })));
    assert_eq!(checkpoint::load(dir.path().join(MODEL)).unwrap(), tensors(7.0));
}

#[test]
fn a_directory_that_cannot_be_written_is_told_at_once() {
    let dir = TempDir::new("run");
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for place in [file.clone(), file.join("below")] {
        let error = RunDir::create(&place, "resnet20").unwrap_err();
        assert!(error.to_string().contains("cannot create the output directory"), "{error}");
    }
    // A directory that is there, but where nothing can be made, even for root.
    if cfg!(target_os = "linux") {
        let error = RunDir::create("/proc/self", "resnet20").unwrap_err();
        assert!(matches!(error, TrainError::Io { action: "write", .. }), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"in the way");
}

#[test]
fn other_settings_are_refused() {
    let saved = manifest(1);
    let dir = Path::new("runs/resnet");
    assert!(saved.require_options(dir, &saved.options).is_ok());
    let given = [("batch-size".to_string(), "32".to_string())].into();
    let error = saved.require_options(dir, &given).unwrap_err().to_string();
    assert!(error.contains("--batch-size 64, not 32"), "{error}");
    assert!(saved.require_options(dir, &BTreeMap::new()).is_err());
    let mut more = saved.options.clone();
    more.insert("lr".into(), "0.1".into());
    assert!(saved.require_options(dir, &more).is_err());
}
