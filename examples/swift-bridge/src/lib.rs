//! PocketMLX in an app that keeps Rust and Swift in one tree: the app's own Rust, bound with swift-bridge.

use pocketmlx::{Engine, EngineOptions, Event, Generation, LoadOptions, Request, Session, SessionOptions};
use std::ops::ControlFlow;

#[swift_bridge::bridge]
mod ffi {
    extern "Rust" {
        type Chat;

        // Loads a model, which takes a while. Texts are `String`s: what takes a `&str` can't throw in Swift.
        #[swift_bridge(associated_to = Chat)]
        fn open(source: String) -> Result<Chat, String>;
        // Starts an answer; the last one must have ended.
        fn ask(&self, question: String) -> Result<Answer, String>;
    }

    extern "Rust" {
        type Answer;

        // Waits for more of the answer; nothing after its end.
        fn next(&self) -> Option<String>;
        // What ended the answer early.
        fn failure(&self) -> Option<String>;
        // Ends the answer; `next` soon gives nothing. Never waits.
        fn cancel(&self);
    }
}

/// A conversation.
pub struct Chat(Session);

/// An answer that is being generated. Dropping it ends it.
pub struct Answer(Generation);

impl Chat {
    fn open(source: String) -> Result<Self, String> {
        let load = || {
            let engine = Engine::new(EngineOptions::default())?;
            let model = engine.load(&source, LoadOptions::default(), &mut |_| ControlFlow::Continue(()))?;
            model.session(SessionOptions::default())
        };
        load().map(Self).map_err(|error| error.to_string())
    }

    fn ask(&self, question: String) -> Result<Answer, String> {
        self.0.start(Request::user(question)).map(Answer).map_err(|error| error.to_string())
    }
}

impl Answer {
    fn next(&self) -> Option<String> {
        while let Ok(Some(event)) = self.0.next_event() {
            match event {
                Event::Text { text, .. } if !text.is_empty() => return Some(text),
                _ => {}
            }
        }
        None
    }

    fn failure(&self) -> Option<String> {
        // A failure comes again with every read.
        self.0.next_event().err().map(|error| error.to_string())
    }

    fn cancel(&self) {
        self.0.cancel();
    }
}
