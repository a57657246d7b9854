//! Specs that differ in one setting: a bench that does not see the difference proves nothing.

mod attention;
mod compressed;
mod experts;
mod feed_forward;
mod indexer;
mod latent;
mod model;
mod norms;
mod recurrent;
mod residual;

use crate::arch::spec::{Layer, Norm, Spec};

/// Changes of one setting each, with what they are; one gives `None` where the model has no such setting.
type Changes = &'static [(&'static str, fn(&mut Spec) -> Option<()>)];

const CHANGES: [Changes; 10] = [
    model::CHANGES,
    norms::CHANGES,
    residual::CHANGES,
    attention::CHANGES,
    latent::CHANGES,
    indexer::CHANGES,
    compressed::CHANGES,
    recurrent::CHANGES,
    feed_forward::CHANGES,
    experts::CHANGES,
];

/// All changes that apply to a model.
pub(super) fn of(spec: &Spec) -> Vec<(String, Spec)> {
    let mut all = Vec::new();
    for (what, change) in CHANGES.into_iter().flatten() {
        let mut changed = spec.clone();
        if change(&mut changed).is_some() && &changed != spec {
            all.push(((*what).to_string(), changed));
        }
    }
    all
}

fn first(spec: &mut Spec) -> Option<&mut Layer> {
    spec.layers.first_mut()
}

fn epsilon(norm: &mut Norm) -> Option<()> {
    norm.epsilon = (norm.epsilon * 1000.0).max(1.0);
    Some(())
}

/// Takes a part away, if it is there.
fn drop_it<T>(slot: &mut Option<T>) -> Option<()> {
    slot.take().map(|_| ())
}
