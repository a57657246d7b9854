//! Attention to keys and values, and its rotation.

use super::{Changes, drop_it, epsilon};
use crate::arch::spec::{Attention, Mixer, Spec};

pub(super) const CHANGES: Changes = &[
    ("epsilon of query norms", |spec| epsilon(attention(spec)?.query_norm.as_mut()?)),
    ("query norm skipped", |spec| drop_it(&mut attention(spec)?.query_norm)),
    ("key norm skipped", |spec| drop_it(&mut attention(spec)?.key_norm)),
    ("value norm skipped", |spec| drop_it(&mut attention(spec)?.value_norm)),
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
    ("norm before the output skipped", |spec| drop_it(&mut attention(spec)?.output_norm)),
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
    ("order of query heads", |spec| {
        let attention = find(spec, |attention| attention.strided)?;
        attention.strided = false;
        Some(())
    }),
    ("epsilon of the norm before the gate", |spec| {
        let attention = find(spec, |attention| attention.gate.is_some())?;
        epsilon(attention.output_norm.as_mut()?)
    }),
    ("gate of attention dropped", |spec| {
        let attention = find(spec, |attention| attention.gate.is_some())?;
        attention.gate = None;
        let rows = (attention.heads + 2 * attention.kv_heads) * attention.head_dim;
        if let [all] = attention.qkv.as_mut_slice() {
            all.part = Some((0, all.outputs));
            all.outputs = rows;
            return Some(());
        }
        let mut kept = 0;
        attention.qkv.retain(|part| {
            kept += part.outputs;
            kept <= rows
        });
        Some(())
    }),
];

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
