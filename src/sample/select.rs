//! Candidates in order of their logits, without sorting a whole vocabulary.

use super::exp::exp;

/// A token and its logit in one number: ascending keys are descending logits, and ascending ids among equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

impl Candidate {
    fn new(id: usize, logit: f32) -> Self {
        // -0.0 becomes 0.0, its equal.
        let bits = (logit + 0.0).to_bits();
        // Bits that order like the numbers (negative ones mirrored), then reversed.
        let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(!ascending) << 32 | id as u64)
    }

    pub(super) fn id(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn logit(self) -> f32 {
        let ascending = !((self.0 >> 32) as u32);
        f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
    }

    fn same_logit(self, other: Self) -> bool {
        self.0 >> 32 == other.0 >> 32
    }
}

/// Replaces `candidates` by the tokens whose logit is at least `floor`; −∞ is never one.
pub(super) fn collect(logits: &[f32], floor: f32, candidates: &mut Vec<Candidate>) {
    let floor = floor.max(f32::MIN);
    candidates.clear();
    for (id, logit) in logits.iter().enumerate() {
        if *logit >= floor {
            candidates.push(Candidate::new(id, *logit));
        }
    }
}

/// Moves the `count` best to the front, in order.
pub(super) fn best(candidates: &mut [Candidate], count: usize) -> &[Candidate] {
    let count = move_best(candidates, count);
    candidates[..count].sort_unstable();
    &candidates[..count]
}

/// Moves the `count` best to the front, in any order, and returns how many there are.
pub(super) fn move_best(candidates: &mut [Candidate], count: usize) -> usize {
    if count < candidates.len() && count > 0 {
        candidates.select_nth_unstable(count - 1);
    }
    count.min(candidates.len())
}

/// Probability mass of candidates relative to the best one, at a temperature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mass {
    pub(super) max: f32,
    pub(super) temperature: f32,
}

impl Mass {
    pub(super) fn of(self, candidate: Candidate) -> f64 {
        f64::from(exp((candidate.logit() - self.max) / self.temperature))
    }

    pub(super) fn sum(self, candidates: &[Candidate]) -> f64 {
        candidates.iter().map(|c| self.of(*c)).sum()
    }

    /// The least number of best candidates that have `target` together (all, if they don't reach it; at least one).
    /// They are moved to the front, the last of them at its place.
    ///
    /// Halves the range that the end lies in, so the cost is proportional to the number of candidates.
    pub(super) fn prefix(self, candidates: &mut [Candidate], target: f64) -> usize {
        let (mut low, mut high) = (0, candidates.len());
        let mut above = 0.0;
        while high - low > 32 {
            let middle = (high - low) / 2;
            candidates[low..high].select_nth_unstable(middle);
            let upper = self.sum(&candidates[low..low + middle]);
            if above + upper >= target {
                high = low + middle;
            } else {
                above += upper;
                low += middle;
            }
        }
        candidates[low..high].sort_unstable();
        for at in low..high {
            above += self.of(candidates[at]);
            if above >= target {
                return at + 1;
            }
        }
        high
    }
}

/// Of `candidates`, whose first `count` are the best: how many there are with those that equal the last of them,
/// moved next to it.
pub(super) fn with_ties(candidates: &mut [Candidate], count: usize) -> usize {
    let Some(last) = count.checked_sub(1).map(|last| candidates[last]) else { return 0 };
    let mut end = count;
    for at in count..candidates.len() {
        if candidates[at].same_logit(last) {
            candidates.swap(at, end);
            end += 1;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudo_random(n: usize, levels: u64) -> Vec<f32> {
        let mut state = 12345u64;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 33) % levels) as f32 / levels as f32 * 12.0 - 6.0
            })
            .collect()
    }

    fn sorted(logits: &[f32]) -> Vec<u32> {
        let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
        ids.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
        ids
    }

    #[test]
    fn candidates_keep_logit_and_id() {
        for logit in [0.0, 1.5, -1.5, f32::MIN, f32::MAX, 1e-40, -1e-40] {
            let candidate = Candidate::new(151_935, logit);
            assert_eq!((candidate.id(), candidate.logit()), (151_935, logit));
        }
        assert!(Candidate::new(5, 2.0) < Candidate::new(1, 1.0));
        assert!(Candidate::new(1, -1.0) < Candidate::new(0, -2.0));
        assert!(Candidate::new(1, 0.0) < Candidate::new(2, -0.0));
        assert!(Candidate::new(1, -0.0) < Candidate::new(2, 0.0));
    }

    #[test]
    fn the_best_come_in_order() {
        let logits = pseudo_random(5000, 300);
        let all = sorted(&logits);
        let mut candidates = Vec::new();
        for count in [0, 1, 20, 4999, 5000, 9000] {
            collect(&logits, f32::NEG_INFINITY, &mut candidates);
            let found: Vec<u32> = best(&mut candidates, count).iter().map(|c| c.id()).collect();
            assert_eq!(found, all[..count.min(5000)]);
        }
    }

    #[test]
    fn collects_what_is_at_least_the_floor() {
        let mut candidates = Vec::new();
        collect(&[1.0, f32::NEG_INFINITY, 2.0, 1.5], 1.5, &mut candidates);
        assert_eq!(candidates.iter().map(|c| c.id()).collect::<Vec<_>>(), [2, 3]);
        collect(&[1.0, f32::NEG_INFINITY], f32::NEG_INFINITY, &mut candidates);
        assert_eq!(candidates.len(), 1);
    }

    #[test]
    fn prefix_is_that_of_the_sorted_order() {
        for (n, levels) in [(1, 10), (33, 5), (1000, 40), (20_000, 1 << 20)] {
            let logits = pseudo_random(n, levels);
            let all = sorted(&logits);
            let mass = Mass { max: logits[all[0] as usize], temperature: 0.7 };
            let mut candidates = Vec::new();
            collect(&logits, f32::NEG_INFINITY, &mut candidates);
            let total = mass.sum(&candidates);
            for share in [0.0, 0.1, 0.5, 0.95, 0.9999, 2.0] {
                let count = mass.prefix(&mut candidates, share * total);
                let mut naive = 0;
                let mut sum = 0.0;
                while naive < n && (naive == 0 || sum < share * total) {
                    sum += mass.of(Candidate::new(0, logits[all[naive] as usize]));
                    naive += 1;
                }
                assert!(count.abs_diff(naive) <= usize::from(n > 10_000), "{n} {share}: {count}, not {naive}");
                assert_eq!(candidates[count - 1].id(), all[count - 1]);
                let mut front: Vec<u32> = candidates[..count].iter().map(|c| c.id()).collect();
                front.sort_by_key(|id| all.iter().position(|other| other == id));
                assert!(n > 1000 || front == all[..count]);
            }
        }
    }

    #[test]
    fn ties_are_found() {
        let mut candidates = Vec::new();
        collect(&[1.0, 3.0, 2.0, 2.0, 0.0, 2.0], f32::NEG_INFINITY, &mut candidates);
        move_best(&mut candidates, 2);
        candidates[..2].sort_unstable();
        let count = with_ties(&mut candidates, 2);
        let mut ids: Vec<u32> = candidates[..count].iter().map(|c| c.id()).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 5]);
    }
}
