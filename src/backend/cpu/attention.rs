//! Attention: rotates and stores the new keys and values, then splits the queries over the threads.

use std::ops::Range;

use super::Cpu;
use super::buffer::Buffer;
use super::cache::KvCache;
use super::disjoint::Disjoint;
use super::elementwise::SERIAL_NUMBERS;
use super::head::{BLOCK, Format};
use super::kernels::{ByteQuery, ByteSpan, CodeSpan, Merge, Queries, Span, State};
use super::norm::{Norm, norm_heads};
use super::prepare::{prepare, prepare_queries};
use super::simd::{LANES, Level};
use super::tensor::Tensor;
use crate::backend::{AttentionExtras, AttentionParams, Cache, Rows};
use crate::error::{Error, Result};

/// Blocks of a span, the piece of a sequence that one thread takes.
const SPAN: usize = 8;

/// Queries that share the reading of a block.
const QUERIES: usize = 48;

/// Products below which attention isn't worth waking threads for.
const SERIAL_PRODUCTS: usize = 64 << 10;

/// Sizes of the heads.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub heads: usize,
    pub kv_heads: usize,
    /// Query heads of a key head.
    pub group: usize,
    pub head_dim: usize,
}

/// What a thread reads of a cache.
struct Blocks<'a> {
    blocks: Vec<&'a [f32]>,
    dropped: usize,
    len: usize,
}

/// Consecutive positions of a segment that attend together, for one key head.
struct Tile<'a> {
    format: Format,
    own: Part<'a>,
    /// Entries of another cache.
    far: Option<Part<'a>>,
    kv_head: usize,
    /// A score for each query head that only takes weight away.
    sinks: Option<&'a [f32]>,
    /// Row of the batch.
    row: usize,
}

/// The queries of a tile, and what they read of one cache.
struct Part<'a> {
    queries: Queries<'a>,
    blocks: &'a Blocks<'a>,
    /// Spans that any query sees.
    spans: Range<usize>,
}

impl<'a> Part<'a> {
    fn new(queries: Queries<'a>, blocks: &'a Blocks<'a>) -> Self {
        let visible = queries.visible();
        Self { queries, blocks, spans: visible.start / (SPAN * BLOCK)..visible.end.div_ceil(SPAN * BLOCK) }
    }
}

/// See [`Backend::attention`](crate::backend::Backend::attention).
pub(super) fn attention(
    cpu: &Cpu,
    qkv: &Tensor,
    params: &AttentionParams<'_, Cpu>,
    rows: &Rows,
    caches: &mut [&mut KvCache],
) -> Result<Tensor> {
    let heads = check(cpu, qkv, params, rows, caches)?;
    let (normed, params) = early_norms(cpu, qkv, params)?;
    let queries = prepare(cpu, normed.as_ref().unwrap_or(qkv), &params, heads, rows, caches)?;
    let views: Vec<&KvCache> = caches.iter().map(|cache| &**cache).collect();
    let out = attend(cpu, &queries, &params, heads, rows, &views)?;
    for (segment, cache) in rows.segments().iter().zip(caches) {
        cache.advance(segment.len);
    }
    Ok(out)
}

/// See [`Backend::attention_shared`](crate::backend::Backend::attention_shared).
pub(super) fn attention_shared(
    cpu: &Cpu,
    queries: &Tensor,
    params: &AttentionParams<'_, Cpu>,
    rows: &Rows,
    caches: &[&KvCache],
) -> Result<Tensor> {
    let AttentionParams { heads, kv_heads, head_dim, .. } = *params;
    queries.expect_width(heads * head_dim, "shared attention")?;
    if kv_heads == 0 || !heads.is_multiple_of(kv_heads) || queries.rows() != rows.len() {
        return Err(Error::internal(format!("{} rows of {heads} heads over {kv_heads}", queries.rows())));
    }
    for (segment, cache) in rows.segments().iter().zip(caches) {
        let layout = cache.layout();
        if layout.kv_heads != kv_heads || layout.head_dim != head_dim || cache.len() != segment.position + segment.len {
            return Err(Error::internal(format!("shared attention over a cache of {layout:?}")));
        }
    }
    let heads = Heads { heads, kv_heads, group: heads / kv_heads, head_dim };
    let (normed, params) = early_norms(cpu, queries, params)?;
    let queries = prepare_queries(cpu, normed.as_ref().unwrap_or(queries), &params, heads, rows)?;
    attend(cpu, &queries, &params, heads, rows, caches)
}

