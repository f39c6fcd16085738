//! The `peerage` command: reads the arguments, runs one command, turns its failure into words and an exit code.

mod args;
mod config;
mod failure;

mod commands;

mod shell;

mod print;
mod progress;

use std::process::ExitCode;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = match config::parse_arguments() {
        Ok(arguments) => arguments,
        Err(failure) => return failure.report(),
    };
    if matches!(arguments.command, Some(args::Command::Index(_))) {
        peerage_index::large_pages::begin_anew();
    }
    start_log(&arguments.global.log);
    match commands::run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The log is for operators and goes to stderr; what a command says to its user does not pass through it.
fn start_log(filter: &str) {
    use std::io::IsTerminal;
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .init();
}
