//! RWKV's recurrences: the shift by a position, and the memory of time mixing.

use super::Cpu;
use super::disjoint::Disjoint;
use super::elementwise::SERIAL_NUMBERS;
use super::kernels::{TimeMixHead, TimeMixKeys};
use super::recurrent::{Kept, State, Step, check};
use super::tensor::Tensor;
use crate::backend::{Rows, TimeMixInput, TimeMixParams};
use crate::error::{Error, Result};

/// See [`Backend::token_shift`](crate::backend::Backend::token_shift).
pub(super) fn token_shift(
    cpu: &Cpu,
    x: &Tensor,
    shares: &[Vec<f32>],
    rows: &Rows,
    states: &mut [State],
) -> Result<Vec<Tensor>> {
    let width = x.width();
    check(rows, states, &[(x, width)])?;
    if let Some(share) = shares.iter().find(|share| share.len() != width) {
        return Err(Error::internal(format!("{} shares of rows of {width}", share.len())));
    }
    let mut before = cpu.arena.allocate(x.rows() * width)?;
    for (segment, state) in rows.segments().iter().zip(&mut *states) {
        let own = &x.data()[segment.start * width..][..segment.len * width];
        let (first, others) = before[segment.start * width..][..segment.len * width].split_at_mut(width);
        match state.history.len() {
            0 => first.fill(0.0),
            _ => first.copy_from_slice(&state.history),
        }
        others.copy_from_slice(&own[..others.len()]);
        state.history = Kept::copy(cpu, &own[others.len()..])?;
    }
    let (data, before) = (x.data(), &*before);
    let shifted = |share: &Vec<f32>| {
        super::elementwise::rows(cpu, x.rows(), width, |first, out| {
            let at = first * width..first * width + out.len();
            let pairs = data[at.clone()].chunks_exact(width).zip(before[at].chunks_exact(width));
            for ((x, before), out) in pairs.zip(out.chunks_exact_mut(width)) {
                for (((x, before), share), out) in x.iter().zip(before).zip(share).zip(out) {
                    *out = x + (before - x) * share;
                }
            }
        })
    };
    shares.iter().map(shifted).collect()
}

/// See [`Backend::time_mix`](crate::backend::Backend::time_mix).
pub(super) fn time_mix(
    cpu: &Cpu,
    input: TimeMixInput<'_, Cpu>,
    params: &TimeMixParams<'_, Cpu>,
    rows: &Rows,
    states: &mut [State],
) -> Result<[Tensor; 2]> {
    let TimeMixInput { receptance, key, value, decay, rate } = input;
    let (heads, head_dim) = (params.spec.heads, params.spec.head_dim);
    let (width, size) = (heads * head_dim, head_dim * head_dim);
    check(rows, states, &[receptance, key, value, decay, rate].map(|tensor| (tensor, width)))?;
    if let Some(numbers) = [params.key_scale, params.key_rate, params.bonus].iter().find(|v| v.len() != width) {
        return Err(Error::internal(format!("{} numbers for {heads} heads of {head_dim}", numbers.len())));
    }
    let (receptance, key, value) = (receptance.data(), key.data(), value.data());
    let (decay, rate, level) = (decay.data(), rate.data(), cpu.level);
    let (mut out, mut own) = (cpu.arena.allocate(rows.len() * width)?, cpu.arena.allocate(rows.len() * width)?);
    for (segment, state) in rows.segments().iter().zip(states) {
        let mut after = cpu.arena.allocate_exact(heads * size)?;
        let (outs, owns) = (Disjoint::new(&mut out), Disjoint::new(&mut own));
        let memories = Step::new(&state.memory, &mut after)?;
        cpu.run(segment.len * heads * size > SERIAL_NUMBERS, heads, |_, head| {
            // SAFETY: no other call has this head.
            let memory = unsafe { memories.part(head * size, size) };
            let mut keys = vec![TimeMixKeys::default(); head_dim];
            let of_head = head * head_dim..(head + 1) * head_dim;
            for row in segment.start..segment.start + segment.len {
                let at = row * width + of_head.start;
                level.run(TimeMixHead {
                    memory: &mut *memory,
                    receptance: &receptance[at..][..head_dim],
                    key: &key[at..][..head_dim],
                    value: &value[at..][..head_dim],
                    decay: &decay[at..][..head_dim],
                    rate: &rate[at..][..head_dim],
                    key_scale: &params.key_scale[of_head.clone()],
                    key_rate: &params.key_rate[of_head.clone()],
                    bonus: &params.bonus[of_head.clone()],
                    keys: &mut keys,
                    // SAFETY: no other call has this head of this row.
                    out: unsafe { outs.part(at, head_dim) },
                    // SAFETY: as above.
                    own: unsafe { owns.part(at, head_dim) },
                });
            }
        })?;
        state.memory = after.into();
    }
    Ok([Tensor::new(out, rows.len(), width), Tensor::new(own, rows.len(), width)])
}
