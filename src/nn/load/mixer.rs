//! Loads the mixers of layers.

use std::slice::from_ref;

use super::Builder;
use crate::arch::spec;
use crate::backend::{Backend, ConvData};
use crate::error::{Error, Result};
use crate::nn::layer::{
    Attention, Compressed, EntryKeys, Expansion, GatedConv, GatedDelta, Indexer, Latent, LinearAttention, LowRank,
    Mixer, Recurrence, Selection, ShortConv, ShortGates, StateSpace, TimeMix,
};
use crate::weights::{self, LinearData};

impl<B: Backend> Builder<B> {
    pub(super) fn mixer(&mut self, mixer: &spec::Mixer) -> Result<Mixer<B>> {
        Ok(match mixer {
            spec::Mixer::Attention(attention) => Mixer::Attention(self.attention(attention)?),
            spec::Mixer::ShortConv(short) => Mixer::ShortConv(ShortConv {
                input: self.linear(from_ref(&short.input))?,
                conv: self.conv(&short.conv)?,
                output: self.linear(from_ref(&short.output))?,
            }),
            spec::Mixer::Latent(latent) => Mixer::Latent(Box::new(self.latent(latent)?)),
            spec::Mixer::Compressed(compressed) => Mixer::Compressed(Box::new(self.compressed(compressed)?)),
            spec::Mixer::GatedDelta(delta) => Mixer::GatedDelta(Box::new(self.gated_delta(delta)?)),
            spec::Mixer::StateSpace(space) => Mixer::StateSpace(Box::new(self.state_space(space)?)),
            spec::Mixer::Linear(linear) => Mixer::Linear(Box::new(LinearAttention {
                input: self.linear(&linear.input)?,
                query_norm: self.optional_norm(&linear.query_norm)?,
                key_norm: self.optional_norm(&linear.key_norm)?,
                rope: self.rope(&linear.rope)?,
                decays: self.backend.load_vector(linear.decays.clone())?,
                skip: self.backend.load_vector(vec![0.0; linear.heads])?,
                norm: self.norm(&linear.norm)?,
                output: self.linear(from_ref(&linear.output))?,
            })),
            spec::Mixer::GatedConv(mixer) => Mixer::GatedConv(Box::new(GatedConv {
                input: self.linear(&mixer.input)?,
                query_norm: self.norm(&mixer.query_norm)?,
                key_norm: self.norm(&mixer.key_norm)?,
                conv: self.conv(&mixer.conv)?,
                output: self.linear(from_ref(&mixer.output))?,
            })),
            spec::Mixer::Recurrence(mixer) => Mixer::Recurrence(Box::new(self.recurrence(mixer)?)),
            spec::Mixer::TimeMix(mix) => Mixer::TimeMix(Box::new(self.time_mix(mix)?)),
            spec::Mixer::None => Mixer::None,
        })
    }

    fn attention(&mut self, attention: &spec::Attention) -> Result<Attention<B>> {
        let rope = attention.rope.as_ref().map(|rope| self.rope(rope)).transpose()?;
        let indexer = attention.indexer.as_ref().map(|indexer| self.indexer(indexer)).transpose()?;
        let step = |name: &String| Ok::<_, Error>(weights::vector(&self.tensors, name, 1)?.iter().product::<f32>());
        let gate = |linear: &spec::Linear| self.backend.load_heads(&self.data_of(linear)?, attention.heads);
        Ok(Attention {
            qkv: self.linear(&attention.qkv)?,
            output: self.linear(from_ref(&attention.output))?,
            output_norm: attention.output_norm.as_ref().map(|norm| self.norm(norm)).transpose()?,
            query_norm: self.optional_norm(&attention.query_norm)?,
            key_norm: self.optional_norm(&attention.key_norm)?,
            value_norm: self.optional_norm(&attention.value_norm)?,
            rope,
            sinks: self.optional_vector(&attention.sinks, attention.heads)?,
            indexer,
            conv: attention.conv.as_ref().map(|conv| self.kv_conv(attention, conv)).transpose()?,
            rounding: attention
                .rounding
                .as_ref()
                .map(|rounding| Ok([step(&rounding.key)?, step(&rounding.value)?]))
                .transpose()?,
            gate: attention.second_look.as_ref().map(|look| gate(&look.gate)).transpose()?,
        })
    }

