//! States of earlier prompts and answers, kept so that a prompt that begins like one of them need not be computed again.

use crate::backend::Backend;
use crate::nn::Sequence;

/// The most states that are kept, whatever the memory allows.
const MAX_ENTRIES: usize = 256;

/// Kept states, least recently used first.
pub(super) struct PrefixCache<B: Backend> {
    entries: Vec<Entry<B>>,
}

struct Entry<B: Backend> {
    tokens: Vec<u32>,
    sequence: Sequence<B>,
}

impl<B: Backend> PrefixCache<B> {
    pub fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// A copy of the state that covers most of `prompt`, at most all but its last token, and its length.
    pub fn find(&mut self, prompt: &[u32]) -> Option<Sequence<B>> {
        let (index, len) = (0..self.entries.len())
            .map(|index| (index, self.entries[index].usable(prompt)))
            .max_by_key(|(_, len)| *len)
            .filter(|(_, len)| *len > 0)?;
        let entry = self.entries.remove(index);
        let mut found = entry.sequence.fork();
        self.entries.push(entry);
        if len < found.len() {
            found.truncate(len);
        }
        Some(found)
    }

    /// Keeps a state that holds `tokens`. States that it makes superfluous go.
    pub fn insert(&mut self, tokens: Vec<u32>, sequence: Sequence<B>) {
        if tokens.is_empty() {
            return;
        }
        let covers =
            |long: &Entry<B>, short: &[u32]| long.tokens.starts_with(short) && long.sequence.can_truncate(short.len());
        if let Some(index) = self.entries.iter().position(|entry| covers(entry, &tokens)) {
            let entry = self.entries.remove(index);
            self.entries.push(entry);
            return;
        }
        let new = Entry { tokens, sequence };
        self.entries.retain(|old| !covers(&new, &old.tokens));
        if self.entries.len() == MAX_ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(new);
    }

    /// Drops the least recently used state; `false` when there is none.
    pub fn evict(&mut self) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        self.entries.remove(0);
        true
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.sequence.bytes()).sum()
    }

    /// States held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }
}

impl<B: Backend> Entry<B> {
    /// How many tokens of `prompt` this state can stand for.
    fn usable(&self, prompt: &[u32]) -> usize {
        usable(&self.sequence, &self.tokens, prompt)
    }
}

/// How many tokens of `prompt` the state of a sequence that holds `tokens` can stand for: the common beginning, at
/// most all but the prompt's last token, whose logits are needed, and nothing if the state can't be cut back so far.
pub(super) fn usable<B: Backend>(sequence: &Sequence<B>, tokens: &[u32], prompt: &[u32]) -> usize {
    let held = &tokens[..tokens.len().min(sequence.len())];
    let common = held.iter().zip(prompt).take_while(|(a, b)| a == b).count();
    let len = common.min(prompt.len().saturating_sub(1));
    if sequence.can_truncate(len) { len } else { 0 }
}
