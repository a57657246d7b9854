//! Names of files with models: `Model-Q4_K_M.gguf`, or `Model-Q4_K_M-00001-of-00003.gguf` and so on.

const EXTENSION: &str = ".gguf";

/// The name without its ending, and number and count of the part, where a model is in several files.
fn taken_apart(name: &str) -> Option<(&str, Option<(&str, &str)>)> {
    let at = name.len().checked_sub(EXTENSION.len())?;
    let stem = name.get(..at).filter(|_| name[at..].eq_ignore_ascii_case(EXTENSION))?;
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = stem.rsplit_once("-of-").filter(|(_, count)| number(count)).and_then(|(rest, count)| {
        let (rest, part) = rest.rsplit_once('-').filter(|(_, part)| number(part))?;
        Some((rest, (part, count)))
    });
    Some(part.map_or((stem, None), |(rest, part)| (rest, Some(part))))
}

/// Whether a path is that of a model: not the part of one that sees images, and of several files that are one model the
/// first.
pub(crate) fn is_model(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    taken_apart(name).is_some_and(|(_, part)| part.is_none_or(|(part, _)| part == "00001"))
        && !name.starts_with("mmproj")
}

/// All files of a model, by the first of them.
pub(crate) fn parts(first: &str) -> Vec<String> {
    match taken_apart(first) {
        Some((stem, Some((_, count)))) => {
            let of =
                |number: usize| format!("{stem}-{number:05}-of-{count}{}", &first[first.len() - EXTENSION.len()..]);
            (1..=count.parse().unwrap_or(1).max(1)).map(of).collect()
        }
        _ => vec![first.to_owned()],
    }
}

/// Whether a file's name says that it is quantized in this way, such as `Q4_K_M`.
#[cfg(any(test, feature = "hub"))]
pub(crate) fn is_quantized_as(path: &str, quantization: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some((stem, _)) = taken_apart(name) else { return false };
    let (stem, wanted) = (stem.to_uppercase(), quantization.to_uppercase());
    stem.match_indices(&wanted).any(|(at, _)| {
        stem[..at].chars().next_back().is_none_or(|before| matches!(before, '-' | '.' | '_'))
            && stem[at + wanted.len()..].chars().next().is_none_or(|behind| matches!(behind, '-' | '.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_and_their_parts_are_told_by_name() {
        for name in ["m.gguf", "a/M-Q4_K_M.GGUF", "m-00001-of-00003.gguf", "m-1-of-2.gguf"] {
            assert!(is_model(name), "{name}");
        }
        for name in ["m.ggu", "gguf", "a/mmproj-f16.gguf", "m-00002-of-00003.gguf", "ä.gguff", "ää"] {
            assert!(!is_model(name), "{name}");
        }
        assert_eq!(parts("a/m-00001-of-00002.gguf"), ["a/m-00001-of-00002.gguf", "a/m-00002-of-00002.gguf"]);
        assert_eq!(parts("m-00001-of-00000.gguf"), ["m-00001-of-00000.gguf"]);
        assert_eq!(parts("m-Q4_0.gguf"), ["m-Q4_0.gguf"]);
    }

    #[test]
    fn quantizations_are_words_of_the_name() {
        for (name, quantization) in [
            ("Qwen3-0.6B-Q4_K_M.gguf", "Q4_K_M"),
            ("a/qwen3.q4_k_m.gguf", "Q4_K_M"),
            ("m_Q4_0.gguf", "q4_0"),
            ("m-UD-Q4_K_XL-00001-of-00002.gguf", "Q4_K_XL"),
            ("Q8_0.gguf", "Q8_0"),
        ] {
            assert!(is_quantized_as(name, quantization), "{name}");
        }
        for (name, quantization) in
            [("m-Q4_K_M.gguf", "Q4_K"), ("m-IQ4_NL.gguf", "Q4_NL"), ("Q8_0/m.gguf", "Q8_0"), ("mQ4_0.gguf", "Q4_0")]
        {
            assert!(!is_quantized_as(name, quantization), "{name}");
        }
    }
}
