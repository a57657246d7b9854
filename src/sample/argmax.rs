//! The most likely token of a row.

use crate::error::{Error, Result};

/// Lanes worked on side by side, so that the compiler can use vector instructions of any width up to 512 bits.
const LANES: usize = 16;

/// The id of the largest logit, the lowest one among equals.
///
/// # Errors
/// `Internal` naming the first token whose logit is NaN or +∞, or when none is above −∞.
pub(crate) fn argmax(logits: &[f32]) -> Result<u32> {
    let max = checked_max(logits)?;
    for (block, values) in logits.chunks(256).enumerate() {
        // Without an early exit inside, so that the search is vectorized.
        if values.iter().fold(false, |found, x| found | (*x == max)) {
            let within = values.iter().position(|x| *x == max).unwrap_or_default();
            return Ok((block * 256 + within) as u32);
        }
    }
    Err(Error::internal(format!("the largest of {} logits, {max}, is not among them", logits.len())))
}

/// The largest logit; the same errors as [`argmax`]. A logit of −∞ is a token that can't be picked.
pub(super) fn checked_max(logits: &[f32]) -> Result<f32> {
    let mut best = [f32::NEG_INFINITY; LANES];
    let mut bad = [0u32; LANES];
    let rows = logits.chunks_exact(LANES);
    let rest = rows.remainder();
    for row in rows {
        for lane in 0..LANES {
            let x = row[lane];
            best[lane] = if x > best[lane] { x } else { best[lane] };
            bad[lane] |= u32::from(!is_below_infinity(x));
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        best[lane] = if x > best[lane] { x } else { best[lane] };
        bad[lane] |= u32::from(!is_below_infinity(x));
    }
    if bad.iter().any(|b| *b != 0) {
        let token = logits.iter().position(|x| !is_below_infinity(*x)).unwrap_or_default();
        return Err(not_finite(format!("the model's logit of token {token} is {}", logits[token])));
    }
    let max = best.into_iter().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return Err(not_finite(format!(
            "none of {} tokens can be picked, token 0 included: all are -inf",
            logits.len()
        )));
    }
    Ok(max)
}

/// False for NaN too.
fn is_below_infinity(x: f32) -> bool {
    x < f32::INFINITY
}

fn not_finite(message: String) -> Error {
    Error::internal(message).with_hint(
        "the weights may be damaged, or overflow in this precision: check the model's files, or use exact precision",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn finds_the_maximum_wherever_it_is() {
        for len in [1, 2, 15, 16, 17, 255, 256, 257, 1000] {
            for at in [0, len / 3, len / 2, len - 1] {
                let mut logits: Vec<f32> = (0..len).map(|i| -((i * 7 % 13) as f32)).collect();
                logits[at] = 1.0;
                assert_eq!(argmax(&logits).unwrap(), at as u32, "{len} {at}");
            }
        }
    }

    #[test]
    fn takes_the_lowest_id_of_equals() {
        let mut logits = vec![-1.0; 600];
        for at in [599, 300, 41, 40] {
            logits[at] = 2.5;
        }
        assert_eq!(argmax(&logits).unwrap(), 40);
        assert_eq!(argmax(&[-0.0, 0.0]).unwrap(), 0);
        assert_eq!(argmax(&[0.0, -0.0]).unwrap(), 0);
    }

    #[test]
    fn names_the_token_that_is_not_finite() {
        for (bad, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf")] {
            for at in [0, 16, 37] {
                let mut logits = vec![0.5; 38];
                logits[at] = bad;
                let error = argmax(&logits).unwrap_err();
                assert_eq!(error.code(), Code::Internal);
                assert_eq!(error.message(), format!("the model's logit of token {at} is {name}"));
            }
        }
    }

    #[test]
    fn allows_banned_tokens_but_not_only_banned_ones() {
        let mut logits = vec![f32::NEG_INFINITY; 20];
        assert!(argmax(&logits).unwrap_err().message().contains("20 tokens"));
        assert!(argmax(&[]).is_err());
        logits[18] = f32::MIN;
        assert_eq!(argmax(&logits).unwrap(), 18);
    }
}
