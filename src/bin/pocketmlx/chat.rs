//! `pocketmlx chat`

mod command;
mod lines;

use std::path::Path;

use pocketmlx::{ContextOverflow, Error, Model, Request, Session, SessionOptions};

use crate::args::{LoadArgs, SamplingArgs};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{load, stream, transcript};
use command::Command;
use lines::{Line, Lines};

/// Talk with a model: line by line at a terminal, or from a script on stdin
#[derive(Debug, clap::Args)]
#[command(after_help = command::HELP)]
pub struct Args {
    #[command(flatten)]
    load: LoadArgs,
    /// The system message
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// When the talk outgrows the context, leave out its oldest turns instead of failing
    #[arg(long)]
    drop_oldest_turns: bool,
    // Last, because its help heading goes on to what follows.
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// A talk under way.
struct Chat {
    model: Model,
    options: SessionOptions,
    session: Session,
    /// Whether anything failed; the talk goes on, a script learns of it by the exit status.
    failed: bool,
}

pub fn run(args: Box<Args>) -> Result<(), Failure> {
    let overflow = if args.drop_oldest_turns { ContextOverflow::DropOldestTurns } else { ContextOverflow::Error };
    let defaults = Request { context_overflow: Some(overflow), ..args.sampling.request()? };
    let options = SessionOptions { instructions: args.system.clone(), defaults, ..SessionOptions::default() };
    let loaded = load::load(&args.load)?;
    if !loaded.model.text().has_template() {
        let message = format!("{} has no chat template", args.load.model.model);
        return Err(Error::unsupported(message).with_hint("`pocketmlx generate --raw` continues plain text").into());
    }
    let session = loaded.model.session(options.clone())?;
    let mut chat = Chat { model: loaded.model, options, session, failed: false };
    let mut lines = Lines::open()?;
    if lines.interactive() {
        output::note(format_args!("{} is ready. /help lists the commands, Ctrl-D leaves.", args.load.model.model));
    }
    let mut leaving = false;
    loop {
        let line = match lines.read()? {
            Line::End => break,
            Line::Interrupted if leaving => return Err(Failure::Interrupted),
            Line::Interrupted => {
                output::note("(Ctrl-C again or Ctrl-D leaves)");
                leaving = true;
                continue;
            }
            Line::Text(line) => line,
        };
        leaving = false;
        match Command::parse(&line) {
            Command::Exit => break,
            Command::Nothing => {}
            command => chat.tell(command)?,
        }
    }
    if chat.failed && !lines.interactive() { Err(Failure::Reported) } else { Ok(()) }
}

impl Chat {
    /// Does what a line says. What goes wrong with the line is told and the talk goes on.
    fn tell(&mut self, command: Command<'_>) -> Result<(), Failure> {
        let outcome = match command {
            Command::Say(text) => self.answer(text),
            Command::Reset => self.reset(),
            Command::Save(path) => self.save(path),
            Command::Help => {
                output::note(command::HELP);
                Ok(())
            }
            Command::Unknown(name) => {
                output::complain(
                    &Error::invalid(format!("unknown command {name}"))
                        .with_hint("/help lists the commands; a space before the / makes it a message"),
                );
                Ok(())
            }
            Command::Exit | Command::Nothing => Ok(()),
        };
        match outcome {
            Err(Failure::Failed(error) | Failure::Usage(error)) => {
                output::complain(&error);
                self.failed = true;
                Ok(())
            }
            other => other,
        }
    }

    fn answer(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = Output::new();
        let answer = stream::follow(&self.session, Request::user(text), |piece| stdout.write(piece));
        stdout.end_line()?;
        if answer?.cancelled() {
            output::note("(stopped)");
        }
        Ok(())
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.session = self.model.session(self.options.clone())?;
        output::note("(the talk begins anew)");
        Ok(())
    }

    fn save(&self, path: &str) -> Result<(), Failure> {
        if path.is_empty() {
            return Err(Failure::usage("/save needs the name of a file", "/save talk.json"));
        }
        transcript::save(Path::new(path), self.session.history())?;
        output::note(format_args!("(saved to {path})"));
        Ok(())
    }
}
