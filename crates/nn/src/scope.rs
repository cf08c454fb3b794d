//! Where layers declare what lasts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wgrad_graph::{DType, Init, Tensor, Updates, fail};

/// The name of the random generator's state.
pub const GENERATOR: &str = "rng";

/// What a model needs to know while it is built: whether it trains, and under which names its parameters go. It gathers
/// the parameters and the state updates that building asks for.
///
/// One root scope belongs to one program. [`Scope::enter`] gives a handle on a part of it, so
/// `scope.enter("layer1").param("weight", ..)` declares `layer1.weight`. Handles share everything but the path; `params`
/// and `updates` of a handle are those below its path.
///
/// State is shared by name between programs, so train and eval programs are built from two root scopes. A GAN has one root
/// scope for each of its two programs, with both models in it:
///
/// ```
/// # use wgrad_graph::{DType, Tensor};
/// # use wgrad_nn::{Layer, Linear, Scope, optim::Adam};
/// # let (generator, discriminator) = (Linear::new(2, 4), Linear::new(4, 1));
/// # let noise = Tensor::input("noise", [8, 2], DType::F32);
/// let scope = Scope::train();
/// let (g, d) = (scope.enter("generator"), scope.enter("discriminator"));
/// let fake = generator.forward(&g, &noise);
/// let loss = -discriminator.forward(&d, &fake).mean_all();
/// // Updates the generator only; its moments are apart from the discriminator's, under "optimizer.generator".
/// let step = Adam::new(2e-4).minimize(&g, &loss);
/// assert!(step.states().all(|s| !s.name().unwrap().starts_with("discriminator")));
/// ```
#[derive(Clone)]
pub struct Scope {
    store: Arc<Mutex<Store>>,
    path: String,
    train: bool,
    /// Whether parameters declared through this handle stay as they are.
    frozen: bool,
    /// A parameter that this handle makes of others.
    made: Option<(String, Arc<Make>)>,
}

/// Makes a parameter, in its layer's scope, of the shape and with the initialisation that the layer wants.
type Make = dyn Fn(&Scope, &[usize], Init) -> Tensor + Send + Sync;

#[derive(Default)]
struct Store {
    /// Parameters and buffers by full name.
    leaves: HashMap<String, Leaf>,
    params: Vec<Tensor>,
    /// Names of buffers with a new value, in the order of their first update.
    updated: Vec<String>,
    /// The generator's state and its next value, if somebody draws from it.
    generator: Option<(Tensor, Tensor)>,
    streams: u32,
}

#[derive(Clone)]
struct Leaf {
    tensor: Tensor,
    trainable: bool,
    /// What the buffer holds by now, if that is not what it held before the run.
    value: Option<Tensor>,
}

impl Scope {
    /// A root scope for training: batch norm takes the batch's statistics, dropout drops.
    pub fn train() -> Scope {
        Scope { store: Arc::default(), path: String::new(), train: true, frozen: false, made: None }
    }

    /// A root scope for evaluation: batch norm takes its running statistics, dropout does nothing.
    pub fn eval() -> Scope {
        Scope { train: false, ..Scope::train() }
    }

    /// Whether layers should behave as in training.
    pub fn is_train(&self) -> bool {
        self.train
    }

    /// The part of this scope under `name`.
    pub fn enter(&self, name: &str) -> Scope {
        Scope { path: self.full_name(name), made: None, ..self.clone() }
    }

    /// This scope, but what is declared as a parameter through it is not trained: no optimiser sees it, and
    /// [`Scope::params`] does not list it. For a body whose weights were loaded, below a head that is trained.
    pub fn frozen(&self) -> Scope {
        Scope { frozen: true, ..self.clone() }
    }

    /// This scope, but layers behave as in evaluation: batch norm takes its running statistics and leaves them, dropout does
    /// nothing.
    pub fn as_eval(&self) -> Scope {
        Scope { train: false, ..self.clone() }
    }

    /// This scope, but `param(name, ..)` gives what `make` makes of the shape and initialisation asked for: how a layer gets a
    /// normalised weight without knowing of it ([`crate::SpectralNorm`]). Holds for this path, not below it.
    pub fn reparametrize(
        &self,
        name: &str,
        make: impl Fn(&Scope, &[usize], Init) -> Tensor + Send + Sync + 'static,
    ) -> Scope {
        Scope { made: Some((name.to_string(), Arc::new(make))), ..self.clone() }
    }

    /// The names entered so far, joined by dots. Empty for a root scope.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `name` below this scope's path.
    pub fn full_name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    /// How errors name a layer of this kind here: `Linear "fc"`.
    pub fn describe(&self, kind: &str) -> String {
        if self.path.is_empty() { kind.to_string() } else { format!("{kind} \"{}\"", self.path) }
    }

