//! Candidates in order of their logits, without sorting a whole vocabulary.

use super::exp::exp;

/// Ranges of logits per e-fold of probability.
const BUCKETS_PER_UNIT: f32 = 16.0;
/// Where a token goes that has less than e⁻¹⁶ of the best one's probability.
const LAST: usize = 256;
/// Logits worked on side by side.
const BLOCK: usize = 256;

/// A token and its logit in one number: ascending keys are descending logits, and ascending ids among equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate(u64);

impl Candidate {
    /// After every token.
    pub(super) const END: Self = Self(u64::MAX);

    pub(super) fn new(id: u32, logit: f32) -> Self {
        // -0.0 becomes 0.0, its equal.
        let bits = (logit + 0.0).to_bits();
        // Bits that order like the numbers (negative ones mirrored), then reversed.
        let ascending = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
        Self(u64::from(!ascending) << 32 | u64::from(id))
    }

    pub(super) fn id(self) -> u32 {
        self.0 as u32
    }

    pub(super) fn logit(self) -> f32 {
        let ascending = !((self.0 >> 32) as u32);
        f32::from_bits(if ascending >> 31 == 1 { ascending & !(1 << 31) } else { !ascending })
    }

    /// After all tokens that have this one's logit.
    pub(super) fn after_ties(self) -> Self {
        Self(self.0 | u64::from(u32::MAX))
    }
}

/// The `count` most likely tokens, in order; `count` is small.
pub(super) fn top(logits: &[f32], count: usize) -> Vec<Candidate> {
    let mut best: Vec<Candidate> = Vec::with_capacity(count + 1);
    let mut floor = f32::MIN;
    for (id, logit) in logits.iter().enumerate() {
        // Later ids lose against equals once all places are taken.
        if *logit > floor || (best.len() < count && *logit >= floor) {
            let candidate = Candidate::new(id as u32, *logit);
            best.insert(best.partition_point(|b| *b < candidate), candidate);
            best.truncate(count);
            if best.len() == count {
                floor = best.last().map_or(f32::INFINITY, |last| last.logit());
            }
        }
    }
    best
}

/// What lies in one range of logits.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    tokens: usize,
    mass: f64,
}

/// How many tokens, and how much probability mass at a temperature, lie in each range of logits.
///
/// Whatever point is looked for in the order of all tokens, the sums tell its bucket, and only that one is gathered.
/// Mass is relative to the best token.
#[derive(Debug)]
pub(super) struct Buckets<'a> {
    logits: &'a [f32],
    max: f32,
    temperature: f32,
    buckets: [Bucket; LAST + 1],
    /// The bucket of each token.
    index: Vec<u16>,
    gathered: Vec<Candidate>,
}

impl<'a> Buckets<'a> {
    pub(super) fn new(logits: &'a [f32], max: f32, temperature: f32) -> Self {
        let mut index = vec![0; logits.len()];
        // Neighbours go to different tables, so that adding to one bucket again needn't wait for the last addition.
        let mut tables = [[Bucket::default(); LAST + 1]; 4];
        let mut weights = [0f32; BLOCK];
        for (block, index) in logits.chunks(BLOCK).zip(index.chunks_mut(BLOCK)) {
            for (weight, logit) in weights.iter_mut().zip(block) {
                *weight = exp((logit - max) / temperature);
            }
            for (index, logit) in index.iter_mut().zip(block) {
                *index = bucket_of(*logit, max);
            }
            for (at, (bucket, weight)) in index.iter().zip(&weights).enumerate() {
                let bucket = &mut tables[at % 4][usize::from(*bucket)];
                bucket.tokens += 1;
                bucket.mass += f64::from(*weight);
            }
        }
        let buckets = std::array::from_fn(|at| Bucket {
            tokens: tables.iter().map(|t| t[at].tokens).sum(),
            mass: tables.iter().map(|t| t[at].mass).sum(),
        });
        Self { logits, max, temperature, buckets, index, gathered: Vec::new() }
    }

    /// The `count`-th token in order; the end if there are not that many.
    pub(super) fn nth(&mut self, count: usize) -> Candidate {
        let mut before = 0;
        for at in 0..=LAST {
            let here = self.buckets[at].tokens;
            if before + here >= count {
                self.gather(at, Candidate::END);
                let place = count.saturating_sub(before + 1);
                if place >= self.gathered.len() {
                    break;
                }
                return *self.gathered.select_nth_unstable(place).1;
            }
            before += here;
        }
        Candidate::END
    }

