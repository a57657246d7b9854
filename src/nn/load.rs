//! Builds a decoder piece by piece, so that loading one model never holds up the streams of others for long.

use std::rc::Rc;
use std::slice::from_ref;
use std::sync::Arc;

use super::Decoder;
use super::layer::{
    AltUp, Attention, ChannelMix, Compressed, EntryKeys, Expansion, Ffn, GatedConv, GatedDelta, HyperConnection,
    Indexer, Latent, Layer, LinearAttention, LowRank, Mixer, Mlp, Moe, Narrowing, Ngram, PerLayerInput, PerLayerInputs,
    Recurrence, ResidualAttention, ResidualQuery, Selection, SharedExpert, ShortConv, ShortGates, StateSpace, TimeMix,
};
use crate::arch::spec::{self, Activation, Spec};
use crate::backend::{Backend, ConvData, ExpertsData, StackData};
use crate::error::{Error, Result};
use crate::weights::{self, LinearData, NormData, Tensors};

/// A decoder under construction.
pub(crate) struct Builder<B: Backend> {
    backend: Rc<B>,
    spec: Arc<Spec>,
    tensors: Arc<Tensors>,
    start: Option<Start<B>>,
    layers: Vec<Rc<Layer<B>>>,
    ropes: Vec<(spec::Rope, Rc<B::Rope>)>,
}

/// What stands before the layers.
struct Start<B: Backend> {
    embedding: B::Linear,
    embedding_norm: Option<B::Norm>,
    positions: Option<B::Linear>,
    per_layer_inputs: Option<PerLayerInputs<B>>,
    ngrams: Vec<Ngram<B>>,
    widen: Vec<B::Linear>,
    narrow: Vec<B::Linear>,
}

impl<B: Backend> Builder<B> {
    /// Starts with nothing loaded.
    pub fn new(backend: Rc<B>, spec: Arc<Spec>, tensors: Arc<Tensors>) -> Self {
        Self { backend, spec, tensors, start: None, layers: Vec::new(), ropes: Vec::new() }
    }

    /// Steps that [`step`](Self::step) takes in all, the last one included.
    pub fn steps(&self) -> usize {
        self.spec.layers.len() + 2
    }

    /// Loads the next piece; gives the decoder after the last one.
    pub fn step(&mut self) -> Result<Option<Decoder<B>>> {
        if self.start.is_none() {
            self.start = Some(self.load_start()?);
            return Ok(None);
        }
        let spec = Arc::clone(&self.spec);
        if let Some(layer) = spec.layers.get(self.layers.len()) {
            let own = spec.layers.len() / spec.loops.map_or(1, |loops| loops.times.max(1));
            let layer = match self.layers.len().checked_sub(own).and_then(|first| self.layers.get(first)) {
                Some(loaded) if spec.loops.is_some() => Rc::clone(loaded),
                _ => Rc::new(self.layer(layer)?),
            };
            self.layers.push(layer);
            return Ok(None);
        }
        let head = spec.head.as_ref().filter(|head| !weights::is_missing_head(&spec, head, &self.tensors));
        let load_head = |head: &spec::Linear| {
            let data = self.data_of(head)?;
            self.backend.load_linear(&[if spec.head_normed { data.with_unit_rows() } else { data }])
        };
        let head = head.map(load_head).transpose()?;
        let gain = spec.logit_gain.as_ref().map(|name| weights::vector(&self.tensors, name, 1)).transpose()?;
        let logit_scale = gain.into_iter().flatten().product::<f32>() * spec.logit_scale;
        let unused = (!spec.unused_ids.is_empty()).then(|| {
            let mut numbers = vec![0.0; spec.vocab];
            for id in &spec.unused_ids {
                if let Some(number) = numbers.get_mut(*id as usize) {
                    *number = f32::NEG_INFINITY;
                }
            }
            self.backend.load_vector(numbers)
        });
        let unused = unused.transpose()?;
        let final_norm = self.stream_norm(&spec.final_norm)?;
        let residual_query = spec.residual_query.as_ref().map(|query| self.residual_query(query)).transpose()?;
        let Start { embedding, embedding_norm, positions, per_layer_inputs, ngrams, widen, narrow } =
            self.start.take().ok_or_else(|| Error::internal("a decoder was finished twice"))?;
        let layers = std::mem::take(&mut self.layers);
        let backend = Rc::clone(&self.backend);
        Ok(Some(Decoder {
            backend,
            spec,
            embedding,
            embedding_norm,
            positions,
            per_layer_inputs,
            ngrams,
            widen,
            narrow,
            layers,
            residual_query,
            final_norm,
            head,
            logit_scale,
            unused,
        }))
    }

