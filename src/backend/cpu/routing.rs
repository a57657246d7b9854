//! Which experts a row goes through, and with what weights.

use crate::arch::spec::{Groups, Routing, Score};

/// The choices of one row: experts with their weights, the best first, the lower number first of equals.
pub(super) fn choose(
    rule: &Routing,
    logits: &[f32],
    correction: Option<&[f32]>,
    expert_scale: Option<&[f32]>,
) -> Vec<(usize, f32)> {
    let capped: Vec<f32>;
    let logits = match rule.softcap {
        Some(cap) => {
            capped = logits.iter().map(|x| (f64::from(cap) * f64::from(x / cap).tanh()) as f32).collect();
            &capped
        }
        None => logits,
    };
    let mut chosen = match rule.score {
        Score::SparseMixer(jitter) => sparse_mixer(logits, rule.top_k, jitter),
        Score::Softmax | Score::Sigmoid | Score::SqrtSoftplus => best_scores(rule, logits, correction),
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
        Score::SqrtSoftplus => logits.iter().map(|x| f64::from(*x).exp().ln_1p().sqrt() as f32).collect(),
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

/// Sets the ranks of all groups but the best to 0, as those who trained such models do, or rules them out.
fn keep_groups(ranks: &mut [f32], groups: Groups) {
    let size = ranks.len() / groups.count.max(1);
    let worth = |group: &[f32]| top(group, groups.best).into_iter().map(|i| group[i]).sum::<f32>();
    let worths: Vec<f32> = ranks.chunks_exact(size.max(1)).map(worth).collect();
    let kept = top(&worths, groups.chosen);
    for (index, group) in ranks.chunks_exact_mut(size.max(1)).enumerate() {
        if !kept.contains(&index) {
            group.fill(if groups.strict { f32::NEG_INFINITY } else { 0.0 });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(top_k: usize, score: Score) -> Routing {
        Routing {
            top_k,
            softcap: None,
            temperature: 1.0,
            score,
            correction: None,
            groups: None,
            normalize: None,
            scale: 1.0,
            expert_scale: None,
            weighs_input: false,
        }
    }

    fn experts(chosen: &[(usize, f32)]) -> Vec<usize> {
        chosen.iter().map(|(expert, _)| *expert).collect()
    }

    #[test]
    fn the_softmax_of_the_chosen_is_a_normalised_softmax() {
        let logits = [0.5, 2.0, -1.0, 1.0];
        let normalized = Routing { normalize: Some(0.0), ..rule(2, Score::Softmax) };
        let chosen = choose(&normalized, &logits, None, None);
        assert_eq!(experts(&chosen), [1, 3]);
        let first = 1.0 / (1.0 + (-1.0f32).exp());
        assert!((chosen[0].1 - first).abs() < 1e-6 && (chosen[1].1 - (1.0 - first)).abs() < 1e-6);
        let scaled = choose(&normalized, &logits, None, Some(&[9.0, 2.0, 9.0, 3.0]));
        assert!((scaled[0].1 - 2.0 * first).abs() < 1e-6 && (scaled[1].1 - 3.0 * (1.0 - first)).abs() < 1e-6);
    }

    #[test]
    fn a_correction_chooses_but_does_not_weigh() {
        let logits = [3.0, 2.0, 1.0, 0.0];
        let chosen = choose(&rule(2, Score::Sigmoid), &logits, Some(&[0.0, 0.0, 0.0, 5.0]), None);
        assert_eq!(experts(&chosen), [3, 0]);
        assert_eq!(chosen[0].1, 0.5);
    }

    #[test]
    fn only_the_best_groups_count() {
        // The best single expert is alone in its group; two others are better together.
        let logits = [4.0, -9.0, 1.0, 1.5, 2.0, 2.5];
        let groups = Some(Groups { count: 3, chosen: 1, best: 2, strict: false });
        let chosen = choose(&Routing { groups, ..rule(2, Score::Sigmoid) }, &logits, None, None);
        assert_eq!(experts(&chosen), [5, 4]);
    }

    #[test]
    fn equals_go_to_the_lower_number() {
        assert_eq!(experts(&choose(&rule(2, Score::Softmax), &[1.0; 4], None, None)), [0, 1]);
    }

    #[test]
    fn the_sparse_mixer_weighs_by_what_is_near_the_best() {
        let chosen = choose(&rule(2, Score::SparseMixer(0.01)), &[10.0, 9.9, 1.0], None, None);
        assert_eq!(experts(&chosen), [0, 1]);
        let near = 1.0 / (1.0 + (-0.1f32).exp());
        assert!((chosen[0].1 - near).abs() < 1e-6, "{chosen:?}");
        // Nothing else is near the second once the first is gone.
        assert_eq!(chosen[1].1, 1.0);
    }
}