/// Applies norms that go over more than a head, or differ from head to head, and takes them off the list.
fn early_norms<'a>(
    cpu: &Cpu,
    qkv: &Tensor,
    params: &AttentionParams<'a, Cpu>,
) -> Result<(Option<Tensor>, AttentionParams<'a, Cpu>)> {
    let fits = |norm: &&Norm| norm.is_simple() && norm.size() == params.head_dim;
    let (query, key) = (params.query_norm, params.key_norm);
    let mut rest = AttentionParams { extras: AttentionExtras { ..params.extras }, ..*params };
    (rest.query_norm, rest.key_norm) = (query.filter(fits), key.filter(fits));
    let (query, key) = (query.filter(|norm| !fits(norm)), key.filter(|norm| !fits(norm)));
    if query.is_none() && key.is_none() {
        return Ok((None, rest));
    }
    if params.extras.norm_after_rope {
        return Err(Error::unsupported("norms over several heads after the rotary embedding"));
    }
    let widths = (params.heads * params.head_dim, params.kv_heads * params.head_dim);
    Ok((Some(norm_heads(cpu, qkv, query, key, widths)?), rest))
}

fn check(
    cpu: &Cpu,
    qkv: &Tensor,
    params: &AttentionParams<'_, Cpu>,
    rows: &Rows,
    caches: &[&mut KvCache],
) -> Result<Heads> {
    let AttentionParams { heads, kv_heads, head_dim, window, .. } = *params;
    if kv_heads == 0
        || head_dim == 0
        || !heads.is_multiple_of(kv_heads)
        || window == Some(0)
        || params.extras.chunk == Some(0)
    {
        return Err(Error::internal(format!(
            "attention of {heads} heads over {kv_heads} of width {head_dim}, window {window:?}"
        )));
    }
    qkv.expect_width((heads + 2 * kv_heads) * head_dim, "attention")?;
    if params.extras.sinks.is_some_and(|sinks| sinks.len() != heads) {
        return Err(Error::internal(format!("sinks that are not {heads}")));
    }
    if let Some(far) = params.extras.far {
        far.chosen.check(rows, kv_heads)?;
        let fits = |cache: &&KvCache| {
            let layout = cache.layout();
            (layout.kv_heads, layout.head_dim, layout.index) == (kv_heads, head_dim, false)
                && cache.format() == cpu.format
        };
        if far.caches.len() != rows.segments().len() || !far.caches.iter().all(fits) {
            return Err(Error::internal(format!("{} caches of entries for {rows:?}", far.caches.len())));
        }
    }
    if let Some(choice) = params.extras.chosen {
        choice.check(rows, kv_heads)?;
        if window.is_some() {
            return Err(Error::internal("chosen positions with a window"));
        }
    }
    if qkv.rows() != rows.len() || caches.len() != rows.segments().len() {
        return Err(Error::internal(format!(
            "attention of {} rows with {} caches for {} rows in {} segments",
            qkv.rows(),
            caches.len(),
            rows.len(),
            rows.segments().len()
        )));
    }
    for (segment, cache) in rows.segments().iter().zip(caches) {
        if cache.format() != cpu.format {
            return Err(Error::internal(format!("a cache of {:?} for {:?}", cache.format(), cpu.format)));
        }
        let layout = cache.layout();
        let keeps = layout.window.is_none_or(|held| window.is_some_and(|window| window <= held));
        if layout.kv_heads != kv_heads || layout.head_dim != head_dim || !keeps {
            return Err(Error::internal(format!(
                "{kv_heads} heads of width {head_dim}, window {window:?}, with a cache of {layout:?}"
            )));
        }
        let first = window.map_or(0, |window| (segment.position + 1).saturating_sub(window));
        if cache.len() != segment.position || cache.blocks().0 * BLOCK > first {
            return Err(Error::internal(format!(
                "position {} with a cache of {} positions, {} of them dropped",
                segment.position,
                cache.len(),
                cache.blocks().0 * BLOCK
            )));
        }
    }
    Ok(Heads { heads, kv_heads, group: heads / kv_heads, head_dim })
}

