//! Specs that differ in one setting: a bench that does not see the difference proves nothing.

use crate::arch::spec::{
    Activation, Attention, Candidates, Choice, CompressedAttention, Conv, EntryIndexer, Ffn, GatedConv, GatedDelta,
    Indexer, LatentAttention, Layer, LinearAttention, Mixer, Mlp, Moe, Norm, Selection, Spec, StateSpace, TimeMix,
};

/// A change of one setting and what it is; `None` where the model has no such setting.
type Change = fn(&mut Spec) -> Option<()>;

/// All changes that apply to a model.
pub(super) fn of(spec: &Spec) -> Vec<(String, Spec)> {
    let mut all = Vec::new();
    for (what, change) in CHANGES {
        let mut changed = spec.clone();
        if change(&mut changed).is_some() && &changed != spec {
            all.push(((*what).to_string(), changed));
        }
    }
    all
}

const CHANGES: &[(&str, Change)] = &[
    ("epsilon of layers", |spec| epsilon(first(spec)?.mixer_norm.as_mut()?)),
    ("epsilon of feed-forward norms", |spec| epsilon(first(spec)?.ffn_norm.as_mut()?)),
    // Made so large that a residual stream that has grown shows it.
    ("epsilon of the final norm", |spec| {
        spec.final_norm.epsilon = 100.0;
        Some(())
    }),
    ("epsilon of query norms", |spec| epsilon(attention(spec)?.query_norm.as_mut()?)),
    ("offset of norms", |spec| first(spec)?.mixer_norm.as_mut().map(|norm| norm.offset = 1.0 - norm.offset)),
    ("mixer norm skipped", |spec| {
        // Not behind a norm of embeddings that does the same.
        let normed = spec.embedding_norm.is_some();
        let norm = &mut first(spec)?.mixer_norm;
        if normed && norm.as_ref()?.weights.is_empty() { None } else { drop_it(norm) }
    }),
    ("mixer post norm skipped", |spec| drop_it(&mut first(spec)?.mixer_post_norm)),
    ("feed-forward norm skipped", |spec| drop_it(&mut first(spec)?.ffn_norm)),
    ("feed-forward post norm skipped", |spec| drop_it(&mut first(spec)?.ffn_post_norm)),
    ("query norm skipped", |spec| drop_it(&mut attention(spec)?.query_norm)),
    ("key norm skipped", |spec| drop_it(&mut attention(spec)?.key_norm)),
    ("value norm skipped", |spec| drop_it(&mut attention(spec)?.value_norm)),
    ("bias of a norm dropped", |spec| drop_it(&mut first(spec)?.mixer_norm.as_mut()?.bias)),
    ("rotations of matrices skipped", |spec| {
        spec.quantization.as_mut()?.rotations.clear();
        Some(())
    }),
    ("rotations of matrices in halves", |spec| {
        spec.quantization.as_mut()?.rotations.values_mut().for_each(|block| *block /= 2);
        Some(())
    }),
    ("rotary base", |spec| {
        let rope = rotating(spec)?.rope.as_mut()?;
        rope.inverse_frequencies.iter_mut().skip(1).for_each(|frequency| *frequency *= 1.2);
        Some(())
    }),
    ("rotary pairs", |spec| {
        let rope = rotating(spec)?.rope.as_mut()?;
        rope.traditional = !rope.traditional;
        Some(())
    }),
    ("rotary magnitude", |spec| {
        let attention = rotating(spec)?;
        // A norm behind the rotation takes it back.
        if attention.norm_after_rope && attention.query_norm.is_some() {
            return None;
        }
        attention.rope.as_mut()?.magnitude *= 1.05;
        Some(())
    }),
    ("no rotation", |spec| drop_it(&mut rotating(spec)?.rope)),
    ("window one more", |spec| {
        let attention = sliding(spec)?;
        // Chunks end before the window does.
        if attention.chunk.is_some() {
            return None;
        }
        let window = attention.window.as_mut()?;
        *window += 1;
        Some(())
    }),
    ("window one less", |spec| {
        let window = sliding(spec)?.window.as_mut()?;
        *window -= 1;
        Some(())
    }),
    ("bias of queries, keys, values dropped", |spec| {
        let parts = &mut attention(spec)?.qkv;
        parts.iter_mut().for_each(|part| part.bias = false);
        Some(())
    }),
    ("bias of the output dropped", |spec| {
        attention(spec)?.output.bias = false;
        Some(())
    }),
    ("scale of scores", |spec| {
        attention(spec)?.scale *= 1.1;
        Some(())
    }),
    ("gates of the recurrence exchanged", |spec| {
        spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
            Mixer::Recurrence(mixer) => {
                std::mem::swap(&mut mixer.input_gate, &mut mixer.keep_gate);
                Some(())
            }
            _ => None,
        })
    }),
    ("norm before the output skipped", |spec| drop_it(&mut attention(spec)?.output_norm)),
    ("norm before the last matrix skipped", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) => drop_it(&mut mlp.norm),
        _ => None,
    }),
    ("gains dropped", |spec| drop_it(&mut first(spec)?.gains)),
    ("gain of logits dropped", |spec| drop_it(&mut spec.logit_gain)),
    ("unused ids", |spec| spec.unused_ids.pop().map(|_| ())),
    ("length of the head's rows", |spec| spec.head_normed.then(|| spec.head_normed = false)),
    ("convolution of keys and values", |spec| {
        let conv = attention(spec)?.conv.as_mut()?;
        std::mem::swap(&mut conv.key, &mut conv.value);
        Some(())
    }),
    ("rounding of keys and values dropped", |spec| drop_it(&mut attention(spec)?.rounding)),
    ("sparse blocks dropped", |spec| drop_it(&mut attention(spec)?.blocks)),
    ("stride of sparse blocks", |spec| {
        attention(spec)?.blocks.as_mut()?.stride += 1;
        Some(())
    }),
    ("second look at the layer before", |spec| {
        let attention = find(spec, |attention| {
            attention.second_look.as_ref().is_some_and(|look| look.first.is_some_and(|first| first > 0))
        })?;
        *attention.second_look.as_mut()?.first.as_mut()? -= 1;
        Some(())
    }),
    ("gate and up apart", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) if mlp.interleaved => {
            mlp.interleaved = false;
            Some(())
        }
        _ => None,
    }),
    ("clip of queries, keys, values", |spec| drop_it(&mut attention(spec)?.clip)),
    ("cap of scores", |spec| drop_it(&mut attention(spec)?.softcap)),
    ("sinks dropped", |spec| drop_it(&mut attention(spec)?.sinks)),
    ("growth of queries dropped", |spec| drop_it(&mut attention(spec)?.query_growth)),
    ("norms on the other side of the rotation", |spec| {
        let attention = attention(spec)?;
        attention.query_norm.as_ref().filter(|norm| norm.size == attention.head_dim && norm.heads == 1)?;
        // Without weights, a norm and a rotation may change places.
        attention.query_norm.as_ref().filter(|norm| !norm.weights.is_empty())?;
        attention.rope.as_ref()?;
        attention.norm_after_rope = !attention.norm_after_rope;
        Some(())
    }),
    ("bias of the MLP dropped", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) => {
            mlp.down.bias = false;
            mlp.gate_up.iter_mut().for_each(|part| part.bias = false);
            Some(())
        }
        _ => None,
    }),
    ("activation", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(mlp) => {
            mlp.activation_name = None;
            mlp.activation = match mlp.activation {
                Activation::Silu => Activation::GeluTanh,
                Activation::ClippedSwiglu { .. } => return None,
                _ => Activation::Silu,
            };
            Some(())
        }
        _ => None,
    }),
    ("scale of latent scores", |spec| {
        latent(spec)?.scale *= 1.1;
        Some(())
    }),
    ("rotary base of latent attention", |spec| {
        let frequencies = latent(spec)?.rope.as_mut()?.inverse_frequencies.iter_mut().skip(1);
        frequencies.for_each(|frequency| *frequency *= 1.2);
        Some(())
    }),
    // Made so large that norms of what is far from zero show it.
    ("epsilon of the latent norm", |spec| {
        latent(spec)?.latent_norm.epsilon = 1.0;
        Some(())
    }),
    ("epsilon of the latent query's norm", |spec| {
        let norm = &mut latent(spec)?.query.as_mut()?.norm;
        norm.epsilon = 1.0;
        Some(())
    }),
    ("growth of latent queries dropped", |spec| drop_it(&mut latent(spec)?.query_growth)),
    ("gate of latent attention dropped", |spec| {
        let latent = latent(spec)?;
        (latent.gates > 0).then(|| latent.gates = 0)
    }),
    ("everything chosen", |spec| {
        let (Choice::Positions { count } | Choice::Blocks { count, .. }) = &mut indexer(spec)?.choice;
        *count = 1 << 20;
        Some(())
    }),
    ("one less chosen", |spec| {
        let (Choice::Positions { count } | Choice::Blocks { count, .. }) = &mut indexer(spec)?.choice;
        *count -= 1;
        Some(())
    }),
    ("larger blocks", |spec| match &mut indexer(spec)?.choice {
        Choice::Blocks { size, .. } => {
            *size += 1;
            Some(())
        }
        Choice::Positions { .. } => None,
    }),
    ("near blocks", |spec| match &mut indexer(spec)?.choice {
        Choice::Blocks { local, .. } => {
            *local = if *local == 0 { 1 } else { 0 };
            Some(())
        }
        Choice::Positions { .. } => None,
    }),
    // A head's scores may all grow: only its weights change the choice, so that one layer can go unseen.
    ("norms of index queries skipped", |spec| indexers(spec).filter_map(|i| drop_it(&mut i.query_norm)).last()),
    ("norm of index keys skipped", |spec| drop_it(&mut indexer(spec)?.key_norm)),
    ("bias of the index keys' norm dropped", |spec| drop_it(&mut indexer(spec)?.key_norm.as_mut()?.bias)),
    ("rotation of index queries and keys dropped", |spec| drop_it(&mut indexer(spec)?.rope)),
    ("rotary pairs of the indexer", |spec| {
        let rope = indexer(spec)?.rope.as_mut()?;
        rope.traditional = !rope.traditional;
        Some(())
    }),
    ("scale of scores of entries", |spec| compressed(spec, |_| true).map(|mixer| mixer.scale *= 1.1)),
    ("rotary base of entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.far.is_some())?;
        mixer.rope.inverse_frequencies.iter_mut().skip(1).for_each(|frequency| *frequency *= 1.2);
        Some(())
    }),
    ("rotary pairs of entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.far.is_some())?;
        mixer.rope.traditional = !mixer.rope.traditional;
        Some(())
    }),
    ("window beside entries one more", |spec| compressed(spec, |_| true).map(|mixer| mixer.window += 1)),
    ("window beside entries one less", |spec| compressed(spec, |_| true).map(|mixer| mixer.window -= 1)),
    ("entries unseen", |spec| drop_it(&mut compressed(spec, |mixer| mixer.far.is_some())?.far)),
    ("rounding of the window's keys", |spec| drop_it(&mut compressed(spec, |_| true)?.key_rounding)),
    ("rounding of entries", |spec| {
        drop_it(&mut compressed(spec, |mixer| mixer.compressor.is_some())?.compressor.as_mut()?.rounding)
    }),
    ("scales of rounded entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.compressor.is_some())?;
        match mixer.compressor.as_mut()?.rounding.as_mut()? {
            Activation::Float4 { fine, .. } => {
                *fine = false;
                Some(())
            }
            _ => None,
        }
    }),
    ("rounding of entries' index keys", |spec| drop_it(&mut entry_indexer(spec)?.rounding)),
    ("one entry less chosen", |spec| entry_indexer(spec).map(|indexer| indexer.count -= 1)),
    ("all entries chosen", |spec| entry_indexer(spec).map(|indexer| indexer.count = 1 << 20)),
    ("all entries are candidates", |spec| {
        spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
            Mixer::Compressed(mixer) => {
                let candidates = &mut mixer.indexer.as_mut()?.candidates;
                matches!(candidates, Candidates::Of(_)).then(|| *candidates = Candidates::All)
            }
            _ => None,
        })
    }),
    ("one block of candidates less", |spec| match &mut entry_indexer(spec)?.candidates {
        Candidates::Leaves { count, .. } => {
            *count -= 1;
            Some(())
        }
        _ => None,
    }),
    ("larger blocks of candidates", |spec| match &mut entry_indexer(spec)?.candidates {
        Candidates::Leaves { size, .. } => {
            *size += 1;
            Some(())
        }
        _ => None,
    }),
    ("epsilon of the norm of short queries beside entries", |spec| {
        compressed(spec, |_| true).map(|mixer| mixer.query.norm.epsilon = 1.0)
    }),
    ("epsilon of the norm of the window's keys", |spec| {
        compressed(spec, |_| true).map(|mixer| mixer.key_norm.epsilon = 1.0)
    }),
    ("epsilon of the norm of entries", |spec| {
        let mixer = compressed(spec, |mixer| mixer.compressor.is_some())?;
        mixer.compressor.as_mut().map(|compressor| compressor.norm.epsilon = 1.0)
    }),
    ("iterations of hyper-connections", |spec| {
        let [mixer, _] = first(spec)?.hyper.as_deref_mut()?;
        mixer.mixing.iterations = if mixer.mixing.iterations == 1 { 2 } else { 1 };
        Some(())
    }),
    ("epsilon of hyper-connections", |spec| {
        let [mixer, _] = first(spec)?.hyper.as_deref_mut()?;
        mixer.mixing.epsilon += 0.02;
        Some(())
    }),
    ("norm of hyper-connections", |spec| {
        let [mixer, _] = first(spec)?.hyper.as_deref_mut()?;
        epsilon(&mut mixer.norm)
    }),
    ("hyper-connections exchanged", |spec| {
        let both = first(spec)?.hyper.as_deref_mut()?;
        both.reverse();
        Some(())
    }),
    ("temperature of the router", |spec| {
        let routing = &mut moe(spec)?.routing;
        (routing.temperature != 1.0).then(|| routing.temperature = 1.0)
    }),
    ("limit of the experts' activation", |spec| match &mut moe(spec)?.mlp.activation {
        Activation::ClampedSwiglu { limit } => {
            *limit *= 0.5;
            Some(())
        }
        _ => None,
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
    ("shift of channel mixing", |spec| {
        let shift = time_mix(spec, 0)?.shifts.key.clone();
        match &mut first(spec)?.ffn {
            Ffn::ChannelMix(mix) => mix.shift = shift,
            _ => return None,
        }
        Some(())
    }),
    ("norm of the gated convolution", |spec| epsilon(&mut gated_conv(spec)?.key_norm)),
    ("chunk one more", |spec| {
        let attention = find(spec, |attention| attention.chunk.is_some())?;
        attention.chunk = attention.chunk.map(|chunk| chunk + 1);
        attention.window = attention.window.map(|window| window + 1);
        Some(())
    }),
    ("scale of values", |spec| {
        let attention = attention(spec)?;
        attention.value_dim?;
        attention.value_scale *= 1.2;
        Some(())
    }),
    ("shortcut dropped", |spec| drop_it(&mut first(spec)?.shortcut)),
    ("norm between loops", |spec| {
        let loops = spec.loops.as_mut()?;
        loops.normed = !loops.normed;
        Some(())
    }),
    ("cap of the router", |spec| drop_it(&mut moe(spec)?.routing.softcap)),
    ("balance of experts dropped", |spec| drop_it(&mut moe(spec)?.balance)),
    ("order of query heads", |spec| {
        let attention = find(spec, |attention| attention.strided)?;
        attention.strided = false;
        Some(())
    }),
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
    ("active stream", |spec| {
        let streams = spec.streams.as_mut()?;
        streams.active = (streams.active + 1) % streams.count();
        Some(())
    }),
    ("limit of the streams' coefficients", |spec| first(spec)?.altup.as_mut()?.clip.as_mut().map(|clip| *clip *= 0.5)),
    ("scale of the active stream", |spec| drop_it(&mut first(spec)?.altup.as_mut()?.output_scale)),
    ("side branch's norm", |spec| epsilon(&mut first(spec)?.altup.as_mut()?.laurel.norm)),
    ("norm of the streams' router", |spec| epsilon(&mut first(spec)?.altup.as_mut()?.norm)),
    ("sparsity", |spec| {
        spec.layers.iter_mut().find_map(|layer| match &mut layer.ffn {
            Ffn::Dense(mlp) => match &mut mlp.activation {
                Activation::SparseGeluTanh { deviations } => {
                    *deviations += 0.2;
                    Some(())
                }
                _ => None,
            },
            _ => None,
        })
    }),
    ("another block of layers", |spec| {
        let residuals = spec.layers.get_mut(1)?.residuals.as_mut()?;
        residuals.begins = !residuals.begins;
        Some(())
    }),
    ("norm of the mixer's residual query", |spec| {
        // The first layer has nothing to mix.
        epsilon(&mut spec.layers.get_mut(1)?.residuals.as_mut()?.mixer.norm)
    }),
    ("norm of the feed-forward block's residual query", |spec| epsilon(&mut first(spec)?.residuals.as_mut()?.ffn.norm)),
    ("residual queries exchanged", |spec| {
        let residuals = spec.layers.get_mut(1)?.residuals.as_mut()?;
        std::mem::swap(&mut residuals.mixer, &mut residuals.ffn);
        Some(())
    }),
    ("residual query of the head dropped", |spec| drop_it(&mut spec.residual_query)),
    ("bounds of SiTU", |spec| {
        let bound = |mlp: &mut Mlp| match &mut mlp.activation {
            Activation::Situ { beta, .. } => {
                *beta *= 1.2;
                Some(())
            }
            _ => None,
        };
        spec.layers.iter_mut().find_map(|layer| match &mut layer.ffn {
            Ffn::Dense(mlp) => bound(mlp),
            Ffn::Moe(moe) => bound(&mut moe.mlp),
            _ => None,
        })
    }),
    ("cap of SiTU dropped", |spec| match &mut first(spec)?.ffn {
        Ffn::Dense(Mlp { activation: Activation::Situ { cap, .. }, .. }) => drop_it(cap),
        _ => None,
    }),
    ("norm of narrow experts", |spec| epsilon(moe(spec)?.narrowing.as_mut()?.norm.as_mut()?)),
    ("mixer beside dropped", |spec| drop_it(&mut first(spec)?.beside)),
    ("gate of attention dropped", |spec| {
        let attention = find(spec, |attention| attention.gate.is_some())?;
        attention.gate = None;
        let rows = (attention.heads + 2 * attention.kv_heads) * attention.head_dim;
        let mut kept = 0;
        attention.qkv.retain(|part| {
            kept += part.outputs;
            kept <= rows
        });
        Some(())
    }),
    ("residual scale", |spec| {
        let layer = first(spec)?;
        (!layer.parallel && layer.residuals.is_none() && layer.hyper.is_none()).then(|| layer.residual_scale *= 1.1)
    }),
    ("parallel or not", |spec| {
        let layer = first(spec)?;
        layer.ffn_norm.as_ref()?;
        layer.mixer_norm.as_ref()?;
        // With several streams nothing is parallel, nor where a mixer takes in more than its first projection.
        if layer.altup.is_some()
            || layer.hyper.is_some()
            || layer.residuals.is_some()
            || matches!(layer.mixer, Mixer::TimeMix(_))
        {
            return None;
        }
        layer.parallel = !layer.parallel;
        Some(())
    }),
    ("embedding scale", |spec| {
        // A norm stands between unless something else reads the residual stream.
        (spec.embedding_scale != 1.0).then(|| spec.embedding_scale *= 1.2)
    }),
    ("logit scale", |spec| {
        spec.logit_scale *= 1.1;
        Some(())
    }),
    ("cap of logits", |spec| drop_it(&mut spec.logit_softcap)),
    ("norm of embeddings skipped", |spec| drop_it(&mut spec.embedding_norm)),
    ("positions dropped", |spec| drop_it(&mut spec.positions)),
    ("longer n-grams", |spec| {
        let last = spec.ngrams.as_mut()?.tables.last_mut()?;
        last.tokens += 1;
        Some(())
    }),
    ("tables of n-grams exchanged", |spec| {
        let tables = &mut spec.ngrams.as_mut()?.tables;
        let tokens: Vec<_> = tables.iter().map(|table| table.tokens).rev().collect();
        tables.iter_mut().zip(tokens).for_each(|(table, tokens)| table.tokens = tokens);
        Some(())
    }),
    ("per-layer inputs' scale", |spec| {
        spec.per_layer_inputs.as_mut()?.table_scale *= 1.2;
        Some(())
    }),
    ("output scale dropped", |spec| drop_it(&mut first(spec)?.output_scale)),
    ("one expert less", |spec| {
        let routing = &mut moe(spec)?.routing;
        (routing.top_k > 1).then(|| routing.top_k -= 1)
    }),
    ("weights of experts normalised or not", |spec| {
        let routing = &mut moe(spec)?.routing;
        routing.normalize = if routing.normalize.is_some() { None } else { Some(0.0) };
        Some(())
    }),
    ("scale of experts", |spec| {
        let moe = moe(spec)?;
        // A norm behind the experts takes it back.
        moe.post_norm.is_none().then(|| moe.routing.scale *= 1.2)
    }),
    ("correction of experts dropped", |spec| drop_it(&mut moe(spec)?.routing.correction)),
    ("groups of experts dropped", |spec| {
        moe(spec)?.routing.groups?;
        spec.layers.iter_mut().for_each(|layer| {
            if let Ffn::Moe(moe) = &mut layer.ffn {
                moe.routing.groups = None;
            }
        });
        Some(())
    }),
    ("shared expert dropped", |spec| drop_it(&mut moe(spec)?.shared)),
    ("gate of the shared expert dropped", |spec| drop_it(&mut moe(spec)?.shared.as_mut()?.gate)),
];

fn first(spec: &mut Spec) -> Option<&mut Layer> {
    spec.layers.first_mut()
}

fn attention(spec: &mut Spec) -> Option<&mut Attention> {
    find(spec, |_| true)
}

fn rotating(spec: &mut Spec) -> Option<&mut Attention> {
    find(spec, |attention| attention.rope.is_some())
}

fn sliding(spec: &mut Spec) -> Option<&mut Attention> {
    find(spec, |attention| attention.window.is_some_and(|window| window > 1))
}

fn find(spec: &mut Spec, fits: impl Fn(&Attention) -> bool) -> Option<&mut Attention> {
    spec.layers.iter_mut().find_map(|layer| {
        let Mixer::Attention(attention) = &mut layer.mixer else { return None };
        fits(attention).then_some(attention)
    })
}

fn latent(spec: &mut Spec) -> Option<&mut LatentAttention> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::Latent(latent) => Some(&mut **latent),
        _ => None,
    })
}