    /// One number a head and position becomes one for each of its channels.
    fn kv_conv(&self, attention: &spec::Attention, conv: &spec::KvConv) -> Result<B::Conv> {
        let spec::Attention { kv_heads, head_dim, .. } = *attention;
        let mut weight = Vec::with_capacity(2 * kv_heads * head_dim * conv.width);
        for name in [&conv.key, &conv.value] {
            let numbers = weights::numbers(&self.tensors, name, &[1, 1, kv_heads, 1, conv.width])?;
            weight.extend(numbers.chunks(conv.width.max(1)).flat_map(|of_head| of_head.repeat(head_dim)));
        }
        let channels = 2 * kv_heads * head_dim;
        self.backend.load_conv(ConvData { weight, bias: Vec::new(), channels, width: conv.width })
    }

    fn indexer(&mut self, indexer: &spec::Indexer) -> Result<Indexer<B>> {
        Ok(Indexer {
            query_norm: self.optional_norm(&indexer.query_norm)?,
            key_norm: self.optional_norm(&indexer.key_norm)?,
            rope: indexer.rope.as_ref().map(|rope| self.rope(rope)).transpose()?,
        })
    }

    fn latent(&mut self, latent: &spec::LatentAttention) -> Result<Latent<B>> {
        let heads = |linear: &spec::Linear| self.backend.load_heads(&self.data_of(linear)?, latent.heads);
        let query = |query: &spec::LatentQuery| Ok((self.norm(&query.norm)?, self.linear(&query.linear)?));
        let expansion = match &latent.expansion {
            spec::Expansion::Absorbed { queries, values } => {
                Expansion::Absorbed { queries: heads(queries)?, values: heads(values)? }
            }
            spec::Expansion::Full(parts) => Expansion::Full(self.linear(parts)?),
        };
        Ok(Latent {
            input: self.linear(&latent.input)?,
            query: latent.query.as_ref().map(query).transpose()?,
            latent_norm: self.norm(&latent.latent_norm)?,
            expansion,
            rope: latent.rope.as_ref().map(|rope| self.rope(rope)).transpose()?,
            indexer: latent.indexer.as_ref().map(|indexer| self.indexer(indexer)).transpose()?,
            output: self.linear(from_ref(&latent.output))?,
        })
    }

    fn compressed(&mut self, compressed: &spec::CompressedAttention) -> Result<Compressed<B>> {
        let faster = |rope: &spec::Rope, by: f32| spec::Rope {
            inverse_frequencies: rope.inverse_frequencies.iter().map(|frequency| frequency * by).collect(),
            ..rope.clone()
        };
        let entries = match &compressed.compressor {
            Some(part) => Some((self.norm(&part.norm)?, self.rope(&faster(&compressed.rope, part.ratio as f32))?)),
            None => None,
        };
        let keys = |keys: &spec::EntryKeys| {
            Ok(EntryKeys { projection: self.linear(from_ref(&keys.projection))?, norm: self.norm(&keys.norm)? })
        };
        Ok(Compressed {
            input: self.linear(&compressed.input)?,
            query: (self.norm(&compressed.query.norm)?, self.linear(&compressed.query.linear)?),
            key_norm: self.norm(&compressed.key_norm)?,
            sinks: self.vector(&compressed.sinks, compressed.heads)?,
            keys: compressed.indexer.iter().find_map(|indexer| indexer.keys.as_ref()).map(keys).transpose()?,
            groups: self.backend.load_heads(&self.data_of(&compressed.groups)?, compressed.group_count())?,
            output: self.linear(from_ref(&compressed.output))?,
            entries,
            back: self.rope(&faster(&compressed.rope, -1.0))?,
            rope: self.rope(&compressed.rope)?,
        })
    }

    fn gated_delta(&self, delta: &spec::GatedDelta) -> Result<GatedDelta<B>> {
        let short_gates = |gates: &spec::ShortGates| {
            let gate = gates.gate.as_ref().map(|gate| self.linear(from_ref(gate))).transpose()?;
            Ok(ShortGates { gate, decay: self.linear(from_ref(&gates.decay))? })
        };
        Ok(GatedDelta {
            input: self.linear(&delta.input)?,
            conv: self.conv(&delta.conv)?,
            short_gates: delta.short_gates.as_ref().map(short_gates).transpose()?,
            decay: self.vector(&delta.decay, delta.value_heads)?,
            step: self.vector(&delta.step, delta.decays())?,
            norm: self.norm(&delta.norm)?,
            output: self.linear(from_ref(&delta.output))?,
        })
    }

    fn conv(&self, conv: &spec::Conv) -> Result<B::Conv> {
        let spec::Conv { channels, width, .. } = *conv;
        let mut weight = Vec::new();
        for name in &conv.weights {
            // Several need not be of one size.
            let stored = self.tensors.get(name).and_then(|view| view.shape.first().copied());
            let own = stored.filter(|_| conv.weights.len() > 1).unwrap_or(channels / conv.weights.len());
            weight.extend(weights::numbers(&self.tensors, name, &[own, width, 1])?);
        }
        let mut bias = Vec::new();
        for name in &conv.biases {
            bias.extend(weights::vector(&self.tensors, name, channels / conv.biases.len())?);
        }
        self.backend.load_conv(ConvData { weight, bias, channels, width })
    }

