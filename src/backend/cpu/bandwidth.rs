//! How fast this machine's threads read memory together.

use std::hint::black_box;
use std::time::Instant;

use super::Pool;
use super::buffer::Lines;
use crate::error::Result;

/// Floats that are read: more than caches hold (512 MiB).
const FLOATS: usize = 128 << 20;
/// Floats of a thread's piece of work.
const CHUNK: usize = 1 << 20;
/// Passes, of which the best counts: others may be using the machine.
const PASSES: usize = 3;

/// Bytes per second that all threads of `pool` read together, one after the other in memory.
pub(super) fn read_bytes_per_second(pool: &Pool) -> Result<f64> {
    let memory = Lines::zeroed(FLOATS, "measuring how fast memory is read")?;
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let began = Instant::now();
        pool.run(memory.len() / CHUNK, |_, chunk| {
            let floats = &memory[chunk * CHUNK..(chunk + 1) * CHUNK];
            let sum = floats.iter().fold(0u32, |sum, x| sum.wrapping_add(x.to_bits()));
            black_box(sum);
        })?;
        best = best.min(began.elapsed().as_secs_f64());
    }
    Ok(memory.bytes() as f64 / best)
}
