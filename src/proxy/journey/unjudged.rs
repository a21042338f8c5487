//! A request that is no visitor's: counted and logged like any other, and not judged.

use super::Journey;
use crate::details::{self, Refusal};
use crate::gate::{RequestView, forwarded};
use crate::plan::Site;
use crate::refusal::Reply;
use crate::reload::Generation;

impl Journey {
    /// It is for that site, or for none.
    pub(in crate::proxy) fn enter(
        &mut self,
        head: &RequestView<'_>,
        generation: &Generation,
        site: Option<&Site>,
    ) {
        let trusted = &generation.plan.trusted_proxies;
        let given = forwarded::request_id(head.headers, head.peer.is_trusted(trusted));
        let new = || uuid::Uuid::now_v7().simple().to_string();
        self.request_id = given.map_or_else(new, str::to_owned);
        self.client = forwarded::client_ip(head.headers, head.peer, trusted);
        self.site = site.map(|site| site.index);
        if let Some(meters) = site.and_then(|site| generation.meters.sites.get(site.index)) {
            self.meters = meters.clone();
        }
        self._in_flight = Some(self.meters.in_flight());
    }

    /// What became of details that were posted.
    pub(in crate::proxy) fn tell_poster(&mut self, taken: Result<(), Refusal>) -> Reply {
        self.code = taken.as_ref().err().map(Refusal::code);
        details::reply(taken, &self.request_id)
    }
}