    /// A trainable f32 tensor. The second call with the same name gives the same tensor, so that a layer used twice shares
    /// its weights.
    ///
    /// # Panics
    /// If the name was declared with another shape, or as a buffer.
    #[track_caller]
    pub fn param(&self, name: &str, shape: &[usize], init: Init) -> Tensor {
        match &self.made {
            Some((made, make)) if made == name => make(&Scope { made: None, ..self.clone() }, shape, init),
            _ => self.declare(name, shape, DType::F32, init, !self.frozen).tensor,
        }
    }

    /// A tensor that lasts but is not trained. Gives what it holds by now: where [`Scope::update`] set a new value in this
    /// run, that value.
    ///
    /// # Panics
    /// If the name was declared with another shape or type, or as a parameter.
    #[track_caller]
    pub fn buffer(&self, name: &str, shape: &[usize], dtype: DType, init: Init) -> Tensor {
        let leaf = self.declare(name, shape, dtype, init, false);
        leaf.value.unwrap_or(leaf.tensor)
    }

    /// The buffer `name`, declared before, becomes `value` at the end of the run. A later [`Scope::buffer`] in the same
    /// graph gives `value`: a batch norm that is used twice updates its statistics twice, as PyTorch does.
    ///
    /// # Panics
    /// If there is no such buffer, or shape or type differ.
    #[track_caller]
    pub fn update(&self, name: &str, value: &Tensor) {
        let name = self.full_name(name);
        let mut store = self.lock();
        let reason = match store.leaves.get_mut(&name) {
            Some(Leaf { tensor: t, trainable: false, value: now }) => {
                if (t.shape(), t.dtype()) == (value.shape(), value.dtype()) {
                    if now.replace(value.clone()).is_none() {
                        store.updated.push(name);
                    }
                    return;
                }
                format!("is {} {:?}, its new value {} {:?}", t.dtype(), t.shape(), value.dtype(), value.shape())
            }
            Some(_) => "is a parameter, which the optimiser updates".into(),
            None => "is not declared".into(),
        };
        drop(store);
        fail("update", format!("\"{name}\" {reason}"))
    }

    /// The random generator's state, and a stream number that nobody else has in this program. Streams are numbered in the
    /// order of these calls, so the same model draws the same numbers. Updates then count the generator's step.
    pub fn rng(&self) -> (Tensor, u32) {
        let mut store = self.lock();
        let stream = store.streams;
        store.streams += 1;
        let (generator, _) = store.generator.get_or_insert_with(|| {
            let state = Tensor::state(GENERATOR, [4], DType::U32, Init::Generator);
            // The third word is the step.
            let one = Tensor::iota([4], 0).equal(&Tensor::scalar(2u32)).cast(DType::U32);
            let next = &state + one;
            (state, next)
        });
        (generator.clone(), stream)
    }

    /// The trainable tensors below this path, in the order in which they were declared.
    pub fn params(&self) -> Vec<Tensor> {
        let store = self.lock();
        store.params.iter().filter(|t| t.name().is_some_and(|n| self.holds(n))).cloned().collect()
    }

    /// Number of trainable elements below this path.
    pub fn param_count(&self) -> usize {
        self.params().iter().map(Tensor::count).sum()
    }

    /// All tensors declared below this path, parameters and buffers, by name: what a checkpoint of the model holds.
    pub fn tensors(&self) -> Vec<Tensor> {
        let store = self.lock();
        let mut all: Vec<(&String, &Leaf)> = store.leaves.iter().filter(|(name, _)| self.holds(name)).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        all.into_iter().map(|(_, leaf)| leaf.tensor.clone()).collect()
    }

    /// The new values of the buffers below this path, and the generator's next step if it was used anywhere.
    pub fn updates(&self) -> Updates {
        let store = self.lock();
        let mut updates = Updates::new();
        for name in store.updated.iter().filter(|n| self.holds(n)) {
            let leaf = &store.leaves[name];
            updates.assign(&leaf.tensor, leaf.value.as_ref().expect("listed because it has one"));
        }
        if let Some((state, next)) = &store.generator {
            updates.assign(state, next);
        }
        updates
    }

