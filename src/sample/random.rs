//! Random numbers as a function of seed and position alone.

/// A number in [0, 1) with 53 random bits, depending on nothing but its arguments.
///
/// Counter-based: the state that the generator SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014, with the finalizer by D. Stafford) has after `position + 1` steps, started from the
/// mixed seed, so that neighbouring seeds don't give shifted copies of one sequence.
pub(super) fn uniform(seed: u64, position: u64) -> f64 {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let start = mix(seed.wrapping_add(GOLDEN));
    let bits = mix(start.wrapping_add(GOLDEN.wrapping_mul(position.wrapping_add(1))));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depends_on_seed_and_position_alone() {
        assert_eq!(uniform(7, 3), uniform(7, 3));
        assert_ne!(uniform(7, 3), uniform(7, 4));
        assert_ne!(uniform(7, 3), uniform(8, 3));
        // Not one sequence, shifted.
        assert_ne!(uniform(7, 4), uniform(8, 3));
    }

    #[test]
    fn stays_the_same_between_releases() {
        // Checked against SplitMix64 in Python: a change would change every seeded text.
        assert_eq!(uniform(0, 0), 0.652_448_486_374_032_2);
        assert_eq!(uniform(42, 1000), 0.695_259_839_832_325_6);
        assert_eq!(uniform(u64::MAX, u64::MAX), 0.266_847_186_494_036_6);
    }

    #[test]
    fn is_uniform_over_positions_and_seeds() {
        for (name, draw) in [
            ("positions", Box::new(|i| uniform(1, i)) as Box<dyn Fn(u64) -> f64>),
            ("seeds", Box::new(|i| uniform(i, 1))),
        ] {
            let mut bins = [0u32; 64];
            for i in 0..64_000 {
                let u = draw(i);
                assert!((0.0..1.0).contains(&u));
                bins[(u * 64.0) as usize] += 1;
            }
            let chi: f64 = bins.iter().map(|n| (f64::from(*n) - 1000.0).powi(2) / 1000.0).sum();
            // 63 degrees of freedom: mean 63, deviation 11.2; both tails are wrong.
            assert!((25.0..120.0).contains(&chi), "{name}: {chi}");
        }
    }
}