fn attend<'a>(
    cpu: &Cpu,
    queries: &'a Buffer,
    params: &AttentionParams<'a, Cpu>,
    heads: Heads,
    rows: &Rows,
    caches: &[&'a KvCache],
) -> Result<Tensor> {
    let format = cpu.format;
    // What a query sees of a block of the cache is one range.
    if let Some(sparse) = params.extras.blocks
        && ![BLOCK, BLOCK / 2].contains(&sparse.size)
    {
        return Err(Error::internal(format!("sparse blocks of {} positions", sparse.size)));
    }
    let blocks_of = |caches: &[&'a KvCache]| -> Vec<Blocks<'a>> {
        let of_one = |cache: &&'a KvCache| {
            let (dropped, blocks) = cache.blocks();
            Blocks { blocks: blocks.collect(), dropped, len: cache.len() }
        };
        caches.iter().map(of_one).collect()
    };
    let (blocks, far) = (blocks_of(caches), blocks_of(params.extras.far.map_or(&[], |far| far.caches)));
    let tiles = tiles(queries, params, heads, rows, [&blocks, &far], format);
    let width = heads.heads * heads.head_dim;
    let mut out = cpu.arena.allocate(rows.len() * width)?;
    let shared = Disjoint::new(&mut out);
    let products: usize = tiles.iter().map(|tile| tile.count() * tile.spans() * SPAN * BLOCK).sum();
    let parallel = products * heads.head_dim > SERIAL_PRODUCTS;
    let spans = tiles.iter().map(Tile::spans).max().unwrap_or(0);
    if parallel && spans > 1 && tiles.len() < 4 * cpu.pool.threads() {
        split_over_spans(cpu, heads, &tiles, spans, &shared)?;
    } else {
        split_over_tiles(cpu, heads, &tiles, parallel, &shared)?;
    }
    Ok(Tensor::new(out, rows.len(), width))
}

fn tiles<'a>(
    queries: &'a [f32],
    params: &AttentionParams<'a, Cpu>,
    heads: Heads,
    rows: &Rows,
    [blocks, far]: [&'a [Blocks<'a>]; 2],
    format: Format,
) -> Vec<Tile<'a>> {
    let positions = (QUERIES / heads.group).max(1);
    let width = query_numbers(format, heads.head_dim);
    let stride = heads.heads * width;
    let mut tiles = Vec::new();
    for (index, (segment, blocks)) in rows.segments().iter().zip(blocks).enumerate() {
        for first in (0..segment.len).step_by(positions) {
            for kv_head in 0..heads.kv_heads {
                let row = segment.start + first;
                let queries = Queries {
                    data: &queries[row * stride + kv_head * heads.group * width..],
                    group: heads.group,
                    stride,
                    width,
                    head_dim: heads.head_dim,
                    position: segment.position + first,
                    positions: positions.min(segment.len - first),
                    window: params.window.unwrap_or(usize::MAX),
                    entries: None,
                    chunk: params.extras.chunk,
                    softcap: params.extras.softcap,
                    chosen: params.extras.chosen.and_then(|choice| choice.of(index, first, kv_head, heads.kv_heads)),
                    sparse: params.extras.blocks,
                    head: kv_head * heads.group,
                };
                let chosen = params.extras.far.and_then(|far| far.chosen.of(index, first, kv_head, heads.kv_heads));
                let far = far.get(index).filter(|far| chosen.is_some() && far.len > 0);
                let far = far.map(|far| Part::new(Queries { entries: Some(far.len), chosen, ..queries }, far));
                let sinks = params.extras.sinks.map(|sinks| &sinks[kv_head * heads.group..][..heads.group]);
                tiles.push(Tile { format, own: Part::new(queries, blocks), far, kv_head, sinks, row });
            }
        }
    }
    tiles
}

/// Numbers of a prepared query.
pub(super) fn query_numbers(format: Format, head_dim: usize) -> usize {
    match format {
        Format::F32 => head_dim,
        Format::Bytes | Format::Codes => ByteQuery::numbers(head_dim, format.query_group(head_dim)),
    }
}

