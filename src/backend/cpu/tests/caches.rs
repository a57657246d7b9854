use super::attention::Case;
use super::{Random, backends, backends_with, bits};
use crate::backend::cpu::Cpu;
use crate::backend::{Backend, Cache, CacheLayout, KvBits, Precision};

fn case(window: Option<usize>) -> Case {
    let mut random = Random(11);
    let mut case = Case::new(900, 4, 2, 12, &mut random).with_norms_and_rope(12, false, &mut random);
    case.window = window;
    case
}

/// A backend for each kind of cache.
fn kinds() -> impl Iterator<Item = Cpu> {
    let kinds = [KvBits::Sixteen, KvBits::Eight, KvBits::Four].into_iter();
    kinds.filter_map(|kind| backends_with(Precision::Exact, Some(kind)).pop())
}

#[test]
fn forks_share_memory_and_go_their_own_ways() {
    for cpu in kinds() {
        let case = case(None);
        let width = case.heads * case.head_dim;
        let mut one = case.cache(&cpu);
        let whole = case.slices(&cpu, &mut one, 300, 300);
        let mut cache = case.cache(&cpu);
        case.slices(&cpu, &mut cache, 200, 200);
        let mut fork = cache.fork();
        assert_eq!((fork.len(), fork.bytes()), (200, cache.bytes()));
        // The fork goes on with other rows; the first one must not see them.
        let other: Vec<usize> = (600..650).collect();
        let strayed = case.step(&cpu, &mut [(&mut fork, &other)]).unwrap();
        assert_eq!(bits(&case.slices(&cpu, &mut cache, 300, 30)), bits(&whole[200 * width..]));
        // And the other way round.
        let mut again = case.cache(&cpu);
        case.slices(&cpu, &mut again, 200, 64);
        let mut kept = again.fork();
        case.slices(&cpu, &mut again, 300, 100);
        drop(again);
        assert_eq!(bits(&case.step(&cpu, &mut [(&mut kept, &other)]).unwrap()), bits(&strayed));
    }
}

#[test]
fn forks_of_one_length_run_in_one_batch() {
    for cpu in kinds() {
        let case = case(None);
        let mut a = case.cache(&cpu);
        case.slices(&cpu, &mut a, 100, 100);
        let mut b = a.fork();
        let (mut c, mut d) = (a.fork(), a.fork());
        let batched = case.step(&cpu, &mut [(&mut a, &[100]), (&mut b, &[500])]).unwrap();
        let alone = [case.step(&cpu, &mut [(&mut c, &[100])]), case.step(&cpu, &mut [(&mut d, &[500])])];
        assert_eq!(bits(&batched), bits(&alone.map(Result::unwrap).concat()));
    }
}

#[test]
fn truncated_caches_continue_as_if_nothing_had_been_there() {
    for cpu in kinds() {
        for window in [None, Some(100)] {
            let case = case(window);
            let width = case.heads * case.head_dim;
            let whole = case.slices(&cpu, &mut case.cache(&cpu), 400, 400);
            for cut in [399, 384, 370, 336] {
                let mut cache = case.cache(&cpu);
                case.slices(&cpu, &mut cache, 400, 1);
                assert!(cache.can_truncate(cut), "{window:?} {cut}");
                let kept = cache.fork();
                cache.truncate(cut);
                assert_eq!(cache.len(), cut);
                assert_eq!(bits(&case.slices(&cpu, &mut cache, 400, 9)), bits(&whole[cut * width..]));
                assert_eq!(kept.len(), 400);
            }
        }
    }
}

#[test]
fn a_window_drops_old_blocks_at_the_next_append_only() {
    for cpu in kinds() {
        let windowed = case(Some(70));
        let mut cache = windowed.cache(&cpu);
        windowed.slices(&cpu, &mut cache, 640, 640);
        let block = cache.bytes() / 10;
        assert!(cache.can_truncate(0), "an append can be taken back");
        let whole = windowed.slices(&cpu, &mut windowed.cache(&cpu), 700, 700);
        let next = windowed.slices(&cpu, &mut cache, 641, 1);
        assert_eq!(bits(&next), bits(&whole[640 * 48..][..48]));
        // Position 640 sees 571 and later; 64 more are kept: 507 lies in block 7.
        assert_eq!(cache.bytes(), 4 * block);
        assert!(
            cache.can_truncate(576) && cache.can_truncate(641) && !cache.can_truncate(500) && !cache.can_truncate(0)
        );
        // All positions, none dropped: the same numbers.
        let mut held = windowed.clone();
        held.window = None;
        let (mut all, rows) = (held.cache(&cpu), (641..700).collect::<Vec<_>>());
        windowed.step(&cpu, &mut [(&mut all, &(0..641).collect::<Vec<_>>())]).unwrap();
        assert_eq!(all.bytes(), 11 * block);
        let kept = windowed.step(&cpu, &mut [(&mut all, &rows)]).unwrap();
        assert_eq!(bits(&windowed.step(&cpu, &mut [(&mut cache, &rows)]).unwrap()), bits(&kept));
    }
}

#[test]
fn a_cache_cut_too_far_is_an_error_and_not_garbage() {
    for cpu in kinds() {
        let case = case(Some(70));
        let mut cache = case.cache(&cpu);
        case.slices(&cpu, &mut cache, 700, 1);
        for len in [600, 500, 10] {
            let mut cut = cache.fork();
            cut.truncate(len);
            assert_eq!(case.step(&cpu, &mut [(&mut cut, &[0])]).is_ok(), cache.can_truncate(len), "{len}");
        }
        cache.truncate(0);
        assert!(case.step(&cpu, &mut [(&mut cache, &[0])]).is_ok());
    }
}

#[test]
fn sizes_that_do_not_fit_are_errors() {
    let cpu = &backends()[0];
    for head_dim in [usize::MAX, usize::MAX / 300, 1 << 50] {
        let mut cache = cpu.new_cache(CacheLayout { kv_heads: 2, head_dim, window: None, index: false });
        assert!(cache.reserve(1).is_err());
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
    }
}
