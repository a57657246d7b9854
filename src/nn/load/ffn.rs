//! Loads feed-forward blocks.

use std::slice::from_ref;

use super::Builder;
use crate::arch::spec::{self, Activation};
use crate::backend::{Backend, ExpertsData};
use crate::error::Result;
use crate::nn::layer::{ChannelMix, Ffn, Mlp, Moe, Narrowing, SharedExpert};
use crate::weights;

impl<B: Backend> Builder<B> {
    pub(super) fn ffn(&self, ffn: &spec::Ffn) -> Result<Ffn<B>> {
        Ok(match ffn {
            spec::Ffn::Dense(mlp) => Ffn::Dense(self.mlp(mlp)?),
            spec::Ffn::Moe(moe) => Ffn::Moe(Box::new(self.moe(moe)?)),
            spec::Ffn::Linear(linear) => Ffn::Linear(self.linear(from_ref(linear))?),
            spec::Ffn::ChannelMix(mix) => Ffn::ChannelMix(Box::new(self.channel_mix(mix)?)),
            spec::Ffn::None => Ffn::None,
        })
    }

    pub(super) fn mlp(&self, mlp: &spec::Mlp) -> Result<Mlp<B>> {
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

    pub(super) fn moe(&self, moe: &spec::Moe) -> Result<Moe<B>> {
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

    fn channel_mix(&self, mix: &spec::ChannelMix) -> Result<ChannelMix<B>> {
        Ok(ChannelMix {
            shift: vec![self.vector(&mix.shift, mix.key.inputs)?],
            key: self.linear(from_ref(&mix.key))?,
            value: self.linear(from_ref(&mix.value))?,
        })
    }
}
