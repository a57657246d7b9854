//! Recurrences over many rows, part by part.

use mlx_rs::Array;

use super::support::on_worker;
use crate::arch::spec::recorded::PART_BYTES;
use crate::backend::Rows;
use crate::backend::mlx::raw;
use crate::backend::mlx::recurrent::{Parts, State, each, each_in_parts};

const WIDTH: i32 = 2;

/// Running sums, which go on from the state.
fn sums(x: &Array, state: &mut State) -> Array {
    let before = state.memory_or_zeros([1, 1, WIDTH as usize]).unwrap().reshape(&[1, WIDTH]).unwrap();
    let y = x.cumsum(0, None, None).unwrap().add(before).unwrap();
    let rows = x.dim(0) as usize;
    state.set_memory(raw::slice_axis(&y, 0, rows - 1..rows).unwrap().reshape(&[1, 1, WIDTH]).unwrap());
    y
}

fn numbers(array: &Array) -> Vec<f32> {
    array.contiguous().unwrap().try_as_slice::<f32>().unwrap().to_vec()
}

#[test]
fn parts_give_what_all_rows_at_once_give() {
    on_worker(|| {
        let rows = Rows::new([(0, 7), (3, 4), (0, 1)]);
        let all: Vec<f32> = (0..12 * WIDTH).map(|i| (i * i % 17) as f32).collect();
        let x = Array::from_slice(&all, &[12, WIDTH]);
        let states = || vec![State::default(); 3];
        let mut whole = states();
        let expected = each([&x], &rows, &mut whole, |[x], state| Ok(sums(&x, state))).unwrap();
        for (part, row_bytes, lengths) in [
            (3, PART_BYTES, vec![3, 3, 1, 3, 1, 1]),
            (2, PART_BYTES / 4, vec![2, 2, 2, 1, 2, 2, 1]),
            (4, 1, vec![4, 3, 4, 1]),
            (7, 1, vec![7, 4, 1]),
        ] {
            let (mut own, mut seen) = (states(), Vec::new());
            let parts = Parts { rows: part, row_bytes };
            let y = each_in_parts(&parts, [&x], &rows, &mut own, |[x], state| {
                seen.push(x.dim(0));
                Ok(sums(&x, state))
            });
            assert_eq!(numbers(&y.unwrap()), numbers(&expected), "{part}");
            assert_eq!(seen, lengths);
            let memories = |states: &[State]| states.iter().map(|s| numbers(s.memory().unwrap())).collect::<Vec<_>>();
            assert_eq!(memories(&own), memories(&whole));
        }
    });
}

#[test]
fn parts_are_as_long_as_there_is_room_for() {
    let rows = |row_bytes: u64| Parts::of_blocks(64, row_bytes).rows;
    assert_eq!(rows(PART_BYTES / 300), 256);
    assert_eq!(rows(PART_BYTES / 64), 64);
    // A block at least.
    assert_eq!([PART_BYTES, u64::MAX].map(rows), [64, 64]);
    assert!(rows(0) > 1 << 20);
}
