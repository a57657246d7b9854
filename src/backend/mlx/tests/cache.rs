//! Caches: growth, windows, forks, taking back, and that nothing piles up behind them.

use mlx_rs::Array;

use super::support::{Random, backend, on_worker};
use crate::backend::mlx::cache::{KvCache, Positions, expected_bytes, quantized};
use crate::backend::{Backend, Cache, CacheLayout, Kept, KvBits, Precision};

const WIDTH: usize = 4;

fn layout(window: Option<usize>) -> CacheLayout {
    CacheLayout { kv_heads: 2, head_dim: WIDTH, window, index: false }
}

/// Keys of consecutive positions; their first number is the position.
fn keys(positions: std::ops::Range<usize>) -> Array {
    let rows: Vec<f32> = (0..2).flat_map(|_| positions.clone()).flat_map(|p| [p as f32, 0.0, 0.0, 0.0]).collect();
    Array::from_slice(&rows, &[1, 2, positions.len() as i32, WIDTH as i32])
}

/// Appends `len` positions and gives the positions that are visible then.
fn append(cache: &mut KvCache, len: usize) -> Vec<usize> {
    append_from(cache, cache.len(), len)
}

fn append_from(cache: &mut KvCache, first: usize, len: usize) -> Vec<usize> {
    let new = || keys(first..first + len);
    let visible = cache.append(new(), new(), len).unwrap();
    let read = |positions: &Positions| -> Vec<usize> {
        let Positions::Floats(array) = positions else { panic!("codes") };
        let array = array.contiguous().unwrap();
        let numbers = array.try_as_slice::<f32>().unwrap();
        numbers[..numbers.len() / 2].chunks(WIDTH).map(|row| row[0] as usize).collect()
    };
    assert_eq!(read(&visible.keys), read(&visible.values));
    assert_eq!(read(&visible.keys).first(), Some(&visible.start));
    read(&visible.keys)
}

#[test]
fn all_positions_stay_visible_while_the_buffer_grows() {
    on_worker(|| {
        let mut cache = KvCache::new(layout(None), None);
        let mut random = Random::new(1);
        assert_eq!(cache.bytes(), 0);
        while cache.len() < 1500 {
            let len = 1 + random.bits() as usize % 90;
            let end = cache.len() + len;
            assert_eq!(append(&mut cache, len), (0..end).collect::<Vec<_>>());
            assert_eq!(cache.bytes(), expected_bytes(layout(None), None, end, 4));
        }
    });
}

#[test]
fn buffers_grow_in_steps_of_an_eighth() {
    let bytes = |len: usize| expected_bytes(layout(None), None, len, 4) / (2 * 2 * WIDTH * 4);
    assert_eq!([0, 1, 256, 257, 2000, 5000, 40_000].map(bytes), [0, 256, 256, 512, 2048, 5120, 40_960]);
    for len in (1..200_000).step_by(997) {
        assert!(bytes(len) >= len && bytes(len) <= (len + len / 8).max(len + 255), "{len}: {}", bytes(len));
    }
}

#[test]
fn windows_drop_what_nobody_sees() {
    on_worker(|| {
        for window in [1, 5, 100, 300] {
            let mut cache = KvCache::new(layout(Some(window)), None);
            let mut random = Random::new(2);
            let mut most = 0;
            while cache.len() < 2000 {
                let len = if random.bits() < 1 << 30 { 1 + random.bits() as usize % 200 } else { 1 };
                let (first, end) = (cache.len(), cache.len() + len);
                let visible = append(&mut cache, len);
                assert_eq!(visible, ((first + 1).saturating_sub(window)..end).collect::<Vec<_>>());
                // Each append can be taken back, to any length.
                assert!((first..=end).all(|len| cache.can_truncate(len)));
                most = most.max(cache.bytes());
            }
            assert!(!cache.can_truncate(1000), "window {window}");
            assert!(most <= expected_bytes(layout(Some(window)), None, 2000, 4), "window {window}: {most} bytes");
        }
    });
}

#[test]
fn taken_back_positions_are_overwritten() {
    on_worker(|| {
        let mut cache = KvCache::new(layout(None), None);
        append(&mut cache, 300);
        cache.truncate(10);
        assert!(!cache.can_truncate(11));
        assert_eq!(append_from(&mut cache, 700, 2)[8..], [8, 9, 700, 701]);
        cache.truncate(0);
        assert_eq!(cache.bytes(), 0);
        assert_eq!(append(&mut cache, 3), [0, 1, 2]);
    });
}

#[test]
fn forks_go_separate_ways() {
    on_worker(|| {
        for window in [None, Some(20)] {
            let mut cache = KvCache::new(layout(window), None);
            append(&mut cache, 10);
            let mut fork = cache.fork();
            assert_eq!(fork.bytes(), cache.bytes());
            assert_eq!(append_from(&mut cache, 100, 1)[9..], [9, 100]);
            fork.truncate(9);
            assert_eq!(append_from(&mut fork, 200, 2)[8..], [8, 200, 201]);
            assert_eq!(append_from(&mut cache, 101, 1)[9..], [9, 100, 101]);
        }
    });
}

#[test]
fn steps_write_in_place_and_leave_no_graph_behind() {
    on_worker(|| {
        let mlx = backend(Precision::Exact);
        let mut cache = KvCache::new(layout(None), None);
        let mut active = None;
        for position in 0..200 {
            let new = || keys(position..position + 1);
            cache.append(new(), new(), 1).unwrap();
            mlx.queue(None, None, std::iter::once(Kept::Cache(&cache))).unwrap();
            mlx.wait().unwrap();
            let now = mlx.memory();
            assert_eq!(*active.get_or_insert(now.active), now.active, "position {position}");
            if position == 0 {
                mlx_rs::memory::reset_peak_memory().unwrap();
            } else {
                assert!(now.peak < now.active + cache.bytes() / 4, "position {position}: {now:?}");
            }
        }
    });
}

#[test]
fn codes_take_less_and_grow_the_same_way() {
    on_worker(|| {
        let layout = CacheLayout { kv_heads: 2, head_dim: 64, window: Some(100), index: false };
        let rows = |len: usize| Array::from_slice(&vec![0.5f32; 2 * len * 64], &[1, 2, len as i32, 64]);
        for (bits, each) in [(KvBits::Four, 32 + 8), (KvBits::Eight, 64 + 8)] {
            let mut cache = KvCache::new(layout, Some(bits));
            for len in [3, 1, 400, 1, 200, 1] {
                let first = cache.len();
                let visible = cache.append(rows(len), rows(len), len).unwrap();
                let Positions::Codes([codes, ..], format) = &visible.keys else { panic!("floats") };
                assert_eq!(codes.shape(), [1, 2, (cache.len() - visible.start) as i32, 2 * format.bits as i32]);
                assert_eq!(visible.start, (first + 1).saturating_sub(100));
                assert!((first..=cache.len()).all(|len| cache.can_truncate(len)));
            }
            let mut cache = KvCache::new(CacheLayout { window: None, ..layout }, Some(bits));
            cache.append(rows(300), rows(300), 300).unwrap();
            assert_eq!(cache.bytes(), 512 * 2 * 2 * each);
            assert_eq!(cache.bytes(), expected_bytes(CacheLayout { window: None, ..layout }, Some(bits), 300, 4));
        }
        // MLX has no groups for such heads.
        assert_eq!(quantized(Some(KvBits::Four), 80), None);
        assert_eq!(quantized(Some(KvBits::Eight), 96).unwrap().group_size, 32);
    });
}
