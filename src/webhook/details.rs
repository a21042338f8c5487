//! What the website's server says of a visitor, and passing it on to the backend.

use std::sync::Arc;

use super::Webhooks;
use crate::clock::UnixTime;
use crate::plan::Site;
use crate::store::{Change, Posted};

impl Webhooks {
    /// The change that somebody's details bring about, with the event for the backend where
    /// the site asks for one (`details.push`). The fields have been looked at already.
    pub fn details_posted(
        &self,
        site: &Site,
        visitor: &str,
        fields: Vec<(Arc<str>, Arc<str>)>,
        now: UnixTime,
    ) -> Change {
        let posted = Posted {
            visitor: visitor.into(),
            fields,
            at: now,
            until: now.after(site.website.ttl),
            deliveries: Vec::new(),
        };
        Change::Details { site: site.name.clone(), posted: Arc::new(posted) }
    }
}
