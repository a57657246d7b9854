use super::*;
use crate::request::Request;

fn sampling(json: &str) -> Sampling {
    Request::from_json(json.as_bytes()).unwrap().sampling(1 << 20, 1).unwrap()
}

fn sampler(json: &str) -> Sampler {
    Sampler::new(sampling(json), 1 << 20)
}

/// Logits like a model's: a few high ones and a long tail, ties included.
fn model_logits(n: usize, spread: f32) -> Vec<f32> {
    (0..n).map(|i| ((uniform(9, i as u64) as f32).max(1e-9).ln() * -spread * 8.0).round() / 8.0).collect()
}

/// How often each of `n` tokens comes in `draws` draws.
fn counts(sampler: &mut Sampler, logits: &[f32], draws: u64) -> Vec<f64> {
    let mut counts = vec![0.0; logits.len()];
    for position in 0..draws {
        counts[sampler.pick(&mut logits.to_vec(), position).unwrap().token as usize] += 1.0;
    }
    counts
}

/// The distribution that the filters define, the slow way: full sort, one filter after the other.
fn naive(logits: &[f32], s: &Sampling) -> Vec<f64> {
    let weight = |l: f32, t: f32| (f64::from(l) / f64::from(t)).exp();
    let total: f64 = logits.iter().map(|l| weight(*l, 1.0)).sum();
    let probs: Vec<f64> = logits.iter().map(|l| weight(*l, 1.0) / total).collect();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    let mut keep = vec![true; logits.len()];
    if s.top_p < 1.0 {
        let mut above = 0.0;
        let mut threshold = probs[order[0]];
        for id in &order {
            if above >= f64::from(s.top_p) {
                break;
            }
            threshold = probs[*id];
            above += probs[*id];
        }
        keep.iter_mut().zip(&probs).for_each(|(k, p)| *k &= *p >= threshold);
    }
    if s.min_p > 0.0 {
        let floor = probs[order[0]] * f64::from(s.min_p) * (1.0 - 1e-6);
        keep.iter_mut().zip(&probs).for_each(|(k, p)| *k &= *p >= floor);
    }
    if s.top_k > 0 {
        order
            .iter()
            .filter(|id| keep[**id])
            .skip(s.top_k)
            .copied()
            .collect::<Vec<_>>()
            .iter()
            .for_each(|id| keep[*id] = false);
    }
    let kept: Vec<f64> =
        logits.iter().zip(&keep).map(|(l, k)| if *k { weight(*l, s.temperature) } else { 0.0 }).collect();
    let total: f64 = kept.iter().sum();
    kept.iter().map(|w| w / total).collect()
}