    fn load_start(&self) -> Result<Start<B>> {
        let spec = &self.spec;
        let inputs = |inputs: &spec::PerLayerInputs| {
            let projection = self.linear(from_ref(&inputs.projection))?;
            let (table, norm) = (self.linear(from_ref(&inputs.table))?, self.norm(&inputs.norm)?);
            Ok(PerLayerInputs { table, projection, norm })
        };
        let each = |linears: &[spec::Linear]| {
            linears.iter().map(|linear| self.linear(from_ref(linear))).collect::<Result<_>>()
        };
        let (widen, narrow) = match &spec.streams {
            Some(streams) => (each(&streams.widen)?, each(&streams.narrow)?),
            None => (Vec::new(), Vec::new()),
        };
        let ngram = |ngram: &spec::NgramTable| {
            let (table, projection) = (self.linear(from_ref(&ngram.table))?, self.linear(from_ref(&ngram.projection))?);
            Ok(Ngram { table, projection })
        };
        let ngrams = spec.ngrams.iter().flat_map(|ngrams| &ngrams.tables).map(ngram).collect::<Result<_>>()?;
        Ok(Start {
            ngrams,
            widen,
            narrow,
            embedding: self.linear(from_ref(&spec.embedding))?,
            embedding_norm: self.optional_norm(&spec.embedding_norm)?,
            positions: spec.positions.as_ref().map(|table| self.linear(from_ref(table))).transpose()?,
            per_layer_inputs: spec.per_layer_inputs.as_ref().map(inputs).transpose()?,
        })
    }

    fn layer(&mut self, layer: &spec::Layer) -> Result<Layer<B>> {
        let input = |input: &spec::PerLayerInput| {
            let (gate, projection) = (self.linear(from_ref(&input.gate))?, self.linear(from_ref(&input.projection))?);
            Ok(PerLayerInput { gate, projection, norm: self.norm(&input.norm)? })
        };
        let per_layer_input = layer.per_layer_input.as_ref().map(input).transpose()?;
        let output_scale = match &layer.output_scale {
            Some(name) => weights::vector(&self.tensors, name, 1)?.iter().product(),
            None => 1.0,
        };
        let gain = |name: &String| Ok(weights::vector(&self.tensors, name, 1)?.iter().product::<f32>());
        let (mut branch_scales, mut embedding_scale) = ([layer.residual_scale; 2], None);
        if let Some(gains) = &layer.gains {
            branch_scales[0] *= gain(&gains.mixer)?;
            branch_scales[1] *= gain(&gains.ffn)?;
            embedding_scale = Some(gain(&gains.embedding)?);
        }
        let stream_factors = layer.stream_factors.as_ref().map(|names| {
            let vector = |name: &String| self.vector(name, self.spec.hidden);
            Ok::<_, Error>(Box::new([vector(&names[0])?, vector(&names[1])?]))
        });
        Ok(Layer {
            mixer: self.mixer(&layer.mixer)?,
            beside: layer.beside.as_ref().map(|mixer| self.mixer(mixer)).transpose()?,
            mixer_norm: layer.mixer_norm.as_ref().map(|norm| self.stream_norm(norm)).transpose()?,
            mixer_post_norm: self.optional_norm(&layer.mixer_post_norm)?,
            ffn: self.ffn(&layer.ffn)?,
            shortcut: layer.shortcut.as_ref().map(|ffn| self.ffn(ffn)).transpose()?,
            ffn_norm: layer.ffn_norm.as_ref().map(|norm| self.stream_norm(norm)).transpose()?,
            ffn_post_norm: self.optional_norm(&layer.ffn_post_norm)?,
            per_layer_input,
            stream_factors: stream_factors.transpose()?,
            output_scale,
            branch_scales,
            embedding_scale,
            altup: layer.altup.as_ref().map(|altup| Ok(Box::new(self.altup(altup)?))).transpose()?,
            residuals: layer.residuals.as_ref().map(|residuals| self.residuals(residuals)).transpose()?,
            hyper: match layer.hyper.as_deref() {
                Some([mixer, ffn]) => Some(Box::new([self.hyper(mixer)?, self.hyper(ffn)?])),
                None => None,
            },
        })
    }