    /// The token at which the sum of mass, over the tokens up to `limit` in order, reaches `share` of all.
    pub(super) fn reach(&mut self, share: f64, limit: Candidate) -> Candidate {
        // The buckets that lie before the limit as a whole, and the tokens of the one that doesn't.
        let end = self.end(limit);
        let whole: f64 = self.buckets[..end].iter().map(|b| b.mass).sum();
        let mut rest = 0.0;
        if end <= LAST {
            self.gather(end, limit);
            rest = self.gathered.iter().map(|c| self.mass(*c)).sum();
        }
        let target = share * (whole + rest);
        let mut before = 0.0;
        for at in 0..end {
            let mass = self.buckets[at].mass;
            // The last bucket with any mass takes what rounding leaves over.
            if mass > 0.0 && (before + mass >= target || (rest == 0.0 && before + mass >= whole)) {
                self.gather(at, Candidate::END);
                break;
            }
            before += mass;
        }
        self.reach_gathered(target - before)
    }

    /// How many tokens there are in the buckets up to that of `limit`.
    pub(super) fn tokens_up_to(&self, limit: Candidate) -> usize {
        self.buckets.iter().take(self.end(limit) + 1).map(|b| b.tokens).sum()
    }

    /// How many buckets lie before `limit` as a whole.
    fn end(&self, limit: Candidate) -> usize {
        if limit == Candidate::END { LAST + 1 } else { usize::from(bucket_of(limit.logit(), self.max)) }
    }

    /// [`reach`](Self::reach) at another temperature; for limits that few tokens are before.
    pub(super) fn reach_at(&mut self, temperature: f32, share: f64, limit: Candidate) -> Candidate {
        self.temperature = temperature;
        self.gathered.clear();
        let floor = limit.logit();
        for (id, logit) in self.logits.iter().enumerate().filter(|(_, logit)| **logit >= floor) {
            self.gathered.extend(Some(Candidate::new(id as u32, *logit)).filter(|c| *c <= limit));
        }
        let total: f64 = self.gathered.iter().map(|c| self.mass(*c)).sum();
        self.reach_gathered(share * total)
    }

    /// Gathers the tokens of a bucket up to `limit`; never one of −∞.
    fn gather(&mut self, bucket: usize, limit: Candidate) {
        self.gathered.clear();
        let bucket = bucket as u16;
        for (block, index) in self.index.chunks(BLOCK).enumerate() {
            // Without an early exit inside, so that the search is vectorized.
            if !index.iter().fold(false, |found, b| found | (*b == bucket)) {
                continue;
            }
            for at in (0..index.len()).filter(|at| index[*at] == bucket) {
                let id = block * BLOCK + at;
                let candidate = Candidate::new(id as u32, self.logits[id]);
                if candidate <= limit && self.logits[id] > f32::NEG_INFINITY {
                    self.gathered.push(candidate);
                }
            }
        }
    }

    fn mass(&self, candidate: Candidate) -> f64 {
        f64::from(exp((candidate.logit() - self.max) / self.temperature))
    }

    /// The gathered token at which their sum of mass reaches `target`; the last one with any if none does.
    ///
    /// Halves the range that it lies in, so the cost is proportional to the number of tokens.
    fn reach_gathered(&mut self, target: f64) -> Candidate {
        let mut candidates = std::mem::take(&mut self.gathered);
        let (mut low, mut high) = (0, candidates.len());
        let mut above = 0.0;
        while high - low > 32 {
            let middle = (high - low) / 2;
            candidates[low..high].select_nth_unstable(middle);
            let upper: f64 = candidates[low..low + middle].iter().map(|c| self.mass(*c)).sum();
            if above + upper >= target {
                high = low + middle;
            } else {
                above += upper;
                low += middle;
            }
        }
        candidates[low..high].sort_unstable();
        let mut last = candidates.get(low).copied().unwrap_or(Candidate::END);
        for candidate in &candidates[low..high] {
            let mass = self.mass(*candidate);
            if mass > 0.0 {
                last = *candidate;
            }
            above += mass;
            if above >= target {
                break;
            }
        }
        self.gathered = candidates;
        last
    }
}