#[test]
fn only_a_bare_request_is_greedy() {
    assert!(sampler("{}").is_greedy());
    assert!(sampler(r#"{"top_p": 0.5, "top_k": 3, "repetition_penalty": 1}"#).is_greedy());
    for json in [
        r#"{"temperature": 0.1}"#,
        r#"{"repetition_penalty": 1.1}"#,
        r#"{"presence_penalty": 1}"#,
        r#"{"frequency_penalty": -1}"#,
        r#"{"logit_bias": {"3": 1}}"#,
        r#"{"logprobs": true}"#,
    ] {
        assert!(!sampler(json).is_greedy(), "{json}");
    }
}

#[test]
fn follows_the_distribution_of_each_filter() {
    let logits = model_logits(300, 1.3);
    for json in [
        r#"{"temperature": 1}"#,
        r#"{"temperature": 0.6}"#,
        r#"{"temperature": 2.5}"#,
        r#"{"temperature": 1, "top_k": 7}"#,
        r#"{"temperature": 1.5, "top_p": 0.7}"#,
        r#"{"temperature": 0.8, "min_p": 0.1}"#,
        r#"{"temperature": 1.2, "top_p": 0.9, "top_k": 40, "min_p": 0.02}"#,
        r#"{"temperature": 1, "top_p": 0.3, "top_k": 2}"#,
    ] {
        let mut sampler = sampler(json);
        let expected = naive(&logits, &sampler.sampling);
        let draws = 40_000;
        let counts = counts(&mut sampler, &logits, draws);
        let (mut chi, mut freedom) = (0.0, -1.0);
        let (mut rare, mut rare_expected) = (0.0, 0.0);
        for (count, p) in counts.iter().zip(&expected) {
            let n = p * draws as f64;
            assert!(*count == 0.0 || *p > 0.0, "{json}: a token outside the filter");
            if n >= 10.0 {
                chi += (count - n).powi(2) / n;
                freedom += 1.0;
            } else {
                rare += count;
                rare_expected += n;
            }
        }
        if rare_expected > 10.0 {
            chi += f64::powi(rare - rare_expected, 2) / rare_expected;
            freedom += 1.0;
        }
        // Five deviations, and the seed is fixed.
        assert!(chi < freedom + 5.0 * f64::sqrt(2.0 * freedom), "{json}: {chi} with {freedom} degrees of freedom");
    }
}

#[test]
fn keeps_exactly_the_set_of_each_filter() {
    for (spread, n) in [(0.3, 3000), (2.0, 3000), (9.0, 200)] {
        let logits = model_logits(n, spread);
        for json in [
            r#"{"temperature": 40, "top_k": 5}"#,
            r#"{"temperature": 40, "top_p": 0.05}"#,
            r#"{"temperature": 40, "min_p": 0.8}"#,
            r#"{"temperature": 40, "top_p": 0.05, "min_p": 0.7, "top_k": 6}"#,
        ] {
            let mut sampler = sampler(json);
            let expected = naive(&logits, &sampler.sampling);
            let members = expected.iter().filter(|p| **p > 0.0).count() as u64;
            let counts = counts(&mut sampler, &logits, 40 * members.max(5));
            for (id, (count, p)) in counts.iter().zip(&expected).enumerate() {
                // All have about the same probability at this temperature, so that each must come.
                assert_eq!(*count > 0.0, *p > 0.0, "{spread} {json}: token {id}, {members} in the set");
            }
        }
    }
}

#[test]
fn draws_in_the_order_of_descending_probability() {
    let logits = model_logits(1000, 0.9);
    let mut order: Vec<usize> = (0..1000).collect();
    order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
    for json in [r#"{"temperature": 1, "seed": 5}"#, r#"{"temperature": 1, "seed": 5, "top_k": 999}"#] {
        let mut sampler = sampler(json);
        let expected = naive(&logits, &sampler.sampling);
        for position in 0..2000 {
            let u = uniform(5, position);
            let mut sum = 0.0;
            let at = order.iter().position(|id| {
                sum += expected[*id];
                sum >= u
            });
            let picked = sampler.pick(&mut logits.clone(), position).unwrap().token;
            let rank = order.iter().position(|id| *id == picked as usize).unwrap();
            // Neighbours, when u falls on the border to within rounding.
            assert!(rank.abs_diff(at.unwrap()) <= 1, "{position}: rank {rank}, not {at:?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_tokens() {
    let logits = model_logits(5000, 1.0);
    let run = |seed: u64, before: u64| {
        let mut sampler = sampler(&format!(r#"{{"temperature": 1, "top_p": 0.95, "seed": {seed}}}"#));
        for position in 0..before {
            sampler.pick(&mut logits.clone(), position).unwrap();
        }
        (50..80).map(|p| sampler.pick(&mut logits.clone(), p).unwrap().token).collect::<Vec<_>>()
    };
    // What was picked before makes no difference: the position decides.
    assert_eq!(run(11, 0), run(11, 50));
    assert_ne!(run(11, 0), run(12, 0));
}

#[test]
fn the_largest_seed_and_position_work() {
    let mut sampler = sampler(r#"{"temperature": 1, "seed": 18446744073709551615}"#);
    assert!(sampler.pick(&mut [0.0, 1.0], u64::MAX).is_ok());
}

#[test]
fn penalties_count_prompt_and_answer_apart() {
    let mut s = sampler(r#"{"repetition_penalty": 2, "presence_penalty": 0.5, "frequency_penalty": 0.25}"#);
    s.observe_prompt(&[0, 1, 1, 99_999_999]);
    for id in [1, 2, 2, 2] {
        s.observe(id);
    }
    let mut logits = [4.0, -4.0, 4.0, 4.0];
    assert_eq!(s.pick(&mut logits, 0).unwrap().token, 3);
    // Token 0: halved. 1: doubled, seen once in the answer. 2: halved, three times. 3: untouched.
    assert_eq!(logits, [2.0, -8.75, 0.75, 4.0]);
}

#[test]
fn bias_comes_after_the_penalties() {
    let mut s = sampler(r#"{"repetition_penalty": 2, "logit_bias": {"0": 1.5, "2": -100, "7": 1}}"#);
    s.observe_prompt(&[0]);
    let mut logits = [4.0, 3.0, 50.0];
    assert_eq!(s.pick(&mut logits, 0).unwrap().token, 0);
    assert_eq!(logits, [3.5, 3.0, -50.0]);
}

#[test]
fn logprobs_are_those_of_the_model() {
    let raw = [1.0f32, 2.0, 3.0, 3.0, f32::NEG_INFINITY];
    let total: f64 = raw.iter().map(|l| f64::from(*l).exp()).sum::<f64>().ln();
    let mut s = sampler(
        r#"{"top_logprobs": 3, "logit_bias": {"0": 9}, "repetition_penalty": 1.5, "temperature": 0.1, "top_k": 1}"#,
    );
    s.observe_prompt(&[0, 2]);
    let picked = s.pick(&mut raw.clone(), 4).unwrap();
    assert_eq!(picked.token, 0);
    let logprob = picked.logprob.unwrap();
    let expected = |l: f32| (f64::from(l) - total) as f32;
    assert_eq!(logprob.token, 0);
    assert!((logprob.logprob - expected(1.0)).abs() < 1e-6);
    assert_eq!(logprob.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, 1]);
    for (id, value) in &logprob.top {
        assert!((value - expected(raw[*id as usize])).abs() < 1e-6);
    }
    let mut s = sampler(r#"{"logprobs": true}"#);
    assert_eq!(s.pick(&mut raw.clone(), 0).unwrap().logprob.unwrap().top, []);
    // More alternatives than there are tokens to pick.
    let mut s = sampler(r#"{"top_logprobs": 20}"#);
    assert_eq!(s.pick(&mut raw.clone(), 0).unwrap().logprob.unwrap().top.len(), 4);
}

#[test]
fn the_coldest_temperature_is_the_maximum() {
    let mut logits = model_logits(4000, 1.0);
    logits[1234] = 30.0;
    for temperature in ["1e-30", "1e-45", "0.0001"] {
        let mut sampler = sampler(&format!(r#"{{"temperature": {temperature}, "top_p": 0.9}}"#));
        for position in 0..50 {
            assert_eq!(sampler.pick(&mut logits.clone(), position).unwrap().token, 1234, "{temperature}");
        }
    }
}

#[test]
fn banned_tokens_are_never_drawn_and_bad_ones_are_errors() {
    for json in [
        r#"{"temperature": 100}"#,
        r#"{"temperature": 1, "top_k": 50}"#,
        r#"{"temperature": 1, "top_p": 0.999999, "logprobs": true}"#,
        r#"{"repetition_penalty": 1.5}"#,
        r#"{"logit_bias": {"1": 5}}"#,
    ] {
        let mut sampler = sampler(json);
        sampler.observe_prompt(&[0, 1, 2]);
        for position in 0..200 {
            let mut logits = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY, 0.1];
            assert!([1, 3].contains(&sampler.pick(&mut logits, position).unwrap().token));
        }
        for bad in [f32::NAN, f32::INFINITY] {
            let error = sampler.pick(&mut [0.0, 1.0, bad, 3.0], 0).unwrap_err();
            assert!(error.message().contains("token 2 is"), "{json}: {error}");
        }
        assert!(sampler.pick(&mut [f32::NEG_INFINITY; 9], 0).is_err());
    }
}

#[test]
fn flat_distributions_reach_every_token() {
    let mut sampler = sampler(r#"{"temperature": 1}"#);
    let counts = counts(&mut sampler, &[2.0; 100], 5000);
    assert!(counts.iter().all(|n| (15.0..100.0).contains(n)), "{counts:?}");
    // A tail that the first look leaves out.
    let mut logits = vec![-20.0; 50_000];
    logits[7] = 0.0;
    let mut sampler = Sampler::new(sampling(r#"{"temperature": 1}"#), 50_000);
    let tail = (0..400_000).filter(|p| uniform(1, *p) > 1.0 - 1e-4 / 2.0).collect::<Vec<_>>();
    assert!(!tail.is_empty());
    for position in tail {
        assert_ne!(sampler.pick(&mut logits.clone(), position).unwrap().token, 7);
    }
}
