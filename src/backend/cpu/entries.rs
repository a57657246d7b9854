//! Entries that stand for several positions: made of them, kept, and chosen for each row.

use std::sync::atomic::AtomicU64;

use super::Cpu;
use super::attention::Heads;
use super::cache::KvCache;
use super::disjoint::Disjoint;
use super::head::BLOCK;
use super::index::{self, Bits, Choice, highest, mark};
use super::kernels::IndexScores;
use super::prepare::prepare;
use super::recurrent::{Kept, State};
use super::tensor::Tensor;
use crate::arch::spec::{Candidates, EntryIndexer};
use crate::backend::{AttentionExtras, AttentionParams, Cache, EntryChoice, EntryInput, HeadPart, Rows, Segment};
use crate::error::{Error, Result};

/// See [`Backend::pool`](crate::backend::Backend::pool).
pub(super) fn pool(cpu: &Cpu, x: &Tensor, ratio: usize, rows: &Rows, states: &mut [State]) -> Result<Option<Tensor>> {
    let (both, data) = (x.width(), x.data());
    let width = both / 2;
    if ratio == 0 || width == 0 || both != 2 * width || x.rows() != rows.len() || states.len() != rows.segments().len()
    {
        let message = format!("{} × {both} of {rows:?} to pool by {ratio}, {} states", x.rows(), states.len());
        return Err(Error::internal(message));
    }
    let before: Vec<Kept> = states.iter().map(|state| state.history.clone()).collect();
    let mut members: Vec<&[f32]> = Vec::new();
    for ((segment, state), before) in rows.segments().iter().zip(states).zip(&before) {
        if before.len() != segment.position % ratio * both {
            let message = format!("{} numbers wait at position {}", before.len(), segment.position);
            return Err(Error::internal(message));
        }
        let own = &data[segment.start * both..][..segment.len * both];
        let all: Vec<&[f32]> = before.chunks_exact(both).chain(own.chunks_exact(both)).collect();
        let (full, rest) = all.split_at(all.len() / ratio * ratio);
        members.extend(full);
        state.history = Kept::copy(cpu, &rest.concat())?;
    }
    if members.is_empty() {
        return Ok(None);
    }
    let members = &*members;
    let pooled = super::elementwise::rows(cpu, members.len() / ratio, width, |first, out| {
        for (members, out) in members[first * ratio..].chunks_exact(ratio).zip(out.chunks_exact_mut(width)) {
            for (column, out) in out.iter_mut().enumerate() {
                let gate = |member: &&[f32]| member[width + column];
                let most = members.iter().map(gate).fold(f32::NEG_INFINITY, f32::max);
                let (mut sum, mut weights) = (0.0, 0.0);
                for member in members {
                    let weight = f64::from(gate(member) - most).exp();
                    sum += weight * f64::from(member[column]);
                    weights += weight;
                }
                *out = (sum / weights) as f32;
            }
        }
    });
    pooled.map(Some)
}

/// See [`Backend::keep`](crate::backend::Backend::keep).
pub(super) fn keep(cpu: &Cpu, x: &Tensor, rows: &Rows, caches: &mut [&mut KvCache]) -> Result<()> {
    let width = x.width();
    let fits = |cache: &KvCache| cache.layout().kv_heads == 1 && cache.layout().head_dim == width;
    if x.rows() != rows.len()
        || caches.len() != rows.segments().len()
        || !caches.iter().zip(rows.segments()).all(|(cache, s)| fits(cache) && cache.len() == s.position)
    {
        return Err(Error::internal(format!("{} × {width} to keep of {rows:?}, {} caches", x.rows(), caches.len())));
    }
    if caches.iter().any(|cache| cache.layout().index) {
        return rows.segments().iter().zip(caches).try_for_each(|(segment, cache)| index::append(cache, x, segment));
    }
    let both = super::heads::join_heads(cpu, &[HeadPart::Own(x), HeadPart::Own(x)], 1)?;
    let heads = Heads { heads: 0, kv_heads: 1, group: 0, head_dim: width };
    let params = AttentionParams {
        heads: 0,
        kv_heads: 1,
        head_dim: width,
        scale: 1.0,
        query_norm: None,
        key_norm: None,
        rope: None,
        window: None,
        extras: AttentionExtras::default(),
    };
    prepare(cpu, &both, &params, heads, rows, caches)?;
    rows.segments().iter().zip(caches).for_each(|(segment, cache)| cache.advance(segment.len));
    Ok(())
}

/// See [`Backend::choose_entries`](crate::backend::Backend::choose_entries).
pub(super) fn choose_entries(
    cpu: &Cpu,
    input: EntryInput<'_, Cpu>,
    indexer: &EntryIndexer,
    rows: &Rows,
    caches: &[&KvCache],
) -> Result<EntryChoice<Cpu>> {
    check(input, indexer, rows, caches)?;
    let (mut chosen, mut candidates) = (Vec::new(), Vec::new());
    for (at, (segment, cache)) in rows.segments().iter().zip(caches).enumerate() {
        if cache.len() == 0 {
            chosen.push(None);
            candidates.push(None);
            continue;
        }
        let among = input.among.map(|choice| {
            let missing = || Error::internal("entries without candidates among them");
            choice.segments.get(at).and_then(Option::as_ref).ok_or_else(missing)
        });
        let [own, left] = choose_segment(cpu, input, among.transpose()?, indexer, segment, cache)?;
        chosen.push(Some(own));
        candidates.push(Some(left));
    }
    let leaves = matches!(indexer.candidates, Candidates::Leaves { .. });
    Ok(EntryChoice {
        chosen: Choice { heads: 1, segments: chosen },
        candidates: leaves.then_some(Choice { heads: 1, segments: candidates }),
    })
}