    fn ffn(&self, ffn: &spec::Ffn) -> Result<Ffn<B>> {
        Ok(match ffn {
            spec::Ffn::Dense(mlp) => Ffn::Dense(self.mlp(mlp)?),
            spec::Ffn::Moe(moe) => Ffn::Moe(Box::new(self.moe(moe)?)),
            spec::Ffn::Linear(linear) => Ffn::Linear(self.linear(from_ref(linear))?),
            spec::Ffn::ChannelMix(mix) => Ffn::ChannelMix(Box::new(self.channel_mix(mix)?)),
            spec::Ffn::None => Ffn::None,
        })
    }

    fn altup(&self, altup: &spec::AltUp) -> Result<AltUp<B>> {
        let clipped = |linear: &spec::Linear| {
            let data = self.data_of(linear)?;
            self.backend.load_linear(&[match altup.clip {
                Some(limit) => data.clipped(limit)?,
                None => data,
            }])
        };
        Ok(AltUp {
            norm: self.norm(&altup.norm)?,
            router: self.linear(from_ref(&altup.router))?,
            prediction: clipped(&altup.prediction)?,
            correction: clipped(&altup.correction)?,
            output_scale: self.optional_vector(&altup.output_scale, altup.router.inputs)?,
            left: self.linear(from_ref(&altup.laurel.left))?,
            right: self.linear(from_ref(&altup.laurel.right))?,
            laurel_norm: self.norm(&altup.laurel.norm)?,
        })
    }

    fn residuals(&self, residuals: &spec::ResidualAttention) -> Result<Box<ResidualAttention<B>>> {
        let (mixer, ffn) = (self.residual_query(&residuals.mixer)?, self.residual_query(&residuals.ffn)?);
        Ok(Box::new(ResidualAttention { mixer, ffn }))
    }

    fn residual_query(&self, query: &spec::ResidualQuery) -> Result<ResidualQuery<B>> {
        let mut numbers = weights::numbers(&self.tensors, &query.query, &[1, query.norm.size])?;
        for name in &query.norm.weights {
            let weight = weights::vector(&self.tensors, name, query.norm.size)?;
            numbers.iter_mut().zip(weight).for_each(|(number, weight)| *number *= weight);
        }
        Ok(ResidualQuery { query: self.backend.load_vector(numbers)?, epsilon: query.norm.epsilon })
    }

