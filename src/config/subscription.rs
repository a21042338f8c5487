//! A subscription as it is made through the admin API: the configuration's own entry, in JSON.

use crate::plan::{Site, Webhook};

/// Reads an entry of `webhooks:`, in JSON, as one of a site's that was made through the admin
/// API. Its secrets are `{ value: … }`: it names neither files nor the environment.
///
/// # Errors
/// What is wrong with it and what was expected, in sentences.
pub fn subscription(_entry: &str, _site: &Site) -> Result<Webhook, String> {
    Err("not yet".to_owned())
}
