//! `peerage completions` and `peerage man`: both made from the command line's own description.

use clap::CommandFactory;

use crate::args::Arguments;
use crate::failure::{Failure, Outcome};

/// Prints the completion script for a shell.
#[expect(clippy::unnecessary_wraps, reason = "a command like the others")]
pub(crate) fn completions(shell: clap_complete::Shell) -> Outcome {
    clap_complete::generate(shell, &mut Arguments::command(), "peerage", &mut std::io::stdout());
    Ok(())
}

/// Prints the manual page.
pub(crate) fn man() -> Outcome {
    let page = clap_mangen::Man::new(Arguments::command());
    page.render(&mut std::io::stdout())
        .map_err(|error| Failure::failed(format!("can't write the page: {error}")))
}
