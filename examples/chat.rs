//! A chat with a model, line by line: the answer appears while it is generated.
//!
//!     cargo run --release --example chat -- path/to/model

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;

use pocketmlx::{Engine, EngineOptions, Event, LoadOptions, Request, Session, SessionOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let source = std::env::args().nth(1).unwrap_or_else(|| "demo".to_owned());
    let engine = Engine::new(EngineOptions::default())?;
    let model = engine.load(&source, LoadOptions::default(), &mut |progress| {
        if progress.total > 0 {
            eprint!("\rloading: {:3.0} %", 100.0 * progress.done as f64 / progress.total as f64);
        }
        ControlFlow::Continue(()) // Break would cancel
    })?;
    let session = model.session(SessionOptions::default())?;

    eprint!("\n> ");
    for line in io::stdin().lock().lines() {
        let line = line?;
        if !line.is_empty() {
            answer(&session, line)?;
        }
        eprint!("\n> ");
    }
    Ok(())
}

/// Prints an answer as it comes.
fn answer(session: &Session, line: String) -> Result<(), Box<dyn Error>> {
    let request = Request { max_tokens: Some(400), ..Request::user(line) };
    for event in session.start(request)? {
        match event? {
            Event::Text { text, .. } => {
                print!("{text}");
                io::stdout().flush()?;
            }
            Event::Done(done) => eprintln!("\n{done:?}"),
            _ => {}
        }
    }
    Ok(())
}
