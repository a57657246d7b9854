//! Every operation against plain scalar code, on MLX's CPU device.

mod attention;
mod cache;
mod delta_rule;
mod entries;
mod linear;
mod ops;
mod recurrent;
mod reference;
mod support;

pub(crate) use support::on_worker;