fn check(input: EntryInput<'_, Cpu>, indexer: &EntryIndexer, rows: &Rows, caches: &[&KvCache]) -> Result<()> {
    input.queries.expect_width(indexer.query_width(), "queries of an indexer of entries")?;
    input.weights.expect_width(indexer.heads, "weights of an indexer of entries")?;
    let fits = |cache: &KvCache, segment: &Segment| {
        let layout = cache.layout();
        let entries = (segment.position + segment.len) / indexer.ratio.max(1);
        layout.index && layout.head_dim == indexer.head_dim && cache.len() == entries
    };
    if indexer.ratio == 0
        || indexer.head_dim == 0
        || input.queries.rows() != rows.len()
        || input.weights.rows() != rows.len()
        || caches.len() != rows.segments().len()
        || input.among.is_some() != matches!(indexer.candidates, Candidates::Of(_))
        || !caches.iter().zip(rows.segments()).all(|(cache, segment)| fits(cache, segment))
    {
        return Err(Error::internal(format!("{indexer:?} for {rows:?}: {} caches", caches.len())));
    }
    Ok(())
}

/// What the rows of a segment see, and what they leave.
fn choose_segment(
    cpu: &Cpu,
    input: EntryInput<'_, Cpu>,
    among: Option<&Bits>,
    indexer: &EntryIndexer,
    segment: &Segment,
    cache: &KvCache,
) -> Result<[Bits; 2]> {
    let blocks: Vec<&[f32]> = cache.blocks().1.collect();
    let (words, heads, head_dim) = (blocks.len(), indexer.heads, indexer.head_dim);
    if among.is_some_and(|among| among.words != words) {
        return Err(Error::internal(format!("candidates of another number of blocks than {words}")));
    }
    let none = || -> Vec<AtomicU64> { (0..segment.len * words).map(|_| AtomicU64::new(0)).collect() };
    let (chosen, left) = (none(), none());
    // Scores of a block, of all entries, and of blocks of candidates.
    let room = heads * BLOCK + 2 * words * BLOCK;
    let mut scratch = cpu.arena.allocate(room * cpu.pool.threads())?;
    let scratch = Disjoint::new(&mut scratch);
    let (level, queries, weights) = (cpu.level, input.queries.data(), input.weights.data());
    cpu.run(segment.len > 1, segment.len, |thread, row| {
        // SAFETY: no other call has this thread's number.
        let (block_scores, scores) = unsafe { scratch.part(thread * room, room) }.split_at_mut(heads * BLOCK);
        let (scores, best) = scores.split_at_mut(words * BLOCK);
        let seen = (segment.position + row + 1) / indexer.ratio;
        let at = segment.start + row;
        let queries = &queries[at * heads * head_dim..][..heads * head_dim];
        let weights = Some(&weights[at * heads..][..heads]);
        let chosen = &chosen[row * words..][..words];
        let known = match indexer.candidates {
            Candidates::Leaves { size, count } if seen.div_ceil(size) > count => Some((size, count)),
            _ => None,
        };
        if known.is_none() {
            mark(&left[row * words..][..words], 0..seen);
        }
        if seen <= indexer.count && known.is_none() && among.is_none() {
            mark(chosen, 0..seen);
            return;
        }
        for (block, out) in scores.chunks_exact_mut(BLOCK).enumerate().take(seen.div_ceil(BLOCK)) {
            let keys = &blocks[block][..BLOCK * head_dim];
            level.run(IndexScores { queries, head_dim, weights, keys, scores: &mut *block_scores });
            out.copy_from_slice(&block_scores[..BLOCK]);
        }
        let scores = &mut scores[..seen];
        if let Some((size, count)) = known {
            let best = &mut best[..seen.div_ceil(size)];
            for (best, scores) in best.iter_mut().zip(scores.chunks(size)) {
                *best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            }
            // The last block may have few entries yet.
            best.iter_mut().last().into_iter().for_each(|best| *best = f32::INFINITY);
            let left = &left[row * words..][..words];
            highest(best, count, |block| mark(left, block * size..((block + 1) * size).min(seen)));
        }
        if let Some(among) = among {
            for (entry, score) in scores.iter_mut().enumerate() {
                if among.bits[row * words + entry / BLOCK] >> (entry % BLOCK) & 1 == 0 {
                    *score = f32::NEG_INFINITY;
                }
            }
        }
        highest(scores, indexer.count, |entry| {
            if scores[entry] > f32::NEG_INFINITY {
                mark(chosen, entry..entry + 1);
            }
        });
    })?;
    Ok([chosen, left].map(|bits| Bits { words, bits: bits.into_iter().map(AtomicU64::into_inner).collect() }))
}
