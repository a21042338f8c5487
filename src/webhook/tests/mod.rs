//! The engine against receivers that behave as receivers do: with a clock that runs as fast
//! as nothing happens, and over sockets.

mod asking;
mod sockets;
mod stage;
mod stopping;
mod subscribing;
mod telling;
