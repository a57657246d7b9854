//! Tensor names of families that call their parts otherwise than most.

use super::spec::{
    Conv, Expansion, Ffn, Indexer, LatentAttention, Layer, Linear, Mixer, Mlp, Norm, ResidualQuery, Selection, Spec,
    StateSpace,
};

impl Spec {
    /// The same model with other names: each of `renames` replaces its first part by its second where it occurs.
    pub(super) fn renamed(mut self, renames: &[(&str, &str)]) -> Self {
        self.for_each_name(&mut |name| {
            for (from, to) in renames {
                if name.contains(from) {
                    *name = name.replace(from, to);
                }
            }
        });
        self
    }

    /// The same model as a part of another: all names begin with `prefix`.
    pub(super) fn within(mut self, prefix: &str) -> Self {
        self.for_each_name(&mut |name| name.insert_str(0, prefix));
        self
    }

    fn for_each_name(&mut self, f: &mut dyn FnMut(&mut String)) {
        f(&mut self.embedding.name);
        optional_norm(&mut self.embedding_norm, f);
        optional_linear(&mut self.positions, f);
        if let Some(inputs) = &mut self.per_layer_inputs {
            f(&mut inputs.table.name);
            f(&mut inputs.projection.name);
            norm(&mut inputs.norm, f);
        }
        for ngram in self.ngrams.iter_mut().flat_map(|ngrams| &mut ngrams.tables) {
            f(&mut ngram.table.name);
            f(&mut ngram.projection.name);
        }
        if let Some(streams) = &mut self.streams {
            streams.widen.iter_mut().chain(&mut streams.narrow).for_each(|linear| f(&mut linear.name));
        }
        self.layers.iter_mut().for_each(|layer| layer.for_each_name(f));
        self.residual_query.iter_mut().for_each(|slot| query(slot, f));
        norm(&mut self.final_norm, f);
        optional_linear(&mut self.head, f);
        self.logit_gain.iter_mut().for_each(f);
    }
}

impl Layer {
    /// The same layer with other names, as by [`Spec::renamed`].
    pub(super) fn renamed(mut self, renames: &[(String, String)]) -> Self {
        self.for_each_name(&mut |name| {
            for (from, to) in renames {
                *name = name.replace(from, to);
            }
        });
        self
    }

    fn for_each_name(&mut self, f: &mut dyn FnMut(&mut String)) {
        let norms = [&mut self.mixer_norm, &mut self.mixer_post_norm, &mut self.ffn_norm, &mut self.ffn_post_norm];
        norms.into_iter().for_each(|norm| optional_norm(norm, f));
        [&mut self.mixer].into_iter().chain(&mut self.beside).for_each(|part| mixer(part, f));
        [&mut self.ffn].into_iter().chain(&mut self.shortcut).for_each(|part| ffn(part, f));
        if let Some(input) = &mut self.per_layer_input {
            f(&mut input.gate.name);
            f(&mut input.projection.name);
            norm(&mut input.norm, f);
        }
        self.output_scale.iter_mut().for_each(&mut *f);
        self.stream_factors.iter_mut().flat_map(|factors| factors.iter_mut()).for_each(&mut *f);
        if let Some(gains) = &mut self.gains {
            [&mut gains.mixer, &mut gains.ffn, &mut gains.embedding].into_iter().for_each(&mut *f);
        }
        if let Some(altup) = &mut self.altup {
            let linears = [&mut altup.router, &mut altup.prediction, &mut altup.correction];
            let laurel = [&mut altup.laurel.left, &mut altup.laurel.right];
            linears.into_iter().chain(laurel).for_each(|linear| f(&mut linear.name));
            norm(&mut altup.norm, f);
            norm(&mut altup.laurel.norm, f);
            altup.output_scale.iter_mut().for_each(&mut *f);
        }
        if let Some(residuals) = &mut self.residuals {
            [&mut residuals.mixer, &mut residuals.ffn].into_iter().for_each(|slot| query(slot, f));
        }
        for connection in self.hyper.iter_mut().flat_map(|both| both.iter_mut()) {
            [&mut connection.mixture.name, &mut connection.base, &mut connection.scale].into_iter().for_each(&mut *f);
        }
    }
}

