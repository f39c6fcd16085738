//! The catalogue against a model, and what it refuses to open.