    fn state_space(&self, space: &spec::StateSpace) -> Result<StateSpace<B>> {
        let heads = space.heads;
        let decay = match space.decay_by_state {
            true => weights::numbers(&self.tensors, &space.decay, &[heads, space.state])?,
            false => weights::vector(&self.tensors, &space.decay, heads)?,
        };
        let below_zero = |decay: f32| -f64::from(decay).exp() as f32;
        Ok(StateSpace {
            input: self.linear(&space.input)?,
            conv: self.conv(&space.conv)?,
            selection: match &space.selection {
                spec::Selection::Input { bias } => Selection::Input { bias: self.vector(bias, heads)? },
                spec::Selection::Inner(inner) => {
                    let norms = |[step, b, c]: &[spec::Norm; 3]| Ok([self.norm(step)?, self.norm(b)?, self.norm(c)?]);
                    Selection::Inner {
                        projection: self.linear(&inner.projection)?,
                        norms: inner.norms.as_ref().map(norms).transpose()?,
                        step: self.linear(from_ref(&inner.step))?,
                        bias: self.optional_vector(&inner.bias, heads)?,
                    }
                }
            },
            decay: self.backend.load_vector(decay.into_iter().map(below_zero).collect())?,
            skip: self.vector(&space.skip, heads)?,
            norm: self.optional_norm(&space.norm)?,
            output: self.linear(from_ref(&space.output))?,
        })
    }

    fn recurrence(&self, mixer: &spec::Recurrence) -> Result<Recurrence<B>> {
        let channels = mixer.conv.channels;
        let width = channels / mixer.heads.max(1);
        let gate = |gate: &spec::HeadGate| {
            let numbers = weights::numbers(&self.tensors, &gate.weight, &[mixer.heads, width, width])?;
            let bias = weights::numbers(&self.tensors, &gate.bias, &[mixer.heads, width])?;
            // Stored as rows of inputs.
            let rows = numbers.chunks_exact(width * width).flat_map(|matrix| {
                (0..width).flat_map(move |output| matrix.iter().skip(output).step_by(width).copied())
            });
            let data = LinearData::of_numbers(&gate.weight, channels, width, rows, Some(bias));
            self.backend.load_heads(&data, mixer.heads)
        };
        let decay = |number: f32| -8.0 * f64::from(number).exp().ln_1p();
        let decays = weights::vector(&self.tensors, &mixer.decay, channels)?;
        Ok(Recurrence {
            input: self.linear(&mixer.input)?,
            conv: self.conv(&mixer.conv)?,
            input_gate: gate(&mixer.input_gate)?,
            keep_gate: gate(&mixer.keep_gate)?,
            decay: self.backend.load_vector(decays.into_iter().map(|number| decay(number) as f32).collect())?,
            output: self.linear(from_ref(&mixer.output))?,
        })
    }

    fn time_mix(&self, mix: &spec::TimeMix) -> Result<TimeMix<B>> {
        let hidden = mix.receptance.inputs;
        let low = |low: &spec::LowRank| {
            Ok::<_, Error>(LowRank { down: self.linear(from_ref(&low.down))?, up: self.linear(from_ref(&low.up))? })
        };
        let of_heads = |name: &String| {
            // Those of all heads may stand in one row.
            let all = mix.heads * mix.head_dim;
            let in_a_row = self.tensors.get(name).is_some_and(|view| view.shape == [all]);
            let shape: &[usize] = if in_a_row { &[all] } else { &[mix.heads, mix.head_dim] };
            self.backend.load_vector(weights::numbers(&self.tensors, name, shape)?)
        };
        let shifts = mix.shifts.names().into_iter().map(|name| self.vector(name, hidden));
        Ok(TimeMix {
            shifts: shifts.collect::<Result<_>>()?,
            receptance: self.linear(from_ref(&mix.receptance))?,
            key: self.linear(from_ref(&mix.key))?,
            value: self.linear(from_ref(&mix.value))?,
            decay: low(&mix.decay)?,
            rate: low(&mix.rate)?,
            residual: mix.residual.as_ref().map(low).transpose()?,
            gate: low(&mix.gate)?,
            key_scale: of_heads(&mix.key_scale)?,
            key_rate: of_heads(&mix.key_rate)?,
            bonus: of_heads(&mix.bonus)?,
            norm: self.norm(&mix.norm)?,
            output: self.linear(from_ref(&mix.output))?,
        })
    }
}