fn query(query: &mut ResidualQuery, f: &mut dyn FnMut(&mut String)) {
    f(&mut query.query);
    norm(&mut query.norm, f);
}

fn mixer(mixer: &mut Mixer, f: &mut dyn FnMut(&mut String)) {
    match mixer {
        Mixer::Attention(attention) => {
            attention.qkv.iter_mut().for_each(|linear| f(&mut linear.name));
            f(&mut attention.output.name);
            let norms = [&mut attention.query_norm, &mut attention.key_norm, &mut attention.value_norm];
            norms.into_iter().for_each(|norm| optional_norm(norm, f));
            attention.output_norm.iter_mut().for_each(|slot| norm(slot, f));
            attention.sinks.iter_mut().for_each(&mut *f);
            if let Some(conv) = &mut attention.conv {
                [&mut conv.key, &mut conv.value].into_iter().for_each(&mut *f);
            }
            if let Some(rounding) = &mut attention.rounding {
                [&mut rounding.key, &mut rounding.value].into_iter().for_each(&mut *f);
            }
            if let Some(look) = &mut attention.second_look {
                f(&mut look.gate.name);
            }
            attention.indexer.iter_mut().for_each(|part| indexer(part, f));
        }
        Mixer::ShortConv(short) => {
            f(&mut short.input.name);
            conv(&mut short.conv, f);
            f(&mut short.output.name);
        }
        Mixer::Latent(mixer) => latent(mixer, f),
        Mixer::Compressed(mixer) => {
            mixer.linears_mut().into_iter().for_each(|linear| f(&mut linear.name));
            mixer.norms_mut().into_iter().for_each(|part| norm(part, f));
            f(&mut mixer.sinks);
        }
        Mixer::GatedDelta(delta) => {
            delta.input.iter_mut().for_each(|linear| f(&mut linear.name));
            if let Some(gates) = &mut delta.short_gates {
                optional_linear(&mut gates.gate, f);
                f(&mut gates.decay.name);
            }
            conv(&mut delta.conv, f);
            f(&mut delta.decay);
            f(&mut delta.step);
            norm(&mut delta.norm, f);
            f(&mut delta.output.name);
        }
        Mixer::StateSpace(space) => state_space(space, f),
        Mixer::Linear(linear) => {
            linear.input.iter_mut().chain([&mut linear.output]).for_each(|part| f(&mut part.name));
            let norms = linear.query_norm.iter_mut().chain(&mut linear.key_norm).chain([&mut linear.norm]);
            norms.for_each(|part| norm(part, f));
        }
        Mixer::GatedConv(mixer) => {
            mixer.input.iter_mut().chain([&mut mixer.output]).for_each(|part| f(&mut part.name));
            [&mut mixer.query_norm, &mut mixer.key_norm].into_iter().for_each(|part| norm(part, f));
            conv(&mut mixer.conv, f);
        }
        Mixer::Recurrence(mixer) => {
            mixer.input.iter_mut().chain([&mut mixer.output]).for_each(|part| f(&mut part.name));
            conv(&mut mixer.conv, f);
            for gate in [&mut mixer.input_gate, &mut mixer.keep_gate] {
                [&mut gate.weight, &mut gate.bias].into_iter().for_each(&mut *f);
            }
            f(&mut mixer.decay);
        }
        Mixer::TimeMix(mix) => {
            mix.shifts.names_mut().into_iter().for_each(&mut *f);
            [&mut mix.key_scale, &mut mix.key_rate, &mut mix.bonus].into_iter().for_each(&mut *f);
            mix.linears_mut().into_iter().for_each(|linear| f(&mut linear.name));
            norm(&mut mix.norm, f);
        }
        Mixer::None => {}
    }
}

