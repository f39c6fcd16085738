//! Servers as they are and as they should not be, played by a script on a free port.

mod fake;
mod hostile;
mod usual;
