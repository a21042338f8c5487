//! Stand-in for `libz-ng-sys`: the same C interface, from stock zlib.
//!
//! `pingora-core` asks `flate2` for its `zlib-ng` backend unconditionally, and the real
//! `libz-ng-sys` needs `cmake` to build. `flate2` uses only the interface that both zlibs
//! share, so re-exporting `libz-sys` (built by the C compiler alone) is enough.
//! It can go once Pingora makes the backend a feature (cloudflare/pingora#704, #576).
pub use libz_sys::*;
