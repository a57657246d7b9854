//! Which experts a row goes through, and with what weights.

use crate::arch::spec::{Groups, Routing, Score};

/// The choices of one row: experts with their weights, the best first, the lower number first of equals.
pub(super) fn choose(
    rule: &Routing,
    logits: &[f32],
    correction: Option<&[f32]>,
    expert_scale: Option<&[f32]>,
) -> Vec<(usize, f32)> {
    let mut chosen = match rule.score {
        Score::SparseMixer(jitter) => sparse_mixer(logits, rule.top_k, jitter),
        Score::Softmax | Score::Sigmoid => best_scores(rule, logits, correction),
    };
    if let Some(epsilon) = rule.normalize {
        let sum = chosen.iter().map(|(_, weight)| weight).sum::<f32>() + epsilon;
        chosen.iter_mut().for_each(|(_, weight)| *weight /= sum);
    }
    for (expert, weight) in &mut chosen {
        *weight *= rule.scale * expert_scale.map_or(1.0, |scale| scale[*expert]);
    }
    chosen
}

fn best_scores(rule: &Routing, logits: &[f32], correction: Option<&[f32]>) -> Vec<(usize, f32)> {
    let scores = match rule.score {
        Score::Sigmoid => logits.iter().map(|x| 1.0 / (1.0 + exp(-x))).collect(),
        _ => softmax(logits),
    };
    let mut ranks = scores.clone();
    if let Some(correction) = correction {
        ranks.iter_mut().zip(correction).for_each(|(rank, correction)| *rank += correction);
    }
    if let Some(groups) = rule.groups {
        keep_groups(&mut ranks, groups);
    }
    top(&ranks, rule.top_k).into_iter().map(|expert| (expert, scores[expert])).collect()
}

/// Sets the ranks of all groups but the best to 0, as those who trained such models do.
fn keep_groups(ranks: &mut [f32], groups: Groups) {
    let size = ranks.len() / groups.count.max(1);
    let worth = |group: &[f32]| top(group, groups.best).into_iter().map(|i| group[i]).sum::<f32>();
    let worths: Vec<f32> = ranks.chunks_exact(size.max(1)).map(worth).collect();
    let kept = top(&worths, groups.chosen);
    for (index, group) in ranks.chunks_exact_mut(size.max(1)).enumerate() {
        if !kept.contains(&index) {
            group.fill(0.0);
        }
    }
}

/// Indices of the largest numbers, the largest first.
fn top(numbers: &[f32], count: usize) -> Vec<usize> {
    let mut best: Vec<usize> = Vec::with_capacity(count + 1);
    for (index, number) in numbers.iter().enumerate() {
        let at = best.iter().position(|&other| *number > numbers[other]).unwrap_or(best.len());
        if at < count {
            best.insert(at, index);
            best.truncate(count);
        }
    }
    best
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|x| exp(x - highest)).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Computed in f64 and rounded once, so that it is the same on every system.
fn exp(x: f32) -> f32 {
    f64::from(x).exp() as f32
}

/// Liu et al. 2023, as Phi 3.5 MoE infers with it.
fn sparse_mixer(logits: &[f32], top_k: usize, jitter: f32) -> Vec<(usize, f32)> {
    let mut left = logits.to_vec();
    let mut chosen = Vec::with_capacity(top_k);
    for _ in 0..top_k {
        let Some(&best) = top(&left, 1).first() else { break };
        let highest = left[best];
        let within = |(x, left): (&f32, &f32)| {
            let distance = (highest - x) / x.abs().max(highest);
            if distance > 2.0 * jitter { f32::NEG_INFINITY } else { *left }
        };
        let band: Vec<f32> = logits.iter().zip(&left).map(within).collect();
        chosen.push((best, softmax(&band)[best]));
        left[best] = f32::NEG_INFINITY;
    }
    chosen
}