fn latent(latent: &mut LatentAttention, f: &mut dyn FnMut(&mut String)) {
    latent.input.iter_mut().for_each(|linear| f(&mut linear.name));
    if let Some(query) = &mut latent.query {
        norm(&mut query.norm, f);
        query.linear.iter_mut().for_each(|linear| f(&mut linear.name));
    }
    norm(&mut latent.latent_norm, f);
    match &mut latent.expansion {
        Expansion::Absorbed { queries, values } => [queries, values].into_iter().for_each(|linear| f(&mut linear.name)),
        Expansion::Full(parts) => parts.iter_mut().for_each(|linear| f(&mut linear.name)),
    }
    latent.indexer.iter_mut().for_each(|part| indexer(part, f));
    f(&mut latent.output.name);
}

fn indexer(indexer: &mut Indexer, f: &mut dyn FnMut(&mut String)) {
    [&mut indexer.query_norm, &mut indexer.key_norm].into_iter().for_each(|part| optional_norm(part, f));
}

fn state_space(space: &mut StateSpace, f: &mut dyn FnMut(&mut String)) {
    space.input.iter_mut().for_each(|linear| f(&mut linear.name));
    conv(&mut space.conv, f);
    match &mut space.selection {
        Selection::Input { bias } => f(bias),
        Selection::Inner(inner) => {
            inner.projection.iter_mut().for_each(|linear| f(&mut linear.name));
            inner.norms.iter_mut().flatten().for_each(|part| norm(part, f));
            f(&mut inner.step.name);
            inner.bias.iter_mut().for_each(&mut *f);
        }
    }
    f(&mut space.decay);
    f(&mut space.skip);
    optional_norm(&mut space.norm, f);
    f(&mut space.output.name);
}

fn conv(conv: &mut Conv, f: &mut dyn FnMut(&mut String)) {
    conv.weights.iter_mut().for_each(&mut *f);
    conv.biases.iter_mut().for_each(f);
}

fn ffn(ffn: &mut Ffn, f: &mut dyn FnMut(&mut String)) {
    match ffn {
        Ffn::Dense(dense) => mlp(dense, f),
        Ffn::Moe(moe) => {
            f(&mut moe.router.name);
            optional_linear(&mut moe.balance, f);
            let norms = [&mut moe.router_norm, &mut moe.norm, &mut moe.expert_norm, &mut moe.post_norm];
            norms.into_iter().for_each(|norm| optional_norm(norm, f));
            let routing = &mut moe.routing;
            routing.correction.iter_mut().chain(&mut routing.expert_scale).for_each(&mut *f);
            if let Some(narrowing) = &mut moe.narrowing {
                f(&mut narrowing.down.name);
                f(&mut narrowing.up.name);
                optional_norm(&mut narrowing.norm, f);
            }
            mlp(&mut moe.mlp, f);
            if let Some(shared) = &mut moe.shared {
                mlp(&mut shared.mlp, f);
                optional_norm(&mut shared.norm, f);
                optional_norm(&mut shared.post_norm, f);
                optional_linear(&mut shared.gate, f);
            }
        }
        Ffn::Linear(linear) => f(&mut linear.name),
        Ffn::ChannelMix(mix) => [&mut mix.shift, &mut mix.key.name, &mut mix.value.name].into_iter().for_each(f),
        Ffn::None => {}
    }
}

fn mlp(mlp: &mut Mlp, f: &mut dyn FnMut(&mut String)) {
    mlp.gate_up.iter_mut().for_each(|linear| f(&mut linear.name));
    f(&mut mlp.down.name);
    mlp.norm.iter_mut().for_each(|slot| norm(slot, f));
    mlp.activation_name.iter_mut().for_each(f);
}

fn norm(norm: &mut Norm, f: &mut dyn FnMut(&mut String)) {
    norm.weights.iter_mut().chain(&mut norm.times).chain(&mut norm.bias).chain(&mut norm.input).for_each(f);
}

fn optional_norm(slot: &mut Option<Norm>, f: &mut dyn FnMut(&mut String)) {
    slot.iter_mut().for_each(|slot| norm(slot, f));
}

fn optional_linear(slot: &mut Option<Linear>, f: &mut dyn FnMut(&mut String)) {
    slot.iter_mut().for_each(|linear| f(&mut linear.name));
}
