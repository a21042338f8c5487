//! The engine against receivers that behave as receivers do.
