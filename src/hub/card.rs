//! The head of a model's README.md: settings in YAML between two lines of `---`.

use serde_json::Value;

/// The longest README that is looked at.
const LONGEST: usize = 4 << 20;

/// The settings, or `Null` when there are none that are understood. Nothing in a model depends on them.
pub(super) fn front_matter(readme: &[u8]) -> Value {
    let text = String::from_utf8_lossy(&readme[..readme.len().min(LONGEST)]);
    let Some(rest) = text.trim_start_matches('\u{feff}').trim_start().strip_prefix("---") else { return Value::Null };
    let end = rest
        .match_indices("\n---")
        .find(|(at, line)| rest[at + line.len()..].chars().next().is_none_or(|next| next == '\n' || next == '\r'));
    let Some((end, _)) = end else { return Value::Null };
    // The parser bounds depth, nodes and what aliases grow to.
    serde_saphyr::from_str(&rest[..end]).unwrap_or_else(|error| {
        tracing::debug!(%error, "the model card's settings are not understood");
        Value::Null
    })
}

/// A text.
pub(super) fn text(card: &Value, key: &str) -> Option<String> {
    card.get(key)?.as_str().map(str::to_owned)
}

/// A text or a list of texts.
pub(super) fn texts(card: &Value, key: &str) -> Vec<String> {
    match card.get(key) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let readme = "---\nlicense: apache-2.0\nbase_model: Qwen/Qwen3-4B\ntags:\n- mlx\n- chat\nlanguage: [en, de]\n---\n# Hi\n---\n";
        let card = front_matter(readme.as_bytes());
        assert_eq!(text(&card, "license").as_deref(), Some("apache-2.0"));
        assert_eq!(texts(&card, "base_model"), ["Qwen/Qwen3-4B"]);
        assert_eq!(texts(&card, "tags"), ["mlx", "chat"]);
        assert_eq!(texts(&card, "language"), ["en", "de"]);
        assert_eq!(text(&card, "tags"), None);
        let windows = "\u{feff}---\r\nlicense: mit\r\n---\r\ntext";
        assert_eq!(text(&front_matter(windows.as_bytes()), "license").as_deref(), Some("mit"));
    }

    #[test]
    fn what_is_no_card_has_no_settings() {
        let bomb = (0..30).fold("---\na0: &a0 [x,x]\n".to_owned(), |text, i| {
            format!("{text}a{}: &a{} [*a{i},*a{i},*a{i},*a{i},*a{i},*a{i}]\n", i + 1, i + 1)
        }) + "---\n";
        for readme in ["", "# Title", "---\nlicense: mit", "---\n{{{\n---\n", "---\n\tx: [\n---\n", &bomb] {
            assert!(text(&front_matter(readme.as_bytes()), "license").is_none(), "{}", &readme[..readme.len().min(20)]);
        }
        front_matter(b"---\n\xff\xfe: 1\n---\n");
    }
}
