//! Many sources, one content: what is asked of whom is decided in [`plan`], done in `run` and `source`.

mod pool;

pub use pool::Pool;