/// Numbers of a state, and of the scratch beside it.
fn sizes(heads: Heads, tiles: &[Tile<'_>]) -> (usize, usize) {
    let count = tiles.iter().map(Tile::count).max().unwrap_or(0);
    let scratch = tiles.iter().map(|tile| match tile.format {
        Format::F32 => Span::scratch(tile.count()),
        Format::Bytes => ByteSpan::scratch(tile.count(), heads.head_dim),
        Format::Codes => CodeSpan::scratch(tile.count(), heads.head_dim),
    });
    (State::size(count, heads.head_dim), scratch.max().unwrap_or(0).next_multiple_of(LANES))
}

/// Each thread takes whole tiles: best for many queries.
fn split_over_tiles(cpu: &Cpu, heads: Heads, tiles: &[Tile<'_>], parallel: bool, out: &Disjoint<'_>) -> Result<()> {
    let ((size, scratch), level) = (sizes(heads, tiles), cpu.level);
    let whole = 2 * size + scratch;
    let mut room = cpu.arena.allocate(whole * cpu.pool.threads())?;
    let room = Disjoint::new(&mut room);
    cpu.run(parallel, tiles.len(), |thread, index| {
        let (tile, count) = (&tiles[index], tiles[index].count());
        // SAFETY: no other call has this thread's number.
        let room = unsafe { room.part(thread * whole, whole) };
        let (total, room) = room.split_at_mut(size);
        let (state, scratch) = room.split_at_mut(size);
        let mut total = State::new(total, count, heads.head_dim);
        let mut state = State::new(state, count, heads.head_dim);
        total.clear();
        for span in 0..tile.spans() {
            tile.attend(level, span, &mut state, scratch);
            level.run(Merge { total: &mut total, span: &state });
        }
        tile.write(&total, heads, out);
    })
}

/// Threads share tiles, span by span: best for a step of a long sequence.
fn split_over_spans(cpu: &Cpu, heads: Heads, tiles: &[Tile<'_>], spans: usize, out: &Disjoint<'_>) -> Result<()> {
    let ((state, scratch), level) = (sizes(heads, tiles), cpu.level);
    let mut room = cpu.arena.allocate(scratch * cpu.pool.threads())?;
    let mut states = cpu.arena.allocate(tiles.len() * (spans + 1) * state)?;
    let (room, states) = (Disjoint::new(&mut room), Disjoint::new(&mut states));
    // The states of a tile are its spans' and the total.
    let at = |tile: usize, span: usize| (tile * (spans + 1) + span) * state;
    cpu.run(true, tiles.len() * spans, |thread, index| {
        let (index, span) = (index / spans, index % spans);
        let tile = &tiles[index];
        if span < tile.spans() {
            // SAFETY: no other call has this thread's number, nor this span of this tile.
            let (scratch, room) =
                unsafe { (room.part(thread * scratch, scratch), states.part(at(index, span), state)) };
            let mut state = State::new(room, tile.count(), heads.head_dim);
            tile.attend(level, span, &mut state, scratch);
        }
    })?;
    cpu.run(tiles.len() * state > SERIAL_NUMBERS, tiles.len(), |_, index| {
        let (tile, count) = (&tiles[index], tiles[index].count());
        // SAFETY: no other call has this tile.
        let room = unsafe { states.part(at(index, 0), (spans + 1) * state) };
        let (rooms, total) = room.split_at_mut(spans * state);
        let mut total = State::new(total, count, heads.head_dim);
        total.clear();
        for room in rooms.chunks_exact_mut(state).take(tile.spans()) {
            let span = State::new(room, count, heads.head_dim);
            level.run(Merge { total: &mut total, span: &span });
        }
        tile.write(&total, heads, out);
    })
}

impl Tile<'_> {
    /// Number of queries.
    fn count(&self) -> usize {
        self.own.queries.count()
    }

    /// Spans that any query sees, those of entries last.
    fn spans(&self) -> usize {
        self.own.spans.len() + self.far.as_ref().map_or(0, |far| far.spans.len())
    }

    fn attend(&self, level: Level, span: usize, state: &mut State<'_>, scratch: &mut [f32]) {
        let (part, span) = match (&self.far, span.checked_sub(self.own.spans.len())) {
            (Some(far), Some(span)) => (far, span),
            _ => (&self.own, span),
        };
        let (span, visible) = (part.spans.start + span, part.queries.visible());
        let span = (span * SPAN).max(visible.start / BLOCK)..((span + 1) * SPAN).min(visible.end.div_ceil(BLOCK));
        let (queries, kv_head) = (part.queries, self.kv_head);
        let Blocks { ref blocks, dropped, .. } = *part.blocks;
        match self.format {
            Format::F32 => level.run(Span { queries, blocks, dropped, kv_head, span, state, scratch }),
            Format::Bytes => level.run(ByteSpan { queries, blocks, dropped, kv_head, span, state, scratch }),
            Format::Codes => level.run(CodeSpan { queries, blocks, dropped, kv_head, span, state, scratch }),
        }
    }

    fn write(&self, total: &State<'_>, heads: Heads, out: &Disjoint<'_>) {
        let group = self.own.queries.group;
        for query in 0..self.count() {
            let (row, head) = (self.row + query / group, self.kv_head * group + query % group);
            // SAFETY: no other tile has this head of this row.
            let out = unsafe { out.part((row * heads.heads + head) * heads.head_dim, heads.head_dim) };
            total.finish(query, self.sinks.map(|sinks| sinks[query % group]), out);
        }
    }
}