fn compressed(spec: &mut Spec, fits: impl Fn(&CompressedAttention) -> bool) -> Option<&mut CompressedAttention> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::Compressed(mixer) if fits(mixer) => Some(&mut **mixer),
        _ => None,
    })
}

fn entry_indexer(spec: &mut Spec) -> Option<&mut EntryIndexer> {
    compressed(spec, |mixer| mixer.indexer.is_some())?.indexer.as_mut()
}

fn indexer(spec: &mut Spec) -> Option<&mut Indexer> {
    indexers(spec).next()
}

/// Those that have something to choose from.
fn indexers(spec: &mut Spec) -> impl Iterator<Item = &mut Indexer> {
    let mixers = spec.layers.iter_mut().map(|layer| &mut layer.mixer);
    let indexers = mixers.filter_map(|mixer| match mixer {
        Mixer::Attention(attention) => attention.indexer.as_deref_mut(),
        Mixer::Latent(latent) => latent.indexer.as_mut(),
        _ => None,
    });
    indexers.filter(|indexer| indexer.choice.limit() < 40)
}

fn delta(spec: &mut Spec) -> Option<&mut GatedDelta> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.mixer {
        Mixer::GatedDelta(delta) => Some(delta),
        _ => None,
    })
}

fn time_mix(spec: &mut Spec, layer: usize) -> Option<&mut TimeMix> {
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

fn moe(spec: &mut Spec) -> Option<&mut Moe> {
    spec.layers.iter_mut().find_map(|layer| match &mut layer.ffn {
        Ffn::Moe(moe) => Some(&mut **moe),
        _ => None,
    })
}

fn epsilon(norm: &mut Norm) -> Option<()> {
    norm.epsilon = (norm.epsilon * 1000.0).max(1.0);
    Some(())
}

/// Takes a part away, if it is there.
fn drop_it<T>(slot: &mut Option<T>) -> Option<()> {
    slot.take().map(|_| ())
}