    fn hyper(&self, hyper: &spec::HyperConnection) -> Result<HyperConnection<B>> {
        let spec::Linear { outputs, inputs, name, .. } = &hyper.mixture;
        let numbers = weights::numbers(&self.tensors, name, &[*outputs, *inputs])?;
        let base = weights::vector(&self.tensors, &hyper.base, *outputs)?;
        let scales = weights::vector(&self.tensors, &hyper.scale, 3)?;
        let streams = hyper.mixing.streams;
        let scale = |row: usize| scales.get((row / streams.max(1)).min(2)).copied().unwrap_or(1.0);
        let rows = numbers.chunks(*inputs).enumerate();
        let scaled = rows.flat_map(|(row, numbers)| numbers.iter().map(move |number| (row, *number)));
        let scaled = scaled.map(|(row, number)| scale(row) * number);
        let data = LinearData::of_numbers(name, *outputs, *inputs, scaled, Some(base));
        Ok(HyperConnection { norm: self.norm(&hyper.norm)?, mixture: self.backend.load_linear(&[data])? })
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

    fn mixer(&mut self, mixer: &spec::Mixer) -> Result<Mixer<B>> {
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

    fn channel_mix(&self, mix: &spec::ChannelMix) -> Result<ChannelMix<B>> {
        Ok(ChannelMix {
            shift: vec![self.vector(&mix.shift, mix.key.inputs)?],
            key: self.linear(from_ref(&mix.key))?,
            value: self.linear(from_ref(&mix.value))?,
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

    fn mlp(&self, mlp: &spec::Mlp) -> Result<Mlp<B>> {
        let numbers = mlp.activation_numbers();
        let number = |name: &String| Ok(weights::vector(&self.tensors, name, 1)?.iter().sum());
        let activation = match *numbers.iter().map(number).collect::<Result<Vec<f32>>>()? {
            [alpha_p, alpha_n, beta, eps] => Activation::Xielu { alpha_p, alpha_n, beta, eps },
            _ => mlp.activation,
        };
        let (gate_up, down) = (self.linear(&mlp.gate_up)?, self.linear(from_ref(&mlp.down))?);
        let interleaved = mlp.interleaved.then_some(mlp.down.inputs);
        let norm = mlp.norm.as_ref().map(|norm| self.norm(norm)).transpose()?;
        Ok(Mlp { gate_up, down, activation, gated: mlp.gated, interleaved, norm })
    }

    fn moe(&self, moe: &spec::Moe) -> Result<Moe<B>> {
        let data = ExpertsData {
            count: moe.experts,
            gate_up: moe.mlp.gate_up.iter().map(|linear| self.stack(linear)).collect::<Result<_>>()?,
            down: self.stack(&moe.mlp.down)?,
            activation: moe.mlp.activation,
            gated: moe.mlp.gated,
        };
        let shared = |shared: &spec::SharedExpert| {
            Ok(SharedExpert {
                norm: self.optional_norm(&shared.norm)?,
                mlp: self.mlp(&shared.mlp)?,
                gate: shared.gate.as_ref().map(|gate| self.linear(from_ref(gate))).transpose()?,
                post_norm: self.optional_norm(&shared.post_norm)?,
            })
        };
        let narrowing = |narrowing: &spec::Narrowing| {
            let (down, up) = (self.linear(from_ref(&narrowing.down))?, self.linear(from_ref(&narrowing.up))?);
            Ok(Narrowing { down, norm: self.optional_norm(&narrowing.norm)?, up })
        };
        Ok(Moe {
            router: self.linear(from_ref(&moe.router))?,
            balance: moe.balance.as_ref().map(|balance| self.linear(from_ref(balance))).transpose()?,
            router_norm: self.optional_norm(&moe.router_norm)?,
            correction: self.optional_vector(&moe.routing.correction, moe.experts + moe.idle)?,
            expert_scale: self.optional_vector(&moe.routing.expert_scale, moe.experts)?,
            norm: self.optional_norm(&moe.norm)?,
            narrowing: moe.narrowing.as_ref().map(narrowing).transpose()?,
            experts: self.backend.load_experts(&data)?,
            expert_norm: self.optional_norm(&moe.expert_norm)?,
            post_norm: self.optional_norm(&moe.post_norm)?,
            shared: moe.shared.as_ref().map(shared).transpose()?,
        })
    }

    fn data_of(&self, linear: &spec::Linear) -> Result<LinearData> {
        weights::linear(&self.tensors, linear, self.spec.quantization.as_ref())
    }

    fn data(&self, parts: &[spec::Linear]) -> Result<Vec<LinearData>> {
        parts.iter().map(|part| self.data_of(part)).collect()
    }

    fn stack(&self, linear: &spec::Linear) -> Result<StackData> {
        let parts = self.data(&linear.stored())?;
        let factors = weights::factors(&self.tensors, linear, &parts)?;
        Ok(StackData { parts, factors })
    }

    fn linear(&self, parts: &[spec::Linear]) -> Result<B::Linear> {
        self.backend.load_linear(&self.data(parts)?)
    }

    fn norm(&self, norm: &spec::Norm) -> Result<B::Norm> {
        self.backend.load_norm(&weights::norm(&self.tensors, norm)?)
    }

    /// A norm of the residual stream.
    fn stream_norm(&self, norm: &spec::Norm) -> Result<B::Norm> {
        let data = weights::norm(&self.tensors, norm)?;
        self.backend.load_norm(&NormData { narrow: self.spec.wide_stream, ..data })
    }

    fn optional_norm(&self, norm: &Option<spec::Norm>) -> Result<Option<B::Norm>> {
        norm.as_ref().map(|norm| self.norm(norm)).transpose()
    }

    fn vector(&self, name: &str, len: usize) -> Result<B::Vector> {
        self.backend.load_vector(weights::vector(&self.tensors, name, len)?)
    }

    fn optional_vector(&self, name: &Option<String>, len: usize) -> Result<Option<B::Vector>> {
        name.as_ref().map(|name| self.vector(name, len)).transpose()
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

    /// Most models have one rope for all layers; it is prepared once.
    fn rope(&mut self, rope: &spec::Rope) -> Result<Rc<B::Rope>> {
        if let Some((_, loaded)) = self.ropes.iter().find(|(known, _)| known == rope) {
            return Ok(Rc::clone(loaded));
        }
        let loaded = Rc::new(self.backend.load_rope(rope)?);
        self.ropes.push((rope.clone(), Rc::clone(&loaded)));
        Ok(loaded)
    }
}
