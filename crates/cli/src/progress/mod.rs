//! How far a command is, for the person at a terminal: lines on stderr, redrawn a few times a second.

mod bars;
mod downloads;
mod share;

pub(crate) use bars::Bars;
pub(crate) use downloads::Downloads;
pub(crate) use share::{ShareLine, ShareLook};

/// A time that is left, as people say it.
fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
