//! The planner against simulated sources, over many seeds: `sim` is the stage, the others are what must hold on it.

use super::*;

mod properties;
mod stories;
mod together;

mod links;
mod nature;
mod sim;
