//! The `pocketmlx` command: the library's public Rust API at a terminal.
#![deny(unsafe_code)]

mod args;
mod bench;
mod chat;
mod convert;
mod doctor;
mod failure;
mod generate;
mod hub;
mod info;
mod input;
mod interrupt;
mod load;
mod logging;
mod outline;
mod output;
mod probe;
mod progress;
mod render;
mod score;
mod search;
mod size;
mod stream;
mod tokenize;
mod transcript;

use args::{Cli, Command};
use clap::Parser;
use failure::Failure;

fn main() {
    let cli = Cli::parse();
    let outcome = logging::start(cli.verbose).and_then(|()| run(cli.command));
    // Exits at once: the engine's worker thread never ends, so there is nothing to wait for.
    std::process::exit(failure::report(outcome))
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Generate(args) => generate::run(args),
        Command::Chat(args) => chat::run(args),
        Command::Score(args) => score::run(args),
        Command::Tokenize(args) => tokenize::run(args),
        Command::Render(args) => render::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Info(args) => info::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Search(args) => search::search(args),
        Command::Recommend(args) => search::recommend(args),
        Command::Pull(args) => hub::pull(args),
        Command::List(args) => hub::list(args),
        Command::Remove(args) => hub::remove(args),
        Command::Gc(args) => hub::gc(args),
        Command::Convert(args) => convert::run(args),
        Command::Doctor(args) => doctor::run(args),
    }
}
