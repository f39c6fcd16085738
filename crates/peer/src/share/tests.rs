//! Real folders, shared.