/// The bucket of a logit, later for lower ones.
fn bucket_of(logit: f32, max: f32) -> u16 {
    // Added to this, a number of up to 2^22 has its integer in the low bits; a conversion would not be vectorized.
    const INTEGER: f32 = 8_388_608.0;
    let distance = (max - logit) * BUCKETS_PER_UNIT;
    let distance = if distance < LAST as f32 { distance } else { LAST as f32 };
    (distance + INTEGER).to_bits() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pseudo_random(n: usize, levels: u64, spread: f32) -> Vec<f32> {
        let mut state = 12345u64;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (((state >> 33) % levels) as f32 / levels as f32 - 0.5) * spread
            })
            .collect()
    }

    fn sorted(logits: &[f32]) -> Vec<Candidate> {
        let mut all: Vec<u32> = (0..logits.len() as u32).filter(|i| logits[*i as usize] > f32::NEG_INFINITY).collect();
        all.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
        all.iter().map(|id| Candidate::new(*id, logits[*id as usize])).collect()
    }

    const SHAPES: [(usize, u64, f32); 6] =
        [(1, 10, 1.0), (33, 5, 3.0), (1000, 40, 12.0), (5000, 1 << 20, 60.0), (5000, 1 << 20, 0.01), (900, 1, 1.0)];

    #[test]
    fn candidates_keep_logit_and_id() {
        for logit in [0.0, 1.5, -1.5, f32::MIN, f32::MAX, 1e-40, -1e-40] {
            let candidate = Candidate::new(151_935, logit);
            assert_eq!((candidate.id(), candidate.logit()), (151_935, logit));
            assert!(candidate < candidate.after_ties() && candidate.after_ties().logit() == logit);
        }
        assert!(Candidate::new(5, 2.0) < Candidate::new(1, 1.0));
        assert!(Candidate::new(1, -1.0) < Candidate::new(0, -2.0));
        assert!(Candidate::new(1, 0.0) < Candidate::new(2, -0.0));
        assert!(Candidate::new(1, -0.0) < Candidate::new(2, 0.0));
    }

    #[test]
    fn top_and_nth_are_those_of_the_sorted_order() {
        for (n, levels, spread) in SHAPES {
            let mut logits = pseudo_random(n, levels, spread);
            if n > 10 {
                logits[7] = f32::NEG_INFINITY;
            }
            let all = sorted(&logits);
            let mut buckets = Buckets::new(&logits, all[0].logit(), 1.0);
            for count in [1, 2, 20, n / 2, all.len() - 1, all.len(), n + 1] {
                if count < 50 {
                    assert_eq!(top(&logits, count), all[..count.min(all.len())], "{n} {spread} {count}");
                }
                if count > 0 {
                    let nth = all.get(count - 1).copied().unwrap_or(Candidate::END);
                    assert_eq!(buckets.nth(count), nth, "{n} {spread} {count}");
                }
            }
        }
        assert_eq!(top(&[1.0, 2.0], 0), []);
    }

    #[test]
    fn mass_adds_up_in_the_sorted_order() {
        for (n, levels, spread) in SHAPES {
            let logits = pseudo_random(n, levels, spread);
            let all = sorted(&logits);
            let max = all[0].logit();
            let naive = |candidates: &[Candidate], temperature: f32, share: f64| {
                let weight = |c: &Candidate| (f64::from(c.logit() - max) / f64::from(temperature)).exp();
                let target = share * candidates.iter().map(weight).sum::<f64>();
                let mut sum = 0.0;
                let reached = candidates.iter().position(|c| {
                    sum += weight(c);
                    sum >= target
                });
                reached.unwrap_or(candidates.len() - 1)
            };
            let rank = |c: Candidate| all.iter().position(|other| *other == c).unwrap();
            // The exponential here is not exactly the one there, so that a border may move by a token or so.
            let slack = 1 + n / 2000;
            for share in [0.0, 0.01, 0.3, 0.77, 0.999] {
                for limit in [n, n / 3 + 1] {
                    let kept = &all[..limit];
                    let end = if limit == n { Candidate::END } else { kept[limit - 1] };
                    let mut buckets = Buckets::new(&logits, max, 0.7);
                    let mut drawn = vec![(0.7, rank(buckets.reach(share, end)))];
                    if limit < n {
                        drawn.push((0.4, rank(buckets.reach_at(0.4, share, end))));
                    }
                    for (temperature, drawn) in drawn {
                        assert!(drawn < limit);
                        let expected = naive(kept, temperature, share);
                        assert!(drawn.abs_diff(expected) <= slack, "{n} {spread} {share} {limit}: {drawn}, {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_has_no_mass_is_not_drawn() {
        let mut buckets = Buckets::new(&[0.0, f32::NEG_INFINITY, -1000.0, -1.0], 0.0, 0.5);
        assert_eq!(buckets.reach(1.0, Candidate::END).id(), 3);
        assert_eq!(buckets.reach(0.0, Candidate::END).id(), 0);
        assert_eq!(buckets.nth(3).id(), 2);
        assert_eq!(buckets.nth(4), Candidate::END);
        assert_eq!(buckets.tokens_up_to(Candidate::new(0, -0.5)), 1);
    }
}
