//! One position of some heads of a state space.

use super::super::simd::{Kernel, LANES, Simd, exp, padded};

/// Brings the states of consecutive heads one position further and reads them.
pub(in super::super) struct StateSpaceHeads<'a> {
    /// `heads × head_dim × state`.
    pub memory: &'a mut [f32],
    /// `heads × head_dim`.
    pub x: &'a [f32],
    /// `groups × state`, of all heads.
    pub b: &'a [f32],
    pub c: &'a [f32],
    /// One a head.
    pub steps: &'a [f32],
    /// How much of the states stays.
    pub keep: StateSpaceKeep<'a>,
    /// One a head.
    pub skip: &'a [f32],
    /// The first head's number.
    pub first: usize,
    /// Heads that share `b` and `c`.
    pub heads_of_group: usize,
    /// Numbers of a state.
    pub state: usize,
    /// `heads × head_dim`.
    pub out: &'a mut [f32],
}

/// How much of the states stays.
#[derive(Clone, Copy)]
pub(in super::super) enum StateSpaceKeep<'a> {
    /// A factor for each head.
    Heads(&'a [f32]),
    /// The factor is `exp(step * decay)` with these decays, `heads × state`.
    States(&'a [f32]),
}

impl Kernel for StateSpaceHeads<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { memory, x, b, c, steps, keep, skip, first, heads_of_group, state, out } = self;
        let heads = steps.len();
        let head_dim = x.len() / heads.max(1);
        for head in 0..heads {
            let group = (first + head) / heads_of_group * state;
            let (b, c, step) = (&b[group..][..state], &c[group..][..state], steps[head]);
            for channel in head * head_dim..(head + 1) * head_dim {
                let write = s.splat(step * x[channel]);
                let mut sum = s.splat(0.0);
                let own = memory[channel * state..][..state].chunks_mut(LANES);
                for (index, ((own, b), c)) in own.zip(b.chunks(LANES)).zip(c.chunks(LANES)).enumerate() {
                    let factor = match keep {
                        StateSpaceKeep::Heads(keep) => s.splat(keep[head]),
                        StateSpaceKeep::States(decays) => {
                            let decays = &decays[head * state + index * LANES..][..own.len()];
                            exp(s, s.mul(s.load(&padded(decays)), s.splat(step)))
                        }
                    };
                    let mut lanes = padded(own);
                    let next = s.fma(s.load(&padded(b)), write, s.mul(s.load(&lanes), factor));
                    sum = s.fma(next, s.load(&padded(c)), sum);
                    s.store(next, &mut lanes);
                    own.copy_from_slice(&lanes[..own.len()]);
                }
                out[channel] = s.sum(sum) + skip[head] * x[channel];
            }
        }
    }
}
