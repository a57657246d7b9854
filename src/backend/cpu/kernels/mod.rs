//! The inner loops, each written once over [`Simd`](super::simd::Simd).

mod activate;
mod byte_span;
mod bytes;
mod code_span;
mod codes;
mod delta;
mod dequantize;
mod dots;
mod hadamard;
mod index;
mod layer_norm;
mod panel;
mod quantize;
mod queries;
mod rows;
mod span;
mod state_space;
mod stored;

pub(super) use activate::{ActivateRows, SigmoidGateRows, SoftcapRows};
pub(super) use byte_span::ByteSpan;
pub(super) use bytes::{Append, ByteQuery, QuantizeQueries};
pub(super) use code_span::CodeSpan;
pub(super) use codes::{CodesOfOneRow, CodesOfRows, block, room_of_one_row, room_of_rows};
pub(super) use delta::{DeltaHead, DeltaKeep};
pub(super) use dequantize::{Dequantize, Widen};
pub(super) use dots::{DotsOfOneRow, DotsOfRows, OUTPUT_TILE};
pub(super) use hadamard::RotateBlocks;
pub(super) use index::IndexScores;
pub(super) use layer_norm::NormPieces;
pub(super) use quantize::{Quantize, Quantized};
pub(super) use queries::{Chosen, Merge, Queries, State};
pub(super) use rows::{ArgMax, NormRows, SiluRows};
pub(super) use span::Span;
pub(super) use state_space::{StateSpaceHeads, StateSpaceKeep};
pub(super) use stored::{Float, Format, Stored};
