//! What a recurrent layer keeps of a sequence: its state, and the one before the last step, so that a step can be taken
//! back.

use crate::backend::State;

/// The states of one layer and sequence.
#[derive(Clone)]
pub(super) struct Recurrent<S: State> {
    now: S,
    len: usize,
    before: Option<(S, usize)>,
}

impl<S: State> Recurrent<S> {
    /// That of an empty sequence.
    pub fn new() -> Self {
        Self { now: S::default(), len: 0, before: None }
    }

    /// The state after all positions.
    pub fn state(&self) -> &S {
        &self.now
    }

    /// Takes the state after `count` more positions.
    pub fn advance(&mut self, state: S, count: usize) {
        let before = std::mem::replace(&mut self.now, state);
        self.before = Some((before, self.len));
        self.len += count;
    }

    /// Positions taken in.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the state after `len` positions is at hand.
    pub fn can_truncate(&self, len: usize) -> bool {
        len == self.len || len == 0 || self.before.as_ref().is_some_and(|(_, before)| *before == len)
    }

    /// Goes back to the state after `len` positions.
    pub fn truncate(&mut self, len: usize) {
        match self.before.take() {
            before if len == self.len => self.before = before,
            Some((state, before)) if before == len => (self.now, self.len) = (state, before),
            _ => *self = Self::new(),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.now.bytes() + self.before.as_ref().map_or(0, |(state, _)| state.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default, PartialEq, Debug)]
    struct Count(usize);

    impl State for Count {
        fn bytes(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn the_last_step_can_be_taken_back() {
        let mut states = Recurrent::<Count>::new();
        states.advance(Count(5), 5);
        states.advance(Count(8), 3);
        assert_eq!((states.len(), states.bytes()), (8, 13));
        let reachable: Vec<usize> = (0..10).filter(|&len| states.can_truncate(len)).collect();
        assert_eq!(reachable, [0, 5, 8]);

        let mut fork = states.clone();
        states.truncate(8);
        assert!(states.can_truncate(5), "nothing was cut");
        states.truncate(5);
        assert_eq!((states.len(), states.state()), (5, &Count(5)));
        assert!(!states.can_truncate(8) && states.can_truncate(0));
        states.advance(Count(6), 1);
        assert!(states.can_truncate(5));

        fork.truncate(0);
        assert_eq!((fork.len(), fork.state()), (0, &Count(0)));
    }
}
