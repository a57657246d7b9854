//! Recurrent layers.

use super::{Changes, drop_it, epsilon};
use crate::arch::spec::{Conv, GatedConv, GatedDelta, LinearAttention, Mixer, Selection, Spec, StateSpace, TimeMix};

pub(super) const CHANGES: Changes = &[
    ("gates of the recurrence exchanged", |spec| {
        spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
            Mixer::Recurrence(mixer) => {
                std::mem::swap(&mut mixer.input_gate, &mut mixer.keep_gate);
                Some(())
            }
            _ => None,
        })
    }),
    ("scale of the delta net's rate", |spec| {
        delta(spec)?.rate_scale *= 0.8;
        Some(())
    }),
    ("lowest decay of the delta net", |spec| {
        *delta(spec)?.lowest_decay.as_mut()? *= 1.2;
        Some(())
    }),
    ("decay of linear attention", |spec| {
        linear_attention(spec)?.decays.iter_mut().for_each(|decay| *decay *= 1.5);
        Some(())
    }),
    ("scale of linear attention", |spec| {
        // A norm takes it back but for its epsilon.
        linear_attention(spec)?.norm.epsilon = 1.0;
        Some(())
    }),
    ("rotary base of linear attention", |spec| {
        let frequencies = linear_attention(spec)?.rope.inverse_frequencies.iter_mut().skip(1);
        frequencies.for_each(|frequency| *frequency *= 1.2);
        Some(())
    }),
    // Made so large that what memories give shows it.
    ("norm of time mixing", |spec| {
        time_mix(spec, 0)?.norm.epsilon = 100.0;
        Some(())
    }),
    ("bias of time mixing's norm dropped", |spec| drop_it(&mut time_mix(spec, 0)?.norm.bias)),
    ("residual of values dropped", |spec| drop_it(&mut time_mix(spec, 1)?.residual)),
    ("decay and rate exchanged", |spec| {
        let mix = time_mix(spec, 0)?;
        std::mem::swap(&mut mix.decay, &mut mix.rate);
        Some(())
    }),
    ("shifts exchanged", |spec| {
        let shifts = &mut time_mix(spec, 0)?.shifts;
        std::mem::swap(&mut shifts.receptance, &mut shifts.decay);
        std::mem::swap(&mut shifts.key, &mut shifts.value);
        std::mem::swap(&mut shifts.rate, &mut shifts.gate);
        Some(())
    }),
    ("scales of keys exchanged", |spec| {
        let mix = time_mix(spec, 0)?;
        std::mem::swap(&mut mix.key_scale, &mut mix.key_rate);
        Some(())
    }),
    ("bonus of time mixing", |spec| {
        let mix = time_mix(spec, 0)?;
        mix.bonus.clone_from(&mix.key_scale);
        Some(())
    }),
    ("norm of the gated convolution", |spec| epsilon(&mut gated_conv(spec)?.key_norm)),
    ("norm of the delta net", |spec| epsilon(&mut delta(spec)?.norm)),
    ("decay and step exchanged", |spec| {
        let delta = delta(spec)?;
        // There may be more steps than decays.
        (!delta.decay_by_column).then(|| std::mem::swap(&mut delta.decay, &mut delta.step))
    }),
    ("short gates exchanged", |spec| {
        let gates = delta(spec)?.short_gates.as_mut()?;
        gates.gate.as_mut().map(|gate| std::mem::swap(gate, &mut gates.decay))
    }),
    ("convolutions exchanged", |spec| {
        let weights = &mut conv(spec)?.weights;
        (weights.len() > 1).then(|| weights.rotate_left(1))
    }),
    ("bias of the convolution dropped", |spec| {
        conv(spec)?.biases.clear();
        Some(())
    }),
    ("norm of the state space", |spec| epsilon(state_space(spec)?.norm.as_mut()?)),
    ("norm of the state space skipped", |spec| drop_it(&mut state_space(spec)?.norm)),
    ("norm of the state space on the other side of the gate", |spec| {
        let space = state_space(spec)?;
        space.norm.as_ref()?;
        space.norm_before_gate = !space.norm_before_gate;
        Some(())
    }),
    ("groups of the state space's norm", |spec| {
        let norm = state_space(spec)?.norm.as_mut()?;
        let all = norm.size * norm.heads;
        (norm.heads > 1).then(|| (norm.size, norm.heads) = (all, 1))
    }),
    ("skip and decay exchanged", |spec| {
        let space = state_space(spec)?;
        (!space.decay_by_state).then(|| std::mem::swap(&mut space.skip, &mut space.decay))
    }),
    ("steps' bias and decay exchanged", |spec| {
        let StateSpace { selection: Selection::Input { bias }, decay, .. } = state_space(spec)? else { return None };
        std::mem::swap(bias, decay);
        Some(())
    }),
    ("limits of steps", |spec| {
        state_space(spec)?.limits = [0.4, 0.6];
        Some(())
    }),
    ("norms of the selection dropped", |spec| match &mut state_space(spec)?.selection {
        Selection::Inner(inner) => drop_it(&mut inner.norms),
        Selection::Input { .. } => None,
    }),
];

fn delta(spec: &mut Spec) -> Option<&mut GatedDelta> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::GatedDelta(delta) => Some(delta),
        _ => None,
    })
}

pub(super) fn time_mix(spec: &mut Spec, layer: usize) -> Option<&mut TimeMix> {
    match &mut spec.layers.get_mut(layer)?.mixer {
        Mixer::TimeMix(mix) => Some(&mut **mix),
        _ => None,
    }
}

fn linear_attention(spec: &mut Spec) -> Option<&mut LinearAttention> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::Linear(linear) => Some(&mut **linear),
        _ => None,
    })
}

fn gated_conv(spec: &mut Spec) -> Option<&mut GatedConv> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::GatedConv(mixer) => Some(&mut **mixer),
        _ => None,
    })
}

fn state_space(spec: &mut Spec) -> Option<&mut StateSpace> {
    spec.layers.iter_mut().flat_map(|layer| [&mut layer.mixer].into_iter().chain(&mut layer.beside)).find_map(|mixer| {
        let Mixer::StateSpace(space) = mixer else { return None };
        Some(&mut **space)
    })
}

fn conv(spec: &mut Spec) -> Option<&mut Conv> {
    spec.layers.iter_mut().flat_map(|layer| [&mut layer.mixer].into_iter().chain(&mut layer.beside)).find_map(|mixer| {
        Some(match mixer {
            Mixer::ShortConv(short) => &mut short.conv,
            Mixer::GatedDelta(delta) => &mut delta.conv,
            Mixer::StateSpace(space) => &mut space.conv,
            Mixer::GatedConv(mixer) => &mut mixer.conv,
            Mixer::Recurrence(mixer) => &mut mixer.conv,
            _ => return None,
        })
    })
}