    /// Whether `name` is below this path.
    fn holds(&self, name: &str) -> bool {
        self.path.is_empty() || name.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('.'))
    }

    #[track_caller]
    fn declare(&self, name: &str, shape: &[usize], dtype: DType, init: Init, trainable: bool) -> Leaf {
        let name = self.full_name(name);
        let known = self.lock().leaves.get(&name).cloned();
        if let Some(leaf) = known {
            let t = &leaf.tensor;
            let kind = |trainable| if trainable { "parameter" } else { "buffer" };
            if (t.shape(), t.dtype(), leaf.trainable) != (shape, dtype, trainable) {
                fail(
                    "declare",
                    format!(
                        "\"{name}\" is a {} {} {:?} already, and cannot be a {} {dtype} {shape:?} too",
                        kind(leaf.trainable),
                        t.dtype(),
                        t.shape(),
                        kind(trainable),
                    ),
                );
            }
            return leaf;
        }
        // Built outside the lock, since it may fail.
        let leaf = Leaf { tensor: Tensor::state(name.clone(), shape, dtype, init), trainable, value: None };
        let mut store = self.lock();
        if trainable {
            store.params.push(leaf.tensor.clone());
        }
        store.leaves.insert(name, leaf.clone());
        leaf
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        // Nothing panics half-way through a change, so a poisoned store is whole.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgrad_graph::checked;

    const ZERO: Init = Init::Constant(0.0);

    #[test]
    fn names_follow_the_path() {
        let scope = Scope::train();
        let inner = scope.enter("layer1").enter("0");
        assert_eq!(inner.param("weight", &[2], ZERO).name(), Some("layer1.0.weight"));
        assert_eq!(scope.param("bias", &[3], ZERO).name(), Some("bias"));
        assert_eq!(inner.describe("Linear"), "Linear \"layer1.0\"");
        assert_eq!((scope.param_count(), inner.param_count()), (5, 2));
        inner.buffer("mean", &[2], DType::F32, ZERO);
        let names = |scope: &Scope| scope.tensors().iter().map(|t| t.name().unwrap().to_string()).collect::<Vec<_>>();
        assert_eq!(names(&inner), ["layer1.0.mean", "layer1.0.weight"]);
        assert_eq!(names(&scope), ["bias", "layer1.0.mean", "layer1.0.weight"]);
    }

    #[test]
    fn a_path_holds_whole_names_only() {
        let scope = Scope::train();
        scope.enter("layer10").param("weight", &[1], ZERO);
        assert!(scope.enter("layer1").params().is_empty());
        assert_eq!(scope.enter("layer10").params().len(), 1);
    }

    #[test]
    fn the_second_declaration_shares_the_first() {
        let scope = Scope::train();
        let first = scope.param("w", &[2, 3], ZERO);
        assert_eq!(scope.param("w", &[2, 3], ZERO).id(), first.id());
        assert_eq!(scope.params().len(), 1);
        let error = checked(|| scope.param("w", &[3, 2], ZERO)).unwrap_err().to_string();
        assert!(
            error.contains("\"w\" is a parameter f32 [2, 3] already, and cannot be a parameter f32 [3, 2]"),
            "{error}"
        );
        assert!(checked(|| scope.buffer("w", &[2, 3], DType::F32, ZERO)).is_err());
    }

    #[test]
    fn frozen_parameters_are_no_parameters() {
        let scope = Scope::train();
        let body = scope.enter("body").frozen();
        body.enter("fc").param("weight", &[2], ZERO);
        scope.enter("head").param("weight", &[3], ZERO);
        let names = |list: Vec<Tensor>| list.iter().map(|t| t.name().unwrap().to_string()).collect::<Vec<_>>();
        assert_eq!(names(scope.params()), ["head.weight"]);
        assert_eq!(names(scope.tensors()), ["body.fc.weight", "head.weight"]);
        assert!(body.is_train() && !body.as_eval().is_train() && !scope.as_eval().enter("x").is_train());
        // Half frozen is a mistake.
        let error = checked(|| scope.enter("body").enter("fc").param("weight", &[2], ZERO)).unwrap_err().to_string();
        assert!(error.contains("is a buffer f32 [2] already"), "{error}");
    }

    #[test]
    fn a_buffer_gives_its_latest_value() {
        let scope = Scope::train();
        let before = scope.buffer("mean", &[2], DType::F32, ZERO);
        let value = &before + 1.0;
        scope.update("mean", &value);
        assert_eq!(scope.buffer("mean", &[2], DType::F32, ZERO).id(), value.id());
        assert_eq!(scope.updates().values().len(), 1);
        assert_eq!(scope.updates().values()[0].0.id(), before.id());
        assert!(checked(|| scope.update("other", &value)).is_err());
        assert!(checked(|| scope.update("mean", &Tensor::zeros([3], DType::F32))).is_err());
    }

    #[test]
    fn each_use_of_the_generator_has_its_own_stream() {
        let scope = Scope::train();
        assert_eq!(scope.updates().states().count(), 0);
        let (a, first) = scope.enter("a").rng();
        let (b, second) = scope.rng();
        assert_eq!((a.id(), first, second), (b.id(), 0, 1));
        let mut updates = scope.updates();
        // A part's updates have it as well, and both together still write it once.
        updates.extend(&scope.enter("a").updates());
        assert_eq!(updates.states().map(|s| s.name().unwrap()).collect::<Vec<_>>(), ["rng"]);
    }
}
