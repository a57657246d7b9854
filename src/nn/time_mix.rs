//! RWKV's time mixing and channel mixing.

use super::layer::{ChannelMix, LowRank, TimeMix};
use crate::arch::spec::{self, Activation};
use crate::backend::{Backend, Rows, TimeMixInput, TimeMixParams};
use crate::error::{Error, Result};

/// What the layer's normed input makes of itself, for the output projection. `first` are the values of the first layer.
pub(super) fn time_mix<B: Backend>(
    backend: &B,
    weights: &TimeMix<B>,
    spec: &spec::TimeMix,
    x: &B::Tensor,
    first: &mut Option<B::Tensor>,
    rows: &Rows,
    states: &mut [B::State],
) -> Result<B::Tensor> {
    let shifted: [B::Tensor; 6] = backend
        .token_shift(x, &weights.shifts, rows, states)?
        .try_into()
        .map_err(|shifted: Vec<B::Tensor>| Error::internal(format!("{} shifts of time mixing", shifted.len())))?;
    let [for_receptance, for_decay, for_key, for_value, for_rate, for_gate] = shifted;
    let down = |x: &B::Tensor, low: &LowRank<B>| backend.linear(x, &low.down);
    let receptance = backend.linear(&for_receptance, &weights.receptance)?;
    let key = backend.linear(&for_key, &weights.key)?;
    let mut value = backend.linear(&for_value, &weights.value)?;
    let decay = backend.linear(&backend.softcap(&down(&for_decay, &weights.decay)?, 1.0)?, &weights.decay.up)?;
    let rate = backend.linear(&down(&for_rate, &weights.rate)?, &weights.rate.up)?;
    let gate = backend.activate(&down(&for_gate, &weights.gate)?, Activation::Sigmoid)?;
    let gate = backend.linear(&gate, &weights.gate.up)?;
    match (&weights.residual, &*first) {
        (None, _) => *first = Some(value.clone()),
        (Some(low), Some(first)) => {
            let share = backend.linear(&down(&for_value, low)?, &low.up)?;
            let difference = backend.add(first, &backend.scale(&value, -1.0)?)?;
            value = backend.add(&value, &backend.sigmoid_gate(&difference, &share)?)?;
        }
        (Some(_), None) => return Err(Error::internal("values of a first layer that has none")),
    }
    let TimeMix { key_scale, key_rate, bonus, .. } = weights;
    let params = TimeMixParams { spec, key_scale, key_rate, bonus };
    let input = TimeMixInput { receptance: &receptance, key: &key, value: &value, decay: &decay, rate: &rate };
    let [y, own] = backend.time_mix(input, &params, rows, states)?;
    backend.multiply(&backend.add(&backend.norm(&y, &weights.norm)?, &own)?, &gate)
}

/// What a feed-forward block makes of the layer's normed rows, for its last matrix.
pub(super) fn channel_mix<B: Backend>(
    backend: &B,
    weights: &ChannelMix<B>,
    x: &B::Tensor,
    rows: &Rows,
    states: &mut [B::State],
) -> Result<B::Tensor> {
    let shifted = backend.token_shift(x, &weights.shift, rows, states)?;
    let [shifted] = shifted.as_slice() else { return Err(Error::internal("no shift of channel mixing")) };
    backend.activate(&backend.linear(shifted, &weights.key)?, Activation::Relu2)
}
