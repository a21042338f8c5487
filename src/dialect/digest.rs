//! Keyed hashes over fields that lie beside them.

use super::{Hash, HmacRules, Keyring, Rejection, UnsignedRules};
use crate::identity::Identity;

pub(super) fn verify(
    rules: &HmacRules,
    unsigned: &UnsignedRules,
    hash: &Hash<'_>,
    keyring: &Keyring,
) -> Result<Identity, Rejection> {
    let _ = (rules, unsigned, hash, keyring);
    todo!()
}

pub(super) fn has_shape(rules: &HmacRules, value: &str) -> bool {
    let _ = (rules, value);
    todo!()
}
